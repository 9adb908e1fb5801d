"""A service that says what it sees of its client: python3 seer.py PORT ADDRESS... ("*" listens on IPv6 and IPv4 at once).

Each answer is JSON: what accept said, getpeername, getsockname, and the error of SO_ORIGINAL_DST.
"""

import errno
import json
import os
import socket
import sys
import threading

SO_ORIGINAL_DST = 80


def original(connection):
    v6 = connection.family == socket.AF_INET6
    try:
        connection.getsockopt(socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP, SO_ORIGINAL_DST, 28)
        return "told"
    except OSError as error:
        return errno.errorcode[error.errno]


def serve(connection, accepted):
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            try:
                data = connection.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                return
            head += data
        seen = {
            "accept": accepted[:2],
            "peer": connection.getpeername()[:2],
            "local": connection.getsockname()[:2],
            "original": original(connection),
            # A copy of the socket, as a worker process has it.
            "copied": socket.socket(fileno=os.dup(connection.fileno())).getpeername()[:2],
        }
        body = json.dumps(seen).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def listen(address, port):
    family = socket.AF_INET if "." in address else socket.AF_INET6
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != "*")
    listener.bind(("::" if address == "*" else address, port))
    listener.listen(512)
    return listener


def accept(listener):
    while True:
        connection, accepted = listener.accept()
        threading.Thread(target=serve, args=(connection, accepted), daemon=True).start()


listeners = [listen(address, int(sys.argv[1])) for address in sys.argv[2:]]
print("listening", flush=True)
threads = [threading.Thread(target=accept, args=(listener,)) for listener in listeners]
for thread in threads:
    thread.start()
