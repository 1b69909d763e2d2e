# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the systems of Debian guests, and caches these systems outside the project's source.

A tree is a Debian system that mmdebstrap has made: here a tar file, in chroots.py a directory.  A flavour is the list
of packages in a tree.  A seed is a directory in which the tests have unpacked a tree, so that a guest can boot the
system.  Some seeds have the packages under test.  layouts.py copies a seed to a disk.  The name of each cached file or
directory contains a hash of its sources.  So if no source has changed, the tests use the cached file or directory.
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
import time
import unittest
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "baseimage-udev"
LOGS = Path(os.environ.get("BASEIMAGE_LOGS") or CACHE / "logs")
# If this process can mount file systems, tests/inside sets BASEIMAGE_INSIDE to "mounts".
MOUNTS = os.environ.get("BASEIMAGE_INSIDE", "mounts") == "mounts"

COMMON = (
    "systemd-sysv udev kmod mount dbus {kernel} "
    "btrfs-progs e2fsprogs xfsprogs lvm2 mdadm bcache-tools zstd"
)
# Each flavour has the packages in COMMON and the packages in this table.  The first package is the initramfs generator.
FLAVOURS = {
    "crypt": "initramfs-tools cryptsetup-initramfs",
    "dracut-crypt": "dracut cryptsetup systemd-cryptsetup",
    # This flavour has additional packages with udev rules or with scanners (programs that read all block devices).
    "others": "initramfs-tools udisks2 multipath-tools zfsutils-linux os-prober grub-common parted cloud-init",
    # These flavours have boot loaders.
    "loaders": "initramfs-tools cpio dosfstools grub-pc-bin grub-efi-amd64-bin grub2-common systemd-boot",
    "dracut-uki": "dracut cpio dosfstools systemd-boot-efi systemd-ukify",
    # autopkgtest and debian/tests/control need these packages.
    "autopkgtest": "initramfs-tools adduser apt python3 iproute2 qemu-utils build-essential check debhelper meson"
                   " musl-dev pkgconf libblkid-dev libmount-dev libsmartcols-dev libsystemd-dev python3-pytest",
    # test_reports.py needs these packages for a crash dump, a root file system that grows, and a live system.
    "reports": "initramfs-tools kdump-tools makedumpfile cloud-initramfs-growroot live-boot squashfs-tools fdisk",
    # This flavour gets newer packages from backports, because tree() adds the options of backports().
    "backports": "initramfs-tools",
}
# Maps a flavour to another flavour and to packages.  seed() unpacks the tree of the other flavour, and purges the
# packages.  A purge is faster than a second run of mmdebstrap.
PURGED = {
    "plain": ("crypt", "cryptsetup-initramfs cryptsetup cryptsetup-bin busybox"),
    "busybox": ("crypt", "cryptsetup-initramfs cryptsetup cryptsetup-bin"),
    "dracut": ("dracut-crypt", "cryptsetup systemd-cryptsetup cryptsetup-bin"),
}
PURGED["dracut-hostonly"] = PURGED["dracut"]
# This is the current stable release of Debian.
STABLE = "trixie"

CRYPT_NAME = "cryptroot"
CRYPT_UUID = "1c2f5ff9-8a3c-4a37-9a5b-0d6c2a5b7c11"
CRYPT_KEY = "a key for tests"

# This unit runs a root shell on a virtio port, because a serial line loses bytes on a busy machine.  Before udevd has
# loaded the driver of the port, the shell fails, because the port does not exist.  So systemd restarts the shell.
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
"""
# autopkgtest waits for a login prompt, and then waits at most 10 s for each answer of this shell.  So systemd starts
# the shell after udevd has handled all events, and starts the login prompt after the shell.
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
# autopkgtest 5.28 sends "type python3" to the shell, and then waits for two prompts.  But autopkgtest may receive only
# one prompt.  So this function prints an additional prompt.
AUTOPKGTEST_ENV = "type() { printf '\\n# '; command type \"$@\"; }\n"


# The tests do not need these units.  The units start slowly in an emulated guest, so configure() masks the units.
IDLE_UNITS = ("systemd-binfmt.service systemd-update-utmp.service systemd-update-utmp-runlevel.service"
              " e2scrub_reap.service modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service"
              " modprobe@configfs.service modprobe@loop.service dev-hugepages.mount dev-mqueue.mount"
              " sys-kernel-debug.mount sys-kernel-tracing.mount run-lock.mount tmp.mount"
              " proc-sys-fs-binfmt_misc.automount systemd-timesyncd.service systemd-random-seed.service"
              " systemd-udev-load-credentials.service systemd-journal-flush.service systemd-sysctl.service"
              " systemd-sysusers.service ldconfig.service systemd-hwdb-update.service"
              " systemd-journal-catalog-update.service systemd-update-done.service systemd-modules-load.service"
              " blk-availability.service xfs_healer_start.service").split()
IDLE_GENERATORS = ("debug integritysetup rc-local run ssh system-update sysv tpm2 veritysetup"
                   " factory-reset bless-boot").split()
# Guests of the flavour autopkgtest need these units for the login prompt.  Other guests do not need these units.
LOGIN_UNITS = "getty.target systemd-logind.service systemd-user-sessions.service".split()
# The flavours "autopkgtest", "others" and "reports" need dbus.service at boot, and the udev rule that starts
# baseimage-status.  In all other flavours, the tests start baseimage-status themselves, so a link to /dev/null masks
# this udev rule.  The initramfs generators copy /etc/udev/rules.d, so the link is in a different directory.
STATUS_RULE = "usr/local/lib/udev/rules.d/90-baseimage-status.rules"
DBUS_AT_BOOT = "multi-user.target.wants/dbus.service"


class Unavailable(unittest.SkipTest):
    """Means that this machine cannot make an image.  pytest skips the test, and reports the message as the reason."""


def run(*command, **options):
    """Runs a command.  Returns the output.  If the command fails, raises RuntimeError with the end of the output."""
    result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace", check=False, **options)
    if result.returncode:
        raise RuntimeError(f"{command[0]} exited {result.returncode}: {result.stdout[-3000:]}")
    return result.stdout


@contextlib.contextmanager
def progress(what):
    """Writes the name and the duration of a long step to $BASEIMAGE_PROGRESS.  tests/lib.sh prints this file."""
    started = time.monotonic()
    with open(os.environ.get("BASEIMAGE_PROGRESS", os.devnull), "a", encoding="utf-8") as file:
        print(what, file=file, flush=True)
        yield
        print(f"{what}: {time.monotonic() - started:.0f} s", file=file)


@contextlib.contextmanager
def locked(path):
    """Locks the file PATH.lock during the "with" block.  Other test processes wait for the lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{path}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# Each key is a path in the cache that the current test uses.  The value is the open lock file.  While a path is locked,
# prune() does not remove the path.
HELD_LOCKS = {}


def release_cache():
    """Releases the locks of cached(), so that prune() can remove the paths."""
    while HELD_LOCKS:
        HELD_LOCKS.popitem()[1].close()


@contextlib.contextmanager
def cached(path):
    """If "path" exists, yields None.  Otherwise yields a temporary path, where the caller makes the file or directory.

    After the "with" block, renames the temporary path to "path".  Until release_cache(), prune() does not remove
    "path".  If tests/run has found that this machine cannot boot guests, raises Unavailable.
    """
    if reason := os.environ.get("BASEIMAGE_NO_GUESTS"):
        raise Unavailable(reason)
    if path in HELD_LOCKS:
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
            partial = path.with_name(f"partial.{path.name}")
            remove(partial)
            yield partial
            size = run("du", "-sk", partial).split()[0]
            partial.rename(path)
            Path(f"{path}.size").write_text(size)
        # prune() uses the modification time of the path as the time of the last use.
        os.utime(path)
        with locked(CACHE / "prune"):
            fcntl.flock(lock, fcntl.LOCK_SH)
        HELD_LOCKS[path] = stack.pop_all()


# CACHE_KIB is the maximum size of the cache.  prune() keeps RESERVED_KIB of this size free for new files.
CACHE_KIB = int(os.environ.get("BASEIMAGE_ROOM", 8)) << 20
RESERVED_KIB = 1 << 20


def remove(path):
    """If the path exists, removes the file or directory."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def prune():
    """Removes unused files and directories, until the cache has room for new files.

    Begins with the directory whose files the tests can make fastest.  In each directory, begins with the path that was
    unused for the longest time.
    """
    with locked(CACHE / "prune"):
        # While another process writes a .size file, the file can be empty.
        sizes = {file.with_suffix(""): int(file.read_text() or 0) for file in CACHE.glob("*/*.size")
                 if file.with_suffix("").exists()}
        excess = sum(sizes.values()) + RESERVED_KIB - CACHE_KIB
        kinds = ["seeds", "guests", "disks", "builds", "trees"]
        for path in sorted(sizes, key=lambda path: (kinds.index(path.parent.name), path.stat().st_mtime)):
            if excess <= 0:
                break
            with open(f"{path}.lock", "rb") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                Path(f"{path}.size").unlink()
                remove(path)
            excess -= sizes[path]


def digest(*parts):
    """Returns a short hash of the arguments."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]


def cache_path(kind, name, debs, *sources):
    """Returns a path in the cache.  The name contains a hash of the sources."""
    return CACHE / kind / f"{name}-{'with' if has_package(debs) else 'without'}-{digest(*sources)}"


def fetch(path, what, suite, *options):
    """Makes the file or directory "path" with mmdebstrap.  Returns "path".

    mmdebstrap gets the options in "options".  The argument "what" is the name of the system in progress messages.  If
    apt cannot fetch a file or cannot install a package, raises Unavailable.
    """
    with cached(path) as partial:
        if partial:
            try:
                with progress(f"fetching {what}"):
                    run("mmdebstrap", "--verbose", *options, suite, partial)
            except RuntimeError as error:
                # On sid, the packages of a port can be older than the packages of amd64.
                refused = re.search("^E: (?:Failed to fetch|Unable to satisfy dependencies).*", str(error), re.M)
                if not refused or "No space left" in str(error):
                    raise
                raise Unavailable(f"{what} cannot be fetched: {refused[0]}") from error
    return path


def static_qemu():
    """Returns the directory that has Debian 13's qemu-user.  The programs are static, and so run in every chroot."""
    return fetch(CACHE / "trees" / f"qemu-user-{STABLE}", "qemu-user", STABLE, "--mode=root", "--format=directory",
                 "--variant=extract", "--include=qemu-user") / "usr/bin"


def backports(suite):
    """Returns options of mmdebstrap.  With these options, apt prefers packages from the backports of a release."""
    # In QEMU 7.2 without KVM, the kernel of bookworm-backports crashes with a double fault before the kernel starts
    # init.  So apt does not install the kernel of bookworm-backports.
    kernel = "Package: linux-*\\nPin: release n=*-backports\\nPin-Priority: 1\\n\\n" if suite == "bookworm" else ""
    return [f"--setup-hook=sed -n 's/ {suite} / {suite}-backports /p' \"$1\"/etc/apt/sources.list"
            " >\"$1\"/etc/apt/sources.list.d/backports.list",
            f"--setup-hook=printf '{kernel}Package: *\\nPin: release n=*-backports\\nPin-Priority: 500\\n'"
            " >\"$1\"/etc/apt/preferences.d/backports"]


# apt must accept an old release, even after the Valid-Until date of the release.  The tests need no documentation and
# no translations.
MMDEBSTRAP_OPTIONS = ["--aptopt=Acquire::Check-Valid-Until \"false\"",
                      *(f"--dpkgopt=path-exclude=/usr/share/{d}/*" for d in ("doc", "man", "locale", "info"))]


def tree(suite, flavour):
    """Returns a tree that has the packages of a flavour, and the packages that seed() purges later (PURGED)."""
    flavour, _ = PURGED.get(flavour, (flavour, ""))
    # autopkgtest shares a directory with the guest through 9p.  The cloud kernel does not support 9p.
    kernel = "linux-image-amd64" if flavour == "autopkgtest" else "linux-image-cloud-amd64"
    packages = f"{COMMON.format(kernel=kernel)} {FLAVOURS[flavour]}".split()
    options = ["--variant=essential", f"--include={','.join(packages)}", *MMDEBSTRAP_OPTIONS]
    # The tests often make an initramfs, and the lowest compression level is the fastest.
    files = {"/etc/initramfs-tools/conf.d/fast": "COMPRESSLEVEL=1"}
    # linux-image-amd64 has many modules, but the initramfs needs only these modules.  By default, kdump-tools copies
    # the modules that this machine needs to mount root, and not the modules that the guest needs.
    if filesystem := {"autopkgtest": "btrfs", "reports": "ext4"}.get(flavour):
        files |= {"/etc/initramfs-tools/conf.d/small": "MODULES=list",
                  "/usr/share/initramfs-tools/modules.d/test": f"virtio_pci\nvirtio_blk\n{filesystem}"}
    options += [f"--essential-hook=mkdir -p \"$1\"{os.path.dirname(path)} && echo '{text}' >\"$1\"{path}"
                for path, text in files.items()]
    if flavour == "others":
        options.append("--components=main,contrib")
    if flavour == "backports":
        options += backports(suite)
    if suite == "bullseye":
        # The archive no longer has all updates of this release, so apt does not use the updates.
        options.append("--setup-hook=sed -i '/security\\|updates/d' \"$1\"/etc/apt/sources.list")
    path = CACHE / "trees" / f"{suite}-{flavour}-{digest(*options)}.tar.zst"
    return fetch(path, f"Debian ({suite}, {flavour})", suite, "--format=tar", *options)


def seed_path(suite, flavour, debs=()):
    """Returns the path of a seed.  seed() with the same arguments makes the directory at this path."""
    return cache_path("seeds", f"{suite}-{flavour}", debs, tree(suite, flavour).name, Path(__file__).read_text(),
                      *(digest(deb.read_bytes()) for deb in debs))


def seed(suite, flavour, debs=()):
    """Returns a seed, in which the .deb files in "debs" are installed."""
    path = seed_path(suite, flavour, debs)
    with cached(path) as partial:
        if partial:
            partial.mkdir()
            with progress(f"unpacking a guest's system ({suite}, {flavour})"):
                nodes = [] if can_make_nodes() else ["--exclude=./dev/*"]
                run("tar", "-C", partial, "-xf", tree(suite, flavour), *nodes)
                if flavour in PURGED:
                    chroot(partial, "dpkg", "--no-triggers", "--purge", *PURGED[flavour][1].split())
            # piuparts uses the flavour "autopkgtest", and would report decompressed modules as changed files.
            if flavour != "autopkgtest":
                decompress_modules(partial)
            configure(partial, flavour)
            with progress(f"making its initramfs ({suite}, {flavour})"):
                for deb in debs:
                    shutil.copy(deb, partial / "tmp")
                if debs:
                    chroot(partial, "dpkg", "--install", *(f"/tmp/{deb.name}" for deb in debs))
                if not has_package(debs):   # otherwise postinst of baseimage-udev has regenerated the initramfs
                    remake_initramfs(partial, flavour)
    return path


def decompress_modules(directory):
    """Decompresses the kernel modules of Debian 13 and later, because an emulated guest decompresses slowly."""
    modules = list(directory.glob("usr/lib/modules/**/*.ko.xz"))
    if modules:
        run("unxz", *modules)
        chroot(directory, "depmod", next(directory.glob("usr/lib/modules/*")).name)


def remake_initramfs(directory, flavour):
    """If seed() or configure() has changed a file that is also in the initramfs, regenerates the initramfs."""
    if flavour.startswith("dracut"):
        chroot(directory, "dracut", "--force", "--regenerate-all")
    elif flavour in PURGED:
        chroot(directory, "dpkg", "--configure", "--pending")
    elif flavour == "crypt":
        chroot(directory, "update-initramfs", "-u")


def unpacked(initrd):
    """Returns the decompressed bytes of an initramfs.

    An initramfs is a sequence of cpio archives.  Only the last archive is compressed.
    """
    data = initrd.read_bytes()
    for magic, unpack in ((b"\x28\xb5\x2f\xfd", ["zstd", "-dc"]), (b"\x1f\x8b\x08", ["gzip", "-dc"])):
        start = 0 if data.startswith(magic) else data.find(b"\0" + magic) + 1
        if data[start:].startswith(magic):
            return data[:start] + subprocess.run(unpack, input=data[start:], stdout=subprocess.PIPE, check=True).stdout
    raise RuntimeError(f"{initrd}: neither zstd nor gzip")


def before_init(commands):
    """Returns kernel options.  With these options, BEFORE_INIT_SCRIPT runs the commands before systemd starts."""
    return f"init={BEFORE_INIT} test.commands={base64.b64encode(commands.encode()).decode()}"


def has_package(debs):
    return any(deb.name.startswith("baseimage-udev_") for deb in debs)


def can_make_nodes():
    """Returns whether this process can make device nodes.  Root of a user namespace cannot make device nodes."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            os.mknod(f"{directory}/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            return True
        except PermissionError:
            return False


# Some scripts mount file systems and enter a chroot.  unshare runs these scripts in new mount and PID namespaces.  The
# commands in MOUNT_API_FILES make device nodes and mount /proc in the directory $root.
NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
MOUNT_API_FILES = """set -e
for node in null zero full random urandom; do
	[ -c $root/dev/$node ] || { : >$root/dev/$node; mount --bind /dev/$node $root/dev/$node; }
done
mount -t proc proc $root/proc
"""


def chroot(directory, *command):
    """Runs a command in a chroot at "directory".  If this process can mount, first mounts /proc in the chroot."""
    if MOUNTS:
        words = [*NAMESPACES, "sh", "-c", f'root=$1\n{MOUNT_API_FILES}exec chroot "$@"', "sh"]
    elif can_make_nodes():
        words = ["chroot"]
    else:
        raise Unavailable("neither mounts nor device nodes can be made here")
    run(*words, directory, *command,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"})


# With hostonly, dracut chooses settings for the system on which dracut runs.  The tests do not run dracut in the guest,
# so HOSTONLY has the settings for the guest.
HOSTONLY = """\
hostonly="yes"
hostonly_cmdline="no"
hostonly_default_device="no"
add_drivers+=" virtio_pci virtio_blk virtio_console btrfs ext4 "
add_dracutmodules+=" btrfs lvm "
"""
# After the initramfs has mounted root, the initramfs runs this script.  The script writes the list of partitions to a
# file, which inert.in_initramfs() reads.
SAVE_PARTITIONS = """\
#!/bin/sh
[ "$1" = prereqs ] || cat /proc/partitions >/run/initramfs.partitions
"""
DRACUT_SAVE_PARTITIONS = """\
check() { return 0; }
install() { inst_hook pre-pivot 99 "$moddir/save_partitions.sh"; }
"""
# With this kernel option, the initramfs of initramfs-tools waits at most 600 s for root.  With rootdelay=600, the
# initramfs would always wait 600 s.
LONG_WAIT = "test.patient"
LONG_WAIT_SCRIPT = f"""\
#!/bin/sh
[ "$1" != prereqs ] || exit 0
read -r cmdline </proc/cmdline
case "$cmdline" in *{LONG_WAIT}*) echo ROOTDELAY=600 >>/conf/param.conf ;; esac
"""
# The kernel option boot=scan selects this boot script, which finds root without udev's links.
BOOT_SCAN_SCRIPT = """\
mount_top() { :; }
mount_premount() { :; }
mountroot() {
	modprobe btrfs
	udevadm settle
	mount -t btrfs -o ro "$(blkid -l -o device -t "$ROOT")" "$rootmnt"
}
mount_bottom() { :; }
"""
# With init=BEFORE_INIT, this script runs in place of systemd.  The kernel option test.commands has commands in base64.
# The script runs these commands, and then starts systemd.
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
# With init=PLAIN_INIT, this script runs in place of systemd.  The script starts udevd and triggers the events of all
# devices, like udev's sysvinit script.
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


def write_script(path, text, mode=0o755):
    """Makes the parent directories, and writes a file.  By default, the file is executable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def configure(directory, flavour):
    """Writes the configuration files and the scripts of a guest to the directory of a seed."""
    units, is_autopkgtest = directory / "etc/systemd/system", flavour == "autopkgtest"
    scripts = {BEFORE_INIT: BEFORE_INIT_SCRIPT, PLAIN_INIT: PLAIN_INIT_SCRIPT}
    files = {"/etc/hostname": "guest\n", "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
             "/etc/systemd/system/test-shell.service": AUTOPKGTEST_UNIT if is_autopkgtest else SHELL_UNIT}
    if flavour.startswith("dracut"):
        module = "/usr/lib/dracut/modules.d/99save_partitions"
        scripts |= {f"{module}/module-setup.sh": DRACUT_SAVE_PARTITIONS,
                    f"{module}/save_partitions.sh": SAVE_PARTITIONS}
        files["/etc/dracut.conf.d/test.conf"] = (
            'compress="zstd -1"\n' + (HOSTONLY if flavour.endswith("hostonly") else 'hostonly="no"\n')
            + ('install_items+=" /etc/keys/root.key "\n' if "crypt" in flavour else ""))
    else:
        tools = "/etc/initramfs-tools"
        scripts |= {f"{tools}/scripts/local-bottom/save_partitions": SAVE_PARTITIONS,
                    f"{tools}/scripts/init-premount/long_wait": LONG_WAIT_SCRIPT,
                    f"{tools}/scripts/scan": BOOT_SCAN_SCRIPT}
        # With this driver in the initramfs, the shell starts earlier.
        files[f"{tools}/modules"] = "virtio_console\n"
    if flavour == "others":
        files["/etc/cloud/cloud-init.disabled"] = ""
    if is_autopkgtest:
        files["/etc/test-shell.sh"] = AUTOPKGTEST_ENV
    if flavour == "crypt":
        files["/etc/cryptsetup-initramfs/conf-hook"] = "KEYFILE_PATTERN=/etc/keys/*.key\n"
    if flavour.endswith("crypt"):
        files |= {"/etc/keys/root.key": CRYPT_KEY,
                  "/etc/crypttab": f"{CRYPT_NAME} UUID={CRYPT_UUID} /etc/keys/root.key luks,initramfs\n"}
    for path, text in (scripts | files).items():
        write_script(directory / path[1:], text, 0o755 if path in scripts else 0o644)
    if flavour == "reports":
        # Without this file, kdump-tools would regenerate the initramfs of kdump when the guest boots.
        initrd, = directory.glob("var/lib/kdump/initrd.img-*")
        shutil.copy(directory / "etc/kdump/sysctl.conf",
                    initrd.with_name(initrd.name.replace("initrd.img", "latest_sysctls")))
    masked = [directory / f"etc/systemd/system-generators/systemd-{name}-generator" for name in IDLE_GENERATORS]
    masked += [units / unit for unit in IDLE_UNITS]
    if not is_autopkgtest:
        masked += [units / unit for unit in LOGIN_UNITS]
    if flavour not in ("autopkgtest", "others", "reports"):
        masked += [units / DBUS_AT_BOOT, directory / STATUS_RULE]
    links = {units / "sysinit.target.wants/test-shell.service": "/etc/systemd/system/test-shell.service"}
    for path, target in (links | dict.fromkeys(masked, "/dev/null")).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


@dataclass(frozen=True)
class Disk:
    """Has the files from which a guest boots, and the possible values of root=."""
    paths: tuple       # disk images; most layouts have one image
    kernel: Path
    initrd: Path
    roots: dict
