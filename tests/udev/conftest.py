# SPDX-License-Identifier: GPL-2.0-or-later
import os
import subprocess

import pytest

from machine import Machine


def pytest_configure():
    if "BASEIMAGE_INSIDE" not in os.environ:
        pytest.exit("run it by tests/inside")


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """The directory that the machine is in."""
    directory = tmp_path_factory.mktemp("machine")
    Machine(directory).build()
    yield directory
    if os.path.ismount(directory):
        subprocess.run(["umount", "--lazy", directory], check=True)


@pytest.fixture(params=["pci-vdb", "pci-vdb1", "ccw-vdb"])
def machine(root, request):
    """A machine, for an event of its disk or partition."""
    new = Machine(root)
    new.bus, new.device = request.param.split("-")
    return new
