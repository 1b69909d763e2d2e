# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures the size of the helper, the size of the .deb file, and the space that the package needs in an initramfs."""

import tempfile
from pathlib import Path

from bench import Table, log, package
from images import Unavailable, run, seed, unpacked

KIB = 1024
HELPER = "usr/lib/udev/baseimage_id"


def row(table, what, size, limit):
    table.row(what, f"{size / KIB:.1f} KiB", f"≤ {limit} KiB", size <= limit * KIB, True)


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
        log(f"left out: {reason}")
        continue
    what = f"initramfs growth, {suite}, {'dracut' if flavour == 'dracut' else 'initramfs-tools'}"
    row(table, f"{what}, as cpio", len(unpacked(pair[1])) - len(unpacked(pair[0])), 12)
    # This row has no limit.  The compressed size depends more on the order of the files than on the package.
    table.row(f"{what}, compressed", f"{(pair[1].stat().st_size - pair[0].stat().st_size) / KIB:.1f} KiB")
table.end()
