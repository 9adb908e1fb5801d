"""A service with Python's http.server: tells in X-Seen what it took for a request.

http.server reads request lines and fields; bodies are the handler's business, and this one reads them as handlers in use
do: int() on whatever stands there, so that signs, underscores and white space would go through.
"""

import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self):
        # Not self.path, from which http.server takes leading slashes.
        target = self.requestline.split()[1].encode("latin-1")
        if not target.startswith(b"/"):
            # The other servers hand absolute-form on without its authority.
            target = re.sub(rb"^[^/]*://[^/?]*(?=(.?))", lambda match: b"" if match[1] == b"/" else b"/", target)
        body = self.body()
        self.send_response(405 if self.command == "CONNECT" else 200)
        self.send_header("X-Seen", f"{self.command} {target.hex()} {body.hex()};")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
sys.stderr.close()
server.serve_forever()
