# SPDX-License-Identifier: GPL-2.0-or-later
"""For the parts that time udev in a guest: disks of many partitions, and the
rules that take turns in one guest."""

import base64
import random

from guest import accelerator
from layouts import MIB, Part, partitioned

RULE = "/usr/lib/udev/rules.d/59-baseimage.rules"
HELPER = "/usr/lib/udev/baseimage_id"
OVERRIDES = "/run/udev/rules.d"
EMPTY = "/usr/local/lib/empty"

# What autopkgtest-virt-qemu (5.28) writes in the guests it starts.
AUTOPKGTEST = """\
KERNEL=="vd*[!0-9]", ENV{ID_SERIAL}=="BASEIMAGE", OPTIONS+="link_priority=-1024", SYMLINK+="baseimage", MODE="0664"
KERNEL=="vd*[0-9]",  ENV{ID_SERIAL}=="BASEIMAGE", OPTIONS+="link_priority=-1024"
KERNEL=="vd*", ENV{ID_SERIAL}=="BASEIMAGE", ENV{ID_FS_TYPE}:="", ENV{ID_FS_USAGE}:="", ENV{ID_FS_UUID}:=""
"""
PACKAGE, SAME_RULE_EMPTY, NO_PROGRAM, PEER, NEITHER = RULES = (
    "package", "empty", "no-program", "autopkgtest", "neither")

# use NAME: puts the rules of that name in force.  timed COMMAND...: prints how
# long it took, in microseconds.
SCRIPT = f"""\
cd /
use() {{
	rm -f {OVERRIDES}/59-baseimage.rules {OVERRIDES}/61-baseimage.rules
	mkdir -p {OVERRIDES}
	case $1 in
	package) ;;
	empty) sed 's|{HELPER}|{EMPTY}|' {RULE} >{OVERRIDES}/59-baseimage.rules ;;
	no-program) sed '/{HELPER.replace("/", ".")}/d' {RULE} >{OVERRIDES}/59-baseimage.rules ;;
	autopkgtest) cp /run/autopkgtest.rules {OVERRIDES}/61-baseimage.rules ;;&
	autopkgtest | neither) ln -s /dev/null {OVERRIDES}/59-baseimage.rules ;;
	esac
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


def put(guest, path, content, mode="644"):
    """Writes a file in the guest: through its terminal, hence in short lines."""
    text = base64.encodebytes(content).decode()
    guest.run(f"mkdir -p {path.rpartition('/')[0]}\nbase64 -d >{path} <<end\n{text}end\nchmod {mode} {path}")


def prepare(guest, script, empty=None):
    """Brings the rules that take turns, and the commands that a part times."""
    put(guest, "/run/autopkgtest.rules", AUTOPKGTEST.encode())
    put(guest, "/run/bench", (SCRIPT + script).encode())
    if empty:
        put(guest, EMPTY, empty.read_bytes(), "755")


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
