# SPDX-License-Identifier: GPL-2.0-or-later
"""From a base image's coming to the last udev event it causes, by its number of partitions."""

import tempfile
from pathlib import Path
from statistics import median

from bench import Ratio, Table, digits, note, package
from guest import Guest
from guests import NEITHER, PACKAGE, clock, many_partitions, prepare, rounds, timed
from images import CACHE
from inert import SERIAL
from layouts import disk

PARTITIONS = [1, 16, 128]
ROUNDS = 4

# The disk is unbound and bound: no rule sees the PCI slot, and the clock is the guest's.
SCRIPT = """
driver=/sys/bus/virtio/drivers/virtio_blk
settled() { echo $virtio >$driver/bind; udevadm settle; }
plug() {
	virtio=$1
	use $2
	echo $virtio >$driver/unbind
	udevadm settle
	timed settled
}
"""


def main():
    image = disk("bookworm", "plain", "btrfs", (package(),))
    own, = image.paths
    samples = {}
    with tempfile.TemporaryDirectory() as work:
        with timed(Guest("bench-plug", image.kernel, image.initrd, f"root={image.roots['uuid']} ro",
                   [(own, None, False)], CACHE / "logs")) as guest:
            prepare(guest, SCRIPT)
            for number in PARTITIONS:
                before = set(guest.block_devices().split())
                node = guest.plug(many_partitions(Path(work) / f"{number}.raw", number), SERIAL)
                name, = set(guest.block_devices().split()) - before
                virtio = guest.run(f"basename $(readlink -f /sys/block/{name}/device)").strip()
                samples[number] = rounds(guest, [PACKAGE, NEITHER], ROUNDS, f"plug {virtio}",
                                         lambda text: note(f"plugging in, {number} partitions: {text}"))
                guest.unplug(node)

    table = Table(f"Hot-plug to settled, Debian 12 guest: {clock()}")
    for number in PARTITIONS:
        table.at_most(f"base image of {number} partition{'s' * (number > 1)}: package, to no rule",
                      Ratio(samples[number][PACKAGE], samples[number][NEITHER]), 1)
    for rules, what in ((PACKAGE, "package"), (NEITHER, "no rule")):
        first, middle, last = (median(samples[number][rules]) for number in PARTITIONS)
        steps = [(middle - first) / (PARTITIONS[1] - PARTITIONS[0]), (last - middle) / (PARTITIONS[2] - PARTITIONS[1])]
        growth = steps[1] / steps[0]
        table.row(f"a partition more, {what}: from 16 to 128, to from 1 to 16", digits(growth),
                  *(("≤ 1.25", growth <= 1.25) if rules == PACKAGE else ()))
    table.end()


main()
