# SPDX-License-Identifier: GPL-2.0-or-later
"""Each line of the rule, taken out in its turn, makes a test of test_rule.py fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from test_rule import PACKAGE, devices, udev_version

RULE = PACKAGE["rules.d/59-baseimage.rules"]
LINES = Path(RULE).read_text(encoding="utf-8").splitlines()

# What no "udevadm test" of a machine shows, and which guests of tests/vm do.
GUESTS = {
    'OPTIONS:="nowatch"': "test_base_image__read_again: written, parted",
}
if udev_version() >= 257:      # shows no priority, and runs no program
    GUESTS['OPTIONS+="link_priority=-1024"'] = "test_status__each_leak"
    GUESTS |= {line: "test_base_image__beside_other_rules: 50-inside.rules" for line in LINES if "IMPORT{program}" in line}
if not [disk for disk, device in devices() if disk != device]:
    GUESTS |= {line: "test_partitions__kept" if "SYMLINK" in line else "test_partition__open, test_base_image__read_again"
               for line in LINES if line.startswith('ENV{DEVTYPE}=="partition"')}


def parts():
    """The numbers of the lines that do something; a label goes with what leads to it."""
    return [number for number, line in enumerate(LINES)
            if line and not line.startswith(("#", "LABEL=")) and line not in GUESTS]


@pytest.mark.skipif(os.geteuid() != 0 or not devices(), reason="needs root, and a virtio disk")
@pytest.mark.parametrize("number", parts(), ids=lambda number: str(number + 1))
def test_rule__without_line(number, tmp_path):
    mutant = tmp_path / "mutant.rules"
    mutant.write_text("".join(f"{line}\n" for at, line in enumerate(LINES) if at != number), encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-x", "-q", Path(__file__).with_name("test_rule.py")],
        env=os.environ | {"RULE": str(mutant)}, stdout=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1, f"nothing misses: {LINES[number]}\n{result.stdout[-500:]}"


@pytest.mark.parametrize("line", GUESTS)
def test_rule__line_of_guests(line):
    """A line that is left to guests is in the rule, and the tests named are there."""
    assert line in LINES
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].glob("vm/test_*.py"))
    for name in GUESTS[line].split(": ")[0].split(", "):
        assert f"def {name}(" in tests
