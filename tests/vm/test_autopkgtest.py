# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs debian/tests with autopkgtest, in a QEMU guest that has the packages.

In an emulated guest, debian/tests/boot takes hours.  So test_archive.py runs debian/tests/boot in a chroot.
"""

import hashlib
import re
import shlex

import pytest

from chroots import copy_source
from guest import QUICK, accelerator, take_slot, to_raw
from images import LOGS, run, unpacked, write_script
from inert import SERIAL

# An emulated guest on a busy machine needs these long timeouts.
BOOT_SECONDS, TIMEOUT_FACTOR = 900, 5

# autopkgtest runs this script in place of QEMU.  The script changes the options, and runs QEMU.  The script:
# - removes -enable-kvm and -cpu, because accelerator() chooses these options;
# - removes -net, because with -net every guest needs the same port of the host, so a second guest cannot start;
# - adds a log of the console.
QEMU = """\
#!/bin/sh
last=
for word; do
	shift
	case "$last $word" in
	*" -enable-kvm" | *" -cpu" | "-cpu "* | *" -net" | "-net "*) ;;
	"-serial "*/ttyS0,*) set -- "$@" "$word,logfile={console}" ;;
	*) set -- "$@" "$word" ;;
	esac
	last=$word
done
exec setpriv --pdeathsig KILL qemu-system-x86_64 "$@" {more}
"""

pytestmark = pytest.mark.all_only


@pytest.fixture
def autopkgtest(request, tmp_path):
    """Returns a function.  The function runs tests, checks that the tests pass, and returns the output directory."""
    initrd, raw, qemu = (tmp_path / name for name in ("initrd", "disk.raw", "qemu-system-x86_64"))
    # If this file exists, autopkgtest does not build the source tree.
    (copy_source(tmp_path / "source") / "debian/files").touch()
    console = LOGS / f"{request.node.name.removeprefix('test_')}.console.log"

    def start(tests, disk, *options):
        LOGS.mkdir(parents=True, exist_ok=True)
        to_raw(disk.paths[0], raw)
        initrd.write_bytes(unpacked(disk.initrd))
        # The disk has no boot loader, so QEMU loads the kernel.  With KERNEL_OPTIONS, the kernel would use one serial
        # line, but autopkgtest needs two serial lines.
        write_script(qemu, QEMU.format(console=console, more=shlex.join([
            *accelerator(), "-nic", "none", "-kernel", str(disk.kernel), "-initrd", str(initrd),
            "-append", f"console=ttyS0 panic=5 {QUICK} root={disk.roots['partuuid']} ro"])))
        with take_slot():
            print(run("autopkgtest", "--no-built-binaries", *(f"--test-name={name}" for name in tests),
                      f"--timeout-factor={TIMEOUT_FACTOR}", f"--output-dir={tmp_path}/output", tmp_path / "source",
                      "--", "qemu", f"--qemu-command={qemu}", "--boot=none", f"--timeout-reboot={BOOT_SECONDS}",
                      *options, raw))
        summary = (tmp_path / "output/summary").read_text()
        assert all(re.search(f"^{name} +PASS$", summary, re.M) for name in tests), summary
        return tmp_path / "output"
    return start


@pytest.mark.parametrize("suite", ["trixie", "sid"])
def test_autopkgtest__base_image_attached(suite, make_disk, autopkgtest, tmp_path):
    raw = tmp_path / "disk.raw"
    output = autopkgtest(["unit", "rule", "guest"], make_disk(suite, "autopkgtest"),
                         f"--qemu-options=-drive if=none,id=base,file={raw},format=raw,readonly=on"
                         f" -device virtio-blk-pci,drive=base,serial={SERIAL}")
    with open(raw, "rb") as image:
        digest = hashlib.file_digest(image, "md5").hexdigest()
    assert digest in (output / "artifacts/baseimage.md5").read_text()


def test_autopkgtest__base_image_made(make_disk, autopkgtest):
    """Runs debian/tests/guest without a base image.  Then debian/tests/guest makes a base image."""
    autopkgtest(["guest"], make_disk("sid", "autopkgtest"))


def test_autopkgtest__fails_without_package(make_disk, autopkgtest, tmp_path):
    control = tmp_path / "source/debian/tests/control"
    control.write_text(control.read_text().replace("Depends: @, iproute2", "Depends: iproute2"))
    failure = "leak +rule +59-baseimage.rules did not run(.|\n)*guest +FAIL non-zero exit status 1"
    with pytest.raises(RuntimeError, match=failure):
        autopkgtest(["guest"], make_disk("trixie", "autopkgtest", package=False))
