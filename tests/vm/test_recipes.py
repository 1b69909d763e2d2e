# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the commands of README and the recipes of doc/RECIPES in chroots of the stable release.

Most recipes make an image.  A guest boots from the image.  The base image is the same image.
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
from guest import KERNEL_OPTIONS, QEMU, Guest, to_raw
from images import LOGS, SHELL_UNIT, STABLE, run, write_script
from inert import assert_inert, status

RECIPES = (SOURCE / "doc/RECIPES").read_text(encoding="utf-8")
README = (SOURCE / "README").read_text(encoding="utf-8")
# Maps each tool to the package of the tool, and to other packages that the recipe needs.
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
    """Returns the indented block that follows a title in a section of doc/RECIPES."""
    body = re.search(rf"^{section}\n-+\n((?:.*\n)*?)(?=.*\n---|\Z)", RECIPES, re.M)[1]
    below = re.search(rf"^{title}\b.*:\n((?:(?!\S.*:$).*\n)*)", body, re.M)[1]
    block = re.search(r"(?:^    .*\n|^\n(?=    ))+", below, re.M)[0]
    return textwrap.dedent(block).strip("\n") + "\n"


RECIPE = recipe("Attach the disk", "QEMU")


class RecipeGuest(Guest):
    """Runs the script of a recipe in "directory".  The script boots a guest.

    In the script, replaces "..." by the QEMU options that all guests of the tests need, and by the options in "boot".
    At the end, the test kills the process of the shell that runs the script.  So the shell must exec QEMU.
    """

    def __init__(self, name, script, directory, boot=()):
        super().__init__(name, None, "", [], boot)
        unit = SHELL_UNIT.replace("[Service]", "ConditionPathExists=!/etc/initrd-release\n[Service]")
        words = self.command[self.command.index(QEMU) + 1:]
        # systemd.system-credentials(7) describes these credentials.
        for credential, text in (("extra-unit.test-shell.service", unit),
                                 ("unit-dropin.sysinit.target", "[Unit]\nWants=test-shell.service\n")):
            encoded = base64.b64encode(text.encode()).decode()
            words += ["-smbios", f"type=11,value=io.systemd.credential.binary:systemd.{credential}={encoded}"]
        self.command = ["setpriv", "--pdeathsig", "KILL", "sh", "-ec",
                        f"cd {directory}\n" + script.replace("...", shlex.join(words)).replace(QEMU, f"exec {QEMU}")]


class DebvmGuest(RecipeGuest):
    machine = []        # debvm-run chooses the machine


@pytest.fixture
def chroot(request, tmp_path, deb):
    """Returns a chroot that has the tool in the test's name.  The directory /build has the package."""
    tool = request.node.name.removeprefix("test_recipe__").replace("_", "-")
    tree = chroot_tree(f"{STABLE}-{tool}", f"{tool} ({STABLE})", STABLE, f"--include={TOOLS[tool].replace(' ', ',')}")
    made = Chroot(tree, tmp_path)
    shutil.copy(deb, made.build)
    return made


def check(guest, status_deb):
    """Copies baseimage-status to a guest, and checks that the base image is inert.  The guest has the libraries."""
    run("dpkg-deb", "--extract", status_deb, guest.directory)
    with guest:
        program = "/usr/local/bin/baseimage-status"
        guest.write(program, (guest.directory / "usr/bin/baseimage-status").read_bytes())
        guest.run(f"chmod +x {program}")
        assert_inert(guest)
        code, findings = status(guest)
        assert code == 0, findings


def test_readme__has_the_recipe():
    assert textwrap.indent(recipe("Attach the disk", "QEMU"), "    ") in README


def readme_lines(begin):
    """Returns the indented lines of README from the line that begins with "begin" to the next blank line."""
    return textwrap.dedent(re.search(rf"^    {re.escape(begin)}(?:.*\n)+?(?=\n)", README, re.M)[0])


def test_readme__quick_start(deb, status_deb, tmp_path):
    """Runs README's commands to build, install and boot.  Compares the output of baseimage-status with README."""
    source = copy_source(tmp_path / "build/tree")
    run("sh", "-ec", readme_lines("$ dpkg-buildpackage").removeprefix("$ "), cwd=source)
    tree = chroot_tree(f"{STABLE}-udev", f"udev ({STABLE})", STABLE, "--include=udev,libblkid1,libmount1,libsmartcols1")
    chroot = Chroot(tree, tmp_path)
    chroot.inside("cd /build\n" + readme_lines("# apt install").removeprefix("# "))
    _, image = loaders.disks(STABLE, "seabios-grub", (status_deb, deb))
    to_raw(image, chroot.build / "base.img")
    script = readme_lines("qemu-img create")
    command, expected = readme_lines("# baseimage-status").split("\n", 1)
    with RecipeGuest("readme", script, chroot.build) as guest:
        assert guest.run(command.removeprefix("# ")) == expected
        assert_inert(guest)


def test_recipe__mmdebstrap(chroot, status_deb):
    chroot.inside("cd /build\n" + recipe("Put it in an image", "mmdebstrap").rstrip().replace(
        "...", f"--include=linux-image-cloud-amd64,initramfs-tools,systemd-sysv,udev,dbus {STABLE} root\n"
        "mkfs.ext4 -q -L guestroot -d root base.img 1500M\ncp root/boot/vmlinuz-* vmlinuz\n"
        "cp root/boot/initrd.img-* initrd.img"))
    boot = ["-kernel", "vmlinuz", "-initrd", "initrd.img", "-append", f"{KERNEL_OPTIONS} root=LABEL=guestroot rw"]
    check(RecipeGuest("recipe-mmdebstrap", RECIPE, chroot.build, boot), status_deb)


def test_recipe__debvm(chroot, status_deb):
    # The apt source of the test can be an old release, whose Valid-Until date has passed.
    chroot.inside("cd /build\n" + recipe("Put it in an image", "debvm").rstrip()
                  + " --aptopt='Acquire::Check-Valid-Until \"false\"'")
    guest = DebvmGuest("recipe-debvm", recipe("Attach the disk", "debvm").replace("--", "-- ...", 1), "/build")
    guest.command[-3:] = chroot.words(
        f"for shared in {guest.directory} {LOGS}; do mkdir -p $root$shared; mount --bind $shared $root$shared; done\n"
        f"exec chroot $root {shlex.join(guest.command[-3:])}")
    check(guest, status_deb)


MKOSI = f"""\
[Distribution]
Distribution=debian
Release={STABLE}
[Output]
Format=disk
[Content]
Bootable=yes
KernelCommandLine={KERNEL_OPTIONS} systemd.firstboot=off
Packages=dbus,e2fsprogs,linux-image-cloud-amd64,systemd-boot,systemd-sysv,udev

"""
# With these commands, mkosi uses the apt sources of the chroot.  By default, mkosi also uses the archive of debugging
# symbols, which some mirrors lack.
MKOSI_SOURCES = """\
mkdir -p mkosi.sandbox/etc/apt/sources.list.d
awk '/^deb / { print "Types: deb\\nURIs: "$2"\\nSuites: "$3"\\nComponents: "$4
	print "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\\n" }' /etc/apt/sources.list \\
	>mkosi.sandbox/etc/apt/sources.list.d/mkosi.sources
"""


def test_recipe__mkosi(chroot, status_deb):
    """Checks a unified kernel image with mkosi's initramfs.  systemd finds root by the GPT type of the partition."""
    (chroot.build / "mkosi.conf").write_text(MKOSI + recipe("Put it in an image", "mkosi"))
    (chroot.build / "mkosi.packages").mkdir()
    for package in chroot.build.glob("*.deb"):
        package.rename(chroot.build / "mkosi.packages" / package.name)
    chroot.inside(f"cd /build\n{MKOSI_SOURCES}mkosi build && cp image.raw base.img")
    check(RecipeGuest("recipe-mkosi", RECIPE, chroot.build, loaders.FIRMWARE["ovmf"]), status_deb)


def test_recipe__virt_customize(chroot, status_deb):
    _, image = loaders.disks(STABLE, "seabios-grub", (status_deb,))
    to_raw(image, chroot.build / "test.img")
    chroot.inside("cd /build; export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg\n"
                  + recipe("Put it in an image", "virt-customize") + "mv test.img base.img\n")
    check(RecipeGuest("recipe-virt-customize", RECIPE, chroot.build), status_deb)


def test_recipe__autopkgtest_build_qemu(chroot, status_deb):
    if "device-mapper" not in Path("/proc/misc").read_text(encoding="ascii"):
        pytest.skip("autopkgtest-build-qemu uses vmdb2, which needs a kernel with device-mapper")
    write_script(chroot.build / "install-baseimage-udev", recipe("Put it in an image", "where the script"))
    chroot.inside("cd /build\n" + recipe("Put it in an image", "autopkgtest-build-qemu")
                  + "qemu-img convert -O raw test.img base.img\n")
    check(RecipeGuest("recipe-autopkgtest", RECIPE, chroot.build), status_deb)


DOMAIN = """\
<domain type='qemu'>
  <name>test</name>
  <memory unit='GiB'>1</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
{}  </devices>
</domain>
"""


def test_recipe__libvirt(chroot):
    (chroot.build / "test.xml").write_text(DOMAIN.format(recipe("Attach the disk", "libvirt")))
    chroot.inside("virt-xml-validate /build/test.xml domain")
