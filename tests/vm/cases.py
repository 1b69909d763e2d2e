# SPDX-License-Identifier: GPL-2.0-or-later
"""The matrix: a new suite, layout, generator or way to attach is one word here."""

from itertools import combinations, product
from typing import NamedTuple

from images import CRYPT_NAME, CRYPT_UUID
from layouts import ROOTS, SWAP_UUID

SUITES = ["bookworm", "bullseye", "trixie", "sid"]
GENERATORS = ["initramfs-tools", "busybox", "dracut"]
LAYOUTS = list(ROOTS)
# How and when the base image comes; the guest boots from what root= names.
ATTACHED = ["plugged", "before", "after"]


class Case(NamedTuple):
    suite: str
    generator: str
    layout: str
    attached: str
    root: str           # which of the layout's values of root=

    def __str__(self):
        return "-".join(self)

    @property
    def flavour(self):
        if self.layout == "luks":
            return "dracut-crypt" if self.generator == "dracut" else "crypt"
        return "plain" if self.generator == "initramfs-tools" else self.generator


# Always run, in both orders: what this package began with, and where the rule
# alone does not do.
FIRST = [Case("bookworm", "initramfs-tools", "btrfs", attached, root)
         for attached, root in [("plugged", "uuid"), *product(ATTACHED[1:], ["uuid", "partuuid"])]]
FIRST += [Case("bullseye", "initramfs-tools", "lvm", attached, "mapper") for attached in ATTACHED[1:]]


def possible(case):
    if case.generator == "dracut" and case.suite not in ("trixie", "sid"):
        return False        # offered in place of initramfs-tools from Debian 13 on
    if case.generator == "busybox" and case.layout not in ("btrfs", "lvm"):
        return False        # what differs is the shell, not the layout
    roots = list(ROOTS[case.layout][1])
    if case.layout == "lvm" and case.suite == "bullseye" and case.generator != "dracut":
        roots = ["mapper"]      # its initramfs activates no volume for a UUID or label
    if case.attached == "plugged":
        return case.root == roots[0]    # it has no part in how root is found
    if case in FIRST:
        return True
    # Each value of root= with one order of the disks, the other in the next suite.
    order = roots.index(case.root) + SUITES.index(case.suite) if case.root in roots else 0
    return case.root in roots and case.attached == ATTACHED[1 + order % 2]


def pairwise(cases):
    """The fewest cases, nearly, in which each pair of values meets that can meet.

    The libraries for this know nothing of pairs that cannot be.
    """
    pairs = {case: set(combinations(enumerate(case), 2)) for case in cases}
    missing, chosen = set().union(*pairs.values()), []
    while missing:
        best = max(cases, key=lambda case: len(pairs[case] & missing))
        chosen.append(best)
        missing -= pairs[best]
    return chosen


ROOT_VALUES = ["uuid", "partuuid", "label", "partlabel", "mapper"]
ALL = [case for case in map(Case._make, product(SUITES, GENERATORS, LAYOUTS, ATTACHED, ROOT_VALUES))
       if possible(case)]
PAIRWISE = pairwise(ALL)
# Without the package, there must be harm.
CONTROLS = list(product(LAYOUTS, ATTACHED))
ONE_CONTROL_EACH = [(layout, ATTACHED[number % 3]) for number, layout in enumerate(LAYOUTS)]
CHOSEN = FIRST + [case for case in PAIRWISE if case not in FIRST]


def append(case):
    """What a case needs on the kernel command line beside root=."""
    words = []
    if case.layout == "beside":
        words.append(f"resume=UUID={SWAP_UUID}")
    if case.generator == "dracut":
        # A guest that does not find its root is to end, not to wait for a person.
        words += ["rd.shell=0", "rd.emergency=reboot", "rd.retry=60"]
    # dracut opens nothing that it is not told of.
    if case.flavour == "dracut":
        words.append("rd.auto=1")
    if case.flavour == "dracut-crypt":
        words += [f"rd.luks.name={CRYPT_UUID}={CRYPT_NAME}", f"rd.luks.key={CRYPT_UUID}=/etc/keys/root.key"]
    return " ".join(words)
