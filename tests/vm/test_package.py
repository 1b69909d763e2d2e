# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that dpkg can install and remove the package while a base image is attached."""

from inert import SERIAL, assert_usable, base_disks, devices, leaks, plug_base, properties


def copy_packages(guest, *debs):
    """Copies the .deb files to /root/0.deb, /root/1.deb and so on.

    Also sets update_initramfs=no, because an emulated guest regenerates the initramfs slowly.
    test_chroot__installed_and_purged checks that dpkg regenerates the initramfs.
    """
    guest.write("/etc/initramfs-tools/update-initramfs.conf", "update_initramfs=no\n")
    for number, path in enumerate(debs):
        guest.write(f"/root/{number}.deb", path.read_bytes())


def test_package__installed_and_removed(older_deb, deb, boot):
    with boot(package=False) as guest:
        copy_packages(guest, older_deb, deb)
        plug_base(guest)
        guest.plug(guest.disk.paths[0], f"{SERIAL}  ")
        before = properties(guest, "vdb1")
        assert leaks(guest) != {}
        for words, inert in (("--install /root/0.deb", True), ("--install /root/1.deb", True),
                             ("--install /root/1.deb", True), ("--remove baseimage-udev", False),
                             ("--purge baseimage-udev", False)):
            guest.run(f"dpkg {words}")
            # Before the installation, btrfs found the base image.  So the kernel's log has messages about duplicates.
            found = {aspect: lines for aspect, lines in leaks(guest).items() if aspect != "kernel" or any(
                "duplicate" not in line for line in lines)}
            assert (found == {}) == inert, (words, found)
            if inert:
                assert_usable(guest)
            else:
                assert devices(guest, base_disks(guest)) == ["vdb", "vdb1", "vdb2", "vdc", "vdc1", "vdc2"]
                assert properties(guest, "vdb1") == before
                assert guest.run("ls -d /dev/baseimage* 2>/dev/null || :") == ""
        assert guest.run("dpkg -l baseimage-udev 2>&1 | grep ^[a-z]i || :") == ""


# Each use of a partition has two commands.  The first command begins the use, and the second command ends the use.
USES = {
    "mounted": ("mount -o ro /dev/vdb2 /mnt", "umount /mnt"),
    "held": ("echo \"0 2048 linear /dev/vdb2 0\" | dmsetup create held", "dmsetup remove held"),
}


def test_package__disk_in_use(deb, boot):
    """Checks that dpkg does not change a disk in use, and prints what the administrator can do."""
    with boot(package=False, serial=SERIAL) as guest:
        copy_packages(guest, deb)
        plug_base(guest)
        plug_base(guest)
        for use, (begin, end) in USES.items():
            guest.run(begin)
            before = {name: properties(guest, name) for name in ("vda1", "vda2", "vdb1", "vdb2")}
            output = guest.run("dpkg --install /root/0.deb")
            for name in "/dev/vda", "/dev/vdb":
                assert f"{name} has the serial BASEIMAGE and is in use" in output, use
            assert "/dev/vdc" not in output and "baseimage_udev=off" in output
            # If one partition is in use, all partitions of the disk stay.
            assert {name: properties(guest, name) for name in before} == before
            assert devices(guest, ["vdc"]) == ["vdc"]
            guest.run(end)
            guest.run("udevadm trigger --settle /dev/vdb")
            assert devices(guest, ["vdb"]) == ["vdb"]
            guest.run("dpkg --purge baseimage-udev")
            assert {name: properties(guest, name) for name in before} == before
            assert devices(guest, ["vdc"]) == ["vdc", "vdc1", "vdc2"]
