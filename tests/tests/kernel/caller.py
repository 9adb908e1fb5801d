"""A client in another language. Usage: caller.py HOW ADDRESS PORT [DEVICE]. Prints what it saw, as JSON."""

import errno
import json
import os
import select
import socket
import sys
import threading

HOW, ADDRESS, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
REQUEST = b"GET /called HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n"
TCP_FASTOPEN_CONNECT = 30


def family():
    return socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET


def exchange(sock):
    sock.settimeout(10)
    sock.sendall(REQUEST)
    answer = b""
    while True:
        data = sock.recv(65536)
        if not data:
            break
        answer += data
    return answer.split(b" ")[1].decode()


def seen(sock):
    return {"peer": sock.getpeername()[:2], "local": sock.getsockname()[:2]}


def plain(prepare=lambda sock: None):
    sock = socket.socket(family(), socket.SOCK_STREAM)
    sock.settimeout(10)
    prepare(sock)
    sock.connect((ADDRESS, PORT))
    said = seen(sock)
    said["status"] = exchange(sock)
    return said


def thread():
    said = {}
    other = threading.Thread(target=lambda: said.update(plain()))
    other.start()
    other.join()
    return said


def fork():
    inward, outward = os.pipe()
    if os.fork() == 0:
        os.write(outward, json.dumps(plain()).encode())
        os._exit(0)
    os.wait()
    return json.loads(os.read(inward, 65536))


def nonblocking():
    sock = socket.socket(family(), socket.SOCK_STREAM)
    sock.setblocking(False)
    began = sock.connect_ex((ADDRESS, PORT))
    assert began in (0, errno.EINPROGRESS), began
    assert select.select([], [sock], [], 10)[1], "not connected in time"
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    said = seen(sock)
    said["status"] = exchange(sock)
    return said


def v6only():
    return plain(lambda sock: sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1))


def device():
    return plain(lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, sys.argv[4].encode()))


def fastopen():
    return plain(lambda sock: sock.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1))


def fastopen_data():
    """TCP Fast Open in its older form: sendto connects. The first word of a kernel without a cookie is an ordinary SYN."""
    sock = socket.socket(family(), socket.SOCK_STREAM)
    sock.sendto(REQUEST, socket.MSG_FASTOPEN, (ADDRESS, PORT))
    sock.settimeout(10)
    said = seen(sock)
    answer = b""
    while data := sock.recv(65536):
        answer += data
    said["status"] = answer.split(b" ")[1].decode()
    return said


def mptcp():
    sock = socket.socket(family(), socket.SOCK_STREAM, 262)
    sock.settimeout(10)
    sock.connect((ADDRESS, PORT))
    said = seen(sock)
    said["status"] = exchange(sock)
    return said


def udp():
    sock = socket.socket(family(), socket.SOCK_DGRAM)
    sock.connect((ADDRESS, PORT))
    sock.send(b"datagram")
    return seen(sock)


def refused():
    sock = socket.socket(family(), socket.SOCK_STREAM)
    sock.settimeout(10)
    return {"errno": errno.errorcode.get(sock.connect_ex((ADDRESS, PORT)), "none")}


print(json.dumps(globals()[HOW]()))
