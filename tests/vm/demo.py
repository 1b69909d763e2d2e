# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots a guest without the package and a guest with the package, and prints a table that compares the guests.

Each guest has a base image.  The first argument is the directory of the built packages.  The second argument is the
release.  By default, the release is STABLE of images.py.
"""

import os
import re
import shutil
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import zip_longest
from pathlib import Path

from guest import BootFailed, Guest
from images import STABLE
from inert import SERIAL, base_disks, found_by_scanners, leaks, root_disks, status
from layouts import FS_UUID, PART_UUID, disk

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
BAD, GOOD, BOLD, DIM = "31", "32", "1", "2"
PROGRESS_SECONDS = 30


def paint(text, code):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def last_line(text):
    """Returns the last line of a text, without escape sequences, and with only printable ASCII."""
    return re.sub(r"\033\[[\d;]*[A-Za-z]|[^ -~\n]", "", str(text)).strip().split("\n")[-1]


def observe(guest):
    """For each row of the table, yields the label, a value and the text.  If the row shows harm, the value is true."""
    base, found = base_disks(guest), leaks(guest)
    own, = (name for name in guest.block_devices().split() if name not in base)
    yield f"/dev/{own} is", False, "its own disk"
    yield f"/dev/{base[0]} is", False, "the base image"
    wrong, root = bool(root_disks(guest) & set(base)), found.get("root", [])
    yield "root is on", wrong, "the BASE IMAGE" if wrong else "its own disk"
    readonly = "root is read-only" in root
    yield "root can be written", readonly, "no" if readonly else "yes"
    failed = [line.removeprefix("failed: ") for line in root if line.startswith("failed")]
    yield "failed units", failed, "\n".join(failed) or "none"
    for label, uuid in ("by-uuid", FS_UUID), ("by-partuuid", PART_UUID):
        target = guest.run(f"readlink -f /dev/disk/{label}/{uuid}").strip()
        yield f"{label} link of root", target[5:8] in base, target
    yield "links to the base image by\nUUID, label, path", "links" in found, str(len(found.get("links", [])))
    yield "units of the base image", "units" in found, str(len(found.get("units", [])))
    kernel = [re.sub(r"^\[.*?\] *", "", line) for line in found.get("kernel", []) if "duplicate" in line]
    yield "kernel", kernel, kernel[0] if kernel else "no complaint"
    names = guest.run("cd /dev; ls -d baseimage* 2>/dev/null || echo no baseimage").splitlines()
    yield "in /dev", False, ", ".join(names)
    scanners = found_by_scanners(guest)
    yield "found by these scanners", scanners, ", ".join(scanners) or "none"
    state = ("inert", "leaking", "could not tell", "no base image")[status(guest)[0]]
    yield "baseimage-status says", state != "inert", state


class Side:
    """Runs one of the two guests."""

    def __init__(self, name, suite, debs):
        self.name, self.suite, self.debs = name, suite, debs
        self.rows, self.guest = {}, None

    def run(self):
        """Boots the guest.  Stores the rows of the table in self.rows, as {label: (colour, text)}."""
        image = disk(self.suite, "plain", "btrfs", self.debs)
        path, = image.paths
        self.guest = Guest(f"demo-{self.name}", image, f"root={image.roots['partuuid']} ro",
                           [(path, None, False), (path, SERIAL, True)])
        try:
            with self.guest as guest:
                for label, bad, text in observe(guest):
                    self.rows[label] = BAD if bad else GOOD, text
        except BootFailed as failure:
            self.rows["the guest"] = BAD, f"does not boot: {last_line(failure)}"

    def cells(self, label, width):
        """Returns the text of a row as lines of the same width.  Each line has the colour of the row."""
        colour, text = self.rows.get(label, (DIM, "-"))
        return [paint(f"{part:{width}}", colour) for line in text.splitlines()
                for part in textwrap.wrap(line, width - 2)]


def run_both(sides):
    """Boots both guests at the same time.  Every 30 s, prints the last line of each console.  After an error, exits."""
    began = time.monotonic()
    with ThreadPoolExecutor() as executor:
        jobs = {executor.submit(side.run): side for side in sides}
        while running := wait(jobs, PROGRESS_SECONDS).not_done:
            for job in running:
                side = jobs[job]
                if side.guest and (line := last_line(side.guest.console.read_text(errors="replace"))):
                    print(paint(f"{time.monotonic() - began:4.0f} s  {side.name}: {line}", DIM), flush=True)
    for job, side in jobs.items():
        if error := job.exception():
            console = f"; its console: {side.guest.console}" if side.guest else ""
            print(f"tests/demo: the guest {side.name} the package: {last_line(error) or type(error).__name__}{console}",
                  file=sys.stderr)
            sys.exit(2)


def show_table(sides):
    width = max(24, (min(shutil.get_terminal_size((110, 24)).columns, 130) - 31) // 2)
    print(f"\n{'':29}" + "".join(paint(f"{side.name.upper() + ' THE PACKAGE':{width}}", BOLD) for side in sides))
    for label in dict.fromkeys(label for side in sides for label in side.rows):
        for head, *cells in zip_longest(label.splitlines(), *(side.cells(label, width) for side in sides)):
            print(f"  {head or '':27}" + "".join(cell or " " * width for cell in cells))


def main():
    directory, suite = (*sys.argv[1:], STABLE)[:2]
    deb, = Path(directory).glob("baseimage-udev_*.deb")
    status_deb, = Path(directory).glob("baseimage-status_*.deb")
    sides = [Side("without", suite, (status_deb,)), Side("with", suite, (status_deb, deb))]
    print(f"The demo boots two guests of Debian ({suite}).  Each has its own image attached as a second disk.\n"
          "(The first run fetches and builds their system, which takes some minutes.)", flush=True)
    run_both(sides)
    show_table(sides)
    print("\nConsole logs:")
    for side in sides:
        print(f"  {side.name:8} {side.guest.console}")
    harmed, unharmed = (any(colour == BAD for colour, _ in side.rows.values()) for side in sides)
    if not harmed or unharmed:
        sys.exit("tests/demo: expected harm without the package and none with it; see above")


main()
