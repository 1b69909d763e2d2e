# SPDX-License-Identifier: GPL-2.0-or-later
"""The rule and the helper as they are built, or installed, through this machine's udevadm.

Each run has a mount namespace of its own, over a real virtio disk whose serial
attribute is covered by a file: /run, /dev and /usr/lib/udev are its
own, so that the machine stays as it is.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

UDEV = Path("/usr/lib/udev")
# The package's files below UDEV: as the environment names them, else as installed.
PACKAGE = {
    "baseimage_id": os.environ.get("HELPER", UDEV / "baseimage_id"),
    "rules.d/59-baseimage.rules": os.environ.get("RULE", UDEV / "rules.d/59-baseimage.rules"),
}
CONTRACT = {"SYSTEMD_READY=0", "SYSTEMD_IGNORE=1"}

# Words: the directory of the case, the sysfs path of the disk, that of the device,
# the action, the kernel command line.
SCRIPT = r"""
set -e
case=$1 disk=$2 device=$3
mount --bind "$case/serial" "$disk/serial"
export SYSTEMD_PROC_CMDLINE="$5"
mount --bind "$case/udev" /usr/lib/udev
mount -t tmpfs none /run
mkdir -p /run/udev/rules.d
cp -a "$case/run/." /run/udev/rules.d/
mkdir /run/nodes
for node in null full urandom "${disk##*/}" "${device##*/}"; do
	cp -a "/dev/$node" /run/nodes/
done
mount --bind /run/nodes /dev
udevadm test --action="$4" "$device" >/run/out 2>/run/err || { cat /run/err; exit 1; }
for record in /run/udev/data/b*; do
	# I: is the time of the first event; an empty property is as good as none
	# to every match, and not even stored by later versions.
	[ ! -e "$record" ] || sed '/^I:/d; /^E:.*=$/d' "$record"
done
# From version 257 on nothing is recorded, and no program run; all is printed.
[ -e "$record" ] || sed -n '/USEC_INITIALIZED/d; s|^  \(/dev/[^ ]*\)$|link \1|p; s/^  \([A-Z].*=.\)/E:\1/p' /run/out
find /dev -type l -printf 'link %p %l\n' | sort
"""


def devices():
    """A disk, and a partition where there is one, as (disk, device)."""
    disks = [path.parent for path in sorted(Path("/sys/block").glob("vd*/serial"))]
    parts = [(disk, part.parent) for disk in disks for part in sorted(disk.glob("vd*/partition"))]
    return [(disk, disk) for disk in disks[:1]] + parts[:1]


pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a mount namespace"),
    pytest.mark.skipif(not devices(), reason="this machine has no virtio disk"),
]


class Udev:
    """One namespace's worth of files, and the run in it."""

    def __init__(self, directory, disk, device):
        self.directory, self.disk, self.device = directory, disk, device
        shutil.copytree(UDEV, directory / "udev",
                        ignore=shutil.ignore_patterns("hwdb*", *map(os.path.basename, PACKAGE)))
        for name, file in PACKAGE.items():
            shutil.copy(file, directory / "udev" / name)
        (directory / "run").mkdir()
        (directory / "serial").write_text("BASEIMAGE")
        self.cmdline = "root=/dev/vda1 ro"

    def serial(self, text):
        (self.directory / "serial").write_bytes(text.encode())

    def rule(self, name, text):
        (self.directory / "run" / name).write_text(text)

    @property
    def helper(self):
        return self.directory / "udev/baseimage_id"

    def replace_helper(self, script):
        self.helper.write_text(script)
        self.helper.chmod(0o755)

    def uninstall(self):
        for name in PACKAGE:
            (self.directory / "udev" / name).unlink(missing_ok=True)

    def record(self, action="add"):
        """The udev database record and the links, as lines.

        Sorted: udev keeps links in a hash with a seed of its own in each run.
        """
        lines = subprocess.run(
            ["unshare", "--mount", "sh", "-c", SCRIPT, "udev", self.directory, self.disk.resolve(),
             self.device.resolve(), action, self.cmdline],
            check=True, capture_output=True, text=True).stdout.splitlines()
        assert lines or action == "remove", "two empty records would be equal"
        return sorted(" ".join(sorted(line.split(" "))) if "DEVLINKS=" in line else line
                      for line in (line.replace("DEVLINKS=", "DEVLINKS= ") for line in lines))


@pytest.fixture(params=devices(), ids=lambda device: device[1].name)
def udev(tmp_path, request):
    return Udev(tmp_path, *request.param)


def without_package(udev, **options):
    udev.uninstall()
    return udev.record(**options)


@pytest.mark.parametrize("action", ["add", "change", "online"])
def test_base_image__contract(udev, action):
    record = udev.record(action)
    properties = {line[2:] for line in record if line.startswith("E:")}
    assert CONTRACT <= properties
    assert not [p for p in properties if p.startswith(("ID_FS_", "ID_PART_"))]
    links = {line.split()[1] for line in record if line.startswith("link ")}
    number = "".join(filter(str.isdigit, udev.device.name))
    part = f"-part{number}" if number else ""
    assert links == {f"/dev/baseimage{part}", f"/dev/disk/by-id/virtio-BASEIMAGE{part}",
                     *(link for link in links if link.startswith("/dev/block/"))}


def test_base_image__removed(udev):
    assert udev.record("remove") == without_package(udev, action="remove")


HELPERS = {
    "not executable": None,
    "fails": "#!/bin/sh\nexit 1\n",
    "crashes": "#!/bin/sh\nkill -SEGV $$\n",
    "half a line": "#!/bin/sh\nprintf 'ID_FS_UUID=\"\"\nSYSTEMD_REA'\n",
    "megabyte": "#!/bin/sh\nhead -c 1000000 /dev/urandom\n",
}


@pytest.mark.parametrize("fault", ["missing", *HELPERS])
def test_base_image__without_helper(udev, fault):
    expected = udev.record()
    if fault == "missing":
        udev.helper.unlink()
    elif HELPERS[fault]:
        udev.replace_helper(HELPERS[fault])
    else:
        udev.helper.chmod(0o644)
    # Of what a broken helper says, what is no assignment does not get through.
    assert set(expected) <= set(udev.record())


def test_base_image__opted_out(udev):
    udev.cmdline = "quiet baseimage_udev=off ro"
    assert udev.record() == without_package(udev)


@pytest.mark.parametrize("word", ["baseimage_udev=on", "baseimage_udev", "xbaseimage_udev=off"])
def test_base_image__not_opted_out(udev, word):
    expected = udev.record()
    udev.cmdline = f"quiet {word} ro"
    assert udev.record() == expected


OTHERS = ["", "ROOT", "BASEIMAGE2", "XBASEIMAGE", "baseimage", "BASEIMAGE X", "BASE\\x20IMAGE", "*", "$attr{size}",
          "%k", "a\"b'c", "Größe"]


@pytest.mark.parametrize("serial", OTHERS)
def test_other__unchanged(udev, serial):
    udev.serial(serial)
    assert udev.record() == without_package(udev)


@pytest.mark.parametrize("name, rule", [
    ("60-persistent-storage.rules", ""),
    ("50-skip.rules", 'KERNEL=="vd*", ENV{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}="1"\n'),
    ("50-serial.rules", 'KERNEL=="vd*", ENV{ID_SERIAL}="of-the-admin"\n'),
    ("50-cmdline.rules", 'KERNEL=="vd*", ENV{baseimage}="kept"\n'),
])
def test_other__unchanged_beside(udev, name, rule):
    udev.serial("ROOT")
    udev.rule(name, rule)
    assert udev.record() == without_package(udev)


def test_other__unchanged_with_broken_helper(udev):
    udev.serial("ROOT")
    udev.helper.unlink()
    assert udev.record() == without_package(udev)


def test_other__opted_out(udev):
    udev.serial("ROOT")
    udev.cmdline = "quiet baseimage_udev=off ro"
    assert udev.record() == without_package(udev)
