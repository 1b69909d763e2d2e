# SPDX-License-Identifier: GPL-2.0-or-later
"""Start of the kernel to multi-user.target: what the package costs a guest that
has no base image, and what a base image costs a guest that has the package."""

import random
import tempfile
from pathlib import Path

from bench import Ratio, Table, note, package
from guest import Guest
from guests import clock, many_partitions, timed
from images import CACHE
from inert import SERIAL
from layouts import disk

ROUNDS = 4
PARTITIONS = [1, 16, 64]
# The guest's own figure: since its kernel started.
REACHED = "systemctl show multi-user.target -P ActiveEnterTimestampMonotonic"


def boot(image, base=(), append=""):
    own, = image.paths
    with timed(Guest("bench-boot", image.kernel, image.initrd, f"root={image.roots['uuid']} ro {append}",
                     [(own, None, False), *((path, SERIAL, True) for path in base)], CACHE / "logs")) as guest:
        return int(guest.run(REACHED))


def main():
    with_, without = disk("bookworm", "plain", "btrfs", (package(),)), disk("bookworm", "plain", "btrfs")
    with tempfile.TemporaryDirectory() as work:
        guests = {"without": (without,), "with": (with_,)}
        guests |= {number: (with_, [many_partitions(Path(work) / f"{number}.raw", number)]) for number in PARTITIONS}
        guests["off"] = (*guests[PARTITIONS[-1]], "baseimage_udev=off")
        samples = {name: [] for name in guests}
        for count in range(ROUNDS):
            note(f"boot: round {count + 1} of {ROUNDS}")
            for name in random.sample(list(guests), len(guests)):
                samples[name].append(boot(*guests[name]))

    table = Table(f"Boot, Debian 12 guest: start of the kernel to multi-user.target: {clock()}")
    table.at_most("no base image: package, to none", Ratio(samples["with"], samples["without"]), 1.02)
    for number in PARTITIONS:
        table.at_most(f"base image of {number} partition{'s' * (number > 1)}, to no base image",
                      Ratio(samples[number], samples["with"]), 1.05)
    table.row(f"base image of {PARTITIONS[-1]} partitions, to the same with baseimage_udev=off",
              Ratio(samples[PARTITIONS[-1]], samples["off"]))
    table.end()


main()
