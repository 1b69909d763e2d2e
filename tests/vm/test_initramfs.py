# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks the rule in the initramfs, and the bind rule in the running system."""

import dataclasses
import re

import pytest

from cases import Case, kernel_options
from chroots import Chroot, needs_mounts
from images import LONG_WAIT, before_init, seed
from inert import HELPER, RULE, assert_inert, base_disks, in_initramfs, leaks, root_disks, status
from layouts import MIB, sparse

BIND = "/sys/bus/virtio/drivers/virtio_blk/bind"
BIND_RULES = "/run/udev/rules.d/59-baseimage-virtio*.rules"


@pytest.mark.parametrize("attached, root", [
    pytest.param("before", "/dev/disk/by-path/pci-0000:00:04.0-part1", marks=pytest.mark.all_only),
    ("late", "/dev/vdb1")], ids=["before", "late"])
def test_names__kept(attached, root, boot, tmp_path):
    """Checks that the guest's own disk is /dev/vdb, even if the test hot-plugs this disk ("late")."""
    data = sparse(tmp_path / "data.raw", 64 * MIB)
    with boot(attached, root, append=LONG_WAIT, more=[(data, "DATA", False)], layout="ext4") as guest:
        guest.wait_until(lambda: len(guest.block_devices().split()) == 3)
        guest.settle()
        assert base_disks(guest) == ["vda"]
        assert root_disks(guest) == {"vdb", "vdb1"}
        assert guest.run("cat /sys/block/vdc/serial") == "DATA"
        assert_inert(guest)


def test_handover__without_rule(boot, fault):
    """Checks that the running system binds the base image without the rule and the helper.  The first bind fails."""
    commands = f"mv {RULE} {HELPER} /root; mount --bind /dev/full {BIND}"
    with (fault("the package is removed, and an old initramfs has the rule"),
          boot("before", append=before_init(commands), layout="btrfs-disk") as guest):
        with fault("bind fails"):
            assert base_disks(guest) == [] and status(guest)[0] == 2
            assert guest.run(f"ls {BIND_RULES} | wc -l") == "1\n"
        guest.run(f"umount {BIND}; udevadm trigger --type=devices --action=add")
        guest.settle()
        assert len(base_disks(guest)) == 1
        assert guest.run(f"ls {BIND_RULES} 2>/dev/null || :") == ""
        guest.run(f"mv /root/59-baseimage.rules {RULE}; mv /root/baseimage_id {HELPER}; udevadm control --reload;"
                  " udevadm trigger")
        guest.settle()
        # While the rule was missing, btrfs found the base image.  So the kernel's log has a message of btrfs.
        found = leaks(guest)
        assert found.keys() <= {"kernel"}, found


@pytest.mark.all_only
def test_handover__fresh_run(boot, fault):
    """Replaces /run, so that the bind rule is lost.  Then baseimage-status must print a command that binds the disk."""
    commands = "umount --lazy /run; mount -t tmpfs -o mode=755 tmpfs /run"
    with fault("a new /run"), boot("before", append=before_init(commands), layout="btrfs-disk") as guest:
        assert base_disks(guest) == [] and status(guest)[0] == 2
        guest.run(re.search(rf"echo virtio\d+ *> *{BIND}", guest.run("baseimage-status", check=False))[0])
        guest.settle()
        assert_inert(guest)


@needs_mounts
def test_dracut__without_systemd(make_disk, boot, deb, status_deb, tmp_path):
    """Checks that the rule recognises an initramfs by /usr/lib/initrd-release.  dracut without systemd makes this file.

    The marker is the package's own file in the initramfs.  The test removes the command that makes the marker.
    """
    chroot = Chroot(seed("trixie", "dracut", (status_deb, deb)), tmp_path)
    chroot.inside("sed -i 's#! : >[^|]*/initramfs\" ||##' /usr/lib/dracut/modules.d/50baseimage-udev/module-setup.sh\n"
                  "version=$(ls /lib/modules)\n"
                  "dracut --quiet --force --omit 'systemd systemd-initrd dracut-systemd' /build/initrd $version\n"
                  "lsinitrd /build/initrd | grep -E 'initrd-release|baseimage' >/build/files")
    files = (chroot.build / "files").read_text()
    assert "usr/lib/initrd-release" in files and "etc/initrd-release" not in files.replace("usr/lib", "")
    assert "lib/baseimage-udev/initramfs" not in files
    disk = dataclasses.replace(make_disk("trixie", "dracut", "lvm"), initrd=chroot.build / "initrd")
    case = Case("trixie", "dracut", "lvm", "before", "mapper")
    with boot("before", append=kernel_options(case), disk=disk) as guest:
        assert_inert(guest)
        assert [name for name in in_initramfs(guest) if name.startswith("vda")] == ["vda"]
