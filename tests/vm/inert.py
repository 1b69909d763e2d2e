# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks in a guest that the system and the scanners ignore the base image.

A scanner reads all block devices without asking udev.  A leak is an effect of the base image on the guest.
"""

import json
import re

from layouts import SPARE_UUID

SERIAL = "BASEIMAGE"
RULE = "/usr/lib/udev/rules.d/59-baseimage.rules"
HELPER = "/usr/lib/udev/baseimage_id"

# These links must lead to the base image.
OWN_LINKS = re.compile(rf"/dev/(baseimage|disk/by-id/virtio-{SERIAL})(-part\d+)?")
# Every block device has a link of this form, so leaks_links() accepts such a link to the base image.
NUMBER_LINKS = re.compile(r"/dev/block/\d+:\d+")

# Maps each scanner to its program and to a command.  The command must exit with status 0.  The output must contain
# neither the kernel name of a base image nor "duplicate".
SCANNERS = {
    "pvs": ("lvm", "pvs --noheadings -o pv_name,pv_uuid,vg_name"),
    "vgs": ("lvm", "vgs --noheadings"),
    "vgchange": ("lvm", "for vg in $(vgs --noheadings -o name); do"
                        " vgchange --addtag probe $vg && vgchange --deltag probe $vg || exit; done"),
    "lvcreate": ("lvm", "for vg in $(vgs --noheadings -o name); do"
                        " lvcreate --yes -l 1 -n probe $vg && lvremove --yes $vg/probe || exit; done"),
    "blkid": ("blkid", "blkid -c /dev/null -o export -s UUID -s LABEL -s TYPE -s PARTUUID -s PARTLABEL"),
    "lsblk": ("lsblk", "lsblk -nro KNAME,FSTYPE,UUID,LABEL,PARTUUID | awk 'NF > 1'"),
    "mdadm --examine": ("mdadm", "mdadm --examine --scan --verbose"),
    # If there is no array to assemble, mdadm fails.  So this command ignores the exit status, and leaks_kernel() checks
    # the arrays.
    "mdadm --assemble": ("mdadm", "mdadm --assemble --scan || :"),
    "btrfs filesystem show": ("btrfs", "btrfs filesystem show"),
    "btrfs device scan": ("btrfs", "btrfs device scan && ! dmesg | grep -i 'btrfs.*duplicate'"),
    "sfdisk": ("sfdisk", "sfdisk -l >/dev/null"),
    # parted opens each disk for writing.  When parted closes the disk, udevd can read the partition table again.
    "parted": ("parted", "parted -ls >/dev/null && parted -ls >/dev/null; udevadm settle --timeout=600"),
    # grub-mkconfig runs os-prober.  os-prober mounts each file system that os-prober finds.
    "os-prober": ("os-prober", "os-prober"),
    # ds-identify of cloud-init logs the labels of all file systems.  The command prints each label that occurs twice.
    "ds-identify": ("/usr/lib/cloud-init/ds-identify",
                    "rm -rf /run/cloud-init; /usr/lib/cloud-init/ds-identify --force >/dev/null 2>&1;"
                    " sed -n 's/^FS_LABELS=//p' /run/cloud-init/ds-identify.log | tr , '\\n' | sort | uniq -d"
                    " | sed 's/^/duplicate /'"),
    "udisksctl": ("udisksctl", "udisksctl status && udisksctl dump"),
    # This command erases the spare file system on the guest's own disk, so findfs is the last scanner.  Then only the
    # base image has SPARE_UUID, and findfs must not find SPARE_UUID.
    "findfs": ("findfs", f"own=$(findfs UUID={SPARE_UUID}) || exit 0; wipefs -qa $own;"
                         f" udevadm trigger --action=change --name-match=$own; udevadm settle --timeout=600;"
                         f" ! findfs UUID={SPARE_UUID} && ! mount UUID={SPARE_UUID} /mnt"),
}


def base_disks(guest):
    """Returns the kernel names of the disks that have the serial BASEIMAGE.

    Like udev, the command "read" of the shell ignores blanks at the end of the serial.  An emulated guest starts
    processes slowly, so the loop starts no process.
    """
    return guest.run("for disk in /sys/block/vd*; do read -r serial <$disk/serial; "
                     f"[ \"$serial\" != {SERIAL} ] || echo ${{disk##*/}}; done 2>/dev/null").split()


def plug_base(guest, disk=None, **options):
    """Hot-plugs each image of the Disk in "disk" as a base image.  Returns the QEMU node names.

    If the argument "disk" is None, hot-plugs the images from which the guest has booted.
    """
    return [guest.plug(path, SERIAL, **options) for path in (disk or guest.disk).paths]


def unplug_base(guest):
    """Unplugs all base images."""
    for node in [node for node, serial in guest.nodes.items() if serial == SERIAL]:
        guest.unplug(node)


def devices(guest, disks):
    """Returns the kernel names of the disks, and of the partitions on the disks."""
    paths = guest.run("ls -d /sys/block/vd* /sys/block/vd*/vd* 2>/dev/null || :").split()
    return [path.split("/")[-1] for path in paths if path.split("/")[3] in disks]


def root_disks(guest):
    """Returns the kernel names of all disks, partitions and volumes that contain the root file system."""
    source = guest.run("findmnt -nvo SOURCE /").strip()
    members = guest.run("ls -d /sys/fs/btrfs/*-*/devices/* 2>/dev/null || :").split()
    names = guest.run(f"lsblk -nrso KNAME {source} 2>/dev/null || :").split()
    return {path.split("/")[-1] for path in names + members}


def leaks(guest, partitions=False, ignored_units=None):
    """Returns the leaks as {aspect: lines}.  If there is no leak, returns {}.

    If the argument "partitions" is true, the guest has baseimage_udev=partitions, so a partition is not a leak.  The
    argument "ignored_units" is a regular expression for units that fail for other reasons.
    """
    disks = base_disks(guest)
    assert disks, "the guest has no base image"
    names = devices(guest, disks)
    found = {
        "root": leaks_root(guest, names, ignored_units),
        "links": leaks_links(guest, names),
        "units": leaks_units(guest, names),
        "kernel": leaks_kernel(guest, names),
        "udev": leaks_udev(guest, names),
        "partitions": [] if partitions else sorted(set(names) - set(disks)),
    }
    return {aspect: lines for aspect, lines in found.items() if lines}


def leaks_root(guest, names, ignored_units):
    found = [f"root is on {name} of the base image" for name in sorted(root_disks(guest) & set(names))]
    if guest.run("touch /written && sync -f /written && rm /written && echo yes", check=False) != "yes\n":
        found.append("root is read-only")
    failed = [line.split()[0] for line in
              guest.run("systemctl list-units --failed --plain --no-legend", check=False).splitlines()]
    return found + [f"failed: {unit}" for unit in failed
                    if ignored_units is None or not re.match(ignored_units, unit)]


def leaks_links(guest, names):
    # While udevd makes a link, the link has a temporary name, which begins with ".#".  realpath resolves all links in
    # one process, because an emulated guest starts processes slowly.
    lines = guest.run("find /dev -type l ! -name '.#*' >/run/links;"
                      " xargs -d '\\n' realpath -m </run/links | paste /run/links -").splitlines()
    found = []
    for link, target in [line.split("\t") for line in lines]:
        expected = bool(OWN_LINKS.fullmatch(link))
        if (target.removeprefix("/dev/") in names) != expected and not NUMBER_LINKS.fullmatch(link):
            found.append(f"{link} leads to {target}")
    return sorted(found)


def leaks_units(guest, names):
    found = []
    show = "systemctl show '*.device' '*.swap' '*.mount' -p Id -p ActiveState -p SysFSPath -p What"
    for block in guest.run(show, check=False).split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        of = {unit.get("SysFSPath", "").rsplit("/", 1)[-1], unit.get("What", "").rsplit("/", 1)[-1]}
        if unit.get("ActiveState") in ("active", "activating", "reloading") and of & set(names):
            found.append(f"{unit['Id']} is {unit['ActiveState']}")
    return sorted(found)


def leaks_kernel(guest, names):
    found, any_name = [], f"({'|'.join(map(re.escape, names))})"
    for command, pattern in (
            ("ls -1d /sys/fs/btrfs/*/devices/* /sys/class/block/*/holders/* 2>/dev/null || :",
             f"/devices/{any_name}$|/block/{any_name}/holders/"),
            ("cat /proc/self/mountinfo /proc/swaps; cat /proc/mdstat 2>/dev/null || :", rf"\b{any_name}\b"),
            ("dmesg | grep -i btrfs || :", rf"\b{any_name}\b|duplicate")):
        found += [line for line in guest.run(command).splitlines() if re.search(pattern, line)]
    return found


def udev_database(guest):
    """Returns the output of "udevadm info --export-db" as a list of lines for each device.

    For 64 partitions, one udevadm for all devices is faster than one udevadm for each device.
    """
    return [block.splitlines() for block in guest.run("udevadm info --export-db").strip().split("\n\n")]


def leaks_udev(guest, names):
    records = {line[3:]: lines for lines in udev_database(guest) for line in lines if line.startswith("N: ")}
    found = []
    for name in names:
        if "E: SYSTEMD_READY=0" not in records[name]:
            found.append(f"{name}: SYSTEMD_READY is not 0")
        found += [f"{name}: {line[3:]}" for line in records[name] if re.match(r"E: ID_(FS|PART)_[^=]*=.", line)]
    return found


def found_by_scanners(guest):
    """Returns {name: lines} for each scanner that finds the base image or fails.

    If a scanner is not installed, skips the scanner.
    """
    script = "".join(f"if command -v {program} >/dev/null; then echo '@{name}'; ({command}) 2>&1; echo \"=$?\"; fi\n"
                     for name, (program, command) in SCANNERS.items())
    any_disk = "|".join(base_disks(guest))
    assert any_disk, "the guest has no base image"
    found = {}
    for name, output, code in re.findall(r"^@(.*)\n((?:.*\n)*?)=(\d+)$", guest.run(script), re.M):
        lines = [line for line in output.splitlines() if re.search(rf"\b({any_disk})\d*\b|duplicate", line)]
        if lines or code != "0":
            found[name] = lines or [f"exits {code}: {output.strip()}"]
    return found


def harm(found):
    """Returns the leaks that harm a guest.  For example, a missing property is a leak, but does no harm."""
    return {aspect: lines for aspect, lines in found.items()
            if aspect.startswith(("root", "boot", "kernel", "scanner"))}


def in_initramfs(guest):
    """Returns the kernel names of the disks and partitions that existed after the initramfs had mounted root."""
    return re.findall(r" (vd[a-z]+\d*)$", guest.run("cat /run/initramfs.partitions"), re.M)


def virtio_name(guest, disk):
    """Returns the name of the virtio device to which a disk belongs, such as virtio2."""
    return guest.run(f"basename $(readlink -f /sys/block/{disk}/device)").strip()


def times_bound(guest):
    """Counts how many times the kernel bound each base image to the driver.  Returns the set of these counts."""
    messages = guest.run("dmesg | grep -E 'virtio_blk virtio[0-9]+: \\[vd[a-z]+\\]' || :")
    return {len(re.findall(rf"\b{virtio_name(guest, disk)}: \[", messages)) for disk in base_disks(guest)}


def properties(guest, name):
    """Returns the sorted words of a device's properties, without the property USEC_INITIALIZED.

    The words are sorted, because udev prints the links in any order.
    """
    lines = guest.run(f"udevadm info --query=property /dev/{name} | grep -v ^USEC_INITIALIZED=")
    return sorted(lines.replace("=", " ").split())


def status(guest):
    """Returns the exit status and the findings of baseimage-status.  Without baseimage-status, returns None."""
    if guest.run("command -v baseimage-status || :") == "":
        return None
    output, code = re.fullmatch(r"(.*\n)(\d)\n", guest.run("baseimage-status --json; echo $?"), re.S).groups()
    lines = json.loads(output)["baseimages"]
    # In the JSON, a finding is a child of its disk.  A finding about an unbound disk has no parent.
    lines = [child for line in lines for child in line.get("children", [line])]
    return int(code), [line for line in lines if line["kind"] != "disk"]


def udevd_kills(guest):
    """Returns the lines of udevd's journal that report a killed worker or a timeout."""
    return guest.run("journalctl -b -u systemd-udevd --no-pager | grep -iE 'kill|timed out' || :")


def assert_usable(guest, partitions=False, read=False):
    """Checks that the links lead to a base image.  If "read" is true, also reads the whole base image."""
    disks = base_disks(guest)
    names = devices(guest, disks) if partitions else disks
    targets = {}
    for part in {re.search(r"\d*$", name)[0] for name in names}:
        for link in "/dev/baseimage", f"/dev/disk/by-id/virtio-{SERIAL}":
            targets[f"{link}-part{part}" if part else link] = [f"/dev/{disk}{part}" for disk in disks]
    # For 64 partitions, one readlink for all links is faster than one readlink for each link.
    output = guest.run(f"readlink -ev {' '.join(targets)}").splitlines()
    for (link, expected), target in zip(targets.items(), output, strict=True):
        assert target in expected, (link, target)
    if read:
        # In an emulated guest, direct I/O is faster than I/O through the page cache.
        guest.run("dd if=/dev/baseimage of=/dev/null bs=1M iflag=direct")


def assert_inert(guest, partitions=False, read=False, scan=False):
    """Checks leaks() and assert_usable().  If "scan" is true, also checks that no scanner finds the base image."""
    assert leaks(guest, partitions) == {}
    assert_usable(guest, partitions, read)
    if scan:
        assert found_by_scanners(guest) == {}
