# SPDX-License-Identifier: GPL-2.0-or-later
"""The matrix: a new suite, layout, generator or way to attach is one word here."""

from itertools import combinations, product
from typing import NamedTuple

from images import COLDPLUG_ALL, CRYPT_NAME, CRYPT_UUID, PATIENT
from layouts import ROOTS, SWAP_UUID

SUITES = ["bookworm", "bullseye", "trixie", "sid"]
GENERATORS = ["initramfs-tools", "busybox", "dracut", "hostonly"]
# Others have tests of their own, but for one case: test_attached.py, test_loaders.py, test_reports.py.
OTHERS = "lvm-disk", "beside-64", "discoverable", "dos", "dos-lvm", "live"
LAYOUTS = [layout for layout in ROOTS if layout not in OTHERS]
# When and where the base image comes: at boot before the guest's own disk, after
# it, or one of each; while the initramfs waits for root; in the running guest.
# The guest boots from what root= names.
ATTACHED = ["around", "before", "after", "awaited", "plugged"]


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
        return {"initramfs-tools": "plain", "hostonly": "dracut-hostonly"}.get(self.generator, self.generator)


# What this package began with: each order alone.
ORDERED = [Case("bookworm", "initramfs-tools", "btrfs", attached, root)
           for attached, root in product(["before", "after"], ["uuid", "partuuid"])]
# Always run: some of these, where the rule alone did not do, and what only some
# of the guests can show.
FIRST = [ORDERED[0], ORDERED[3], Case("bookworm", "initramfs-tools", "btrfs", "awaited", "partuuid")]
FIRST += [Case("bullseye", "initramfs-tools", "lvm", attached, "mapper") for attached in ("before", "after")]
# How many partitions there are is no matter of what else differs.
MANY = Case("trixie", "initramfs-tools", "beside-64", "around", "uuid")
FIRST += [MANY, Case("bookworm", "initramfs-tools", "lvm", "awaited", "mapper"),
          Case("trixie", "dracut", "lvm", "awaited", "mapper"),
          Case("trixie", "hostonly", "lvm", "around", "mapper")]


def possible(case):
    if case.generator in ("dracut", "hostonly") and case.suite not in ("trixie", "sid"):
        return False        # offered in place of initramfs-tools from Debian 13 on
    if case.generator in ("busybox", "hostonly") and case.layout not in ("btrfs", "lvm"):
        return False        # what differs is the shell, or the choice of drivers, not the layout
    roots = list(ROOTS[case.layout][1])
    if case.layout == "lvm" and case.suite == "bullseye" and case.generator != "dracut":
        roots = ["mapper"]      # its initramfs activates no volume for a UUID or label
    if case.generator == "hostonly":
        roots = roots[:1]
    # One boot with a base image on either side of the own disk stands for both
    # orders; in the same guest one is then hot-plugged.
    return case in ORDERED + FIRST or (case.root in roots and case.attached == "around")


def pairwise(cases, first):
    """The fewest cases, nearly, in which each pair of values meets that can meet,
    beside those that come first.

    The libraries for this know nothing of pairs that cannot be.
    """
    def pairs_of(some):
        return set().union(*(pairs[case] for case in some))

    pairs = {case: set(combinations(enumerate(case), 2)) for case in [*cases, *first]}
    missing, chosen = pairs_of(cases) - pairs_of(first), list(first)
    while missing:
        best = max(cases, key=lambda case: len(pairs[case] & missing))
        chosen.append(best)
        missing -= pairs[best]
    return chosen


ROOT_VALUES = ["uuid", "partuuid", "label", "partlabel", "mapper"]
ALL = [case for case in map(Case._make, product(SUITES, GENERATORS, LAYOUTS, ATTACHED, ROOT_VALUES))
       if possible(case)] + [MANY]
CHOSEN = pairwise([case for case in ALL if case.attached == "around"], FIRST)
# Without the package, there must be harm.
ORDERS = ["before", "after", "plugged"]
CONTROLS = list(product(LAYOUTS, ORDERS))
ONE_CONTROL_EACH = [(layout, ORDERS[number % 3]) for number, layout in enumerate(LAYOUTS)]


def append(case):
    """What a case needs on the kernel command line beside root=."""
    words = []
    # The oldest cases and the largest also show that nothing hangs on what is left out.
    if case in [*ORDERED, MANY]:
        words.append(COLDPLUG_ALL)
    if case.layout.startswith("beside"):
        words.append(f"resume=UUID={SWAP_UUID}")
    if case.attached == "awaited":
        words.append(PATIENT)
    if case.generator in ("dracut", "hostonly"):
        # A guest that does not find its root is to end, not to wait for a person.
        words += ["rd.shell=0", "rd.emergency=reboot", "rd.retry=600" if case.attached == "awaited" else "rd.retry=60"]
    # dracut opens nothing that it is not told of.
    if case.flavour in ("dracut", "dracut-hostonly"):
        words.append("rd.auto=1")
    if case.flavour == "dracut-crypt":
        words += [f"rd.luks.name={CRYPT_UUID}={CRYPT_NAME}", f"rd.luks.key={CRYPT_UUID}=/etc/keys/root.key"]
    return " ".join(words)
