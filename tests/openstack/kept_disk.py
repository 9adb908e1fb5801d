"""A compute driver without a hypervisor that keeps each server's disk as a file.

The image is fetched as libvirt's driver does it, by nova.virt.images.fetch, with the user's context; a snapshot uploads
the disk. All else is Nova's own fake driver.
"""

import os
import shutil
import time

from nova import conf
from nova.virt import fake, images

CONF = conf.CONF


def directory(instance):
    return os.path.join(CONF.instances_path, instance.uuid)


class KeptDiskDriver(fake.FakeDriver):
    def spawn(self, context, instance, image_meta, *arguments, **named):
        os.makedirs(directory(instance), exist_ok=True)
        if instance.image_ref:
            # A test may want it to take long.
            while os.path.exists(os.path.join(CONF.instances_path, "hold")):
                time.sleep(0.1)
            part = os.path.join(directory(instance), "disk.part")
            images.fetch(context, instance.image_ref, part)
            # Whoever looks never sees half a disk.
            os.rename(part, os.path.join(directory(instance), "disk"))
        super().spawn(context, instance, image_meta, *arguments, **named)

    def destroy(self, context, instance, network_info, block_device_info=None, destroy_disks=True, *rest, **named):
        super().destroy(context, instance, network_info, block_device_info, destroy_disks, *rest, **named)
        if destroy_disks:
            shutil.rmtree(directory(instance), ignore_errors=True)

    def snapshot(self, context, instance, image_id, update_task_state):
        super().snapshot(context, instance, image_id, update_task_state)
        about = {"disk_format": "raw", "container_format": "bare"}
        with open(os.path.join(directory(instance), "disk"), "rb") as disk:
            images.IMAGE_API.update(context, image_id, about, disk, purge_props=False)

    def get_console_output(self, context, instance):
        return "%s: %s booted\n" % (CONF.host, instance.uuid)
