# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that baseimage-status finds each leak (see inert.py), and that the printed remedy ends the leak."""

import contextlib
import re

from chroots import SOURCE
from images import STATUS_RULE
from inert import SERIAL, status, virtio_name
from layouts import MIB, sparse

RULES_D = "/run/udev/rules.d"
FIND_RULE = "find the rule that interferes: udevadm test --action=change /sys/class/block/"
INSTALL = "install baseimage-udev (or unmask its rule), then: "
JOURNAL = "journalctl -q -b -t baseimage-status -o cat"


def trigger(guest, *names):
    guest.run("udevadm control --reload; udevadm trigger --action=change --settle " +
              " ".join(f"/dev/{name}" for name in names))


def find(guest, severity="leak"):
    """Returns the kind, the device, the evidence and the remedy of each finding that is not a note.

    Also checks the severity of these findings, and the exit status of baseimage-status.
    """
    code, findings = status(guest)
    findings = [line for line in findings if line["state"] != "note"]
    assert code == ({"leak": 1, "unknown": 2}[severity] if findings else 0), findings
    assert {line["state"] for line in findings} <= {severity}, findings
    return [(line["kind"], line["device"], line["evidence"], line["remedy"]) for line in findings]


@contextlib.contextmanager
def local_rule(guest, rule, *names):
    """Adds a udev rule for the "with" block.  After the block, removes the rule, and checks that no leak remains."""
    guest.write(f"{RULES_D}/99-local.rules", f"{rule}\n")
    trigger(guest, *names)
    yield
    guest.run(f"rm {RULES_D}/99-local.rules")
    trigger(guest, *names)
    assert find(guest) == []


def check_marks(guest):
    """Clears each property that makes programs ignore the base image.  No program reads SYSTEMD_IGNORE."""
    rule = (SOURCE / "rules/59-baseimage.rules.in").read_text()
    for key, value in re.findall(r'^ENV\{((?!SYSTEMD_IGNORE)[A-Z_]+)\}="([^"]+)"$', rule, re.M):
        with local_rule(guest, f'KERNEL=="vdb", ENV{{{key}}}=""', "vdb"):
            kind, device, evidence, remedy = find(guest)[0]
            assert (kind, device, remedy) == ("mark", "/dev/vdb", f"{FIND_RULE}vdb")
            assert evidence.startswith(f"{key}={value} is missing; this affects ")


def check_links(guest):
    with local_rule(guest, 'KERNEL=="vdb", SYMLINK+="disk/by-uuid/1234", ENV{ID_FS_TYPE}="ext4"', "vdb"):
        assert find(guest) == [("property", "/dev/vdb", "ID_FS_TYPE=ext4", f"{FIND_RULE}vdb"),
                               ("link", "/dev/vdb", "/dev/disk/by-uuid/1234", f"{FIND_RULE}vdb")]
    # With this rule, /dev/baseimage leads to the guest's own disk, because this disk has a higher link priority.
    with local_rule(guest, 'KERNEL=="vda", SYMLINK+="baseimage"', "vda", "vdb"):
        (kind, _, evidence, remedy), = find(guest)
        assert (kind, evidence) == ("name", "/dev/baseimage does not lead to the base image")
        assert "(udevadm info LINK)" in remedy


def check_partition(guest):
    guest.run(f"ln -s /dev/null {RULES_D}/59-baseimage.rules; udevadm control --reload;"
              " blockdev --rereadpt /dev/vdb; udevadm settle; mount -o ro /dev/vdb2 /mnt")
    remedies = {line[3] for line in find(guest) if line[0] in ("rule", "partition", "property", "link")}
    assert remedies == {f"{INSTALL}udevadm trigger --action=change --settle /dev/vdb"}
    assert [line[1] for line in find(guest) if line[0] == "rule"] == ["/dev/vdb", "/dev/vdb1", "/dev/vdb2"]
    guest.run(f"rm {RULES_D}/59-baseimage.rules")
    trigger(guest, "vdb")
    mount, partition = sorted(find(guest))
    assert mount == ("mount", "/dev/vdb2", "/mnt", "umount /mnt; make sure that /etc/fstab does not mount it")
    assert partition[:2] == ("partition", "/dev/vdb2")
    assert partition[3].startswith("close the program that has it open (fuser -v /dev/vdb2) or see: "
                                   "journalctl -b -u systemd-udevd; then: ")
    guest.run("umount /mnt; " + partition[3].partition("then: ")[2])
    assert find(guest) == []


# Each row has a command that uses /dev/vdc.  The row also has the kind, evidence and remedy of the expected finding.
USERS = (
    ("mkswap -q /dev/vdc && swapon /dev/vdc", "swap", "/dev/vdc", "swapoff /dev/vdc"),
    ("dmsetup create twin --table '0 2048 linear /dev/vdc 0'", "holder", "dm-0 twin", "dmsetup remove twin"),
    ("mdadm --build --quiet --force /dev/md9 --level=0 --raid-devices=1 /dev/vdc", "holder", "md9",
     "mdadm --stop /dev/md9"),
    ("modprobe loop && losetup --find /dev/vdc", "loop", "/dev/loop0 shows its content", "losetup -d /dev/loop0"),
    ("mkfs.btrfs -qf /dev/vdc && mount /dev/vdc /mnt", "btrfs", None, "umount /mnt; btrfs device scan --forget"),
)


def check_users(guest):
    guest.plug(sparse(guest.directory / "bare.raw", 256 * MIB), SERIAL, readonly=False)
    for command, kind, evidence, remedy in USERS:
        guest.run(f"wipefs -qa /dev/vdc && {command} && udevadm settle")
        lines = {line[0]: line for line in find(guest)}
        if kind == "btrfs":
            assert lines.pop("mount")[3].startswith("umount /mnt;")
        assert list(lines) == [kind], lines
        assert lines[kind][1] == "/dev/vdc" and evidence in (None, lines[kind][2])
        assert remedy.split("; ")[-1] in lines[kind][3]
        guest.run(f"{remedy.replace('; ', ' && ')} && udevadm settle")
        assert find(guest) == []
    # LVM on the whole disk is only a note.
    guest.run("wipefs -qa /dev/vdc; pvcreate --quiet /dev/vdc; udevadm settle")
    assert [line["evidence"] for line in status(guest)[1] if line["kind"] == "content"] == [
        "LVM on the whole disk: LVM does not change a volume group that it sees twice"]


def check_unbound(guest):
    virtio = virtio_name(guest, "vdc")
    rule = f"{RULES_D}/59-baseimage-{virtio}.rules"
    guest.run(f"echo {virtio} >/sys/bus/virtio/drivers/virtio_blk/unbind; udevadm settle")
    (kind, device, evidence, remedy), = find(guest, "unknown")
    assert (kind, device) == ("unbound", None)
    assert evidence == f"{virtio} has no driver and may be a base image; {rule} does not exist"
    guest.run(f": >{rule}")
    (_, _, evidence, bind), = find(guest, "unknown")
    assert evidence.endswith("can bind it") and bind == "udevadm trigger --type=devices --action=add"
    guest.run(f"rm {rule}; {remedy}; udevadm settle")
    assert find(guest) == []


def check_initramfs(guest):
    """Checks a real initramfs, and an initramfs that has no helper and an empty file in place of the rule."""
    check = "baseimage-status --initramfs; echo $?"
    assert guest.run(check).endswith("\n0\n")
    # An emulated guest lists the files of a real initramfs slowly.  So the test moves the real initramfs to /root.
    guest.run("mv /boot/initrd.img-* /root; mkdir -p /root/fs/etc/udev/rules.d; cd /root/fs;"
              " : >etc/udev/rules.d/59-baseimage.rules;"
              " find . | cpio --quiet -o -H newc | gzip >/boot/initrd.img-0; cd /")
    output = guest.run(check)
    evidence = "/boot/initrd.img-0 has an empty 59-baseimage.rules, and 1 more\n"
    assert re.search(f"leak +initramfs +{evidence}", output), output
    assert output.endswith(f"initramfs: {INSTALL}dpkg-reconfigure baseimage-udev\n1\n"), output


def check_service(guest):
    """Checks that the service has no limit of starts, and that the unit does not fail without baseimage-status."""
    assert guest.run("systemctl show -p StartLimitIntervalUSec --value baseimage-status@vdb") == "0\n"
    guest.run("mv /usr/bin/baseimage-status /root; systemctl start baseimage-status@vdb;"
              " mv /root/baseimage-status /usr/bin")
    assert guest.run("systemctl list-units --failed --plain --no-legend") == ""


def plug_and_await_report(guest, serial):
    """Hot-plugs a base image as /dev/vdb, and checks that the service writes the state to the journal."""
    before = guest.run(JOURNAL)
    node = guest.plug(guest.disk.paths[0], serial)
    guest.wait_until(lambda: guest.run(JOURNAL) != before)
    assert guest.run(JOURNAL) == f"{before}Base image /dev/vdb is inert\n"
    assert find(guest) == []
    return node


def check_administrators_serial(guest):
    """Checks a base image with another serial.  A rule of the administrator sets ID_SERIAL to BASEIMAGE."""
    guest.write(f"{RULES_D}/50-local.rules", f'KERNEL=="vdb*", ENV{{ID_SERIAL}}="{SERIAL}"\n')
    guest.run("udevadm control --reload")
    node = plug_and_await_report(guest, "another")
    assert guest.run("cat /sys/block/vdb/serial; echo; readlink -f /dev/baseimage") == "another\n/dev/vdb\n"
    # Without the administrator's rule, the disk is not a base image.
    guest.run(f"rm {RULES_D}/50-local.rules")
    trigger(guest, "vdb")
    assert guest.run("baseimage-status --quiet; echo $?") == "3\n"
    guest.unplug(node)


def test_status__each_leak(boot, fault):
    with boot() as guest:
        # Without this link to /dev/null, the package's udev rule starts the service, which runs baseimage-status.
        guest.run(f"rm /{STATUS_RULE}")
        check_administrators_serial(guest)
        plug_and_await_report(guest, SERIAL)
        # check_users() adds the disk /dev/vdc.  check_unbound() needs this disk, so check_unbound() is last.
        for check in (check_marks, check_links, check_partition, check_initramfs, check_service, check_users,
                      check_unbound):
            with fault(check.__name__):
                check(guest)
