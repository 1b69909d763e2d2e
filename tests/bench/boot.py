# SPDX-License-Identifier: GPL-2.0-or-later
"""Time to login of a guest that has the package, and no base image."""

import random

from bench import Ratio, Table, note, package
from guest import Guest
from guests import clock, timed
from images import CACHE
from layouts import disk

PAIRS = 10
# The guest's own figure: since its kernel started.
REACHED = "systemctl show multi-user.target -P ActiveEnterTimestampMonotonic"


def boot(image):
    own, = image.paths
    with timed(Guest("bench-boot", image.kernel, image.initrd, f"root={image.roots['uuid']} ro",
                     [(own, None, False)], CACHE / "logs")) as guest:
        return int(guest.run(REACHED))


def main():
    images = {"with": disk("bookworm", "plain", "btrfs", (package(),)),
              "without": disk("bookworm", "plain", "btrfs")}
    samples = {name: [] for name in images}
    for pair in range(PAIRS):
        note(f"boot: pair {pair + 1} of {PAIRS}")
        for name in random.sample(list(images), len(images)):
            samples[name].append(boot(images[name]))

    table = Table(f"Boot, Debian 12 guest: {clock()}")
    table.at_most("start of the kernel to multi-user.target: package, to none",
                  Ratio(samples["with"], samples["without"]), 1.02)
    table.end()


main()
