# SPDX-License-Identifier: GPL-2.0-or-later
"""The package built for every architecture, and its helper run under qemu-user."""

import re

import pytest

from architectures import NATIVE
from chroots import SOURCE, Chroot, build_tree, copy_source, needs_root
from images import Unavailable, run

KIB = 1024
# What runs the programs of each: no binfmt_misc is needed.
EMULATORS = {
    "amd64": "",
    "arm64": "qemu-aarch64",
    "armhf": "qemu-arm",
    "i386": "qemu-i386",
    "loong64": "qemu-loongarch64",
    "ppc64el": "qemu-ppc64le",
    "riscv64": "qemu-riscv64",
    "s390x": "qemu-s390x",
}
CHOSEN = [("trixie", "arm64")]
# Sid alone has them all.
ALL = [(suite, "arm64") for suite in ("bookworm", "trixie")] + [("sid", name) for name in EMULATORS]


def pytest_generate_tests(metafunc):
    chosen = ALL if metafunc.config.getoption("all") else CHOSEN
    metafunc.parametrize(("suite", "architecture"), chosen, ids=map("-".join, chosen))


@pytest.fixture(scope="module")
def unit_test(tmp_path_factory):
    """The test of the helper as a process, for this machine."""
    build = tmp_path_factory.mktemp("unit") / "build"
    run("meson", "setup", build, "-Dmusl=disabled", cwd=SOURCE)
    run("meson", "compile", "-C", build, "test-baseimage_id")
    return build / "tests/unit/test-baseimage_id"


@pytest.fixture
def tree(suite, architecture):
    try:
        # That of Debian 12 does not know what gcc takes for granted.
        return build_tree(suite, architecture, ["qemu-user"] if architecture == "loong64" else [])
    except Unavailable as reason:
        pytest.skip(str(reason))


def build_for(architecture, tree, work):
    """Builds the package in a chroot; returns the directory of the unpacked deb."""
    chroot = Chroot(tree, work)
    copy_source(chroot.build / "source")
    chroot.inside("cd /build/source\n"
                  f"dpkg-buildpackage -us -uc -b --host-arch {architecture} --build-profiles=cross,nocheck")
    deb, = chroot.build.glob(f"baseimage-udev_*_{architecture}.deb")
    run("dpkg-deb", "-R", deb, work / "unpacked")
    return work / "unpacked"


def check_file(helper, architecture):
    assert helper.stat().st_size <= (8 if architecture == NATIVE else 12) * KIB
    assert "There is no dynamic section" in run("readelf", "--dynamic", helper)


def check_cases(helper, architecture, tree, unit_test, work):
    """The table of cases; a test that starts a program gets one of this machine."""
    emulator = EMULATORS[architecture]
    own = tree / "usr/bin" / emulator
    program = work / "program"
    program.write_text(f"#!/bin/sh\nexec {own if own.is_file() else emulator} {helper} \"$@\"\n")
    program.chmod(0o755)
    assert "100%: " in run(unit_test, env={"HELPER": str(program)})


@needs_root
def test_cross(architecture, tree, unit_test, tmp_path, seen):
    with seen(architecture, "built"):
        unpacked = build_for(architecture, tree, tmp_path)
        helper = unpacked / "usr/lib/udev/baseimage_id"
        check_file(helper, architecture)
        assert re.search(r"^Static-Built-Using: musl ", (unpacked / "DEBIAN/control").read_text(), re.M)
    with seen(architecture, "cases"):
        check_cases(helper, architecture, tree, unit_test, tmp_path)
