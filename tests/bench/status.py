# SPDX-License-Identifier: GPL-2.0-or-later
"""baseimage-status where there is much to look at: 8 base images of 16 partitions."""

import tempfile
from pathlib import Path

from bench import Ratio, Table, note, package
from guest import Guest
from guests import clock, many_partitions, prepare, rounds, timed
from images import CACHE
from inert import SERIAL
from layouts import disk

DISKS, PARTITIONS, ROUNDS = 8, 16, 20
STATUS, UNITS, RECORDS = "baseimage-status", "systemctl list-units", "udevadm info --export-db"
SCRIPT = """
quietly() { "$@" >/dev/null; }
run() { timed quietly "$@"; }
"""


def main():
    image = disk("bookworm", "plain", "btrfs", (package("baseimage-status"), package()))
    with tempfile.TemporaryDirectory() as work:
        disks = [(many_partitions(Path(work) / f"{number}.raw", PARTITIONS), SERIAL, True) for number in range(DISKS)]
        with timed(Guest("bench-status", image.kernel, image.initrd, f"root={image.roots['uuid']} ro",
                         [(image.paths[0], None, False), *disks], CACHE / "logs")) as guest:
            prepare(guest, SCRIPT)
            samples = rounds(guest, [STATUS, UNITS, RECORDS], ROUNDS, "run",
                             lambda text: note(f"baseimage-status: {text}"))

    table = Table(f"baseimage-status, {DISKS} disks of {PARTITIONS} partitions, Debian 12 guest: {clock()}")
    table.at_most("to systemctl list-units, which asks the manager the same", Ratio(samples[STATUS], samples[UNITS]), 2)
    table.row("to udevadm info --export-db, which reads udev's records", Ratio(samples[STATUS], samples[RECORDS]))
    table.end()


main()
