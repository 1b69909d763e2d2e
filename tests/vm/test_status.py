# SPDX-License-Identifier: GPL-2.0-or-later
"""baseimage-status finds each leak, and its remedy ends it."""

import re
import time
from pathlib import Path

import pytest

from images import STATUS_RULE
from inert import SERIAL, status
from layouts import MIB, sparse

SOURCE = Path(__file__).parents[2]
RULES_D = "/run/udev/rules.d"
FIND_RULE = "find the rule that interferes: udevadm test --action=change /sys/class/block/"


def marks():
    """Key and value of each mark of the rule that somebody reads; SYSTEMD_IGNORE is for people."""
    rule = (SOURCE / "rules/59-baseimage.rules.in").read_text().split("IMPORT{program}")[1]
    return [mark for mark in re.findall(r'^ENV\{([A-Z_]+)\}="([^"]+)"$', rule, re.M) if mark[0] != "SYSTEMD_IGNORE"]


def trigger(guest, *names):
    guest.run("udevadm control --reload; udevadm trigger --action=change --settle " +
              " ".join(f"/dev/{name}" for name in names))


def found(guest, severity="leak"):
    """Kind, device, evidence and remedy of each finding that is no note; checks the exit status."""
    exit_status, findings = status(guest)
    findings = [line for line in findings if line["state"] != "note"]
    assert exit_status == {"leak": 1, "unknown": 2}[severity] if findings else exit_status == 0, findings
    assert {line["state"] for line in findings} <= {severity}, findings
    return [(line["kind"], line["device"], line["evidence"], line["remedy"]) for line in findings]


def found_one(guest, severity="leak"):
    finding, = found(guest, severity)
    return finding


def local_rule(guest, rule, *names):
    """Writes a rule of the administrator; an empty one removes it."""
    guest.run(f"mkdir -p {RULES_D}; printf '%s\\n' '{rule}' >{RULES_D}/99-local.rules" if rule else
              f"rm {RULES_D}/99-local.rules")
    trigger(guest, *names)


def check_marks(guest):
    for key, value in marks():
        local_rule(guest, f'KERNEL=="vdb", ENV{{{key}}}=""', "vdb")
        kind, device, evidence, remedy = found(guest)[0]
        assert (kind, device, remedy) == ("mark", "/dev/vdb", f"{FIND_RULE}vdb")
        assert evidence.startswith(f"{key}={value} is missing; this affects ")
        local_rule(guest, "", "vdb")
        assert found(guest) == []


def check_links(guest):
    local_rule(guest, 'KERNEL=="vdb", SYMLINK+="disk/by-uuid/1234", ENV{ID_FS_TYPE}="ext4"', "vdb")
    assert found(guest) == [("property", "/dev/vdb", "ID_FS_TYPE=ext4", f"{FIND_RULE}vdb"),
                            ("link", "/dev/vdb", "/dev/disk/by-uuid/1234", f"{FIND_RULE}vdb")]
    local_rule(guest, "", "vdb")
    # Another disk takes the name by its priority, whichever event comes last.
    local_rule(guest, 'KERNEL=="vda", SYMLINK+="baseimage"', "vda", "vdb")
    kind, _, evidence, remedy = found_one(guest)
    assert (kind, evidence) == ("name", "/dev/baseimage does not lead to the base image")
    assert "udevadm info /dev/baseimage" in remedy
    local_rule(guest, "", "vda", "vdb")
    assert found(guest) == []


def check_partition(guest):
    guest.run(f"ln -s /dev/null {RULES_D}/59-baseimage.rules; udevadm control --reload;"
              " blockdev --rereadpt /dev/vdb; udevadm settle; mount -o ro,noload /dev/vdb1 /mnt")
    rules = {line[3] for line in found(guest) if line[0] in ("rule", "partition", "property", "link")}
    assert rules == {"install baseimage-udev (or unmask its rule), then:"
                     " udevadm trigger --action=change --settle /dev/vdb"}
    assert [line[1] for line in found(guest) if line[0] == "rule"] == ["/dev/vdb", "/dev/vdb1", "/dev/vdb2"]
    guest.run(f"rm {RULES_D}/59-baseimage.rules")
    trigger(guest, "vdb")
    mount, partition = sorted(found(guest))
    assert mount == ("mount", "/dev/vdb1", "/mnt", "umount /mnt; make sure that /etc/fstab does not mount it")
    assert partition[:2] == ("partition", "/dev/vdb1")
    assert partition[3].startswith("close the program that has it open (fuser -v /dev/vdb1), then: ")
    guest.run("umount /mnt; " + partition[3].partition("then: ")[2])
    assert found(guest) == []


# What uses a disk: a command, the kind and evidence of the finding, and its remedy.
USERS = (
    ("mkswap -q /dev/vdc && swapon /dev/vdc", "swap", "/dev/vdc", "swapoff /dev/vdc"),
    ("dmsetup create twin --table '0 2048 linear /dev/vdc 0'", "holder", "dm-0 twin", "dmsetup remove twin"),
    ("mdadm --build --quiet --force /dev/md9 --level=0 --raid-devices=1 /dev/vdc", "holder", "md9",
     "mdadm --stop /dev/md9"),
    ("modprobe loop && losetup --find /dev/vdc", "loop", "/dev/loop0 shows its content", "losetup -d /dev/loop0"),
    ("mkfs.btrfs -qf /dev/vdc && mount /dev/vdc /mnt", "btrfs", None, "umount /mnt; btrfs device scan --forget"),
)


def check_users(guest):
    for command, kind, evidence, remedy in USERS:
        guest.run(f"wipefs -qa /dev/vdc && {command} && udevadm settle")
        lines = {line[0]: line for line in found(guest)}
        if kind == "btrfs":
            assert lines.pop("mount")[3].startswith("umount /mnt;")
        assert list(lines) == [kind], lines
        assert lines[kind][1] == "/dev/vdc" and evidence in (None, lines[kind][2])
        assert remedy.split("; ")[-1] in lines[kind][3]
        guest.run(f"{remedy.replace('; ', ' && ')} && udevadm settle")
        assert found(guest) == []


def check_unbound(guest):
    virtio = guest.run("basename $(readlink -f /sys/block/vdc/device)").strip()
    rule = f"{RULES_D}/59-baseimage-{virtio}.rules"
    guest.run(f"echo {virtio} >/sys/bus/virtio/drivers/virtio_blk/unbind; udevadm settle")
    kind, device, evidence, remedy = found_one(guest, "unknown")
    assert (kind, device) == ("unbound", None)
    assert evidence == f"{virtio} has no driver and may be a base image; {rule} does not exist"
    guest.run(f": >{rule}")
    _, _, evidence, bind = found_one(guest, "unknown")
    assert evidence.endswith("can bind it") and bind == "udevadm trigger --type=devices --action=add"
    guest.run(f"rm {rule}; {remedy}; udevadm settle")
    assert found(guest) == []


def test_status__each_leak(make_disk, boot, plug_base, fault, tmp_path):
    disk = make_disk(layout="ext4")
    with boot(disk) as guest:
        with fault("nobody asks what became of a base image"):
            guest.run(f"rm /{STATUS_RULE}; udevadm control --reload")
            plug_base(guest, disk)
            reports = "journalctl -b -t baseimage-status -o cat"
            guest.wait_until(lambda: guest.run(reports))
            assert guest.run(reports) == "Base image /dev/vdb is inert\n"
        assert found(guest) == []
        with fault("a rule clears marks"):
            check_marks(guest)
        with fault("a link leads elsewhere"):
            check_links(guest)
        with fault("a partition is mounted"):
            check_partition(guest)

        node = guest.plug(sparse(tmp_path / "bare.raw", 256 * MIB), SERIAL, readonly=False)
        with fault("a base image is used"):
            check_users(guest)
        with fault("LVM is on a whole disk"):
            guest.run("wipefs -qa /dev/vdc; pvcreate --quiet /dev/vdc; udevadm settle")
            assert [line["evidence"] for line in status(guest)[1] if line["kind"] == "content"] == [
                "LVM on the whole disk: LVM does not change a volume group that it sees twice"]
        with fault("a base image has no driver"):
            check_unbound(guest)
        guest.unplug(node)

        with fault("the service is started again and again, and can not run"):
            assert guest.run("systemctl show -p StartLimitIntervalUSec --value baseimage-status@vdb") == "0\n"
            guest.run("mv /usr/bin/baseimage-status /root; systemctl start baseimage-status@vdb;"
                      " mv /root/baseimage-status /usr/bin")
            assert guest.run("systemctl list-units --failed --plain --no-legend") == ""


@pytest.mark.all_only
def test_status__serial_of_administrator(make_disk, boot, tmp_path):
    """A disk of another serial, which a rule of the administrator makes a base image."""
    disk = make_disk(layout="ext4")
    with boot(disk) as guest:
        guest.run(f"rm /{STATUS_RULE}; mkdir -p {RULES_D};"
                  f" echo 'KERNEL==\"vdb*\", ENV{{ID_SERIAL}}=\"{SERIAL}\"' >{RULES_D}/50-local.rules;"
                  " udevadm control --reload")
        guest.plug(disk.paths[0], "another")
        guest.wait_until(lambda: guest.run("journalctl -b -t baseimage-status -o cat"))
        assert guest.run("journalctl -b -t baseimage-status -o cat") == "Base image /dev/vdb is inert\n"
        assert guest.run("cat /sys/block/vdb/serial; echo; readlink -f /dev/baseimage") == "another\n/dev/vdb\n"
        assert found(guest) == []
        # Without the rules, it is a disk like any other.
        guest.run(f"rm {RULES_D}/50-local.rules")
        trigger(guest, "vdb")
        assert guest.run("baseimage-status --quiet; echo $?") == "3\n"


@pytest.mark.all_only
def test_status__one_screen(make_disk, boot, plug_base):
    """64 partitions, and no rule."""
    disk = make_disk(layout="beside-64", package=False)
    with boot(disk) as guest:
        plug_base(guest, disk)
        began = time.monotonic()
        said = guest.run("baseimage-status | cat")
        print(f"{time.monotonic() - began:.1f} s\n{said}")
        assert len(said.splitlines()) <= 24
        assert re.search(r"leak +rule +59-baseimage.rules did not run$", said, re.M)
        assert re.search(r"vdb1-vdb64 +leak +partition ", said)


# Each makes one initramfs bad, and is seen so.
BAD = {
    "an older kernel's, without the rule": (
        "cp /boot/initrd.img-$(uname -r) /boot/initrd.img-0; mkdir -p bin; cp /bin/true bin;"
        " find . | cpio --quiet -o -H newc | gzip >/boot/initrd.img-0",
        ["/boot/initrd.img-0 lacks 59-baseimage.rules", "/boot/initrd.img-0 lacks baseimage_id"]),
    "kdump's, without the helper": (
        "mkdir -p /var/lib/kdump usr/lib/udev/rules.d; echo x >usr/lib/udev/rules.d/59-baseimage.rules;"
        " find . | cpio --quiet -o -H newc | gzip >/var/lib/kdump/initrd.img-0",
        ["/var/lib/kdump/initrd.img-0 lacks baseimage_id"]),
    "one with a mask": (
        "mkdir -p etc/udev/rules.d usr/lib/udev/rules.d; : >etc/udev/rules.d/59-baseimage.rules;"
        " echo x | tee usr/lib/udev/rules.d/59-baseimage.rules >usr/lib/udev/baseimage_id;"
        " find . | cpio --quiet -o -H newc | gzip >/boot/initrd.img-0",
        ["/boot/initrd.img-0 has an empty 59-baseimage.rules"]),
}


def test_status__initramfs(make_disk, boot, plug_base, fault):
    disk = make_disk()
    with boot(disk) as guest:
        look = "baseimage-status --initramfs; echo $?"
        # The builder of an image has no base image attached.
        assert guest.run(look) == "No base image attached.\n3\n"
        plug_base(guest, disk)
        assert guest.run(look).endswith("\n0\n")
        for what, (command, expected) in BAD.items():
            with fault(what):
                guest.run(f"rm -rf /root/fs; mkdir /root/fs; cd /root/fs; {command}; cd /")
                said = guest.run(look)
                assert said.endswith("\n1\n")
                assert re.search(rf"leak +initramfs +{re.escape(expected[0])}", said), said
                assert ("and 1 more" in said) == (len(expected) > 1)
                assert "initramfs: update-initramfs -u -k all, or: dracut --force --regenerate-all\n" in said
                guest.run("rm -f /boot/initrd.img-0 /var/lib/kdump/initrd.img-0")
