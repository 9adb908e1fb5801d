"""Nova's API, conductor, scheduler and compute service as services of one process, over oslo.messaging's fake:// bus.

Each is what its own program makes; only the process is shared, so that no broker is needed.
"""

import shlex
import sys

import nova.cmd  # noqa: F401  patches the standard library before anything else is imported
import os_vif
from oslo_log import log
from oslo_privsep import priv_context
from oslo_service import service as launching

import nova.conf
from nova import config, objects, service, utils

CONF = nova.conf.CONF


def main():
    config.parse_args(sys.argv)
    log.setup(CONF, "nova")
    priv_context.init(root_helper=shlex.split(utils.get_root_helper()))
    objects.register_all()
    os_vif.initialize()
    objects.Service.enable_min_version_cache()
    launcher = launching.ServiceLauncher(CONF)
    for binary in ("nova-conductor", "nova-scheduler", "nova-compute"):
        launcher.launch_service(service.Service.create(binary=binary))
    launcher.launch_service(service.WSGIService("osapi_compute"))
    launcher.wait()
