# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases from public reports about machines that had a copy of their root disk attached."""

import base64
import gzip
import re

import pytest

from images import run
from inert import assert_inert, leaks, seen


@pytest.fixture
def manual(deb, tmp_path):
    """Returns the literal block of baseimage-udev(7), as installed, that begins with some text."""
    run("dpkg-deb", "-x", deb, tmp_path / "package")
    page = gzip.decompress((tmp_path / "package/usr/share/man/man7/baseimage-udev.7.gz").read_bytes()).decode()

    def block(begin):
        found, = re.findall(rf"^\.Bd -literal -offset indent\n({re.escape(begin)}(?:.*\n)*?)\.Ed", page, re.M)
        return found
    return block


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


@pytest.mark.parametrize("helper", [True, False], ids=["with-helper", "rule-alone"])
def test_try__without_installing(helper, make_disk, boot, plug_base, manual, deb):
    """The commands of the manual, in a running guest that has no package."""
    disk = make_disk(package=False)
    commands = manual("dpkg-deb -x baseimage-udev_")
    with boot(disk) as guest:
        guest.run(f"cd; base64 -d >{deb.name} <<.\n{base64.encodebytes(deb.read_bytes()).decode()}.\n")
        guest.run("\n".join(line for line in commands.splitlines() if helper or "baseimage_id" not in line))
        plug_base(guest, disk)
        if helper:
            assert_inert(guest)
            assert seen(guest) == {}
        else:
            found = leaks(guest)
            assert found.pop("partitions") == ["vdb1", "vdb2"]
            assert not any(found.values()), found
            assert seen(guest).keys() == {"blkid", "findfs"}
