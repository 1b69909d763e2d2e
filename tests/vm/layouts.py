# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the disks of a guest from a seed, which is the directory of a system that a guest can boot (images.py).

A layout is the content of the disks: partitions, volumes and file systems.  Each layout has a function.  The functions
write files, and mount nothing on this machine.  mkfs makes a file system and copies the seed to the file system.
qemu-img makes LUKS containers.  This machine's kernel may not support LVM or md, so a guest makes empty LVM volumes and
md arrays.  mkfs cannot copy a directory to xfs, or to btrfs on two disks.  For these layouts, a guest copies the seed.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from guest import Guest
from images import (CACHE, CRYPT_KEY, CRYPT_NAME, CRYPT_UUID, STABLE, Disk, cache_path, cached, chroot, digest, locked,
                    progress, run, seed, seed_path)

SECTOR = 512
MIB = 1 << 20
GIB = 1 << 30
FS_SIZE = 768 * MIB
FS_UUID = "2b6b4f3e-43c5-4d9f-9b0a-6a3c1d5e7f01"
FS_LABEL = "guestroot"      # a label of xfs has at most 12 characters
PART_UUID = "7d1f0c52-5be4-4a0c-8f0e-3b9a6c2d4e02"
PART_LABEL = "guestpart"
TABLE_UUID = "c4a90d6e-72b1-4f0d-a3c6-5e8f1b2d9a04"
SWAP_UUID = "9e0c7a5d-1f43-4b60-8c39-2d5b7e6f8a03"
# The scanner "findfs" in inert.py erases the small file system with this UUID.
SPARE_UUID = "4d8e2b71-6c05-4f3a-9d17-8a5b0c3e6f05"
BOOT_UUID = "0a6d3c58-9b27-4e41-b8d2-7c1f5e903b07"
VG = "guestvg"
INSTALLER_VG = "installervg"
DOS_ID = "0x5b1e7c02"

FSTAB = {"btrfs": "defaults 0 0", "ext4": "errors=remount-ro 0 1", "xfs": "defaults 0 0"}
# A newer mkfs enables these features by default, but the kernel of the oldest guest does not support these features.
# Each tuple has a list and a dictionary.  With the options in the list, mkfs prints the features that mkfs knows.  The
# dictionary maps each feature to the options that disable the feature.
NEWER_FEATURES = {
    "btrfs": (["-O", "list-all"], {"block-group-tree": ["-O", "^block-group-tree"]}),
    "ext4": (["-V"], {"": ["-O", "^orphan_file,^metadata_csum_seed"]}),
    "xfs": ([], {f"{name}=0": [option, f"{name}=0"] for name, option in [
        ("bigtime", "-m"), ("inobtcount", "-m"), ("nrext64", "-i"), ("exchange", "-i"), ("parent", "-n")]}),
}
# systemd, GRUB and the firmware find partitions by these GPT types
# (uapi-group.org/specifications/specs/discoverable_partitions_specification).
TYPES = {
    "root": "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
    "esp": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
    "swap": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
    "bios": "21686148-6449-6e6f-744e-656564454649",
    "extended": "5",    # the type in a DOS partition table
}
# udevd and systemd must escape these labels in links, properties and units.
UNUSUAL_LABELS = ["a blank", "sla/sh", "Größe ☃", "per%cent", "quo\"te", "back\\slash", "a\nE:FORGED=1"]


def disk(suite, flavour, layout, debs=()):
    """Returns the Disk of a guest, from the cache if possible.  The argument "layout" is a key of ROOTS."""
    make, roots = ROOTS[layout]
    path = cache_path("disks", f"{suite}-{flavour}-{layout}", debs, seed_path(suite, flavour, debs).name,
                      Path(__file__).read_text())
    with cached(path) as partial:
        if partial:
            directory = seed(suite, flavour, debs)
            # builder_disk() can lock the same file as the "with" statement below, so this call must come first.
            if layout in NEEDS_BUILDER:
                builder_disk()
            partial.mkdir()
            # make() writes /etc/fstab in the seed.  So only one process at a time can make a disk from the seed.
            with (locked(directory.with_suffix(".fstab")), progress(f"making a disk ({suite}, {flavour}, {layout})"),
                  tempfile.TemporaryDirectory(dir=partial) as work):
                make(directory, partial, Path(work))
            # prune() can remove the seed before the disk.  So the directory of the disk has hard links to these files.
            for name in "vmlinuz", "initrd.img":
                file, = (directory / "boot").glob(f"{name}-*")
                os.link(file, partial / name)
            for raw in partial.glob("*.raw"):
                compress(raw)
    return Disk(tuple(sorted(path.glob("*.qcow2"))), path / "vmlinuz", path / "initrd.img", roots)


def compress(raw):
    """Replaces a raw image by a qcow2 image, which needs a third of the space."""
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd", raw,
        raw.with_suffix(".qcow2"))
    raw.unlink()


# The following functions make parts of a disk.

def sparse(path, size):
    """Makes a sparse file.  The size is in bytes.  Returns the path."""
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def copy_into(source, target, offset):
    """Copies the file "source" into the sparse file "target".  The offset in "target" is in bytes."""
    run("dd", f"if={source}", f"of={target}", "bs=1M", f"seek={offset // MIB}",
        "conv=notrunc,sparse", "status=none")


def mkfs(filesystem, *words):
    """Makes a file system that has FS_UUID and FS_LABEL, but does not have the features in NEWER_FEATURES."""
    listing, newer = NEWER_FEATURES[filesystem]
    program = f"mkfs.{filesystem}"
    known = subprocess.run([program, *listing], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           check=False).stdout
    disabled = [word for name, options in newer.items() if name in known for word in options]
    identity = ["-m", f"uuid={FS_UUID}"] if filesystem == "xfs" else ["-U", FS_UUID]
    run(program, "-q", *disabled, *identity, "-L", FS_LABEL, *words)


def small_ext4(path, size, *words):
    """Makes a file that contains an ext4 file system.  The size is in bytes.  Returns the path."""
    run("mkfs.ext4", "-q", *words, sparse(path, size))
    return path


def write_fstab(directory, filesystem, *more):
    lines = [f"UUID={FS_UUID} / {filesystem} {FSTAB[filesystem]}", *more]
    (directory / "etc/fstab").write_text("".join(f"{line}\n" for line in lines))


def make_fs(directory, work, filesystem, *more, fstab=True):
    """Makes a file system that contains the seed.  The argument "more" has lines for fstab.  Returns the path."""
    if fstab:
        write_fstab(directory, filesystem, *more)
    else:
        (directory / "etc/fstab").unlink(missing_ok=True)
    used = int(run("du", "-sm", directory).split()[0]) * MIB
    path = sparse(work / "fs", max(FS_SIZE, used * 3 // 2))
    mkfs(filesystem, {"btrfs": "--rootdir", "ext4": "-d"}[filesystem], directory, path)
    return path


class Part(NamedTuple):
    """Describes a partition."""
    payload: Path       # the file that partitioned() copies to the partition
    name: str = None    # None in a DOS partition table
    uuid: str = None
    type: str = None    # a key of TYPES
    size: int = None    # size in bytes; None: the size of the payload, rounded up to MiB


def partitioned(path, *parts, table=f"label: gpt\nlabel-id: {TABLE_UUID}"):
    """Makes a disk with a partition table.  The argument "parts" has a Part for each partition.

    The argument "table" has the header lines of the script for sfdisk.  The first partition begins at 1 MiB.
    """
    script, total = [table], 4      # the partition tables need at most 4 MiB
    for part in parts:
        size = -(-(part.size or (os.path.getsize(part.payload) if part.payload else 0)) // MIB)
        total += size
        name = part.name and re.sub(r'[\\"\n]', lambda match: f"\\x{ord(match[0]):02x}", part.name)
        fields = {"size": size and f"{size}MiB", "name": name and f'"{name}"', "uuid": part.uuid,
                  "type": TYPES.get(part.type)}
        script.append(", ".join(f"{field}={value}" for field, value in fields.items() if value))
    sparse(path, total * MIB)
    subprocess.run(["sfdisk", "--quiet", path], input="\n".join(script) + "\n", text=True, check=True)
    starts = run("partx", "--show", "--noheadings", "--output", "START", path).split()
    for part, start in zip(parts, starts, strict=True):
        if part.payload:
            copy_into(part.payload, path, int(start) * SECTOR)


def root_part(payload):
    return Part(payload, PART_LABEL, PART_UUID)


def spare_part(work):
    """Returns a Part for a small partition that the guest does not use."""
    return Part(small_ext4(work / "spare", 8 * MIB, "-U", SPARE_UUID), "spare", SPARE_UUID)


def make_swap(work, size=8 * MIB):
    """Makes a file with swap space.  The size is in bytes.  Returns the path."""
    swap = sparse(work / "swap", size)
    run("mkswap", "-q", "-U", SWAP_UUID, swap)
    return swap


def lvm_commands(vg, *volumes):
    """Returns commands that make a volume group on $disk, and volumes of 1 GiB in the volume group."""
    return [f"vgcreate {vg} $disk", *(f"lvcreate -an -Zn -Wn -n {name} -L 1g {vg}" for name in volumes)]


def md_commands(name):
    """Returns commands that make an md array and then stop the array.  The only member of the array is $disk."""
    return ["mdadm --create /dev/md/new --run --force --level=1 --raid-devices=1 --metadata=1.2 --data-offset=1024"
            f" --bitmap=none --homehost=guest --name={name} $disk", "mdadm --stop --scan"]


# Maps the name of each disk image to the number of its empty volumes, and to commands.  A guest runs these commands,
# which make the volumes.  The first volume begins at 1 MiB.  The second volume follows the first volume without a gap.
EMPTY = {
    "root_vg": (1, lvm_commands(VG, "root")),
    "installer_vg": (2, lvm_commands(INSTALLER_VG, "root", "swap_1")),
    "beside_vg": (1, lvm_commands("besidevg", "data")),
    "root_md": (1, md_commands("root")),
    "beside_md": (1, md_commands("beside")),
}


def empty_volumes():
    """Returns the directory that has a disk image for each name in EMPTY.  A guest makes all images in one boot."""
    path = CACHE / "builds" / f"empty-volumes-{digest(EMPTY)}"
    with cached(path) as partial:
        if partial:
            partial.mkdir()
            # The 16 MiB are for metadata, and for a free extent, which the scanner "lvcreate" in inert.py needs.
            blank = [sparse(partial / f"{name}.blank", number * GIB + 16 * MIB) for name, (number, _) in EMPTY.items()]
            commands = [line for letter, (_, lines) in zip("bcdef", EMPTY.values())
                        for line in (f"disk=/dev/vd{letter}", *lines)]
            run_in_builder(blank, [file.with_suffix(".raw") for file in blank], "\n".join(["(set -e", *commands, ")"]))
            for file in blank:
                file.unlink()
    return path


def filled(work, name, *payloads):
    """Copies a disk image of empty_volumes(), and writes a payload to each volume.  Returns the path of the copy."""
    path = work / name
    shutil.copy(empty_volumes() / f"{name}.raw", path)
    for number, payload in enumerate(payloads):
        copy_into(payload, path, MIB + number * GIB)
    return path


# Each function in ROOTS makes the disks of one layout.  The first disk is target/0.raw, and a second disk is
# target/1.raw.  The argument "work" is an empty directory for temporary files.

def on_partition(make_root):
    """Returns a function for ROOTS.  This function copies the file from make_root() to a partition."""
    def make(seed_directory, target, work):
        partitioned(target / "0.raw", root_part(make_root(seed_directory, work)), spare_part(work))
    return make


def on_bare_disk(make_root):
    """Returns a function for ROOTS.  This function makes the file from make_root() the whole disk."""
    def make(seed_directory, target, work):
        make_root(seed_directory, work).rename(target / "0.raw")
    return make


def root_on(filesystem, volume=None):
    """Returns the function make_root.  If "volume" is a key of EMPTY, make_root() puts root on the first volume."""
    def make_root(seed_directory, work):
        path = make_fs(seed_directory, work, filesystem)
        return filled(work, volume, path) if volume else path
    return make_root


def builder_disk():
    """Returns the disk of a guest that makes other disks.

    Root of this guest is on ext4, and has the same UUID as the file systems to which the guest copies a seed.  If root
    were on btrfs, the kernel would confuse root with a btrfs file system that has the same UUID.
    """
    return disk(STABLE, "plain", "ext4")


def run_in_builder(disks, targets, commands):
    """Boots a guest, which runs commands.  In the guest, the disk images in "disks" are /dev/vdb, /dev/vdc, and so on.

    After the commands, writes each disk to the path that has the same position in "targets".  If the path is None, does
    not write the disk.
    """
    builder = builder_disk()
    with Guest(f"builder-{disks[-1].name}", builder, f"root={builder.roots['partuuid']} ro",
               [(path, None, False) for path in (builder.paths[0], *disks)]) as guest:
        guest.run(commands)
        guest.save(None, *targets)


def fill_in_guest(seed_directory, work, filesystem, number, *words, option="defaults"):
    """Makes a file system on a number of disks.  Boots a guest, which copies the seed to the file system.

    The argument "words" has options of mkfs, and "option" is a mount option.  Returns the paths of the disk images.
    """
    write_fstab(seed_directory, filesystem)
    blank = [sparse(work / f"{filesystem}{index}", FS_SIZE) for index in range(number)]
    mkfs(filesystem, *words, *blank)
    archive, full = work / "seed.tar", [path.with_suffix(".full") for path in blank]
    run("tar", "-C", seed_directory, "-cf", archive, ".")
    run_in_builder([archive, *blank], [None, *full],
                   f"mount -o {option} /dev/vdc /mnt && tar -C /mnt -xf /dev/vdb && umount /mnt")
    return full


def xfs_root(seed_directory, work):
    """Makes root on xfs.  A guest copies the seed, because mkfs.xfs of Debian 12 cannot copy a directory."""
    return fill_in_guest(seed_directory, work, "xfs", 1)[0]


def on_two_disks(seed_directory, target, work):
    """Makes a btrfs file system on two disks.  Each disk has data and metadata.

    A guest copies the seed, because mkfs.btrfs can copy a directory only to a file system on one disk.
    """
    words = "-d", "raid0", "-m", "raid1"
    for number, path in enumerate(fill_in_guest(seed_directory, work, "btrfs", 2, *words, option="device=/dev/vdd")):
        path.rename(target / f"{number}.raw")


def luks_root(seed_directory, work):
    command = ["qemu-img", "convert", "-f", "raw", make_fs(seed_directory, work, "ext4"), "-O", "luks",
               "--object", f"secret,id=key,data={CRYPT_KEY}",
               "-o", "key-secret=key,iter-time=10,cipher-alg=aes-256", work / "luks"]
    for attempt in range(20):
        try:
            run(*command)
            break
        except RuntimeError as error:
            # qemu-img measures the CPU time of the key derivation.  On a busy machine, the measurement can fail.
            if "accurate CPU usage" not in str(error) or attempt == 19:
                raise
    run("cryptsetup", "luksUUID", "--batch-mode", "--uuid", CRYPT_UUID, work / "luks")
    return work / "luks"


def beside_root(at_least=0):
    """Returns a function that makes a disk with root on btrfs, and with many other partitions.

    The other partitions have swap space, LVM, md, bcache, and ext4 file systems with unusual labels.  If the disk has
    fewer than "at_least" partitions, the function adds empty partitions.
    """
    def make(seed_directory, target, work):
        root = make_fs(seed_directory, work, "btrfs", f"UUID={SWAP_UUID} none swap sw 0 0")
        small = small_ext4(work / "small", 8 * MIB)
        bcache = sparse(work / "bcache", 8 * MIB)
        run("make-bcache", "-B", bcache)
        parts = [root_part(root), spare_part(work), Part(make_swap(work), "swap"), Part(bcache, "bcache"),
                 Part(filled(work, "beside_vg", small), "pv"), Part(filled(work, "beside_md", small), "md")]
        parts += [Part(small_ext4(work / f"labelled{number}", 2 * MIB, "-L", label), label)
                  for number, label in enumerate(UNUSUAL_LABELS)]
        parts += [Part(None, f"filler {n}", size=MIB) for n in range(len(parts), at_least)]
        partitioned(target / "0.raw", *parts)
    return make


def discoverable(seed_directory, target, work):
    """Makes a disk without fstab.  The boot loader and systemd find the partitions by their GPT types."""
    root = make_fs(seed_directory, work, "ext4", fstab=False)
    esp = sparse(work / "esp", 160 * MIB)
    run("mkfs.vfat", "-F", "32", "-n", "ESP", esp)
    partitioned(target / "0.raw", Part(None, "bios", type="bios", size=MIB), Part(esp, "esp", type="esp"),
                Part(root, "root", PART_UUID, "root"), Part(make_swap(work), "swap", type="swap"))


def dos_partitioned(path, primary, logical):
    """Makes a DOS partition table.  Copies "primary" to a primary partition, and "logical" to a logical partition."""
    # The extended Part has no size.  So sfdisk gives the rest of the disk to the extended partition.
    partitioned(path, Part(primary), Part(None, type="extended"), Part(logical),
                table=f"label: dos\nlabel-id: {DOS_ID}")


def on_dos(seed_directory, target, work):
    """Makes the default layout of Debian's installer, with enough swap space to hibernate."""
    root = make_fs(seed_directory, work, "ext4", f"UUID={SWAP_UUID} none swap sw 0 0")
    dos_partitioned(target / "0.raw", root, make_swap(work, 512 * MIB))


def on_dos_lvm(seed_directory, target, work):
    """Makes the LVM layout of Debian's installer: /boot, and a volume group that has root and swap space."""
    root = make_fs(seed_directory, work, "ext4", f"UUID={BOOT_UUID} /boot ext4 defaults 0 2",
                   f"/dev/mapper/{INSTALLER_VG}-swap_1 none swap sw 0 0")
    boot = small_ext4(work / "boot", 8 * MIB, "-U", BOOT_UUID)
    dos_partitioned(target / "0.raw", boot, filled(work, "installer_vg", root, make_swap(work)))


def on_live_medium(seed_directory, target, work):
    """Makes a live system.  The first partition has the seed as squashfs.  The second partition stores changes."""
    chroot(seed_directory, "mksquashfs", "/", "/tmp/squashfs", "-wildcards", "-e", "proc/*", "tmp/*",
           "-comp", "zstd", "-Xcompression-level", "1", "-quiet", "-no-progress")
    live, union = work / "medium/live/filesystem.squashfs", work / "persistence/persistence.conf"
    live.parent.mkdir(parents=True)
    shutil.move(seed_directory / "tmp/squashfs", live)
    medium = sparse(work / "fs", FS_SIZE)
    mkfs("ext4", "-d", work / "medium", medium)
    union.parent.mkdir()
    union.write_text("/ union\n")
    changes = small_ext4(work / "changes", 64 * MIB, "-L", "persistence", "-d", union.parent)
    partitioned(target / "0.raw", root_part(medium), Part(changes, "persistence"))


BY_FS = {"uuid": f"UUID={FS_UUID}", "label": f"LABEL={FS_LABEL}"}
BY_PART = {"partuuid": f"PARTUUID={PART_UUID}", "partlabel": f"PARTLABEL={PART_LABEL}"}

# Maps each layout to the function that makes the disks, and to the possible values of root=.
ROOTS = {
    "btrfs": (on_partition(root_on("btrfs")), BY_FS | BY_PART),
    "btrfs-disk": (on_bare_disk(root_on("btrfs")), BY_FS),
    "btrfs-two-disks": (on_two_disks, BY_FS),
    "ext4": (on_partition(root_on("ext4")), {"label": BY_FS["label"]} | BY_PART),
    "xfs": (on_partition(xfs_root), {"uuid": BY_FS["uuid"], "partuuid": BY_PART["partuuid"]}),
    "lvm": (on_partition(root_on("ext4", "root_vg")), {"mapper": f"/dev/mapper/{VG}-root", "uuid": BY_FS["uuid"]}),
    "lvm-disk": (on_bare_disk(root_on("ext4", "root_vg")), {"mapper": f"/dev/mapper/{VG}-root"}),
    "md": (on_partition(root_on("ext4", "root_md")), BY_FS),
    "luks": (on_partition(luks_root), {"mapper": f"/dev/mapper/{CRYPT_NAME}", "uuid": BY_FS["uuid"]}),
    "beside": (beside_root(), {"uuid": BY_FS["uuid"]}),
    "beside-64": (beside_root(64), {"uuid": BY_FS["uuid"]}),
    "discoverable": (discoverable, {"uuid": BY_FS["uuid"]}),
    "dos": (on_dos, {"uuid": BY_FS["uuid"], "partuuid": f"PARTUUID={DOS_ID[2:]}-01"}),
    "dos-lvm": (on_dos_lvm, {"mapper": f"/dev/mapper/{INSTALLER_VG}-root"}),
    "live": (on_live_medium, {"live": "/dev/nothing boot=live"}),
}
# For these layouts, a guest makes the empty volumes, or copies the seed to the file system.
NEEDS_BUILDER = {"xfs", "btrfs-two-disks", "lvm", "lvm-disk", "md", "beside", "beside-64", "dos-lvm"}
# These layouts have no partitions.
BARE = {"btrfs-disk", "btrfs-two-disks", "lvm-disk"}
