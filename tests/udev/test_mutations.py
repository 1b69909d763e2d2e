# SPDX-License-Identifier: GPL-2.0-or-later
"""For each line of the rule, makes a mutant (the rule without the line), and checks that test_rule.py fails with it."""

import os
from pathlib import Path

import pytest

from machine import PACKAGE, RULE, udev_version

LINES = Path(PACKAGE[RULE]).read_text(encoding="utf-8").splitlines()

# "udevadm test" does not show the effect of some lines.  TESTED_IN_GUESTS maps each of these lines to a test.
if udev_version() < 257:        # this udevadm does not print whether udevd watches the device
    TESTED_IN_GUESTS = {'OPTIONS:="nowatch"': "test_base_image__read_again"}
else:                           # this udevadm runs no program
    TESTED_IN_GUESTS = {line: "test_base_image__beside_other_rules" for line in LINES if "IMPORT{program}" in line}
# REMOVABLE has the indexes of all lines, except empty lines, comments, labels and the lines in TESTED_IN_GUESTS.
REMOVABLE = [number for number, line in enumerate(LINES)
             if line and not line.startswith(("#", "LABEL=")) and line not in TESTED_IN_GUESTS]


@pytest.mark.parametrize("number", REMOVABLE, ids=lambda number: str(number + 1))
def test_rule__without_line(number, root, tmp_path):
    mutant = tmp_path / "mutant.rules"
    mutant.write_text("".join(f"{line}\n" for at, line in enumerate(LINES) if at != number), encoding="utf-8")
    # fork() is faster than a new interpreter, because a new interpreter would import the modules again.
    child = os.fork()
    if not child:
        PACKAGE[RULE], os.environ["MACHINE"] = mutant, str(root)
        os._exit(pytest.main(["-p", "no:cacheprovider", "-x", "-q", str(Path(__file__).with_name("test_rule.py"))]))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1, f"no test fails if the rule lacks this line: {LINES[number]}"


def test_rule__lines_tested_in_guests():
    """Checks that the lines in TESTED_IN_GUESTS are in the rule, and that the tests exist."""
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].glob("vm/test_*.py"))
    for line, name in TESTED_IN_GUESTS.items():
        assert line in LINES and f"def {name}(" in tests
