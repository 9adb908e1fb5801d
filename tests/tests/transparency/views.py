"""A client that says what it sees of its service and what the service sees of it: python3 views.py ADDRESS PORT HOW...

Prints a JSON list with an entry for each way to make a connection.
"""

import array
import asyncio
import errno
import json
import os
import select
import socket
import subprocess
import sys
import threading

ADDRESS, PORT = sys.argv[1], int(sys.argv[2])
REQUEST = b"GET /seen HTTP/1.1\r\nHost: lab\r\n\r\n"
TCP_FASTOPEN_CONNECT = 30


def make():
    sock = socket.socket(socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(20)
    return sock


def connected():
    sock = make()
    sock.connect((ADDRESS, PORT))
    return sock


def exchange(sock, request=REQUEST):
    said = {"peer": sock.getpeername()[:2], "local": sock.getsockname()[:2]}
    if request:
        sock.sendall(request)
    answer = b""
    while data := sock.recv(65536):
        answer += data
    said["service"] = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    return said


def plain():
    return exchange(connected())


def thread():
    said = []
    other = threading.Thread(target=lambda: said.append(plain()))
    other.start()
    other.join()
    return said[0]


def in_child(work):
    inward, outward = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(outward, json.dumps(work()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(outward)
    return json.loads(os.read(inward, 65536))


def fork_then_connect():
    return in_child(plain)


def connect_then_fork():
    sock = connected()
    return in_child(lambda: exchange(sock))


def used_after_its_makers_end():
    """A child makes the connection and ends; its parent uses it."""
    near, far = socket.socketpair()
    child = os.fork()
    if child == 0:
        hand(near, connected())
        os._exit(0)
    os.waitpid(child, 0)
    return received(far)


def hand(near, sock):
    near.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sock.fileno()]))])


def received(far):
    far.settimeout(20)
    _, ancillary, _, _ = far.recvmsg(1, socket.CMSG_SPACE(4))
    return inherited(array.array("i", ancillary[0][2])[0])


def spawned():
    """posix_spawn or vfork, then exec."""
    return json.loads(subprocess.run([sys.executable, __file__, ADDRESS, str(PORT), "plain"], check=True, stdout=subprocess.PIPE).stdout)[0]


def connect_then_exec():
    sock = connected()
    sock.set_inheritable(True)
    command = [sys.executable, __file__, ADDRESS, str(PORT), "inherited:%d" % sock.fileno()]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, pass_fds=[sock.fileno()]).stdout)[0]


def inherited(number):
    sock = socket.socket(fileno=int(number))
    sock.settimeout(20)
    return exchange(sock)


def passed():
    """The connection is handed to another process by a Unix socket."""
    near, far = socket.socketpair()
    hand(near, connected())
    return in_child(lambda: received(far))


def copied():
    return exchange(connected().dup())


def nonblocking():
    sock = make()
    sock.setblocking(False)
    began = sock.connect_ex((ADDRESS, PORT))
    assert began in (0, errno.EINPROGRESS), began
    assert select.select([], [sock], [], 20)[1], "not connected in time"
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    sock.settimeout(20)
    return exchange(sock)


def evented():
    async def work():
        reader, writer = await asyncio.open_connection(ADDRESS, PORT)
        said = {"peer": writer.get_extra_info("peername")[:2], "local": writer.get_extra_info("sockname")[:2]}
        writer.write(REQUEST)
        answer = await reader.read()
        writer.close()
        return said | {"service": json.loads(answer.split(b"\r\n\r\n", 1)[1])}

    return asyncio.run(work())


def again():
    """A socket that is connected, taken apart (AF_UNSPEC) and connected once more."""
    import ctypes

    sock = connected()
    nowhere = (ctypes.c_char * 16)()
    assert ctypes.CDLL(None, use_errno=True).connect(sock.fileno(), nowhere, 16) == 0
    sock.connect((ADDRESS, PORT))
    return exchange(sock)


def fast_open():
    sock = make()
    sock.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
    sock.connect((ADDRESS, PORT))
    sock.sendall(REQUEST)
    return exchange(sock, b"")


def fast_open_by_sendto():
    sock = make()
    sock.setblocking(True)
    sock.sendto(REQUEST, socket.MSG_FASTOPEN, (ADDRESS, PORT))
    sock.settimeout(20)
    return exchange(sock, b"")


def bound():
    """From a port of the client's own choice, used again and again: no trace of the connection before it is left."""
    sock = make()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port = int(os.environ.get("FROM", "45454"))
    sock.bind(("", port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    sock.connect((ADDRESS, PORT))
    said = exchange(sock)
    assert said["local"][1] == port, said
    return said


def many():
    """Each is right while all are open."""
    socks = [connected() for _ in range(50)]
    return [exchange(sock) for sock in socks]


def views(how):
    name, _, argument = how.partition(":")
    work = globals()[name]
    said = work(argument) if argument else work()
    return [entry | {"how": how} for entry in (said if isinstance(said, list) else [said])]


print(json.dumps(sum((views(how) for how in sys.argv[3:]), [])))
