# SPDX-License-Identifier: GPL-2.0-or-later
"""baseimage-status: one base image with its 16 partitions kept, and eight disks."""

import tempfile
from pathlib import Path

from bench import Ratio, Table, note, package
from guest import Guest
from guests import clock, many_partitions, prepare, rounds, timed
from images import CACHE
from inert import SERIAL
from layouts import MIB, disk, sparse

DISKS, PARTITIONS, ROUNDS = 8, 16, 20
STATUS, UNITS, RECORDS = "baseimage-status", "systemctl list-units", "udevadm info --export-db"
SCRIPT = """
quietly() { "$@" >/dev/null; }
run() { timed quietly "$@"; }
"""


def main():
    image = disk("bookworm", "plain", "btrfs", (package("baseimage-status"), package()))
    with tempfile.TemporaryDirectory() as work:
        many = many_partitions(Path(work) / "many.raw", PARTITIONS)
        blank = sparse(Path(work) / "blank.raw", MIB)
        with timed(Guest("bench-status", image.kernel, image.initrd,
                         f"root={image.roots['uuid']} ro baseimage_udev=partitions",
                         [(image.paths[0], None, False), (many, SERIAL, True)], CACHE / "logs")) as guest:
            prepare(guest, SCRIPT)
            one = measure(guest, f"1 disk, {PARTITIONS} partitions")
            # As without the option, which takes the partitions away.
            for _ in range(DISKS):
                guest.plug(blank, SERIAL)
            guest.unplug(next(node for node, serial in guest.nodes.items() if serial == SERIAL))
            eight = measure(guest, f"{DISKS} disks")

    table = Table(f"baseimage-status, Debian 12 guest: {clock()}")
    for what, samples in ((f"1 base image, {PARTITIONS} partitions kept", one), (f"{DISKS} base images", eight)):
        table.at_most(f"{what}: to systemctl list-units", Ratio(samples[STATUS], samples[UNITS]), 2)
        table.row(f"{what}: to udevadm info --export-db", Ratio(samples[STATUS], samples[RECORDS]))
    table.end()


def measure(guest, what):
    assert guest.run("baseimage-status --quiet; echo $?") == "0\n", guest.run("baseimage-status || :")
    return rounds(guest, [STATUS, UNITS, RECORDS], ROUNDS, "run",
                  lambda text: note(f"baseimage-status, {what}: {text}"))


main()
