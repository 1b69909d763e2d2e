# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases from public reports about machines that had a copy of their root disk attached."""

import base64
import gzip
import json
import re
import shlex
from dataclasses import replace

import pytest

from chroots import Chroot, chroot_tree, needs_mounts
from conftest import LOGS
from images import backports, run
from inert import SERIAL, assert_inert, base_disks, leaks, root_disks, found_by_scanners, unplug_base
from layouts import SWAP_UUID


@pytest.fixture
def manual(deb, tmp_path):
    """Returns the literal block of baseimage-udev(7), as installed, that begins with some text."""
    run("dpkg-deb", "-x", deb, tmp_path / "package")
    page = gzip.decompress((tmp_path / "package/usr/share/man/man7/baseimage-udev.7.gz").read_bytes()).decode()

    def block(begin):
        found, = re.findall(rf"^\.Bd -literal -offset indent\n({re.escape(begin)}(?:.*\n)*?)\.Ed", page, re.M)
        return found
    return block


def killed(guest):
    """What udevd's journal says of workers that it killed."""
    return guest.run("journalctl -b -u systemd-udevd --no-pager | grep -iE 'kill|timed out' || :")


def send(guest, path):
    """Copies a file to where the guest's shell is."""
    guest.run(f"base64 -d >{path.name} <<.\n{base64.encodebytes(path.read_bytes()).decode()}.\n")


def exit_status(guest):
    """What baseimage-status exits with."""
    return int(guest.run("baseimage-status --quiet >/dev/null; echo $?"))


@pytest.fixture
def write_printed(manual):
    """Writes a file into a guest as the manual prints it, below a line "# PATH"."""
    def write(guest, path):
        text = manual(f"# {path}\n")
        guest.run(f"cat >{path} <<'END'\n{text}END")
    return write


def test_unit__that_needs_the_base_image(make_disk, boot, plug_base, write_printed):
    """dev-baseimage.device never becomes active; the units of the manual do without it."""
    disk = make_disk()
    path, service = "use-baseimage.path", "use-baseimage.service"
    with boot(disk) as guest:
        guest.run("echo '/dev/baseimage /mnt auto ro,noauto,x-systemd.device-timeout=2s 0 0' >>/etc/fstab")
        write_printed(guest, f"/etc/systemd/system/{path}")
        write_printed(guest, f"/etc/systemd/system/{service}")
        guest.run(f"systemctl daemon-reload; systemctl enable --now {path}")
        assert guest.run(f"systemctl is-active {path} {service} || :") == "active\ninactive\n"
        plug_base(guest, disk)
        guest.run(f"until systemctl is-active {service}; do sleep 1; done")
        assert re.search(r"^\w{64}  /dev/baseimage$", guest.run(f"journalctl -b -u {service} -o cat --no-pager"), re.M)
        assert guest.run("systemctl is-active dev-baseimage.device || :") == "inactive\n"
        assert "Dependency failed for mnt.mount" in guest.run("systemctl start mnt.mount; journalctl -b --no-pager")
        assert_inert(guest)


@pytest.mark.all_only
def test_read__by_every_user(make_disk, boot, plug_base, write_printed):
    """The rule of the manual, and what it exposes."""
    disk = make_disk(layout="ext4")
    read = "setpriv --reuid=65534 --regid=65534 --clear-groups grep -qac ^root: /dev/baseimage"
    modes = "stat -Lc '%a %G' /dev/baseimage /dev/vda /dev/vda1"
    with boot(disk) as guest:
        plug_base(guest, disk)
        assert guest.run(modes) == "660 disk\n" * 3
        assert guest.run(f"{read} || echo $?") == "grep: /dev/baseimage: Permission denied\n2\n"
        write_printed(guest, "/etc/udev/rules.d/90-baseimage-read.rules")
        guest.run("udevadm control --reload; udevadm trigger --settle /dev/baseimage")
        guest.run(read)
        assert guest.run(modes) == "664 disk\n" + "660 disk\n" * 2
        assert_inert(guest)


@pytest.mark.parametrize("helper", [
    pytest.param(True, id="with-helper"), pytest.param(False, id="rule-alone", marks=pytest.mark.all_only)])
def test_try__without_installing(helper, make_disk, boot, plug_base, manual, deb):
    """The commands of the manual, in a running guest that has no package."""
    disk = make_disk(package=False)
    commands = manual("dpkg-deb -x baseimage-udev_")
    with boot(disk) as guest:
        send(guest, deb)
        guest.run("\n".join(line for line in commands.splitlines() if helper or "baseimage_id" not in line))
        plug_base(guest, disk)
        if helper:
            assert_inert(guest)
            assert found_by_scanners(guest) == {}
        else:
            found = leaks(guest)
            assert found.pop("partitions") == ["vdb1", "vdb2"]
            assert not any(found.values()), found
            assert found_by_scanners(guest).keys() == {"blkid", "findfs"}


@pytest.mark.all_only
def test_mounted__by_hand(make_disk, boot, plug_base):
    """What somebody mounts stays mounted when its device has another event."""
    disk = make_disk(layout="ext4")
    with boot(disk) as guest:
        plug_base(guest, disk)
        guest.run("modprobe loop; mkdir /mnt/loop /mnt/partition;"
                  " mount -o ro,loop,offset=1048576 /dev/baseimage /mnt/loop")
        # Before the partition's own event, which would delete it.
        guest.run("udevadm control --stop-exec-queue; partx --add /dev/baseimage;"
                  " mount -o ro /dev/vdb1 /mnt/partition; udevadm control --start-exec-queue; udevadm settle")
        guest.run("for name in vdb vdb1; do udevadm trigger --settle --action=change /dev/$name; done; sleep 1")
        guest.run("cmp /mnt/loop/etc/passwd /mnt/partition/etc/passwd")
        assert guest.run("findmnt -no SOURCE /mnt/partition; ls -d /dev/vdb?*") == "/dev/vdb1\n/dev/vdb1\n"
        guest.run("umount /mnt/*; udevadm trigger --settle --action=change /dev/vdb")
        assert_inert(guest)


@pytest.mark.all_only       # 20 disks, each plugged under emulation
def test_udevd__restarted_while_disks_come(make_disk, boot, plug_base):
    """udevd drops the events that it has not begun with: those disks stay as they were, until the next event."""
    disk = make_disk()
    with boot(disk) as guest:
        guest.run("(for i in $(seq 20); do systemctl reset-failed systemd-udevd; systemctl restart systemd-udevd; done;"
                  " touch /run/restarted) </dev/null >/dev/null 2>&1 &")
        for _ in range(20):
            plug_base(guest, disk, settle=False)
        guest.run("until [ -e /run/restarted ]; do sleep 1; done")
        guest.wait_until(lambda: len(base_disks(guest)) == 20)
        guest.settle()
        dropped = guest.run("cd /sys/block; for disk in vd*; do read -r number <$disk/dev;"
                            " [ -e /run/udev/data/b$number ] || echo $disk; done").split()
        print(f"udevd dropped the events of {dropped}")
        found = leaks(guest)
        assert {line.split(":")[0].rstrip("0123456789") for line in found.pop("udev") + found.pop("partitions")} \
            <= set(dropped)
        assert not any(found.values()), found
        assert exit_status(guest) == (1 if dropped else 0)
        guest.run("udevadm trigger --settle --subsystem-match=block")
        assert_inert(guest)
        assert killed(guest) == ""


@pytest.mark.all_only
def test_soft_reboot(make_disk, boot):
    disk = make_disk("trixie")
    with boot(disk, "around") as guest:
        # The shell that asks for it answers no more.
        guest.shell.send("systemctl soft-reboot; exec sleep infinity\n")
        guest.wait_for_shell()
        guest.run("systemctl is-system-running --wait || :")
        guest.settle()
        assert guest.run("systemctl show -P SoftRebootsCount") == "1\n"
        assert_inert(guest, read=True)
        assert found_by_scanners(guest) == {}


# What QEMU puts between the base image and the guest.
FILTERS = {
    "slow": (["-object", "throttle-group,id=slow,x-iops-total=1"],
             lambda node: {"driver": "throttle", "throttle-group": "slow", "file": node}),
    "unreadable": ([], lambda node: {"driver": "blkdebug", "image": node, "inject-error": [
        {"event": "none", "iotype": "read", "errno": 5}]}),
}


@pytest.mark.all_only       # one read a second
@pytest.mark.parametrize("kind", FILTERS)
def test_base_image__hard_to_read(kind, make_disk, boot):
    """One read a second, or none at all."""
    options, between = FILTERS[kind]
    disk = make_disk(layout="ext4")
    guest = boot(disk, "before", "partuuid")
    at = guest.command.index("-blockdev") + 1
    node = json.loads(guest.command[at])
    name = node.pop("node-name")
    guest.command[at] = json.dumps(between(node) | {"node-name": name, "read-only": True})
    guest.command += options
    with guest:
        assert_inert(guest)
        assert killed(guest) == ""
        assert exit_status(guest) in (0, 2)
        assert ("I/O error, dev vda" in guest.run("dmesg")) == (kind == "unreadable")


@pytest.mark.all_only       # four minutes
@pytest.mark.parametrize("suite", ["bookworm", "sid"])
def test_locked__for_long(suite, make_disk, boot, plug_base, manual):
    """udevd drops the event of a disk that is locked: what is left is said, and the manual's command mends it."""
    disk = make_disk(suite)
    with boot(disk) as guest:
        before = guest.block_devices()
        guest.run("udevadm control --stop-exec-queue")
        plug_base(guest, disk, settle=False)
        guest.wait_until(lambda: guest.block_devices() != before)
        guest.run("(flock -x /dev/vdb sleep 240; touch /run/released) </dev/null >/dev/null 2>&1 & sleep 1;"
                  " udevadm control --start-exec-queue; until [ -e /run/released ]; do sleep 5; done")
        guest.settle()
        print(leaks(guest))
        assert leaks(guest)["udev"] and exit_status(guest) in (1, 2)
        guest.run(manual("udevadm trigger --settle /dev/vdb"))
        assert_inert(guest)
        assert exit_status(guest) == 0


@pytest.mark.all_only
@pytest.mark.parametrize("layout, root", [("dos", "uuid"), ("dos", "partuuid"), ("dos-lvm", "mapper")])
def test_installer__default_layout(layout, root, make_disk, boot):
    """A DOS table, and swap space or LVM in a logical partition."""
    disk = make_disk(layout=layout)
    with boot(disk, "around", root, f"resume=UUID={SWAP_UUID}") as guest:
        assert_inert(guest)
        assert found_by_scanners(guest) == {}
        own = root_disks(guest) & set(guest.block_devices().split())
        used = guest.run("swapon --show=NAME --noheadings; findmnt -nvo SOURCE /boot || :").split()
        assert len(used) == (2 if layout == "dos-lvm" else 1)
        assert set(guest.run(f"lsblk -nrso KNAME,TYPE {' '.join(used)} | sed -n 's/ disk$//p'").split()) == own


@pytest.mark.all_only
@pytest.mark.parametrize("attached, root", [
    ("before", "/dev/disk/by-path/pci-0000:00:04.0-part1"), ("after", "/dev/vda1")])
def test_root__by_place_or_name(attached, root, make_disk, boot):
    disk = make_disk(layout="ext4")
    with boot(disk, attached, append=f"root={root}") as guest:
        assert_inert(guest)


@pytest.mark.all_only
@pytest.mark.parametrize("last", ["dracut", "plain"])
def test_initramfs__two_at_once(last, make_disk, boot, tmp_path):
    """Of dracut and of initramfs-tools: a boot loader loads them as one, and what comes last counts."""
    first, = {"dracut", "plain"} - {last}
    disk, other = (make_disk("trixie", flavour, "ext4") for flavour in (last, first))
    initrd = tmp_path / "initrd.img"
    initrd.write_bytes(other.initrd.read_bytes() + disk.initrd.read_bytes())
    with boot(replace(disk, initrd=initrd), "around", append="rd.shell=0 rd.emergency=reboot fsck.mode=skip") as guest:
        assert_inert(guest)
        assert found_by_scanners(guest) == {}


@pytest.mark.all_only       # three Debians to fetch
@pytest.mark.parametrize("suite, flavour, command, version", [
    ("bookworm", "backports", "udevadm --version", r"25[4-9]"), ("trixie", "backports", "uname -r", r"[7-9]\."),
    ("testing", "plain", "udevadm --version", r"2[6-9]\d")], ids=["bookworm-backports", "trixie-backports", "testing"])
def test_release__between_releases(suite, flavour, command, version, make_disk, boot, plug_base):
    """Backports of udev, of the kernel; and what the next release has now."""
    disk = make_disk(suite, flavour)
    with boot(disk, "around") as guest:
        assert re.match(version, guest.run(command))
        assert_inert(guest, read=True)
        unplug_base(guest)
        plug_base(guest, disk)
        assert_inert(guest)
        assert found_by_scanners(guest) == {}


@needs_mounts
@pytest.mark.all_only       # a QEMU to fetch
def test_qemu__of_backports(make_disk, boot, plug_base, tmp_path):
    tree = chroot_tree("trixie-backports-qemu", "QEMU (trixie-backports)", "trixie", "--include=qemu-system-x86",
                       *backports("trixie"))
    disk = make_disk()
    guest = boot(disk, "around")
    script = "".join(f"mkdir -p $root{path}; mount --bind {path} $root{path}\n"
                     for path in (guest.directory, LOGS, disk.paths[0].parent))
    guest.command = Chroot(tree, tmp_path).words(f"{script}exec chroot $root {shlex.join(guest.command)}")
    with guest:
        assert "bpo" in guest.monitor("query-version")["package"]
        assert_inert(guest, read=True)
        unplug_base(guest)
        plug_base(guest, disk)
        assert_inert(guest)


@pytest.mark.all_only
def test_growroot__larger_own_disk(make_disk, boot, tmp_path):
    """cloud-initramfs-growroot grows the own disk's root, and writes to no base image."""
    disk = make_disk(flavour="reports", layout="ext4")
    path = tmp_path / "0.raw"
    run("qemu-img", "convert", "-O", "raw", disk.paths[0], path)
    run("sfdisk", "--quiet", "--delete", path, "2")     # root is to be the last
    guest = boot(replace(disk, paths=(path,)), "before", "partuuid", more=[(path, SERIAL, False)])
    own = guest.directory / "disk1.qcow2"
    run("qemu-img", "resize", "-q", own, "2G")
    with guest:
        assert int(guest.run("lsblk -bndo SIZE $(findmnt -nvo SOURCE /)")) > 1 << 30
        assert_inert(guest)
        assert len(base_disks(guest)) == 2
        guest.run("cmp /dev/vda /dev/vdc")              # the one that cannot be written, and the one that can


@pytest.mark.all_only
def test_live_system__medium_and_persistence(make_disk, boot):
    disk = make_disk(flavour="reports", layout="live")
    with boot(disk, "around", append="persistence") as guest:
        assert guest.run("findmnt -no FSTYPE /") == "overlay\n"
        assert guest.run("findmnt -nvo SOURCE /run/live/medium") == "/dev/vdb1\n"
        assert guest.run("findmnt -nvo SOURCE /run/live/persistence/vdb2") == "/dev/vdb2\n"
        assert_inert(guest)
        assert found_by_scanners(guest) == {}


def ends(guest, command):
    """Runs what ends the guest, and returns once QEMU has ended."""
    guest.shell.send(f"sync; {command}\n")
    guest.process.wait(timeout=1200)


def saved(guest, node, path):
    """What a guest that has ended left on a disk of its own."""
    run("qemu-img", "convert", "-O", "raw", guest.directory / f"{node}.qcow2", path)
    return path


@pytest.mark.all_only
@pytest.mark.parametrize("when", ["throughout", "at-resume"])
def test_hibernation__resumes(when, make_disk, boot, tmp_path):
    """From the swap space of the own disk: the base image has one of the same UUID, with no system in it."""
    disk = make_disk(layout="dos")
    base = [(disk.paths[0], SERIAL, True)] if when == "throughout" else []
    resume = f"resume=UUID={SWAP_UUID}"

    def attach(guest):
        # Before that, it would change the memory map, and the kernel would not resume.
        guest.await_console("Run /init as init process")
        guest.plug(disk.paths[0], SERIAL, settle=False)

    with boot(disk, append=resume, more=base) as guest:
        boot_id = guest.run("cat /proc/sys/kernel/random/boot_id; echo kept >/dev/shm/kept; cat /dev/shm/kept")
        ends(guest, "echo shutdown >/sys/power/disk; echo disk >/sys/power/state")
        path = saved(guest, "disk0", tmp_path / "0.raw")
    with boot(replace(disk, paths=(path,)), append=resume, more=base, meanwhile=None if base else attach) as guest:
        assert guest.run("cat /proc/sys/kernel/random/boot_id /dev/shm/kept") == boot_id
        # A kernel that came back learns of a disk that came meanwhile when it looks.
        guest.run("echo 1 >/sys/bus/pci/rescan; until ls /sys/block/vdb; do sleep 1; done")
        guest.settle()
        assert_inert(guest)
        assert found_by_scanners(guest) == {}


@pytest.mark.all_only       # an initramfs made and two kernels booted, under emulation
def test_kdump__dumps_to_the_own_disk(make_disk, boot, tmp_path):
    """kdump-tools was there before this package: the installation says how its initramfs gets the rule."""
    disk = make_disk(flavour="reports", layout="ext4")
    rule = "lsinitramfs /var/lib/kdump/initrd.img-* | grep -E '59-baseimage.rules|baseimage_id' || :"
    with boot(disk, "around", "partuuid", "crashkernel=256M") as guest:
        assert guest.run(rule) == ""
        # The other initramfs is as it should be.
        said = guest.run("cd; ln -s /bin/true update-initramfs;"
                         " PATH=$PWD:$PATH /var/lib/dpkg/info/baseimage-udev.postinst configure")
        command, = re.findall(r"^baseimage-udev: /var/lib/kdump/\S+ was not regenerated; to regenerate it: (.*)", said, re.M)
        guest.run(command)
        assert len(guest.run(rule).split()) == 2
        guest.run("kdump-config unload; kdump-config load; kdump-config status | grep 'ready to kdump'")
        assert_inert(guest)
        ends(guest, "echo c >/proc/sysrq-trigger")
        path = saved(guest, "disk1", tmp_path / "0.raw")
    day, = re.findall(r"/(\d{12})/", run("debugfs", "-R", "ls -p /var/crash", f"{path}?offset=1048576"))
    files = run("debugfs", "-R", f"ls -p /var/crash/{day}", f"{path}?offset=1048576")
    size, = re.findall(rf"/dump\.{day}/(\d+)/", files)
    assert int(size) > 1 << 20, files
