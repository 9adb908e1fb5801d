"""Runs one of OpenStack's programs as Debian's commands do: `entry.py PROGRAM ARGUMENT...`.

The packages that hold those commands would install init scripts, databases and a hypervisor, too.
"""

import importlib
import os
import sys

from sqlalchemy.dialects import registry

PROGRAMS = {
    "glance-api": "glance.cmd.api",
    "nova-api": "nova.cmd.api",
    "nova-compute": "nova.cmd.compute",
    "nova-conductor": "nova.cmd.conductor",
    "nova-scheduler": "nova.cmd.scheduler",
    "nova-all": "nova_all",
}


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    program = sys.argv[1]
    sys.argv = [program] + sys.argv[2:]
    sys.path.append(here)
    registry.register("sqlite.immediate", "immediate", "Dialect")
    module = importlib.import_module(PROGRAMS[program])
    if program in ("nova-compute", "nova-all"):
        # Nova looks for drivers in this package alone.
        import nova.virt

        nova.virt.__path__.append(here)
    sys.exit(module.main())


main()
