# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints ratios in a table.  "bench.py LOG" prints the tables in Meson's log as one table."""

import json
import os
import platform
import re
import statistics
import sys
from datetime import date
from pathlib import Path

SKIPPED = 77        # Meson skips a test with this exit status

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "vm"))


def log(text):
    """Prints progress to standard error, because the table goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def package():
    """Returns the .deb under test.  Exits if there is none."""
    directory = os.environ.get("BASEIMAGE_DEBS")
    if not directory:
        log("skipped: BASEIMAGE_DEBS does not name the directory of the built packages: use tests/bench/run")
        sys.exit(SKIPPED)
    path, = Path(directory).glob("baseimage-udev_*.deb")
    return path


class Ratio:
    """Compares two lists of measurements, which have one measurement for each round.

    The value is the ratio of the medians.  low and high are the quartiles of the ratios of all rounds.  A disturbance
    that lasts for a whole round hardly changes them.
    """

    def __init__(self, of, to):
        self.value = statistics.median(of) / statistics.median(to)
        self.low, _, self.high = statistics.quantiles([a / b for a, b in zip(of, to)], n=4)

    def __str__(self):
        form = "{:.3f}".format if self.high - self.low < 0.02 else digits
        return f"{form(self.value)} ({form(self.low)}–{form(self.high)})"


def digits(number):
    return f"{number:.1f}" if number >= 9.95 else f"{number:.2f}"


class Table:
    """Prints rows of Markdown.  A missed limit is an error only if each run measures the same value.  Times vary."""

    def __init__(self, title):
        self.failed = False
        print(f"\n| {title} | measured | limit | |\n| --- | --- | --- | --- |", flush=True)

    def row(self, what, measured, limit="", met=None, repeatable=False):
        verdict = {None: "", True: "met", False: "**missed**"}[met]
        print(f"| {what} | {measured} | {limit} | {verdict} |", flush=True)
        self.failed |= repeatable and met is False

    def at_most(self, what, ratio, limit):
        self.row(what, ratio, f"≤ {limit}", ratio.value <= limit)

    def end(self):
        sys.exit(1 if self.failed else 0)


def machine():
    """Returns the date and the kind of machine, on which every measurement depends."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.M)
    where = "a virtual machine" if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.M) else "bare metal"
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return (f"{date.today():%B %Y}; {os.cpu_count()} processors, "
            f"{model[1] if model else platform.machine()}, {where}; {system}, Linux {platform.release().split('-')[0]}")


def report(meson_log):
    print(f"\n{machine()}\n\n| | measured | limit | |\n| --- | --- | --- | --- |")
    for line in Path(meson_log).read_text(encoding="utf-8").splitlines():
        rows = [row for row in json.loads(line).get("stdout", "").splitlines() if row.startswith("| ")]
        if rows:
            title = rows[0].split("|")[1].strip()
            print("\n".join([f"| **{title}** | | | |", *rows[2:]]))


if __name__ == "__main__":
    report(sys.argv[1])
