# SPDX-License-Identifier: GPL-2.0-or-later
"""The package built for every architecture, and its helper run under qemu-user."""

import pytest

from chroots import NATIVE, SOURCE, build_packages, needs_mounts
from images import run, static_qemu

KIB = 1024
# What runs the programs of each: no binfmt_misc is needed.
EMULATORS = {
    "amd64": "",
    "arm64": "qemu-aarch64",
    "armhf": "qemu-arm",
    "loong64": "qemu-loongarch64",
    "riscv64": "qemu-riscv64",
    "s390x": "qemu-s390x",
}


@pytest.fixture(scope="module")
def unit_test(tmp_path_factory):
    """The test of the helper as a process, for this machine."""
    build = tmp_path_factory.mktemp("unit") / "build"
    run("meson", "setup", build, "-Dmusl=disabled", cwd=SOURCE)
    run("meson", "compile", "-C", build, "test-baseimage_id")
    return build / "tests/unit/test-baseimage_id"


def emulator(architecture):
    """The words that run a program of the architecture; none for this machine's own."""
    if architecture != "loong64":
        return EMULATORS[architecture]
    # That of Debian 12 does not know what gcc takes for granted there.
    return f"{static_qemu()}/{EMULATORS[architecture]}"


def check_file(helper, architecture):
    assert helper.stat().st_size <= (8 if architecture == NATIVE else 12) * KIB
    assert "There is no dynamic section" in run("readelf", "--dynamic", helper)


def check_cases(helper, architecture, unit_test, work):
    """The table of cases; a test that starts a program gets one of this machine."""
    program = work / "program"
    program.write_text(f"#!/bin/sh\nexec {emulator(architecture)} {helper} \"$@\"\n")
    program.chmod(0o755)
    assert "100%: " in run(unit_test, env={"HELPER": str(program)})


@needs_mounts
@pytest.mark.all_only
@pytest.mark.parametrize("suite, architecture", [("trixie", "arm64"), *(("sid", name) for name in EMULATORS)])
def test_cross(suite, architecture, unit_test, tmp_path):
    deb, = build_packages(suite, architecture, tmp_path).glob(f"baseimage-udev_*_{architecture}.deb")
    run("dpkg-deb", "-R", deb, tmp_path / "unpacked")
    helper = tmp_path / "unpacked/usr/lib/udev/baseimage_id"
    check_file(helper, architecture)
    assert run("dpkg-deb", "-f", deb, "Static-Built-Using").startswith("musl (= ")
    check_cases(helper, architecture, unit_test, tmp_path)
