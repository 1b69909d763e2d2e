# SPDX-License-Identifier: GPL-2.0-or-later
"""For the parts that time udev in a guest: disks of many partitions, and the
rules that take turns in one guest."""

import base64
import random

from guest import accelerator
from layouts import MIB, Part, partitioned

OVERRIDES = "/run/udev/rules.d"
PACKAGE, NEITHER = "package", "neither"

# use NAME: puts the rules of that name in force.  timed COMMAND...: prints how
# long it took, in microseconds.
SCRIPT = f"""\
cd /
use() {{
	rm -f {OVERRIDES}/59-baseimage.rules
	mkdir -p {OVERRIDES}
	[ $1 = package ] || ln -s /dev/null {OVERRIDES}/59-baseimage.rules
	udevadm control --reload
}}
timed() {{
	local start=$EPOCHREALTIME
	"$@"
	local end=$EPOCHREALTIME
	echo $((${{end/./}} - ${{start/./}}))
}}
"""


def timed(guest):
    """Makes a guest one whose clock can be trusted; to be called before it boots.

    An emulated guest's time is what the host has left for it.  Instead its
    clock is to count instructions, 2 ns each, and real time only
    while it sleeps: nearly the same on a busy host and on an idle one.
    """
    if "-icount" not in guest.command and "tcg" in guest.command:
        guest.command += ["-icount", "shift=1"]
    return guest


def clock():
    return "instructions under TCG" if "tcg" in accelerator()[1] else "time under KVM"


def prepare(guest, script):
    """Writes the commands that a part times, in short lines: they go through a terminal."""
    text = base64.encodebytes((SCRIPT + script).encode()).decode()
    guest.run(f"base64 -d >/run/bench <<end\n{text}end")


def rounds(guest, names, number, command, progress):
    """Runs command NAME for each name in random order, again and again; returns
    the microseconds that it prints, by name."""
    samples = {name: [] for name in names}
    for count in range(number):
        progress(f"round {count + 1} of {number}")
        for name in random.sample(names, len(names)):
            output = guest.run(f"bash -c '. /run/bench; {command} {name}'", timeout=600)
            samples[name].append(int(output))
    return samples


def many_partitions(path, number):
    """A disk with so many empty partitions: what is in them would only add to
    the cost of a device that is probed."""
    partitioned(path, *(Part(None, MIB, f"part {n}") for n in range(number)))
    return path
