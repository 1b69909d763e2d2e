# SPDX-License-Identifier: GPL-2.0-or-later
"""The rule and the helper as they are built, or installed, through this machine's udevadm.

Each run has a mount namespace of its own, over a real virtio disk whose serial
attribute is covered by a file: / is an overlay, /run, /dev and /usr/lib/udev are
its own, so that the machine stays as it is.  What would have an effect is in
RUN, which "udevadm test" prints and does not run.
"""

import os
import re
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
PROMISED = {"SYSTEMD_READY=0", "SYSTEMD_IGNORE=1", "UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG=1",
            "DM_UDEV_DISABLE_OTHER_RULES_FLAG=1", "DM_MULTIPATH_DEVICE_PATH=1", "UDISKS_IGNORE=1"}

# Words: the directory of the case, the sysfs path of the disk, that of the device,
# the action, the kernel command line, files that tell where this is.
SCRIPT = r"""
set -e
case=$1 disk=$2 device=$3 action=$4 cmdline=$5
shift 5
mount -t tmpfs none "$case/overlay"
mkdir "$case/overlay/upper" "$case/overlay/work" "$case/overlay/root"
root=$case/overlay/root
mount -t overlay -o "lowerdir=/,upperdir=$case/overlay/upper,workdir=$case/overlay/work" none "$root"
mount --rbind /proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs none "$root/run"
mount --bind "$case/serial" "$root$disk/serial"
mount --bind "$case/udev" "$root/usr/lib/udev"
mkdir -p "$root/run/udev/rules.d" "$root/run/nodes"
cp -a "$case/run/." "$root/run/udev/rules.d/"
for node in null full urandom "${disk##*/}" "${device##*/}"; do
	[ ! -e "/dev/$node" ] || cp -a "/dev/$node" "$root/run/nodes/"
done
mount --bind "$root/run/nodes" "$root/dev"
# As if there were a partition, which the machine may not have.
[ ! -e "$case/partition" ] || mount --bind "$case/partition" "$root$disk/power"
for file; do
	mkdir -p "$root${file%/*}"
	: >"$root$file"
done
export SYSTEMD_PROC_CMDLINE="$cmdline"
chroot "$root" udevadm test --action="$action" "$device" >"$root/run/out" 2>"$root/run/err" || { cat "$root/run/err"; exit 1; }
for record in "$root"/run/udev/data/*; do
	# I: is the time of the first event; an empty property is as good as none
	# to every match, and not even stored by later versions.
	[ ! -e "$record" ] || sed '/^I:/d; /^E:.*=$/d' "$record"
done
# From version 257 on nothing is recorded, and no program run; all is printed.
[ -e "$record" ] || sed -n '/USEC_INITIALIZED/d; s|^  \(/dev/[^ ]*\)$|link \1|p; s/^  \([A-Za-z].*=.\)/E:\1/p' "$root/run/out"
find "$root/dev" -type l -printf 'link /dev/%P %l\n' | sort
# What RUN would have run; before version 257 "run: '...'".
cat "$root/run/out" "$root/run/err" | sed -n "s/^run: '\(.*\)'$/run \1/p; s/^  RUN{program} : /run /p"
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
        for name in ("run", "overlay"):
            (directory / name).mkdir()
        (directory / "serial").write_text("BASEIMAGE")
        self.cmdline = "root=/dev/vda1 ro"
        self.files = []         # that are there as well
        self.bare = False       # no other rule has a word for it

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
             self.device.resolve(), action, self.cmdline, *self.files],
            check=True, capture_output=True, text=True).stdout.splitlines()
        assert lines or action == "remove" or self.bare, "two empty records would be equal"
        return sorted(" ".join(sorted(line.split(" "))) if "DEVLINKS=" in line else line
                      for line in (line.replace("DEVLINKS=", "DEVLINKS= ") for line in lines))


@pytest.fixture(params=devices(), ids=lambda device: device[1].name)
def udev(tmp_path, request):
    return Udev(tmp_path, *request.param)


def runs(record):
    """What RUN would have run, of ours."""
    return [line.removeprefix("run ") for line in record
            if line.startswith("run ") and ("partx" in line or "virtio_blk" in line)]


def udev_version():
    return int(subprocess.run(["udevadm", "--version"], check=True, capture_output=True, text=True).stdout.split()[0])


def without_package(udev, **options):
    udev.uninstall()
    return udev.record(**options)


@pytest.mark.parametrize("action", ["add", "change", "online"])
def test_base_image__contract(udev, action):
    record = udev.record(action)
    properties = {line[2:] for line in record if line.startswith("E:")}
    assert PROMISED <= properties
    assert not [p for p in properties if p.startswith(("ID_FS_", "ID_PART_"))]
    links = {line.split()[1] for line in record if line.startswith("link ")}
    number = "".join(filter(str.isdigit, udev.device.name))
    part = f"-part{number}" if number else ""
    assert links == {f"/dev/baseimage{part}", f"/dev/disk/by-id/virtio-BASEIMAGE{part}",
                     *(link for link in links if link.startswith("/dev/block/"))}
    # From version 257 on there is no record to look into.
    assert "L:-1024" in record or not [line for line in record if line.startswith("S:")]


def partition_node(udev):
    (udev.directory / "partition").mkdir()
    (udev.directory / "partition/partition").touch()


def test_base_image__partitions_deleted(udev):
    node = f"/dev/{udev.device.name}"
    partition_node(udev)
    for action in ("add", "change"):
        said = runs(udev.record(action))
        if udev.device == udev.disk:
            assert said == [f"/usr/bin/partx --delete {node}"]
        else:
            assert len(said) == 1 and f"partx --delete {node} && exit" in said[0]


def test_base_image__no_partitions(udev):
    """There is nothing to delete, and partx would complain."""
    if list(udev.device.glob("*/partition")) or udev.device != udev.disk:
        pytest.skip("this machine's virtio disk has partitions")
    assert runs(udev.record()) == []


def test_base_image__partitions_kept(udev):
    partition_node(udev)
    udev.cmdline = "quiet baseimage_udev=partitions ro"
    record = udev.record()
    assert runs(record) == []
    assert PROMISED | {"baseimage_udev=partitions"} <= {line[2:] for line in record if line.startswith("E:")}


def test_base_image__removed(udev):
    record = udev.record("remove")
    assert record == without_package(udev, action="remove")
    assert not [line for line in record if "baseimage" in line], record


IN_INITRAMFS = ["/etc/initrd-release", "/conf/initramfs.conf"]


@pytest.mark.parametrize("file", IN_INITRAMFS)
def test_initramfs__driver_lets_go(udev, file):
    udev.files = [file]
    virtio = udev.disk.joinpath("device").resolve().name
    said = runs(udev.record())
    if udev.device != udev.disk:
        assert "unbind" not in "".join(said)
    else:
        assert said == [f"/bin/sh -c 'echo >/run/baseimage-udev.{virtio} &&"
                        f" echo {virtio} >/sys/bus/virtio/drivers/virtio_blk/unbind'"]


@pytest.mark.parametrize("file", IN_INITRAMFS)
def test_initramfs__removed(udev, file):
    udev.files = [file]
    assert runs(udev.record("remove")) == []


@pytest.mark.parametrize("file", IN_INITRAMFS)
def test_initramfs__others_stay(udev, file):
    udev.serial("ROOT")
    udev.files = [file]
    assert runs(udev.record()) == []


@pytest.fixture
def virtio(tmp_path):
    """The virtio device of the disk, which comes again in the real system's coldplug."""
    disk, _ = devices()[0]
    device = Udev(tmp_path, disk, disk.joinpath("device").resolve())
    device.bare = True
    device.kept = f"/run/baseimage-udev.{device.device.name}"
    return device


def test_virtio__driver_takes_back(virtio):
    virtio.files = [virtio.kept]
    name = virtio.device.name
    assert runs(virtio.record()) == [f"/bin/sh -c 'rm {virtio.kept}; echo {name} >/sys/bus/virtio/drivers/virtio_blk/bind'"]


@pytest.mark.parametrize("files", [[], *([file] for file in IN_INITRAMFS)])
def test_virtio__stays(virtio, files):
    """None was taken from its driver; or this is still the initramfs."""
    virtio.files = files + ([virtio.kept] if files else [])
    assert runs(virtio.record()) == []


def test_virtio__once(virtio):
    virtio.files = [virtio.kept]
    assert runs(virtio.record("change")) == []


def test_base_image__emptied(udev):
    """What another rule had found inside, the helper takes away."""
    if udev_version() >= 257:
        pytest.skip("from version 257 on, udevadm test runs no program, and so no helper")
    udev.rule("50-inside.rules", 'KERNEL=="vd*", ENV{ID_FS_UUID}="1", ENV{ID_FS_TYPE}="ext4"\n')
    assert not [line for line in udev.record() if line.startswith("E:ID_FS_")]


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
    assert PROMISED <= {line[2:] for line in expected}
    if fault == "missing":
        udev.helper.unlink()
    elif HELPERS[fault]:
        udev.replace_helper(HELPERS[fault])
    else:
        udev.helper.chmod(0o644)
    # A reader of the other marks sets this one as well.
    udev.rule("99-systemd.rules", "")
    # Of what a broken helper says, what is no assignment does not get through.
    record = udev.record()
    assert PROMISED <= {line[2:] for line in record}
    assert {line for line in expected if not re.match("E:(DEVLINKS|(CURRENT_)?TAGS)=|[GQ]:", line)} <= set(record)


def test_base_image__opted_out(udev):
    """The record says why, and is else that of any disk."""
    udev.cmdline = "quiet baseimage_udev=off ro"
    record = udev.record()
    assert "E:baseimage_udev=off" in record
    assert [line for line in record if line != "E:baseimage_udev=off"] == without_package(udev)


# udev's parser: the last one counts, - is as good as _, quotes do not.
@pytest.mark.parametrize("words", ["baseimage_udev=on baseimage_udev=off", "baseimage-udev=off", 'baseimage_udev="off"'])
def test_base_image__opted_out_as_udev_reads_it(udev, words):
    udev.cmdline = f"quiet {words} ro"
    assert "E:SYSTEMD_READY=0" not in udev.record()


@pytest.mark.parametrize("word, value", [
    ("baseimage_udev=on", "on"), ("baseimage_udev", "1"), ("xbaseimage_udev=off", ""),
    ("baseimage_udev=off baseimage_udev=on", "on")])
def test_base_image__not_opted_out(udev, word, value):
    expected = udev.record() + ([f"E:baseimage_udev={value}"] if value else [])
    udev.cmdline = f"quiet {word} ro"
    assert udev.record() == sorted(expected)


def test_base_image__blanks(udev):
    """udev takes blanks at the end for nothing; others count."""
    expected = udev.record()
    udev.serial("BASEIMAGE  ")
    assert udev.record() == expected


OTHERS = ["", "ROOT", " BASEIMAGE", "BASEIMAGE2", "XBASEIMAGE", "baseimage", "BASEIMAGE X", "BASE\\x20IMAGE", "*", "$attr{size}",
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


def test_other__not_virtio(tmp_path):
    """Another kind of disk, whatever its ID_SERIAL."""
    loop = Path("/sys/block/loop0")
    if not loop.exists():
        pytest.skip("this machine has no loop device")
    other = Udev(tmp_path, devices()[0][0], loop)
    other.rule("50-serial.rules", 'KERNEL=="loop0", ENV{ID_SERIAL}="BASEIMAGE"\n')
    assert other.record() == without_package(other)


def test_other__unchanged_with_broken_helper(udev):
    udev.serial("ROOT")
    udev.helper.unlink()
    assert udev.record() == without_package(udev)


@pytest.mark.parametrize("value", ["off", "partitions", "on"])
def test_other__with_option(udev, value):
    udev.serial("ROOT")
    udev.cmdline = f"quiet baseimage_udev={value} ro"
    assert udev.record() == without_package(udev)
