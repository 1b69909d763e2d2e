# SPDX-License-Identifier: GPL-2.0-or-later
"""The base image is inert in each guest of cases.py, and without the package it does harm."""

import re

import cases
import layouts
from guest import BootFailed
from inert import (assert_inert, base_disks, devices, found_by_scanners, harm, in_initramfs, leaks, plug_base, status,
                   times_bound, unplug_base)

# If the file system is on the whole disk, the rule has no partition to delete, and these scanners find it.
REMAINS = {"blkid", "lsblk"}
# btrfs-progs 5.10 of Debian 11 does not ask udev.
REMAINS_BULLSEYE = REMAINS | {"btrfs device scan", "btrfs filesystem show"}


def check_initramfs(guest, bare):
    """In the initramfs, the base image has no partitions; with content on the whole disk, it has no driver."""
    disks, names = base_disks(guest), in_initramfs(guest)
    if bare:
        # Another disk can have taken the name of the base image, so the number of disks counts.
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
        # The kernel gives the name of an unbound disk to another disk.
        assert times_bound(guest) == ({2} if bare else {1})
        assert_inert(guest, read=case.layout == "lvm")
        result = status(guest)
        assert result is None or result[0] == 0, result
        remains = set() if not bare else REMAINS_BULLSEYE if case.suite == "bullseye" else REMAINS
        assert {name: lines for name, lines in found_by_scanners(guest).items() if name not in remains} == {}
        # The scanners did not make the kernel read the partition table again.
        assert devices(guest, base_disks(guest)) == base_disks(guest)
        # A hot-plug is the same with each layout.
        if case.layout == "lvm":
            unplug_base(guest)
            assert guest.run("ls -d /dev/baseimage* /dev/disk/by-id/*BASEIMAGE* 2>/dev/null || :") == ""
            plug_base(guest)
            assert_inert(guest)


def check_status(guest, found):
    """baseimage-status finds the leaks as well, and names each link."""
    code, findings = status(guest)
    assert code == 1, findings
    links = {line["evidence"] for line in findings if line["kind"] == "link"}
    for name in [line.split()[0] for line in found.get("links", [])]:
        # baseimage-status prints bytes other than printable ASCII as \\xNN.
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
        assert attached != "plugged", "a guest without base image must boot"
        found = {"boot": [str(failure)]}
    assert harm(found), found
    for aspect, lines in found.items():
        for line in lines:
            print(f"{aspect}: {line}")
            record_property(aspect, line)
