# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that the base image is inert in the guests of cases.py.  Without the package, the base image must do harm."""

import re

import cases
import layouts
from guest import BootFailed
from inert import (assert_inert, base_disks, devices, found_by_scanners, harm, in_initramfs, leaks, plug_base, status,
                   times_bound, unplug_base, virtio_name)

# The rule can delete only partitions.  So these scanners find a file system that is on the whole base image.
REMAINS = {"blkid", "lsblk"}


def check_initramfs(guest, bare):
    """Checks that the base image had no partitions in the initramfs.

    If "bare" is true, the base image never has partitions.  Then checks that the base image had no driver.
    """
    disks, names = base_disks(guest), in_initramfs(guest)
    if bare:
        # Another disk can have the kernel name that the base image had.  So this line compares only numbers of disks.
        assert len(names) == len(guest.block_devices().split()) - len(disks)
    else:
        assert set(disks) <= set(names)
        assert not [name for name in names if name.rstrip("0123456789") in disks and name not in disks]


def check_announced_once(guest):
    """Checks that LVM finds no duplicate after the initramfs, even while udevd handles no events.

    Then binds a base image again, and checks that LVM finds the duplicate.  So the first check can detect a bind.
    """
    change = f"vgchange --addtag probe {layouts.VG} && vgchange --deltag probe {layouts.VG}"
    hold, release = "udevadm control --stop-exec-queue", "udevadm control --start-exec-queue"
    for disk in base_disks(guest):
        # The kernel prints this line each time that the kernel reads the partition table.
        assert guest.run(f"dmesg | grep -c '{disk}: {disk}1'") == "1\n"
    output = guest.run(f"{hold}; udevadm trigger --type=devices --action=add; {change}; {release}")
    assert "duplicate" not in output
    guest.settle()
    virtio = virtio_name(guest, base_disks(guest)[0])
    output = guest.run(f"(cd /sys/bus/virtio/drivers/virtio_blk; {hold}; echo {virtio} >unbind; echo {virtio} >bind;"
                       f" {change}; {release})")
    assert "duplicate PV" in output
    guest.settle()
    assert_inert(guest)


def test_base_image__inert(case, boot, record_property):
    record_property("case", tuple(case))
    bare = case.layout in layouts.BARE
    with boot(case.attached, case.root, cases.kernel_options(case), suite=case.suite, flavour=case.flavour,
              layout=case.layout) as guest:
        check_initramfs(guest, bare)
        # Another disk can get the name of an unbound disk.  So this line counts how often the kernel bound the disk.
        assert times_bound(guest) == ({2} if bare else {1})
        assert_inert(guest, read=case.layout == "lvm")
        result = status(guest)
        assert result is None or result[0] == 0, result
        remains = REMAINS if bare else set()
        assert {name: lines for name, lines in found_by_scanners(guest).items() if name not in remains} == {}
        # Even after the scanners have opened the base image, the base image must have no partitions.
        assert devices(guest, base_disks(guest)) == base_disks(guest)
        # One layout is enough to test a hot-plug.
        if case.layout == "lvm":
            if case.suite == "bookworm":
                check_announced_once(guest)
            unplug_base(guest)
            assert guest.run("ls -d /dev/baseimage* /dev/disk/by-id/*BASEIMAGE* 2>/dev/null || :") == ""
            plug_base(guest)
            assert_inert(guest)


def check_status(guest, found):
    """Checks that baseimage-status finds leaks, and reports each link that leaks() has found."""
    code, findings = status(guest)
    assert code == 1, findings
    links = {line["evidence"] for line in findings if line["kind"] == "link"}
    for name in [line.split()[0] for line in found.get("links", [])]:
        # If a byte is not printable ASCII, baseimage-status prints the byte as \xNN.
        escaped = re.sub(rb"[^ -~]", lambda byte: b"\\x%02x" % byte[0][0], name.encode()).decode()
        assert escaped in links, (name, findings)


def test_base_image__harm_without_package(control, boot, record_property):
    layout, attached = control
    try:
        with boot(attached, flavour="crypt" if layout == "luks" else "plain", layout=layout, package=False) as guest:
            if attached == "plugged":
                plug_base(guest)
            found = leaks(guest)
            check_status(guest, found)
            found |= {f"scanner {name}": lines for name, lines in found_by_scanners(guest).items()}
    except BootFailed as failure:
        assert attached != "plugged", "a guest without a base image must boot"
        found = {"boot": [str(failure)]}
    assert harm(found), found
    for aspect, lines in found.items():
        for line in lines:
            record_property(aspect, line)
