# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs QEMU guests, with disks, a console log and a root shell."""

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

from images import CACHE, LOGS, SHELL_PORT, cached, digest, unpacked

# If the console and the shell of a guest print nothing for this time, the guest has failed.  Even a slow guest prints
# more often.
SILENCE_SECONDS = 600
# If the boot has failed, the kernel, initramfs-tools or dracut prints a line that matches this pattern.
FATAL = re.compile(r"^.*(?:Kernel panic - not syncing|Gave up waiting for root|Entering emergency mode).*$"
                   r"|^\(initramfs\)", re.M)
# When the initramfs begins to wait for root, initramfs-tools or dracut prints a line that matches this pattern.
WAITS_FOR_ROOT = "Waiting for root file system|Running /scripts/local-block|dracut-initqueue"
# When systemd waits for an administrator, systemd prints a line that matches this pattern.  After this line, the tests
# wait MAINTENANCE_SECONDS for the shell.
MAINTENANCE = re.compile(r"^.*(?:You are in (?:emergency|rescue) mode|for maintenance|root account is locked).*$", re.M)
MAINTENANCE_SECONDS = 60
# A guest loads these drivers because of "-cpu max" and because of its chipset.  The tests do not need these drivers,
# and an emulated guest loads drivers slowly.
IDLE_DRIVERS = ("kvm_amd kvm aesni_intel ghash_clmulni_intel sha512_ssse3 sha256_ssse3 sha1_ssse3 crct10dif_pclmul"
                " crc32_pclmul cryptd crypto_simd powernow_k8 acpi_cpufreq evdev button serio_raw qemu_fw_cfg ata_piix"
                " ata_generic psmouse pcspkr floppy i2c_piix4").split()
# These options make the boot of an emulated guest faster and more reliable.  On a busy machine, emulated timers are
# late.  With no_timer_check, the kernel accepts such a timer.  With norandmaps, QEMU translates the code of a library
# once for all processes.  So a boot takes a fifth less time.
QUICK = ("no_timer_check cryptomgr.notests audit=0 apparmor=0 rcupdate.rcu_expedited=1 tsc=reliable init_on_alloc=0"
         f" norandmaps mitigations=off modprobe.blacklist={','.join(IDLE_DRIVERS)}")
# Every guest has these kernel options.  With 8250.nr_uarts=1, the kernel probes 1 serial line and not 32 serial lines,
# which saves time.
KERNEL_OPTIONS = f"console=ttyS0 panic=5 8250.nr_uarts=1 {QUICK}"
PROMPT = "guest-shell-"


class BootFailed(Exception):
    """Means that QEMU ended or that the boot stopped.  The message has the last lines of the console."""


class Silent(Exception):
    """Means that the guest printed nothing for too long, so the guest or this machine hangs."""


def accelerator():
    """Returns QEMU's options for KVM or for emulation.

    Also checks the processor, because /dev/kvm can exist on a processor without virtualization.
    """
    flags = re.search(r"^flags\s*:.*\b(vmx|svm)\b", Path("/proc/cpuinfo").read_text(), re.M)
    if flags and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg", "-cpu", "max"]


def take_slot():
    """Waits until a slot is free, and takes the slot.  Each running guest has a slot.

    tests/run makes one slot for each processor.  Returns an open file.  The caller closes the file to release the slot.  If tests/run does not run, there are no
    slots, and this function does not wait.
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


class Guest:
    """Boots a guest when a "with" block begins, and kills the guest when the block ends.

    The argument "disks" has a tuple for each virtio disk.  The tuple has the path, the serial or None, and a bool,
    which is true if the disk is read-only.  The tuple can also have a dictionary of properties of the QEMU device.  The
    guest writes to an overlay and not to the image, and close() deletes the overlay.
    The argument "during_boot" is a function with one parameter, the guest.  boot() calls the function after QEMU has
    started, and before the shell answers.
    If the argument "snapshot" is true, the first boot saves a snapshot.  Then other guests with the same arguments
    start from the snapshot.
    If the argument "show" is true, tail also prints the console to standard output.
    """

    PROGRAM = "qemu-system-x86_64"

    def __init__(self, name, kernel, initrd, append, disks, show=False, during_boot=None, snapshot=False):
        self.directory = Path(tempfile.mkdtemp(prefix="guest-"))
        self.console = LOGS / f"{name}.console.log"
        self.console.parent.mkdir(parents=True, exist_ok=True)
        self.console.write_bytes(b"")
        self.numbers = itertools.count()
        self.nodes = {}         # maps the QEMU node name of each attached disk to the serial
        self.process = self.shell = self.qmp = self.slot = self.disk = None
        self.show, self.during_boot, self.snapshot = show, during_boot, snapshot
        self.command = [
            # The kernel kills QEMU when the test process ends.
            "setpriv", "--pdeathsig", "KILL",
            self.PROGRAM, *self.machine(), "-m", "1024",
            "-nodefaults", "-display", "none", "-no-reboot",
            *self.start(kernel, self.unpack(initrd), f"{KERNEL_OPTIONS} {append}"),
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

    def unpack(self, initrd):
        """Decompresses the initramfs, because an emulated guest decompresses slowly.

        Returns the path of the new file.
        """
        target = self.directory / "initrd"
        if initrd and Path(initrd).exists():
            target.write_bytes(unpacked(Path(initrd)))
        return target

    @staticmethod
    def start(kernel, initrd, cmdline):
        """Returns the QEMU options for the kernel, the initramfs and the kernel command line."""
        return ["-kernel", str(kernel), "-initrd", str(initrd), "-append", cmdline]

    @staticmethod
    def machine():
        return [*accelerator(), "-machine", "pc"]

    def blockdev(self, node, path, readonly):
        file = {"driver": "file", "filename": str(path), "locking": "off"}
        kind = "qcow2" if Path(path).suffix == ".qcow2" else "raw"
        if readonly:
            return {"node-name": node, "driver": kind, "read-only": True, "file": file | {"read-only": True}}
        overlay = self.overlay(node)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", path, overlay], check=True)
        return {"node-name": node, "driver": "qcow2", "file": {"driver": "file", "filename": str(overlay)},
                "backing": {"driver": kind, "read-only": True, "file": file}}

    def overlay(self, node):
        return self.directory / f"{node}.qcow2"

    @staticmethod
    def device(node, serial):
        device = {"driver": "virtio-blk-pci", "drive": node, "id": f"dev-{node}"}
        return device | ({"serial": serial} if serial is not None else {})

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

    def __exit__(self, *_):
        self.close()

    def boot(self):
        self.start_qemu()
        if self.during_boot:
            self.during_boot(self)
        self.wait_for_system()

    def wait_for_system(self):
        """Waits until systemd has started all units and udevd has handled all events."""
        # The firmware OVMF of Debian 13 can read the first command in place of the shell.  So expect() sends the
        # command again.
        echo = f"echo {PROMPT}\n"
        self.shell.send(echo)
        self.expect(f"{PROMPT}\n", repeat=echo)
        self.run(":")           # reads the answers to the repeated commands
        self.run("systemctl is-system-running --wait || :")
        self.settle()

    def start_qemu(self, *more):
        self.slot = take_slot()
        with open(self.directory / "qemu.log", "wb") as log:
            self.process = subprocess.Popen([*self.command, *more], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        if self.show:
            subprocess.Popen(["tail", "--follow", f"--pid={self.process.pid}", str(self.console)])
        self.qmp = self.connect("qmp").makefile("rw")
        self.qmp.readline()
        self.monitor("qmp_capabilities")
        self.socket = self.connect("shell")
        self.shell = pexpect.fdpexpect.fdspawn(self.socket.fileno(), encoding="utf-8",
                                               codec_errors="replace")

    def boot_or_restore(self):
        """If there is a snapshot of the same QEMU, options and disks, starts from it.

        Otherwise boots, and saves a snapshot.
        """
        version = subprocess.run([self.PROGRAM, "--version"], stdout=subprocess.PIPE, check=True).stdout
        words = "\0".join(self.command).replace(str(self.directory), "").replace(str(self.console), "")
        # If a disk was made again, its path can be the same, but its content is different.
        key = digest(version, words, *(path.stat().st_mtime_ns for path in self.paths))
        path = CACHE / "guests" / key
        with cached(path) as partial:
            if partial:
                self.boot()
                self.save_snapshot(partial)
                return
        for overlay in path.glob("*.qcow2"):
            shutil.copy(overlay, self.directory)
        shutil.copy(path / "console", self.console)
        # The test must connect to the shell before the guest runs.
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
        """Returns whether QEMU has written or read all of the guest's memory."""
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

    def expect(self, pattern, silence=SILENCE_SECONDS, repeat=""):
        """Waits until the output of the shell matches a pattern.  Raises the same exceptions as wait_until().

        Every 5 s, sends the text in the argument "repeat" to the shell again.
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
        self.wait_until(printed, silence)

    def wait_until(self, condition, silence=SILENCE_SECONDS):
        """Waits until condition() returns a true value.

        If the guest has ended or cannot continue, raises BootFailed.  The argument "silence" is a number of seconds.
        If the console, the output of the shell and the value of condition() do not change for this time, raises Silent.
        """
        state, since = None, time.monotonic()
        while not (value := condition()):
            console = self.read_console()
            maintenance = MAINTENANCE.search(console)
            now = value, len(console), len(self.shell.buffer)
            if now != state:
                state, since = now, time.monotonic()
            elif maintenance and time.monotonic() > since + MAINTENANCE_SECONDS:
                raise BootFailed(f"{self.console_tail()}\n{maintenance[0].strip()}")
            elif time.monotonic() > since + silence:
                raise Silent(f"{self.console_tail()}\nno change for {silence} s")
            time.sleep(0.2)

    def read_console(self):
        """Returns the text of the console.  If the guest has ended or cannot continue, raises BootFailed."""
        console = self.console.read_text(errors="replace")
        fatal = FATAL.search(console)
        if fatal or self.process.poll() is not None:
            raise BootFailed(f"{self.console_tail()}\n{fatal[0].strip() if fatal else 'QEMU has ended'}")
        return console

    def console_tail(self):
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-25:])

    def run(self, command, check=True, timeout=SILENCE_SECONDS):
        """Runs shell commands in the guest and returns their output.

        Passes the argument "timeout" to wait_until() as the argument "silence".  If the argument "check" is true and
        the last command fails, raises RuntimeError.
        """
        mark = f"{PROMPT}{next(self.numbers)}-"
        self.shell.send(f"{{ {command}\n}} 2>&1; echo {mark}$?.\n")
        self.expect(f"{mark}(\\d+)\\.\n", timeout)
        status, output = int(self.shell.match.group(1)), self.shell.before
        if check and status:
            raise RuntimeError(f"in the guest, {command!r} exited {status}: {output}")
        return output

    def write(self, path, content):
        """Writes text or bytes to a file in the guest."""
        content = content.encode() if isinstance(content, str) else content
        # base64 encodes any content as short lines of text, which the shell can read from its port.
        self.run(f"mkdir -p $(dirname {path}); base64 -d >{path} <<.\n{base64.encodebytes(content).decode()}.\n")

    def monitor(self, command, **arguments):
        """Runs a QMP command and returns QEMU's answer.  If the answer is an error, raises RuntimeError."""
        self.qmp.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.qmp.flush()
        while True:
            answer = json.loads(self.qmp.readline())
            if "error" in answer:
                raise RuntimeError(f"QEMU, {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def plug(self, path, serial, readonly=True, settle=True):
        """Hot-plugs a disk.  Returns the disk's node name, which unplug() needs."""
        node = f"disk{next(self.numbers)}"
        self.nodes[node] = serial
        self.monitor("blockdev-add", **self.blockdev(node, path, readonly))
        before = self.block_devices() if settle else None
        self.monitor("device_add", **self.device(node, serial))
        if settle:
            self.wait_until(lambda: self.block_devices() != before)
            self.settle()
        return node

    def unplug(self, node, settle=True):
        before = self.block_devices()
        del self.nodes[node]
        self.monitor("device_del", id=f"dev-{node}")
        if settle:
            self.wait_until(lambda: self.block_devices() != before)
            self.settle()
            self.wait_until(lambda: self.released(node))

    def released(self, node):
        """Returns whether QEMU could close the file of a disk.  The guest must release the disk first."""
        try:
            self.monitor("blockdev-del", **{"node-name": node})
            return True
        except RuntimeError:
            return False

    def save(self, *targets):
        """Stops the guest, and writes the first disk to the first target, and so on.

        If a target is None, skips the disk.
        """
        self.run("sync; fsfreeze --freeze /")
        self.monitor("stop")
        for number, target in enumerate(targets):
            if target:
                self.save_disk(f"disk{number}", target)

    def save_disk(self, node, target):
        """Writes a disk of a stopped guest to the file "target".  Returns "target"."""
        subprocess.run(["qemu-img", "convert", "--force-share", "-O", "raw", self.overlay(node), target], check=True)
        return target

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
        # udevadm's default limit of 120 s is too short for an emulated guest.
        self.run("udevadm settle --timeout=86400")

    def release_slot(self):
        """Releases the slot, so that another guest can start while this guest only waits."""
        self.slot.close()

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        if self.slot:
            self.slot.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class SelfBooting(Guest):
    """Boots through firmware and a boot loader.  QEMU gets the options in "options", but no kernel and no initramfs."""

    def __init__(self, name, options, disks):
        self.options = options
        super().__init__(name, None, None, "", disks)

    def start(self, *_):
        return self.options
