# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that the base image is inert in guests that boot through firmware and a boot loader."""

import re

import pytest

import loaders
from guest import BootFailed, Guest, Silent
from images import STABLE
from inert import SERIAL, assert_inert, found_by_scanners, harm, leaks, root_disks, status

# "before": the base image has the lower PCI slot.  In this position, the base image does the most harm.
# "advised": as README advises, the guest's own disk has the lower PCI slot and bootindex=1.
# With the loader "ovmf-uki", the kernel command line has no root=.  Then systemd must be the init of the initramfs.  In
# Debian 12, systemd is not the init of the initramfs.
CASES = [*((STABLE, loader, "before") for loader in loaders.LOADERS),
         (STABLE, "ovmf-grub", "advised"), ("sid", "ovmf-uki", "before")]

pytestmark = pytest.mark.all_only


@pytest.fixture
def boot_loader(request, deb, status_deb):
    """Returns a function that makes a guest with a boot loader and a base image."""
    def start(suite, loader, attached, package):
        own_path, base_path = loaders.disks(suite, loader, (status_deb, deb) if package else (status_deb,))
        own, base = (own_path, None, False), (base_path, SERIAL, True)
        disks = {"before": [base, own],
                 "advised": [(*base, {"addr": "0x11"}), (*own, {"addr": "0x10", "bootindex": 1})]}[attached]
        return Guest(request.node.name, None, "", disks, loaders.FIRMWARE[loader.split("-")[0]])
    return start


def check_discoverable(guest):
    """Checks that root, ESP and swap space are on the guest's own disk, although there is no root= and no fstab."""
    assert not re.search(r"\broot=", guest.run("cat /proc/cmdline"))
    guest.run("ls /efi")        # makes systemd mount the ESP (EFI system partition)
    esp = guest.run("findmnt -nvo SOURCE -t vfat /efi").strip()
    swap = guest.run("swapon --show=NAME --noheadings").strip()
    own = root_disks(guest)
    for name in esp, swap:
        assert name.removeprefix("/dev/").rstrip("0123456789") in own, (esp, swap, own)


@pytest.mark.parametrize("suite, loader, attached", CASES)
def test_loader__inert(suite, loader, attached, boot_loader):
    with boot_loader(suite, loader, attached, True) as guest:
        loaded_from = loaders.loaded_from(guest)
        assert_inert(guest)
        if loader == "ovmf-uki":
            check_discoverable(guest)
        assert found_by_scanners(guest) == {}
        assert status(guest)[0] == 0
        assert loaded_from == (("base", "base") if attached == "before" else ("own", "own"))


@pytest.mark.parametrize("suite, loader, attached", [
    (STABLE, "seabios-grub", "before"), (STABLE, "ovmf-uki", "before")])
def test_loader__harm_without_package(suite, loader, attached, boot_loader):
    try:
        with boot_loader(suite, loader, attached, False) as guest:
            found = leaks(guest)
            # In an emulated guest, the scanners are slow.  If there is other harm, the test does not run the scanners.
            if not harm(found):
                found |= {f"scanner {name}": lines for name, lines in found_by_scanners(guest).items()}
    except (BootFailed, Silent) as failure:
        found = {"boot": [str(failure)]}
    assert harm(found), found
