# SPDX-License-Identifier: GPL-2.0-or-later
"""Storage layouts: how a seed becomes the disk, or disks, of a guest.

Made in files, with nothing of this machine's kernel: file systems by mkfs from
a directory, LUKS by qemu-img, LVM and md by writing their headers.  A guest fills
the file systems that mkfs cannot fill: xfs, and btrfs over two disks.
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
from images import (CACHE, CRYPT_KEY, CRYPT_NAME, CRYPT_UUID, STABLE, Disk, chroot, digest, has_package, locked,
                    made_once, making, run, seed, seed_path)

SECTOR = 512
MIB = 1 << 20
FS_SIZE = 768 * MIB
FS_UUID = "2b6b4f3e-43c5-4d9f-9b0a-6a3c1d5e7f01"
FS_LABEL = "guestroot"      # at most 12 characters, for xfs
PART_UUID = "7d1f0c52-5be4-4a0c-8f0e-3b9a6c2d4e02"
PART_LABEL = "guestpart"
TABLE_UUID = "c4a90d6e-72b1-4f0d-a3c6-5e8f1b2d9a04"
SWAP_UUID = "9e0c7a5d-1f43-4b60-8c39-2d5b7e6f8a03"
# Of a small file system beside root, for a test to take away.
SPARE_UUID = "4d8e2b71-6c05-4f3a-9d17-8a5b0c3e6f05"
BOOT_UUID = "0a6d3c58-9b27-4e41-b8d2-7c1f5e903b07"
VG = "guestvg"
DOS_ID = "0x5b1e7c02"

FSTAB = {"btrfs": "defaults 0 0", "ext4": "errors=remount-ro 0 1", "xfs": "defaults 0 0"}
# What the oldest guest (its kernel, its fsck) does not know, and a newer mkfs has
# by default: how that lists what it knows, and the options that leave it out.
NEW = {
    "btrfs": (["-O", "list-all"], {"block-group-tree": ["-O", "^block-group-tree"]}),
    "ext4": (["-V"], {"": ["-O", "^orphan_file,^metadata_csum_seed"]}),
    "xfs": ([], {f"{name}=0": [option, f"{name}=0"] for name, option in [
        ("bigtime", "-m"), ("inobtcount", "-m"), ("nrext64", "-i"), ("exchange", "-i"), ("parent", "-n")]}),
}
# GPT types, by which systemd, GRUB and the firmware find partitions
# (uapi-group.org/specifications/specs/discoverable_partitions_specification).
TYPES = {
    "root": "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
    "esp": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
    "swap": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
    "bios": "21686148-6449-6e6f-744e-656564454649",
}
# Names that are awkward in a link, a property or a unit.
AWKWARD = ["a blank", "sla/sh", "Größe ☃", "per%cent", "quo\"te", "back\\slash", "a\nE:FORGED=1"]


def disk(suite, flavour, root, debs=()):
    """Makes, or finds, the disk of a guest: root is a name of ROOTS."""
    make, sources = ROOTS[root]
    key = digest(seed_path(suite, flavour, debs).name, Path(__file__).read_text())
    path = CACHE / "disks" / f"{suite}-{flavour}-{root}-{'with' if has_package(debs) else 'without'}-{key}"
    with made_once(path) as partial:
        if partial:
            directory = seed(suite, flavour, debs)
            # Its seed may be the same, which is locked below.
            own = [builder(debs)] if make in MADE_BY_GUEST else []
            partial.mkdir()
            # One at a time: the seed's fstab is that of the disk being made.
            with locked(directory.with_suffix(".fstab")), making(f"making a disk ({suite}, {flavour}, {root})"):
                make(directory, partial, *own)
            # What starts it stays when the seed is gone.
            for name in "vmlinuz", "initrd.img":
                file, = (directory / "boot").glob(f"{name}-*")
                os.link(file, partial / name)
            for raw in partial.glob("*.raw"):
                compress(raw)
    return Disk(tuple(sorted(path.glob("*.qcow2"))), path / "vmlinuz", path / "initrd.img", sources)


def compress(raw):
    """Replaces a disk by one of a third of its size."""
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd", raw,
        raw.with_suffix(".qcow2"))
    raw.unlink()


# Pieces

def sparse(path, size):
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def copy_into(source, target, offset):
    """Copies a file into another at an offset in bytes, leaving holes as holes."""
    run("dd", f"if={source}", f"of={target}", "bs=1M", f"seek={offset // MIB}",
        "conv=notrunc,sparse", "status=none")


def mkfs(filesystem, *words):
    """Makes one of FS_UUID and FS_LABEL that the oldest guest knows."""
    listing, new = NEW[filesystem]
    program = f"mkfs.{filesystem}"
    known = subprocess.run([program, *listing], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           check=False).stdout
    old = [word for name, options in new.items() if name in known for word in options]
    identity = ["-m", f"uuid={FS_UUID}"] if filesystem == "xfs" else ["-U", FS_UUID]
    run(program, "-q", *old, *identity, "-L", FS_LABEL, *words)


def write_fstab(directory, filesystem, *more):
    lines = [f"UUID={FS_UUID} / {filesystem} {FSTAB[filesystem]}", *more]
    (directory / "etc/fstab").write_text("".join(f"{line}\n" for line in lines))


def make_fs(directory, work, filesystem, *more, fstab=True):
    """A file with the seed on a file system; more: lines of its fstab."""
    if fstab:
        write_fstab(directory, filesystem, *more)
    else:
        (directory / "etc/fstab").unlink(missing_ok=True)
    used = int(run("du", "-sm", directory).split()[0]) * MIB
    path = sparse(Path(work) / "fs", max(FS_SIZE, used * 3 // 2))
    if filesystem == "btrfs":
        mkfs("btrfs", "--rootdir", directory, path)
    else:
        mkfs("ext4", "-d", directory, path)
    return path


class Part(NamedTuple):
    """A partition, for partitioned(): the file that goes into it, its size in bytes."""
    payload: Path
    size: int
    name: str
    uuid: str = None
    type: str = None    # of TYPES


def partitioned(path, *parts):
    """A GPT disk of partitions."""
    sparse(path, sum(part.size for part in parts) + 4 * MIB)
    script, offset = ["label: gpt", f"label-id: {TABLE_UUID}"], MIB
    for part in parts:
        escaped = re.sub(r'[\\"\n]', lambda match: f"\\x{ord(match[0]):02x}", part.name)
        script.append(f"start={offset // SECTOR}, size={part.size // SECTOR}, name=\"{escaped}\""
                      + (f", uuid={part.uuid}" if part.uuid else "")
                      + (f", type={TYPES[part.type]}" if part.type else ""))
        offset += part.size
    table = Path(f"{path}.sfdisk")
    table.write_text("\n".join(script) + "\n")
    run("sh", "-c", f"sfdisk --quiet '{path}' <'{table}'")
    table.unlink()
    offset = MIB
    for part in parts:
        if part.payload:
            copy_into(part.payload, path, offset)
        offset += part.size


def root_part(payload):
    """The partition of root."""
    return Part(payload, -(-os.path.getsize(payload) // MIB) * MIB, PART_LABEL, PART_UUID)


def spare_part(work):
    """Another partition, that nothing in the guest uses."""
    spare = sparse(Path(work) / "spare", 8 * MIB)
    run("mkfs.ext4", "-q", "-U", SPARE_UUID, spare)
    return Part(spare, 8 * MIB, "spare", SPARE_UUID)


def make_swap(work, size):
    """A file with swap space."""
    swap = sparse(Path(work) / "swap", size)
    run("mkswap", "-q", "-U", SWAP_UUID, swap)
    return swap


def swap_part(work, kind=None):
    """A partition of swap space, of a type or of none."""
    return Part(make_swap(work, 8 * MIB), 8 * MIB, "swap", type=kind)


def lvm_uuid(name):
    """As LVM writes them: 32 of its characters, here with and without the dashes."""
    plain = uuid.uuid5(uuid.NAMESPACE_DNS, name).hex
    return plain, "-".join(plain[i:j] for i, j in itertools.pairwise([0, 6, 10, 14, 18, 22, 26, 32]))


def lvm_text(vg, pv_id, extent, pe_count, sizes):
    """The metadata of a volume group in extents of so many sectors: volumes of sizes[name] extents on one PV of
    pe_count extents."""
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


def lvm_pv(path, vg, *volumes):
    """A file that is an LVM PV with volumes of (name, payload); vg's lone one.

    The layout is struct label_header, pv_header, mda_header of lvm2's
    lib/label/label.h and lib/format_text/layout.h.
    """
    def checksum(raw):
        return zlib.crc32(raw, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF

    extent = 4 * MIB
    sizes = {name: -(-os.path.getsize(payload) // extent) for name, payload in volumes}
    pe_count = sum(sizes.values()) + 2      # some room to make more in
    size = MIB + pe_count * extent
    area, area_size = 4096, MIB - 4096
    plain, pv_id = lvm_uuid(f"pv of {vg}")
    text = lvm_text(vg, pv_id, extent // SECTOR, pe_count, sizes)
    # Data areas, metadata areas, each list with an end of its own; version 2, in use, no boot loader.
    header = struct.pack("<I8s32sQ 2Q2Q 2Q2Q 2I2Q", 32, b"LVM2 001", plain.encode(), size,
                         MIB, 0, 0, 0, area, area_size, 0, 0, 2, 1, 0, 0).ljust(SECTOR - 20, b"\0")
    label = struct.pack("<8sQI", b"LABELONE", 1, checksum(header)) + header
    index = struct.pack("<16sI2Q 2Q2I", b" LVM2 x[5A%r0N*>", 1, area, area_size,
                        SECTOR, len(text), checksum(text), 0).ljust(SECTOR - 4, b"\0")
    sparse(path, size)
    with open(path, "r+b") as file:
        for offset, raw in (SECTOR, label), (area, struct.pack("<I", checksum(index)) + index + text):
            file.seek(offset)
            file.write(raw)
    offset = MIB
    for name, payload in volumes:
        copy_into(payload, path, offset)
        offset += sizes[name] * extent
    return path


def md_member(path, name, payload):
    """A file that is the one member of a clean raid1 (superblock 1.2).

    The layout is struct mdp_superblock_1 of linux/raid/md_p.h.
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


# Layouts: each makes 0.raw (and 1.raw) in a directory

def on_partition(filesystem):
    def make(seed_directory, target):
        with tempfile.TemporaryDirectory(dir=target) as work:
            partitioned(target / "0.raw", root_part(make_fs(seed_directory, work, filesystem)), spare_part(work))
    return make


def on_bare_disk(seed_directory, target):
    with tempfile.TemporaryDirectory(dir=target) as work:
        make_fs(seed_directory, work, "btrfs").rename(target / "0.raw")


def builder(debs):
    """The disk of a guest that makes disks.  Its root is no btrfs: the kernel mounts a UUID of that only once."""
    return disk(STABLE, "plain", "ext4", tuple(deb for deb in debs if not has_package([deb])))


def filled(own, seed_directory, work, *blank, option="defaults"):
    """The seed on a file system over files: a guest with its own disk copies it there.  Returns the files."""
    archive, full = Path(work) / "seed.tar", [path.with_suffix(".full") for path in blank]
    run("tar", "-C", seed_directory, "-cf", archive, ".")
    disks = [(own.paths[0], None, False), (archive, None, True), *((path, None, False) for path in blank)]
    with Guest(f"builder-{blank[0].name}", own.kernel, own.initrd, f"root={own.roots['partuuid']} ro", disks,
               CACHE / "logs") as guest:
        guest.run(f"mount -o {option} /dev/vdc /mnt && tar -C /mnt -xf /dev/vdb && umount /mnt")
        guest.save(None, None, *full)
    return full


def on_xfs(seed_directory, target, own):
    """The mkfs.xfs of Debian 12 fills none."""
    write_fstab(seed_directory, "xfs")
    with tempfile.TemporaryDirectory(dir=target) as work:
        blank = sparse(Path(work) / "xfs", FS_SIZE)
        mkfs("xfs", blank)
        root, = filled(own, seed_directory, work, blank)
        partitioned(target / "0.raw", root_part(root), spare_part(work))


def on_two_disks(seed_directory, target, own):
    """Data and metadata on both.  mkfs.btrfs fills no more than one."""
    write_fstab(seed_directory, "btrfs")
    with tempfile.TemporaryDirectory(dir=target) as work:
        blank = [sparse(Path(work) / name, FS_SIZE) for name in ("first", "second")]
        mkfs("btrfs", "-d", "raid0", "-m", "raid1", *blank)
        for number, path in enumerate(filled(own, seed_directory, work, *blank, option="device=/dev/vdd")):
            path.rename(target / f"{number}.raw")


MADE_BY_GUEST = on_xfs, on_two_disks


def on_lvm(seed_directory, target):
    with tempfile.TemporaryDirectory(dir=target) as work:
        payload = make_fs(seed_directory, work, "ext4")
        partitioned(target / "0.raw", root_part(lvm_pv(Path(work) / "pv", VG, ("root", payload))), spare_part(work))


def on_lvm_bare_disk(seed_directory, target):
    with tempfile.TemporaryDirectory(dir=target) as work:
        payload = make_fs(seed_directory, work, "ext4")
        lvm_pv(Path(work) / "pv", VG, ("root", payload)).rename(target / "0.raw")


def on_md(seed_directory, target):
    with tempfile.TemporaryDirectory(dir=target) as work:
        payload = make_fs(seed_directory, work, "ext4")
        partitioned(target / "0.raw", root_part(md_member(Path(work) / "md", "guest:root", payload)),
                    spare_part(work))


def on_luks(seed_directory, target):
    with tempfile.TemporaryDirectory(dir=target) as work:
        payload = make_fs(seed_directory, work, "ext4")
        luks = Path(work) / "luks"
        command = ["qemu-img", "convert", "-f", "raw", payload, "-O", "luks",
                   "--object", f"secret,id=key,data={CRYPT_KEY}",
                   "-o", "key-secret=key,iter-time=10,cipher-alg=aes-256", luks]
        for attempt in range(20):
            try:
                run(*command)
                break
            except RuntimeError as error:
                # It times itself; on a busy machine its thread's time may stand still.
                if "accurate CPU usage" not in str(error) or attempt == 19:
                    raise
        run("cryptsetup", "luksUUID", "--batch-mode", "--uuid", CRYPT_UUID, luks)
        partitioned(target / "0.raw", root_part(luks), spare_part(work))


def beside_parts(seed_directory, work):
    """Everything that can lie beside a root, as partitions."""
    root = make_fs(seed_directory, work, "btrfs", f"UUID={SWAP_UUID} none swap sw 0 0")
    small = sparse(work / "small", 8 * MIB)
    run("mkfs.ext4", "-q", small)
    bcache = sparse(work / "bcache", 8 * MIB)
    run("make-bcache", "-B", bcache)
    pv = lvm_pv(work / "pv", "besidevg", ("data", small))
    md = md_member(work / "md", "guest:beside", small)
    parts = [root_part(root), spare_part(work), swap_part(work), Part(bcache, 8 * MIB, "bcache"),
             Part(pv, os.path.getsize(pv), "pv"), Part(md, os.path.getsize(md), "md")]
    for number, label in enumerate(AWKWARD):
        labelled = sparse(work / f"labelled{number}", 2 * MIB)
        run("mkfs.ext4", "-q", "-L", label, labelled)
        parts.append(Part(labelled, 2 * MIB, label))
    return parts


def beside_root(at_least=0):
    """Those, and empty ones up to a number of partitions."""
    def make(seed_directory, target):
        with tempfile.TemporaryDirectory(dir=target) as work:
            parts = beside_parts(seed_directory, Path(work))
            parts += [Part(None, MIB, f"filler {n}") for n in range(len(parts), at_least)]
            partitioned(target / "0.raw", *parts)
    return make


def discoverable(seed_directory, target):
    """All that a system is booted by, each of its type, and no fstab."""
    with tempfile.TemporaryDirectory(dir=target) as name:
        work = Path(name)
        root = make_fs(seed_directory, work, "ext4", fstab=False)
        esp = sparse(work / "esp", 160 * MIB)
        run("mkfs.vfat", "-F", "32", "-n", "ESP", esp)
        partitioned(target / "0.raw", Part(None, MIB, "bios", type="bios"), Part(esp, 160 * MIB, "esp", type="esp"),
                    Part(root, os.path.getsize(root), "root", PART_UUID, "root"), swap_part(work, "swap"))


def dos_partitioned(path, primary, logical):
    """A DOS disk with two files in it: a primary partition, and the one logical partition in the second."""
    first, second = (-(-os.path.getsize(payload) // MIB) * MIB for payload in (primary, logical))
    sparse(path, first + second + 4 * MIB)
    sectors = [(MIB, first, "83"), (MIB + first, second + 2 * MIB, "5"), (2 * MIB + first, second, "83")]
    script = [f"label: dos\nlabel-id: {DOS_ID}"]
    script += [f"start={start // SECTOR}, size={size // SECTOR}, type={kind}" for start, size, kind in sectors]
    run("sh", "-c", f"printf '{chr(10).join(script)}\n' | sfdisk --quiet '{path}'")
    copy_into(primary, path, MIB)
    copy_into(logical, path, 2 * MIB + first)


def on_dos(seed_directory, target):
    """As the installer does it: root, and swap space large enough to hibernate to."""
    with tempfile.TemporaryDirectory(dir=target) as work:
        root = make_fs(seed_directory, work, "ext4", f"UUID={SWAP_UUID} none swap sw 0 0")
        dos_partitioned(target / "0.raw", root, make_swap(work, 512 * MIB))


def on_dos_lvm(seed_directory, target):
    """As the installer does it with LVM: /boot, and a volume group with root and swap space."""
    with tempfile.TemporaryDirectory(dir=target) as work:
        root = make_fs(seed_directory, work, "ext4", f"UUID={BOOT_UUID} /boot ext4 defaults 0 2",
                       f"/dev/mapper/{VG}-swap_1 none swap sw 0 0")
        boot = sparse(Path(work) / "boot", 8 * MIB)
        run("mkfs.ext4", "-q", "-U", BOOT_UUID, boot)
        pv = lvm_pv(Path(work) / "pv", VG, ("root", root), ("swap_1", make_swap(work, 8 * MIB)))
        dos_partitioned(target / "0.raw", boot, pv)


def on_live_medium(seed_directory, target):
    """A live system: the seed in a squashfs on a partition, and another for what it changes."""
    chroot(seed_directory, "mksquashfs", "/", "/tmp/squashfs", "-wildcards", "-e", "proc/*", "tmp/*",
           "-comp", "zstd", "-Xcompression-level", "1", "-quiet", "-no-progress")
    with tempfile.TemporaryDirectory(dir=target) as work:
        live = Path(work) / "medium/live"
        live.mkdir(parents=True)
        shutil.move(seed_directory / "tmp/squashfs", live / "filesystem.squashfs")
        medium = sparse(Path(work) / "fs", FS_SIZE)
        mkfs("ext4", "-d", live.parent, medium)
        union = Path(work) / "persistence/persistence.conf"
        union.parent.mkdir()
        union.write_text("/ union\n")
        changes = sparse(Path(work) / "changes", 64 * MIB)
        run("mkfs.ext4", "-q", "-L", "persistence", "-d", union.parent, changes)
        partitioned(target / "0.raw", root_part(medium), Part(changes, 64 * MIB, "persistence"))


BY_FS = {"uuid": f"UUID={FS_UUID}", "label": f"LABEL={FS_LABEL}"}
BY_PART = {"partuuid": f"PARTUUID={PART_UUID}", "partlabel": f"PARTLABEL={PART_LABEL}"}

# How root is stored: what makes it, and the values that root= can take.
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
# Those without a partition.
BARE = {"btrfs-disk", "btrfs-two-disks", "lvm-disk"}
