# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of the README on a machine that is not ours: complete, or one line of what it lacks."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from chroots import needs_mounts
from conftest import LOGS
from images import CACHE, STABLE, Unavailable, fetched, fetching, locked, making, run

SOURCE = Path(__file__).parents[2]
COMMANDS = ["tests/demo", "tests/run", "tests/bench/run"]


@pytest.fixture
def place():
    """A directory that everybody can read."""
    with tempfile.TemporaryDirectory(prefix="front-door-", dir="/var/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@pytest.fixture
def source(place):
    run("sh", "-c", f". tests/lib.sh; copy_source {place}/source", cwd=SOURCE)
    return place / "source"


# However little is free where this runs.
ROOM = 'mount -t tmpfs -o size=64g none "$XDG_CACHE_HOME"'
# What a machine can lack: how to take it away from the command that follows, and
# what is to be said.
LACKS = {
    # Of tests/demo, which is nothing without guests.
    "an ordinary user's ids": (["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
                               "nobody has no subordinate ids: sudo usermod|sudo apt-get install .* uidmap"),
    "network": (["unshare", "--net", "--mount", "sh", "-ec", f'{ROOM}; exec "$@"', "sh"],
                "no network: Debian cannot be fetched"),
    "room": (["unshare", "--mount", "sh", "-ec", 'mount -t tmpfs -o size=8m none "$XDG_CACHE_HOME"; exec "$@"', "sh"],
             "GiB are needed, 0 free; name another place with XDG_CACHE_HOME"),
    # Of all commands.
    "temporary room": (["unshare", "--mount", "sh", "-ec",
                        f'{ROOM}; mount -t tmpfs -o size=8m none "$TMPDIR"; exec "$@"', "sh"],
                       "2 GiB are needed, 0 free; name another place with TMPDIR"),
    "apt": (["env", "PATH=bin"], "this is no Debian system: install what provides these:"),
}


@needs_mounts
@pytest.mark.parametrize("command, lack", [(command, lack) for command in COMMANDS for lack in LACKS
                                           if command == "tests/demo" or lack in ("temporary room", "apt")])
def test_front_door__says_what_is_lacking(command, lack, place, source):
    take, message = LACKS[lack]
    for name in ("cache", "temp"):
        (place / name).mkdir(mode=0o777)
        (place / name).chmod(0o777)
    tools = source / "bin"
    tools.mkdir()
    for tool in ("sh", "env", "dirname", "id"):
        (tools / tool).symlink_to(shutil.which(tool, path="/usr/bin:/usr/sbin"))
    result = subprocess.run(
        [*take, "sh", command], cwd=source, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env=os.environ | {"XDG_CACHE_HOME": f"{place}/cache", "TMPDIR": f"{place}/temp"})
    said, = result.stderr.splitlines()
    assert said.startswith(f"{command}: ") and re.search(message, said), result
    assert (result.returncode, result.stdout) == (2, "")


def test_run__words_that_name_no_test():
    """Said before anything is built."""
    result = subprocess.run(["tests/run", "--nosuch"], cwd=SOURCE, stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, check=False)
    assert result.stderr.endswith("tests/run: no test to run: --nosuch\n"), result
    assert (result.returncode, result.stdout) == (2, "")


SKIPPED = '<testcase name="a"><skipped message="trixie cannot be fetched: E: no network"/></testcase>'
BOOTED = '<testcase name="b"><properties><property name="booted" value="x"/></properties></testcase>'


@pytest.mark.parametrize("cases, status, last", [
    (SKIPPED + '<testcase name="b"/>', 1, "not one guest was booted: trixie cannot be fetched: E: no network"),
    (SKIPPED + BOOTED, 0, "1 passed, 0 failed, 1 skipped"),
    ('<testcase name="b"/>', 0, "1 passed, 0 failed, 0 skipped"),
])
def test_tally__no_guest_at_all(cases, status, last, tmp_path):
    (tmp_path / "vm.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    result = subprocess.run(["/usr/bin/python3", SOURCE / "tests/tally", tmp_path / "vm.xml"],
                            stdout=subprocess.PIPE, text=True, check=False)
    assert (result.returncode, result.stdout.splitlines()[-1]) == (status, last)


@pytest.mark.parametrize("skipped", ['<skipped message="no tool"/>',
                                     "<skipped/><system-out>looks for it\nno tool</system-out>"])
def test_tally__says_what_was_skipped(skipped, tmp_path):
    """As pytest writes it, and as Meson does."""
    (tmp_path / "a.xml").write_text(f'<testsuite><testcase name="a">{skipped}</testcase></testsuite>')
    result = subprocess.run(["/usr/bin/python3", SOURCE / "tests/tally", tmp_path / "a.xml"],
                            stdout=subprocess.PIPE, text=True, check=False)
    assert "skipped: a: no tool\n" in result.stdout


def test_tally__no_results(tmp_path):
    """pytest itself was ended."""
    result = subprocess.run(["/usr/bin/python3", SOURCE / "tests/tally", tmp_path / "vm.xml"],
                            stdout=subprocess.PIPE, text=True, check=False)
    assert "no results: " in result.stdout
    assert (result.returncode, result.stdout.splitlines()[-1]) == (1, "0 passed, 1 failed, 0 skipped")


@pytest.mark.parametrize("said, kind", [
    ("E: Failed to fetch http://example.org/InRelease  Temporary failure resolving 'example.org'", Unavailable),
    ("E: Failed to fetch http://example.org/a.deb  Could not write: No space left on device", RuntimeError),
    ("E: setup failed: E: cannot find /usr/bin/qemu-aarch64-static", RuntimeError),
])
def test_fetching__a_fault_is_no_reason_to_skip(said, kind):
    with pytest.raises(Exception) as caught, fetching("nothing"):
        raise RuntimeError(f"mmdebstrap exited 25: I: running apt-get update...\n{said}\nE: it failed\n")
    assert caught.type == kind


# A newcomer's machine: what is essential, apt, and git.
MINIMAL = ["--variant=minbase", "--include=ca-certificates,git", "--aptopt=Acquire::Check-Valid-Until \"false\""]

# Words: the system; the commands to be run in the source; where this run keeps what
# is made for guests: its room is there, and not free a second time.
IN_SYSTEM = r"""
cp /etc/resolv.conf /etc/hosts "$1/etc/"
mount --bind "$1" "$1"
for name in dev sys; do mount --rbind --make-rslave "/$name" "$1/$name"; done
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/run"
mount --bind "$3" "$1/mnt"
exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 sh -ec "cd /root/source; $2"
"""


def all_of_it(suite):
    """As much as a suite is tried with: the words of the commands, and whether it is a checkout of git."""
    every = [f"tests/demo {suite}",
             "XDG_CACHE_HOME=/mnt tests/run -k test_status__initramfs"]
    return pytest.param(suite, every, suite != STABLE, id=f"{suite}-all")


@needs_mounts
@pytest.mark.all_only
@pytest.mark.parametrize("suite, commands, git", [all_of_it(suite) for suite in ("bookworm", "trixie", "sid")])
def test_front_door__complete(suite, commands, git, source):
    """On a minimal system, with what the commands install there alone."""
    archive = fetched(suite, "minimal", MINIMAL)
    # What a run that was killed has left goes as well.
    system = CACHE / "minimal" / suite
    with locked(system):
        shutil.rmtree(system, ignore_errors=True)
        system.mkdir()
        try:
            run("tar", "-C", system, "-xf", archive)
            run("cp", "-a", source, system / "root/source")
            if git:
                run("sh", "-ec", "git init -q && git add .", cwd=system / "root/source")
            LOGS.mkdir(parents=True, exist_ok=True)
            with open(LOGS / f"front-door-{suite}.log", "w", encoding="utf-8") as log:
                for command in commands:
                    with making(f"{command}, on a minimal Debian ({suite})"):
                        run("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", IN_SYSTEM, "sh",
                            system, command, CACHE.parent, follow=log.write)
        finally:
            shutil.rmtree(system)
