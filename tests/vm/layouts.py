# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the disks of a guest from a seed.  Each storage layout has a function.

The functions only write files, and mount nothing on this machine.  mkfs makes a file system and copies the seed to the
file system.  qemu-img makes LUKS containers, and this module writes the metadata of LVM and md.  mkfs cannot copy a
directory to xfs, or to btrfs on two disks.  For these layouts, a guest copies the seed.
"""

import itertools
import os
import re
import shutil
import struct
import subprocess
import tempfile
import uuid
import zlib
from pathlib import Path
from typing import NamedTuple

from guest import Guest
from images import (CRYPT_KEY, CRYPT_NAME, CRYPT_UUID, STABLE, Disk, cache_path, cached, chroot, has_package, locked,
                    progress, run, seed, seed_path)

SECTOR = 512
MIB = 1 << 20
FS_SIZE = 768 * MIB
FS_UUID = "2b6b4f3e-43c5-4d9f-9b0a-6a3c1d5e7f01"
FS_LABEL = "guestroot"      # xfs allows 12 characters
PART_UUID = "7d1f0c52-5be4-4a0c-8f0e-3b9a6c2d4e02"
PART_LABEL = "guestpart"
TABLE_UUID = "c4a90d6e-72b1-4f0d-a3c6-5e8f1b2d9a04"
SWAP_UUID = "9e0c7a5d-1f43-4b60-8c39-2d5b7e6f8a03"
# The scanner "findfs" erases the small file system with this UUID.
SPARE_UUID = "4d8e2b71-6c05-4f3a-9d17-8a5b0c3e6f05"
BOOT_UUID = "0a6d3c58-9b27-4e41-b8d2-7c1f5e903b07"
VG = "guestvg"
DOS_ID = "0x5b1e7c02"

FSTAB = {"btrfs": "defaults 0 0", "ext4": "errors=remount-ro 0 1", "xfs": "defaults 0 0"}
# A newer mkfs enables these features by default, but the kernel of the oldest guest does not support these features.
# With the first list of options, mkfs prints the features that it knows.  The dictionary maps each feature to the
# options that disable the feature.
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
            # builder_disk() can take the lock below.  So this call must come before the lock.
            builder = [builder_disk(debs)] if make in NEEDS_BUILDER else []
            partial.mkdir()
            # make() writes /etc/fstab in the seed, so only one process at a time can make a disk from the seed.
            with (locked(directory.with_suffix(".fstab")), progress(f"making a disk ({suite}, {flavour}, {layout})"),
                  tempfile.TemporaryDirectory(dir=partial) as work):
                make(directory, partial, Path(work), *builder)
            # The disk needs its own links to these files, because prune() can remove the seed before the disk.
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


def rounded_size(path, unit=MIB):
    """Returns the size of a file in bytes, rounded up to a multiple of "unit"."""
    return -(-os.path.getsize(path) // unit) * unit


def copy_into(source, target, offset):
    """Copies the file "source" into the sparse file "target".  The offset in "target" is in bytes."""
    run("dd", f"if={source}", f"of={target}", "bs=1M", f"seek={offset // MIB}",
        "conv=notrunc,sparse", "status=none")


def mkfs(filesystem, *words):
    """Makes a file system with FS_UUID and FS_LABEL, without the features in NEWER_FEATURES."""
    listing, newer = NEWER_FEATURES[filesystem]
    program = f"mkfs.{filesystem}"
    known = subprocess.run([program, *listing], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           check=False).stdout
    disabled = [word for name, options in newer.items() if name in known for word in options]
    identity = ["-m", f"uuid={FS_UUID}"] if filesystem == "xfs" else ["-U", FS_UUID]
    run(program, "-q", *disabled, *identity, "-L", FS_LABEL, *words)


def small_ext4(path, size, *words):
    """Makes a file with an ext4 file system.  The size is in bytes.  Returns the path."""
    run("mkfs.ext4", "-q", *words, sparse(path, size))
    return path


def write_fstab(directory, filesystem, *more):
    lines = [f"UUID={FS_UUID} / {filesystem} {FSTAB[filesystem]}", *more]
    (directory / "etc/fstab").write_text("".join(f"{line}\n" for line in lines))


def make_fs(directory, work, filesystem, *more, fstab=True):
    """Makes a file system that contains the seed.  The argument "more" has lines to add to fstab.  Returns the path."""
    if fstab:
        write_fstab(directory, filesystem, *more)
    else:
        (directory / "etc/fstab").unlink(missing_ok=True)
    used = int(run("du", "-sm", directory).split()[0]) * MIB
    path = sparse(work / "fs", max(FS_SIZE, used * 3 // 2))
    mkfs(filesystem, {"btrfs": "--rootdir", "ext4": "-d"}[filesystem], directory, path)
    return path


class Part(NamedTuple):
    """Describes a partition of a GPT disk."""
    payload: Path       # the file that partitioned() copies to the partition
    name: str
    uuid: str = None
    type: str = None    # a key of TYPES
    size: int = None    # size in bytes; None: the size of the payload, rounded up to MiB


def partitioned(path, *parts):
    """Makes a disk with a GPT.  The argument "parts" has the partitions."""
    sizes = [part.size or rounded_size(part.payload) for part in parts]
    offsets = [MIB + sum(sizes[:number]) for number in range(len(sizes))]
    script = ["label: gpt", f"label-id: {TABLE_UUID}"]
    for part, size, offset in zip(parts, sizes, offsets):
        escaped = re.sub(r'[\\"\n]', lambda match: f"\\x{ord(match[0]):02x}", part.name)
        script.append(f"start={offset // SECTOR}, size={size // SECTOR}, name=\"{escaped}\""
                      + (f", uuid={part.uuid}" if part.uuid else "")
                      + (f", type={TYPES[part.type]}" if part.type else ""))
    write_table(path, sum(sizes) + 4 * MIB, script)
    for part, offset in zip(parts, offsets):
        if part.payload:
            copy_into(part.payload, path, offset)


def write_table(path, size, script):
    """Makes an empty disk, and runs sfdisk with a script that makes the partition table.  The size is in bytes."""
    sparse(path, size)
    subprocess.run(["sfdisk", "--quiet", path], input="\n".join(script) + "\n", text=True, check=True)


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


def lvm_uuid(name):
    """Returns two forms of a UUID that depends on the name: without dashes, and with dashes in LVM's format."""
    plain = uuid.uuid5(uuid.NAMESPACE_DNS, name).hex
    return plain, "-".join(plain[i:j] for i, j in itertools.pairwise([0, 6, 10, 14, 18, 22, 26, 32]))


def lvm_text(vg, pv_id, extent, pe_count, sizes):
    """Returns LVM's metadata of a volume group that has one PV.

    The argument "extent" is the number of sectors in an extent.  The argument "pe_count" is the number of extents of
    the PV.  The argument "sizes" maps the name of each volume to its number of extents.
    """
    lines = [f"{vg} {{", f'id = "{lvm_uuid(vg)[1]}"', "seqno = 1", 'format = "lvm2"',
             'status = ["RESIZEABLE", "READ", "WRITE"]', "flags = []", f"extent_size = {extent}",
             "max_lv = 0", "max_pv = 0", "metadata_copies = 0", "physical_volumes {", "pv0 {", f'id = "{pv_id}"',
             'status = ["ALLOCATABLE"]', "flags = []", f"dev_size = {MIB // SECTOR + pe_count * extent}",
             f"pe_start = {MIB // SECTOR}", f"pe_count = {pe_count}", "}", "}", "logical_volumes {"]
    start = 0
    for name, size in sizes.items():
        lines += [f"{name} {{", f'id = "{lvm_uuid(f"{vg}/{name}")[1]}"', 'status = ["READ", "WRITE", "VISIBLE"]',
                  "flags = []", "segment_count = 1", "segment1 {", "start_extent = 0", f"extent_count = {size}",
                  'type = "striped"', "stripe_count = 1", f'stripes = ["pv0", {start}]', "}", "}"]
        start += size
    lines += ["}", "}", 'contents = "Text Format Volume Group"', "version = 1", 'description = ""',
              'creation_host = "guest"', "creation_time = 1"]
    return "\n".join(lines).encode() + b"\n\0"


def lvm_pv(path, vg, **volumes):
    """Makes a file that is the only PV of a volume group.  Returns the path.

    The argument "volumes" maps the name of each volume to the file that this function copies to the volume.
    The structs label_header, pv_header and mda_header define the format (lib/label/label.h and
    lib/format_text/layout.h in lvm2).
    """
    def checksum(raw):
        return zlib.crc32(raw, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF

    extent = 4 * MIB
    sizes = {name: rounded_size(payload, extent) // extent for name, payload in volumes.items()}
    pe_count = sum(sizes.values()) + 2      # the scanner "lvcreate" needs a free extent
    area, area_size = 4096, MIB - 4096
    plain, pv_id = lvm_uuid(f"pv of {vg}")
    text = lvm_text(vg, pv_id, extent // SECTOR, pe_count, sizes)
    # A pair of zeros ends the list of data areas, and another pair of zeros ends the list of metadata areas.  The
    # extension of the PV header has version 2.
    header = struct.pack("<I8s32sQ 2Q2Q 2Q2Q 2I2Q", 32, b"LVM2 001", plain.encode(), MIB + pe_count * extent,
                         MIB, 0, 0, 0, area, area_size, 0, 0, 2, 1, 0, 0).ljust(SECTOR - 20, b"\0")
    label = struct.pack("<8sQI", b"LABELONE", 1, checksum(header)) + header
    index = struct.pack("<16sI2Q 2Q2I", b" LVM2 x[5A%r0N*>", 1, area, area_size,
                        SECTOR, len(text), checksum(text), 0).ljust(SECTOR - 4, b"\0")
    sparse(path, MIB + pe_count * extent)
    with open(path, "r+b") as file:
        for offset, raw in (SECTOR, label), (area, struct.pack("<I", checksum(index)) + index + text):
            file.seek(offset)
            file.write(raw)
    offset = MIB
    for name, payload in volumes.items():
        copy_into(payload, path, offset)
        offset += sizes[name] * extent
    return path


def md_member(path, name, payload):
    """Makes a file that is the only member of a clean raid1 array with superblock 1.2.  Returns the path.

    The struct mdp_superblock_1 in linux/raid/md_p.h defines the format.
    """
    data_offset, data_size = MIB, os.path.getsize(payload)
    set_uuid = uuid.uuid5(uuid.NAMESPACE_DNS, name).bytes
    whole = (1 << 64) - 1

    def superblock(checksum):
        return struct.pack(
            "<4I16s32sQ2IQ2II I Q 4I 3Q Q 2I 16s 2B H I 3Q 2I 32x H",
            0xA92B4EFC, 1, 0, 0, set_uuid, name.encode(), 0, 1, 0, data_size // SECTOR, 0, 1, 0,
            0, 0, 0, 0, 0, 0, data_offset // SECTOR, data_size // SECTOR, 8, 0, 0, 0,
            set_uuid[::-1], 0, 0, 0, 0, 0, 1, whole, checksum, 1, 0)

    raw = superblock(0)
    total = sum(struct.unpack(f"<{len(raw) // 4}I", raw[:len(raw) // 4 * 4]))
    total += struct.unpack("<H", raw[-2:])[0]
    sparse(path, data_offset + data_size)
    with open(path, "r+b") as file:
        file.seek(8 * SECTOR)
        file.write(superblock((total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF))
    copy_into(payload, path, data_offset)
    return path


# Each of the following functions makes the disks of one layout.  The first disk is target/0.raw; a second disk is
# target/1.raw.  The argument "work" is an empty directory for temporary files.

def on_partition(filesystem):
    def make(seed_directory, target, work):
        partitioned(target / "0.raw", root_part(make_fs(seed_directory, work, filesystem)), spare_part(work))
    return make


def on_bare_disk(seed_directory, target, work):
    make_fs(seed_directory, work, "btrfs").rename(target / "0.raw")


def builder_disk(debs):
    """Returns the disk of a guest that makes other disks.

    The root of this guest is on ext4.  So the guest can mount a btrfs file system with the same UUID.  With root on
    btrfs, the kernel would take the two file systems for one.
    """
    return disk(STABLE, "plain", "ext4", tuple(deb for deb in debs if not has_package([deb])))


def fill_in_guest(builder, seed_directory, work, *blank, option="defaults"):
    """Boots a guest, which copies the seed to an empty file system.

    The argument "blank" has the paths of the disk images with the empty file system.  Returns the paths of new disk
    images, on which the file system has the seed.
    """
    archive, full = work / "seed.tar", [path.with_suffix(".full") for path in blank]
    run("tar", "-C", seed_directory, "-cf", archive, ".")
    disks = [(builder.paths[0], None, False), (archive, None, True), *((path, None, False) for path in blank)]
    with Guest(f"builder-{blank[0].name}", builder.kernel, builder.initrd, f"root={builder.roots['partuuid']} ro",
               disks) as guest:
        guest.run(f"mount -o {option} /dev/vdc /mnt && tar -C /mnt -xf /dev/vdb && umount /mnt")
        guest.save(None, None, *full)
    return full


def on_xfs(seed_directory, target, work, builder):
    """Copies the seed in a guest, because mkfs.xfs of Debian 12 cannot copy a directory to the new file system."""
    write_fstab(seed_directory, "xfs")
    blank = sparse(work / "xfs", FS_SIZE)
    mkfs("xfs", blank)
    root, = fill_in_guest(builder, seed_directory, work, blank)
    partitioned(target / "0.raw", root_part(root), spare_part(work))


def on_two_disks(seed_directory, target, work, builder):
    """Makes a btrfs on two disks.  Each disk has data and metadata.

    Copies the seed in a guest, because mkfs.btrfs can copy a directory only to a file system on one disk.
    """
    write_fstab(seed_directory, "btrfs")
    blank = [sparse(work / name, FS_SIZE) for name in ("first", "second")]
    mkfs("btrfs", "-d", "raid0", "-m", "raid1", *blank)
    for number, path in enumerate(fill_in_guest(builder, seed_directory, work, *blank, option="device=/dev/vdd")):
        path.rename(target / f"{number}.raw")


NEEDS_BUILDER = on_xfs, on_two_disks


def on_lvm(seed_directory, target, work):
    pv = lvm_pv(work / "pv", VG, root=make_fs(seed_directory, work, "ext4"))
    partitioned(target / "0.raw", root_part(pv), spare_part(work))


def on_lvm_bare_disk(seed_directory, target, work):
    lvm_pv(target / "0.raw", VG, root=make_fs(seed_directory, work, "ext4"))


def on_md(seed_directory, target, work):
    member = md_member(work / "md", "guest:root", make_fs(seed_directory, work, "ext4"))
    partitioned(target / "0.raw", root_part(member), spare_part(work))


def on_luks(seed_directory, target, work):
    command = ["qemu-img", "convert", "-f", "raw", make_fs(seed_directory, work, "ext4"), "-O", "luks",
               "--object", f"secret,id=key,data={CRYPT_KEY}",
               "-o", "key-secret=key,iter-time=10,cipher-alg=aes-256", work / "luks"]
    for attempt in range(20):
        try:
            run(*command)
            break
        except RuntimeError as error:
            # qemu-img measures the CPU time of its key derivation.  The measurement can fail on a busy machine.
            if "accurate CPU usage" not in str(error) or attempt == 19:
                raise
    run("cryptsetup", "luksUUID", "--batch-mode", "--uuid", CRYPT_UUID, work / "luks")
    partitioned(target / "0.raw", root_part(work / "luks"), spare_part(work))


def beside_root(at_least=0):
    """Returns a function that makes a disk with root on btrfs and with many other partitions.

    The other partitions have swap space, LVM, md, bcache or an ext4 with an unusual label.  Then empty partitions
    follow, until the disk has "at_least" partitions.
    """
    def make(seed_directory, target, work):
        root = make_fs(seed_directory, work, "btrfs", f"UUID={SWAP_UUID} none swap sw 0 0")
        small = small_ext4(work / "small", 8 * MIB)
        bcache = sparse(work / "bcache", 8 * MIB)
        run("make-bcache", "-B", bcache)
        parts = [root_part(root), spare_part(work), Part(make_swap(work), "swap"), Part(bcache, "bcache"),
                 Part(lvm_pv(work / "pv", "besidevg", data=small), "pv"),
                 Part(md_member(work / "md", "guest:beside", small), "md")]
        parts += [Part(small_ext4(work / f"labelled{number}", 2 * MIB, "-L", label), label)
                  for number, label in enumerate(UNUSUAL_LABELS)]
        parts += [Part(None, f"filler {n}", size=MIB) for n in range(len(parts), at_least)]
        partitioned(target / "0.raw", *parts)
    return make


def discoverable(seed_directory, target, work):
    """Makes a disk on which a boot loader and systemd find all partitions by their GPT types, without fstab."""
    root = make_fs(seed_directory, work, "ext4", fstab=False)
    esp = sparse(work / "esp", 160 * MIB)
    run("mkfs.vfat", "-F", "32", "-n", "ESP", esp)
    partitioned(target / "0.raw", Part(None, "bios", type="bios", size=MIB), Part(esp, "esp", type="esp"),
                Part(root, "root", PART_UUID, "root"), Part(make_swap(work), "swap", type="swap"))


def dos_partitioned(path, primary, logical):
    """Makes a disk with a DOS partition table.

    The primary partition has the content of the file "primary".  The logical partition has the content of the file
    "logical".
    """
    first, second = rounded_size(primary), rounded_size(logical)
    sectors = [(MIB, first, "83"), (MIB + first, second + 2 * MIB, "5"), (2 * MIB + first, second, "83")]
    write_table(path, first + second + 4 * MIB, ["label: dos", f"label-id: {DOS_ID}", *(
        f"start={start // SECTOR}, size={size // SECTOR}, type={kind}" for start, size, kind in sectors)])
    copy_into(primary, path, MIB)
    copy_into(logical, path, 2 * MIB + first)


def on_dos(seed_directory, target, work):
    """Makes the default layout of Debian's installer, with enough swap space to hibernate."""
    root = make_fs(seed_directory, work, "ext4", f"UUID={SWAP_UUID} none swap sw 0 0")
    dos_partitioned(target / "0.raw", root, make_swap(work, 512 * MIB))


def on_dos_lvm(seed_directory, target, work):
    """Makes the layout of Debian's installer with LVM: /boot, and a volume group with root and swap space."""
    root = make_fs(seed_directory, work, "ext4", f"UUID={BOOT_UUID} /boot ext4 defaults 0 2",
                   f"/dev/mapper/{VG}-swap_1 none swap sw 0 0")
    boot = small_ext4(work / "boot", 8 * MIB, "-U", BOOT_UUID)
    dos_partitioned(target / "0.raw", boot, lvm_pv(work / "pv", VG, root=root, swap_1=make_swap(work)))


def on_live_medium(seed_directory, target, work):
    """Makes a live system.  The first partition has the seed as squashfs; the second partition stores changes."""
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

# Maps each layout to the function that makes the disk, and to the possible values of root=.
ROOTS = {
    "btrfs": (on_partition("btrfs"), BY_FS | BY_PART),
    "btrfs-disk": (on_bare_disk, BY_FS),
    "btrfs-two-disks": (on_two_disks, BY_FS),
    "ext4": (on_partition("ext4"), {"label": BY_FS["label"]} | BY_PART),
    "xfs": (on_xfs, {"uuid": BY_FS["uuid"], "partuuid": BY_PART["partuuid"]}),
    "lvm": (on_lvm, {"mapper": f"/dev/mapper/{VG}-root", "uuid": BY_FS["uuid"]}),
    "lvm-disk": (on_lvm_bare_disk, {"mapper": f"/dev/mapper/{VG}-root"}),
    "md": (on_md, BY_FS),
    "luks": (on_luks, {"mapper": f"/dev/mapper/{CRYPT_NAME}", "uuid": BY_FS["uuid"]}),
    "beside": (beside_root(), {"uuid": BY_FS["uuid"]}),
    "beside-64": (beside_root(64), {"uuid": BY_FS["uuid"]}),
    "discoverable": (discoverable, {"uuid": BY_FS["uuid"]}),
    "dos": (on_dos, {"uuid": BY_FS["uuid"], "partuuid": f"PARTUUID={DOS_ID[2:]}-01"}),
    "dos-lvm": (on_dos_lvm, {"mapper": f"/dev/mapper/{VG}-root"}),
    "live": (on_live_medium, {"live": "/dev/nothing boot=live"}),
}
# These layouts have no partitions.
BARE = {"btrfs-disk", "btrfs-two-disks", "lvm-disk"}
