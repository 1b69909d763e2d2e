# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes chroots, in which the tests build and install the packages.

A tree is the directory of a Debian system that mmdebstrap has made.  A chroot is an overlay on a tree, or on a seed
(see images.py).  images.py caches each tree, so mmdebstrap makes each tree once.
"""

from pathlib import Path

import pytest

from images import CACHE, MMDEBSTRAP_OPTIONS, MOUNT_API_FILES, MOUNTS, NAMESPACES, can_make_nodes, digest, fetch, run

SOURCE = Path(__file__).parents[2]
NATIVE = "amd64"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}

needs_mounts = pytest.mark.skipif(not MOUNTS, reason="no mounts can be made here")


def copy_source(target):
    """Runs copy_source() of tests/lib.sh, which copies this project's source to "target".  Returns "target"."""
    run("sh", "-c", f". tests/lib.sh; copy_source {target}", cwd=SOURCE)
    return target


# Maps each architecture to its GNU triplet, which is in the package name of the cross compiler.
TRIPLETS = {
    "arm64": "aarch64-linux-gnu",
    "armhf": "arm-linux-gnueabihf",
    "loong64": "loongarch64-linux-gnu",
    "riscv64": "riscv64-linux-gnu",
    "s390x": "s390x-linux-gnu",
}


def build_tree(suite, architecture=NATIVE, packages=(), profiles="cross,nocheck"):
    """Returns a tree that has the build dependencies for an architecture."""
    foreign = architecture != NATIVE
    # Some architectures have no package crossbuild-essential-*.  So this list names the cross compiler and the libc.
    compiler = [f"g++-{TRIPLETS[architecture]}", f"libc6-dev:{architecture}"] if foreign else ["build-essential"]
    hook = (f"mkdir -p \"$1/tmp/source/debian\" && cp {SOURCE}/debian/control \"$1/tmp/source/debian\""
            " && chroot \"$1\" apt-get build-dep --yes --no-install-recommends"
            f" --host-architecture={architecture} --build-profiles={profiles} /tmp/source"
            " && rm -r \"$1/tmp/source\"")
    return chroot_tree(f"{suite}-{architecture}", f"what builds the package ({suite}, {architecture})", suite,
                       f"--architectures={NATIVE}" + (f",{architecture}" if foreign else ""),
                       "--include=" + ",".join([*compiler, *packages]), f"--customize-hook={hook}",
                       key=(SOURCE / "debian/control").read_text().split("\n\n")[0])


def chroot_tree(name, what, suite, *options, key=""):
    """Returns a tree, which is the directory of a minimal system.

    mmdebstrap makes the tree with the options in "options".  The argument "what" is the name of the system in progress
    messages.  If the argument "key" or an option changes, mmdebstrap makes a new tree.
    """
    options = ["--mode=root", "--variant=minbase", "--aptopt=Acquire::Languages \"none\"", "--dpkgopt=force-unsafe-io",
               *MMDEBSTRAP_OPTIONS, *options]
    # All copies of the project's source use the same tree, so the hash must not depend on the path of the source.
    path = CACHE / "builds" / f"{name}-{digest(key, *(option.replace(str(SOURCE), '') for option in options))}"
    return fetch(path, what, suite, "--format=directory", *options)


class Chroot:
    """Runs scripts in a chroot, which is an overlay on the directory in the argument "tree".

    Each call of run() mounts a new overlay, so the scripts do not change the tree.  The subdirectory "build" of the
    directory "work" is /build in the chroot.
    """

    def __init__(self, tree, work):
        self.tree, self.work, self.build = tree, work, work / "build"
        for name in ("work", "root", "build"):
            (work / name).mkdir(exist_ok=True)

    def words(self, script):
        """Returns a command that mounts the overlay at $root, and then runs a script outside the chroot."""
        # In a user namespace, overlayfs needs user xattrs.  Before Linux 6.6, tmpfs does not support user xattrs.  So
        # in a user namespace, the upper directory of the overlay is not on a tmpfs.
        empty, option = "mount -t tmpfs none .", ""
        if not can_make_nodes():
            empty, option = "rm -rf u w", ",userxattr"
        prepare = (f"set -e; root={self.work}/root\n"
                   f"cd {self.work}/work; {empty}; cd {self.work}/work; mkdir u w\n"
                   f"mount -t overlay -o lowerdir={self.tree},upperdir=u,workdir=w{option} none $root; cd /\n"
                   f"{MOUNT_API_FILES}mkdir -p $root/build; mount --bind {self.build} $root/build\n")
        return [*NAMESPACES, "sh", "-c", prepare + script]

    def run(self, script):
        """Mounts the overlay at $root, and runs a script outside the chroot.  Returns the output."""
        return run(*self.words(script), env=ENVIRONMENT)

    def inside(self, script):
        """Runs a script in the chroot.  Returns the output."""
        (self.build / "script").write_text(script)
        return self.run("chroot $root sh -e /build/script")
