# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever breaks, the base image stays inert and the rest as it was."""

import json
import re

import pytest

from guest import AWAITS_ROOT, BootFailed
from inert import SERIAL, assert_inert, base_disks, leaks, properties, status

HELPER = "/usr/lib/udev/baseimage_id"


def test_helper__broken(make_disk, boot, plug_base, fault):
    """Without the helper the partitions stay, and baseimage-status names them; programs that ask udev ignore them.

    Whatever else a broken helper can do, tests/udev shows.
    """
    disk = make_disk(layout="beside")
    with boot(disk) as guest:
        guest.run("udevadm trigger --settle /dev/vda1")
        other = properties(guest, "vda1")
        with fault("helper: missing"):
            guest.run(f"mv {HELPER} /root/helper")
            node, = plug_base(guest, disk)
            assert_inert(guest, partitions=True)
            assert "partition" in [finding["kind"] for finding in status(guest)[1]]
            guest.run("udevadm trigger --settle /dev/vda1")
            assert properties(guest, "vda1") == other
            guest.unplug(node)
        # udevd kills it, and the rest of the event, at its event timeout.
        guest.run(f"printf '#!/bin/sh\\nexec sleep 1000\\n' >{HELPER}; chmod +x {HELPER}")
        guest.run("echo event_timeout=8 >>/etc/udev/udev.conf; systemctl restart systemd-udevd")
        with fault("helper: hangs"):
            plug_base(guest, disk)
            found = leaks(guest)
            # udevd knows nothing of the disk then, but the partitions are there.
            found.pop("udev")
            found.pop("partitions")
            assert not any(found.values()), found


@pytest.mark.all_only
def test_storm__plugged_and_unplugged(make_disk, boot, plug_base, fault):
    disk = make_disk()
    with boot(disk) as guest, fault("20 times plugged and unplugged"):
        for _ in range(20):
            node, = plug_base(guest, disk)
            guest.unplug(node)
        plug_base(guest, disk)
        assert_inert(guest)
        assert "killed" not in guest.run("journalctl -b -u systemd-udevd --no-pager")


def test_storm__sixteen_while_triggered(make_disk, boot, plug_base, fault):
    disk = make_disk()
    with boot(disk) as guest:
        with fault("16 plugged, all devices triggered 5 times"):
            guest.run("(for i in 1 2 3 4 5; do udevadm trigger; done) </dev/null >/dev/null 2>&1 &")
            for _ in range(16):
                plug_base(guest, disk, settle=False)
            guest.wait_until(lambda: len(base_disks(guest)) == 16)
            guest.run("wait; udevadm settle --timeout=1200", timeout=1200)
            assert_inert(guest)
        with fault("a change of each partition at once"):
            guest.run("for p in /sys/block/vd*/vd*; do echo change >$p/uevent; done; udevadm settle")
            assert_inert(guest)
        assert "killed" not in guest.run("journalctl -b -u systemd-udevd --no-pager")


# Each would be a line of its own in whatever shows it, were it not escaped.
HOSTILE = """\
import os
name = "x\\nE:FORGED=1\\n%s\\"'\\\\ \\x1b[31m"
deep = "/dev/" + "/".join(["d" * 200] * 19)
os.makedirs(deep)
for link in ("/dev/" + name, deep + "/" + name):
    os.symlink("/dev/vdb1", link)
os.mkdir("/mnt/" + name)
"""
OUTPUTS = {
    "table": "baseimage-status",
    "JSON": "baseimage-status --json",
    "journal": "systemctl start baseimage-status@vdb; journalctl -b -t baseimage-status -o cat",
    "record": "cat /run/udev/data/b*",
}


@pytest.mark.all_only
def test_names__hostile(make_disk, boot, plug_base, fault):
    """Partitions, labels, links and a mount point, where all are leaks."""
    disk = make_disk(layout="beside", package=False)
    with boot(disk) as guest:
        plug_base(guest, disk)
        guest.run(f"python3 - <<'END'\n{HOSTILE}END\nmount -o ro /dev/vdb7 /mnt/x*")
        for output, command in OUTPUTS.items():
            with fault(f"hostile names: {output}"):
                said = guest.run(command, check=False)
                assert "FORGED" in said
                # udev keeps UTF-8 as it is; nothing of ours prints it.
                assert not re.search(r"^E:FORGED|[\0-\t\v-\x1f\x7f]", said, re.M), said
                assert said.isascii() or output == "record", said
                assert output != "JSON" or json.loads(said)["baseimages"][0]["state"] == "leaking"


def wait_in_vain(guest):
    guest.await_console(AWAITS_ROOT)
    guest.free_slot()


def test_root__with_that_serial(make_disk, boot, fault):
    disk = make_disk()
    with fault("the root disk has the serial"):
        with pytest.raises(BootFailed, match="Gave up waiting for root"):
            with boot(disk, serial=SERIAL, meanwhile=wait_in_vain):
                pass
        with boot(disk, serial=SERIAL, append="baseimage_udev=off") as guest:
            assert guest.run("findmnt -nvo SOURCE /") == "/dev/vda1\n"
            assert "ID_SERIAL=BASEIMAGE" in guest.run("udevadm info /dev/vda")
            assert "SYSTEMD_READY=0" not in guest.run("udevadm info /dev/vda")
