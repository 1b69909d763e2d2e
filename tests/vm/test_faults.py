# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever breaks, the base image stays inert and the rest as it was."""

import pytest

from guest import BootFailed
from inert import SERIAL, assert_inert, base_disks, leaks, properties

HELPER = "/usr/lib/udev/baseimage_id"
FAULTS = {
    "missing": f"rm {HELPER}",
    "not-executable": f"chmod -x {HELPER}",
    "fails": f"printf '#!/bin/sh\\nexit 1\\n' >{HELPER}",
    "crashes": f"printf '#!/bin/sh\\nkill -SEGV $$\\n' >{HELPER}",
    "half-a-line": f"printf '#!/bin/sh\\nprintf SYSTEMD_REA\\n' >{HELPER}",
    "megabyte": f"printf '#!/bin/sh\\nhead -c 1000000 /dev/urandom\\n' >{HELPER}",
}


def test_helper__broken(make_disk, boot, plug_base):
    disk = make_disk(layout="beside")
    with boot(disk) as guest:
        guest.run(f"cp -a {HELPER} /root/helper")
        guest.run("udevadm trigger --settle /dev/vda1")
        other = properties(guest, "vda1")
        for fault, command in FAULTS.items():
            guest.run(f"cp -a /root/helper {HELPER}; {command}")
            node, = plug_base(guest, disk)
            print(f"helper {fault}")
            assert_inert(guest)
            guest.run("udevadm trigger --settle /dev/vda1")
            assert properties(guest, "vda1") == other
            guest.unplug(node)
        print(f"{len(FAULTS)} faults injected, {len(FAULTS)} survived")


def test_helper__hangs(make_disk, boot, plug_base):
    """udev kills it, at its event timeout."""
    disk = make_disk()
    with boot(disk) as guest:
        guest.run(f"printf '#!/bin/sh\\nexec sleep 1000\\n' >{HELPER}")
        guest.run("echo event_timeout=8 >>/etc/udev/udev.conf; systemctl restart systemd-udevd")
        plug_base(guest, disk)
        found = leaks(guest)
        # A worker that is killed leaves no record: nothing knows the disk then.
        found.pop("udev")
        assert not any(found.values()), found


@pytest.fixture
def times(request):
    """How often a storm blows: a tenth of it where time is short."""
    return lambda number: number if request.config.getoption("all") else number // 10


def test_storm__plugged_and_unplugged(times, make_disk, boot, plug_base):
    disk = make_disk()
    with boot(disk) as guest:
        for _ in range(times(100)):
            node, = plug_base(guest, disk)
            guest.unplug(node)
        plug_base(guest, disk)
        assert_inert(guest)
        assert "killed" not in guest.run("journalctl -b -u systemd-udevd --no-pager")


def test_storm__sixteen_while_triggered(times, make_disk, boot, plug_base):
    disk = make_disk()
    with boot(disk) as guest:
        guest.run(f"(for i in $(seq {times(50)}); do udevadm trigger; done) </dev/null >/dev/null 2>&1 &")
        for _ in range(16):
            plug_base(guest, disk, settle=False)
        guest.wait_until(lambda: len(base_disks(guest)) == 16)
        guest.run("wait; udevadm settle --timeout=1200", timeout=1200)
        assert_inert(guest)
        guest.run("for p in /sys/block/vd*/vd*; do echo change >$p/uevent; done; udevadm settle")
        assert_inert(guest)
        assert "killed" not in guest.run("journalctl -b -u systemd-udevd --no-pager")


def test_root_with_that_serial(make_disk, boot):
    disk = make_disk()
    with pytest.raises(BootFailed, match="Gave up waiting for root"):
        with boot(disk, serial=SERIAL):
            pass
    with boot(disk, serial=SERIAL, append="baseimage_udev=off") as guest:
        assert guest.run("findmnt -nvo SOURCE /") == "/dev/vda1\n"
        assert "ID_SERIAL=BASEIMAGE" in guest.run("udevadm info /dev/vda")
        assert "SYSTEMD_READY=0" not in guest.run("udevadm info /dev/vda")
