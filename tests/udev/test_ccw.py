# SPDX-License-Identifier: GPL-2.0-or-later
"""The rule on a bus that this machine does not have: the channels of s390x.

umockdev plays the sysfs; / is an overlay, so that the machine stays as it is.
"""

import os
import shutil
import subprocess

import pytest

from test_rule import IN_INITRAMFS, PACKAGE

DISK = "/devices/css0/0.0.0002/0.0.0001/virtio1/block/vdb"
# What the kernel makes of a disk there: subchannel, channel device, virtio
# device; the serial is each test's own.
DEVICES = f"""\
P: {DISK}
N: vdb
E: SUBSYSTEM=block
E: DEVTYPE=disk
E: DEVNAME=/dev/vdb
E: MAJOR=254
E: MINOR=16
A: serial=@SERIAL@

P: /devices/css0/0.0.0002/0.0.0001/virtio1
E: SUBSYSTEM=virtio
E: DRIVER=virtio_blk

P: /devices/css0/0.0.0002/0.0.0001
E: SUBSYSTEM=ccw
E: DRIVER=virtio_ccw

P: /devices/css0/0.0.0002
E: SUBSYSTEM=css
E: DRIVER=io_subchannel
"""
SCRIPT = r"""
set -e
case=$1 disk=$2
shift 2
mount -t tmpfs none "$case/overlay"
mkdir "$case/overlay/upper" "$case/overlay/work" "$case/overlay/root"
root=$case/overlay/root
mount -t overlay -o "lowerdir=/,upperdir=$case/overlay/upper,workdir=$case/overlay/work" none "$root"
mount --rbind /proc "$root/proc"
mount -t tmpfs none "$root/run"
mount -t tmpfs none "$root/dev"
cp -a /dev/null /dev/urandom "$root/dev"
mkdir -p "$root/run/udev/rules.d"
cp "$case/rule" "$root/run/udev/rules.d/59-baseimage.rules"
cp "$case/devices" "$root/run/devices"
for file; do
	mkdir -p "$root${file%/*}"
	: >"$root$file"
done
SYSTEMD_PROC_CMDLINE=ro chroot "$root" umockdev-run --device /run/devices -- udevadm test "/sys$disk" 2>&1
"""

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a mount namespace"),
    pytest.mark.skipif(not shutil.which("umockdev-run"), reason="needs umockdev"),
]


@pytest.fixture
def udev(tmp_path):
    """Runs udevadm test on the disk, with a serial, where files are there."""
    (tmp_path / "overlay").mkdir()
    shutil.copy(PACKAGE["rules.d/59-baseimage.rules"], tmp_path / "rule")

    def run(serial, files=()):
        (tmp_path / "devices").write_text(DEVICES.replace("@SERIAL@", serial))
        return subprocess.run(["unshare", "--mount", "sh", "-c", SCRIPT, "udev", tmp_path, DISK, *files],
                              check=True, capture_output=True, text=True).stdout
    return run


def test_ccw__base_image(udev):
    said = udev("BASEIMAGE")
    assert "SYSTEMD_IGNORE=1\n" in said
    assert "/dev/baseimage" in said


@pytest.mark.parametrize("file", IN_INITRAMFS)
def test_ccw__driver_lets_go(udev, file):
    assert "echo virtio1 >/sys/bus/virtio/drivers/virtio_blk/unbind" in udev("BASEIMAGE", [file])


def test_ccw__other(udev):
    said = udev("ROOT", IN_INITRAMFS)
    assert "SYSTEMD_IGNORE" not in said
    assert "/dev/baseimage" not in said
    assert "unbind" not in said
