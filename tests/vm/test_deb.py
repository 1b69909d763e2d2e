# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks the .deb files, and installs the packages in chroots.  In these chroots, no udevd runs."""

import re
import shutil

import pytest

from chroots import NATIVE, SOURCE, TRIPLETS, Chroot, build_tree, copy_source, needs_mounts
from images import run, seed, static_qemu, write_script
from inert import HELPER, RULE

KIB = 1024


def unpack_helper(deb, directory, kib):
    """Unpacks a .deb file.  Returns the helper's path.  The helper must be static, and have at most "kib" KiB."""
    run("dpkg-deb", "-R", deb, directory)
    helper = directory / HELPER[1:]
    assert helper.stat().st_size <= kib * KIB
    assert "There is no dynamic section" in run("readelf", "--dynamic", helper)
    return helper


def test_deb__contents(deb, tmp_path):
    """Checks that the package is small and needs only udev.

    The helper has the mode 0755, no executable stack and no segment that is writable and executable.
    """
    assert deb.stat().st_size <= 24 * KIB
    assert run("dpkg-deb", "-f", deb, "Depends") == "udev\n"
    helper = unpack_helper(deb, tmp_path / "unpacked", 8)
    assert helper.stat().st_mode & 0o7777 == 0o755
    flags = re.findall(r"^  (LOAD|GNU_STACK) .* (R?[ W][ E]) +0x", run("readelf", "--segments", "--wide", helper), re.M)
    assert ("GNU_STACK", "RW ") in flags
    assert not [flag for flag in flags if "W" in flag[1] and "E" in flag[1]]


@needs_mounts
@pytest.mark.all_only
@pytest.mark.parametrize("suite, architecture", [("trixie", "arm64"), *(("sid", name) for name in [NATIVE, *TRIPLETS])])
def test_cross(suite, architecture, tmp_path):
    """Builds the package for an architecture, and runs the unit test of the helper with an emulator."""
    chroot = Chroot(build_tree(suite, architecture), tmp_path)
    copy_source(chroot.build / "source")
    chroot.inside("cd /build/source\n"
                  f"dpkg-buildpackage -us -uc -b --host-arch {architecture} --build-profiles=cross,nocheck")
    deb, = chroot.build.glob(f"baseimage-udev_*_{architecture}.deb")
    helper = unpack_helper(deb, tmp_path / "unpacked", 8 if architecture == NATIVE else 12)
    assert run("dpkg-deb", "-f", deb, "Static-Built-Using").startswith("musl (= ")
    # The script below runs the emulator by name, so the kernel does not need binfmt_misc.
    emulator = "" if architecture == NATIVE else f"qemu-{TRIPLETS[architecture].split('-')[0]}"
    if architecture == "loong64":
        # gcc uses instructions of loong64 that the qemu-user of Debian 12 does not emulate.
        emulator = static_qemu() / emulator
    write_script(tmp_path / "program", f"#!/bin/sh\nexec {emulator} {helper} \"$@\"\n")
    version = run("dpkg-deb", "-f", deb, "Version").strip().split("-")[0]
    run("/usr/bin/python3", SOURCE / "tests/unit/test_baseimage_id.py",
        env={"HELPER": str(tmp_path / "program"), "VERSION": version})


def test_status__hardened(status_deb, tmp_path):
    """Checks that baseimage-status has all hardening options of Debian 12."""
    run("dpkg-deb", "-x", status_deb, tmp_path)
    program = tmp_path / "usr/bin/baseimage-status"
    # A newer hardening-check also checks two options that Debian 12 does not use.
    known = run("sh", "-c", "hardening-check --help || :")
    run("hardening-check", *(option for option in ("--nocfprotection", "--nobranchprotection") if option in known),
        program)
    assert program.stat().st_mode & 0o7777 == 0o755


@pytest.fixture
def make_chroot(deb, status_deb, tmp_path):
    """Returns a function that makes a chroot with the system of a guest.

    The chroot has /build/package.deb.  If the argument "package" is true, baseimage-udev is installed in the chroot.
    """
    def make(suite="bookworm", flavour="plain", package=False):
        chroot = Chroot(seed(suite, flavour, (status_deb, deb) if package else (status_deb,)), tmp_path)
        shutil.copy(deb, chroot.build / "package.deb")
        return chroot
    return make


INSTALL = "chroot $root dpkg --install /build/package.deb\n"
# These commands print how many files of the package are in each initramfs.  If the package is installed, the number is
# 4: the rule, the helper, the marker and the marker's directory.
COUNT = """\
for image in $root/boot/initrd.img-*; do
	list=lsinitramfs
	[ ! -e $root/usr/bin/lsinitrd ] || list=lsinitrd
	chroot $root $list /boot/${image##*/} | grep -c 'usr/lib/.*baseimage' || :
done
"""
# Each row has arguments of dpkg and a number.  After dpkg has run, each initramfs has this number of package files.
STEPS = [("--install /build/older.deb", 4), ("--install /build/package.deb", 4), ("--install /build/package.deb", 4),
         ("--remove baseimage-udev", 0), ("--purge baseimage-udev", 0)]
# These commands copy the kernel to an older version, and add images that the package cannot regenerate.  One of these
# images belongs to no kernel.
OTHER_KERNEL_AND_IMAGES = """\
version=$(ls $root/lib/modules)
for file in vmlinuz config System.map initrd.img; do
	[ ! -e $root/boot/$file-$version ] || cp $root/boot/$file-$version $root/boot/$file-6.0.0-old
done
ln -s $version $root/lib/modules/6.0.0-old
mkdir -p $root/var/lib/kdump $root/boot/efi/EFI/Linux $root/boot/efi/token/$version
touch $root/var/lib/kdump/initrd.img-$version $root/boot/efi/EFI/Linux/token-$version.efi \
	$root/boot/efi/EFI/Linux/linux-$version-id.efi $root/boot/efi/EFI/Linux/token-0$version.efi \
	$root/boot/efi/token/$version/initrd.img-$version
conf=$root/etc/initramfs-tools/initramfs.conf
[ ! -e $conf ] || sed -i 's/^MODULES=.*/MODULES=list/' $conf
"""
# Maps each image to the command that dpkg must print.  Each {} is the version of the kernel.
OTHER_IMAGES = {
    "/var/lib/kdump/initrd.img-{}": "/etc/kernel/postinst.d/kdump-tools {}",
    "/boot/efi/EFI/Linux/token-{}.efi": "kernel-install add {} /boot/vmlinuz-{}",
    "/boot/efi/EFI/Linux/linux-{}-id.efi": "kernel-install add {} /boot/vmlinuz-{}",
    "/boot/efi/token/{}/initrd.img-{}": "kernel-install add {} /boot/vmlinuz-{}",
}


@needs_mounts
@pytest.mark.parametrize("suite, flavour", [
    ("bookworm", "plain"), pytest.param("trixie", "dracut", marks=pytest.mark.all_only)])
def test_chroot__installed_and_purged(suite, flavour, older_deb, make_chroot, fault):
    """Checks that dpkg regenerates the initramfs of every kernel, and that a purge leaves no file."""
    chroot = make_chroot(suite, flavour)
    shutil.copy(older_deb, chroot.build)
    with fault("dpkg: no udevd runs"):
        output = chroot.run(OTHER_KERNEL_AND_IMAGES + "".join(
            f"chroot $root dpkg {words} 2>&1\necho \"{words}:\" $({COUNT})\n" for words, _ in STEPS)
            + "cd $root && find . -xdev -name '*baseimage*' ! -name 'baseimage-udev.list'"
            " ! -name '*baseimage-status*' -print\n")
    assert re.findall(r"^(--.*): (\d+ \d+)$", output, re.M) == [
        (words, f"{number} {number}") for words, number in STEPS], output
    assert "./" not in output
    version = re.search(r"/var/lib/kdump/initrd.img-(\S+) was not regenerated", output)[1]
    for image, command in OTHER_IMAGES.items():
        line = f"baseimage-udev: {image} was not regenerated; to regenerate it: {command}".replace("{}", version)
        # Each step except the purge prints the line.
        assert output.count(line) == len(STEPS) - 1, (line, output)
    assert "baseimage-udev: /boot/initrd" not in output and "token-0" not in output


@needs_mounts
def test_chroot__no_updates(make_chroot, fault):
    """If update_initramfs=no, dpkg must print the command that regenerates the initramfs."""
    chroot = make_chroot()
    with fault("dpkg: update_initramfs=no"):
        install = "echo update_initramfs=no >$root/etc/initramfs-tools/update-initramfs.conf\n" + INSTALL
        command = re.search("baseimage-udev: .* was not regenerated; to regenerate it: (.*)", chroot.run(install))[1]
        # chroot.run() discards the changes of the first run.
        assert chroot.run(f"({install}chroot $root {command}) >/dev/null 2>&1\n{COUNT}") == "4\n"


@needs_mounts
def test_chroot__dpkg_root(make_chroot):
    """With --force-script-chrootless, dpkg sets DPKG_ROOT to another system.  Then the scripts must do nothing."""
    script = "for s in postinst postrm; do DPKG_ROOT=/x sh -x $s configure; DPKG_ROOT=/x sh -x $s remove; done"
    chroot = make_chroot()
    output = chroot.run(f"cd {chroot.build}; dpkg-deb -e package.deb c; cd c; ({script}) 2>&1\n")
    assert not re.search(r"^\++ (?!set|\[|serial=|option=)", output, re.M), output


GENERATORS = {
    "plain": "mkinitramfs -o /build/initrd $(ls /lib/modules)",
    "dracut": "dracut --quiet --force /build/initrd $(ls /lib/modules)",
}


@needs_mounts
@pytest.mark.parametrize("flavour", GENERATORS)
def test_initramfs__fails_without_helper(flavour, make_chroot, fault):
    """If an initramfs lacked the helper, the guest could boot from the base image.  So the generator must fail."""
    with fault(f"{flavour}: no helper"):
        output = make_chroot("trixie", flavour, package=True).inside(
            f"rm {HELPER}\n"
            f"if {GENERATORS[flavour]} 2>&1; then echo made; else echo failed; fi\n")
        assert output.endswith("failed\n") and "baseimage-udev: cannot copy" in output


@needs_mounts
def test_dracut__sysroot(make_chroot):
    """Checks that dracut --sysroot copies the rule of the sysroot, the helper and udev's rules."""
    output = make_chroot("trixie", "dracut", package=True).inside(
        "mkdir -p /sysroot/var/tmp /sysroot/boot; cp -a /etc /usr /sysroot\n"
        "for d in bin sbin lib lib64; do ln -s usr/$d /sysroot/$d; done\n"
        f"echo 'ENV{{OWN}}=\"1\"' >>/sysroot{RULE}\n"
        "dracut --quiet --force --sysroot /sysroot --no-hostonly --no-kernel --modules baseimage-udev /tmp/i\n"
        f"lsinitrd /tmp/i; lsinitrd --file {RULE[1:]} /tmp/i\n")
    assert 'ENV{OWN}="1"' in output
    assert HELPER[1:] in output and "60-persistent-storage.rules" in output


@needs_mounts
def test_chroot__read_only_sys_and_boot_full(make_chroot, fault):
    """Checks that dpkg fails while /boot is full, and that "dpkg --configure" succeeds when /boot has room again.

    /sys is read-only and no udevd runs, as in a container.
    """
    with fault("dpkg: /sys read-only"), fault("dpkg: /boot full"):
        output = make_chroot().run(
            "unshare --net mount -t sysfs -o ro none $root/sys\n"
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


DRACUT = ("dracut --quiet --force --{} --no-kernel --modules baseimage-udev /tmp/i\n"
          f"lsinitrd --file {RULE[1:]} /tmp/i\n")
# Maps each flavour to commands.  The commands print the rule that the hook or dracut copies to the initramfs.
PRINT_RULE = {
    "plain": "mkdir /tmp/d; DESTDIR=/tmp/d verbose=n sh /usr/share/initramfs-tools/hooks/baseimage-udev\n"
             f"cat /tmp/d{RULE}\n",
    "dracut": DRACUT.format("no-hostonly"),
    "dracut-hostonly": DRACUT.format("hostonly"),
}
ADMINISTRATOR = {
    "mask": "ln -s /dev/null /etc/udev/rules.d/59-baseimage.rules",
    "own": "echo 'ENV{OWN}=\"1\"' >/etc/udev/rules.d/59-baseimage.rules",
}


@needs_mounts
@pytest.mark.parametrize("kind", ["own", pytest.param("mask", marks=pytest.mark.all_only)])
@pytest.mark.parametrize("flavour", PRINT_RULE)
def test_initramfs__administrators_rule(flavour, kind, make_chroot):
    """Checks that a rule in /etc replaces the package's rule in the initramfs, as in the running system."""
    output = make_chroot("trixie", flavour.removesuffix("-hostonly"), package=True).inside(
        f"{ADMINISTRATOR[kind]}\n{PRINT_RULE[flavour]}")
    assert "baseimage_initramfs" not in output, output
    assert ('ENV{OWN}="1"' in output) == (kind == "own"), output
