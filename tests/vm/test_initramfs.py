# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rule does in an initramfs: other disks keep their names, and no base image is lost."""

import dataclasses
import re

import pytest

from cases import Case, append
from chroots import Chroot, needs_mounts
from images import PATIENT, before_init, seed
from inert import assert_inert, base_disks, in_initramfs, leaks, root_disks
from layouts import MIB, VG, sparse

BIND = "/sys/bus/virtio/drivers/virtio_blk/bind"
BIND_RULES = "/run/udev/rules.d/59-baseimage-virtio*.rules"


@pytest.mark.parametrize("attached", [pytest.param("before", marks=pytest.mark.all_only), "late"])
def test_names__kept(attached, make_disk, boot, tmp_path):
    """root=/dev/vdb1 is the own disk, also if the own disk comes while the initramfs waits for it."""
    disk = make_disk(layout="ext4")
    data = sparse(tmp_path / "data.raw", 64 * MIB)
    with boot(disk, attached, "/dev/vdb1", append=PATIENT, more=[(data, "DATA", False)]) as guest:
        guest.wait_until(lambda: len(guest.block_devices().split()) == 3)
        guest.settle()
        assert base_disks(guest) == ["vda"]
        assert root_disks(guest) == {"vdb", "vdb1"}
        assert guest.run("cat /sys/block/vdc/serial") == "DATA"
        assert_inert(guest)


def lost(guest):
    """The base image is not there, but baseimage-status knows of it."""
    assert base_disks(guest) == []
    said = guest.run("baseimage-status; echo $?", check=False)
    assert said.endswith("\n2\n"), said
    return said


def test_handover__without_rule(make_disk, boot, fault):
    """The rule is masked in the real system, and the first bind fails."""
    disk = make_disk(layout="btrfs-disk")
    commands = (f"ln -s /dev/null /etc/udev/rules.d/59-baseimage.rules; mount --bind /dev/full {BIND}")
    with fault("no rule in the real system"), boot(disk, "before", append=before_init(commands)) as guest:
        with fault("bind fails"):
            lost(guest)
            assert guest.run(f"ls {BIND_RULES} | wc -l") == "1\n"
        guest.run(f"umount {BIND}; udevadm trigger --type=devices --action=add")
        guest.settle()
        assert len(base_disks(guest)) == 1
        assert guest.run(f"ls {BIND_RULES} 2>/dev/null || :") == ""
        guest.run("rm /etc/udev/rules.d/59-baseimage.rules; udevadm control --reload; udevadm trigger")
        guest.settle()
        found = leaks(guest)
        # btrfs took note of the twin while there was no rule.
        found.pop("kernel")
        assert not any(found.values()), found


@pytest.mark.all_only
def test_handover__fresh_run(make_disk, boot, fault):
    """Something mounts a new /run: baseimage-status says how to bind the disk."""
    disk = make_disk(layout="btrfs-disk")
    commands = "umount --lazy /run; mount -t tmpfs -o mode=755 tmpfs /run"
    with fault("a new /run"), boot(disk, "before", append=before_init(commands)) as guest:
        guest.run(re.search(rf"echo virtio\d+ *> *{BIND}", lost(guest))[0])
        guest.settle()
        assert_inert(guest)


@pytest.mark.all_only
def test_handover__package_removed(make_disk, boot, fault):
    """The initramfs still has the rule."""
    disk = make_disk(layout="lvm-disk")
    commands = "rm /usr/lib/udev/rules.d/59-baseimage.rules /usr/lib/udev/baseimage_id"
    with fault("the package is gone, an old initramfs is left"):
        with boot(disk, "before", append=before_init(commands)) as guest:
            assert len(base_disks(guest)) == 1


def test_partitions__never_announced_again(make_disk, boot):
    """LVM scans all disks at any time.  It finds no twin, not even while udevd's queue stands still.

    The control does what an earlier design did at coldplug: it binds the disk, and LVM meets the twin.
    """
    disk = make_disk(layout="lvm")
    change = f"vgchange --addtag probe {VG} && vgchange --deltag probe {VG}"
    with boot(disk, "before") as guest:
        base, = base_disks(guest)
        assert guest.run(f"dmesg | grep -c '{base}: {base}1'") == "1\n"
        hold, release = "udevadm control --stop-exec-queue", "udevadm control --start-exec-queue"
        guest.run(f"{hold}; udevadm trigger --type=devices --action=add; {change}; {release}")
        guest.settle()
        virtio = guest.run(f"basename $(readlink -f /sys/block/{base}/device)").strip()
        said = guest.run(f"cd {BIND.removesuffix('/bind')}; {hold}; echo {virtio} >unbind; echo {virtio} >bind;"
                         f" {change}; {release}; cd /", check=False)
        assert "duplicate PV" in said
        guest.settle()
        assert_inert(guest)


@needs_mounts
def test_dracut__without_systemd(make_disk, boot, deb, status_deb, tmp_path):
    """Such an initramfs has /usr/lib/initrd-release alone; our marker is taken out."""
    disk = make_disk("trixie", "dracut", "lvm")
    chroot = Chroot(seed("trixie", "dracut", (status_deb, deb)), tmp_path)
    chroot.inside("sed -i 's#! : >[^|]*/initramfs\" ||##' /usr/lib/dracut/modules.d/50baseimage-udev/module-setup.sh\n"
                  "version=$(ls /lib/modules)\n"
                  "dracut --quiet --force --omit 'systemd systemd-initrd dracut-systemd' /build/initrd $version\n"
                  "lsinitrd /build/initrd | grep -E 'initrd-release|baseimage' >/build/files")
    files = (chroot.build / "files").read_text()
    assert "usr/lib/initrd-release" in files and "etc/initrd-release" not in files.replace("usr/lib", "")
    assert "lib/baseimage-udev/initramfs" not in files
    disk = dataclasses.replace(disk, initrd=chroot.build / "initrd")
    case = Case("trixie", "dracut", "lvm", "before", "mapper")
    with boot(disk, "before", append=append(case)) as guest:
        assert_inert(guest)
        assert [name for name in in_initramfs(guest) if name.startswith("vda")] == ["vda"]
