# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints as one table what the parts printed. Words: Meson's log of them."""

import json
import sys
from pathlib import Path

from bench import machine

print(f"\n{machine()}\n\n| | measured | bar | |\n| --- | --- | --- | --- |")
for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
    rows = [row for row in json.loads(line).get("stdout", "").splitlines() if row.startswith("| ")]
    if rows:
        title = rows[0].split("|")[1].strip()
        print("\n".join([f"| **{title}** | | | |", *rows[2:]]))
