# SPDX-License-Identifier: GPL-2.0-or-later
"""Breaks parts of the system, and checks that the base image stays inert and that other devices do not change."""

import pytest

from guest import WAITS_FOR_ROOT, BootFailed
from inert import SERIAL, assert_inert, base_disks, leaks, plug_base, properties, status, udevd_kills

HELPER = "/usr/lib/udev/baseimage_id"


def test_helper__broken(boot, fault):
    """Checks a system in which the helper is missing or hangs.

    In both cases, the partitions stay.  If the helper is missing, programs that ask udev ignore the partitions, and
    baseimage-status reports the partitions.  tests/udev checks a helper with other faults.
    """
    with boot(layout="beside") as guest:
        guest.run("udevadm trigger --settle /dev/vda1")
        own = properties(guest, "vda1")
        with fault("helper: missing"):
            guest.run(f"mv {HELPER} /root/helper")
            node, = plug_base(guest)
            assert_inert(guest, partitions=True)
            assert "partition" in [finding["kind"] for finding in status(guest)[1]]
            guest.run("udevadm trigger --settle /dev/vda1")
            assert properties(guest, "vda1") == own
            guest.unplug(node)
        # This helper hangs.  After the event timeout, udevd kills the helper and drops the event.
        guest.run(f"printf '#!/bin/sh\\nexec sleep 1000\\n' >{HELPER}; chmod +x {HELPER}")
        guest.run("echo event_timeout=8 >>/etc/udev/udev.conf; systemctl restart systemd-udevd")
        with fault("helper: hangs"):
            plug_base(guest)
            # udevd has dropped the event of the disk, so udevd has no record of the disk, and the partitions stay.
            found = leaks(guest)
            assert found.keys() <= {"udev", "partitions"}, found


def test_storm__sixteen_while_triggered(boot, fault):
    with boot() as guest:
        with fault("16 plugged, all devices triggered 5 times"):
            guest.run("(for i in 1 2 3 4 5; do udevadm trigger; done) </dev/null >/dev/null 2>&1 &")
            for _ in range(16):
                plug_base(guest, settle=False)
            guest.wait_until(lambda: len(base_disks(guest)) == 16)
            guest.run("wait")
            guest.settle()
            assert_inert(guest)
        with fault("a change of each partition at once"):
            guest.run("for p in /sys/block/vd*/vd*; do echo change >$p/uevent; done; udevadm settle")
            assert_inert(guest)
        assert "killed" not in udevd_kills(guest)


def release_slot_for_root(guest):
    """When the initramfs waits for root, releases the slot of the idle guest (see guest.take_slot())."""
    guest.await_console(WAITS_FOR_ROOT)
    guest.release_slot()


def test_root__with_that_serial(boot, fault):
    with fault("the root disk has the serial"):
        with pytest.raises(BootFailed, match="Gave up waiting for root"):
            with boot(serial=SERIAL, during_boot=release_slot_for_root):
                pass
        with boot(serial=SERIAL, append="baseimage_udev=off") as guest:
            assert guest.run("findmnt -nvo SOURCE /") == "/dev/vda1\n"
            assert "ID_SERIAL=BASEIMAGE" in guest.run("udevadm info /dev/vda")
            assert "SYSTEMD_READY=0" not in guest.run("udevadm info /dev/vda")
