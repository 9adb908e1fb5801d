"""A Keystone over TLS: keystone.py ADDRESS PORT, with keystone.pem and answer.json in the working directory.

One with a third argument wants to be shown a certificate of that file's authority.
"""
import http.server
import ssl
import sys


class Keystone(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = open("answer.json", "rb").read()
        self.send_response(201)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Keystone)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("keystone.pem")
if len(sys.argv) > 3:
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(sys.argv[3])
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
