# SPDX-License-Identifier: GPL-2.0-or-later
"""baseimage-status says what is so, and the way out that it names leads there."""

import re
import subprocess
from pathlib import Path

from inert import SERIAL, status
from layouts import MIB, sparse

SOURCE = Path(__file__).parents[2]
RULES_D = "/run/udev/rules.d"


def marks():
    """The table that baseimage-status is built with: key, value and readers of each mark."""
    table = subprocess.run(["awk", "-f", SOURCE / "src/status/marks.awk", SOURCE / "rules/59-baseimage.rules.in"],
                           check=True, capture_output=True, text=True).stdout
    return re.findall(r'^MARK\("(\w+)", "(.*)", "(.*)"\)$', table, re.M)


def trigger(guest, *names):
    guest.run("udevadm control --reload; udevadm trigger --action=change --settle " +
              " ".join(f"/dev/{name}" for name in names))


def leaking(guest):
    """What it finds: kind and evidence of each leak, and nothing that it could not tell."""
    exit_status, said = status(guest)
    found = re.findall(r"^BASEIMAGE_\w+=leak:(\S+)$", said, re.M)
    assert exit_status == (1 if found else 0), said
    return [re.sub(r"\\x(..)", lambda byte: chr(int(byte[1], 16)), line) for line in found]


def test_status__each_leak(make_disk, boot, plug_base, fault, tmp_path):
    disk = make_disk(layout="ext4")
    with boot(disk) as guest:
        with fault("nobody asks what became of a base image"):
            plug_base(guest, disk)
            reports = "journalctl -b -t baseimage-status -o cat"
            guest.wait_until(lambda: guest.run(reports))
            assert guest.run(reports) == "Base image /dev/vdb is inert\n"
        assert leaking(guest) == []
        for key, value, readers in marks():
            with fault(f"a local rule clears {key}"):
                guest.run(f"mkdir -p {RULES_D}; echo 'KERNEL==\"vdb\", ENV{{{key}}}=\"\"' >{RULES_D}/99-local.rules")
                trigger(guest, "vdb")
                missing = [line for line in leaking(guest) if line.startswith("missing")]
                assert missing == [f"missing:{key}={value} for {readers}"]
                guest.run(f"rm {RULES_D}/99-local.rules")
                trigger(guest, "vdb")
                assert leaking(guest) == []

        with fault("another disk takes /dev/baseimage"):
            guest.run(f"echo 'KERNEL==\"vda\", SYMLINK+=\"baseimage\"' >{RULES_D}/99-local.rules")
            trigger(guest, "vda")
            # It has it by its priority, whoever comes last.
            trigger(guest, "vdb")
            assert leaking(guest) == ["name:/dev/baseimage does not lead to /dev/vdb"]
            guest.run(f"rm {RULES_D}/99-local.rules")
            trigger(guest, "vda")
            assert leaking(guest) == []

        with fault("a partition is open"):
            guest.run(f"ln -s /dev/null {RULES_D}/59-baseimage.rules; udevadm control --reload;"
                      " blockdev --rereadpt /dev/vdb; udevadm settle; exec 9</dev/vdb1")
            guest.run(f"rm {RULES_D}/59-baseimage.rules")
            trigger(guest, "vdb")
            assert "partition:/dev/vdb1" in leaking(guest)
            guest.run("exec 9<&-")
            trigger(guest, "vdb")
            assert leaking(guest) == []

        with fault("LVM is on a bare disk"):
            node = guest.plug(sparse(tmp_path / "bare.raw", 64 * MIB), SERIAL, readonly=False)
            assert "bare-disk" not in status(guest)[1]
            guest.run("pvcreate --quiet /dev/vdc && udevadm settle")
            assert "_VDC_FINDING_0=note:bare-disk:LVM\\x20physical\\x20volume\n" in status(guest)[1]
            assert leaking(guest) == []
            guest.unplug(node)

        with fault("the service is started again and again, and can not run"):
            assert guest.run("systemctl show -p StartLimitIntervalUSec --value baseimage-status@vdb") == "0\n"
            guest.run("mv /usr/bin/baseimage-status /root; systemctl start baseimage-status@vdb;"
                      " mv /root/baseimage-status /usr/bin")
            assert guest.run("systemctl list-units --failed --plain --no-legend") == ""


def test_status__initramfs(make_disk, boot, plug_base, fault):
    disk = make_disk()
    with boot(disk) as guest:
        plug_base(guest, disk)
        look = "baseimage-status --initramfs --export; echo $?"
        assert guest.run(look).endswith("\n0\n")
        with fault("an initramfs without the helper"):
            guest.run("mkdir -p /root/fs/usr/lib/udev/rules.d; cd /root/fs;"
                      " touch usr/lib/udev/rules.d/59-baseimage.rules;"
                      " find . | cpio --quiet -o -H newc | gzip >/boot/initrd.img-$(uname -r); cd /")
            said = guest.run(look)
            assert said.endswith("\n1\n")
            assert re.search(r"leak:initramfs:/boot/initrd.img-\S+lacks\S+baseimage_id$", said, re.M)
