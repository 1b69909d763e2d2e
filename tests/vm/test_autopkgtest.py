# SPDX-License-Identifier: GPL-2.0-or-later
"""autopkgtest, who brought base images to test VMs, with its own QEMU guest.

It runs debian/tests/guest in a guest that has the packages installed.
"""

import hashlib
import shlex
import shutil
from pathlib import Path

import pytest

from conftest import LOGS
from guest import QUICK, accelerator, place
from images import run, unpacked
from inert import SERIAL

SOURCE = Path(__file__).parents[2]
# For an emulated guest on a busy machine.
BOOT_SECONDS, TIMEOUT_FACTOR = 900, 5

# In place of QEMU.  autopkgtest wants KVM wherever there is a /dev/kvm; the
# disks here have no boot loader; it keeps no log of the console; and two that
# start at once want the same port of the host for a network that no test needs.
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


def pytest_generate_tests(metafunc):
    """On unstable as the archive would, beside the release that can do it all."""
    metafunc.parametrize("suite", ["trixie", "sid"] if metafunc.config.getoption("all") else ["trixie"])


@pytest.fixture
def autopkgtest(request, tmp_path):
    """Runs debian/tests/guest; returns the directory of its artifacts and logs."""
    initrd, raw = tmp_path / "initrd", tmp_path / "disk.raw"
    # As a tree that is built: to autopkgtest, one that needs no tools in the guest.
    shutil.copytree(SOURCE / "debian", tmp_path / "source/debian")
    (tmp_path / "source/debian/files").touch()
    qemu = tmp_path / "qemu-system-x86_64"
    console = LOGS / f"{request.node.name.removeprefix('test_')}.console.log"

    def start(disk, root, *options):
        LOGS.mkdir(parents=True, exist_ok=True)
        path, = disk.paths
        run("qemu-img", "convert", "-O", "raw", path, raw)
        initrd.write_bytes(unpacked(disk.initrd))
        # Not Guest.cmdline(): this guest has two serial lines, and of one alone it may keep the other.
        qemu.write_text(QEMU.format(console=console, more=shlex.join([
            *accelerator(), "-nic", "none", "-kernel", str(disk.kernel), "-initrd", str(initrd),
            "-append", f"console=ttyS0 panic=5 {QUICK} root={disk.roots[root]} ro"])))
        qemu.chmod(0o755)
        with place():
            print(run("autopkgtest", "--no-built-binaries", "--test-name=guest",
                      f"--timeout-factor={TIMEOUT_FACTOR}", f"--output-dir={tmp_path}/output", tmp_path / "source",
                      "--", "qemu", f"--qemu-command={qemu}", "--boot=none", f"--timeout-reboot={BOOT_SECONDS}",
                      *options, raw))
        return tmp_path / "output"
    return start


def test_autopkgtest__base_image_attached(suite, make_disk, autopkgtest, tmp_path):
    raw = tmp_path / "disk.raw"
    output = autopkgtest(make_disk(suite, "autopkgtest"), "partuuid",
                         f"--qemu-options=-drive if=none,id=base,file={raw},format=raw,readonly=on"
                         f" -device virtio-blk-pci,drive=base,serial={SERIAL}")
    assert "guest                PASS" in (output / "summary").read_text()
    with open(raw, "rb") as image:
        digest = hashlib.file_digest(image, "md5").hexdigest()
    assert digest in (output / "artifacts/baseimage.md5").read_text()


@pytest.mark.all_only
def test_autopkgtest__base_image_made(suite, make_disk, autopkgtest):
    """None is attached: the test makes one itself."""
    output = autopkgtest(make_disk(suite, "autopkgtest"), "partuuid")
    assert "guest                PASS" in (output / "summary").read_text()


@pytest.mark.all_only
def test_autopkgtest__fails_without_package(suite, make_disk, autopkgtest, tmp_path):
    control = tmp_path / "source/debian/tests/control"
    control.write_text(control.read_text().replace("Depends: @, iproute2", "Depends: iproute2"))
    with pytest.raises(RuntimeError, match="leak +unit(.|\n)*guest +FAIL non-zero exit status 1"):
        autopkgtest(make_disk(suite, "autopkgtest", package=False), "partuuid")
