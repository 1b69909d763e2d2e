# SPDX-License-Identifier: GPL-2.0-or-later
"""How the base image comes and goes, one guest for each way."""

import re
from pathlib import Path

import pytest

from inert import assert_inert, base_disks, leaks

MANUAL = Path(__file__).parents[2] / "man/baseimage-udev.7.in"


@pytest.mark.parametrize("suite", ["bookworm", "bullseye"])
def test_base_image__unplugged_and_plugged_again(suite, make_disk, boot, plug_base):
    disk = make_disk(suite, layout="beside")
    with boot(disk) as guest:
        node, = plug_base(guest, disk)
        assert_inert(guest)
        guest.unplug(node)
        assert guest.run("ls -d /dev/baseimage* /dev/disk/by-id/*BASEIMAGE* 2>/dev/null || :") == ""
        plug_base(guest, disk)
        assert_inert(guest)


def test_base_image__two_at_once(make_disk, boot, plug_base):
    disk = make_disk()
    with boot(disk, "before") as guest:
        plug_base(guest, disk)
        assert len(base_disks(guest)) == 2
        assert_inert(guest)
        # Every block of both, read and compared.
        guest.run("cmp " + " ".join(f"/dev/{name}" for name in base_disks(guest)))


def test_base_image__writable(make_disk, boot, plug_base):
    disk = make_disk(layout="beside")
    with boot(disk) as guest:
        plug_base(guest, disk, readonly=False)
        guest.run("dd if=/dev/baseimage-part2 of=/dev/baseimage-part2 bs=1M count=1 conv=notrunc,fsync")
        # Closing what was open for writing has the kernel and udev look again.
        guest.settle()
        assert_inert(guest)


def test_base_image__shrinks_to_no_partitions(make_disk, boot, plug_base):
    disk = make_disk()
    with boot(disk) as guest:
        node, = plug_base(guest, disk, readonly=False)
        guest.run("dd if=/dev/zero of=/dev/baseimage bs=1M count=1 conv=notrunc,fsync")
        guest.monitor("block_resize", **{"node-name": node, "size": 64 << 20})
        guest.run("blockdev --rereadpt /dev/baseimage")
        guest.settle()
        assert_inert(guest)
        assert guest.run("cd /dev; ls -d baseimage*") == "baseimage\n"
        assert guest.run("blockdev --getsize64 /dev/baseimage") == f"{64 << 20}\n"


AUTOPKGTEST_RULE = (
    'KERNEL=="vd*[!0-9]", ENV{ID_SERIAL}=="BASEIMAGE", OPTIONS+="link_priority=-1024", '
    'SYMLINK+="baseimage", ENV{ID_FS_UUID}="", ENV{ID_FS_TYPE}="", ENV{ID_FS_LABEL}=""')


@pytest.mark.parametrize("where, name, rule", [
    ("/run/udev/rules.d", "61-baseimage.rules", AUTOPKGTEST_RULE),
    ("/etc/udev/rules.d", "60-persistent-storage.rules", ""),
], ids=["autopkgtest", "60-persistent-storage-masked"])
def test_base_image__beside_other_rules(where, name, rule, make_disk, boot, plug_base):
    disk = make_disk(layout="beside")
    with boot(disk) as guest:
        guest.run(f"mkdir -p {where} && cat >{where}/{name} <<'END'\n{rule}\nEND\nudevadm control --reload")
        plug_base(guest, disk)
        assert_inert(guest)


@pytest.mark.parametrize("attached", ["plugged", "before"])
def test_base_image__beside_other_packages(attached, make_disk, boot, plug_base):
    """udisks2, multipath-tools and zfs are installed; their rules run."""
    disk = make_disk(flavour="rules", layout="beside")
    with boot(disk, attached) as guest:
        if attached == "plugged":
            plug_base(guest, disk)
        # zfs has no module here, multipath no paths: of their own failing.
        found = leaks(guest)
        found["root"] = [line for line in found["root"] if not line.startswith("failed: zfs")]
        assert not any(found.values()), found
        assert "baseimage" not in guest.run("multipath -ll; multipath -v2 -d || :", check=False)


def test_lvm__commands_with_filter(make_disk, boot):
    """The recipe of the manual, for commands that read every disk by themselves."""
    disk = make_disk(layout="lvm")
    with boot(disk, "before", "mapper") as guest:
        assert_inert(guest)
        assert "WARNING" in guest.run("pvs 2>&1")
        recipe, = re.findall(r"^devices \{\n.*?^\}\n", MANUAL.read_text(), re.M | re.S)
        guest.run(f"cat >/etc/lvm/lvmlocal.conf <<'END'\n{recipe}END")
        for command in ("pvs", "vgs", "lvs", "pvscan"):
            assert "WARNING" not in guest.run(f"{command} 2>&1")
        assert guest.run("readlink -f $(pvs --noheadings -o pv_name)") == "/dev/vdb1\n"
