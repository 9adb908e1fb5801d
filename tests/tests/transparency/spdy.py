"""SPDY/3.1 as Kubernetes' exec has it: python3 spdy.py serve PORT ADDRESS | python3 spdy.py exec PORT ADDRESS.

The client opens the streams error, stdin, stdout and stderr; what it writes to stdin comes back on stdout, the server
resets stderr, answers a PING, tells the status on error, and says goodbye.
"""

import json
import socket
import struct
import sys
import zlib

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FIN = 1
CANCEL = 5

# SPDY/3's dictionary (draft-mbelshe-httpbis-spdy-00, 2.6.10.1): words with their lengths, then plain text.
WORDS = """options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length content-location
content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match
if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range
referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get
status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin""".split()
TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def prefixed(text):
    return struct.pack(">I", len(text)) + text.encode()


DICTIONARY = b"".join(prefixed(word.replace("_", " ")) for word in WORDS) + TEXT.encode()
assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2, "not SPDY/3's dictionary"


class Connection:
    def __init__(self, sock, pending=b""):
        self.sock, self.pending = sock, pending
        self.deflate = zlib.compressobj(wbits=15, zdict=DICTIONARY)
        self.inflate = zlib.decompressobj(zdict=DICTIONARY)

    def read(self, length):
        while len(self.pending) < length:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError("the end came early")
            self.pending += data
        data, self.pending = self.pending[:length], self.pending[length:]
        return data

    def frame(self):
        """A control frame: (type, flags, payload). A data frame: (0, flags, (stream, data))."""
        first, rest = struct.unpack(">II", self.read(8))
        flags, payload = rest >> 24, self.read(rest & 0xFFFFFF)
        if not first >> 31:
            return 0, flags, (first, payload)
        assert first >> 16 & 0x7FFF == 3, "version 3"
        return first & 0xFFFF, flags, payload

    def control(self, kind, payload, flags=0):
        self.sock.sendall(struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload)

    def data(self, stream, data, flags=0):
        self.sock.sendall(struct.pack(">II", stream, flags << 24 | len(data)) + data)

    def pack(self, headers):
        plain = struct.pack(">I", len(headers)) + b"".join(prefixed(k) + prefixed(v) for k, v in headers.items())
        return self.deflate.compress(plain) + self.deflate.flush(zlib.Z_SYNC_FLUSH)

    def unpack(self, block):
        plain = self.inflate.decompress(block)
        words, at = [], 4
        while at < len(plain):
            (length,) = struct.unpack_from(">I", plain, at)
            words.append(plain[at + 4 : at + 4 + length].decode())
            at += 4 + length
        return dict(zip(words[::2], words[1::2]))


def head(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise EOFError("the end came in a head")
        data += more
    text, _, rest = data.partition(b"\r\n\r\n")
    return text.decode(), rest


def serve(port, address):
    listener = socket.create_server((address, port))
    print("listening", flush=True)
    while True:
        sock, _ = listener.accept()
        with sock:
            try:
                executed(sock)
            except (EOFError, ConnectionError):
                pass


def executed(sock):
    asked, rest = head(sock)
    assert asked.startswith("POST /api/v1/namespaces/a/pods/b/exec?command=cat") and "Upgrade: SPDY/3.1" in asked, asked
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        b"X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"
    )
    spdy, streams = Connection(sock, rest), {}
    while True:
        kind, flags, payload = spdy.frame()
        if kind == SYN_STREAM:
            (stream,) = struct.unpack_from(">I", payload)
            streams[spdy.unpack(payload[10:])["streamtype"]] = stream
            spdy.control(SYN_REPLY, struct.pack(">I", stream) + spdy.pack({}))
            if len(streams) == 4:
                spdy.control(RST_STREAM, struct.pack(">II", streams["stderr"], CANCEL))
        elif kind == PING:
            spdy.control(PING, payload)
        elif kind == 0:
            stream, data = payload
            assert stream == streams["stdin"], stream
            spdy.data(streams["stdout"], data, flags)
            if flags & FIN:
                spdy.data(streams["error"], json.dumps({"status": "Success"}).encode(), FIN)
                spdy.control(GOAWAY, struct.pack(">II", max(streams.values()), 0))
                return


def execute(port, address):
    sock = socket.create_connection((address, port), 20)
    sock.sendall(
        b"POST /api/v1/namespaces/a/pods/b/exec?command=cat&stdin=true&stdout=true&stderr=true HTTP/1.1\r\n"
        b"Host: kubernetes\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        b"X-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: channel.k8s.io\r\n\r\n"
    )
    answer, rest = head(sock)
    assert answer.startswith("HTTP/1.1 101 "), answer
    spdy, names = Connection(sock, rest), ["error", "stdin", "stdout", "stderr"]
    for stream, name in zip((1, 3, 5, 7), names):
        spdy.control(SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + spdy.pack({"streamtype": name}))
    spdy.control(PING, struct.pack(">I", 1))
    sent = [b"hello\n", bytes(range(256)) * 1000, b""]
    for data in sent:
        spdy.data(3, data, FIN if data == sent[-1] else 0)
    seen = {"replies": [], "stdout": 0, "reset": None, "ping": None}
    stdout = b""
    while True:
        kind, flags, payload = spdy.frame()
        if kind == SYN_REPLY:
            spdy.unpack(payload[4:])
            seen["replies"].append(struct.unpack_from(">I", payload)[0])
        elif kind == RST_STREAM:
            seen["reset"] = struct.unpack(">II", payload)
        elif kind == PING:
            seen["ping"] = struct.unpack(">I", payload)[0]
        elif kind == GOAWAY:
            break
        elif payload[0] == 5:
            stdout += payload[1]
        else:
            seen["status"] = json.loads(payload[1])["status"]
    assert stdout == b"".join(sent), "stdout isn't what stdin was"
    seen["stdout"] = len(stdout)
    seen["end"] = len(sock.recv(1))
    print(json.dumps(seen))


{"serve": serve, "exec": execute}[sys.argv[1]](int(sys.argv[2]), sys.argv[3])
