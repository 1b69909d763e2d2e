# SPDX-License-Identifier: GPL-2.0-or-later
"""What Debian's archive and its helpers would say, in a chroot of each release
that can build the package, with that release's own tools."""

import re

import pytest

from chroots import Chroot, build_tree, copy_source, needs_mounts
from images import run, seed

TOOLS = ("autopkgtest", "blhc", "lintian", "piuparts", "python3-pytest", "udev")
# What each lintian is not to say, beside no-human-maintainers: the project
# names no person.  An older one knows neither today's policy nor the field
# Static-Built-Using.
SUPPRESSED = {
    "bookworm": "no-human-maintainers,newer-standards-version,unknown-field",
    "sid": "no-human-maintainers",
}
OLDEST_LIBC = "2.36"
USER = "setpriv --reuid=65534 --regid=65534 --clear-groups"


pytestmark = [pytest.mark.all_only, pytest.mark.parametrize("suite", SUPPRESSED)]


@pytest.fixture
def chroot(suite, tmp_path):
    return Chroot(build_tree(suite, packages=TOOLS, profiles=""), tmp_path)


def build(chroot):
    """As root, with its unit tests: source and packages, and a log of it."""
    copy_source(chroot.build / "root/source")
    chroot.inside("cd /build/root/source; dpkg-buildpackage -us -uc >../log 2>&1 || { tail -n 40 ../log; exit 1; }")


def reproducible(chroot, suite):
    """The same by another user, from another path, at another time, in another locale."""
    copy_source(chroot.build / "user/a-rather-long-name/source")
    chroot.inside("chown -R 65534:65534 /build/user; cd /build/user/a-rather-long-name/source; umask 077\n"
                  "export HOME=/nonexistent LC_ALL=C TZ=Pacific/Kiritimati DEB_BUILD_OPTIONS='parallel=1 nocheck'\n"
                  f"{USER} dpkg-buildpackage -us -uc -b\n"
                  "cd ..; for deb in *.deb; do cmp $deb /build/root/$deb; done")


def for_old_guests(chroot, suite):
    """baseimage-status runs on Debian 12, the oldest that has what it needs, wherever it is built: images of guests
    are made on newer machines."""
    deb, = (chroot.build / "root").glob("baseimage-status_*.deb")
    run("dpkg", "--compare-versions", re.search(r"libc6 .>= (.+?)[)]", run("dpkg-deb", "-f", deb, "Depends"))[1],
        "le", OLDEST_LIBC)


def lintian(chroot, suite):
    chroot.inside(f"cd /build/root; {USER} lintian --fail-on=error,warning --suppress-tags={SUPPRESSED[suite]}"
                  " *_amd64.changes")


def blhc(chroot, suite):
    """Without --all: position independence is the compiler's default and stands in no command."""
    chroot.inside("blhc /build/root/log")


def piuparts(chroot, suite):
    """In a tree of the release that has an initramfs to regenerate."""
    chroot.run(f"mkdir $root/seed $root/build/piuparts; mount --bind {seed(suite, 'autopkgtest')} $root/seed\n"
               "cp /etc/resolv.conf $root/etc; mount --rbind /dev $root/dev\n"
               "chroot $root sh -c 'piuparts --existing-chroot=/seed --tmpdir=/build/piuparts --keep-sources-list"
               f" --distribution={suite} --no-upgrade-test --no-eatmydata"
               # Regenerated, and not identical.
               " --ignore-regex=/boot/initrd.img-.* /build/root/*.deb'")


def autopkgtest(chroot, suite):
    """The tests that need no machine of their own."""
    chroot.run("cp /etc/resolv.conf $root/etc; mount -t sysfs sysfs $root/sys; mount --rbind /dev $root/dev\n"
               "chroot $root sh -c 'autopkgtest --test-name=unit --test-name=rule /build/root/*.deb"
               " /build/root/source -- null'")


@needs_mounts
def test_archive(suite, chroot):
    build(chroot)
    failed = {}
    for check in reproducible, for_old_guests, lintian, blhc, piuparts, autopkgtest:
        try:
            check(chroot, suite)
        except RuntimeError as error:
            failed[check.__name__] = str(error)
    assert not failed, "\n\n".join(f"{name}: {error}" for name, error in failed.items())
