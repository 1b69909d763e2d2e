# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that is only described, for "udevadm test" to run the rule on.

It is a directory to chroot into: this machine's udevadm and udev rules, the
package's rule and helper, a sysfs of plain files, and device nodes that are
files with content.  So no test needs root or a virtio disk: tests/inside gives
the right to chroot.

What has an effect is in RUN, which "udevadm test" prints and does not run.
"""

import os
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

UDEV = "usr/lib/udev"
# The package's files below UDEV: as the environment names them, else as installed.
HELPER, RULE = "baseimage_id", "rules.d/59-baseimage.rules"
PACKAGE = {HELPER: os.environ.get("HELPER", f"/{UDEV}/{HELPER}"), RULE: os.environ.get("RULE", f"/{UDEV}/{RULE}")}
MOUNTS = os.environ.get("BASEIMAGE_INSIDE") in ("mounts", "one-id")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_DEVICE_VERIFY_SYSFS": "0"}

# What a disk is attached to, nearest first: name in sysfs, subsystem, driver.
BUSES = {
    "pci": [("virtio1", "virtio", "virtio_blk"), ("0000:00:05.0", "pci", "virtio-pci"), ("pci0000:00", None, None)],
    # The channels of s390x.
    "ccw": [("virtio1", "virtio", "virtio_blk"), ("0.0.0001", "ccw", "virtio_ccw"),
            ("0.0.0002", "css", "io_subchannel"), ("css0", None, None)],
    "scsi": [("0:0:0:0", "scsi", "sd"), ("0000:00:06.0", "pci", "ahci"), ("pci0000:00", None, None)],
    # No disk, whatever its name.
    "other": [("vdz", "misc", None), ("virtual", None, None)],
}
# What is on a disk or partition: a partition table, swap space with a UUID and a label, both swap space and squashfs.
TABLE = (bytes(446) + struct.pack("<4xB3xII", 0x83, 2048, 2048)).ljust(510, b"\0") + b"\x55\xaa"
SWAP = (bytes(1024) + struct.pack("<3I", 1, 255, 0) + bytes(range(16)) + b"inside").ljust(4086, b"\0") + b"SWAPSPACE2"
AMBIGUOUS = struct.pack("<4s24xH", b"hsqs", 4) + SWAP[30:]


def udev_version():
    return int(subprocess.run(["udevadm", "--version"], env=ENVIRONMENT, check=True, stdout=subprocess.PIPE,
                              text=True).stdout.split()[0])


@dataclass
class Record:
    """What udev knows of a device after an event."""
    properties: dict        # that are not empty, except for the links
    links: set
    priority: str           # of the links
    watch: str              # whether udevd watches the device; None where udevadm does not tell (before version 257)
    runs: list              # the commands of RUN

    @property
    def ours(self):
        """The commands that are this package's."""
        return [command for command in self.runs if "baseimage_id" in command]


def read_record(said, priority):
    """What udevadm printed: from version 257 on indented, under headings."""
    properties = dict(re.findall(r"^ *([A-Za-z]\w*)=(.+)$", said, re.M))
    for name in "USEC_INITIALIZED", "ID_PROCESSING":
        properties.pop(name, None)
    links = set(properties.pop("DEVLINKS", "").split())
    priority = re.search(r"^Device node symlinks: \(priority=(.*)\)$", said, re.M) or re.match("(.*?):", priority)
    watch = re.search(r"^Inotify watch:\n  (.*)$", said, re.M)
    runs = re.findall(r"^(?:run: '|  RUN{program} : )(.*?)'?$", said, re.M)
    return Record(properties, links, priority and priority[1], watch and watch[1], runs)


class Machine:
    """Its attributes say how it is at the next event."""

    def __init__(self, root):
        self.root = root
        self.bus, self.disk = "pci", "vdb"
        self.device = "vdb"     # whose event it is: the disk's, its partition's, or that of what it is attached to
        self.serial = "BASEIMAGE"
        self.content = {"vdb": TABLE, "vdb1": SWAP}     # of the disk, and of its partition if there is one
        self.cmdline = "root=/dev/vda1 ro"
        self.files = []         # paths that exist as well
        self.rules = {}         # other rules: text by name
        self.package = {name: Path(file).read_bytes() for name, file in PACKAGE.items()}
        self.helper_mode = 0o755

    def build(self):
        """Makes what all events have in common; once for a directory."""
        if MOUNTS:
            # It is faster there.
            subprocess.run(["mount", "-t", "tmpfs", "none", self.root], env=ENVIRONMENT, check=True)
            (self.root / "proc").mkdir()
            subprocess.run(["mount", "--rbind", "/proc", self.root / "proc"], env=ENVIRONMENT, check=True)
        for program in "/bin/sh", "/usr/bin/udevadm", "/usr/sbin/blkid", PACKAGE[HELPER]:
            libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
            for path in [str(program), *re.findall(r"(/\S+) \(0x", libraries)]:
                copy = self.root / path[1:]
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
        shutil.copytree(f"/{UDEV}/rules.d", self.root / UDEV / "rules.d")
        subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", self.root / "blockdev.so",
                        Path(__file__).with_name("blockdev.c")], check=True)

    def paths(self):
        """The sysfs paths of the disk, its partition, and what it is attached to."""
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
        """A block device, and the file that it is in /dev: blockdev.c."""
        dev = f"254:{number}"
        self.write_device(path, "block", {"MAJOR": 254, "MINOR": number, "DEVNAME": path.name, "DEVTYPE": kind},
                          dev=dev, size="2048", **attributes)
        os.makedirs(self.root / "sys/dev/block", exist_ok=True)
        os.symlink(f"/sys{path}", self.root / "sys/dev/block" / dev)
        node = self.write(f"dev/{path.name}", self.content[path.name])
        os.truncate(node, 16 << 20)      # blkid takes the first content that it finds on a tiny disk
        node.chmod(0o1660)
        os.utime(node, (0, os.makedev(254, number)))

    def prepare(self):
        """Makes the machine again, as its attributes say."""
        for name in "conf", "dev", "etc", "run", "sys", "usr/lib/baseimage-udev":
            shutil.rmtree(self.root / name, ignore_errors=True)
        for name in "usr/lib/initrd-release", f"{UDEV}/{HELPER}", f"{UDEV}/{RULE}":
            (self.root / name).unlink(missing_ok=True)
        self.write("etc/ld.so.preload", "/blockdev.so\n")
        self.write("dev/null")
        for name, content in self.package.items():
            self.write(f"{UDEV}/{name}", content).chmod(self.helper_mode if name == HELPER else 0o644)
        for name, text in self.rules.items():
            self.write(f"run/udev/rules.d/{name}", text)
        for path in self.files:
            self.write(path)
        paths = self.paths()
        for name, subsystem, driver in BUSES[self.bus]:
            self.write_device(paths[name], subsystem, {"DRIVER": driver} if driver else {})
        self.write_node(paths[self.disk], 16, "disk", serial=self.serial)
        for number, name in enumerate(sorted(self.content.keys() - {self.disk}), 1):
            self.write_node(paths[name], 16 + number, "partition", partition=str(number))
        return paths[self.device]

    def record(self, action="add"):
        """Makes an event, and returns what comes of it."""
        path = self.prepare()
        said = subprocess.run(["chroot", self.root, "udevadm", "test", f"--action={action}", f"/sys{path}"],
                              env=ENVIRONMENT | {"SYSTEMD_PROC_CMDLINE": self.cmdline}, capture_output=True, text=True,
                              check=False)
        assert said.returncode == 0 and f"DEVPATH={path}" in said.stdout, said.stderr
        # Before version 257 the priority is in a file for each link.
        link = next((self.root / "run/udev/links").glob("*/b*"), None)
        return read_record(said.stdout, os.readlink(link) if link else "")

    def record_without_package(self, action="add"):
        package, self.package = self.package, {}
        try:
            return self.record(action)
        finally:
            self.package = package
