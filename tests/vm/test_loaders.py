# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that boot by themselves: which disk the loader reads is no matter of this package's; the rest is."""

import re
from itertools import product

import pytest

import loaders
from conftest import LOGS
from guest import BootFailed, SelfBooting, Silent
from images import STABLE
from inert import SERIAL, assert_inert, harm, leaks, root_disks, found_by_scanners, status

# A base image that QEMU is given "before" the own disk has the lower slot, and does most harm.
# "advised" gives the own disk the lower slot and bootindex=1.
FEW = [(STABLE, "seabios-grub", "before")]
EVERY = [*product([STABLE], loaders.LOADERS, ["before"]), (STABLE, "ovmf-grub", "advised"), ("sid", "ovmf-uki", "before")]
CONTROLS = [(STABLE, "seabios-grub", "before"), (STABLE, "ovmf-uki", "before")]


def pytest_generate_tests(metafunc):
    """In Debian 12, systemd is not yet the initramfs's init: no guest there can do without root=."""
    few, every = {"test_loader__inert": (FEW, EVERY),
                  "test_loader__harm_without_package": (CONTROLS, CONTROLS)}[metafunc.function.__name__]
    chosen = every if metafunc.config.getoption("all") else few
    metafunc.parametrize(("suite", "loader", "attached"), chosen, ids=["-".join(case) for case in chosen])


@pytest.fixture
def boot(request, deb, status_deb):
    """The file of the base image, and a guest to boot with it attached."""
    def start(suite, name, attached, package):
        loader = loaders.LOADERS[name]
        own_path, base_path = loaders.disks(suite, loader, (status_deb, deb) if package else (status_deb,))
        own, base = (own_path, None, False), (base_path, SERIAL, True)
        disks = {"before": [base, own], "advised": [(*base, {"addr": "0x11"}), (*own, {"addr": "0x10", "bootindex": 1})]}[attached]
        return base_path, SelfBooting(request.node.name, loaders.FIRMWARE[loader.firmware], disks, LOGS)
    return start


def check_discoverable(guest):
    """With neither root= nor an fstab: root, ESP and swap space are of one disk, the guest's own."""
    assert not re.search(r"\broot=", guest.run("cat /proc/cmdline"))
    guest.run("ls /efi")        # mounts it
    esp = guest.run("findmnt -nvo SOURCE -t vfat /efi").strip()
    swap = guest.run("swapon --show=NAME --noheadings").strip()
    own = root_disks(guest)
    for name in esp, swap:
        assert name.removeprefix("/dev/").rstrip("0123456789") in own, (esp, swap, own)


def test_loader__inert(suite, loader, attached, boot):
    base, guest = boot(suite, loader, attached, True)
    with guest:
        read = loaders.loaded_from(guest)
        assert_inert(guest)
        if loader == "ovmf-uki":
            check_discoverable(guest)
        assert found_by_scanners(guest) == {}
        said = status(guest)
        assert said[0] == 0, said
        assert read == (("base", "base") if attached == "before" else ("own", "own"))


@pytest.mark.all_only
def test_loader__harm_without_package(suite, loader, attached, boot):
    base, guest = boot(suite, loader, attached, False)
    read = ("-", "-")
    try:
        with guest:
            read = loaders.loaded_from(guest)
            found = leaks(guest)
            # These take an emulated guest long.
            if not harm(found):
                found |= {f"scanner {name}": lines for name, lines in found_by_scanners(guest).items()}
    except (BootFailed, Silent) as failure:
        found = {"boot": [str(failure)]}
    came_to = harm(found)
    print("read from", read, "harm to", sorted({aspect.split()[0] for aspect in came_to}))
    for aspect, lines in came_to.items():
        for line in lines:
            print(f"{aspect}: {line}")
    assert came_to, found
