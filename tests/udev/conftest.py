# SPDX-License-Identifier: GPL-2.0-or-later
import os
import subprocess
from pathlib import Path

import pytest

from machine import MOUNTS, Machine, udev_version

SKIPPED = 77    # to Meson


def pytest_configure():
    if "BASEIMAGE_INSIDE" not in os.environ:
        pytest.exit("run it by tests/inside")
    if not MOUNTS and udev_version() > 257:
        pytest.exit("udevadm of this version needs /proc, which cannot be mounted here", SKIPPED)


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """The directory that the machine is in; MACHINE names one that is made already."""
    if "MACHINE" in os.environ:
        yield Path(os.environ["MACHINE"])
        return
    directory = tmp_path_factory.mktemp("machine")
    Machine(directory).build()
    yield directory
    if os.path.ismount(directory):
        subprocess.run(["umount", "--lazy", directory], check=True)


@pytest.fixture(params=["pci-vdb", "pci-vdb1"])
def machine(root, request):
    """A machine, for an event of its disk or partition."""
    new = Machine(root)
    new.bus, new.device = request.param.split("-")
    return new
