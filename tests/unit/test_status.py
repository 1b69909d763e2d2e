# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs baseimage-status in a chroot that simulates a guest, and checks the output and the exit status.

status-guest.sh creates the files of the guest.  Each row of a table has a shell command that changes the guest.  The
environment variable STATUS has the path of baseimage-status, and VERSION has the version of this project.
"""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "udev"))
from machine import MOUNTS, copy_programs       # pylint: disable=wrong-import-position

STATUS = os.environ["STATUS"]
SCRIPT = Path(__file__).resolve().with_name("status-guest.sh")
# If Meson has built baseimage-status for coverage, baseimage-status writes the coverage below GCOV_PREFIX.  GCOV_PREFIX
# leads from the chroot to the host's directory /.
ENVIRONMENT = {"PATH": "/local:/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_DEVICE_VERIFY_SYSFS": "0",
               "GCOV_PREFIX": f"/real/{os.getpid()}/root"}
# These commands run baseimage-status in the chroot.  The sanitizers and sd-device 258 need the real /proc, so /real in
# the chroot is the real /proc.  /proc/PID in the chroot is a link to /real/PID.
CHROOT = 'mount --rbind /proc real; ln -s "/real/$$" "proc/$$"; exec chroot . baseimage-status "$@"'
WORK = tempfile.TemporaryDirectory(dir=Path(STATUS).parent)     # pylint: disable=consider-using-with
GUEST, ROOT = Path(WORK.name, "guest"), Path(WORK.name, "root")     # the tests copy GUEST to the chroot ROOT

TRIGGER = "udevadm trigger --action=change --settle /dev/"
INSTALL = "install baseimage-udev (or unmask its rule), then: "
FIND_RULE = "find the rule that interferes: udevadm test --action=change /sys/class/block/vdb"
FIND_DISK = f"find the disk with this link (udevadm info LINK), then: {TRIGGER}vdb"
BOOT_AGAIN = "; if root is on it, boot again with the rule in the initramfs"
AGAIN = "run baseimage-status as root; if the disk was just attached, run it again"
UNMOUNT = "umount {}; make sure that /etc/fstab does not mount it"
UNBOUND = "virtio3 has no driver and may be a base image; /run/udev/rules.d/59-baseimage-virtio3.rules"

DETACH = "rm -r sys/class/block/vdb"
INITRAMFS = 'initramfs boot/initrd.img-1 "$RULE" "$HELPER"'
HEADINGS = "DEVICE STATE KIND EVIDENCE\n"
INERT = f"{HEADINGS}/dev/vdb inert disk 0 partitions\n"
NO_BASE_IMAGE = "No base image found.\n"
TO_DO = "\nWhat to do:\n "

# Each row has a command, the line of a finding, and the remedy.  After the command, baseimage-status must report
# only this finding.
FINDINGS = [
    ("without_rule vdb", "vdb leak rule 59-baseimage.rules did not run", f"{INSTALL}{TRIGGER}vdb"),
    ("without_rule vdb; set_property vdb baseimage_udev=off", "vdb leak rule baseimage_udev=off disables the rule",
     "boot without baseimage_udev=off"),
    *((f"set_property vdb {command}", f"vdb leak mark {evidence}", FIND_RULE) for command, evidence in (
        ("SYSTEMD_READY=1", "SYSTEMD_READY=0 is missing; this affects systemd, btrfs, md"),
        ("UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG=",
         "UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG=1 is missing; this affects links by UUID and label"),
        ("DM_UDEV_DISABLE_OTHER_RULES_FLAG=",
         "DM_UDEV_DISABLE_OTHER_RULES_FLAG=1 is missing; this affects LVM, bcache, udisks2"),
        ("DM_MULTIPATH_DEVICE_PATH=", "DM_MULTIPATH_DEVICE_PATH=1 is missing; this affects btrfs, md, LVM"),
        ("UDISKS_IGNORE=", "UDISKS_IGNORE=1 is missing; this affects udisks2"))),
    ("set_property vdb ID_FS_UUID=1234", "vdb leak property ID_FS_UUID=1234", FIND_RULE),
    ("set_property vdb ID_PART_TABLE_TYPE=gpt", "vdb leak property ID_PART_TABLE_TYPE=gpt", FIND_RULE),
    ("echo S:disk/by-uuid/1 >>run/udev/data/vdb", "vdb leak link /dev/disk/by-uuid/1", FIND_RULE),
    ("ln -sf vda dev/baseimage", "vdb leak name /dev/baseimage does not lead to the base image", FIND_DISK),
    ("rm dev/disk/by-id/*", "vdb leak name /dev/disk/by-id/virtio-BASEIMAGE does not lead to the base image",
     FIND_DISK),
    ("mkdir sys/class/block/vdb/holders/md0; device md0 90", "vdb leak holder md0",
     f"mdadm --stop /dev/md0{BOOT_AGAIN}"),
    ("mkdir sys/class/block/vdb/holders/dm-0; device dm-0 90; mkdir sys/class/block/dm-0/dm;"
     " echo vg-root >sys/class/block/dm-0/dm/name", "vdb leak holder dm-0 vg-root",
     f"dmsetup remove vg-root{BOOT_AGAIN}"),
    ("mkdir sys/class/block/vdb/holders/bcache0", "vdb leak holder bcache0", f"stop /dev/bcache0{BOOT_AGAIN}"),
    ("mkdir -p sys/fs/btrfs/features sys/fs/btrfs/12-34/devices/vdb", "vdb leak btrfs 12-34",
     f"unmount this file system, then: btrfs device scan --forget{BOOT_AGAIN}"),
    ("loop loop1 /dev/baseimage", "vdb leak loop /dev/loop1 shows its content",
     "unmount /dev/loop1, then: losetup -d /dev/loop1"),
    ("mounted 252:16 /mnt /dev/x", "vdb leak mount /mnt", UNMOUNT.format("/mnt")),
    (r"mounted 0:33 '/mnt/a\040b' /dev/baseimage", "vdb leak mount /mnt/a b", UNMOUNT.format("/mnt/a b")),
    (r"mounted 252:16 '/mnt/\033[31m\012x' /dev/x", r"vdb leak mount /mnt/\x1b[31m\x0ax",
     UNMOUNT.format(r"/mnt/\x1b[31m\x0ax")),
    ("mounted 252:16 / /dev/vdb", "vdb leak mount /",
     "give the guest's own disk another serial, or boot again with the rule in the initramfs"),
    ("echo '/dev/vdb partition 8 0 -2' >>proc/swaps", "vdb leak swap /dev/vdb",
     "swapoff /dev/vdb; make sure that /etc/fstab does not name it"),
    ("rm run/udev/data/*", "vdb unknown pending udev has not handled the device",
     "udevadm settle; udevadm trigger --action=add --settle /dev/vdb"),
    *((command, f"{device} unknown error cannot read {what}", AGAIN) for command, device, what in (
        ("rm run/udev/data/b*; mkdir run/udev/data/b252:16", "vdb", "udev's record: Is a directory"),
        ("sed -i /DEVNAME/d sys/class/block/vdb/uevent", "vdb", "udev's record: Input/output error"),
        ("rm dev/vdb; mkdir dev/vdb", "vdb", "the disk: Input/output error"),
        ("rm proc/self/mountinfo", "-", "/proc/self/mountinfo: No such file or directory"),
        ("echo nonsense >>proc/self/mountinfo", "-", "/proc/self/mountinfo: Bad message"),
        ("rm proc/swaps; mkdir proc/swaps", "-", "/proc/swaps: Invalid argument"),
        ("loop loop0 x; rm sys/class/block/loop0/loop/*; mkdir sys/class/block/loop0/loop/backing_file", "-",
         "the file of a loop device: Is a directory"),
        ("device vdc 32; mkdir sys/class/block/vdc/serial", "-", "the serial of a disk: Is a directory"))),
    ("echo 0 >sys/class/block/vdb/ro", "vdb note access the disk is writable", "attach the disk read-only"),
    ("/sbin/mkswap dev/vdb >/dev/null 2>&1",
     "vdb note content swap on the whole disk: programs that scan disks see a duplicate",
     "use an image with partitions: see baseimage-udev(7)"),
    ("set_property vdb baseimage_udev=on", "vdb note option baseimage_udev=on has no effect",
     "boot without baseimage_udev"),
    ("set_property vdb baseimage_udev=partitions",
     "vdb note option baseimage_udev=partitions keeps partitions: programs that scan disks see duplicates",
     "boot without baseimage_udev"),
    ("virtio virtio3 0x0002", f"- unknown unbound {UNBOUND} does not exist",
     "echo virtio3 > /sys/bus/virtio/drivers/virtio_blk/bind"),
    ("virtio virtio3 0x0002; mkdir run/udev/rules.d; : >run/udev/rules.d/59-baseimage-virtio3.rules",
     f"- unknown unbound {UNBOUND} can bind it", "udevadm trigger --type=devices --action=add"),
]


NOT_A_BASE_IMAGE = "baseimage-status: arguments: one of these is not a base image\n"
REPLACED = (f"{HEADINGS}/dev/vdb unknown disk 0 partitions\n"
            "`-vdb unknown error the device was detached or replaced during the check\n"
            f"{TO_DO}error: {AGAIN}\n")

# Each row has a command that changes the guest, the arguments of baseimage-status, the expected exit status and the
# expected output.
RUNS = [
    ("", "vdb /dev/vdb /dev/disk/by-id/virtio-BASEIMAGE", 0, INERT),
    ("", "vda", 2, NOT_A_BASE_IMAGE),
    ("", "vdb ../vdb", 2, NOT_A_BASE_IMAGE),
    ("", "--version", 0, f"baseimage-status {os.environ['VERSION']}\n"),
    ("", "--json --quiet", 2, "baseimage-status: usage: --json, --quiet and --journal exclude each other\n"),
    ("", "--json", 0,
     '{\n "baseimages": [\n {\n "device": "/dev/vdb",\n "state": "inert",\n "kind": "disk",\n'
     ' "evidence": "0 partitions",\n "remedy": null\n }\n ]\n}\n'),
    (r"mounted 252:16 '/mnt/\033\042\012' /dev/x", "--json", 1,
     '{\n "baseimages": [\n {\n "device": "/dev/vdb",\n "state": "leaking",\n "kind": "disk",\n'
     ' "evidence": "0 partitions",\n "remedy": null,\n "children": [\n {\n "device": "/dev/vdb",\n "state": "leak",\n'
     ' "kind": "mount",\n "evidence": "/mnt/\\\\x1b\\"\\\\x0a",\n'
     ' "remedy": "' + UNMOUNT.format(r"/mnt/\\x1b\"\\x0a") + '"\n }\n ]\n }\n ]\n}\n'),
    (DETACH, "", 3, NO_BASE_IMAGE),
    (DETACH, "--json", 3, '{\n "baseimages": [\n\n ]\n}\n'),
    ("rm -r sys/class/block", "-q", 2, ""),
    (f"{DETACH}; virtio virtio3 0x0002", "-q", 2, ""),
    ("virtio virtio3 0x0002; ln -s x sys/bus/virtio/devices/virtio3/driver; virtio virtio4 0x0001", "", 0, INERT),
    # If the serial in sysfs is BASEIMAGE, or if ID_SERIAL is BASEIMAGE, the disk is a base image.  baseimage-status
    # ignores blanks at the end of the serial.
    ("printf 'BASEIMAGE  ' >sys/class/block/vdb/serial; set_property vdb ID_SERIAL=", "", 0, INERT),
    ("printf OTHER >sys/class/block/vdb/serial", "", 0, INERT),
    ("rm sys/class/block/vdb/serial", "", 0, INERT),
    ("printf BASEIMAGE2 >sys/class/block/vdb/serial; set_property vdb ID_SERIAL=BASEIMAGE2", "", 3, NO_BASE_IMAGE),
    # While baseimage-status runs, the disk disappears, or another disk gets the name.  This disk has another serial or
    # another number.
    ("meanwhile 'rm -r /sys/class/block/vdb'", "--initramfs", 2, REPLACED),
    ("set_property vdb ID_SERIAL=; meanwhile 'echo OTHER >/sys/class/block/vdb/serial'", "--initramfs", 2, REPLACED),
    (r"""mounted 252:16 /mnt /dev/vdb; meanwhile 'printf "MAJOR=252\nMINOR=99\n" >/sys/class/block/vdb/uevent'""",
     "--initramfs", 2, REPLACED),
    # The devices and mounts in the next two rows do not use the base image.
    ("loop loop0 /srv/file; loop loop1 /srv/vdb; device loop2 92", "", 0, INERT),
    ("mounted 0:40 /net server:/dev/vdb; mounted 254:2 /mnt /dev/vda2; rm proc/swaps", "", 0, INERT),
    # If there are two base images, each link can lead to either base image.
    ("disk vdc 32; without_rule vdc", "vdb", 0, INERT),
    ("disk vdc 32; without_rule vdc", "-q vdc", 1, ""),
    ("disk vdc 32; mounted 252:32 /mnt /dev/vdc", "", 1,
     f"{INERT}/dev/vdc leaking disk 0 partitions\n`-vdc leak mount /mnt\n{TO_DO}mount: {UNMOUNT.format('/mnt')}\n"),
    ("inert vdb1 17", "vdb1", 1,
     f"{HEADINGS}/dev/vdb leaking disk 1 partition\n"
     "`-vdb1 leak partition programs that scan disks see a duplicate\n"
     f"{TO_DO}partition: close the program that has it open (fuser -v /dev/vdb1) or see: "
     f"journalctl -b -u systemd-udevd; then: {TRIGGER}vdb1\n"),
    ("inert vdb1 17; meanwhile 'rm -r /sys/class/block/vdb1'", "--initramfs -q", 2, ""),
    ("inert vdb1 17; set_property vdb baseimage_udev=partitions", "--quiet", 0, ""),
    ("for n in 1 2 3 10; do inert vdb$n 1$n; without_rule vdb$n; done; without_rule vdb;"
     " set_property vdb3 ID_FS_TYPE=ext4; set_property vdb10 ID_FS_TYPE=swap", "", 1,
     f"{HEADINGS}/dev/vdb leaking disk 4 partitions\n"
     "|-vdb-vdb10 leak rule 59-baseimage.rules did not run\n"
     "|-vdb3-vdb10 leak property ID_FS_TYPE=ext4, and 1 more\n"
     "`-vdb1-vdb10 leak partition programs that scan disks see a duplicate\n"
     f"{TO_DO}rule, property, partition: {INSTALL}{TRIGGER}vdb\n"),
    ("inert vdb1 17; set_property vdb baseimage_udev=partitions; loop loop0 /dev/vdb1", "-q", 1, ""),
    ("", "--journal vdb", 0,
     "MESSAGE=Base image /dev/vdb is inert\nPRIORITY=6\nMESSAGE_ID=8ca73e3e83fe402ca19f4e65c474fb8e\n"
     "BASEIMAGE_DEVICE=/dev/vdb\nBASEIMAGE_STATE=inert\nSYSLOG_IDENTIFIER=baseimage-status\n"),
    ("mounted 252:16 /mnt /dev/vdb", "--journal vdb", 1,
     "MESSAGE=Base image /dev/vdb is leaking\nPRIORITY=4\nMESSAGE_ID=a03dc0eed94d423fb35d7e1457617f6e\n"
     "BASEIMAGE_DEVICE=/dev/vdb\nBASEIMAGE_STATE=leaking\nSYSLOG_IDENTIFIER=baseimage-status\n"
     f"{HEADINGS}/dev/vdb leaking disk 0 partitions\n`-vdb leak mount /mnt\n{TO_DO}mount: {UNMOUNT.format('/mnt')}\n"),
    ("for path in boot/initrd.img-1 boot/initramfs-2.img var/lib/kdump/initrd.img-1 boot/efi/1234/6.1/initrd.img-1; do"
     ' initramfs $path "$RULE" "$HELPER"; done; : >boot/initrd.img-0.old-dkms', "--initramfs", 0, INERT),
    ("", "--initramfs", 2,
     f"{HEADINGS}/dev/vdb unknown disk 0 partitions\n"
     f"- unknown error cannot find an initramfs below /boot and /efi\n{TO_DO}error: {AGAIN}\n"),
    *((f"{command}; {DETACH}", "--initramfs", 1,
       f"{NO_BASE_IMAGE}{HEADINGS}- leak initramfs {evidence}\n"
       f"{TO_DO}initramfs: {INSTALL}dpkg-reconfigure baseimage-udev\n")
      for command, evidence in (
        (f'{INITRAMFS}; initramfs var/lib/kdump/initrd.img-1 "$RULE"',
         "/var/lib/kdump/initrd.img-1 lacks baseimage_id"),
        ('initramfs boot/initrd.img-1 "$HELPER"', "/boot/initrd.img-1 lacks 59-baseimage.rules"),
        # An empty file or a link to /dev/null masks the rule.
        (f"{INITRAMFS} '-rw-r--r-- 1 root root 0 Nov  1 10:00 etc/udev/rules.d/59-baseimage.rules'",
         "/boot/initrd.img-1 has an empty 59-baseimage.rules"),
        (f"{INITRAMFS} 'lrwxrwxrwx 1 root root 9 Nov  1 10:00 etc/udev/rules.d/59-baseimage.rules -> /dev/null'",
         "/boot/initrd.img-1 has an empty 59-baseimage.rules"))),
    (f"initramfs boot/initrd.img-1 x; program lsinitramfs 'exit 1'; program lsinitrd 'exit 1'; {DETACH}",
     "--initramfs", 2,
     f"{NO_BASE_IMAGE}{HEADINGS}- unknown error cannot list /boot/initrd.img-1 with lsinitramfs or lsinitrd"
     f" (nor a UKI with objcopy)\n{TO_DO}error: {AGAIN}\n"),
    # glob() cannot read one of the directories, because the directory is a link to itself.
    (f'initramfs boot/initrd.img-1 "$HELPER"; mkdir boot/EFI; ln -s Linux boot/EFI/Linux; {DETACH}', "--initramfs", 1,
     f"{NO_BASE_IMAGE}{HEADINGS}- leak initramfs /boot/initrd.img-1 lacks 59-baseimage.rules\n"
     "- unknown error cannot read /{boot/initrd.img-*,boot/initramfs-*.img,var/lib/kdump/initrd.img-*,"
     "{efi,boot,boot/efi}/{EFI/Linux/*.efi,*/*/initrd*}}: Too many levels of symbolic links\n"
     f"{TO_DO}initramfs: {INSTALL}dpkg-reconfigure baseimage-udev\n error: {AGAIN}\n"),
    (f"{INITRAMFS}; program lsinitramfs 'exit 1'; program lsinitrd 'cat \"$1\"'; {DETACH}", "--initramfs", 3,
     NO_BASE_IMAGE),
]


def in_shell(command, directory):
    subprocess.run(["sh", "-c", f". {shlex.quote(str(SCRIPT))}\n{command}"], cwd=directory, check=True)


def setUpModule():
    copy_programs(ROOT, "/bin/sh", "/bin/cat", "/bin/rm", "/usr/bin/awk", STATUS)
    # The path of STATUS can be in a directory that run_status() removes.
    shutil.copy(STATUS, ROOT / "usr/bin")
    (ROOT / "real").mkdir()
    GUEST.mkdir()
    in_shell("new_guest", GUEST)
    os.chdir(ROOT)


class Status(unittest.TestCase):
    maxDiff = None

    def run_status(self, command, arguments="", **options):
        """Copies the guest to the chroot, runs the command there, and then runs baseimage-status.

        Returns the exit status and the output.  The output begins with the new entries of the journal.  In the output,
        one blank replaces several blanks.
        """
        for name in "boot", "dev", "local", "proc", "run", "sys", "var":
            shutil.rmtree(name, ignore_errors=True)
        shutil.copytree(GUEST, ROOT, symlinks=True, dirs_exist_ok=True)
        in_shell(command, ROOT)
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
            journal.bind("run/systemd/journal/socket")
            result = subprocess.run(["unshare", "--mount", "sh", "-ec", CHROOT, "sh", *arguments.split()],
                                    env=ENVIRONMENT, text=True, check=False, **options)
            journal.sendto(b"", journal.getsockname())       # the empty entry ends the loop below
            entries = b"".join(iter(lambda: journal.recv(4096), b"")).decode()
        # If an attribute is a directory, sd-device 258 returns EBADF, and an older sd-device returns EISDIR.
        output = (result.stdout or "").replace("Bad file descriptor", "Is a directory")
        return result.returncode, entries + re.sub(" +", " ", output)

    def test_findings(self):
        for command, line, remedy in FINDINGS:
            device, severity, kind = line.split()[:3]
            state = {"note": "inert", "leak": "leaking"}.get(severity, "unknown")
            branch = "" if device == "-" else "`-"
            with self.subTest(command=command):
                self.assertEqual(self.run_status(command), (
                    ["inert", "leaking", "unknown"].index(state),
                    f"{HEADINGS}/dev/vdb {state} disk 0 partitions\n{branch}{line}\n{TO_DO}{kind}: {remedy}\n"))

    def test_runs(self):
        for command, arguments, *expected in RUNS:
            with self.subTest(command=command, arguments=arguments):
                self.assertEqual(self.run_status(command, arguments), tuple(expected))

    def test_usage(self):
        code, output = self.run_status("", "--help")
        self.assertEqual(code, 0)
        self.assertIn("Exit status: 0 inert, 1 leaking, 2 unknown or wrong usage", output)
        self.assertEqual(self.run_status("", "--nonsense")[0], 2)
        with open("/dev/full", "wb") as full:
            self.assertEqual(self.run_status("", stdout=full)[0], 2)

    def test_table__one_screen(self):
        """Checks that the table has at most 24 lines if each of 30 partitions has several findings."""
        command = ("without_rule vdb; for n in $(seq 30); do inert vdb$n $((n + 16)); without_rule vdb$n;"
                   " set_property vdb$n ID_FS_TYPE=ext4 ID_FS_UUID=$n ID_PART_ENTRY_NUMBER=$n;"
                   " printf 'S:disk/by-%s/%s\n' uuid $n label $n >>run/udev/data/vdb$n;"
                   " mounted 252:$((n + 16)) /mnt/$n /dev/vdb$n; mkdir sys/class/block/vdb$n/holders/md$n; done")
        code, output = self.run_status(command)
        self.assertEqual(code, 1)
        self.assertLessEqual(output.count("\n"), 24)
        self.assertRegex(output, "\\|-vdb1-vdb30 leak link /dev/disk/by-(uuid|label)/[0-9]+, and 59 more\n")
        code, output = self.run_status(command, "--json")
        self.assertEqual(code, 1)
        self.assertIn('"/dev/disk/by-label/30"', output)        # JSON has every finding


# SIGTERM from Meson raises KeyboardInterrupt.  So Python removes WORK before Python exits.
signal.signal(signal.SIGTERM, signal.default_int_handler)
if not MOUNTS or not shutil.which("mount"):
    print("this container cannot mount /proc, which the sanitizers and sd-device 258 need")
    sys.exit(77)
unittest.main()
