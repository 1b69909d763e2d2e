# SPDX-License-Identifier: GPL-2.0-or-later
"""Before and after: two guests, their own image attached, and what becomes of them.

Words: the directory of the built packages.
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
from images import CACHE, Unavailable
from inert import SERIAL, base_disks, leaks, root_disks
from layouts import FS_UUID, PART_UUID, disk

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
BAD, GOOD, BOLD, DIM = "31", "32", "1", "2"


def paint(text, code):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


class Side(threading.Thread):
    """One of the two guests: boots, looks, ends."""

    def __init__(self, name, debs):
        super().__init__(daemon=True)
        self.name, self.debs = name, debs
        self.doing, self.rows, self.error = "waiting", {}, None
        self.guest = None

    def run(self):
        try:
            self.doing = "making its disk"
            image = disk("bookworm", "plain", "btrfs", self.debs)
            path, = image.paths
            self.guest = Guest(f"demo-{self.name}", image.kernel, image.initrd,
                               f"root={image.roots['partuuid']} ro",
                               [(path, None, False), (path, SERIAL, True)], CACHE / "logs")
            self.doing = "booting"
            try:
                with self.guest as guest:
                    self.doing = "looking"
                    self.look(guest)
            except BootFailed as failure:
                self.rows["the guest"] = (BAD, "does not boot: " + str(failure).splitlines()[-1])
            self.doing = "done"
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

    def row(self, label, bad, text):
        self.rows[label] = (BAD if bad else GOOD, text)

    def progress(self):
        last = ""
        if self.guest and self.doing == "booting":
            lines = self.guest.console.read_text(errors="replace").splitlines()
            last = next((line for line in reversed(lines) if line.strip()), "")
        return f"{self.name}: {self.doing}", re.sub(r"\033\[[\d;]*[A-Za-z]|[^ -~]", "", last)


def show_progress(sides):
    """Says what the guests are at, until both are done."""
    started, said = time.monotonic(), None
    while any(side.is_alive() for side in sides):
        seconds = int(time.monotonic() - started)
        states = [side.progress() for side in sides]
        if COLOUR:
            width = shutil.get_terminal_size().columns
            lines = [f"{seconds:4} s  {state:26}  {last}"[:width - 1] for state, last in states]
            print("".join(f"\033[K{paint(line, DIM)}\n" for line in lines), end=f"\033[{len(sides)}A", flush=True)
        elif [state for state, _ in states] != said:
            said = [state for state, _ in states]
            print(f"{seconds:4} s  {', '.join(said)}", flush=True)
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
    deb, = Path(sys.argv[1]).glob("baseimage-udev_*.deb")
    sides = [Side("without", ()), Side("with", (deb,))]
    print("Booting a Debian 12 guest twice, its own image attached as a second disk.\n"
          "(The first time, its system is fetched and built: some minutes.)", flush=True)
    for side in sides:
        side.start()
    show_progress(sides)
    for side in sides:
        if isinstance(side.error, Unavailable):
            sys.exit(f"tests/demo: {side.error}")
        if side.error:
            raise side.error
    show_table(sides)
    print("\nConsole logs:")
    for side in sides:
        print(f"  {side.name:8} {side.guest.console}")
    harmed, unharmed = (any(colour == BAD for colour, _ in side.rows.values()) for side in sides)
    if not harmed or unharmed:
        sys.exit("tests/demo: expected harm without the package and none with it; see above")


main()
