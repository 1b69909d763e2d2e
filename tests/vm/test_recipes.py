# SPDX-License-Identifier: GPL-2.0-or-later
"""The recipes of doc/RECIPES, verbatim: the real tool makes each image, in a chroot
of the current stable release.  A guest boots it with itself as its base image.
Only the dots of a recipe are filled in.
"""

import base64
import re
import shlex
import shutil
import textwrap
from pathlib import Path

import pytest

import loaders
from chroots import SOURCE, Chroot, chroot_tree, copy_source, needs_mounts
from conftest import LOGS
from guest import Guest, SelfBooting
from images import SHELL_UNIT, STABLE, run
from inert import assert_inert, status

RECIPES = (SOURCE / "doc/RECIPES").read_text(encoding="utf-8")
README = (SOURCE / "README").read_text(encoding="utf-8")
# Beside the tool itself, what it asks for, recommends or suggests.
TOOLS = {
    "mmdebstrap": "mmdebstrap e2fsprogs",
    "debvm": "debvm e2fsprogs qemu-system-x86",
    "mkosi": "mkosi reprepro apt cpio dosfstools e2fsprogs kmod mtools systemd-boot-efi systemd-repart systemd-ukify"
             " uidmap zstd",
    "virt-customize": "guestfs-tools linux-image-cloud-amd64 qemu-system-x86",
    "autopkgtest-build-qemu": "autopkgtest vmdb2 dosfstools qemu-utils",
    "libvirt": "libvirt-clients libxml2-utils",
}

pytestmark = [pytest.mark.all_only, needs_mounts]


def recipe(section, title):
    """The indented block below a title in a section of doc/RECIPES."""
    body = re.search(rf"^{section}\n-+\n((?:.*\n)*?)(?=.*\n---|\Z)", RECIPES, re.M)[1]
    below = re.search(rf"^{title}\b.*:\n((?:(?!\S.*:$).*\n)*)", body, re.M)[1]
    block = re.search(r"(?:^    .*\n|^\n(?=    ))+", below, re.M)[0]
    return textwrap.dedent(block).strip("\n") + "\n"


# What ends this process ends QEMU.
QEMU = recipe("Attach the disk", "QEMU").replace(Guest.PROGRAM, f"exec {Guest.PROGRAM}")


def credential(name, text):
    """Something for the systemd of a guest, which its image knows nothing of (systemd.system-credentials(7))."""
    encoded = base64.b64encode(text.encode()).decode()
    return ["-smbios", f"type=11,value=io.systemd.credential.binary:{name}={encoded}"]


class RecipeGuest(SelfBooting):
    """Boots the script of a recipe in a directory.  Its dots become what every guest of the tests gets, and boot."""

    def __init__(self, name, script, directory, boot=()):
        super().__init__(name, boot, [], LOGS)
        unit = SHELL_UNIT.replace("[Service]", "ConditionPathExists=!/etc/initrd-release\n[Service]")
        words = shlex.join([*self.command[self.command.index(self.PROGRAM) + 1:],
                            *credential("systemd.extra-unit.test-shell.service", unit),
                            *credential("systemd.unit-dropin.sysinit.target", "[Unit]\nWants=test-shell.service\n")])
        self.command = ["setpriv", "--pdeathsig", "KILL", "sh", "-ec",
                        f"cd {directory}\n" + script.replace("...", words)]


class DebvmGuest(RecipeGuest):
    """On the machine that debvm-run chooses."""

    @staticmethod
    def machine():
        return []


@pytest.fixture
def chroot(request, tmp_path, deb):
    """One with the tool that the test is named after; the packages are in /build, where all is run."""
    tool = request.node.get_closest_marker("tool").args[0]
    tree = chroot_tree(f"{STABLE}-{tool}", f"{tool} ({STABLE})", STABLE,
                       "--include=" + ",".join(TOOLS[tool].split()))
    made = Chroot(tree, tmp_path)
    shutil.copy(deb, made.build)
    return made


def check(guest, program):
    """Of the packages, the images have the one: the other's program is brought along."""
    with guest:
        for name, content in program.items():
            encoded = base64.encodebytes(content).decode()
            guest.run(f"mkdir -p {name.parent} && base64 -d >{name} <<.\n{encoded}.\nchmod +x {name}")
        assert_inert(guest)
        said = status(guest)
        assert said[0] == 0, said


@pytest.fixture
def status_program(status_deb, tmp_path):
    """The program, for an image that does not have it.  Each image has its libraries."""
    run("dpkg-deb", "--extract", status_deb, tmp_path / "status")
    return {Path("/usr/local/bin/baseimage-status"): (tmp_path / "status/usr/bin/baseimage-status").read_bytes()}


def test_readme__has_the_recipe():
    """README has a copy of the recipe for QEMU."""
    assert textwrap.indent(recipe("Attach the disk", "QEMU"), "    ") in README


def readme_lines(begin):
    """The indented lines of README from the one that begins so up to a blank line."""
    return textwrap.dedent(re.search(rf"^    {re.escape(begin)}(?:.*\n)+?(?=\n)", README, re.M)[0])


def test_readme__quick_start(deb, status_deb, tmp_path):
    """The commands of README build, install and boot, and baseimage-status prints what README says."""
    source = copy_source(tmp_path / "build/tree")
    run("sh", "-ec", readme_lines("$ dpkg-buildpackage").removeprefix("$ "), cwd=source)
    tree = chroot_tree(f"{STABLE}-udev", f"udev ({STABLE})", STABLE, "--include=udev,libblkid1,libmount1,libsmartcols1")
    chroot = Chroot(tree, tmp_path)
    chroot.inside("cd /build\n" + readme_lines("# apt install").removeprefix("# "))
    _, image = loaders.disks(STABLE, loaders.LOADERS["seabios-grub"], (status_deb, deb))
    run("cp", "--sparse=always", image, chroot.build / "base.img")
    script = readme_lines("qemu-img create").replace(Guest.PROGRAM, f"exec {Guest.PROGRAM}")
    command, expected = readme_lines("# baseimage-status").split("\n", 1)
    with RecipeGuest("readme", script, chroot.build) as guest:
        assert guest.run(command.removeprefix("# ")) == expected
        assert_inert(guest)


@pytest.mark.tool("mmdebstrap")
def test_recipe__mmdebstrap(chroot, status_program):
    chroot.inside("cd /build\n" + recipe("Put it in an image", "mmdebstrap").rstrip().replace(
        "...", f"--include=linux-image-cloud-amd64,initramfs-tools,systemd-sysv,udev,dbus {STABLE} root\n"
        "mkfs.ext4 -q -L guestroot -d root base.img 1500M\ncp root/boot/vmlinuz-* vmlinuz\n"
        "cp root/boot/initrd.img-* initrd.img"))
    boot = Guest.start("vmlinuz", "initrd.img", f"{Guest.cmdline()} root=LABEL=guestroot rw")
    check(RecipeGuest("recipe-mmdebstrap", QEMU, chroot.build, boot), status_program)


@pytest.mark.tool("debvm")
def test_recipe__debvm(chroot, status_program):
    # A mirror that lags behind will do.
    chroot.inside("cd /build\n" + recipe("Put it in an image", "debvm").rstrip()
                  + " --aptopt='Acquire::Check-Valid-Until \"false\"'")
    guest = DebvmGuest("recipe-debvm", recipe("Attach the disk", "debvm").replace("--", "-- ...", 1), "/build")
    guest.command[-3:] = chroot.words(
        f"for shared in {guest.directory} {LOGS}; do mkdir -p $root$shared; mount --bind $shared $root$shared; done\n"
        f"exec chroot $root {shlex.join(guest.command[-3:])}")
    check(guest, status_program)


MKOSI = f"""\
[Distribution]
Distribution=debian
Release={STABLE}

[Output]
Format=disk

[Content]
Bootable=yes
KernelCommandLine={Guest.cmdline()} systemd.firstboot=off
Packages=dbus,e2fsprogs,linux-image-cloud-amd64,systemd-boot,systemd-sysv,udev

"""
# The chroot's own sources: mkosi's have debugging symbols, which not every mirror has.
MKOSI_SOURCES = """\
mkdir -p mkosi.sandbox/etc/apt/sources.list.d
awk '/^deb / { print "Types: deb\\nURIs: "$2"\\nSuites: "$3"\\nComponents: "$4
	print "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\\n" }' /etc/apt/sources.list \\
	>mkosi.sandbox/etc/apt/sources.list.d/mkosi.sources
"""


@pytest.mark.tool("mkosi")
def test_recipe__mkosi(chroot, status_program):
    """Its own initrd, a unified kernel image, root found by its type."""
    (chroot.build / "mkosi.conf").write_text(MKOSI + recipe("Put it in an image", "mkosi"))
    (chroot.build / "mkosi.packages").mkdir()
    for package in chroot.build.glob("*.deb"):
        package.rename(chroot.build / "mkosi.packages" / package.name)
    chroot.inside(f"cd /build\n{MKOSI_SOURCES}mkosi build && cp image.raw base.img")
    check(RecipeGuest("recipe-mkosi", QEMU, chroot.build, loaders.FIRMWARE["ovmf"]), status_program)


@pytest.mark.tool("virt-customize")
def test_recipe__virt_customize(chroot, status_deb, status_program):
    _, image = loaders.disks(STABLE, loaders.LOADERS["seabios-grub"], (status_deb,))
    run("cp", "--sparse=always", image, chroot.build / "test.img")
    chroot.inside("cd /build; export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg\n"
                  + recipe("Put it in an image", "virt-customize") + "mv test.img base.img\n")
    check(RecipeGuest("recipe-virt-customize", QEMU, chroot.build), status_program)


@pytest.mark.tool("autopkgtest-build-qemu")
def test_recipe__autopkgtest_build_qemu(chroot, status_program):
    if "device-mapper" not in Path("/proc/misc").read_text(encoding="ascii"):
        pytest.skip("vmdb2, by which autopkgtest-build-qemu makes images, takes a kernel with device-mapper")
    script = chroot.build / "install-baseimage-udev"
    script.write_text(recipe("Put it in an image", "where the script"))
    script.chmod(0o755)
    chroot.inside("cd /build\n" + recipe("Put it in an image", "autopkgtest-build-qemu")
                  + "qemu-img convert -O raw test.img base.img\n")
    check(RecipeGuest("recipe-autopkgtest", QEMU, chroot.build), status_program)


DOMAIN = """\
<domain type='qemu'>
  <name>test</name>
  <memory unit='GiB'>1</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
{}  </devices>
</domain>
"""


@pytest.mark.tool("libvirt")
def test_recipe__libvirt(chroot):
    (chroot.build / "test.xml").write_text(DOMAIN.format(recipe("Attach the disk", "libvirt")))
    chroot.inside("virt-xml-validate /build/test.xml domain")
