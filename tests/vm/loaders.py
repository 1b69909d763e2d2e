# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes disks that boot through firmware and a boot loader.  The boot loader's own tools install the boot loader.

The kernel command line and the initramfs contain a mark.  On the base image, the mark differs from the mark on the
guest's own disk.  So the mark shows from which disk the boot loader read the kernel command line and the initramfs.
"""

import mmap
import re
from pathlib import Path
from textwrap import dedent

import layouts
from guest import KERNEL_OPTIONS, Guest
from images import cache_path, cached, progress, run

MARK = "loaded-from"
OWN, BASE = f"{MARK}=own.", f"{MARK}=base"      # mark_own() needs two texts of the same length
CMDLINE = f"{KERNEL_OPTIONS} rw {BASE}"
OVMF = "/usr/share/OVMF/OVMF_{}_4M.fd"
# Maps each firmware to options of QEMU.  The files are in Debian's package ovmf.  With snapshot=on, QEMU does not write
# the firmware's variables to the file.
FIRMWARE = {
    "seabios": [],
    "ovmf": ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF.format('CODE')}",
             "-drive", f"if=pflash,unit=1,format=raw,snapshot=on,file={OVMF.format('VARS')}"],
}

# These commands put a cpio archive before the initramfs, and mount the ESP (EFI system partition).  The archive has a
# script and a service.  initramfs-tools runs the script, or systemd starts the service.  Both write the mark to the
# kernel's log.
PREPARE = dedent(f"""\
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
    mkdir -p /efi
    mount -t vfat LABEL=ESP /efi
    """)
GRUB = PREPARE + dedent(f"""\
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
SYSTEMD_BOOT = PREPARE + dedent(f"""\
    echo "root=UUID={layouts.FS_UUID} {CMDLINE}" >/etc/kernel/cmdline
    bootctl --esp-path=/efi --no-variables install
    kernel-install add $version /boot/vmlinuz-$version /boot/initrd.img-$version
    """)
# These commands make a unified kernel image (UKI), whose kernel command line has no root=.  systemd searches the disk
# from which the firmware read the UKI.  systemd finds root by the GPT type of the partition.
UKI = PREPARE + dedent(f"""\
    mkdir -p /efi/EFI/BOOT
    ukify build --linux=/boot/vmlinuz-$version --initrd=/boot/initrd.img-$version --cmdline='{CMDLINE}' \\
        --os-release=@/usr/lib/os-release --output=/efi/EFI/BOOT/BOOTX64.EFI
    """)


# Maps each boot loader to a flavour of images.py, and to shell commands that install the boot loader in a guest.  The
# name of each boot loader begins with a key of FIRMWARE.
LOADERS = {
    "seabios-grub": ("loaders", GRUB),
    "ovmf-grub": ("loaders", GRUB),
    "ovmf-systemd-boot": ("loaders", SYSTEMD_BOOT),
    "ovmf-uki": ("dracut-uki", UKI),
}


def disks(suite, loader, debs):
    """Returns the paths of two images: the image of the guest's own disk, and the base image."""
    flavour, script = LOADERS[loader]
    disk = layouts.disk(suite, flavour, "discoverable", debs)
    path = cache_path("disks", f"{suite}-{flavour}-loader", debs, disk.paths[0].parent.name, script,
                      Path(__file__).read_text())
    with cached(path) as partial:
        if partial:
            partial.mkdir()
            own, base = partial / "own.raw", partial / "base.raw"
            with progress(f"installing a boot loader ({suite}, {flavour})"):
                own_disk = [(disk.paths[0], None, False)]
                with Guest(path.name, disk, f"root={disk.roots['uuid']} rw", own_disk) as guest:
                    guest.run(f"(set -ex\n{script}umount /efi)")
                    guest.save(base)
                mark_own(base, own)
                for raw in own, base:
                    layouts.compress(raw)
    return path / "own.qcow2", path / "base.qcow2"


def mark_own(base, own):
    """Copies the file "base" to the file "own", and changes the marks in the copy."""
    run("cp", "--sparse=always", base, own)
    with open(own, "r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        found = -1
        while (found := content.find(BASE.encode(), found + 1)) >= 0:
            content[found:found + len(BASE)] = OWN.encode()


def loaded_from(guest):
    """Returns the disks from which the kernel command line and the initramfs were read, each as "own" or "base"."""
    return tuple(re.search(rf"{MARK}=(own|base)", guest.run(command)).group(1)
                 for command in ("cat /proc/cmdline", f"dmesg | grep 'initramfs {MARK}'"))
