# SPDX-License-Identifier: GPL-2.0-or-later
"""How the base image comes, is looked at again and is used, one guest for each way."""

import os
import re
from pathlib import Path

import pytest

from images import PLAIN_INIT
from layouts import sparse
from inert import (SCANNERS, assert_inert, base_disks, devices, found_by_scanners, leaks, status, times_bound,
                   unplug_base)

MANUAL = Path(__file__).parents[2] / "man/baseimage-udev.7.in"


def leaks_but_zfs(guest):
    """zfs has no module in these guests: its units fail without our doing."""
    found = leaks(guest)
    found["root"] = [line for line in found["root"] if not line.startswith("failed: zfs")]
    return {aspect: lines for aspect, lines in found.items() if lines}


# What has the kernel or udev look at the disk, or read its partition table, again.
AGAIN = {
    "rereadpt": "blockdev --rereadpt /dev/baseimage",
    "partprobe": "partprobe /dev/baseimage",
    "partx": "partx --update /dev/baseimage",
    "written": "dd if=/dev/baseimage of=/dev/baseimage bs=1M count=1 conv=notrunc,fsync",
    "change": "udevadm trigger --action=change /dev/baseimage",
    "add": "udevadm trigger --action=add /dev/baseimage",
}


@pytest.mark.parametrize("suite", ["bookworm", pytest.param("sid", marks=pytest.mark.all_only)])
def test_base_image__read_again(suite, make_disk, boot, plug_base):
    disk = make_disk(suite, layout="beside")
    with boot(disk) as guest:
        node, = plug_base(guest, disk, readonly=False)
        for what, command in AGAIN.items():
            if guest.run(f"command -v {command.split()[0]} || :"):
                print(what)
                guest.run(command)
                guest.settle()
                assert_inert(guest)
        # The disk grows and gets another partition table.
        guest.monitor("block_resize", **{"node-name": node, "size": 2 << 30})
        guest.run("echo 'start=2048,size=8192' | sfdisk --label dos --no-tell-kernel /dev/baseimage;"
                  " blockdev --rereadpt /dev/baseimage")
        guest.settle()
        assert_inert(guest)
        assert guest.run("cd /dev; ls -d baseimage*") == "baseimage\n"
        assert guest.run("blockdev --getsize64 /dev/baseimage") == f"{2 << 30}\n"


def test_partition__open(make_disk, boot, plug_base):
    """One that somebody has open stays until it is closed, as inert as the disk;
    baseimage-status names it."""
    disk = make_disk(layout="beside")
    with boot(disk) as guest:
        plug_base(guest, disk)
        assert_inert(guest)
        # Opened before the kernel's word reaches udev: its queue is held meanwhile.
        guest.run("udevadm control --stop-exec-queue; partx --add /dev/baseimage; exec 9</dev/vdb7;"
                  " udevadm control --start-exec-queue")
        guest.settle()
        found = leaks(guest)
        assert found.pop("partitions") == ["vdb7"]
        assert not any(found.values()), found
        assert guest.run("readlink -e /dev/baseimage-part7") == "/dev/vdb7\n"
        assert [line["kind"] for line in status(guest)[1]] == ["partition"]
        guest.run("exec 9<&-; udevadm trigger --action=change /dev/vdb")
        guest.settle()
        assert_inert(guest)


def test_partitions__kept(make_disk, boot, plug_base):
    """baseimage_udev=partitions: as inert to all programs that ask udev; the initramfs does not have the disk."""
    disk = make_disk(layout="beside")
    with boot(disk, "around", append="baseimage_udev=partitions") as guest:
        assert times_bound(guest) == {2}
        assert_inert(guest, partitions=True)
        unplug_base(guest)
        plug_base(guest, disk)
        links = guest.run("ls -d /dev/baseimage-part*").split()
        assert len(links) == len(devices(guest, base_disks(guest))) - 1 > 1
        assert_inert(guest, partitions=True)


def test_boot__without_local_and_systemd(make_disk, boot):
    """A boot script that asks blkid alone (boot=scan), then an init that is not systemd."""
    disk = make_disk()
    with boot(disk, "around", "partuuid", append=f"boot=scan init={PLAIN_INIT}") as guest:
        assert guest.run("cat /proc/1/comm") == "plain-init\n"
        found = leaks(guest)
        found["root"] = [line for line in found["root"] if not line.startswith("failed: ")]
        assert not any(found.values()), found
        # Every block of both.
        guest.run("cmp " + " ".join(f"/dev/{name}" for name in base_disks(guest)))


AUTOPKGTEST_RULE = (
    'KERNEL=="vd*[!0-9]", ENV{ID_SERIAL}=="BASEIMAGE", OPTIONS+="link_priority=-1024", '
    'SYMLINK+="baseimage", ENV{ID_FS_UUID}="", ENV{ID_FS_TYPE}="", ENV{ID_FS_LABEL}=""')
# As if one that comes first had looked inside: what it found the helper takes away.
INSIDE_RULE = 'KERNEL=="vd*", ENV{ID_FS_UUID}="1", ENV{ID_FS_TYPE}="ext4"'


OTHER_RULES = {
    "/run/udev/rules.d/61-baseimage.rules": AUTOPKGTEST_RULE,
    "/run/udev/rules.d/50-inside.rules": INSIDE_RULE,
    # Masked.
    "/etc/udev/rules.d/60-persistent-storage.rules": "",
}


@pytest.mark.all_only
def test_base_image__beside_other_rules(make_disk, boot, plug_base):
    disk = make_disk(layout="beside")
    with boot(disk) as guest:
        for path, rule in OTHER_RULES.items():
            print(path)
            guest.run(f"mkdir -p {os.path.dirname(path)} && cat >{path} <<'END'\n{rule}\nEND\nudevadm control --reload")
            plug_base(guest, disk)
            assert_inert(guest)
            unplug_base(guest)
            guest.run(f"rm {path}")


def test_base_image__beside_other_packages(make_disk, boot, plug_base):
    """udisks2, multipath-tools and zfs with their rules, os-prober, grub, cloud-init and parted with theirs."""
    disk = make_disk(flavour="others")
    with boot(disk, "before") as guest:
        plug_base(guest, disk)
        assert leaks_but_zfs(guest) == {}
        assert found_by_scanners(guest) == {}


# They look at the base image, but have no word of it; what they may do to it is
# seen afterwards.
SILENT = {"mdadm --assemble", "sfdisk", "parted"}


def test_scanners__see_the_twin(make_disk, boot, plug_base):
    """Without the package each of them meets the twin: else it would prove nothing with it."""
    met = {}
    for flavour, layout in ("plain", "beside"), ("others", "btrfs"):
        disk = make_disk(flavour=flavour, layout=layout, package=False)
        with boot(disk) as guest:
            # btrfs names both where one is newer: once root has been written.
            guest.run("touch /written && sync")
            plug_base(guest, disk)
            met |= found_by_scanners(guest)
    assert SCANNERS.keys() - met.keys() == SILENT, met


@pytest.mark.all_only
def test_lvm__bare_disk(make_disk, boot, plug_base):
    """A PV that is in no partition: what remains, and the recipe of the manual."""
    disk = make_disk(layout="lvm-disk")
    with boot(disk, "before", "mapper") as guest:
        found = leaks(guest)
        assert [line for line in found.pop("root") if not line.startswith("failed: lvm2-monitor")] == []
        assert not any(found.values()), found
        assert "vgchange" in found_by_scanners(guest)
        recipe, = re.findall(r"^devices \{\n.*?^\}\n", MANUAL.read_text(), re.M | re.S)
        guest.run(f"cat >/etc/lvm/lvmlocal.conf <<'END'\n{recipe}END")
        met = found_by_scanners(guest)
        assert met.keys() <= {"blkid", "lsblk"}, met
        assert guest.run("readlink -f $(pvs --noheadings -o pv_name)") == "/dev/vdb\n"


# What a new block device would change: links, and what scanners find.
WHAT_OTHERS_FIND = "find /dev/disk -type l -printf '%p %l\\n' | sort; blkid -c /dev/null | sort; pvs"


@pytest.mark.all_only
def test_manual__reads_a_file(make_disk, boot, plug_base, tmp_path):
    """The recipes of the manual change nothing; a loop device takes a link of the own disk."""
    text = re.search(r"^\.Ss Reading a file\n(.*?)^\.S[sh]", MANUAL.read_text(), re.M | re.S)[1].replace("\\e", "\\")
    debugfs, = re.findall(r"^debugfs .*", text, re.M)
    copy, = re.findall(r"^dd .*", text, re.M)
    restore, = re.findall(r"^btrfs restore .*", text, re.M)
    disk = make_disk(layout="ext4")
    with boot(disk) as guest:
        # Room for a copy.
        guest.plug(sparse(tmp_path / "room.raw", 2 << 30), "ROOM", readonly=False)
        guest.run("mkfs.ext4 -q /dev/vdb; udevadm trigger --settle /dev/vdb; mount /dev/vdb /media")
        node, = plug_base(guest, disk)
        before = guest.run(WHAT_OTHERS_FIND)
        assert guest.run(f"{debugfs} 2>/dev/null").strip() == "guest"
        assert guest.run(WHAT_OTHERS_FIND) == before
        guest.unplug(node)
        plug_base(guest, make_disk(layout="btrfs"))
        guest.run("cd /media; mkdir DIR; read -r start size <<.\n$(partx -sgo START,SECTORS /dev/baseimage | head -n 1)\n.\n"
                  + copy.replace("START", "$start").replace("COUNT", "$size") + "\n" + restore)
        assert guest.run("cat /media/DIR/etc/hostname") == "guest\n"
        assert guest.run(WHAT_OTHERS_FIND) == before
        guest.run("modprobe loop; mount -o ro,loop,offset=$((2048 * 512)) /dev/baseimage /mnt; udevadm settle")
        assert guest.run(WHAT_OTHERS_FIND) != before
