# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that each command of README prints one line if this machine lacks a requirement."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from chroots import SOURCE, copy_source, needs_mounts

COMMANDS = ["tests/demo", "tests/run", "tests/bench/run"]


@pytest.fixture
def directory():
    """Yields a directory that every user can read."""
    with tempfile.TemporaryDirectory(prefix="front-door-", dir="/var/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def source(directory):
    return copy_source(directory / "source")


# Mounts a file system that reports 64 GiB of free space.
ROOM = 'mount -t tmpfs -o size=64g none "$XDG_CACHE_HOME"'
# Maps each requirement to a command that runs another command without this requirement, and to the expected message.
LACKS = {
    # Without one of these requirements, only tests/demo fails, because tests/demo needs guests.
    "an ordinary user's ids": (["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
                               "nobody has no subordinate ids: sudo usermod|sudo apt-get install .* uidmap"),
    "network": (["unshare", "--net", "--mount", "sh", "-ec", f'{ROOM}; exec "$@"', "sh"],
                "no network: Debian cannot be fetched"),
    "room": (["unshare", "--mount", "sh", "-ec", 'mount -t tmpfs -o size=8m none "$XDG_CACHE_HOME"; exec "$@"', "sh"],
             "GiB are needed, 0 free; name another place with XDG_CACHE_HOME"),
    # Without one of these requirements, every command fails.
    "temporary room": (["unshare", "--mount", "sh", "-ec",
                        f'{ROOM}; mount -t tmpfs -o size=8m none "$TMPDIR"; exec "$@"', "sh"],
                       "2 GiB are needed, 0 free; name another place with TMPDIR"),
    "apt": (["env", "PATH=bin"], "this is no Debian system: install what provides these:"),
}


@needs_mounts
@pytest.mark.parametrize("command, lack", [(command, lack) for command in COMMANDS for lack in LACKS
                                           if command == "tests/demo" or lack in ("temporary room", "apt")])
def test_front_door__says_what_is_lacking(command, lack, directory, source):
    take, message = LACKS[lack]
    for name in ("cache", "temp"):
        (directory / name).mkdir(mode=0o777)
        (directory / name).chmod(0o777)
    tools = source / "bin"
    tools.mkdir()
    for tool in ("sh", "env", "dirname", "id"):
        (tools / tool).symlink_to(shutil.which(tool, path="/usr/bin:/usr/sbin"))
    result = subprocess.run(
        [*take, "sh", command], cwd=source, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env=os.environ | {"XDG_CACHE_HOME": f"{directory}/cache", "TMPDIR": f"{directory}/temp"})
    said, = result.stderr.splitlines()
    assert said.startswith(f"{command}: ") and re.search(message, said), result
    assert (result.returncode, result.stdout) == (2, "")


def test_run__wrong_option():
    """Checks that a wrong option makes tests/run fail, and that tests/run fails before the build."""
    result = subprocess.run(["tests/run", "--nosuch"], cwd=SOURCE, stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, check=False)
    assert result.stderr.endswith("tests/run: no test to run: --nosuch\n"), result
    assert (result.returncode, result.stdout) == (2, "")
