# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that boot by themselves: which disk the loader reads is no matter of this package's; the rest is."""

import pytest

import loaders
from conftest import LOGS
from guest import BootFailed, Silent
from inert import SERIAL, assert_inert, harm, leaks, seen, status

# As the base image comes: "advised" is how README says to attach it at boot, with
# the base image first in the order of the command line, as where it did most harm.
ATTACHED = ["plugged", "after", "before", "advised"]
FIRST = {"addr": "0x10", "bootindex": 1}


def start(loader, attached, own, base, name):
    own, base = (own, None, False), (base, SERIAL, True)
    disks = {"plugged": [own], "after": [own, base], "before": [base, own],
             "advised": [(*base, {"addr": "0x11"}), (*own, FIRST)]}[attached]
    return loaders.SelfBooting(name, loaders.LOADERS[loader].firmware, disks, LOGS)


@pytest.fixture
def boot(request, deb, status_deb):
    def make(suite, loader, attached, package):
        debs = (status_deb, deb) if package else (status_deb,)
        own, base = loaders.disks(suite, loaders.LOADERS[loader], debs)
        return base, start(loader, attached, own, base, request.node.name)
    return make


@pytest.mark.parametrize("attached", ATTACHED)
@pytest.mark.parametrize("loader", loaders.LOADERS)
@pytest.mark.suites("trixie")
def test_loader__inert(suite, loader, attached, boot, record_property):
    base, guest = boot(suite, loader, attached, True)
    with guest:
        if attached == "plugged":
            guest.plug(base, SERIAL)
        read = loaders.loaded_from(guest)
        print("read from", read)
        record_property("loader", (suite, loader, attached, "with", *read))
        assert_inert(guest)
        assert seen(guest) == {}
        said = status(guest)
        assert said[0] == 0, said
        if attached in ("plugged", "advised"):
            assert read == ("own", "own")


@pytest.mark.parametrize("attached", ATTACHED)
@pytest.mark.parametrize("loader", loaders.LOADERS)
@pytest.mark.suites("trixie")
def test_loader__harm_without_package(suite, loader, attached, boot, record_property):
    base, guest = boot(suite, loader, attached, False)
    read = ("-", "-")
    try:
        with guest:
            if attached == "plugged":
                guest.plug(base, SERIAL)
            read = loaders.loaded_from(guest)
            found = leaks(guest) | {f"seen by {name}": lines for name, lines in seen(guest).items()}
    except (BootFailed, Silent) as failure:
        found = {"boot": [str(failure)]}
    record_property("loader", (suite, loader, attached, "without", *read))
    print("read from", read)
    for aspect, lines in found.items():
        for line in lines:
            print(f"{aspect}: {line}")
    assert harm(found), found
