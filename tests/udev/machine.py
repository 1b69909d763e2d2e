# SPDX-License-Identifier: GPL-2.0-or-later
"""Simulates a machine, on which "udevadm test" runs the rule.

The simulated machine is a directory, in which udevadm runs in a chroot.  The directory contains copies of udevadm and
of the udev rules from the system that runs the tests.  The directory also contains the package's rule and helper.
Regular files simulate sysfs and the device nodes.  For an ordinary user, tests/inside makes a user namespace, because
only root can chroot.  "udevadm test" does not run the commands of RUN, but prints the commands.
"""

import copy
import os
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

UDEV = "usr/lib/udev"
# HELPER and RULE are paths below /usr/lib/udev.  PACKAGE maps each of these paths to the path of the file to test.  If
# the environment variable HELPER or RULE is not set, the tests use the installed file.
HELPER, RULE = "baseimage_id", "rules.d/59-baseimage.rules"
PACKAGE = {HELPER: os.environ.get("HELPER", f"/{UDEV}/{HELPER}"), RULE: os.environ.get("RULE", f"/{UDEV}/{RULE}")}
MOUNTS = os.environ.get("BASEIMAGE_INSIDE") in ("mounts", "one-id")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_DEVICE_VERIFY_SYSFS": "0"}

# Maps each bus to a list of the parent devices of a disk.  The first device in the list is the nearest parent.  Each
# device is a tuple of the name in sysfs, the subsystem and the driver.
BUSES = {
    "pci": [("virtio1", "virtio", "virtio_blk"), ("0000:00:05.0", "pci", "virtio-pci"), ("pci0000:00", None, None)],
    # On s390x, virtio devices are attached to the bus CCW.
    "ccw": [("virtio1", "virtio", "virtio_blk"), ("0.0.0001", "ccw", "virtio_ccw"),
            ("0.0.0002", "css", "io_subchannel"), ("css0", None, None)],
    "scsi": [("0:0:0:0", "scsi", "sd"), ("0000:00:06.0", "pci", "ahci"), ("pci0000:00", None, None)],
    # The device vdz has a name like a virtio disk, but is not a block device.
    "other": [("vdz", "misc", None), ("virtual", None, None)],
}
# These are the possible contents of a disk or a partition.  TABLE is a partition table.  SWAP is swap space with a UUID
# and a label.  AMBIGUOUS has two kinds of content: swap space and squashfs.
TABLE = (bytes(446) + struct.pack("<4xB3xII", 0x83, 2048, 2048)).ljust(510, b"\0") + b"\x55\xaa"
SWAP = (bytes(1024) + struct.pack("<3I", 1, 255, 0) + bytes(range(16)) + b"inside").ljust(4086, b"\0") + b"SWAPSPACE2"
AMBIGUOUS = struct.pack("<4s24xH", b"hsqs", 4) + SWAP[30:]


def udev_version():
    return int(subprocess.check_output(["udevadm", "--version"], env=ENVIRONMENT, text=True).split()[0])


def copy_programs(root, *programs):
    """Copies programs and their libraries to the same paths in a chroot."""
    for program in programs:
        libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        for path in [str(program), *re.findall(r"(/\S+) \(0x", libraries)]:
            target = root / path[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


@dataclass
class Record:
    """Contains what "udevadm test" prints for a device after an event."""
    properties: dict        # contains neither DEVLINKS nor empty properties
    links: set
    priority: str           # the link_priority of the links
    watch: str              # "enabled" or "disabled"; before udev version 257, None
    runs: list              # the commands of RUN

    @property
    def helper_commands(self):
        """Returns the commands that run the helper."""
        return [command for command in self.runs if "baseimage_id" in command]


def parse_record(output, priority):
    """Parses the output of "udevadm test".  In version 257 and later, the output has headings and indentation."""
    properties = dict(re.findall(r"^ *([A-Za-z]\w*)=(.+)$", output, re.M))
    for name in "USEC_INITIALIZED", "ID_PROCESSING":
        properties.pop(name, None)
    links = set(properties.pop("DEVLINKS", "").split())
    priority = re.search(r"^Device node symlinks: \(priority=(.*)\)$", output, re.M) or re.match("(.*?):", priority)
    watch = re.search(r"^Inotify watch:\n  (.*)$", output, re.M)
    runs = re.findall(r"^(?:run: '|  RUN{program} : )(.*?)'?$", output, re.M)
    return Record(properties, links, priority and priority[1], watch and watch[1], runs)


class Machine:
    """Describes a machine.  The tests set attributes, and then call record()."""

    def __init__(self, root, bus="pci", device="vdb"):
        self.root, self.bus, self.disk = root, bus, "vdb"
        self.action = "add"
        self.device = device    # the device that has the event: the disk, the partition or a parent device
        self.serial = "BASEIMAGE"
        self.content = {"vdb": TABLE, "vdb1": SWAP}     # the key "vdb1" exists if the disk has a partition
        self.cmdline = "root=/dev/vda1 ro"
        self.files = []         # the paths of additional empty files
        self.rules = {}         # maps the name of each additional rule file to the text of the file
        self.package = {name: Path(file).read_bytes() for name, file in PACKAGE.items()}
        self.helper_mode = 0o755

    def build(self):
        """Creates the files that are the same for all events.  conftest.py calls this function once."""
        if MOUNTS:
            # The tests are faster on a tmpfs than on a disk.  The mounts end with the namespace of tests/inside.
            subprocess.run(["mount", "-t", "tmpfs", "none", self.root], env=ENVIRONMENT, check=True)
            (self.root / "proc").mkdir()
            subprocess.run(["mount", "--rbind", "/proc", self.root / "proc"], env=ENVIRONMENT, check=True)
        copy_programs(self.root, "/bin/sh", "/usr/bin/udevadm", "/usr/sbin/blkid", PACKAGE[HELPER])
        shutil.copytree(f"/{UDEV}/rules.d", self.root / UDEV / "rules.d")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.root / "blockdev.so",
                        Path(__file__).with_name("blockdev.c")], check=True)

    def paths(self):
        """Returns {name: path in sysfs} for the disk, for the partition and for the disk's parent devices."""
        names = [name for name, *_ in BUSES[self.bus]]
        paths = {name: Path("/devices", *reversed(names[at:])) for at, name in enumerate(names)}
        paths[self.disk] = paths[names[0]] / "block" / self.disk
        return paths | {name: paths[self.disk] / name for name in self.content if name != self.disk}

    def write(self, path, content=""):
        path = self.root / str(path).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def write_device(self, path, subsystem, uevent, **attributes):
        for name, value in attributes.items():
            self.write(f"sys{path}/{name}", value)
        self.write(f"sys{path}/uevent", "".join(f"{name}={value}\n" for name, value in uevent.items()))
        if subsystem:
            self.write(f"sys/bus/{subsystem}/uevent")
            os.symlink(f"/sys/bus/{subsystem}", self.root / f"sys{path}/subsystem")

    def write_node(self, path, number, kind, **attributes):
        """Writes the sysfs files of a block device, and writes a regular file that simulates the device node."""
        dev = f"254:{number}"
        self.write_device(path, "block", {"MAJOR": 254, "MINOR": number, "DEVNAME": path.name, "DEVTYPE": kind},
                          dev=dev, size="2048", **attributes)
        os.makedirs(self.root / "sys/dev/block", exist_ok=True)
        os.symlink(f"/sys{path}", self.root / "sys/dev/block" / dev)
        node = self.write(f"dev/{path.name}", self.content[path.name])
        os.truncate(node, 16 << 20)      # if a disk is very small, blkid stops at the first content
        node.chmod(0o1660)
        os.utime(node, (0, os.makedev(254, number)))

    def prepare(self):
        """Writes those files of the machine that depend on the attributes.

        Returns the path in sysfs of the device that has the event."""
        for name in "conf", "dev", "etc", "run", "sys", "usr/lib/baseimage-udev":
            shutil.rmtree(self.root / name, ignore_errors=True)
        for name in "usr/lib/initrd-release", f"{UDEV}/{HELPER}", f"{UDEV}/{RULE}":
            (self.root / name).unlink(missing_ok=True)
        self.write("etc/ld.so.preload", "/blockdev.so\n")
        for name, content in self.package.items():
            self.write(f"{UDEV}/{name}", content).chmod(self.helper_mode if name == HELPER else 0o644)
        for name, text in self.rules.items():
            self.write(f"run/udev/rules.d/{name}", text)
        for path in ["dev/null", *self.files]:
            self.write(path)
        paths = self.paths()
        for name, subsystem, driver in BUSES[self.bus]:
            self.write_device(paths[name], subsystem, {"DRIVER": driver} if driver else {})
        self.write_node(paths[self.disk], 16, "disk", serial=self.serial)
        for number, name in enumerate(sorted(self.content.keys() - {self.disk}), 1):
            self.write_node(paths[name], 16 + number, "partition", partition=str(number))
        return paths[self.device]

    def record(self):
        """Simulates an event, and returns the Record."""
        path = self.prepare()
        process = subprocess.run(["chroot", self.root, "udevadm", "test", f"--action={self.action}", f"/sys{path}"],
                                 env=ENVIRONMENT | {"SYSTEMD_PROC_CMDLINE": self.cmdline}, capture_output=True,
                                 text=True, check=False)
        assert process.returncode == 0 and f"DEVPATH={path}" in process.stdout, process.stderr
        # Before version 257, udevadm does not print the priority of the links.  But for each link, udevadm makes a file
        # in /run/udev/links.  This file is a symlink, whose target begins with the priority.
        link = next((self.root / "run/udev/links").glob("*/b*"), None)
        return parse_record(process.stdout, os.readlink(link) if link else "")

    def record_without_package(self):
        other = copy.copy(self)
        other.package = {}
        return other.record()
