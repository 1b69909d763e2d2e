# SPDX-License-Identifier: GPL-2.0-or-later
"""Storage layouts: how a seed becomes the disk, or disks, of a guest.

Made without a device-mapper or md driver: file systems by mkfs from a
directory, LVM by lvcreate --driverloaded n, LUKS by qemu-img, md by writing
the member's superblock.
"""

import contextlib
import os
import re
import struct
import tempfile
import uuid
from pathlib import Path

from images import (CACHE, CRYPT_KEY, CRYPT_NAME, CRYPT_UUID, Disk, digest, has_package, locked,
                    made_once, making, run, seed)

SECTOR = 512
MIB = 1 << 20
FS_SIZE = 768 * MIB
FS_UUID = "2b6b4f3e-43c5-4d9f-9b0a-6a3c1d5e7f01"
FS_LABEL = "guestroot"      # at most 12 characters, for xfs
PART_UUID = "7d1f0c52-5be4-4a0c-8f0e-3b9a6c2d4e02"
PART_LABEL = "guestpart"
TABLE_UUID = "c4a90d6e-72b1-4f0d-a3c6-5e8f1b2d9a04"
SWAP_UUID = "9e0c7a5d-1f43-4b60-8c39-2d5b7e6f8a03"
VG = "guestvg"

FSTAB = {"btrfs": "defaults 0 0", "ext4": "errors=remount-ro 0 1", "xfs": "defaults 0 0"}
# Names that are awkward in a link, a property or a unit.
AWKWARD = ["a blank", "sla/sh", "Größe ☃", "per%cent", "quo\"te", "back\\slash", "a\nE:FORGED=1"]


def disk(suite, flavour, root, debs=()):
    """Makes, or finds, the disk of a guest: root is a name of ROOTS."""
    directory = seed(suite, flavour, debs)
    make, sources = ROOTS[root]
    key = digest(directory.name, Path(__file__).read_text())
    path = CACHE / "disks" / f"{suite}-{flavour}-{root}-{'with' if has_package(debs) else 'without'}-{key}"
    with made_once(path) as partial:
        if partial:
            partial.mkdir()
            # One at a time: the seed's fstab is that of the disk being made.
            with locked(directory.with_suffix(".fstab")), making(f"making a disk ({suite}, {flavour}, {root})"):
                make(directory, partial)
    kernel, = (directory / "boot").glob("vmlinuz-*")
    initrd, = (directory / "boot").glob("initrd.img-*")
    return Disk(tuple(sorted(path.glob("*.raw"))), kernel, initrd, sources)


# Pieces

def sparse(path, size):
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def copy_into(source, target, offset):
    """Copies a file into another at an offset in bytes, leaving holes as holes."""
    run("dd", f"if={source}", f"of={target}", "bs=1M", f"seek={offset // MIB}",
        "conv=notrunc,sparse", "status=none")


@contextlib.contextmanager
def loop(path):
    """A loop device over a file, for tools that take nothing but a block device."""
    device = run("losetup", "--find", "--show", path).strip()
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


def run_mounted(device, work, script):
    """Runs shell commands on the device's file system, mounted at $1.

    In a mount namespace of its own: one that another test copies meanwhile
    would keep it mounted.  One at a time: the kernel takes no UUID twice.
    """
    target = Path(work) / "mount"
    target.mkdir()
    with locked(CACHE / "mounted"):
        run("unshare", "--mount", "sh", "-ec", f'mount "$0" "$1"\n{script}', device, target)


def make_fs(directory, work, filesystem, *fstab):
    """A file with the seed on a file system."""
    lines = [f"UUID={FS_UUID} / {filesystem} {FSTAB[filesystem]}", *fstab]
    (directory / "etc/fstab").write_text("".join(f"{line}\n" for line in lines))
    path = sparse(Path(work) / "fs", FS_SIZE)
    if filesystem == "btrfs":
        run("mkfs.btrfs", "-q", "-U", FS_UUID, "-L", FS_LABEL, "--rootdir", directory, path)
    elif filesystem == "ext4":
        run("mkfs.ext4", "-q", "-U", FS_UUID, "-L", FS_LABEL, "-d", directory, path)
    else:
        # mkfs.xfs of Debian 12 takes no directory.  Features that the oldest
        # guest kernel knows.
        run("mkfs.xfs", "-q", "-m", f"uuid={FS_UUID},bigtime=0,inobtcount=0", "-L", FS_LABEL, path)
        with loop(path) as device:
            run_mounted(device, work, f'cp -a "{directory}/." "$1"')
    return path


def partitioned(path, *parts):
    """A GPT disk of (payload, size in bytes, name, UUID or None) partitions."""
    total = sum(size for _, size, _, _ in parts)
    sparse(path, total + 4 * MIB)
    script, offset = ["label: gpt", f"label-id: {TABLE_UUID}"], MIB
    for _, size, name, guid in parts:
        escaped = re.sub(r'[\\"\n]', lambda match: f"\\x{ord(match[0]):02x}", name)
        script.append(f"start={offset // SECTOR}, size={size // SECTOR}, name=\"{escaped}\""
                      + (f", uuid={guid}" if guid else ""))
        offset += size
    table = Path(f"{path}.sfdisk")
    table.write_text("\n".join(script) + "\n")
    run("sh", "-c", f"sfdisk --quiet '{path}' <'{table}'")
    table.unlink()
    offset = MIB
    for payload, size, _, _ in parts:
        if payload:
            copy_into(payload, path, offset)
        offset += size


def root_part(payload):
    """The partition of root, for partitioned()."""
    size = -(-os.path.getsize(payload) // MIB) * MIB
    return payload, size, PART_LABEL, PART_UUID


def lvm_pv(path, vg, *volumes):
    """A file that is an LVM PV with volumes of (name, payload); vg's lone one."""
    extent = 4 * MIB
    sizes = [-(-os.path.getsize(payload) // extent) * extent for _, payload in volumes]
    sparse(path, sum(sizes) + 2 * extent)
    with loop(path) as device, tempfile.TemporaryDirectory() as system:
        # Looks at this device alone, and leaves no trace on this machine.
        config = (f'devices{{filter=["a|^{device}$|","r|.*|"] use_devicesfile=0'
                  ' obtain_device_list_from_udev=0 external_device_info_source="none"}'
                  ' activation{udev_sync=0 udev_rules=0} devices/hints="none" backup{backup=0 archive=0}'
                  f' global{{locking_dir="{system}"}}')

        def lvm(command, *words):
            run("lvm", command, "--config", config, "--driverloaded", "n", *words,
                env=os.environ | {"LVM_SYSTEM_DIR": system})
        lvm("pvcreate", "-q", device)
        lvm("vgcreate", "-q", vg, device)
        for (name, _), size in zip(volumes, sizes):
            lvm("lvcreate", "-q", "-an", "-Zn", "-Wn", "-n", name, f"-L{size}b", vg)
    offset = MIB
    for (_, payload), size in zip(volumes, sizes):
        copy_into(payload, path, offset)
        offset += size
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
            partitioned(target / "0.raw", root_part(make_fs(seed_directory, work, filesystem)))
    return make


def on_bare_disk(seed_directory, target):
    with tempfile.TemporaryDirectory(dir=target) as work:
        make_fs(seed_directory, work, "btrfs").rename(target / "0.raw")


def on_two_disks(seed_directory, target):
    with tempfile.TemporaryDirectory(dir=target) as work:
        # Root comes from one file system of one disk, which then grows a second.
        make_fs(seed_directory, work, "btrfs").rename(target / "0.raw")
        sparse(target / "1.raw", FS_SIZE)
        with loop(target / "0.raw") as first, loop(target / "1.raw") as second:
            try:
                run_mounted(first, work, f"""btrfs device add -f {second} "$1"
                    btrfs balance start --force -dconvert=raid0 -mconvert=raid1 "$1" """)
            finally:
                # Else the kernel misses the second disk in the next of this UUID.
                run("sh", "-c", f"btrfs device scan --forget {first} {second} || :")


def on_lvm(seed_directory, target):
    with tempfile.TemporaryDirectory(dir=target) as work:
        payload = make_fs(seed_directory, work, "ext4")
        partitioned(target / "0.raw", root_part(lvm_pv(Path(work) / "pv", VG, ("root", payload))))


def on_md(seed_directory, target):
    with tempfile.TemporaryDirectory(dir=target) as work:
        payload = make_fs(seed_directory, work, "ext4")
        partitioned(target / "0.raw", root_part(md_member(Path(work) / "md", "guest:root", payload)))


def on_luks(seed_directory, target):
    with tempfile.TemporaryDirectory(dir=target) as work:
        payload = make_fs(seed_directory, work, "ext4")
        luks = Path(work) / "luks"
        command = ["qemu-img", "convert", "-f", "raw", payload, "-O", "luks",
                   "--object", f"secret,id=key,data={CRYPT_KEY}",
                   "-o", "key-secret=key,iter-time=10,cipher-alg=aes-256", luks]
        try:
            run(*command)
        except RuntimeError as error:
            # It times itself; on a busy machine its thread's time may stand still.
            if "accurate CPU usage" not in str(error):
                raise
            run(*command)
        run("cryptsetup", "luksUUID", "--batch-mode", "--uuid", CRYPT_UUID, luks)
        partitioned(target / "0.raw", root_part(luks))


def beside_root(seed_directory, target):
    """Everything that can lie beside a root, up to 64 partitions."""
    with tempfile.TemporaryDirectory(dir=target) as name:
        work = Path(name)
        root = make_fs(seed_directory, work, "btrfs", f"UUID={SWAP_UUID} none swap sw 0 0")
        swap = sparse(work / "swap", 8 * MIB)
        run("mkswap", "-q", "-U", SWAP_UUID, swap)
        small = sparse(work / "small", 8 * MIB)
        run("mkfs.ext4", "-q", small)
        bcache = sparse(work / "bcache", 8 * MIB)
        with loop(bcache) as device:
            run("make-bcache", "-B", device)
        pv = lvm_pv(work / "pv", "besidevg", ("data", small))
        md = md_member(work / "md", "guest:beside", small)
        parts = [root_part(root), (swap, 8 * MIB, "swap", None), (bcache, 8 * MIB, "bcache", None),
                 (pv, os.path.getsize(pv), "pv", None), (md, os.path.getsize(md), "md", None)]
        for number, label in enumerate(AWKWARD):
            labelled = sparse(work / f"labelled{number}", 2 * MIB)
            run("mkfs.ext4", "-q", "-L", label, labelled)
            parts.append((labelled, 2 * MIB, label, None))
        parts += [(None, MIB, f"filler {n}", None) for n in range(len(parts), 64)]
        partitioned(target / "0.raw", *parts)


BY_FS = {"uuid": f"UUID={FS_UUID}", "label": f"LABEL={FS_LABEL}"}
BY_PART = {"partuuid": f"PARTUUID={PART_UUID}", "partlabel": f"PARTLABEL={PART_LABEL}"}

# How root is stored: what makes it, and the values that root= can take.
ROOTS = {
    "btrfs": (on_partition("btrfs"), BY_FS | BY_PART),
    "btrfs-disk": (on_bare_disk, BY_FS),
    "btrfs-two-disks": (on_two_disks, BY_FS),
    "ext4": (on_partition("ext4"), {"label": BY_FS["label"]} | BY_PART),
    "xfs": (on_partition("xfs"), {"uuid": BY_FS["uuid"], "partuuid": BY_PART["partuuid"]}),
    "lvm": (on_lvm, {"mapper": f"/dev/mapper/{VG}-root", "uuid": BY_FS["uuid"]}),
    "md": (on_md, BY_FS),
    "luks": (on_luks, {"mapper": f"/dev/mapper/{CRYPT_NAME}", "uuid": BY_FS["uuid"]}),
    "beside": (beside_root, {"uuid": BY_FS["uuid"]}),
}
