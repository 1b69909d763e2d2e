# SPDX-License-Identifier: GPL-2.0-or-later
"""Life with dpkg, while a base image is attached."""

import contextlib

import pytest

from layouts import SECTOR
from inert import SERIAL, base_disks, devices, leaks, properties, usable


def as_disk(path, directory):
    """A file as whole sectors, to be attached and cut to size in the guest."""
    data = path.read_bytes()
    disk = directory / f"{path.name}.disk"
    disk.write_bytes(data + bytes(-len(data) % SECTOR))
    return disk, len(data)


@pytest.fixture
def booted(older, deb, tmp_path, make_disk, boot):
    """A guest without the package: its .deb, and an older one, are /root/1.deb and /root/0.deb."""
    @contextlib.contextmanager
    def start(**options):
        carriers = [as_disk(path, tmp_path) for path in (older, deb)]
        disk = make_disk(package=False)
        with boot(disk, **options) as guest:
            for number, (path, _) in enumerate(carriers):
                guest.plug(path, f"DEB{number}")
            # None is booted here, and to make one takes an emulated guest long: test_chroot__installed_and_purged does.
            guest.run("echo update_initramfs=no >/etc/initramfs-tools/update-initramfs.conf")
            for number, (_, size) in enumerate(carriers):
                guest.run(f"head -c {size} /dev/disk/by-id/virtio-DEB{number} >/root/{number}.deb")
            yield guest, disk
    return start


def test_package__installed_and_removed(booted, plug_base):
    with booted() as (guest, disk):
        plug_base(guest, disk)
        guest.plug(disk.paths[0], f"{SERIAL}  ")
        before = properties(guest, "vdd1")
        assert any(leaks(guest).values())

        def dpkg(words, inert):
            guest.run(f"dpkg {words}")
            found = leaks(guest)
            # What btrfs said before the package came stays said.
            found["kernel"] = [line for line in found["kernel"] if "duplicate" not in line]
            assert any(found.values()) != inert, (words, found)
            if inert:
                usable(guest)
            else:
                assert devices(guest, base_disks(guest)) == ["vdd", "vdd1", "vdd2", "vde", "vde1", "vde2"]

        dpkg("--install /root/0.deb", True)
        dpkg("--install /root/1.deb", True)
        dpkg("--install /root/1.deb", True)
        dpkg("--remove baseimage-udev", False)
        assert properties(guest, "vdd1") == before
        assert guest.run("ls -d /dev/baseimage* 2>/dev/null || :") == ""
        dpkg("--purge baseimage-udev", False)
        assert guest.run("dpkg -l baseimage-udev 2>&1 | grep ^[a-z]i || :") == ""


# What uses a partition of a base image, and what ends that.
USES = {
    "mounted": ("mount -o ro /dev/vdd2 /mnt", "umount /mnt"),
    "held": ("echo \"0 2048 linear /dev/vdd2 0\" | dmsetup create held", "dmsetup remove held"),
}


def test_package__disk_in_use(booted, plug_base):
    """A disk that is in use stays as it is, and the package says what to do; another base image is inert."""
    with booted(serial=SERIAL) as (guest, disk):
        plug_base(guest, disk)
        plug_base(guest, disk)
        for use, (begin, end) in USES.items():
            guest.run(begin)
            before = {name: properties(guest, name) for name in ("vda1", "vda2", "vdd1", "vdd2")}
            said = guest.run("dpkg --install /root/1.deb")
            for name in "/dev/vda", "/dev/vdd":
                assert f"{name} has the serial BASEIMAGE and is in use" in said, use
            assert "/dev/vde" not in said and "baseimage_udev=off" in said
            # Not mounted, and there all the same.
            assert {name: properties(guest, name) for name in before} == before
            assert devices(guest, ["vde"]) == ["vde"]
            guest.run(end)
            guest.run("udevadm trigger --settle /dev/vdd")
            assert devices(guest, ["vdd"]) == ["vdd"]
            guest.run("dpkg --purge baseimage-udev")
            assert {name: properties(guest, name) for name in before} == before
            assert devices(guest, ["vde"]) == ["vde", "vde1", "vde2"]
