# SPDX-License-Identifier: GPL-2.0-or-later
"""Who reads the base image, and how much of it: in sectors, as the kernel saw it.

Words, all optional: the suites.  What the kernel itself reads in search of
partitions is measured with udevd stopped, and taken off.
"""

import re
import sys
from collections import Counter

from bench import Table, note, package
from cases import Case, append
from guest import BootFailed, Guest
from images import CACHE, Unavailable
from inert import SERIAL, base_disks
from layouts import disk

# Debian 11 (bullseye): older tools of btrfs and LVM, no bar.
SUITES = sys.argv[1:] or ["bookworm", "trixie"]
LAYOUTS = ["btrfs", "lvm", "md"]
# Scanners in the initramfs read the start of the disk, find a partition table and go on.
BOOT_BAR = 8192
# The kernel's trace names the reader, the disk's own count does not.
TRACE = "trace_event=block:block_bio_queue trace_buf_size=2M"
TRACEFS = "/sys/kernel/tracing"
BIO = re.compile(r"^\s*(?P<comm>.*)-(?P<pid>\d+)\s+\[\d+\]\s+\S+\s+[\d.]+: block_bio_queue: "
                 r"(?P<major>\d+),(?P<minor>\d+) \w+ (?P<start>\d+) \+ (?P<length>\d+)", re.M)
UDEVD = "systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udevd.service"


def reads(guest):
    """What was read of the base image since the last call: by process, a list
    of (start, length) in sectors."""
    guest.run(f"mountpoint -q {TRACEFS} || mount -t tracefs none {TRACEFS}")
    name, = base_disks(guest)
    device = tuple(guest.run(f"cat /sys/block/{name}/dev").strip().split(":"))
    found = {}
    for match in BIO.finditer(guest.run(f"cat {TRACEFS}/trace; echo >{TRACEFS}/trace")):
        if (match["major"], match["minor"]) == device:
            found.setdefault((match["comm"].strip(), int(match["pid"])), []).append(
                (int(match["start"]), int(match["length"])))
    return found


def readers(guest, found, scan):
    """Sectors by name of the reader, the kernel's own scan for partitions taken off."""
    units = {}
    for record in guest.run("systemctl show '*.service' -p Id -p ExecMainPID").split("\n\n"):
        fields = dict(line.split("=", 1) for line in record.splitlines() if "=" in line)
        units[int(fields.get("ExecMainPID") or 0)] = fields.get("Id")
    sums = Counter()
    for (comm, pid), rows in found.items():
        # The kernel scans in the name of the process that bound the disk.
        for at in range(len(rows) - len(scan), -1, -1):
            if rows[at:at + len(scan)] == scan:
                del rows[at:at + len(scan)]
        if rows:
            unit = units.get(pid)
            sums[f"`{comm}`" + (f" of {unit}" if unit else "")] += sum(length for _, length in rows)
    # A flush has no sectors.
    return +sums


def plugged(guest, path, udevd=True):
    """What is read of a base image from its plugging in until nothing stirs."""
    if not udevd:
        guest.run(f"systemctl stop {UDEVD}", check=False)
    node = guest.plug(path, SERIAL, settle=False)
    guest.wait_until(lambda: base_disks(guest))
    if udevd:
        guest.settle()
    # For what udev's events have started.
    guest.run("sleep 3")
    found = reads(guest)
    unplug(guest, node)
    if not udevd:
        guest.run(f"systemctl start {UDEVD} && udevadm settle")
    return found


def unplug(guest, node):
    guest.unplug(node, settle=False)
    guest.wait_until(lambda: not base_disks(guest))
    guest.settle()


def measure(suite, flavour, layout, deb):
    """Sectors by reader: at boot, and hot-plugged."""
    image = disk(suite, flavour, layout, (deb,) if deb else ())
    path, = image.paths
    name_of_root, root = list(image.roots.items())[0]
    generator = "dracut" if flavour == "dracut" else "initramfs-tools"
    more = append(Case(suite, generator, layout, "after", name_of_root))
    name = f"bench-sectors-{suite}-{flavour}-{layout}-{'with' if deb else 'without'}"
    # Without the package it might boot from the base image, or not at all:
    # there, it is hot-plugged only.
    disks = [(path, None, False), *([(path, SERIAL, True)] if deb else [])]
    with Guest(name, image.kernel, image.initrd, f"root={root} ro {more} {TRACE}", disks, CACHE / "logs") as guest:
        boot = reads(guest) if deb else {}
        if deb:
            unplug(guest, "disk1")
        plug = plugged(guest, path)
        # udevd stopped: only the kernel reads.
        scans = list(plugged(guest, path, udevd=False).values())
        assert len(scans) == 1, scans
        return readers(guest, boot, scans[0]), readers(guest, plug, scans[0])


def said(sums):
    return f"{sum(sums.values())}" + (f" ({', '.join(f'{k} {v}' for k, v in sums.items())})" if sums else "")


def main():
    deb = package()
    table = Table("Sectors of the base image read by userspace")
    for suite in SUITES:
        for flavour in ("plain",) if suite in ("bullseye", "bookworm") else ("plain", "dracut"):
            for layout in LAYOUTS:
                try:
                    boot, plug = measure(suite, flavour, layout, deb)
                    _, bare = measure(suite, flavour, layout, None)
                except (Unavailable, BootFailed) as reason:
                    note(f"left out: {suite}, {flavour}, {layout}: {reason}")
                    continue
                where = f"{suite}, {'dracut' if flavour == 'dracut' else 'initramfs-tools'}, root on {layout}"
                total = sum(plug.values())
                bar = None if suite == "bullseye" else total == 0
                table.row(f"{where}: hot-plugged, without the package", said(bare))
                table.row(f"{where}: hot-plugged", said(plug), "" if bar is None else "0", bar, True)
                at_boot = sum(boot.values()) <= BOOT_BAR
                table.row(f"{where}: at boot", said(boot),
                          *((f"≤ {BOOT_BAR}", at_boot, True) if suite != "bullseye" else ()))
    table.end()


main()
