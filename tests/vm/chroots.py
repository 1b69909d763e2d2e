# SPDX-License-Identifier: GPL-2.0-or-later
"""Trees to build and install packages in, and chroots of them.

A tree is what mmdebstrap made of a suite, with what the package is built with
(debian/control says so); it is made once, like the images of guests.
"""

from pathlib import Path

import pytest

from images import CACHE, FURNISH, MOUNTS, NAMESPACES, can_make_nodes, digest, fetching, made_once, run

SOURCE = Path(__file__).parents[2]
NATIVE = "amd64"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}

needs_mounts = pytest.mark.skipif(not MOUNTS, reason="no mounts can be made here")


def copy_source(target):
    """Copies this tree, as tests/lib.sh does it; returns where to."""
    run("sh", "-c", f". tests/lib.sh; copy_source {target}", cwd=SOURCE)
    return target


# Of each architecture, the name that its cross compiler has.
TRIPLETS = {
    "arm64": "aarch64-linux-gnu",
    "armhf": "arm-linux-gnueabihf",
    "i386": "i686-linux-gnu",
    "loong64": "loongarch64-linux-gnu",
    "ppc64el": "powerpc64le-linux-gnu",
    "riscv64": "riscv64-linux-gnu",
    "s390x": "s390x-linux-gnu",
}


def build_tree(suite, architecture=NATIVE, packages=(), profiles="cross,nocheck"):
    """The directory of a system that can build the package for an architecture."""
    foreign = architecture != NATIVE
    # crossbuild-essential there is not for all of them.
    compiler = [f"g++-{TRIPLETS[architecture]}", f"libc6-dev:{architecture}"] if foreign else ["build-essential"]
    source = (SOURCE / "debian/control").read_text().split("\n\n")[0]
    options = [
        f"--architectures={NATIVE},{architecture}" if foreign else f"--architectures={NATIVE}",
        "--include=" + ",".join([*compiler, *packages]),
    ]
    # What is built is to follow apt's own reading of Build-Depends.
    hook = (f"mkdir -p \"$1/tmp/source/debian\" && cp {SOURCE}/debian/control \"$1/tmp/source/debian\""
            " && chroot \"$1\" apt-get build-dep --yes --no-install-recommends"
            f" --host-architecture={architecture} --build-profiles={profiles} /tmp/source"
            " && rm -r \"$1/tmp/source\"")
    return chroot_tree(f"{suite}-{architecture}", f"what builds the package ({suite}, {architecture})", suite,
                       *options, f"--customize-hook={hook}", key=source)


def chroot_tree(name, what, suite, *options, key=""):
    """The directory of a minimal system, made with these options of mmdebstrap; key: what else it depends on."""
    options = [
        "--mode=root", "--variant=minbase", "--aptopt=Acquire::Check-Valid-Until \"false\"",
        "--aptopt=Acquire::Languages \"none\"", "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude=/usr/share/{d}/*" for d in ("doc", "man", "locale", "info")), *options]
    # Wherever this tree is.
    path = CACHE / "builds" / f"{name}-{digest(key, *(option.replace(str(SOURCE), '') for option in options))}"
    with made_once(path) as partial:
        if partial:
            with fetching(what) as follow:
                run("mmdebstrap", "--verbose", "--format=directory", *options, suite, partial, follow=follow)
    return path


class Chroot:
    """A tree with an overlay over it, thrown away after each run; /build stays.

    work is a directory for it: what is in work/build is in the chroot's /build.
    """

    def __init__(self, tree, work):
        self.tree, self.work, self.build = tree, work, work / "build"
        for name in ("work", "root", "build"):
            (work / name).mkdir(exist_ok=True)

    def words(self, script):
        """The command that runs a script with $root, in which to chroot."""
        # In a user namespace an overlay needs user xattrs, which tmpfs has from Linux 6.6 on.
        empty, option = "mount -t tmpfs none .", ""
        if not can_make_nodes():
            empty, option = "rm -rf u w", ",userxattr"
        prepare = (f"set -e; root={self.work}/root\n"
                   f"cd {self.work}/work; {empty}; cd {self.work}/work; mkdir u w\n"
                   f"mount -t overlay -o lowerdir={self.tree},upperdir=u,workdir=w{option} none $root; cd /\n"
                   f"{FURNISH}mkdir -p $root/build; mount --bind {self.build} $root/build\n")
        return [*NAMESPACES, "sh", "-c", prepare + script]

    def run(self, script):
        """Runs such a script; returns its output."""
        return run(*self.words(script), env=ENVIRONMENT)

    def inside(self, script):
        """Runs a script in the chroot."""
        (self.build / "script").write_text(script)
        return self.run("chroot $root sh -e /build/script")


def build_packages(suite, architecture, work, packages=()):
    """Builds the packages for an architecture, as anyone cross-builds; returns their directory."""
    chroot = Chroot(build_tree(suite, architecture, packages), work)
    copy_source(chroot.build / "source")
    chroot.inside("cd /build/source\n"
                  f"dpkg-buildpackage -us -uc -b --host-arch {architecture} --build-profiles=cross,nocheck")
    return chroot.build
