# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the packages in a chroot of a release, and checks the packages with the tools of Debian's archive."""

import re

import pytest

from chroots import Chroot, build_tree, copy_source, needs_mounts
from images import run, seed

TOOLS = ("autopkgtest", "blhc", "lintian", "piuparts", "python3-pytest", "udev")
# Maps each release to the tags that lintian ignores.  The project has no maintainer's name.  The lintian of bookworm
# knows neither the current policy version nor the field Static-Built-Using.
SUPPRESSED = {
    "bookworm": "no-human-maintainers,newer-standards-version,unknown-field",
    "sid": "no-human-maintainers",
}
USER = "setpriv --reuid=65534 --regid=65534 --clear-groups"


def reproducible(chroot, suite):
    """Builds with another user, path, time zone and locale, and checks that the packages are the same."""
    copy_source(chroot.build / "user/a-rather-long-name/source")
    chroot.inside("chown -R 65534:65534 /build/user; cd /build/user/a-rather-long-name/source; umask 077\n"
                  "export HOME=/nonexistent LC_ALL=C TZ=Pacific/Kiritimati DEB_BUILD_OPTIONS='parallel=1 nocheck'\n"
                  f"{USER} dpkg-buildpackage -us -uc -b\n"
                  "cd ..; for deb in *.deb; do cmp $deb /build/root/$deb; done")


def for_old_guests(chroot, suite):
    """Checks that baseimage-status does not need a newer libc than the libc of Debian 12."""
    deb, = (chroot.build / "root").glob("baseimage-status_*.deb")
    needed = re.search(r"libc6 .>= (.+?)[)]", run("dpkg-deb", "-f", deb, "Depends"))[1]
    run("dpkg", "--compare-versions", needed, "le", "2.36")


def lintian(chroot, suite):
    chroot.inside(f"cd /build/root; {USER} lintian --fail-on=error,warning --suppress-tags={SUPPRESSED[suite]}"
                  " *_amd64.changes")


def blhc(chroot, suite):
    """Checks the compiler options in the build log.  Without --all, blhc ignores options that gcc uses by default."""
    chroot.inside("blhc /build/root/log")


def piuparts(chroot, suite):
    """Installs and removes the packages.  The package regenerates the initramfs, so piuparts ignores initrd.img-*."""
    chroot.run(f"mkdir $root/seed $root/build/piuparts; mount --bind {seed(suite, 'autopkgtest')} $root/seed\n"
               "cp /etc/resolv.conf $root/etc; mount --rbind /dev $root/dev\n"
               "chroot $root sh -c 'piuparts --existing-chroot=/seed --tmpdir=/build/piuparts --keep-sources-list"
               f" --distribution={suite} --no-upgrade-test --no-eatmydata"
               " --ignore-regex=/boot/initrd.img-.* /build/root/*.deb'")


def autopkgtest(chroot, suite):
    """Runs the tests "unit", "rule" and "boot".  "boot" needs much space, so /tmp is a directory of the host."""
    chroot.run("cp /etc/resolv.conf $root/etc; mount -t sysfs sysfs $root/sys; mount --rbind /dev $root/dev\n"
               "mkdir -m 1777 $root/build/tmp; mount --bind $root/build/tmp $root/tmp\n"
               "chroot $root sh -c 'apt-get --quiet update; autopkgtest --test-name=unit --test-name=rule"
               " --test-name=boot /build/root/*.deb /build/root/source -- null'")


@pytest.mark.all_only
@needs_mounts
@pytest.mark.parametrize("suite", SUPPRESSED)
def test_archive(suite, tmp_path):
    chroot = Chroot(build_tree(suite, packages=TOOLS, profiles=""), tmp_path)
    copy_source(chroot.build / "root/source")
    # Root builds the source package and the binary packages.  The build runs the unit tests.
    chroot.inside("cd /build/root/source; dpkg-buildpackage -us -uc >../log 2>&1 || { tail -n 40 ../log; exit 1; }")
    failed = {}
    for check in reproducible, for_old_guests, lintian, blhc, piuparts, autopkgtest:
        try:
            check(chroot, suite)
        except RuntimeError as error:
            failed[check.__name__] = str(error)
    assert not failed, "\n\n".join(f"{name}: {error}" for name, error in failed.items())
