# SPDX-License-Identifier: GPL-2.0-or-later
"""What the package takes: the helper, the deb, and the initramfs of a guest."""

import gzip
import subprocess
import tempfile
from pathlib import Path

from bench import Table, note, package
from images import Unavailable, run, seed

KIB = 1024
HELPER = "usr/lib/udev/baseimage_id"


def uncompressed(initrd):
    """The size of what an initrd holds: cpio archives, the last one compressed."""
    data = initrd.read_bytes()
    # Whatever stands before it (microcode) is not compressed.
    for magic, unpack in ((b"\x28\xb5\x2f\xfd", ["zstd", "-dc"]), (b"\x1f\x8b\x08", None)):
        start = 0 if data.startswith(magic) else data.find(b"\0" + magic) + 1
        if data[start:].startswith(magic):
            rest = data[start:]
            plain = gzip.decompress(rest) if unpack is None else subprocess.run(
                unpack, input=rest, stdout=subprocess.PIPE, check=True).stdout
            return start + len(plain)
    raise RuntimeError(f"{initrd}: neither zstd nor gzip")


def row(table, what, size, bar):
    table.row(what, f"{size / KIB:.1f} KiB", f"≤ {bar} KiB", size <= bar * KIB, True)


deb = package()
table = Table("Size")
with tempfile.TemporaryDirectory() as work:
    run("dpkg-deb", "--extract", deb, work)
    row(table, "helper", (Path(work) / HELPER).stat().st_size, 8)
row(table, "deb", deb.stat().st_size, 24)
for suite, flavour in (("bookworm", "plain"), ("trixie", "dracut")):
    try:
        pair = [next(iter((seed(suite, flavour, debs) / "boot").glob("initrd.img-*")))
                for debs in ((), (deb,))]
    except Unavailable as reason:
        note(f"left out: {reason}")
        continue
    what = f"initramfs growth, {suite}, {'dracut' if flavour == 'dracut' else 'initramfs-tools'}"
    row(table, f"{what}, as cpio", uncompressed(pair[1]) - uncompressed(pair[0]), 12)
    # No bar: the order of the files, which differs from one to the next, is worth more.
    table.row(f"{what}, compressed", f"{(pair[1].stat().st_size - pair[0].stat().st_size) / KIB:.1f} KiB")
table.end()
