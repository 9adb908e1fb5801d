"""What every site's Keystone begins with: `seed.py KEYSTONE.CONF`, once, into the template of its database.

site.py gives each copy ids, passwords and addresses of its own.
"""

import base64
import os
import sys
import uuid

import keystone.conf
import keystone.server
from keystone.cmd import bootstrap
from keystone.common import provider_api

CONF = keystone.conf.CONF
HERE = "http://site.invalid"
# What the catalog says: type, name, port, path.
SERVICES = (
    ("image", "glance", 9292, ""),
    ("compute", "nova", 8774, "/v2.1"),
    ("placement", "placement", 8778, ""),
    ("network", "neutron", 9696, ""),
)
IDENTITY = HERE + ":5000/v3"


def new():
    return uuid.uuid4().hex


def main():
    configuration, sys.argv = sys.argv[1], ["seed"]
    keystone.server.configure(config_files=[configuration])
    for repository in (CONF.fernet_tokens.key_repository, CONF.credential.key_repository):
        for name in "01":
            with open(os.path.join(repository, name), "wb") as file:
                file.write(base64.urlsafe_b64encode(os.urandom(32)))
    first = bootstrap.Bootstrapper()
    first.admin_username = first.project_name = first.admin_role_name = "admin"
    first.admin_password = new()
    first.region_id, first.service_name, first.immutable_roles = "RegionOne", "keystone", True
    first.public_url = first.internal_url = first.admin_url = IDENTITY
    first.bootstrap()
    providers = provider_api.ProviderAPIs

    def project(name):
        made = {"id": new(), "name": name, "domain_id": first.default_domain_id, "enabled": True, "description": ""}
        return providers.resource_api.create_project(made["id"], made)["id"]

    def user(name, in_project, *roles):
        about = {"name": name, "domain_id": first.default_domain_id, "enabled": True, "password": new()}
        made = providers.identity_api.create_user(about)
        for role in roles:
            providers.assignment_api.add_role_to_user_and_project(made["id"], in_project, role)

    services, demo, other = project("service"), project("demo"), project("other")
    service_role = new()
    providers.role_api.create_role(service_role, {"id": service_role, "name": "service"})
    for name in ("glance", "nova", "placement"):
        user(name, services, first.admin_role_id, service_role)
    user("demo", demo, first.member_role_id)
    user("other", other, first.member_role_id)
    for kind, name, port, path in SERVICES:
        service = {"id": new(), "type": kind, "name": name, "enabled": True}
        providers.catalog_api.create_service(service["id"], service)
        for interface in ("public", "internal", "admin"):
            endpoint = {
                "id": new(),
                "interface": interface,
                "url": "%s:%d%s" % (HERE, port, path),
                "service_id": service["id"],
                "region_id": "RegionOne",
                "enabled": True,
            }
            providers.catalog_api.create_endpoint(endpoint["id"], endpoint)


main()
