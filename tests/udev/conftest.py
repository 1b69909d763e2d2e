# SPDX-License-Identifier: GPL-2.0-or-later
import os
from pathlib import Path

import pytest

from machine import MOUNTS, Machine, udev_version


def pytest_configure():
    if "BASEIMAGE_INSIDE" not in os.environ:
        pytest.exit("run these tests with tests/inside")
    if not MOUNTS and udev_version() > 257:
        # Meson reports a test with the exit status 77 as skipped.
        pytest.exit("this version of udevadm needs /proc, and this container cannot mount /proc", 77)


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """Returns the directory of the simulated machine.  If test_mutations.py has set MACHINE, returns $MACHINE."""
    if "MACHINE" in os.environ:
        return Path(os.environ["MACHINE"])
    directory = tmp_path_factory.mktemp("machine")
    Machine(directory).build()
    return directory


@pytest.fixture(params=["pci-vdb", "pci-vdb1"])
def machine(root, request):
    """Returns a machine.  By default, a test runs for an event of the disk and again for an event of the partition."""
    return Machine(root, *request.param.split("-"))
