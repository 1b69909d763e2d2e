# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk images of Debian guests, made on the host and cached outside the tree.

A tree is what mmdebstrap made of a suite; a seed is a tree made bootable, with
debs in it or without; a disk is a seed put on a storage layout (layouts.py).
Each is made once and found again by a hash of what it was made from.
"""

import base64
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

# What an image is called while it is made.
PARTIAL = "partial."
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "baseimage-udev"
# Whether chroots can have mounts: tests/inside.
MOUNTS = os.environ.get("BASEIMAGE_INSIDE", "mounts") == "mounts"

COMMON = (
    "systemd-sysv udev kmod mount dbus {kernel} "
    "btrfs-progs e2fsprogs xfsprogs lvm2 mdadm bcache-tools zstd"
)
# What a guest has beside COMMON: the initramfs generator first of all.
FLAVOURS = {
    "crypt": "initramfs-tools cryptsetup-initramfs",
    "dracut-crypt": "dracut cryptsetup systemd-cryptsetup",
    # Packages with rules of their own, and scanners.
    "others": "initramfs-tools udisks2 multipath-tools zfsutils-linux os-prober grub-common parted cloud-init",
    # Boot loaders, of guests that boot by themselves.
    "loaders": "initramfs-tools cpio dosfstools grub-pc-bin grub-efi-amd64-bin grub2-common systemd-boot",
    "dracut-uki": "dracut cpio dosfstools systemd-boot-efi systemd-ukify",
    # What autopkgtest itself needs, and what debian/tests/control names.
    "autopkgtest": "initramfs-tools adduser apt python3 iproute2 qemu-utils build-essential check debhelper meson"
                   " musl-dev pkgconf libblkid-dev libmount-dev libsmartcols-dev libsystemd-dev python3-pytest",
    # What test_reports.py boots: a crash dump, a root that grows, a live system.
    "reports": "initramfs-tools kdump-tools makedumpfile cloud-initramfs-growroot live-boot squashfs-tools fdisk",
    # Everything that the suite's backports have in a newer version.
    "backports": "initramfs-tools",
}
# Made of another, less some of its packages: to fetch a Debian takes long.
PURGED = {
    "plain": ("crypt", "cryptsetup-initramfs cryptsetup cryptsetup-bin busybox"),
    "busybox": ("crypt", "cryptsetup-initramfs cryptsetup cryptsetup-bin"),
    "dracut": ("dracut-crypt", "cryptsetup systemd-cryptsetup cryptsetup-bin"),
}
PURGED["dracut-hostonly"] = PURGED["dracut"]
# The current stable release: what the demo boots.
STABLE = "trixie"

CRYPT_NAME = "cryptroot"
CRYPT_UUID = "1c2f5ff9-8a3c-4a37-9a5b-0d6c2a5b7c11"
CRYPT_KEY = "a key for tests"

# A root shell on a port of virtio, which loses nothing, as serial lines under
# load did.  Until udev has loaded the driver there is no port to open.
SHELL_PORT = "shell"
SHELL_UNIT = f"""\
[Unit]
DefaultDependencies=no
IgnoreOnIsolate=yes
StartLimitIntervalSec=0
After=systemd-remount-fs.service
[Service]
ExecStart=/bin/sh -c 'exec sh -i +m <>/dev/virtio-ports/{SHELL_PORT} >&0 2>&0'
Environment=PS1= PS2= TERM=dumb SYSTEMD_COLORS=0 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
StandardError=null
Restart=always
RestartSec=200ms
[Install]
WantedBy=sysinit.target
"""
# The one that autopkgtest looks for once it has seen the prompt of a login.  It
# waits 10 s at most for each thing from then on: so the guest comes to rest first.
# Having asked "type python3", 5.28 waits for one "# " more than it may get: the
# prompt can come along with the answer.
AUTOPKGTEST_UNIT = """\
[Unit]
DefaultDependencies=no
BindsTo=dev-hvc1.device
After=dev-hvc1.device systemd-udev-trigger.service
Before=serial-getty@ttyS0.service
[Service]
ExecStartPre=/sbin/modprobe -a 9p 9pnet_virtio
ExecStartPre=udevadm settle
ExecStart=/bin/sh
StandardInput=tty
StandardError=tty
TTYPath=/dev/hvc1
Environment=TERM=dumb ENV=/etc/test-shell.sh
"""
AUTOPKGTEST_ENV = "type() { printf '\\n# '; command type \"$@\"; }\n"


# The tests do not need these units, and they are slow under emulation.
IDLE_UNITS = ("systemd-binfmt.service systemd-update-utmp.service"
              " systemd-update-utmp-runlevel.service e2scrub_reap.service modprobe@drm.service modprobe@efi_pstore.service"
              " modprobe@fuse.service modprobe@configfs.service modprobe@loop.service dev-hugepages.mount"
              " dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount run-lock.mount tmp.mount"
              " proc-sys-fs-binfmt_misc.automount systemd-timesyncd.service systemd-random-seed.service"
              " systemd-udev-load-credentials.service systemd-journal-flush.service systemd-sysctl.service"
              " systemd-sysusers.service ldconfig.service systemd-hwdb-update.service"
              " systemd-journal-catalog-update.service systemd-update-done.service systemd-modules-load.service"
              " blk-availability.service xfs_healer_start.service").split()
IDLE_GENERATORS = ("debug integritysetup rc-local run ssh system-update sysv tpm2 veritysetup"
                   " factory-reset bless-boot").split()
# So are these, but to autopkgtest: it waits for the prompt of a login.
LOGIN_UNITS = "getty.target systemd-logind.service systemd-user-sessions.service".split()
# So are these where no other packages are.  The tests run baseimage-status themselves.
STATUS_RULE = "usr/local/lib/udev/rules.d/90-baseimage-status.rules"    # /etc goes into the initramfs
ALONE_UNITS = ("kmod-static-nodes.service systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service"
               " systemd-tmpfiles-setup-dev-early.service multi-user.target.wants/dbus.service").split()


class Unavailable(Exception):
    """An image cannot be made here; says why."""


def run(*command, follow=None, **options):
    """Runs a command; a failure carries its output.  follow() is given each line of that at once."""
    lines = []
    with subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", **options,
    ) as process:
        for line in process.stdout:
            lines.append(line)
            if follow:
                follow(line)
    output = "".join(lines)
    if process.returncode:
        raise RuntimeError(f"{command[0]} exited {process.returncode}: {output[-3000:]}")
    return output


def tell(what, detail=""):
    """Says what is being made: to the thread, if it listens; else in the file that tests/run shows."""
    listen = getattr(threading.current_thread(), "listen", None)
    file = os.environ.get("BASEIMAGE_PROGRESS")
    if listen:
        listen(what, detail)
    elif file and not detail:
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(f"{what}\n")


@contextlib.contextmanager
def making(what):
    """Tells that this is being made, and how long it took; yields what takes the lines in between."""
    started = time.monotonic()
    tell(what)
    yield lambda line: line.isspace() or tell(what, line.strip())
    tell(f"{what}: {time.monotonic() - started:.0f} s")


@contextlib.contextmanager
def fetching(what):
    """As making(); what Debian's archive does not give is unavailable, all else that goes wrong is a fault."""
    try:
        with making(f"fetching {what}") as follow:
            yield follow
    except RuntimeError as error:
        refused = re.search("^E: Failed to fetch .*", str(error), re.M)
        if not refused or "No space left" in str(error):
            raise
        raise Unavailable(f"{what} cannot be fetched: {refused[0]}") from error


@contextlib.contextmanager
def locked(path):
    """Holds a lock of this name against other test processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{path}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# What is used now, which prune() leaves alone: the lock of each path.
USED = {}


def let_go():
    """Nothing that was made or found so far is used any more."""
    while USED:
        USED.popitem()[1].close()


@contextlib.contextmanager
def made_once(path):
    """Yields a temporary name for path to be made under, or None if path is there.  It stays until let_go()."""
    if reason := os.environ.get("BASEIMAGE_NO_GUESTS"):
        raise Unavailable(reason)
    if path in USED:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(open(f"{path}.lock", "w", encoding="ascii"))
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not path.exists():
            fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            yield None
        else:
            prune()
            partial = path.with_name(PARTIAL + path.name)
            if partial.is_dir():
                shutil.rmtree(partial)
            partial.unlink(missing_ok=True)
            yield partial
            size = run("du", "-sk", partial).split()[0]
            partial.rename(path)
            Path(f"{path}.size").write_text(size)
        # When it was used last: a tree that was unpacked has a time of its own.
        os.utime(path)
        with locked(CACHE / "prune"):
            fcntl.flock(lock, fcntl.LOCK_SH)
        USED[path] = stack.pop_all()


# KiB that the cache may take, and how much of it is left for what is being made.
LIMIT = int(os.environ.get("BASEIMAGE_ROOM", 10)) << 20
MAKING = 2 << 20


def prune():
    """Removes what is not used, until there is room: first what is quickly made again, and was not used for longest."""
    with locked(CACHE / "prune"):
        # What has no size was not made as it is now; another process may be writing the size.
        made = [(path, int(Path(f"{path}.size").read_text() or 0))
                for kind in ("seeds", "guests", "disks", "builds", "trees")
                for path in sorted((size.with_suffix("") for size in (CACHE / kind).glob("*.size")
                                    if size.with_suffix("").exists()), key=lambda path: path.stat().st_mtime)]
        excess = sum(size for _, size in made) + MAKING - LIMIT
        for path, size in made:
            if excess <= 0:
                break
            with open(f"{path}.lock", "rb") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                Path(f"{path}.size").unlink()
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            excess -= size


def digest(*parts):
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]


def static_qemu():
    """The directory of qemu-user's programs, which are static from Debian 13 on: they run what is in a chroot."""
    path = CACHE / "trees" / f"qemu-user-{STABLE}"
    with made_once(path) as partial:
        if partial:
            with fetching("qemu-user") as follow:
                run("mmdebstrap", "--mode=root", "--format=directory", "--variant=extract", "--include=qemu-user",
                    STABLE, partial, follow=follow)
    return path / "usr/bin"


def backports(suite):
    """The options of mmdebstrap for a suite with its backports, where they have a newer version."""
    # That kernel has a double fault in QEMU 7.2 without KVM, before it starts anything.
    kernel = "Package: linux-*\\nPin: release n=*-backports\\nPin-Priority: 1\\n\\n" if suite == "bookworm" else ""
    return [f"--setup-hook=sed -n 's/ {suite} / {suite}-backports /p' \"$1\"/etc/apt/sources.list"
            " >\"$1\"/etc/apt/sources.list.d/backports.list",
            f"--setup-hook=printf '{kernel}Package: *\\nPin: release n=*-backports\\nPin-Priority: 500\\n'"
            " >\"$1\"/etc/apt/preferences.d/backports"]


def tree(suite, flavour):
    """The tar of a suite with the packages of a flavour, and those that it is to be PURGED."""
    if flavour in PURGED:
        flavour, _ = PURGED[flavour]
    # autopkgtest shares a directory by 9p, which the small kernel does not know.
    kernel = "linux-image-amd64" if flavour == "autopkgtest" else "linux-image-cloud-amd64"
    packages = f"{COMMON.format(kernel=kernel)} {FLAVOURS[flavour]}".split()
    options = [
        "--variant=essential", f"--include={','.join(packages)}",
        "--aptopt=Acquire::Check-Valid-Until \"false\"",
        *(f"--dpkgopt=path-exclude=/usr/share/{d}/*" for d in ("doc", "man", "locale", "info")),
    ]
    # An initramfs is made often here, and read once: speed goes before size.
    files = {"/etc/initramfs-tools/conf.d/fast": "COMPRESSLEVEL=1"}
    if flavour == "autopkgtest":
        # Of its large kernel's modules no more than what it takes to find root.
        files |= {"/etc/initramfs-tools/conf.d/small": "MODULES=list",
                  "/usr/share/initramfs-tools/modules.d/test": "virtio_pci\nvirtio_blk\nbtrfs"}
    if flavour == "reports":
        # Or kdump-tools looks for the drivers that the machine's own root takes.
        files |= {"/etc/initramfs-tools/conf.d/small": "MODULES=list",
                  "/usr/share/initramfs-tools/modules.d/test": "virtio_pci\nvirtio_blk\next4"}
    options += [f"--essential-hook=mkdir -p \"$1\"{os.path.dirname(path)} && echo '{text}' >\"$1\"{path}"
                for path, text in files.items()]
    if flavour == "others":
        options.append("--components=main,contrib")
    if flavour == "backports":
        options += backports(suite)
    if suite == "bullseye":
        # Of an archived suite only the suite itself is still whole.
        options.append("--setup-hook=sed -i '/security\\|updates/d' \"$1\"/etc/apt/sources.list")
    return fetched(suite, flavour, options)


def fetched(suite, name, options):
    """The tar that mmdebstrap makes of a suite with these options; name says to people what it is."""
    path = CACHE / "trees" / f"{suite}-{name}-{digest(*options)}.tar.zst"
    with made_once(path) as partial:
        if partial:
            with fetching(f"Debian ({suite}, {name})") as follow:
                run("mmdebstrap", "--verbose", "--format=tar", *options, suite, partial, follow=follow)
    return path


def seed_path(suite, flavour, debs=()):
    """Where seed() makes its directory, named after all that is in it."""
    key = digest(tree(suite, flavour).name, Path(__file__).read_text(),
                 *(hashlib.sha256(deb.read_bytes()).hexdigest() for deb in debs))
    return CACHE / "seeds" / f"{suite}-{flavour}-{'with' if has_package(debs) else 'without'}-{key}"


def seed(suite, flavour, debs=()):
    """The directory of a bootable system, with these .deb files installed in it."""
    path = seed_path(suite, flavour, debs)
    with made_once(path) as partial:
        if partial:
            partial.mkdir()
            with making(f"unpacking a guest's system ({suite}, {flavour})"):
                nodes = [] if can_make_nodes() else ["--exclude=./dev/*"]
                run("tar", "-C", partial, "-xf", tree(suite, flavour), *nodes)
                if flavour in PURGED:
                    _, unwanted = PURGED[flavour]
                    chroot(partial, "dpkg", "--no-triggers", "--purge", *unwanted.split())
            configure(partial, flavour)
            with making(f"making its initramfs ({suite}, {flavour})") as follow:
                for deb in debs:
                    shutil.copy(deb, partial / "tmp")
                if debs:
                    chroot(partial, "dpkg", "--install", *(f"/tmp/{deb.name}" for deb in debs), follow=follow)
                if not has_package(debs):   # its installation regenerates the initramfs
                    remake_initramfs(partial, flavour)
    return path


def remake_initramfs(directory, flavour):
    """For what configure(), or what it is PURGED, changed in it."""
    if flavour.startswith("dracut"):
        chroot(directory, "dracut", "--force", "--regenerate-all")
    elif flavour in PURGED:
        chroot(directory, "dpkg", "--configure", "--pending")
    elif flavour == "crypt":
        chroot(directory, "update-initramfs", "-u")


def unpacked(initrd):
    """What an initramfs holds: archives of cpio, of which the last one is compressed."""
    data = initrd.read_bytes()
    for magic, unpack in ((b"\x28\xb5\x2f\xfd", ["zstd", "-dc"]), (b"\x1f\x8b\x08", ["gzip", "-dc"])):
        start = 0 if data.startswith(magic) else data.find(b"\0" + magic) + 1
        if data[start:].startswith(magic):
            return data[:start] + subprocess.run(unpack, input=data[start:], stdout=subprocess.PIPE, check=True).stdout
    raise RuntimeError(f"{initrd}: neither zstd nor gzip")


def before_init(commands):
    """The words of the kernel command line that run shell commands before systemd starts in the real system."""
    return f"init={BEFORE_INIT} test.commands={base64.b64encode(commands.encode()).decode()}"


def has_package(debs):
    return any(deb.name.startswith("baseimage-udev_") for deb in debs)


def can_make_nodes():
    """Whether this is allowed to make device nodes: root of a user namespace is not."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            os.mknod(f"{directory}/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            return True
        except PermissionError:
            return False


# How a script gets into a tree that is $root: in mount and process namespaces of its own.
NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
FURNISH = """set -e
for node in null zero full random urandom; do
	[ -c $root/dev/$node ] || { : >$root/dev/$node; mount --bind /dev/$node $root/dev/$node; }
done
mount -t proc proc $root/proc
"""


def chroot(directory, *command, follow=None):
    """Runs a command in a tree, with /proc if that can be mounted."""
    if MOUNTS:
        words = [*NAMESPACES, "sh", "-c", f'root=$1\n{FURNISH}exec chroot "$@"', "sh"]
    elif can_make_nodes():
        words = ["chroot"]
    else:
        raise Unavailable("neither mounts nor device nodes can be made here")
    run(*words, directory, *command, follow=follow,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"})


# What dracut would choose by itself in the guest.
HOSTONLY = """\
hostonly="yes"
hostonly_cmdline="no"
hostonly_default_device="no"
add_drivers+=" virtio_pci virtio_blk virtio_console btrfs ext4 "
add_dracutmodules+=" btrfs lvm "
"""
# In an initramfs of initramfs-tools: which disks there are when root is mounted.
LOOK = """\
#!/bin/sh
[ "$1" = prereqs ] || cat /proc/partitions >/run/initramfs.partitions
"""
# With PATIENT on the kernel command line it waits for root for longer; rootdelay=
# would be slept for before.
PATIENT = "test.patient"
PATIENCE = f"""\
#!/bin/sh
[ "$1" != prereqs ] || exit 0
read -r cmdline </proc/cmdline
case "$cmdline" in *{PATIENT}*) echo ROOTDELAY=600 >>/conf/param.conf ;; esac
"""
# boot=scan: a boot script that knows nothing of udev.
SCAN = """\
mount_top() { :; }
mount_premount() { :; }
mountroot() {
	modprobe btrfs
	udevadm settle
	mount -t btrfs -o ro "$(blkid -l -o device -t "$ROOT")" "$rootmnt"
}
mount_bottom() { :; }
"""
# In an initramfs of dracut: the same.
DRACUT_LOOK = """\
check() { return 0; }
install() { inst_hook pre-pivot 99 "$moddir/look.sh"; }
"""
# init=BEFORE_INIT runs the commands that the kernel command line has in base64, and then systemd.
BEFORE_INIT = "/usr/local/sbin/before-init"
BEFORE_INIT_SCRIPT = """\
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -o remount,rw /
for word in $(cat /proc/cmdline); do
	case "$word" in test.commands=*) echo "${word#*=}" | base64 -d | sh -ex ;; esac
done
exec /sbin/init
"""
# init=PLAIN_INIT: no systemd, and the coldplug of udev's script for sysvinit.
PLAIN_INIT = "/usr/local/sbin/plain-init"
PLAIN_INIT_SCRIPT = f"""\
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PS1= PS2= TERM=dumb
mount -o remount,rw /
/lib/systemd/systemd-udevd --daemon
udevadm trigger --type=subsystems --action=add
udevadm trigger --type=devices --action=add
udevadm settle --timeout=86400
while :; do sh -i +m <>/dev/virtio-ports/{SHELL_PORT} >&0 2>/dev/null; done
"""


def write_script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def configure(directory, flavour):
    if not flavour.startswith("dracut"):
        scripts = directory / "etc/initramfs-tools/scripts"
        write_script(scripts / "local-bottom/look", LOOK)
        write_script(scripts / "init-premount/patience", PATIENCE)
        write_script(scripts / "scan", SCAN)
        # Or systemd starts the shell again and again, until udev has loaded it.
        with open(directory / "etc/initramfs-tools/modules", "a", encoding="ascii") as modules:
            modules.write("virtio_console\n")
    else:
        module = directory / "usr/lib/dracut/modules.d/99look"
        write_script(module / "module-setup.sh", DRACUT_LOOK)
        write_script(module / "look.sh", LOOK)
    write_script(directory / PLAIN_INIT[1:], PLAIN_INIT_SCRIPT)
    write_script(directory / BEFORE_INIT[1:], BEFORE_INIT_SCRIPT)
    if flavour == "others":
        (directory / "etc/cloud/cloud-init.disabled").touch()
    if flavour == "reports":
        # Or kdump-tools makes its initramfs again in the guest.
        initrd, = directory.glob("var/lib/kdump/initrd.img-*")
        made_with = initrd.with_name(initrd.name.replace("initrd.img", "latest_sysctls"))
        shutil.copy(directory / "etc/kdump/sysctl.conf", made_with)
    units = directory / "etc/systemd/system"
    idle = [units / unit for unit in IDLE_UNITS]
    idle += [directory / f"etc/systemd/system-generators/systemd-{name}-generator" for name in IDLE_GENERATORS]
    if flavour == "autopkgtest":
        (units / "test-shell.service").write_text(AUTOPKGTEST_UNIT)
        (directory / "etc/test-shell.sh").write_text(AUTOPKGTEST_ENV)
    else:
        (units / "test-shell.service").write_text(SHELL_UNIT)
        idle += [units / unit for unit in LOGIN_UNITS]
    if flavour not in ("autopkgtest", "others", "reports"):
        idle += [units / unit for unit in ALONE_UNITS] + [directory / STATUS_RULE]
    links = {units / "sysinit.target.wants/test-shell.service": "/etc/systemd/system/test-shell.service"}
    for path, target in (links | dict.fromkeys(idle, "/dev/null")).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    (directory / "etc/hostname").write_text("guest\n")
    (directory / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    if flavour.startswith("dracut"):
        # Not for this host, as it is no guest; or as if it were one.
        (directory / "etc/dracut.conf.d/test.conf").write_text(
            'compress="zstd -1"\n' + (HOSTONLY if flavour.endswith("hostonly") else 'hostonly="no"\n') + ('install_items+=" /etc/keys/root.key "\n' if "crypt" in flavour else ""))
    if flavour.endswith("crypt"):
        key = directory / "etc/keys/root.key"
        key.parent.mkdir(mode=0o700)
        key.write_text(CRYPT_KEY)
        (directory / "etc/crypttab").write_text(
            f"{CRYPT_NAME} UUID={CRYPT_UUID} /etc/keys/root.key luks,initramfs\n")
        conf = directory / "etc/cryptsetup-initramfs/conf-hook"
        if conf.parent.exists():
            with open(conf, "a", encoding="ascii") as file:
                file.write("KEYFILE_PATTERN=/etc/keys/*.key\n")


@dataclass(frozen=True)
class Disk:
    """What a guest boots from."""
    paths: tuple       # raw image files; most layouts need one
    kernel: Path
    initrd: Path
    roots: dict        # the values that root= can take, by name
