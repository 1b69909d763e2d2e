# SPDX-License-Identifier: GPL-2.0-or-later
"""The helper as a process: what it costs from spawn to exit, and why.

Words: [--counts] SPAWN TRACE HELPER FLOOR DYNAMIC SCRIPT, the programs that
Meson built.  --counts: only what is the same in every run.
"""

import statistics
import subprocess
import sys
from pathlib import Path

from bench import Ratio, Table, digits, note, skip

RUNS = 2000
TRACES = 100        # a stack that begins near the end of a page costs a fault more
TRAPS = 1000        # nanoseconds: a CPUID that does not trap takes a tenth
PEERS = ["ata_id", "scsi_id", "v4l_id", "mtd_probe"]

counts_only = sys.argv[1] == "--counts"
spawn, trace, helper, floor, dynamic, script = sys.argv[2 if counts_only else 1:]

# Both answers of each program that has two, and each peer as its rule calls
# it: with the node of a device, here of one that it cannot serve.
commands = {
    "floor": [floor],
    "helper, other device": ["ID_SERIAL=another", helper],
    "helper, base image": ["ID_SERIAL=BASEIMAGE", helper],
    "the same, dynamic glibc, other device": ["ID_SERIAL=another", dynamic],
    "the same, dynamic glibc, base image": ["ID_SERIAL=BASEIMAGE", dynamic],
    "the same as a `sh` script, other device": ["ID_SERIAL=another", "/bin/sh", script],
    "the same as a `sh` script, base image": ["ID_SERIAL=BASEIMAGE", "/bin/sh", script],
}
for peer in PEERS:
    path = Path("/usr/lib/udev") / peer
    if path.exists():
        commands[f"`{peer}`"] = [path, "--device=/dev/null" if peer == "scsi_id" else "/dev/null"]
    else:
        note(f"left out: {path}, not installed")
names = list(commands)
OURS = names[1:3]


def run(program, *words):
    """The numbers that the program prints, by command."""
    joined = [word for command in commands.values() for word in ("--", *command)][1:]
    output = subprocess.run([str(word) for word in (program, *words, *joined)],
                            stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {}
    for line in output.splitlines():
        number, *values = map(int, line.split())
        found.setdefault(names[number] if number >= 0 else "cpuid", []).append(values)
    return found


def counts():
    """System calls, page faults and memory of each: means.  A median of so
    few faults would jump from one whole number to the next."""
    try:
        samples = [run(trace) for _ in range(TRACES)]
    except subprocess.CalledProcessError:
        skip("processes cannot be traced here")
    return {name: [statistics.fmean(values) for values in zip(*(sample[name][0] for sample in samples))]
            for name in names}


def times(table):
    samples = run(spawn, RUNS)
    (cpuid,), = samples.pop("cpuid")
    traps = cpuid > TRAPS
    columns = {name: [ns for ns, in rows] for name, rows in samples.items()}
    for name in OURS:
        table.at_most(f"spawn to exit: {name}, to the floor", Ratio(columns[name], columns["floor"]), 1.10)
    least = 8 if traps else 1
    for name in names[3:]:
        # Against the dearer of the helper's two answers that fits.
        ours = OURS[1] if name.endswith("base image") else OURS[0]
        ratio = Ratio(columns[name], columns[ours])
        table.row(f"spawn to exit: {name}, to the helper", ratio, f"≥ {least}", ratio.value >= least)
    table.row("CPUID traps to the hypervisor", "yes" if traps else "no")


table = Table("The helper as a process")
if not counts_only:
    times(table)
calls, faults, memory = map(dict, zip(*([(name, value) for value in row] for name, row in counts().items())))
for name in OURS:
    table.row(f"system calls after execve: {name}", f"{calls[name]:.0f}", "≤ 6", calls[name] <= 6, True)
for name in OURS:
    ratio = faults[name] / faults["floor"]
    table.row(f"page faults: {name}, to the floor", digits(ratio), "≤ 1.5", ratio <= 1.5, True)
for name in OURS:
    table.row(f"memory mapped in at exit: {name}, to the floor", digits(memory[name] / memory["floor"]))
for what, values in (("system calls after execve", calls), ("page faults", faults),
                     ("memory mapped in at exit", memory)):
    ratios = [values[name] / max(values[ours] for ours in OURS) for name in names[3:]]
    table.row(f"{what}: all the others, to the helper", f"{digits(min(ratios))} to {digits(max(ratios))}")
table.end()
