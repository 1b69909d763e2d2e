# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that is no PC: arm64 on QEMU's "virt", with the package built for it."""

import pytest

import layouts
from chroots import build_packages, needs_mounts
from conftest import LOGS
from guest import BootFailed, Guest
from images import STABLE
from inert import SERIAL, assert_inert, harm, leaks, seen as seen_by, status

ARCHITECTURE = "arm64"
# As the base image comes; without the package each of the controls comes to harm.
ATTACHED = ["before"]
PORTS = 4


pytestmark = [pytest.mark.all_only, pytest.mark.parametrize("attached", ATTACHED)]


class VirtGuest(Guest):
    """Its disks are behind ports: a disk can be plugged there alone."""

    PROGRAM, CONSOLE = "qemu-system-aarch64", "ttyAMA0"

    def __init__(self, *words, **options):
        self.ports = iter(range(PORTS))
        super().__init__(*words, **options)

    @staticmethod
    def machine():
        return ["-accel", "tcg", "-cpu", "cortex-a57", "-machine", "virt",
                *(word for port in range(PORTS) for word in
                  ("-device", f"pcie-root-port,id=port{port},chassis={port + 1}"))]

    def device(self, node, serial):
        return super().device(node, serial) | {"bus": f"port{next(self.ports)}"}


@pytest.fixture
def debs(tmp_path):
    built = build_packages(STABLE, ARCHITECTURE, tmp_path)
    return [next(built.glob(f"{name}_*.deb")) for name in ("baseimage-status", "baseimage-udev")]


def boot(debs, attached, name):
    disk = layouts.disk(STABLE, ARCHITECTURE, "btrfs", tuple(debs))
    path, = disk.paths
    own, base = (path, None, False), (path, SERIAL, True)
    disks = {"plugged": [own], "before": [base, own], "after": [own, base]}[attached]
    return path, VirtGuest(f"{ARCHITECTURE}-{attached}-{name}", disk.kernel, disk.initrd,
                           f"root={disk.roots['partuuid']} ro", disks, LOGS)


@needs_mounts
def test_arch__inert(attached, debs, seen):
    with seen(ARCHITECTURE, "guest"):
        path, guest = boot(debs, attached, "inert")
        with guest:
            assert guest.run("dpkg --print-architecture") == f"{ARCHITECTURE}\n"
            if attached == "plugged":
                guest.plug(path, SERIAL)
            assert_inert(guest)
            said = status(guest)
            assert said[0] == 0, said


@needs_mounts
def test_arch__harm_without_package(attached, debs):
    path, guest = boot(debs[:1], attached, "control")
    try:
        with guest:
            if attached == "plugged":
                guest.plug(path, SERIAL)
            found = leaks(guest) | {f"seen by {name}": lines for name, lines in seen_by(guest).items()}
    except BootFailed as failure:
        found = {"boot": [str(failure)]}
    assert harm(found), found
