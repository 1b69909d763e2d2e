# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks problems from public reports of machines with a copy of the root disk, and the commands in the manual."""

import gzip
import json
import re
import shlex
from dataclasses import replace

import pytest

from chroots import Chroot, chroot_tree, needs_mounts
from guest import to_raw
from images import LOGS, backports, run, unpacked
from inert import (SERIAL, assert_inert, base_disks, found_by_scanners, leaks, plug_base, root_disks, status,
                   udevd_kills, unplug_base)
from layouts import SWAP_UUID, sparse


@pytest.fixture
def manual(deb, tmp_path):
    """Returns a function.  The function finds a literal block of baseimage-udev(7) by the first words of the block."""
    run("dpkg-deb", "-x", deb, tmp_path / "package")
    page = gzip.decompress((tmp_path / "package/usr/share/man/man7/baseimage-udev.7.gz").read_bytes()).decode()

    def block(begin):
        found, = re.findall(rf"^\.Bd -literal -offset indent\n({re.escape(begin)}(?:.*\n)*?)\.Ed", page, re.M)
        return found
    return block


def replug(guest):
    unplug_base(guest)
    plug_base(guest)
    assert_inert(guest)


def test_unit__that_needs_the_base_image(boot, manual):
    """Checks that the units in the manual run, although dev-baseimage.device never becomes active."""
    path, service = "use-baseimage.path", "use-baseimage.service"
    with boot() as guest:
        guest.run("echo '/dev/baseimage /mnt auto ro,noauto,x-systemd.device-timeout=2s 0 0' >>/etc/fstab")
        for unit in path, service:
            name = f"/etc/systemd/system/{unit}"
            guest.write(name, manual(f"# {name}\n"))
        guest.run(f"systemctl daemon-reload; systemctl enable --now {path}")
        assert guest.run(f"systemctl is-active {path} {service} || :") == "active\ninactive\n"
        plug_base(guest)
        guest.run(f"until systemctl is-active {service}; do sleep 1; done")
        assert re.search(r"^\w{64}  /dev/baseimage$", guest.run(f"journalctl -b -u {service} -o cat --no-pager"), re.M)
        assert guest.run("systemctl is-active dev-baseimage.device || :") == "inactive\n"
        assert "Dependency failed for mnt.mount" in guest.run("systemctl start mnt.mount; journalctl -b --no-pager")
        assert_inert(guest)


@pytest.mark.all_only
def test_read__by_every_user(boot, manual):
    """With the manual's rule, checks that every user can read the base image, but no other disk."""
    read = "setpriv --reuid=65534 --regid=65534 --clear-groups grep -qac ^root: /dev/baseimage"
    modes = "stat -Lc '%a %G' /dev/baseimage /dev/vda /dev/vda1"
    with boot(layout="ext4") as guest:
        plug_base(guest)
        assert guest.run(modes) == "660 disk\n" * 3
        assert guest.run(f"{read} || echo $?") == "grep: /dev/baseimage: Permission denied\n2\n"
        rule = "/etc/udev/rules.d/90-baseimage-read.rules"
        guest.write(rule, manual(f"# {rule}\n"))
        guest.run("udevadm control --reload; udevadm trigger --settle /dev/baseimage")
        guest.run(read)
        assert guest.run(modes) == "664 disk\n" + "660 disk\n" * 2
        assert_inert(guest)


@pytest.mark.parametrize("helper", [
    pytest.param(True, id="with-helper"), pytest.param(False, id="rule-alone", marks=pytest.mark.all_only)])
def test_try__without_installing(helper, boot, manual, deb):
    """Tries the package without installing it.  If "helper" is false, the guest gets only the rule."""
    commands = manual("dpkg-deb -x baseimage-udev_")
    with boot(package=False) as guest:
        guest.write(deb.name, deb.read_bytes())
        guest.run("\n".join(line for line in commands.splitlines() if helper or "baseimage_id" not in line))
        plug_base(guest)
        if helper:
            assert_inert(guest, scan=True)
        else:
            assert leaks(guest) == {"partitions": ["vdb1", "vdb2"]}
            assert found_by_scanners(guest).keys() == {"blkid", "findfs"}


@pytest.mark.all_only
def test_lvm__bare_disk(boot, manual):
    """Checks that LVM finds a physical volume on the whole base image, and that the manual's filter prevents this."""
    with boot("before", "mapper", layout="lvm-disk") as guest:
        assert leaks(guest, ignored_units="lvm2-monitor") == {}
        assert "vgchange" in found_by_scanners(guest)
        guest.write("/etc/lvm/lvmlocal.conf", manual("devices {"))
        found = found_by_scanners(guest)
        assert found.keys() <= {"blkid", "lsblk"}, found
        assert guest.run("readlink -f $(pvs --noheadings -o pv_name)") == "/dev/vdb\n"


# If a new block device has the same content as another device, the output of these commands changes.
LINKS_AND_CONTENT = "find /dev/disk -type l -printf '%p %l\\n' | sort; blkid -c /dev/null | sort; pvs"


@pytest.mark.all_only
def test_manual__reads_a_file(make_disk, boot, manual, tmp_path):
    """Checks that the manual's commands read a file from the base image, and that no link changes.

    At the end, mounts a loop device, and checks that a link changes.  So the comparison can detect a loop device.
    """
    copy_and_restore = manual("dd if=/dev/baseimage").replace("START", "$start").replace("COUNT", "$size")
    with boot(layout="ext4") as guest:
        # The manual's commands write to the current directory, which is /media here.
        guest.plug(sparse(tmp_path / "room.raw", 2 << 30), "ROOM", readonly=False)
        guest.run("mkfs.ext4 -q /dev/vdb; udevadm trigger --settle /dev/vdb; mount /dev/vdb /media")
        node, = plug_base(guest)
        before = guest.run(LINKS_AND_CONTENT)
        assert guest.run(f"{manual('debugfs ').strip()} 2>/dev/null").strip() == "guest"
        assert guest.run(LINKS_AND_CONTENT) == before
        guest.unplug(node)
        plug_base(guest, make_disk(layout="btrfs"))
        guest.run("cd /media; mkdir DIR\n"
                  "read -r start size <<.\n$(partx -sgo START,SECTORS /dev/baseimage | head -n 1)\n.\n"
                  + copy_and_restore)
        assert guest.run("cat /media/DIR/etc/hostname") == "guest\n"
        assert guest.run(LINKS_AND_CONTENT) == before
        guest.run("modprobe loop; mount -o ro,loop,offset=$((2048 * 512)) /dev/baseimage /mnt; udevadm settle")
        assert guest.run(LINKS_AND_CONTENT) != before


@pytest.mark.all_only       # hot-plugs 20 disks
def test_udevd__restarted_while_disks_come(boot):
    """When udevd restarts, udevd drops the events of some disks.  These disks have no properties for some time."""
    with boot() as guest:
        guest.run("(for i in $(seq 20); do systemctl reset-failed systemd-udevd; systemctl restart systemd-udevd; done;"
                  " touch /run/restarted) </dev/null >/dev/null 2>&1 &")
        for _ in range(20):
            plug_base(guest, settle=False)
        guest.run("until [ -e /run/restarted ]; do sleep 1; done")
        guest.wait_until(lambda: len(base_disks(guest)) == 20)
        guest.settle()
        dropped = guest.run("cd /sys/block; for disk in vd*; do read -r number <$disk/dev;"
                            " [ -e /run/udev/data/b$number ] || echo $disk; done").split()
        print(f"udevd dropped the events of {dropped}")
        found = leaks(guest)
        lines = found.pop("udev", []) + found.pop("partitions", [])
        assert {line.split(":")[0].rstrip("0123456789") for line in lines} <= set(dropped)
        assert found == {}
        # Status 1: udevd dropped the event of a disk, but not of a partition.  Status 2: udevd dropped both events.
        assert status(guest)[0] in ((1, 2) if dropped else (0,))
        guest.run("udevadm trigger --settle --subsystem-match=block")
        assert_inert(guest)
        assert udevd_kills(guest) == ""


@pytest.mark.all_only
def test_soft_reboot(boot):
    with boot("around", suite="trixie") as guest:
        # After "exec sleep", this shell gives no answer.  So the next answer comes from the shell after the reboot.
        guest.shell.send("systemctl soft-reboot; exec sleep infinity\n")
        guest.wait_for_system()
        assert guest.run("systemctl show -P SoftRebootsCount") == "1\n"
        assert_inert(guest, read=True, scan=True)


# A filter lies between the guest and the base image.  FILTERS maps each filter to options of QEMU and to a function.
# The function adds the filter to the QEMU node of the base image.
FILTERS = {
    "slow": (["-object", "throttle-group,id=slow,x-iops-total=1"],
             lambda node: {"driver": "throttle", "throttle-group": "slow", "file": node}),
    "unreadable": ([], lambda node: {"driver": "blkdebug", "image": node, "inject-error": [
        {"event": "none", "iotype": "read", "errno": 5}]}),
}


@pytest.mark.all_only       # "slow" allows one read per second
@pytest.mark.parametrize("kind", FILTERS)
def test_base_image__hard_to_read(kind, boot):
    options, wrap = FILTERS[kind]
    guest = boot("before", "partuuid", layout="ext4")
    at = guest.command.index("-blockdev") + 1
    node = json.loads(guest.command[at])
    name = node.pop("node-name")
    guest.command[at] = json.dumps(wrap(node) | {"node-name": name, "read-only": True})
    guest.command += options
    with guest:
        assert_inert(guest)
        assert udevd_kills(guest) == ""
        assert status(guest)[0] in (0, 2)
        assert ("I/O error, dev vda" in guest.run("dmesg")) == (kind == "unreadable")


@pytest.mark.all_only       # takes four minutes
@pytest.mark.parametrize("suite", ["bookworm", "sid"])
def test_locked__for_long(suite, boot, manual):
    """Locks the base image until udevd drops the event of the disk.  Then runs the manual's command."""
    with boot(suite=suite) as guest:
        before = guest.block_devices()
        guest.run("udevadm control --stop-exec-queue")
        plug_base(guest, settle=False)
        guest.wait_until(lambda: guest.block_devices() != before)
        guest.run("(flock -x /dev/vdb sleep 240; touch /run/released) </dev/null >/dev/null 2>&1 & sleep 1;"
                  " udevadm control --start-exec-queue; until [ -e /run/released ]; do sleep 5; done")
        guest.settle()
        assert "udev" in leaks(guest) and status(guest)[0] in (1, 2)
        guest.run(manual("udevadm trigger --settle /dev/vdb"))
        assert_inert(guest)
        assert status(guest)[0] == 0


@pytest.mark.all_only
@pytest.mark.parametrize("layout, root", [("dos", "partuuid"), ("dos-lvm", "mapper")])
def test_installer__default_layout(layout, root, boot):
    """Boots from a disk with a DOS partition table.  A logical partition has swap space or LVM.

    test_hibernation__resumes boots from the layout "dos" with root=UUID.
    """
    with boot("around", root, f"resume=UUID={SWAP_UUID}", layout=layout) as guest:
        assert_inert(guest, scan=True)
        own = root_disks(guest) & set(guest.block_devices().split())
        used = guest.run("swapon --show=NAME --noheadings; findmnt -nvo SOURCE /boot || :").split()
        assert len(used) == (2 if layout == "dos-lvm" else 1)
        assert set(guest.run(f"lsblk -nrso KNAME,TYPE {' '.join(used)} | sed -n 's/ disk$//p'").split()) == own


@pytest.mark.all_only
@pytest.mark.parametrize("last", ["dracut", "plain"])
def test_initramfs__two_at_once(last, make_disk, boot):
    """Boots with two initramfs images in one file.  If both have a file, the kernel uses the file of the last image."""
    first = "plain" if last == "dracut" else "dracut"
    disk, other = (make_disk("trixie", flavour, "ext4") for flavour in (last, first))
    guest = boot("around", append="rd.shell=0 rd.emergency=reboot fsck.mode=skip", disk=disk)
    initrd = guest.directory / "initrd"
    initrd.write_bytes(unpacked(other.initrd) + initrd.read_bytes())
    with guest:
        assert_inert(guest, scan=True)


@pytest.mark.all_only       # fetches three Debian releases
@pytest.mark.parametrize("suite, flavour, command, version", [
    ("bookworm", "backports", "udevadm --version", r"25[4-9]"), ("trixie", "backports", "uname -r", r"[7-9]\."),
    ("testing", "plain", "udevadm --version", r"2[6-9]\d")], ids=["bookworm-backports", "trixie-backports", "testing"])
def test_release__between_releases(suite, flavour, command, version, boot):
    """Boots guests with udev or the kernel from backports, and a guest of the next release (testing)."""
    with boot("around", suite=suite, flavour=flavour) as guest:
        assert re.match(version, guest.run(command))
        assert_inert(guest, read=True)
        replug(guest)
        assert found_by_scanners(guest) == {}


@needs_mounts
@pytest.mark.all_only       # fetches QEMU from backports
def test_qemu__of_backports(boot, tmp_path):
    tree = chroot_tree("trixie-backports-qemu", "QEMU (trixie-backports)", "trixie", "--include=qemu-system-x86",
                       *backports("trixie"))
    guest = boot("around")
    script = "".join(f"mkdir -p $root{path}; mount --bind {path} $root{path}\n"
                     for path in (guest.directory, LOGS, guest.disk.paths[0].parent))
    guest.command = Chroot(tree, tmp_path).words(f"{script}exec chroot $root {shlex.join(guest.command)}")
    with guest:
        assert "bpo" in guest.monitor("query-version")["package"]
        assert_inert(guest, read=True)
        replug(guest)


@pytest.mark.all_only
def test_growroot__larger_own_disk(make_disk, boot, tmp_path):
    """Checks that cloud-initramfs-growroot enlarges root on the guest's own disk, and writes to no base image."""
    disk = make_disk(flavour="reports", layout="ext4")
    path = tmp_path / "0.raw"
    to_raw(disk.paths[0], path)
    run("sfdisk", "--quiet", "--delete", path, "2")     # growroot enlarges only the last partition
    guest = boot("before", "partuuid", disk=replace(disk, paths=(path,)), more=[(path, SERIAL, False)])
    run("qemu-img", "resize", "-q", guest.overlay("disk1"), "2G")
    with guest:
        assert int(guest.run("lsblk -bndo SIZE $(findmnt -nvo SOURCE /)")) > 1 << 30
        assert_inert(guest)
        assert len(base_disks(guest)) == 2
        guest.run("cmp /dev/vda /dev/vdc")              # /dev/vda is read-only, and /dev/vdc is writable


@pytest.mark.all_only
def test_live_system__medium_and_persistence(boot):
    with boot("around", append="persistence", flavour="reports", layout="live") as guest:
        assert guest.run("findmnt -no FSTYPE /") == "overlay\n"
        assert guest.run("findmnt -nvo SOURCE /run/live/medium") == "/dev/vdb1\n"
        assert guest.run("findmnt -nvo SOURCE /run/live/persistence/vdb2") == "/dev/vdb2\n"
        assert_inert(guest, scan=True)


@pytest.mark.all_only
@pytest.mark.parametrize("when", ["throughout", "at-resume"])
def test_hibernation__resumes(when, make_disk, boot, tmp_path):
    """Checks that the guest resumes, although the base image has swap space with the same UUID."""
    disk = make_disk(layout="dos")
    base = [(disk.paths[0], SERIAL, True)] if when == "throughout" else []
    resume = f"resume=UUID={SWAP_UUID}"

    def attach(guest):
        # An earlier hot-plug would change the memory map.  If the memory map changes, the kernel does not resume.
        guest.await_console("Run /init as init process")
        guest.plug(disk.paths[0], SERIAL, settle=False)

    with boot(append=resume, disk=disk, more=base) as guest:
        boot_id = guest.run("cat /proc/sys/kernel/random/boot_id; echo kept >/dev/shm/kept; cat /dev/shm/kept")
        guest.run_until_exit("echo shutdown >/sys/power/disk; echo disk >/sys/power/state")
        path = guest.save_disk("disk0", tmp_path / "0.raw")
    with boot(append=resume, disk=replace(disk, paths=(path,)), more=base,
              during_boot=None if base else attach) as guest:
        assert guest.run("cat /proc/sys/kernel/random/boot_id /dev/shm/kept") == boot_id
        # After the resume, the kernel must scan the PCI bus to find the hot-plugged disk.
        guest.run("echo 1 >/sys/bus/pci/rescan; until ls /sys/block/vdb; do sleep 1; done")
        guest.settle()
        assert_inert(guest, scan=True)


@pytest.mark.all_only       # makes an initramfs and boots two kernels
def test_kdump__dumps_to_the_own_disk(boot, tmp_path):
    """Makes a crash dump with an initramfs that has the rule.  The dump must be on the guest's own disk.

    kdump-tools was installed before the package.  So postinst prints the command that regenerates kdump's initramfs.
    """
    list_files = "lsinitramfs /var/lib/kdump/initrd.img-* | grep -E '59-baseimage.rules|baseimage_id' || :"
    with boot("around", "partuuid", "crashkernel=256M", flavour="reports", layout="ext4") as guest:
        assert guest.run(list_files) == ""
        # /bin/true replaces update-initramfs, because the main initramfs of the guest already has the rule.
        output = guest.run("cd; ln -s /bin/true update-initramfs;"
                           " PATH=$PWD:$PATH /var/lib/dpkg/info/baseimage-udev.postinst configure")
        command, = re.findall(r": /var/lib/kdump/\S+ was not regenerated; to regenerate it: (.*)", output)
        guest.run(command)
        assert len(guest.run(list_files).split()) == 2
        guest.run("kdump-config unload; kdump-config load; kdump-config status | grep 'ready to kdump'")
        assert_inert(guest)
        guest.run_until_exit("echo c >/proc/sysrq-trigger")
        image = f"{guest.save_disk('disk1', tmp_path / '0.raw')}?offset=1048576"
    day, = re.findall(r"/(\d{12})/", run("debugfs", "-R", "ls -p /var/crash", image))
    files = run("debugfs", "-R", f"ls -p /var/crash/{day}", image)
    size, = re.findall(rf"/dump\.{day}/(\d+)/", files)
    assert int(size) > 1 << 20, files
