# SPDX-License-Identifier: GPL-2.0-or-later
"""Each line of the rule, taken out in its turn, makes a test of test_rule.py fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from test_rule import PACKAGE, devices

RULE = PACKAGE["rules.d/59-baseimage.rules"]
LINES = Path(RULE).read_text(encoding="utf-8").splitlines()

# What no "udevadm test" of this machine shows, and which guests do (tests/vm).
GUESTS = {
    'OPTIONS:="nowatch"': "test_attached.py, read_again: written, parted",
}
if not [disk for disk, device in devices() if disk != device]:
    print("no partition on this machine's virtio disk: its lines are left to guests", file=sys.stderr)


def parts():
    """The numbers of the lines that do something; a label goes with what leads to it."""
    return [number for number, line in enumerate(LINES)
            if line and not line.startswith(("#", "LABEL="))]


@pytest.mark.skipif(os.geteuid() != 0 or not devices(), reason="needs root, and a virtio disk")
@pytest.mark.parametrize("number", parts(), ids=lambda number: str(number + 1))
def test_rule__without_line(number, tmp_path):
    mutant = tmp_path / "mutant.rules"
    mutant.write_text("".join(f"{line}\n" for at, line in enumerate(LINES) if at != number), encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-x", "-q", Path(__file__).with_name("test_rule.py")],
        env=os.environ | {"RULE": str(mutant)}, stdout=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1, f"nothing misses: {LINES[number]}\n{result.stdout[-500:]}"
