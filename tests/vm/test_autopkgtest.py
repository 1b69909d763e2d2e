# SPDX-License-Identifier: GPL-2.0-or-later
"""debian/tests, run by autopkgtest in its own QEMU guest, which has the packages installed.

debian/tests/boot is not run here: it boots a guest in the guest, which takes hours without KVM.
"""

import hashlib
import re
import shlex

import pytest

from chroots import copy_source
from conftest import LOGS
from guest import QUICK, accelerator, take_slot
from images import run, unpacked
from inert import SERIAL

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


pytestmark = pytest.mark.all_only


@pytest.fixture
def autopkgtest(request, tmp_path):
    """Runs tests of debian/tests; returns the directory of their artifacts and logs."""
    initrd, raw = tmp_path / "initrd", tmp_path / "disk.raw"
    # autopkgtest takes a tree with this file for one that is built.
    copy_source(tmp_path / "source")
    (tmp_path / "source/debian/files").touch()
    qemu = tmp_path / "qemu-system-x86_64"
    console = LOGS / f"{request.node.name.removeprefix('test_')}.console.log"

    def start(tests, disk, *options):
        LOGS.mkdir(parents=True, exist_ok=True)
        path, = disk.paths
        run("qemu-img", "convert", "-O", "raw", path, raw)
        initrd.write_bytes(unpacked(disk.initrd))
        # Not Guest.cmdline(): this guest has two serial lines, and of one alone it may keep the other.
        qemu.write_text(QEMU.format(console=console, more=shlex.join([
            *accelerator(), "-nic", "none", "-kernel", str(disk.kernel), "-initrd", str(initrd),
            "-append", f"console=ttyS0 panic=5 {QUICK} root={disk.roots['partuuid']} ro"])))
        qemu.chmod(0o755)
        with take_slot():
            print(run("autopkgtest", "--no-built-binaries", *(f"--test-name={name}" for name in tests),
                      f"--timeout-factor={TIMEOUT_FACTOR}", f"--output-dir={tmp_path}/output", tmp_path / "source",
                      "--", "qemu", f"--qemu-command={qemu}", "--boot=none", f"--timeout-reboot={BOOT_SECONDS}",
                      *options, raw))
        return tmp_path / "output"
    return start


def passed(output, *tests):
    summary = (output / "summary").read_text()
    return all(re.search(f"^{name} +PASS$", summary, re.M) for name in tests)


@pytest.mark.parametrize("suite", ["trixie", "sid"])
def test_autopkgtest__base_image_attached(suite, make_disk, autopkgtest, tmp_path):
    raw, tests = tmp_path / "disk.raw", ("unit", "rule", "guest")
    output = autopkgtest(tests, make_disk(suite, "autopkgtest"),
                         f"--qemu-options=-drive if=none,id=base,file={raw},format=raw,readonly=on"
                         f" -device virtio-blk-pci,drive=base,serial={SERIAL}")
    assert passed(output, *tests)
    with open(raw, "rb") as image:
        digest = hashlib.file_digest(image, "md5").hexdigest()
    assert digest in (output / "artifacts/baseimage.md5").read_text()


def test_autopkgtest__base_image_made(make_disk, autopkgtest):
    """None is attached: the test makes one itself."""
    assert passed(autopkgtest(["guest"], make_disk("sid", "autopkgtest")), "guest")


def test_autopkgtest__fails_without_package(make_disk, autopkgtest, tmp_path):
    control = tmp_path / "source/debian/tests/control"
    control.write_text(control.read_text().replace("Depends: @, iproute2", "Depends: iproute2"))
    with pytest.raises(RuntimeError, match="leak +unit(.|\n)*guest +FAIL non-zero exit status 1"):
        autopkgtest(["guest"], make_disk("trixie", "autopkgtest", package=False))
