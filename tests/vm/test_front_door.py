# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks the error messages of tests/demo and tests/run."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from chroots import SOURCE, copy_source, needs_mounts


# This command mounts a file system that reports 64 GiB of free space.
ROOM = 'mount -t tmpfs -o size=64g none "$XDG_CACHE_HOME"'
# Maps each requirement to a prefix and to a regular expression.  The prefix runs tests/demo without the requirement.
# The message must match the regular expression.
LACKS = {
    "an ordinary user's ids": (["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
                               "nobody has no subordinate ids: sudo usermod|sudo apt-get install .* uidmap"),
    "network": (["unshare", "--net", "--mount", "sh", "-ec", f'{ROOM}; exec "$@"', "sh"],
                "no network: Debian cannot be fetched"),
    "room": (["unshare", "--mount", "sh", "-ec", 'mount -t tmpfs -o size=8m none "$XDG_CACHE_HOME"; exec "$@"', "sh"],
             "GiB are needed, 0 free; name another place with XDG_CACHE_HOME"),
    "temporary room": (["unshare", "--mount", "sh", "-ec",
                        f'{ROOM}; mount -t tmpfs -o size=8m none "$TMPDIR"; exec "$@"', "sh"],
                       "2 GiB are needed, 0 free; name another place with TMPDIR"),
    "apt": (["env", "PATH=bin"], "this is no Debian system: install what provides these:"),
}


@needs_mounts
@pytest.mark.parametrize("lack", LACKS)
def test_demo__says_what_is_lacking(lack):
    take, message = LACKS[lack]
    with tempfile.TemporaryDirectory(prefix="front-door-", dir="/var/tmp") as directory:
        # Every user must be able to read the source and to write to the other directories.
        for name, mode in (".", 0o755), ("cache", 0o777), ("temp", 0o777):
            Path(directory, name).mkdir(exist_ok=True)
            Path(directory, name).chmod(mode)
        source = copy_source(Path(directory, "source"))
        (source / "bin").mkdir()
        for tool in "sh", "dirname":
            (source / "bin" / tool).symlink_to(shutil.which(tool, path="/usr/bin:/usr/sbin"))
        result = subprocess.run(
            [*take, "sh", "tests/demo"], cwd=source, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, env=os.environ | {"XDG_CACHE_HOME": f"{directory}/cache", "TMPDIR": f"{directory}/temp"})
    said, = result.stderr.splitlines()
    assert said.startswith("tests/demo: ") and re.search(message, said), result
    assert (result.returncode, result.stdout) == (2, "")


def test_run__wrong_option():
    """Checks that a wrong option makes tests/run fail before the build."""
    result = subprocess.run(["tests/run", "--nosuch"], cwd=SOURCE, stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, check=False)
    assert result.stderr.endswith("tests/run: no test to run: --nosuch\n") and result.returncode == 2, result
