# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU guest: its disks, its console log, and a root shell in it."""

import contextlib
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

from images import CACHE, SHELL_PORT, digest, made_once, unpacked

# A guest that says nothing for so long, neither on its console nor in its shell,
# is given up: one that is merely slow says something.
SILENCE_SECONDS = 600
# After these nothing comes any more: the kernel, initramfs-tools, dracut.
DEAD = re.compile(r"^.*(?:Kernel panic - not syncing|Gave up waiting for root|Entering emergency mode).*$"
                  r"|^\(initramfs\)", re.M)
# The initramfs has begun to wait for root: initramfs-tools, dracut.
AWAITS_ROOT = "Waiting for root file system|Running /scripts/local-block|dracut-initqueue"
# systemd waits for a person; our shell may yet come up beside it.
MAINTENANCE = re.compile(r"^.*(?:You are in (?:emergency|rescue) mode|for maintenance|root account is locked).*$", re.M)
MAINTENANCE_SECONDS = 60
# Drivers that -cpu max and the chipset load.  The tests do not need them, and they are slow under emulation.
IDLE_DRIVERS = ("kvm_amd kvm aesni_intel ghash_clmulni_intel sha512_ssse3 sha256_ssse3 sha1_ssse3 crct10dif_pclmul"
                " crc32_pclmul cryptd crypto_simd powernow_k8 acpi_cpufreq evdev button serio_raw qemu_fw_cfg ata_piix"
                " ata_generic psmouse pcspkr floppy i2c_piix4").split()
# So are a clock that is read by way of QEMU, and pages that are zeroed twice.  On a busy machine an emulated timer
# can be so late that the kernel takes it for broken: no_timer_check.  With norandmaps, QEMU translates the code of
# a library once and not once for each process: a boot takes a fifth less.
QUICK = " ".join(["no_timer_check cryptomgr.notests audit=0 apparmor=0 rcupdate.rcu_expedited=1 tsc=reliable init_on_alloc=0",
                  f"norandmaps mitigations=off modprobe.blacklist={','.join(IDLE_DRIVERS)}"])
PROMPT = "guest-shell-"


class BootFailed(Exception):
    """The guest ended or came to a standstill; says what its console says."""


class Silent(Exception):
    """The guest said nothing for too long: it may hang, or this machine does."""


def accelerator():
    """KVM only with hardware behind it: a /dev/kvm alone can be a shell of one."""
    flags = re.search(r"^flags\s*:.*\b(vmx|svm)\b", Path("/proc/cpuinfo").read_text(), re.M)
    if flags and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg", "-cpu", "max"]


def take_slot():
    """Waits for one of the slots that tests/run gives to guests; returns what gives it back when it is closed.

    Each has a processor to itself, however many make disks meanwhile.  Outside tests/run nobody waits.
    """
    taken = contextlib.ExitStack()
    slots = os.environ.get("BASEIMAGE_SLOTS")
    while slots:
        for path in Path(slots).iterdir():
            file = open(path, "rb")     # pylint: disable=consider-using-with
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                taken.enter_context(file)
                return taken
            except BlockingIOError:
                file.close()
        time.sleep(0.2)
    return taken


class Guest:
    """Boots on entering the context, ends on leaving it.

    meanwhile: called with the guest as soon as QEMU runs, before there is a shell.

    disks: (path, serial, whether read-only, properties of the device if any) of
    each virtio disk in order; a serial of None is a disk that has none.  Disks
    are written to a throw-away overlay unless they are read-only.  The console
    goes to a file below logs, and with show to standard output as well.

    snapshot: a guest like this one that has booted before is not booted again: it goes
    on from there, with what it had said.
    """

    PROGRAM, CONSOLE = "qemu-system-x86_64", "ttyS0"

    def __init__(self, name, kernel, initrd, append, disks, logs=None, show=False, meanwhile=None,
                 snapshot=False):
        self.directory = Path(tempfile.mkdtemp(prefix="guest-"))
        self.console = Path(logs or self.directory) / f"{name}.console.log"
        self.console.parent.mkdir(parents=True, exist_ok=True)
        self.console.write_bytes(b"")
        self.numbers = itertools.count()
        self.nodes = {}         # the disks that are attached: name to unplug by, serial
        self.process = self.shell = self.qmp = self.slot = None
        self.show, self.meanwhile, self.snapshot = show, meanwhile, snapshot
        self.command = [
            # A guest does not outlive its test, whatever ends that.
            "setpriv", "--pdeathsig", "KILL",
            self.PROGRAM, *self.machine(), "-m", "1024",
            "-nodefaults", "-display", "none", "-no-reboot",
            *self.start(kernel, self.unpack(initrd), f"{self.cmdline()} {append}"),
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

    @classmethod
    def cmdline(cls):
        """What the kernel command line of every guest begins with; one serial line, as 32 are slow, too."""
        return f"console={cls.CONSOLE} panic=5 8250.nr_uarts=1 {QUICK}"

    def unpack(self, initrd):
        """The guest, emulated, would be slower to do it."""
        target = self.directory / "initrd"
        if initrd and Path(initrd).exists():
            target.write_bytes(unpacked(Path(initrd)))
        return target

    @staticmethod
    def start(kernel, initrd, cmdline):
        """The words that say what starts."""
        return ["-kernel", str(kernel), "-initrd", str(initrd), "-append", cmdline]

    @staticmethod
    def machine():
        return [*accelerator(), "-machine", "pc"]

    def blockdev(self, node, path, readonly):
        file = {"driver": "file", "filename": str(path), "locking": "off"}
        kind = "qcow2" if Path(path).suffix == ".qcow2" else "raw"
        if readonly:
            return {"node-name": node, "driver": kind, "read-only": True, "file": file | {"read-only": True}}
        overlay = self.directory / f"{node}.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind,
                        "-b", str(path), str(overlay)], check=True)
        return {"node-name": node, "driver": "qcow2",
                "file": {"driver": "file", "filename": str(overlay)},
                "backing": {"driver": kind, "read-only": True, "file": file}}

    @staticmethod
    def device(node, serial):
        device = {"driver": "virtio-blk-pci", "drive": node, "id": f"dev-{node}"}
        return device | ({"serial": serial} if serial is not None else {})

    def __enter__(self):
        try:
            self.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def boot(self):
        if not self.snapshot:
            self.come_up()
            return
        path = CACHE / "guests" / self.snapshot_name()
        with made_once(path) as partial:
            if partial:
                self.come_up()
                self.save_snapshot(partial)
                return
        self.load_snapshot(path)

    def come_up(self):
        self.start_qemu()
        if self.meanwhile:
            self.meanwhile(self)
        self.wait_for_shell()
        self.run("systemctl is-system-running --wait || :")
        # Units do not wait for all events: of terminals, say.
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

    def snapshot_name(self):
        """What guests have in common of which one can stand for the other: all but their place."""
        version = subprocess.run([self.PROGRAM, "--version"], stdout=subprocess.PIPE, check=True).stdout
        words = "\0".join(self.command).replace(str(self.directory), "").replace(str(self.console), "")
        # A disk that was made again has other blocks under the same name.
        return digest(version, words, *(path.stat().st_mtime_ns for path in self.paths))

    def save_snapshot(self, target):
        """Writes what this guest is now to a directory, for load_snapshot(); it goes on."""
        target.mkdir()
        self.monitor("stop")
        self.monitor("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.monitor("migrate", uri=f"exec:zstd -1 -q >{target}/memory")
        self.wait_until(self.migrated)
        for overlay in self.directory.glob("*.qcow2"):
            shutil.copy(overlay, target)
        shutil.copy(self.console, target / "console")
        self.monitor("cont")

    def load_snapshot(self, saved):
        """Starts as what save_snapshot() wrote."""
        for overlay in saved.glob("*.qcow2"):
            shutil.copy(overlay, self.directory)
        shutil.copy(saved / "console", self.console)
        # Its shell has to find its reader there.
        self.start_qemu("-incoming", "defer")
        self.monitor("migrate-incoming", uri=f"exec:zstd -dcq {saved}/memory")
        self.wait_until(self.migrated)
        self.monitor("cont")

    def migrated(self):
        """Whether QEMU has written the guest's memory, or read it."""
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

    def wait_for_shell(self):
        # QEMU keeps what is sent until somebody reads: OVMF of Debian 13 may, before the shell.
        ask = f"echo {PROMPT}\n"
        self.shell.send(ask)
        self.expect(f"{PROMPT}\n", again=ask)
        self.run(":")           # each is answered

    def expect(self, pattern, silence=SILENCE_SECONDS, again=""):
        """Waits for what the shell is to say, for as long as the guest says anything at all.

        again: what to send whenever it has said nothing for a while.
        Raises BootFailed at once if the guest is dead, Silent after so many seconds of silence.
        """
        said, since = None, time.monotonic()
        while True:
            try:
                self.shell.expect(pattern, timeout=5)
                return
            except (pexpect.EOF, OSError):
                self.process.wait()
            except pexpect.TIMEOUT:
                pass
            console = self.read_console()
            if again:
                with contextlib.suppress(OSError):      # ended just now
                    self.shell.send(again)
            now = len(console), len(self.shell.buffer)
            if now != said:
                said, since = now, time.monotonic()
            waits = MAINTENANCE.search(console)
            if time.monotonic() > since + (MAINTENANCE_SECONDS if waits else silence):
                if waits:
                    raise BootFailed(f"{self.last_words()}\n{waits[0].strip()}")
                raise Silent(f"{self.last_words()}\nno word for {silence} s")

    def read_console(self):
        """What the console has said; raises BootFailed if nothing more will come."""
        console = self.console.read_text(errors="replace")
        dead = DEAD.search(console)
        if dead or self.process.poll() is not None:
            raise BootFailed(f"{self.last_words()}\n{dead[0].strip() if dead else 'QEMU has ended'}")
        return console

    def last_words(self):
        lines = self.console.read_text(errors="replace").splitlines()
        return "\n".join(lines[-25:])

    def run(self, command, check=True, timeout=SILENCE_SECONDS):
        """Runs shell commands in the guest and returns what they print.

        timeout: seconds of silence, not of work.
        """
        mark = f"{PROMPT}{next(self.numbers)}-"
        self.shell.send(f"{{ {command}\n}} 2>&1; echo {mark}$?.\n")
        self.expect(f"{mark}(\\d+)\\.\n", timeout)
        status, output = int(self.shell.match.group(1)), self.shell.before
        if check and status:
            raise RuntimeError(f"in the guest, {command!r} exited {status}: {output}")
        return output

    def monitor(self, command, **arguments):
        """Gives a command to QEMU and waits for its answer."""
        self.qmp.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.qmp.flush()
        while True:
            answer = json.loads(self.qmp.readline())
            if "error" in answer:
                raise RuntimeError(f"QEMU, {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def plug(self, path, serial, readonly=True, settle=True):
        """Hot-plugs a disk; returns the name to unplug it by."""
        node = f"disk{next(self.numbers)}"
        self.nodes[node] = serial
        self.monitor("blockdev-add", **self.blockdev(node, path, readonly))
        before = self.block_devices() if settle else None
        self.monitor("device_add", **self.device(node, serial))
        if settle:
            self.wait_until(lambda: self.block_devices() != before)
            self.settle()
        return node

    def save(self, *targets):
        """Writes the first disks, with what the guest wrote to them, to files, as if it had been shut down; ends the
        guest's run.  None: not this disk."""
        self.run("sync; fsfreeze --freeze /")
        self.monitor("stop")
        for number, target in enumerate(targets):
            if target:
                subprocess.run(["qemu-img", "convert", "--force-share", "-O", "raw",
                                str(self.directory / f"disk{number}.qcow2"), str(target)], check=True)

    def unplug(self, node, settle=True):
        before = self.block_devices()
        del self.nodes[node]
        self.monitor("device_del", id=f"dev-{node}")
        if settle:
            self.wait_until(lambda: self.block_devices() != before)
            self.settle()
            self.wait_until(lambda: self.released(node))

    def released(self, node):
        """Whether QEMU lets go of the file: it does a while after the guest did."""
        try:
            self.monitor("blockdev-del", **{"node-name": node})
            return True
        except RuntimeError:
            return False

    def await_console(self, pattern):
        """Waits until the console has said what pattern finds, as wait_until() does."""
        self.wait_until(lambda: re.search(pattern, self.console.read_text(errors="replace")))

    def block_devices(self):
        return self.run("cd /sys/block && echo vd*; cd /")

    def settle(self):
        # Its own limit of 120 s is the clock's; run() has a better one.
        self.run("udevadm settle --timeout=86400")

    def wait_until(self, condition, silence=SILENCE_SECONDS):
        """Waits until condition() is true, for as long as it or the console changes."""
        said, since = None, time.monotonic()
        while not (answer := condition()):
            now = answer, len(self.read_console())
            if now != said:
                said, since = now, time.monotonic()
            elif time.monotonic() > since + silence:
                raise Silent(f"{self.last_words()}\nno change for {silence} s: {condition}")
            time.sleep(0.2)

    def free_slot(self):
        """Lets another guest have its place: it has little to do from now on but wait."""
        self.slot.close()

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        if self.slot:
            self.slot.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class SelfBooting(Guest):
    """Starts by these words of QEMU's, and not with a kernel."""

    def __init__(self, name, words, disks, logs=None):
        self.words = words
        super().__init__(name, None, None, "", disks, logs)

    def start(self, *_):
        return self.words
