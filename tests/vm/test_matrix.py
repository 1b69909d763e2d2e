# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that the base image is inert in each guest of cases.py, and does harm in guests without the package."""

import re

import cases
import layouts
from guest import BootFailed
from inert import (assert_inert, base_disks, devices, found_by_scanners, harm, in_initramfs, leaks, plug_base, status,
                   times_bound, unplug_base)

# If a file system is on the whole base image, these scanners find it, because the rule can delete only partitions.
REMAINS = {"blkid", "lsblk"}
# The btrfs program of Debian 11 does not ask udev.
REMAINS_BULLSEYE = REMAINS | {"btrfs device scan", "btrfs filesystem show"}


def check_initramfs(guest, bare):
    """Checks that the base image has no partitions in the initramfs.

    If the argument "bare" is true, the content is on the whole disk.  Then checks that the base image has no driver.
    """
    disks, names = base_disks(guest), in_initramfs(guest)
    if bare:
        # Another disk can have the name that the base image had, so this compares only the number of disks.
        assert len(names) == len(guest.block_devices().split()) - len(disks)
    else:
        assert set(disks) <= set(names)
        assert not [name for name in names if name.rstrip("0123456789") in disks and name not in disks]


def test_base_image__inert(case, boot, record_property):
    record_property("case", tuple(case))
    bare = case.layout in layouts.BARE
    with boot(case.attached, case.root, cases.kernel_options(case), suite=case.suite, flavour=case.flavour,
              layout=case.layout) as guest:
        check_initramfs(guest, bare)
        # Names do not show whether the base image was unbound, because the kernel can give its name to another disk.
        assert times_bound(guest) == ({2} if bare else {1})
        assert_inert(guest, read=case.layout == "lvm")
        result = status(guest)
        assert result is None or result[0] == 0, result
        remains = set() if not bare else REMAINS_BULLSEYE if case.suite == "bullseye" else REMAINS
        assert {name: lines for name, lines in found_by_scanners(guest).items() if name not in remains} == {}
        # After the scanners have run, the base image must have no partitions.
        assert devices(guest, base_disks(guest)) == base_disks(guest)
        # One layout is enough for the test of a hot-plug.
        if case.layout == "lvm":
            unplug_base(guest)
            assert guest.run("ls -d /dev/baseimage* /dev/disk/by-id/*BASEIMAGE* 2>/dev/null || :") == ""
            plug_base(guest)
            assert_inert(guest)


def check_status(guest, found):
    """Checks that baseimage-status finds leaks, and that it reports each link that leaks() found."""
    code, findings = status(guest)
    assert code == 1, findings
    links = {line["evidence"] for line in findings if line["kind"] == "link"}
    for name in [line.split()[0] for line in found.get("links", [])]:
        # baseimage-status prints a byte that is not printable ASCII as \xNN.
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
            print(f"{aspect}: {line}")
            record_property(aspect, line)
