# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs guests in QEMU.  Each guest has disks, a console log and a root shell."""

import base64
import fcntl
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pexpect
import pexpect.fdpexpect

from images import CACHE, LOGS, SHELL_PORT, cached, digest, run, unpacked

# If the console and the shell of a guest print nothing for this time, the test fails.  Even a slow guest prints
# something within this time.
SILENCE_SECONDS = 600
# If the boot has failed, the kernel, initramfs-tools or dracut prints a line that matches this pattern.
FATAL = re.compile(r"^.*(?:Kernel panic - not syncing|Gave up waiting for root|Entering emergency mode).*$"
                   r"|^\(initramfs\)", re.M)
# When the initramfs begins to wait for root, initramfs-tools or dracut prints a line that matches this pattern.
WAITS_FOR_ROOT = "Waiting for root file system|Running /scripts/local-block|dracut-initqueue"
# When systemd stops the boot and waits for an administrator, systemd prints a line that matches this pattern.  If the
# guest then prints nothing for MAINTENANCE_SECONDS, the boot has failed.
MAINTENANCE = re.compile(r"^.*(?:You are in (?:emergency|rescue) mode|for maintenance|root account is locked).*$", re.M)
MAINTENANCE_SECONDS = 60
# With "-cpu max" and QEMU's chipset, a guest would load these drivers.  The tests do not need these drivers, and an
# emulated guest loads drivers slowly.
IDLE_DRIVERS = ("kvm_amd kvm aesni_intel ghash_clmulni_intel sha512_ssse3 sha256_ssse3 sha1_ssse3 crct10dif_pclmul"
                " crc32_pclmul cryptd crypto_simd powernow_k8 acpi_cpufreq evdev button serio_raw qemu_fw_cfg ata_piix"
                " ata_generic psmouse pcspkr floppy i2c_piix4").split()
# These options make the boot of an emulated guest faster and more reliable.  On a busy machine, emulated timers are
# late.  With no_timer_check, the kernel accepts late timers.  With norandmaps, QEMU translates the code of each library
# once, and not again for each process.  So a boot takes a fifth less time.  With lsm=capability, the kernel has no
# other security module.  With cgroup_disable=memory, the kernel does not account for memory.
QUICK = ("no_timer_check cryptomgr.notests audit=0 lsm=capability cgroup_disable=memory rcupdate.rcu_expedited=1"
         f" tsc=reliable init_on_alloc=0 norandmaps mitigations=off modprobe.blacklist={','.join(IDLE_DRIVERS)}")
# Every guest has these kernel options.  To save time, 8250.nr_uarts=1 makes the kernel probe 1 serial line, and not 4.
KERNEL_OPTIONS = f"console=ttyS0 panic=5 8250.nr_uarts=1 {QUICK}"
PROMPT = "guest-shell-"
QEMU = "qemu-system-x86_64"


class BootFailed(Exception):
    """Means that QEMU has ended, or that the boot has failed.  The message has the last lines of the console."""


class Silent(Exception):
    """Means that the guest has printed nothing for too long.  The guest or this machine may hang."""


def accelerator():
    """If this machine has KVM, returns QEMU's options for KVM.  Otherwise returns QEMU's options for emulation.

    /dev/kvm can exist on a processor without virtualization, so this function also checks the processor.
    """
    flags = re.search(r"^flags\s*:.*\b(vmx|svm)\b", Path("/proc/cpuinfo").read_text(), re.M)
    if flags and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["-accel", "kvm", "-cpu", "host"]
    # QEMU emulates "rep movsb" byte by byte.  Without erms and fsrm, the kernel and libc copy more bytes at a time.
    return ["-accel", "tcg", "-cpu", "max,erms=off,fsrm=off"]


def take_slot():
    """Waits until a slot is free, and takes the slot.  Returns an open file.  To release the slot, close the file.

    Each running guest needs a slot.  tests/run makes one slot for each processor, to limit the number of running
    guests.  Without tests/run, there are no slots, and this function does not wait.
    """
    while directory := os.environ.get("BASEIMAGE_SLOTS"):
        for path in Path(directory).iterdir():
            file = open(path, "rb")     # pylint: disable=consider-using-with
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except BlockingIOError:
                file.close()
        time.sleep(0.2)
    return open(os.devnull, "rb")


def tail(console):
    """Returns the last 25 lines of a console."""
    return "\n".join(console.splitlines()[-25:])


def to_raw(image, target):
    """Converts a disk image to the raw file "target".  A guest may be using the image.  Returns "target"."""
    run("qemu-img", "convert", "--force-share", "-O", "raw", image, target)
    return target


class Guest:
    """Boots a guest when a "with" block begins, and kills the guest when the block ends.

    QEMU loads the kernel and the initramfs of the Disk in "disk", and "append" has kernel options.  If "disk" is None,
    the guest boots through firmware and a boot loader, and "append" has no effect.  The argument "options" has more
    options of QEMU.
    The argument "disks" has a tuple for each virtio disk: the path of the image, the serial or None, and a bool.  If
    the disk is read-only, the bool is true.  The tuple can also have a dictionary with properties of the QEMU device.
    If the guest can write to the disk, QEMU writes to an overlay of the image, and close() deletes the overlay.
    The argument "during_boot" is a function with one parameter, the guest.  boot() calls the function after QEMU has
    started, and before the shell answers.
    If the argument "snapshot" is true, the first boot saves a snapshot: the memory and the disks of the running guest.
    Later guests with the same QEMU, options and disks start from the snapshot.
    If the argument "show" is true, the lines of the console also go to standard output.
    """

    machine = [*accelerator(), "-machine", "pc"]

    def __init__(self, name, disk, append, disks, options=(), show=False, during_boot=None, snapshot=False):
        self.disk = disk
        self.directory = Path(tempfile.mkdtemp(prefix="guest-"))
        self.console = LOGS / f"{name}.console.log"
        self.console.parent.mkdir(parents=True, exist_ok=True)
        self.console.write_bytes(b"")
        self.numbers = itertools.count()
        self.nodes = {}         # maps the QEMU node name of each attached disk to the disk's serial
        self.process = self.shell = self.qmp = self.slot = None
        self.show, self.during_boot, self.snapshot = show, during_boot, snapshot
        if disk:
            # An emulated guest decompresses slowly, so Guest decompresses the initramfs before the boot.
            initrd = self.directory / "initrd"
            initrd.write_bytes(unpacked(disk.initrd))
            options = ["-kernel", str(disk.kernel), "-initrd", str(initrd), "-append", f"{KERNEL_OPTIONS} {append}",
                       *options]
        self.command = [
            # When the test process ends, the kernel kills QEMU.
            "setpriv", "--pdeathsig", "KILL",
            QEMU, *self.machine, "-m", "1024",
            "-nodefaults", "-display", "none", "-no-reboot",
            *options,
            "-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console",
            "-chardev", f"socket,id=shell,path={self.directory}/shell,server=on,wait=off",
            "-device", "virtio-serial-pci",
            "-device", f"virtserialport,chardev=shell,name={SHELL_PORT}",
            "-qmp", f"unix:{self.directory}/qmp,server=on,wait=off",
        ]
        self.paths = [Path(path) for path, *_ in disks]
        for path, serial, readonly, *more in disks:
            node = f"disk{next(self.numbers)}"
            self.nodes[node] = serial
            self.command += ["-blockdev", json.dumps(self.blockdev(node, path, readonly)),
                             "-device", json.dumps(self.device(node, serial) | (more[0] if more else {}))]

    def blockdev(self, node, path, readonly):
        file = {"driver": "file", "filename": str(path), "locking": "off"}
        kind = "qcow2" if Path(path).suffix == ".qcow2" else "raw"
        if readonly:
            return {"node-name": node, "driver": kind, "read-only": True, "file": file | {"read-only": True}}
        overlay = self.overlay(node)
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", path, overlay)
        return {"node-name": node, "driver": "qcow2", "file": {"driver": "file", "filename": str(overlay)},
                "backing": {"driver": kind, "read-only": True, "file": file}}

    def overlay(self, node):
        return self.directory / f"{node}.qcow2"

    @staticmethod
    def device(node, serial):
        return {"driver": "virtio-blk-pci", "drive": node, "id": f"dev-{node}", "serial": serial or ""}

    def __enter__(self):
        try:
            if self.snapshot:
                self.boot_or_restore()
            else:
                self.boot()
        except BaseException:
            self.close()
            raise
        return self

    def boot(self):
        self.start_qemu()
        if self.during_boot:
            self.during_boot(self)
        self.wait_for_system()

    def wait_for_system(self):
        """Waits until systemd has finished the boot, and until udevd has handled all events."""
        # The firmware OVMF of Debian 13 may read the first command.  Then the shell does not get the command.  So
        # expect() sends the command again.
        echo = f"echo {PROMPT}\n"
        self.shell.send(echo)
        self.expect(f"{PROMPT}\n", repeat=echo)
        self.run(":")           # reads the answers to the repeated commands
        self.run("systemctl is-system-running --wait || :")
        self.settle()

    def start_qemu(self, *more):
        self.slot = take_slot()
        with open(self.directory / "qemu.log", "wb") as log:
            self.process = subprocess.Popen([*self.command, *more], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if self.show:
            subprocess.Popen(["tail", "--follow", f"--pid={self.process.pid}", str(self.console)])
        self.qmp = self.connect("qmp").makefile("rw")
        self.qmp.readline()
        self.monitor("qmp_capabilities")
        self.socket = self.connect("shell")
        self.shell = pexpect.fdpexpect.fdspawn(self.socket.fileno(), encoding="utf-8", codec_errors="replace")

    def boot_or_restore(self):
        """Starts the guest from the snapshot that has the same QEMU, options and disks.

        If this snapshot does not exist, boots the guest, and saves the snapshot.
        """
        words = "\0".join(self.command).replace(str(self.directory), "").replace(str(self.console), "")
        # A new disk can have the path of an older disk.  So the key contains the modification time of each image.
        key = digest(run(QEMU, "--version"), words, *(path.stat().st_mtime_ns for path in self.paths))
        path = CACHE / "guests" / key
        with cached(path) as partial:
            if partial:
                self.boot()
                self.save_snapshot(partial)
                return
        for overlay in path.glob("*.qcow2"):
            shutil.copy(overlay, self.directory)
        shutil.copy(path / "console", self.console)
        # With "defer", QEMU does not start the guest yet.  First, the test must connect to the shell.
        self.start_qemu("-incoming", "defer")
        self.monitor("migrate-incoming", uri=f"exec:zstd -dcq {path}/memory")
        self.wait_until(self.migrated)
        self.monitor("cont")

    def save_snapshot(self, target):
        target.mkdir()
        self.monitor("stop")
        self.monitor("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.monitor("migrate", uri=f"exec:zstd -1 -q >{target}/memory")
        self.wait_until(self.migrated)
        for overlay in self.directory.glob("*.qcow2"):
            shutil.copy(overlay, target)
        shutil.copy(self.console, target / "console")
        self.monitor("cont")

    def migrated(self):
        """Returns whether QEMU has written or read the whole memory of the guest."""
        status = self.monitor("query-migrate").get("status")
        if status == "failed":
            raise RuntimeError("QEMU, migrate: " + (self.directory / "qemu.log").read_text())
        return status == "completed"

    def connect(self, name):
        connection = socket.socket(socket.AF_UNIX)
        while self.process.poll() is None:
            try:
                connection.connect(str(self.directory / name))
                return connection
            except OSError:
                time.sleep(0.05)
        raise BootFailed("QEMU: " + (self.directory / "qemu.log").read_text())

    def expect(self, pattern, repeat=""):
        """Waits until the output of the shell matches a pattern.  Raises the same exceptions as wait_until().

        Every 5 s, sends the text in the argument "repeat" to the shell.
        """
        def printed():
            try:
                self.shell.expect(pattern, timeout=5)
                return True
            except pexpect.TIMEOUT:
                if repeat:
                    self.shell.send(repeat)
            except (pexpect.EOF, OSError):
                self.process.wait()
            return False
        self.wait_until(printed)

    def wait_until(self, condition):
        """Waits until condition() returns a true value.

        If QEMU has ended or the boot has failed, raises BootFailed.  If the console, the output of the shell and the
        value of condition() do not change for SILENCE_SECONDS, raises Silent.
        """
        state, since = None, time.monotonic()
        while not (value := condition()):
            # poll() must run before read_text().  Otherwise the last lines of the console could be missing.
            ended = self.process.poll() is not None
            console = self.console.read_text(errors="replace")
            now = value, len(console), len(self.shell.buffer)
            if now != state:
                state, since = now, time.monotonic()
            silence = time.monotonic() - since
            failed = FATAL.search(console) or (silence > MAINTENANCE_SECONDS and MAINTENANCE.search(console))
            if failed or ended:
                raise BootFailed(f"{tail(console)}\n{failed[0].strip() if failed else 'QEMU has ended'}")
            if silence > SILENCE_SECONDS:
                raise Silent(f"{tail(console)}\nno change for {SILENCE_SECONDS} s")
            time.sleep(0.2)

    def run(self, command, check=True):
        """Runs shell commands in the guest.  Returns the output of the commands.

        If the argument "check" is true and the last command fails, raises RuntimeError.
        """
        mark = f"{PROMPT}{next(self.numbers)}-"
        self.shell.send(f"{{ {command}\n}} 2>&1; echo {mark}$?.\n")
        self.expect(f"{mark}(\\d+)\\.\n")
        status, output = int(self.shell.match.group(1)), self.shell.before
        if check and status:
            raise RuntimeError(f"in the guest, {command!r} exited {status}: {output}")
        return output

    def write(self, path, content):
        """Writes text or bytes to a file in the guest."""
        content = content.encode() if isinstance(content, str) else content
        # The shell can read only text.  So base64 encodes the content as short lines of text.
        self.run(f"mkdir -p $(dirname {path}); base64 -d >{path} <<.\n{base64.encodebytes(content).decode()}.\n")

    def monitor(self, command, **arguments):
        """Runs a QMP command.  Returns QEMU's answer.  If the answer is an error, raises RuntimeError."""
        self.qmp.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.qmp.flush()
        while True:
            answer = json.loads(self.qmp.readline())
            if "error" in answer:
                raise RuntimeError(f"QEMU, {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def plug(self, path, serial, readonly=True, settle=True):
        """Hot-plugs a disk.  Returns the QEMU node name of the disk, which unplug() needs."""
        node = f"disk{next(self.numbers)}"
        self.nodes[node] = serial
        self.monitor("blockdev-add", **self.blockdev(node, path, readonly))
        before = self.block_devices() if settle else None
        self.monitor("device_add", **self.device(node, serial))
        if settle:
            self.wait_until(lambda: self.block_devices() != before)
            self.settle()
        return node

    def unplug(self, node):
        """Unplugs a disk, and waits until the guest no longer uses the disk."""
        before = self.block_devices()
        del self.nodes[node]
        self.monitor("device_del", id=f"dev-{node}")
        self.wait_until(lambda: self.block_devices() != before)
        self.settle()
        self.wait_until(lambda: self.released(node))

    def released(self, node):
        """Makes QEMU close the image of an unplugged disk.  If the guest still uses the disk, returns False."""
        try:
            self.monitor("blockdev-del", **{"node-name": node})
            return True
        except RuntimeError:
            return False

    def save(self, *targets):
        """Stops the guest, and writes each disk to the target at its position.  If a target is None, skips the disk."""
        self.run("sync; fsfreeze --freeze /")
        self.monitor("stop")
        for number, target in enumerate(targets):
            if target:
                self.save_disk(f"disk{number}", target)

    def save_disk(self, node, target):
        """Writes a disk of a stopped guest to the file "target".  Returns "target"."""
        return to_raw(self.overlay(node), target)

    def run_until_exit(self, command):
        """Runs a command that ends the guest, and waits until QEMU exits."""
        self.shell.send(f"sync; {command}\n")
        self.process.wait(timeout=1200)

    def await_console(self, pattern):
        """Waits until the console matches a pattern.  Raises the same exceptions as wait_until()."""
        self.wait_until(lambda: re.search(pattern, self.console.read_text(errors="replace")))

    def block_devices(self):
        return self.run("cd /sys/block && echo vd*; cd /")

    def settle(self):
        # By default, "udevadm settle" waits at most 120 s, which is too short for an emulated guest.
        self.run("udevadm settle --timeout=86400")

    def close(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()
        if self.slot:
            self.slot.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    __exit__ = close
