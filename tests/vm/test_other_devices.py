# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that the package changes no device except base images."""

import re

import pytest

from images import chroot, seed
from inert import RULE, SERIAL, udev_database

# These disks resemble a base image.  Each row has the serial and a bool.  If the disk is a copy of the guest's own
# disk, the bool is true.
OTHERS = [(None, False), (f"{SERIAL}2", False), (f"X{SERIAL}", False), (f"{SERIAL} X", True), (None, True)]


def comparable(guest):
    """Returns udev's records as {device: set of lines}, without the lines that differ between two boots."""
    guest.settle()
    found = {}
    for device in udev_database(guest):
        lines = {line for line in device if not re.match(r"E: (USEC_INITIALIZED|SEQNUM|LVM_\w+)=|[IWQVJB]: ", line)}
        # The order of links and tags can differ between two boots.
        lines = {" ".join(sorted(re.split("[ :=]", line))) if re.match("E: (DEVLINKS|(CURRENT_)?TAGS)=", line) else line
                 for line in lines}
        path = next((line for line in lines if line.startswith("P: ")), None)
        # The numbers of the keyboard and of the mouse depend on the order in which their drivers start.
        if path and "/input/" not in path:
            found[path] = lines
    return found


@pytest.mark.parametrize("suite", [pytest.param("bookworm", marks=pytest.mark.all_only), "trixie"])
def test_other_devices__unchanged(suite, make_disk, boot):
    results = []
    for package in (False, True):
        disk = make_disk(suite, layout="ext4", package=package)
        other = make_disk(suite, layout="btrfs", package=False)
        more = [((disk if twin else other).paths[0], serial, True) for serial, twin in OTHERS]
        # Two disks have the same UUIDs, so root= is the kernel name of the disk.
        with boot(append="root=/dev/vda1", disk=disk, more=more) as guest:
            # If two disks have the same link, the target of the link depends on timing.  So the test compares only the
            # names of the links.
            results.append((comparable(guest), set(guest.run("find /dev -type l").splitlines())))
    (without, links_without), (with_, links_with) = results
    assert sorted(with_.keys() ^ without.keys()) == []
    different = {path: with_[path] ^ without[path] for path in without if with_[path] != without[path]}
    assert different == {}
    assert links_with == links_without


def test_rule__verified(deb, status_deb):
    """Checks the rule with "udevadm verify" of Debian 13.  In Debian 12, udevadm has no command "verify"."""
    directory = seed("trixie", "plain", (status_deb, deb))
    chroot(directory, "udevadm", "verify", RULE)
