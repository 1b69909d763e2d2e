# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that a base image stays inert while programs use the base image, and while parts of the system are broken."""

import pytest

from guest import WAITS_FOR_ROOT, BootFailed
from images import PLAIN_INIT
from inert import (HELPER, SCANNERS, SERIAL, assert_inert, base_disks, devices, found_by_scanners, leaks, plug_base,
                   properties, status, times_bound, udevd_kills, unplug_base)

# Each command makes the kernel or udevd read the disk or the partition table again.
REREADS = {
    "rereadpt": "blockdev --rereadpt /dev/baseimage",
    "partprobe": "partprobe /dev/baseimage",
    "partx": "partx --update /dev/baseimage",
    "written": "dd if=/dev/baseimage of=/dev/baseimage bs=1M count=1 conv=notrunc,fsync",
    "change": "udevadm trigger --action=change /dev/baseimage",
    "add": "udevadm trigger --action=add /dev/baseimage",
}


@pytest.mark.parametrize("suite", ["bookworm", pytest.param("sid", marks=pytest.mark.all_only)])
def test_base_image__read_again(suite, boot):
    with boot(suite=suite, layout="beside") as guest:
        node, = plug_base(guest, readonly=False)
        for name, command in REREADS.items():
            if guest.run(f"command -v {command.split()[0]} || :"):
                print(name)
                guest.run(command)
                guest.settle()
                assert_inert(guest)
        # These commands make the disk larger, and write another partition table.
        guest.monitor("block_resize", **{"node-name": node, "size": 4 << 30})
        guest.run("echo 'start=2048,size=8192' | sfdisk --label dos --no-tell-kernel /dev/baseimage;"
                  " blockdev --rereadpt /dev/baseimage")
        guest.settle()
        assert_inert(guest)
        assert guest.run("cd /dev; ls -d baseimage*") == "baseimage\n"
        assert guest.run("blockdev --getsize64 /dev/baseimage") == f"{4 << 30}\n"


def test_partition__open(boot):
    """Checks that the rule deletes a partition after a process has closed the partition, but not before."""
    with boot(layout="beside") as guest:
        plug_base(guest)
        assert_inert(guest)
        # While udevd's queue is stopped, the rule does not run.  So the shell opens the partition before the rule runs.
        guest.run("udevadm control --stop-exec-queue; partx --add /dev/baseimage; exec 9</dev/vdb7;"
                  " udevadm control --start-exec-queue")
        guest.settle()
        assert leaks(guest) == {"partitions": ["vdb7"]}
        assert guest.run("readlink -e /dev/baseimage-part7") == "/dev/vdb7\n"
        assert [line["kind"] for line in status(guest)[1]] == ["partition"]
        guest.run("exec 9<&-; udevadm trigger --action=change /dev/vdb")
        guest.settle()
        assert_inert(guest)


def test_partitions__kept(boot):
    """With baseimage_udev=partitions, checks that the partitions exist, and that programs that ask udev ignore them.

    The rule in the initramfs unbinds the base image, so the kernel binds the base image twice.
    """
    with boot("around", append="baseimage_udev=partitions", layout="beside") as guest:
        assert times_bound(guest) == {2}
        assert_inert(guest, partitions=True)
        unplug_base(guest)
        plug_base(guest)
        links = guest.run("ls -d /dev/baseimage-part*").split()
        assert len(links) == len(devices(guest, base_disks(guest))) - 1 > 1
        assert_inert(guest, partitions=True)


def test_boot__without_local_and_systemd(boot):
    """Boots with a script in place of systemd.  With boot=scan, the initramfs finds root with blkid."""
    with boot("around", "partuuid", append=f"boot=scan init={PLAIN_INIT}") as guest:
        assert guest.run("cat /proc/1/comm") == "plain-init\n"
        assert leaks(guest, ignored_units="") == {}
        # cmp reads both base images completely.
        guest.run("cmp " + " ".join(f"/dev/{name}" for name in base_disks(guest)))


OTHER_RULES = {
    # This is a copy of autopkgtest's rule.
    "/run/udev/rules.d/61-baseimage.rules":
        'KERNEL=="vd*[!0-9]", ENV{ID_SERIAL}=="BASEIMAGE", OPTIONS+="link_priority=-1024", SYMLINK+="baseimage",'
        ' ENV{ID_FS_UUID}="", ENV{ID_FS_TYPE}="", ENV{ID_FS_LABEL}=""',
    # This rule sets properties.  Then the package's rule runs the helper, which empties the properties.
    "/run/udev/rules.d/50-inside.rules": 'KERNEL=="vd*", ENV{ID_FS_UUID}="1", ENV{ID_FS_TYPE}="ext4"',
    # This empty file masks the rule file of the same name, which is a part of udev.
    "/etc/udev/rules.d/60-persistent-storage.rules": "",
}


@pytest.mark.all_only
def test_base_image__beside_other_rules(boot):
    with boot(layout="beside") as guest:
        for path, rule in OTHER_RULES.items():
            print(path)
            guest.write(path, f"{rule}\n")
            guest.run("udevadm control --reload")
            plug_base(guest)
            assert_inert(guest)
            unplug_base(guest)
            guest.run(f"rm {path}")


@pytest.mark.all_only
def test_base_image__beside_other_packages(boot):
    with boot("before", flavour="others") as guest:
        plug_base(guest)
        # The kernel has no module for ZFS, so the units of ZFS fail.
        assert leaks(guest, ignored_units="zfs") == {}
        assert found_by_scanners(guest) == {}


# These scanners print no names of disks.  leaks() finds the effects of these scanners.
SILENT_SCANNERS = {"mdadm --assemble", "sfdisk", "parted"}


@pytest.mark.parametrize("flavour", ["plain", pytest.param("others", marks=pytest.mark.all_only)])
def test_scanners__see_the_twin(flavour, boot):
    """Checks that each scanner finds a base image without the package.  Otherwise other tests would prove nothing."""
    with boot(flavour=flavour, layout="beside", package=False) as guest:
        installed = {name for name, (program, _) in SCANNERS.items() if guest.run(f"command -v {program} || :")}
        assert flavour != "others" or installed == SCANNERS.keys()
        # If both disks have the same content, btrfs prints only one name.  So the guest changes its own disk.
        guest.run("touch /written && sync")
        plug_base(guest)
        found = found_by_scanners(guest)
        assert installed - found.keys() == installed & SILENT_SCANNERS, found


def test_helper__broken(boot, fault):
    """Checks a helper that is missing or hangs.  tests/udev checks a helper with other faults."""
    with boot(layout="beside") as guest:
        guest.run("udevadm trigger --settle /dev/vda1")
        own = properties(guest, "vda1")
        with fault("helper: missing"):
            guest.run(f"mv {HELPER} /root/helper")
            node, = plug_base(guest)
            assert_inert(guest, partitions=True)
            assert "partition" in [finding["kind"] for finding in status(guest)[1]]
            guest.run("udevadm trigger --settle /dev/vda1")
            assert properties(guest, "vda1") == own
            guest.unplug(node)
        # This helper hangs.  After the event timeout, udevd kills the helper and drops the event.
        guest.run(f"printf '#!/bin/sh\\nexec sleep 1000\\n' >{HELPER}; chmod +x {HELPER}")
        guest.run("echo event_timeout=8 >>/etc/udev/udev.conf; systemctl restart systemd-udevd")
        with fault("helper: hangs"):
            plug_base(guest)
            # udevd has dropped the event of the disk, so udevd has no record of the disk, and the partitions stay.
            found = leaks(guest)
            assert found.keys() <= {"udev", "partitions"}, found


def test_storm__sixteen_while_triggered(boot, fault):
    with boot() as guest:
        with fault("16 plugged, all devices triggered 5 times"):
            guest.run("(for i in 1 2 3 4 5; do udevadm trigger; done) </dev/null >/dev/null 2>&1 &")
            for _ in range(16):
                plug_base(guest, settle=False)
            guest.wait_until(lambda: len(base_disks(guest)) == 16)
            guest.run("wait")
            guest.settle()
            assert_inert(guest)
        with fault("a change event of each partition of the guest's own disk"):
            guest.run("for p in /sys/block/vd*/vd*; do echo change >$p/uevent; done; udevadm settle")
            assert_inert(guest)
        assert "killed" not in udevd_kills(guest)


def release_slot_for_root(guest):
    """Waits until the initramfs waits for root.  Then the guest is idle, so the function releases the guest's slot."""
    guest.await_console(WAITS_FOR_ROOT)
    guest.slot.close()


def test_root__with_that_serial(boot, fault):
    with fault("the guest's own disk has the serial BASEIMAGE"):
        with pytest.raises(BootFailed, match="Gave up waiting for root"):
            with boot(serial=SERIAL, during_boot=release_slot_for_root):
                pass
        with boot(serial=SERIAL, append="baseimage_udev=off") as guest:
            assert guest.run("findmnt -nvo SOURCE /") == "/dev/vda1\n"
            assert "ID_SERIAL=BASEIMAGE" in guest.run("udevadm info /dev/vda")
            assert "SYSTEMD_READY=0" not in guest.run("udevadm info /dev/vda")
