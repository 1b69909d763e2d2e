# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that boot by themselves: their disks, as a boot loader's own tools make them.

The guest's own disk and its base image differ in one word, once on the kernel
command line and once in the initramfs: so it can tell which of them each was
read from.
"""

import mmap
import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import layouts
from guest import Guest
from images import CACHE, digest, has_package, made_once, making, run

MARK = "loaded-from"
OWN, BASE = f"{MARK}=own.", f"{MARK}=base"      # of one length
CMDLINE = f"{Guest.cmdline()} rw {BASE}"
OVMF = "/usr/share/OVMF/OVMF_{}_4M.fd"
# Of Debian's package ovmf; what a guest writes to its variables is thrown away.
FIRMWARE = {
    "seabios": [],
    "ovmf": ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF.format('CODE')}",
             "-drive", f"if=pflash,unit=1,format=raw,snapshot=on,file={OVMF.format('VARS')}"],
}

# The mark in an initramfs: a piece put before it, which says so to the kernel's
# log by what initramfs-tools reads, or systemd starts, early.
INITRD = dedent(f"""\
    version=$(uname -r)
    mkdir -p /mark/conf/conf.d /mark/etc/systemd/system/sysinit.target.wants
    echo 'echo "initramfs {BASE}" >/dev/kmsg' >/mark/conf/conf.d/mark
    cat >/mark/etc/systemd/system/mark.service <<EOF
    [Unit]
    DefaultDependencies=no
    [Service]
    Type=oneshot
    ExecStart=/bin/sh -c 'echo "initramfs {BASE}" >/dev/kmsg'
    EOF
    ln -s ../mark.service /mark/etc/systemd/system/sysinit.target.wants
    (cd /mark && find . | cpio --quiet -o -H newc) >/boot/mark
    rm -r /mark
    cat /boot/mark /boot/initrd.img-$version >/boot/marked
    mv /boot/marked /boot/initrd.img-$version
    """)
MOUNT_ESP = "mkdir -p /efi && mount -t vfat LABEL=ESP /efi\n"
GRUB = INITRD + MOUNT_ESP + dedent(f"""\
    cat >/etc/default/grub <<EOF
    GRUB_TIMEOUT=0
    GRUB_TERMINAL=serial
    GRUB_CMDLINE_LINUX="{CMDLINE}"
    EOF
    mkdir -p /boot/grub
    grub-install --target=i386-pc /dev/vda
    grub-install --target=x86_64-efi --efi-directory=/efi --removable --no-nvram
    grub-mkconfig -o /boot/grub/grub.cfg
    """)
SYSTEMD_BOOT = INITRD + MOUNT_ESP + dedent(f"""\
    echo "root=UUID={layouts.FS_UUID} {CMDLINE}" >/etc/kernel/cmdline
    bootctl --esp-path=/efi --no-variables install
    kernel-install add $version /boot/vmlinuz-$version /boot/initrd.img-$version
    """)
# No root=: systemd finds it by its type, on the disk that the stub was read from.
UKI = INITRD + MOUNT_ESP + dedent(f"""\
    mkdir -p /efi/EFI/BOOT
    ukify build --linux=/boot/vmlinuz-$version --initrd=/boot/initrd.img-$version --cmdline='{CMDLINE}' \\
        --os-release=@/usr/lib/os-release --output=/efi/EFI/BOOT/BOOTX64.EFI
    """)


@dataclass(frozen=True)
class Loader:
    firmware: str       # of FIRMWARE
    flavour: str        # of images.FLAVOURS
    script: str         # run in the guest, installs it


LOADERS = {
    "seabios-grub": Loader("seabios", "loaders", GRUB),
    "ovmf-grub": Loader("ovmf", "loaders", GRUB),
    "ovmf-systemd-boot": Loader("ovmf", "loaders", SYSTEMD_BOOT),
    "ovmf-uki": Loader("ovmf", "dracut-uki", UKI),
}


def disks(suite, loader, debs):
    """The guest's own disk and its base image."""
    disk = layouts.disk(suite, loader.flavour, "discoverable", debs)
    key = digest(disk.paths[0].parent.name, loader.script, Path(__file__).read_text())
    path = CACHE / "disks" / f"{suite}-{loader.flavour}-loader-{'with' if has_package(debs) else 'without'}-{key}"
    with made_once(path) as partial:
        if partial:
            partial.mkdir()
            with making(f"installing a boot loader ({suite}, {loader.flavour})"):
                root = disk.roots["uuid"]
                with Guest(path.name, disk.kernel, disk.initrd, f"root={root} rw", [(disk.paths[0], None, False)],
                           CACHE / "logs") as guest:
                    guest.run(f"(set -ex\n{loader.script}umount /efi)")
                    guest.save(partial / "base.raw")
                mark_own(partial / "base.raw", partial / "own.raw")
                for name in "own", "base":
                    layouts.compress(partial / f"{name}.raw")
    return path / "own.qcow2", path / "base.qcow2"


def mark_own(base, own):
    """Copies a disk; the marks in the copy are its own."""
    run("cp", "--sparse=always", base, own)
    with open(own, "r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        found = -1
        while (found := content.find(BASE.encode(), found + 1)) >= 0:
            content[found:found + len(BASE)] = OWN.encode()


def loaded_from(guest):
    """Which disk the kernel command line was read from, and which the initramfs."""
    return tuple(re.search(rf"{MARK}=(own|base)", guest.run(command)).group(1)
                 for command in ("cat /proc/cmdline", f"dmesg | grep 'initramfs {MARK}'"))
