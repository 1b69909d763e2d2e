# SPDX-License-Identifier: GPL-2.0-or-later
"""What the base image does in a guest, seen from inside it."""

import json
import posixpath
import re

from layouts import SPARE_UUID

SERIAL = "BASEIMAGE"

# The links that are meant to lead to it, and to nothing else.
OWN_LINKS = re.compile(rf"/dev/(baseimage|disk/by-id/virtio-{SERIAL})(-part\d+)?")
# Those that every block device has, by its number.
NUMBERS = re.compile(r"/dev/block/\d+:\d+")

# The scanners, by name: a program that a guest may have, and a command that must exit 0 and name no base image.
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
    # The exit status differs if there is nothing to assemble; leaks_kernel() sees what it did.
    "mdadm --assemble": ("mdadm", "mdadm --assemble --scan || :"),
    "btrfs filesystem show": ("btrfs", "btrfs filesystem show"),
    "btrfs device scan": ("btrfs", "btrfs device scan && ! dmesg | grep -i 'btrfs.*duplicate'"),
    # parted opens each disk to write.
    "sfdisk": ("sfdisk", "sfdisk -l >/dev/null"),
    "parted": ("parted", "parted -ls >/dev/null && parted -ls >/dev/null; udevadm settle --timeout=600"),
    # grub-mkconfig runs it; it mounts what it finds.
    "os-prober": ("os-prober", "os-prober"),
    # It logs the labels of all file systems that it found.
    "ds-identify": ("/usr/lib/cloud-init/ds-identify",
                    "rm -rf /run/cloud-init; /usr/lib/cloud-init/ds-identify --force >/dev/null 2>&1;"
                    " sed -n 's/^FS_LABELS=//p' /run/cloud-init/ds-identify.log | tr , '\\n' | sort | uniq -d"
                    " | sed 's/^/duplicate /'"),
    "udisksctl": ("udisksctl", "udisksctl status && udisksctl dump"),
    # The last, as it takes the guest's own file system of that UUID away.
    "findfs": ("findfs", f"own=$(findfs UUID={SPARE_UUID}) || exit 0; wipefs -qa $own;"
                         f" udevadm trigger --action=change --name-match=$own; udevadm settle --timeout=600;"
                         f" ! findfs UUID={SPARE_UUID} && ! mount UUID={SPARE_UUID} /mnt"),
}


def base_disks(guest):
    """The names of the base image disks, by their serial attribute; udev, like read, takes no note of blanks at its
    end.  Asked for often, by the shell alone: a process takes an emulated guest long."""
    return guest.run("for disk in /sys/block/vd*; do read -r serial <$disk/serial; "
                     f"[ \"$serial\" != {SERIAL} ] || echo ${{disk##*/}}; done 2>/dev/null").split()


def unplug_base(guest):
    """Takes away each base image, however it came."""
    for node in [node for node, serial in guest.nodes.items() if serial == SERIAL]:
        guest.unplug(node)


def devices(guest, disks):
    """The names of the disks and of their partitions."""
    paths = guest.run("ls -d /sys/block/vd* /sys/block/vd*/vd* 2>/dev/null || :").split()
    return [path.split("/")[-1] for path in paths if path.split("/")[3] in disks]


def root_disks(guest):
    """The names of all block devices that root stands on."""
    source = guest.run("findmnt -nvo SOURCE /").strip()
    names = set(guest.run(f"lsblk -nrso KNAME {source} 2>/dev/null || :").split())
    for member in guest.run("ls -d /sys/fs/btrfs/*-*/devices/* 2>/dev/null || :").split():
        names.add(member.rsplit("/", 1)[1])
    return names


def leaks(guest, partitions=False):
    """All that gives the base image away, by aspect; empty lists where it is inert.

    partitions: whether its partitions are to have nodes (baseimage_udev=partitions).
    The other half of the promise, that it can be used, is usable().
    """
    disks = base_disks(guest)
    names = devices(guest, disks)
    found = {
        "root": leaks_root(guest, names),
        "links": leaks_links(guest, names),
        "units": leaks_units(guest, names),
        "kernel": leaks_kernel(guest, names),
        "udev": leaks_udev(guest, names),
        "partitions": [] if partitions else sorted(set(names) - set(disks)),
    }
    assert disks, "the guest has no base image at all"
    return found


def leaks_root(guest, names):
    found = [f"root is on {name} of the base image" for name in sorted(root_disks(guest) & set(names))]
    if guest.run("touch /written && sync -f /written && rm /written && echo yes", check=False) != "yes\n":
        found.append("root is read-only")
    found += [f"failed: {line.split()[0]}" for line in
              guest.run("systemctl list-units --failed --plain --no-legend", check=False).splitlines()]
    return found


def leaks_links(guest, names):
    # udevd gives a link the name ".#..." until the link is complete.
    links = {}
    for line in guest.run(r"find /dev -type l ! -name '.#*' -printf '%p\t%l\n'").splitlines():
        link, target = line.split("\t")
        links[link] = posixpath.normpath(posixpath.join(posixpath.dirname(link), target))
    found = []
    for link, target in links.items():
        for _ in links:         # a link to a link
            target = links.get(target, target)
        if (target.removeprefix("/dev/") in names) != bool(OWN_LINKS.fullmatch(link)) and not NUMBERS.fullmatch(link):
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
    found = []
    either = "|".join(map(re.escape, names))
    for path in guest.run("ls -d /sys/fs/btrfs/*/devices/* /sys/class/block/*/holders/* 2>/dev/null || :").split():
        parts = path.split("/")
        member = parts[-1] if "btrfs" in parts else parts[4]
        if member in names:
            found.append(path)
    for line in guest.run("cat /proc/self/mountinfo /proc/swaps; cat /proc/mdstat 2>/dev/null || :").splitlines():
        if re.search(rf"\b({either})\b", line):
            found.append(line)
    for line in guest.run("dmesg | grep -i btrfs || :").splitlines():
        if re.search(rf"\b({either})\b|duplicate", line):
            found.append(line)
    return found


def udev_database(guest):
    """The lines of "udevadm info --export-db", by device.

    All at once: to ask for each of 64 partitions takes an emulated guest long.
    """
    return [block.splitlines() for block in guest.run("udevadm info --export-db").strip().split("\n\n")]


def records(guest):
    """The properties of each device that has a node, by its name."""
    found = {}
    for lines in udev_database(guest):
        fields = [line.partition(": ")[::2] for line in lines]
        for name in [value for kind, value in fields if kind == "N"]:
            found[name] = dict(value.partition("=")[::2] for kind, value in fields if kind == "E")
    return found


def leaks_udev(guest, names):
    found = []
    every = records(guest)
    for name in names:
        if every[name].get("SYSTEMD_READY") != "0":
            found.append(f"{name}: SYSTEMD_READY is not 0")
        found += [f"{name}: {key}={value}" for key, value in every[name].items()
                  if re.match(r"ID_(FS|PART)_", key) and value]
    return found


def found_by_scanners(guest):
    """Who finds the base image by looking for itself, and what it says; those
    that the guest does not have are left out."""
    script = "".join(f"if command -v {program} >/dev/null; then echo '@{name}'; ({command}) 2>&1; echo \"=$?\"; fi\n"
                     for name, (program, command) in SCANNERS.items())
    either = "|".join(base_disks(guest))
    assert either, "the guest has no base image at all"
    found = {}
    answers = guest.run(script)
    for name, output, status in re.findall(r"^@(.*)\n((?:.*\n)*?)=(\d+)$", answers, re.M):
        lines = [line for line in output.splitlines() if re.search(rf"\b({either})\d*\b|duplicate", line)]
        if lines or status != "0":
            found[name] = lines or [f"exits {status}: {output.strip()}"]
    return found


def harm(found):
    """What of leaks() is more than our marks amiss: the wrong root, no boot, the
    kernel's word, or somebody who finds the twin."""
    return {aspect: lines for aspect, lines in found.items()
            if lines and aspect.startswith(("root", "boot", "kernel", "scanner"))}


def in_initramfs(guest):
    """The disks and partitions that there were when the initramfs had found root (LOOK in images.py)."""
    return re.findall(r" (vd[a-z]+\d*)$", guest.run("cat /run/initramfs.partitions"), re.M)


def times_bound(guest):
    """How often virtio_blk was bound to each base image since the kernel started: a set of numbers."""
    probed = guest.run("dmesg | grep -E 'virtio_blk virtio[0-9]+: \\[vd[a-z]+\\]' || :")
    virtio = [guest.run(f"basename $(readlink -f /sys/block/{name}/device)").strip() for name in base_disks(guest)]
    return {len(re.findall(rf"\b{name}: \[", probed)) for name in virtio}


def properties(guest, name):
    """A device's properties, in words, but for the time of its first event: links have no order."""
    lines = guest.run(f"udevadm info --query=property /dev/{name} | grep -v ^USEC_INITIALIZED=")
    return sorted(lines.replace("=", " ").split())


def status(guest):
    """What baseimage-status says: its exit status and its findings; None without it."""
    if guest.run("command -v baseimage-status || :") == "":
        return None
    said, exit_status = re.fullmatch(r"(.*\n)(\d)\n", guest.run("baseimage-status --json; echo $?"), re.S).groups()
    lines = json.loads(said)["baseimages"]
    # A line without a disk is a finding without a base image.
    lines = [child for line in lines for child in line.get("children", [line])]
    return int(exit_status), [line for line in lines if line["kind"] != "disk"]


def usable(guest, partitions=False, read=False):
    """Whether the base image has its names, and reads to its end if asked for.

    Where there are several, either may have a name.
    """
    disks = base_disks(guest)
    names = devices(guest, disks) if partitions else disks
    leads = {}
    for part in {re.search(r"\d*$", name)[0] for name in names}:
        for link in "/dev/baseimage", f"/dev/disk/by-id/virtio-{SERIAL}":
            leads[f"{link}-part{part}" if part else link] = [f"/dev/{disk}{part}" for disk in disks]
    # All at once: to ask for each of 64 partitions takes an emulated guest long.
    targets = guest.run(f"readlink -ev {' '.join(leads)}").splitlines()
    for (link, expected), target in zip(leads.items(), targets, strict=True):
        assert target in expected, (link, target)
    if read:
        # Not by way of the page cache, which takes an emulated guest long.
        guest.run("dd if=/dev/baseimage of=/dev/null bs=1M iflag=direct")


def assert_inert(guest, partitions=False, read=False):
    found = leaks(guest, partitions)
    assert not any(found.values()), found
    usable(guest, partitions, read)
