# SPDX-License-Identifier: GPL-2.0-or-later
"""A plugin of pytest: the table of what was seen of each architecture."""

import contextlib
from collections import defaultdict

import pytest

COLUMNS = ["built", "cases", "guest"]
NATIVE = "amd64"


@pytest.fixture
def seen(record_property):
    """A block in which a column of an architecture is tested: its end means seen."""
    @contextlib.contextmanager
    def column(architecture, name):
        record_property("looked for", f"{architecture} {name}")
        yield
        record_property("seen", f"{architecture} {name}")
    return column


def pytest_terminal_summary(terminalreporter):
    """Of the guests, those of the matrix count as well."""
    cells = defaultdict(lambda: [0, 0])
    for outcome in "passed", "failed":
        for report in terminalreporter.stats.get(outcome, []):
            if report.when != "call":
                continue
            for name, value in report.user_properties:
                cell = f"{NATIVE} guest" if name == "case" else value
                if name in ("seen", "looked for", "case"):
                    cells[cell][0] += name == "seen" or name == "case" and outcome == "passed"
                    cells[cell][1] += name != "seen"
    names = sorted({cell.split()[0] for cell in cells})
    if not names:
        return
    terminalreporter.section("architectures: how often each was seen, of all that was tried")
    terminalreporter.write_line(f"{'':16}" + "".join(f"{column:>16}" for column in COLUMNS))
    for name in names:
        row = [cells.get(f"{name} {column}", (0, 0)) for column in COLUMNS]
        terminalreporter.write_line(f"{name:16}" + "".join(
            f"{f'{good}/{number}' if number else '-':>16}" for good, number in row))
