# SPDX-License-Identifier: GPL-2.0-or-later
"""What all parts share: ratios, and the table that they are printed in."""

import os
import platform
import re
import statistics
import sys
from datetime import date
from pathlib import Path

SKIPPED = 77        # as Meson and Automake know it

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "vm"))


def note(text):
    """Progress goes beside the table, not into it."""
    print(text, file=sys.stderr, flush=True)


def skip(reason):
    note(f"skipped: {reason}")
    sys.exit(SKIPPED)


def package(name="baseimage-udev"):
    """The deb that the guests get."""
    directory = os.environ.get("BASEIMAGE_DEBS")
    if not directory:
        skip("BASEIMAGE_DEBS does not name the directory of the built packages: use tests/bench/run")
    path, = Path(directory).glob(f"{name}_*.deb")
    return path


class Ratio:
    """How two things compare that were measured in turn, round by round.

    The ratio of the medians; the quartiles of the rounds' own ratios are its
    spread.  What disturbs a whole round (the machine is shared, say) moves
    neither.
    """

    def __init__(self, of, to):
        self.value = statistics.median(of) / statistics.median(to)
        low, _, high = statistics.quantiles([a / b for a, b in zip(of, to)], n=4)
        self.low, self.high = low, high

    def __str__(self):
        # More digits where there is more to see.
        form = "{:.3f}".format if self.high - self.low < 0.02 else digits
        return f"{form(self.value)} ({form(self.low)}–{form(self.high)})"


def digits(number):
    return f"{number:.1f}" if number >= 9.95 else f"{number:.2f}"


class Table:
    """Rows of Markdown.  A bar that was missed is an error only where what was
    measured is the same in every run: no time ever is."""

    def __init__(self, title):
        self.failed = False
        print(f"\n| {title} | measured | bar | |\n| --- | --- | --- | --- |", flush=True)

    def row(self, what, measured, bar="", met=None, repeatable=False):
        verdict = {None: "", True: "met", False: "**missed**"}[met]
        print(f"| {what} | {measured} | {bar} | {verdict} |", flush=True)
        self.failed |= repeatable and met is False

    def at_most(self, what, ratio, bar):
        self.row(what, ratio, f"≤ {bar}", ratio.value <= bar)

    def end(self):
        sys.exit(1 if self.failed else 0)


def machine():
    """The kind of machine and the date: no figure means anything without."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.M)
    where = "a virtual machine" if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.M) else "bare metal"
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return (f"{date.today():%B %Y}; {os.cpu_count()} processors, "
            f"{model[1] if model else platform.machine()}, {where}; {system}, Linux {platform.release().split('-')[0]}")
