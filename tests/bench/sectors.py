# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts the sectors that each program reads from the base image.

To count the sectors, this program reads the kernel's trace.

The kernel also reads sectors, because the kernel searches for partitions.  The table does not count these reads.  To
recognise these reads, this program stops udevd, and hot-plugs the base image.  Then only the kernel reads the disk.
"""

import itertools
import re
from collections import Counter

from bench import Table, log, package
from cases import Case, kernel_options
from guest import BootFailed, Guest
from images import Unavailable
from inert import SERIAL, base_disks
from layouts import disk

# These are the releases and the initramfs generators of the guests.
GUESTS = [("bookworm", "initramfs-tools"), ("trixie", "initramfs-tools"), ("trixie", "dracut")]
LAYOUTS = ["btrfs", "lvm", "md"]
# In the initramfs, a scanner reads sectors at the start of the disk, until the scanner finds the partition table.
BOOT_LIMIT = 8192
# The trace contains the name of the program that reads.  The disk's statistics do not contain this name.
TRACE = "trace_event=block:block_bio_queue trace_buf_size=2M"
TRACEFS = "/sys/kernel/tracing"
BIO = re.compile(r"^\s*(?P<comm>.*)-(?P<pid>\d+)\s+\[\d+\]\s+\S+\s+[\d.]+: block_bio_queue: "
                 r"(?P<major>\d+),(?P<minor>\d+) \w+ (?P<start>\d+) \+ (?P<length>\d+)", re.M)
UDEVD = "systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udevd.service"


def reads(guest):
    """Returns the reads from the base image since the last call: {(command, pid): [(first sector, length)]}."""
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
    """Returns the number of sectors that each program has read.  "scan" has the kernel's reads, which do not count."""
    units = {}
    for record in guest.run("systemctl show '*.service' -p Id -p ExecMainPID").split("\n\n"):
        fields = dict(line.split("=", 1) for line in record.splitlines() if "=" in line)
        units[int(fields.get("ExecMainPID") or 0)] = fields.get("Id")
    sums = Counter()
    for (comm, pid), rows in found.items():
        # In the trace, the kernel's reads have the name of the process that binds the disk.  This loop removes the
        # kernel's reads.
        for at in range(len(rows) - len(scan), -1, -1):
            if rows[at:at + len(scan)] == scan:
                del rows[at:at + len(scan)]
        if rows:
            unit = units.get(pid)
            sums[f"`{comm}`" + (f" of {unit}" if unit else "")] += sum(length for _, length in rows)
    # A program that only flushes the disk is in the trace with 0 sectors.  The operator "+" removes such programs.
    return +sums


def unplug(guest, node):
    guest.unplug(node, settle=False)
    guest.wait_until(lambda: not base_disks(guest))
    guest.settle()


def hotplug_reads(guest, path):
    """Hot-plugs a base image, and unplugs it 3 s after udevd has handled all events.  Returns the reads."""
    node = guest.plug(path, SERIAL, settle=False)
    guest.wait_until(lambda: base_disks(guest))
    guest.settle()
    # udevd can start a program at an event.  After udevd has handled the event, the program can still read the disk.
    guest.run("sleep 3")
    found = reads(guest)
    unplug(guest, node)
    return found


def measure(case, deb):
    """Returns the sectors that each program reads at boot, and the sectors that each program reads after a hot-plug.

    The argument "deb" is the package, or None for a guest without the package.
    """
    image = disk(case.suite, case.flavour, case.layout, (deb,) if deb else ())
    path, = image.paths
    root, options = next(iter(image.roots.values())), kernel_options(case)
    name = f"bench-sectors-{case.suite}-{case.generator}-{case.layout}-{'with' if deb else 'without'}"
    # With a base image, a guest without the package could mount the base image as root, or fail to boot.  So without
    # the package, the guest boots without a base image.
    disks = [(path, None, False), *([(path, SERIAL, True)] if deb else [])]
    with Guest(name, image.kernel, image.initrd, f"root={root} ro {options} {TRACE}", disks) as guest:
        boot = reads(guest) if deb else {}
        if deb:
            unplug(guest, "disk1")
        hotplug = hotplug_reads(guest, path)
        guest.run(f"systemctl stop {UDEVD}", check=False)
        scan, = hotplug_reads(guest, path).values()
        guest.run(f"systemctl start {UDEVD} && udevadm settle")
        return readers(guest, boot, scan), readers(guest, hotplug, scan)


def format_sums(sums):
    return f"{sum(sums.values())}" + (f" ({', '.join(f'{k} {v}' for k, v in sums.items())})" if sums else "")


def main():
    deb = package()
    table = Table("Sectors of the base image read by userspace")
    for (suite, generator), layout in itertools.product(GUESTS, LAYOUTS):
        case = Case(suite, generator, layout, "after", "")
        try:
            boot, hotplug = measure(case, deb)
            _, without = measure(case, None)
        except (Unavailable, BootFailed) as reason:
            log(f"left out: {suite}, {generator}, {layout}: {reason}")
            continue
        where = f"{suite}, {generator}, root on {layout}"
        table.row(f"{where}: hot-plugged, without the package", format_sums(without))
        table.row(f"{where}: hot-plugged", format_sums(hotplug), "0", not hotplug, True)
        table.row(f"{where}: at boot", format_sums(boot), f"≤ {BOOT_LIMIT}", sum(boot.values()) <= BOOT_LIMIT, True)
    table.end()


main()
