# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing in the guest acts on the base image, and without the package it does."""

import re

import cases
from guest import BootFailed
from inert import assert_inert, late, leaks, status


def test_base_image__inert(case, make_disk, boot, plug_base, record_property):
    record_property("case", tuple(case))
    disk = make_disk(case.suite, case.flavour, case.layout)
    with boot(disk, case.attached, case.root, cases.append(case)) as guest:
        if case.attached == "plugged":
            plug_base(guest, disk)
        elif case.generator != "dracut":
            # What udev still does when the initramfs is left can have it panic.
            assert late(guest) == []
        assert_inert(guest, read=case in cases.FIRST)
        said = status(guest)
        assert said is None or said[0] == 0, said


def check_status_names(found, exit_status, said):
    """baseimage-status sees the leaks, too, and names each link and unit."""
    assert exit_status == 1, said
    for name in [line.split()[0] for line in found["links"] + found["units"]]:
        # Its way with foreign names: other bytes as \\xNN, what is so already as it is.
        escaped = re.sub(rb"[^A-Za-z0-9#+.:=@_/,\\-]", lambda byte: b"\\x%02x" % byte[0][0], name.encode()).decode()
        assert f":{escaped}" in said, (name, said)


def test_base_image__harm_without_package(control, make_disk, boot, plug_base, record_property):
    layout, attached = control
    disk = make_disk("bookworm", "crypt" if layout == "luks" else "plain", layout, package=False)
    try:
        with boot(disk, attached) as guest:
            if attached == "plugged":
                plug_base(guest, disk)
            found = leaks(guest)
            check_status_names(found, *status(guest))
    except BootFailed as failure:
        assert attached != "plugged", "a guest without base image must boot"
        found = {"boot": [str(failure)]}
    assert any(found.values())
    for aspect, lines in found.items():
        for line in lines:
            print(f"{aspect}: {line}")
            record_property(aspect, line)
