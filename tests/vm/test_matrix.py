# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing in the guest acts on the base image, and without the package it does."""

import re

import cases
import layouts
from guest import BootFailed
from inert import (assert_inert, base_disks, devices, harm, in_initramfs, leaks, found_by_scanners, status, times_bound,
                   unplug_base)

# If the file system is on the disk itself, there is no partition to delete, and
# these scanners find it.
REMAINS = {"blkid", "lsblk"}
# btrfs-progs 5.10 of Debian 11 does not ask udev.
REMAINS_BULLSEYE = REMAINS | {"btrfs device scan", "btrfs filesystem show"}


def replugged(guest, disk, plug_base):
    unplug_base(guest)
    assert guest.run("ls -d /dev/baseimage* /dev/disk/by-id/*BASEIMAGE* 2>/dev/null || :") == ""
    plug_base(guest, disk)
    assert_inert(guest)


def check_initramfs(guest, bare):
    """In the initramfs the base image had no partitions; one with content on the disk itself had no driver."""
    disks, then = base_disks(guest), in_initramfs(guest)
    if bare:
        # By their number: another disk can have taken the name.
        assert len(then) == len(guest.block_devices().split()) - len(disks)
    else:
        assert set(disks) <= set(then)
        assert not [name for name in then if name.rstrip("0123456789") in disks and name not in disks]


def test_base_image__inert(case, make_disk, boot, plug_base, record_property):
    record_property("case", tuple(case))
    disk = make_disk(case.suite, case.flavour, case.layout)
    bare = case.layout in layouts.BARE
    with boot(disk, case.attached, case.root, cases.append(case)) as guest:
        check_initramfs(guest, bare)
        # Another disk would take the name of one that is unbound.
        assert times_bound(guest) == ({2} if bare else {1})
        assert_inert(guest, read=case.layout == "lvm")
        said = status(guest)
        assert said is None or said[0] == 0, said
        remains = set() if not bare else REMAINS_BULLSEYE if case.suite == "bullseye" else REMAINS
        assert {name: said for name, said in found_by_scanners(guest).items() if name not in remains} == {}
        # Scanners have not had the partition table read again.
        assert devices(guest, base_disks(guest)) == base_disks(guest)
        # udev is the same with each layout.
        if case.layout == "lvm":
            replugged(guest, disk, plug_base)


def check_status_names(found, exit_status, said):
    """baseimage-status finds the leaks as well, and names each link."""
    assert exit_status == 1, said
    named = {line["evidence"] for line in said if line["kind"] == "link"}
    for name in [line.split()[0] for line in found["links"]]:
        # It prints bytes other than printable ASCII as \\xNN.
        escaped = re.sub(rb"[^ -~]", lambda byte: b"\\x%02x" % byte[0][0], name.encode()).decode()
        assert escaped in named, (name, said)


def test_base_image__harm_without_package(control, make_disk, boot, plug_base, record_property):
    layout, attached = control
    disk = make_disk("bookworm", "crypt" if layout == "luks" else "plain", layout, package=False)
    try:
        with boot(disk, attached) as guest:
            if attached == "plugged":
                plug_base(guest, disk)
            found = leaks(guest)
            check_status_names(found, *status(guest))
            found |= {f"scanner {name}": lines for name, lines in found_by_scanners(guest).items()}
    except BootFailed as failure:
        assert attached != "plugged", "a guest without base image must boot"
        found = {"boot": [str(failure)]}
    assert harm(found), found
    for aspect, lines in found.items():
        for line in lines:
            print(f"{aspect}: {line}")
            record_property(aspect, line)
