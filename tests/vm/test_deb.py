# SPDX-License-Identifier: GPL-2.0-or-later
"""The .deb itself, and its installation where no udev runs."""

import re
import shutil

import pytest

from chroots import Chroot, needs_mounts
from images import run, seed

KIB = 1024
RULES = "usr/lib/udev/rules.d/59-baseimage.rules"


@pytest.fixture
def unpacked(deb, tmp_path):
    run("dpkg-deb", "-R", deb, tmp_path / "unpacked")
    return tmp_path / "unpacked"


def test_deb__small(deb):
    assert deb.stat().st_size <= 24 * KIB


def test_deb__needs_no_libc(deb):
    assert run("dpkg-deb", "-f", deb, "Depends") == "udev\n"


def test_helper__small_and_static(unpacked):
    helper = unpacked / "usr/lib/udev/baseimage_id"
    assert helper.stat().st_size <= 8 * KIB
    assert "There is no dynamic section" in run("readelf", "--dynamic", helper)


def test_helper__segments(unpacked):
    """No executable stack, nothing writable and executable, no setuid bit."""
    helper = unpacked / "usr/lib/udev/baseimage_id"
    flags = re.findall(r"^  (LOAD|GNU_STACK) .* (R?[ W][ E]) +0x", run("readelf", "--segments", "--wide", helper), re.M)
    assert ("GNU_STACK", "RW ") in flags
    assert not [flag for flag in flags if "W" in flag[1] and "E" in flag[1]]
    assert helper.stat().st_mode & 0o7777 == 0o755


def test_status__hardened(status_deb, tmp_path):
    """With all flags that Debian 12 knows; control flow protection came later, that of branches is arm64's."""
    run("dpkg-deb", "-x", status_deb, tmp_path)
    program = tmp_path / "usr/bin/baseimage-status"
    known = run("sh", "-c", "hardening-check --help || :")
    run("hardening-check", *(option for option in ("--nocfprotection", "--nobranchprotection") if option in known),
        program)
    assert program.stat().st_mode & 0o7777 == 0o755


@pytest.fixture
def chroot_of(deb, tmp_path):
    def make(tree):
        chroot = Chroot(tree, tmp_path)
        shutil.copy(deb, chroot.build / "package.deb")
        return chroot
    return make


@pytest.fixture
def plain(chroot_of, status_deb):
    return chroot_of(seed("bookworm", "plain", (status_deb,)))


INSTALL = "chroot $root dpkg --install /build/package.deb\n"
# How much of the package each initramfs has: rule, helper, marker and its directory.
COUNT = """\
for image in $root/boot/initrd.img-*; do
	list=lsinitramfs
	[ ! -e $root/usr/bin/lsinitrd ] || list=lsinitrd
	chroot $root $list /boot/${image##*/} | grep -c 'usr/lib/.*baseimage' || :
done
"""
# As dpkg goes on, how much of the package each initramfs has after it.
STEPS = [("--install /build/older.deb", 4), ("--install /build/package.deb", 4), ("--install /build/package.deb", 4),
         ("--remove baseimage-udev", 0), ("--purge baseimage-udev", 0)]
# An older kernel beside the guest's own; images that the generator does not write.
OLD_KERNEL = """\
version=$(ls $root/lib/modules)
for file in vmlinuz config System.map initrd.img; do
	[ ! -e $root/boot/$file-$version ] || cp $root/boot/$file-$version $root/boot/$file-6.0.0-old
done
ln -s $version $root/lib/modules/6.0.0-old
mkdir -p $root/var/lib/kdump $root/boot/efi/EFI/Linux $root/boot/efi/token/$version
touch $root/var/lib/kdump/initrd.img-$version $root/boot/efi/EFI/Linux/token-$version.efi \
	$root/boot/efi/token/$version/initrd.img-$version
[ ! -e $root/etc/initramfs-tools/initramfs.conf ] || sed -i 's/^MODULES=.*/MODULES=list/' $root/etc/initramfs-tools/initramfs.conf
"""
OTHER_IMAGES = {
    "/var/lib/kdump/initrd.img-{}": "/etc/kernel/postinst.d/kdump-tools {}",
    "/boot/efi/EFI/Linux/token-{}.efi": "kernel-install add {} /boot/vmlinuz-{}",
    "/boot/efi/token/{}/initrd.img-{}": "kernel-install add {} /boot/vmlinuz-{}",
}


@needs_mounts
@pytest.mark.parametrize("suite, flavour", [
    ("bookworm", "plain"), pytest.param("trixie", "dracut", marks=pytest.mark.all_only)])
def test_chroot__installed_and_purged(suite, flavour, older, status_deb, chroot_of, fault):
    """Every kernel's initramfs follows, and dpkg names the images that it cannot regenerate."""
    chroot = chroot_of(seed(suite, flavour, (status_deb,)))
    shutil.copy(older, chroot.build)
    with fault("dpkg: no udevd runs"):
        output = chroot.run(OLD_KERNEL + "".join(
            f"chroot $root dpkg {words} 2>&1\necho \"{words}:\" $({COUNT})\n" for words, _ in STEPS)
            + "cd $root && find . -xdev -name '*baseimage*' ! -name 'baseimage-udev.list'"
            " ! -name '*baseimage-status*' -print\n")
    assert re.findall(r"^(--.*): (\d+ \d+)$", output, re.M) == [
        (words, f"{number} {number}") for words, number in STEPS], output
    assert "./" not in output
    version = re.search(r"/var/lib/kdump/initrd.img-(\S+) was not regenerated", output)[1]
    for image, command in OTHER_IMAGES.items():
        line = f"baseimage-udev: {image} was not regenerated; to regenerate it: {command}".replace("{}", version)
        # At each step but the purge.
        assert output.count(line) == len(STEPS) - 1, (line, output)
    assert "baseimage-udev: /boot/initrd" not in output


@needs_mounts
def test_chroot__no_updates(plain, fault):
    """The administrator forbids updates: dpkg names the initramfs and the command that writes it."""
    with fault("dpkg: update_initramfs=no"):
        output = plain.run("echo update_initramfs=no >$root/etc/initramfs-tools/update-initramfs.conf\n" + INSTALL)
        image, command = re.search("baseimage-udev: (.*) was not regenerated; to regenerate it: (.*)", output).groups()
        assert plain.run(INSTALL + f"chroot $root {command}\nchroot $root lsinitramfs {image}").count("baseimage") >= 4


@needs_mounts
def test_chroot__dpkg_root(plain):
    """dpkg --root with DPKG_ROOT set: the scripts run outside of the system, and do nothing."""
    script = "for s in postinst postrm; do DPKG_ROOT=/nonexistent sh -x $s configure; DPKG_ROOT=/x sh -x $s remove; done"
    output = plain.run(f"cd {plain.build}; dpkg-deb -e package.deb c; cd c; ({script}) 2>&1\n")
    assert not re.search(r"^\++ (?!set|\[|serial=|option=)", output, re.M), output


BREAK_HELPER = "rm /usr/lib/udev/baseimage_id\n"
GENERATORS = {
    "plain": "mkinitramfs -o /build/initrd $(ls /lib/modules)",
    "dracut": "dracut --quiet --force /build/initrd $(ls /lib/modules)",
}


@needs_mounts
@pytest.mark.parametrize("flavour", GENERATORS)
def test_initramfs__fails_without_helper(flavour, deb, status_deb, tmp_path, fault):
    """No initramfs is better than one that boots from the base image."""
    with fault(f"{flavour}: no helper"):
        output = Chroot(seed("trixie", flavour, (status_deb, deb)), tmp_path).inside(
            f"{BREAK_HELPER}if {GENERATORS[flavour]} 2>&1; then echo made; else echo failed; fi\n")
        assert output.endswith("failed\n") and "baseimage-udev: cannot copy" in output


@needs_mounts
def test_dracut__sysroot(deb, status_deb, tmp_path):
    """dracut --sysroot: rule and helper are those of the other system, and udev-rules comes along."""
    tree = seed("trixie", "dracut", (status_deb, deb))
    output = Chroot(tree, tmp_path).inside(
        "mkdir -p /sysroot/var/tmp /sysroot/boot; cp -a /etc /usr /sysroot; for d in bin sbin lib lib64; do ln -s usr/$d /sysroot/$d; done\n"
        "echo 'ENV{OWN}=\"1\"' >>/sysroot/usr/lib/udev/rules.d/59-baseimage.rules\n"
        "dracut --quiet --force --sysroot /sysroot --no-hostonly --no-kernel --modules baseimage-udev /tmp/i\n"
        f"lsinitrd /tmp/i; lsinitrd --file {RULES} /tmp/i\n")
    assert 'ENV{OWN}="1"' in output
    assert "usr/lib/udev/baseimage_id" in output and "60-persistent-storage.rules" in output


@needs_mounts
def test_chroot__read_only_sys(plain, fault):
    """As in a container: /sys is there to be read only, and no udevd runs."""
    with fault("dpkg: /sys read-only"):
        output = plain.run("unshare --net mount -t sysfs -o ro none $root/sys\n" + INSTALL
                           + "chroot $root dpkg-query -W -f '${Status}' baseimage-udev")
        assert output.endswith("install ok installed")


@needs_mounts
def test_chroot__boot_full(plain, fault):
    """dpkg says so, and goes on from there once there is room."""
    with fault("dpkg: /boot full"):
        output = plain.run(
            "cp -a $root/boot $root/tmp/boot\n"
            "mount -t tmpfs -o size=$(du -sk $root/boot | cut -f1)k none $root/boot\n"
            "cp -a $root/tmp/boot/. $root/boot/ || :\n"
            "head -c 1G /dev/zero >$root/boot/full 2>/dev/null || :\n"
            + INSTALL.strip() + " && echo installed || echo failed\n"
            "rm $root/boot/full; mount -o remount,size=1G $root/boot\n"
            "chroot $root dpkg --configure -a\n"
            + COUNT + "chroot $root dpkg --audit\n"
            "chroot $root dpkg-query -W -f '${Status}\\n' baseimage-udev\n")
        assert "\nfailed\n" in output
        assert output.endswith("\n4\ninstall ok installed\n")


@needs_mounts
@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "trixie", "sid"])
def test_chroot__helper_runs(suite, deb, status_deb, tmp_path):
    """One .deb for all releases: the helper runs."""
    chroot = Chroot(seed(suite, "plain", (deb,) if suite == "bullseye" else (status_deb, deb)), tmp_path)
    output = chroot.run("chroot $root env ID_SERIAL=BASEIMAGE /usr/lib/udev/baseimage_id")
    assert output.endswith('ID_FS_UUID=""\nID_FS_TYPE=""\nSYSTEMD_READY=0\nSYSTEMD_IGNORE=1\n')


# What an initramfs of each has of the rule.
LOOK = {
    "plain": "mkdir /tmp/d; DESTDIR=/tmp/d verbose=n sh /usr/share/initramfs-tools/hooks/baseimage-udev\n"
             f"cat /tmp/d/{RULES}\n",
    "dracut": "dracut --quiet --force --no-hostonly --no-kernel --modules baseimage-udev /tmp/i\n"
              f"lsinitrd --file {RULES} /tmp/i\n",
    "dracut-hostonly": "dracut --quiet --force --hostonly --no-kernel --modules baseimage-udev /tmp/i\n"
                       f"lsinitrd --file {RULES} /tmp/i\n",
}
ADMINISTRATOR = {
    "mask": ("ln -s /dev/null /etc/udev/rules.d/59-baseimage.rules", False),
    "own": ("echo 'ENV{OWN}=\"1\"' >/etc/udev/rules.d/59-baseimage.rules", False),
    "none": (":", True),
}


@needs_mounts
@pytest.mark.parametrize("kind", [
    "own", pytest.param("mask", marks=pytest.mark.all_only), pytest.param("none", marks=pytest.mark.all_only)])
@pytest.mark.parametrize("flavour", LOOK)
def test_initramfs__administrators_rule(flavour, kind, deb, status_deb, tmp_path):
    """What is in /etc goes before what the package brings, in the initramfs as in udev."""
    command, ours = ADMINISTRATOR[kind]
    tree = seed("trixie", flavour.removesuffix("-hostonly"), (status_deb, deb))
    output = Chroot(tree, tmp_path).inside(f"{command}\n{LOOK[flavour]}")
    assert ("baseimage_initramfs" in output) == ours, output
    assert ('ENV{OWN}="1"' in output) == (kind == "own"), output
