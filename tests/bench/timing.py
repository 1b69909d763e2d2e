# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures times in a Debian 12 guest, with base images that have different numbers of partitions.

With the argument "boot", measures the time from the start of the kernel to multi-user.target.  With the argument
"plug", binds a base image to the driver, and measures the time until udevd has handled all events.
"""

import random
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench import Ratio, Table, digits, log, package
from guest import Guest, accelerator
from inert import SERIAL, virtio_name
from layouts import MIB, Part, disk, partitioned, sparse

ROUNDS = 4
CLOCK = "instructions under TCG" if "tcg" in accelerator()[1] else "time under KVM"
# The shell function "plug VIRTIO RULES" unbinds and binds the disk VIRTIO.  The function prints the microseconds from
# the bind until udevd has handled all events.  If RULES is "masked", the guest has no rule.  The function does not
# hot-plug the disk.  A hot-plug begins outside the guest, and the guest's clock cannot measure the beginning.
RULES = {"package": "package", "masked": "no rule"}
PLUG = """\
cd /
override=/run/udev/rules.d/59-baseimage.rules driver=/sys/bus/virtio/drivers/virtio_blk
plug() {
	rm -f $override
	mkdir -p ${override%/*}
	[ $2 = package ] || ln -s /dev/null $override
	udevadm control --reload
	echo $1 >$driver/unbind
	udevadm settle
	local start=$EPOCHREALTIME
	echo $1 >$driver/bind
	udevadm settle
	local end=$EPOCHREALTIME
	echo $((${end/./} - ${start/./}))
}
"""


def timed_guest(name, image, append="", disks=(), serial=SERIAL):
    """Returns a guest.  If QEMU emulates the guest, the load of this machine hardly changes the measured times.

    While an emulated guest runs, the guest's clock advances by 2 ns with each instruction.  While the guest sleeps, the
    guest's clock advances in real time.
    """
    own, = image.paths
    guest = Guest(name, image, f"root={image.roots['uuid']} ro {append}",
                  [(own, None, False), *((path, serial, True) for path in disks)])
    if "tcg" in guest.command:
        guest.command += ["-icount", "shift=1"]
    return guest


def disk_with_partitions(directory, number):
    """Makes a disk with empty partitions.  Returns the path of the disk."""
    path = directory / f"{number}.raw"
    partitioned(path, *(Part(None, f"part {n}", size=MIB) for n in range(number)))
    return path


def partitions(number):
    return f"{number} partition{'s' * (number > 1)}"


def measure_rounds(what, number, names, measure):
    """In each round, calls measure(name) once for each name, in random order.  Returns {name: results}."""
    samples = {name: [] for name in names}
    for count in range(number):
        log(f"{what}: round {count + 1} of {number}")
        for name in random.sample(list(names), len(names)):
            samples[name].append(measure(name))
    return samples


def boot(work):
    numbers = [1, 16, 64]
    with_, without = disk("bookworm", "plain", "btrfs", (package(),)), disk("bookworm", "plain", "btrfs")
    guests = {"without": (without,), "with": (with_,)}
    guests |= {number: (with_, "", [disk_with_partitions(work, number)]) for number in numbers}
    # The kernel and udevd need time for each disk, so the table also compares the base image with an empty disk.
    guests["empty"] = (with_, "", [sparse(work / "empty.raw", MIB)], "EMPTY")
    guests["off"] = (with_, "baseimage_udev=off", guests[numbers[-1]][2])

    def boot_time(name):
        with timed_guest("bench-boot", *guests[name]) as guest:
            # systemd counts the microseconds from the start of the kernel.
            return int(guest.run("systemctl show multi-user.target -P ActiveEnterTimestampMonotonic"))

    samples = measure_rounds("boot", ROUNDS, guests, boot_time)
    table = Table(f"Boot, Debian 12 guest: start of the kernel to multi-user.target: {CLOCK}")
    table.at_most("no base image: package, to none", Ratio(samples["with"], samples["without"]), 1.02)
    for number in numbers:
        table.at_most(f"base image of {partitions(number)}, to no base image",
                      Ratio(samples[number], samples["with"]), 1.05)
    table.row("empty disk, to no base image", Ratio(samples["empty"], samples["with"]))
    table.row(f"base image of {partitions(numbers[-1])}, to an empty disk",
              Ratio(samples[numbers[-1]], samples["empty"]))
    table.row(f"base image of {numbers[-1]} partitions, to the same with baseimage_udev=off",
              Ratio(samples[numbers[-1]], samples["off"]))
    table.end()


def plug(work):
    numbers, samples = [1, 16, 128], {}
    with timed_guest("bench-plug", disk("bookworm", "plain", "btrfs", (package(),))) as guest:
        guest.write("/run/bench", PLUG)
        for number in numbers:
            before = set(guest.block_devices().split())
            node = guest.plug(disk_with_partitions(work, number), SERIAL)
            name, = set(guest.block_devices().split()) - before
            virtio = virtio_name(guest, name)
            samples[number] = measure_rounds(
                f"plugging in, {number} partitions", ROUNDS, RULES,
                lambda rules: int(guest.run(f"bash -c '. /run/bench; plug {virtio} {rules}'")))
            guest.unplug(node)

    table = Table(f"Hot-plug to settled, Debian 12 guest: {CLOCK}")
    for number in numbers:
        table.at_most(f"base image of {partitions(number)}: package, to no rule",
                      Ratio(*(samples[number][rules] for rules in RULES)), 1)
    for rules, what in RULES.items():
        times = [median(samples[number][rules]) for number in numbers]
        slopes = [(times[i + 1] - times[i]) / (numbers[i + 1] - numbers[i]) for i in (0, 1)]
        growth = slopes[1] / slopes[0]
        table.row(f"a partition more, {what}: from 16 to 128, to from 1 to 16", digits(growth),
                  *(("≤ 1.25", growth <= 1.25) if rules == "package" else ()))
    table.end()


with tempfile.TemporaryDirectory() as directory:
    {"boot": boot, "plug": plug}[sys.argv[1]](Path(directory))
