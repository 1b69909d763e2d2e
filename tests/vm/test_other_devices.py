# SPDX-License-Identifier: GPL-2.0-or-later
"""Every other device is what it is without the package."""

import re

import pytest

from images import chroot, seed
from inert import SERIAL, udev_database

# Others that could be taken for the base image: (serial, twin of the root disk).
OTHERS = [(None, False), (f"{SERIAL}2", False), (f"X{SERIAL}", False), (f"{SERIAL} X", True), (None, True)]


def comparable(guest):
    """The udev database, but for what differs between any two boots.

    A set for each device: udev keeps properties and links in no order.
    """
    guest.settle()
    found = {}
    for device in udev_database(guest):
        lines = set()
        for line in device:
            if re.match(r"E: (USEC_INITIALIZED|SEQNUM|LVM_\w+)=|[IWQVJB]: ", line):
                continue
            # Links and tags are sets.
            if match := re.match(r"E: (?:DEVLINKS|(?:CURRENT_)?TAGS)=", line):
                line = match[0] + " ".join(sorted(re.split("[ :]", line[match.end():])))
            lines.add(line)
        path = next((line for line in lines if line.startswith("P: ")), None)
        # Keyboard and mouse get their numbers as their drivers happen to start.
        if path and "/input/" not in path:
            found[path] = lines
    return found


def dev_links(guest):
    """The links below /dev; which twin a link of both leads to is a race."""
    return set(guest.run("find /dev -type l").splitlines())


@pytest.mark.parametrize("suite", [pytest.param("bookworm", marks=pytest.mark.all_only), "trixie"])
def test_other_devices__unchanged(suite, make_disk, boot):
    databases = []
    for package in (False, True):
        disk = make_disk(suite, layout="ext4", package=package)
        blank = make_disk(suite, layout="btrfs", package=False)
        more = [(disk.paths[0] if twin else blank.paths[0], serial, True) for serial, twin in OTHERS]
        # By the kernel's name: the UUIDs of root lead to any of the twins.
        with boot(disk, append="root=/dev/vda1", more=more) as guest:
            databases.append((comparable(guest), dev_links(guest)))
    (without, links_without), (with_, links_with) = databases
    assert sorted(with_.keys() ^ without.keys()) == []
    different = {path: with_[path] ^ without[path] for path in without if with_[path] != without[path]}
    assert different == {}
    assert links_with == links_without


def test_rule__verified(deb, status_deb):
    """udevadm verify came with systemd 254: Debian 13 has it."""
    directory = seed("trixie", "plain", (status_deb, deb))
    chroot(directory, "udevadm", "verify", "/usr/lib/udev/rules.d/59-baseimage.rules")
