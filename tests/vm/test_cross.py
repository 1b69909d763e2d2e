# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the package for each architecture, and runs the unit test of the helper with qemu-user."""

import pytest

from chroots import NATIVE, SOURCE, TRIPLETS, Chroot, build_tree, copy_source, needs_mounts
from images import run, static_qemu, write_script

KIB = 1024


@needs_mounts
@pytest.mark.all_only
@pytest.mark.parametrize("suite, architecture", [("trixie", "arm64"), *(("sid", name) for name in [NATIVE, *TRIPLETS])])
def test_cross(suite, architecture, tmp_path):
    chroot = Chroot(build_tree(suite, architecture), tmp_path)
    copy_source(chroot.build / "source")
    chroot.inside("cd /build/source\n"
                  f"dpkg-buildpackage -us -uc -b --host-arch {architecture} --build-profiles=cross,nocheck")
    deb, = chroot.build.glob(f"baseimage-udev_*_{architecture}.deb")
    run("dpkg-deb", "-R", deb, tmp_path / "unpacked")
    helper = tmp_path / "unpacked/usr/lib/udev/baseimage_id"
    assert helper.stat().st_size <= (8 if architecture == NATIVE else 12) * KIB
    assert "There is no dynamic section" in run("readelf", "--dynamic", helper)
    assert run("dpkg-deb", "-f", deb, "Static-Built-Using").startswith("musl (= ")
    # The script below runs the emulator by name, so the kernel does not need binfmt_misc.
    emulator = "" if architecture == NATIVE else f"qemu-{TRIPLETS[architecture].split('-')[0]}"
    if architecture == "loong64":
        # gcc uses instructions of loong64 that the qemu-user of Debian 12 does not emulate.
        emulator = static_qemu() / emulator
    write_script(tmp_path / "program", f"#!/bin/sh\nexec {emulator} {helper} \"$@\"\n")
    version = run("dpkg-deb", "-f", deb, "Version").strip().split("-")[0]
    run("/usr/bin/python3", SOURCE / "tests/unit/test_baseimage_id.py",
        env={"HELPER": str(tmp_path / "program"), "VERSION": version})
