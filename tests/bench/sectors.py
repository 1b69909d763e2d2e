# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts the sectors that userspace reads from the base image.

The kernel counts the sectors that were read from a disk.  The kernel also reads the disk, to find partitions, and the
count includes these reads.  To count only these reads, this program stops udevd, and hot-plugs the disk.  Then this
program subtracts these reads.
"""

import itertools

from bench import Table, log, package
from cases import Case, kernel_options
from guest import BootFailed, Guest
from images import Unavailable
from inert import SERIAL, base_disks
from layouts import disk

# These are the releases and the initramfs generators of the guests.
GUESTS = [("bookworm", "initramfs-tools"), ("trixie", "initramfs-tools"), ("trixie", "dracut")]
LAYOUTS = ["btrfs", "lvm", "md"]
# At boot, userspace may read at most this number of sectors.  Scanners in the initramfs read the start of the disk.
BOOT_LIMIT = 8192
UDEVD = "systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udevd.service"


def sectors_read(guest):
    name, = base_disks(guest)
    return int(guest.run(f"cat /sys/block/{name}/stat").split()[2])


def hotplug_reads(guest, path):
    """Hot-plugs a base image, waits 3 s after the last event, and unplugs it.  Returns the sectors read."""
    node = guest.plug(path, SERIAL)
    # udevd can start a program at an event.  After udevd has handled the event, the program can still read the disk.
    guest.run("sleep 3")
    sectors = sectors_read(guest)
    guest.unplug(node)
    return sectors


def measure(case, deb):
    """Returns the sectors that userspace reads at boot, and the sectors that userspace reads after a hot-plug.

    The argument "deb" is the package, or None for a guest without the package.  If "deb" is None, the first number has
    no meaning.
    """
    image = disk(case.suite, case.flavour, case.layout, (deb,) if deb else ())
    path, = image.paths
    root, options = next(iter(image.roots.values())), kernel_options(case)
    name = f"bench-sectors-{case.suite}-{case.generator}-{case.layout}-{'with' if deb else 'without'}"
    # A guest without the package could mount the base image as root.  So this guest boots without a base image.
    disks = [(path, None, False), *([(path, SERIAL, True)] if deb else [])]
    with Guest(name, image, f"root={root} ro {options}", disks) as guest:
        boot = 0
        if deb:
            boot = sectors_read(guest)
            guest.unplug("disk1")
        hotplug = hotplug_reads(guest, path)
        guest.run(f"systemctl stop {UDEVD}", check=False)
        kernel = hotplug_reads(guest, path)
        return boot - kernel, hotplug - kernel


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
        table.row(f"{where}: hot-plugged, without the package", without)
        table.row(f"{where}: hot-plugged", hotplug, "0", hotplug == 0, True)
        table.row(f"{where}: at boot", boot, f"≤ {BOOT_LIMIT}", boot <= BOOT_LIMIT, True)
    table.end()


main()
