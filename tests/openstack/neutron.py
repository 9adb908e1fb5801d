"""A small stand-in for Neutron: `neutron.py ADDRESS`. Nova asks for a network service even for servers without a network.

Collections of the networking API, kept in memory: list with filters, show, create, update, delete. No token is looked at.
"""

import json
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

PORT = 9696
LOCK = threading.Lock()
# Collection, id, resource.
KEPT = {}
# What new resources have besides what was asked for.
GIVEN = {
    "networks": {"subnets": [], "tags": [], "mtu": 1500, "shared": False},
    "subnets": {"allocation_pools": [], "dns_nameservers": [], "host_routes": [], "service_types": [], "tags": []},
    "ports": {"fixed_ips": [], "security_groups": [], "tags": []},
    "security_groups": {"security_group_rules": [], "tags": []},
}
# Of a query: these say how, not what.
HOW = ("fields", "limit", "marker", "sort_key", "sort_dir", "page_reverse")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one segment.
    wbufsize = 65536

    def answer(self, status, document=None):
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Openstack-Request-Id", "req-" + str(uuid.uuid4()))
        self.end_headers()
        self.wfile.write(body)

    def serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        sent = json.loads(self.rfile.read(length) or b"{}")
        target = urlsplit(self.path)
        parts = [part.removesuffix(".json") for part in target.path.split("/") if part]
        if len(parts) < 2 or parts[0] != "v2.0":
            return self.versions(parts)
        plural = parts[1].replace("-", "_")
        single = plural[:-1]
        with LOCK:
            kept = KEPT.setdefault(plural, {})
            if plural == "quotas":
                return self.answer(200, {"quota": {"network": 100, "subnet": 100, "port": 500}})
            if len(parts) == 2:
                return self.collection(plural, single, kept, sent, dict(parse_qsl(target.query)))
            return self.item(single, kept, parts[2], sent)

    def versions(self, parts):
        host = self.headers.get("Host", "")
        link = {"rel": "self", "href": "http://%s/v2.0/" % host}
        if not parts:
            return self.answer(200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]})
        if parts == ["v2.0"]:
            return self.answer(200, {"resources": []})
        return self.answer(404, {"NeutronError": {"type": "HTTPNotFound", "message": "no such resource", "detail": ""}})

    def collection(self, plural, single, kept, sent, query):
        if self.command == "POST":
            new = {"id": str(uuid.uuid4()), "name": "", "status": "ACTIVE", **GIVEN.get(plural, {}), **sent.get(single, {})}
            kept[new["id"]] = new
            return self.answer(201, {single: new})
        wanted = {name: value for name, value in query.items() if name not in HOW}
        found = [one for one in kept.values() if all(str(one.get(name)) == value for name, value in wanted.items())]
        return self.answer(200, {plural: found})

    def item(self, single, kept, known, sent):
        if known not in kept:
            text = "%s %s could not be found." % (single.capitalize(), known)
            return self.answer(404, {"NeutronError": {"type": "NotFound", "message": text, "detail": ""}})
        if self.command == "DELETE":
            del kept[known]
            return self.answer(204)
        if self.command == "PUT":
            kept[known].update(sent.get(single, {}))
        return self.answer(200, {single: kept[known]})

    do_GET = do_POST = do_PUT = do_DELETE = serve

    def log_message(self, form, *arguments):
        print("%s %s" % (self.client_address[0], form % arguments), flush=True)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


Server((sys.argv[1], PORT), Handler).serve_forever()
