# SPDX-License-Identifier: GPL-2.0-or-later
"""Before and after: two guests, their own image attached, and what becomes of them.

Words: the directory of the built packages; --prepare where none is to be booted;
the release, else it is the stable one.
"""

import os
import re
import shutil
import sys
import textwrap
import threading
import time
from pathlib import Path

from guest import BootFailed, Guest
from images import CACHE, STABLE
from inert import SERIAL, base_disks, leaks, root_disks, found_by_scanners, status
from layouts import FS_UUID, PART_UUID, disk

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
BAD, GOOD, BOLD, DIM = "31", "32", "1", "2"


def paint(text, code):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


class Side(threading.Thread):
    """One of the two guests: boots, looks, ends."""

    def __init__(self, name, suite, debs, boots):
        super().__init__(daemon=True)
        self.name, self.suite, self.debs, self.boots = name, suite, debs, boots
        self.doing, self.detail, self.moved = "waiting", "", time.monotonic()
        self.rows, self.error, self.guest = {}, None, None

    def listen(self, what, detail):
        """Is told by images.tell() what is being made for this side."""
        self.doing, self.detail, self.moved = what, detail, time.monotonic()

    def run(self):
        try:
            image = disk(self.suite, "plain", "btrfs", self.debs)
            path, = image.paths
            if not self.boots:
                return
            self.guest = Guest(f"demo-{self.name}", image.kernel, image.initrd,
                               f"root={image.roots['partuuid']} ro",
                               [(path, None, False), (path, SERIAL, True)], CACHE / "logs")
            self.listen("booting", "")
            try:
                with self.guest as guest:
                    self.listen("looking", "")
                    self.look(guest)
            except BootFailed as failure:
                self.rows["the guest"] = (BAD, "does not boot: " + str(failure).splitlines()[-1])
            self.listen("done", "")
        except Exception as error:      # shown by the main thread, which ends the demo
            self.error = error

    def look(self, guest):
        """Fills the rows: each is read from the guest."""
        base = base_disks(guest)
        found = leaks(guest)
        own, = (name for name in guest.block_devices().split() if name not in base)
        for device, what in ((own, "its own disk"), (base[0], "the base image")):
            self.row(f"/dev/{device} is", False, what)
        wrong = bool(root_disks(guest) & set(base))
        self.row("root is on", wrong, "the BASE IMAGE" if wrong else "its own disk")
        readonly = "root is read-only" in found["root"]
        self.row("root can be written", readonly, "no" if readonly else "yes")
        failed = [line.removeprefix("failed: ") for line in found["root"] if line.startswith("failed")]
        self.row("failed units", failed, "\n".join(failed) or "none")
        for label, link in (("by-uuid", f"by-uuid/{FS_UUID}"), ("by-partuuid", f"by-partuuid/{PART_UUID}")):
            target = guest.run(f"readlink -f /dev/disk/{link}").strip()
            self.row(f"{label} link of root", target[5:8] in base, target)
        self.row("links to the base image by\nUUID, label, path", found["links"], str(len(found["links"])))
        self.row("active units of it", found["units"], str(len(found["units"])))
        kernel = [re.sub(r"^\[.*?\] *", "", line) for line in found["kernel"] if "duplicate" in line]
        self.row("kernel", kernel, kernel[0] if kernel else "no complaint")
        self.row("in /dev", False, guest.run("cd /dev; ls -d baseimage* 2>/dev/null || echo no baseimage")
                 .strip().replace("\n", ", "))
        met = found_by_scanners(guest)
        self.row("found by scanners", met, ", ".join(met) or "none")
        state = ("inert", "leaking", "could not tell", "no base image")[status(guest)[0]]
        self.row("baseimage-status says", state != "inert", state)

    def row(self, label, bad, text):
        self.rows[label] = (BAD if bad else GOOD, text)

    def progress(self):
        """What it does, and what of that last."""
        if self.guest and self.doing == "booting":
            lines = self.guest.console.read_text(errors="replace").splitlines()
            last = next((line for line in reversed(lines) if line.strip()), "")
            if last != self.detail:
                self.listen("booting", last)
        quiet = int(time.monotonic() - self.moved)
        detail = f"slow, not dead: {quiet} s since: {self.detail}" if self.detail and quiet > 20 else self.detail
        return f"{self.name}: {self.doing}", re.sub(r"\033\[[\d;]*[A-Za-z]|[^ -~]", "", detail)


def show_progress(sides):
    """Says what is done for the guests, and what they are at, until both are done."""
    started, said, since = time.monotonic(), {}, 0
    while any(side.is_alive() for side in sides):
        seconds = int(time.monotonic() - started)
        states = dict(side.progress() for side in sides)
        if COLOUR:
            width = shutil.get_terminal_size().columns
            lines = [f"{seconds:4} s  {state:42}  {detail}"[:width - 1] for state, detail in states.items()]
            print("".join(f"\033[K{paint(line, DIM)}\n" for line in lines), end=f"\033[{len(sides)}A", flush=True)
        else:
            # In a log: each stage, and a word now and then within one.
            often = seconds >= since + 30
            for state, detail in states.items():
                if state not in said or often and detail != said[state]:
                    print(f"{seconds:4} s  {state}  {detail}".rstrip(), flush=True)
            if often or states.keys() != said.keys():
                said, since = states, seconds
        time.sleep(0.3)
    if COLOUR:
        print("\033[J", end="")


def show_table(sides):
    width = max(24, (min(shutil.get_terminal_size((110, 24)).columns, 130) - 31) // 2)
    titles = [side.name.upper() + " THE PACKAGE" for side in sides]
    print(f"\n{'':29}" + "".join(paint(f"{title:{width}}", BOLD) for title in titles))
    labels = list(dict.fromkeys(label for side in sides for label in side.rows))
    for label in labels:
        cells = []
        for side in sides:
            colour, text = side.rows.get(label, (DIM, "-"))
            lines = [part for line in text.splitlines() for part in textwrap.wrap(line, width - 2)]
            cells.append((colour, lines or [""]))
        heads = label.splitlines()
        for index in range(max(len(heads), *(len(lines) for _, lines in cells))):
            head = heads[index] if index < len(heads) else ""
            print(f"  {head:27}" + "".join(
                paint(f"{lines[index] if index < len(lines) else '':{width}}", colour) for colour, lines in cells))


def main():
    directory, *words = sys.argv[1:]
    boots = "--prepare" not in words
    suite = ([word for word in words if word != "--prepare"] or [STABLE])[0]
    deb, = Path(directory).glob("baseimage-udev_*.deb")
    looks, = Path(directory).glob("baseimage-status_*.deb")
    sides = [Side("without", suite, (looks,), boots), Side("with", suite, (looks, deb), boots)]
    print(f"A guest of Debian ({suite}) is booted twice, its own image attached as a second disk.\n"
          "(The first time, its system is fetched and built: some minutes.)", flush=True)
    for side in sides:
        side.start()
    show_progress(sides)
    for side in sides:
        if side.error:
            # No harm and no inert base image either: nothing was shown.
            console = f"; its console: {side.guest.console}" if side.guest else ""
            last = str(side.error).strip().splitlines()[-1:] or [type(side.error).__name__]
            print(f"tests/demo: the guest {side.name} the package: {last[0]}{console}", file=sys.stderr)
            sys.exit(2)
    if not boots:
        return
    show_table(sides)
    print("\nConsole logs:")
    for side in sides:
        print(f"  {side.name:8} {side.guest.console}")
    harmed, unharmed = (any(colour == BAD for colour, _ in side.rows.values()) for side in sides)
    if not harmed or unharmed:
        sys.exit("tests/demo: expected harm without the package and none with it; see above")


main()
