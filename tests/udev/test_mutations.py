# SPDX-License-Identifier: GPL-2.0-or-later
"""Each line of the rule, when it is taken out, makes a test of test_rule.py fail."""

import os
from pathlib import Path

import pytest

from machine import PACKAGE, RULE, udev_version

LINES = Path(PACKAGE[RULE]).read_text(encoding="utf-8").splitlines()

# Lines whose effect "udevadm test" does not show, and the tests of tests/vm that do.
if udev_version() < 257:        # does not print it
    GUESTS = {'OPTIONS:="nowatch"': "test_base_image__read_again: written, parted"}
else:                           # runs no program
    GUESTS = {line: "test_base_image__beside_other_rules: 50-inside.rules" for line in LINES if "IMPORT{program}" in line}


def parts():
    """The numbers of the lines that do something; a label goes with what leads to it."""
    return [number for number, line in enumerate(LINES)
            if line and not line.startswith(("#", "LABEL=")) and line not in GUESTS]


@pytest.mark.parametrize("number", parts(), ids=lambda number: str(number + 1))
def test_rule__without_line(number, root, tmp_path):
    mutant = tmp_path / "mutant.rules"
    mutant.write_text("".join(f"{line}\n" for at, line in enumerate(LINES) if at != number), encoding="utf-8")
    # In a process that has all modules already.
    child = os.fork()
    if not child:
        PACKAGE[RULE], os.environ["MACHINE"] = mutant, str(root)
        os._exit(pytest.main(["-p", "no:cacheprovider", "-x", "-q", str(Path(__file__).with_name("test_rule.py"))]))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1, f"nothing misses: {LINES[number]}"


@pytest.mark.parametrize("line", GUESTS)
def test_rule__line_of_guests(line):
    """A line that is left to guests is in the rule, and the tests named are there."""
    assert line in LINES
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].glob("vm/test_*.py"))
    for name in GUESTS[line].split(": ")[0].split(", "):
        assert f"def {name}(" in tests
