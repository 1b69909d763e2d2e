# SPDX-License-Identifier: GPL-2.0-or-later
"""What a udev event costs: "udevadm trigger --settle" over 4 disks of 64 partitions.

Words: FLOOR, the program that only exits.
"""

import sys
import tempfile
from pathlib import Path

from bench import Ratio, Table, note, package
from guest import Guest
from guests import (NEITHER, NO_PROGRAM, PACKAGE, PEER, SAME_RULE_EMPTY, clock,
                    many_partitions, prepare, rounds, timed)
from images import CACHE
from inert import SERIAL
from layouts import disk

DISKS, PARTITIONS = 4, 64
ROUNDS = 4

# Of other disks, the records and links are the same under all of these rules;
# of a base image, a first run brings them to what the rules make of them.
SCRIPT = """
trigger() { udevadm trigger --settle --subsystem-match=block $(printf ' --sysname-match=%s*' $(cat /run/disks)); }
other() { use $1; timed trigger; }
base() { use $1; trigger; timed trigger; }
"""


def plug(guest, paths, serials):
    """Adds the disks; the script will trigger these."""
    before = set(guest.block_devices().split())
    nodes = [guest.plug(path, serial, settle=False) for path, serial in zip(paths, serials)]
    guest.wait_until(lambda: len(set(guest.block_devices().split()) - before) == len(paths))
    guest.run("udevadm settle", timeout=300)
    names = " ".join(sorted(set(guest.block_devices().split()) - before))
    guest.run(f"echo {names} >/run/disks")
    number = int(guest.run(f"cd /dev; ls -d $(printf '%s* ' {names}) | wc -l"))
    assert number == DISKS * (PARTITIONS + 1), number
    return nodes


def main():
    deb, empty = package(), Path(sys.argv[1])
    image = disk("bookworm", "plain", "btrfs", (deb,))
    own, = image.paths
    with tempfile.TemporaryDirectory() as work:
        paths = [many_partitions(Path(work) / f"{n}.raw", PARTITIONS) for n in range(DISKS)]
        with timed(Guest("bench-event", image.kernel, image.initrd, f"root={image.roots['uuid']} ro baseimage_udev=partitions",
                   [(own, None, False)], CACHE / "logs")) as guest:
            prepare(guest, SCRIPT, empty)
            nodes = plug(guest, paths, [f"OTHER{n}" for n in range(DISKS)])
            guest.run("bash -c '. /run/bench; other neither'", timeout=600)
            other = rounds(guest, [PACKAGE, SAME_RULE_EMPTY, NO_PROGRAM, PEER, NEITHER], ROUNDS, "other",
                           lambda text: note(f"events, other disks: {text}"))
            for node in nodes:
                guest.unplug(node, settle=False)
            guest.wait_until(lambda: len(guest.block_devices().split()) == 1)
            guest.run("udevadm settle", timeout=300)
            plug(guest, paths, [SERIAL] * DISKS)
            base = rounds(guest, [PACKAGE, PEER, NEITHER], ROUNDS, "base",
                          lambda text: note(f"events, base images: {text}"))

    table = Table(f"udev events, Debian 12 guest, base images with their partitions kept: {clock()}")
    table.at_most("other disks: package, to the same rule with an empty static program",
                  Ratio(other[PACKAGE], other[SAME_RULE_EMPTY]), 1.05)
    table.row("other disks: package, to no rule", Ratio(other[PACKAGE], other[NEITHER]))
    table.row("other disks: package's rule without its program, to no rule",
              Ratio(other[NO_PROGRAM], other[NEITHER]))
    table.row("other disks: autopkgtest's rule, to no rule", Ratio(other[PEER], other[NEITHER]))
    table.at_most("base image: package, to no rule", Ratio(base[PACKAGE], base[NEITHER]), 0.85)
    ratio = Ratio(base[PACKAGE], base[PEER])
    table.row("base image: package, to autopkgtest's rule", ratio, "< 1", ratio.value < 1)
    table.end()


main()
