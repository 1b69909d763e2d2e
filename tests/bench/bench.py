# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints the measurements of a benchmark as a table.  As a program, this file prints a description of this machine."""

import os
import platform
import re
import statistics
import sys
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "vm"))


def log(text):
    """Prints a message to standard error, because standard output contains the table."""
    print(text, file=sys.stderr, flush=True)


def package():
    """Returns the path of the .deb file of baseimage-udev."""
    path, = Path(os.environ["BASEIMAGE_DEBS"]).glob("baseimage-udev_*.deb")
    return path


class Ratio:
    """Compares two lists of measurements.  A benchmark has several rounds, and each round measures once for each list.

    The attribute "value" is the ratio of the two medians.  Each round also has a ratio.  If other programs slow down a
    whole round, the round's ratio hardly changes.  The attributes "low" and "high" are the quartiles of these ratios.
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
    """Prints a table in Markdown.

    A value is repeatable if every run measures the same value.  A size is repeatable, and a time is not repeatable.  If
    a repeatable value is over its limit, end() exits with status 1.
    """

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
    """Returns the date and a description of this machine.  The measurements depend on the machine."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.M)
    where = "a virtual machine" if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.M) else "bare metal"
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return (f"{date.today():%B %Y}; {os.cpu_count()} processors, "
            f"{model[1] if model else platform.machine()}, {where}; {system}, Linux {platform.release().split('-')[0]}")


if __name__ == "__main__":
    print(machine())
