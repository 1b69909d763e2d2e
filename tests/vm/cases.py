# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests of test_matrix.py, chosen by mechanism.

The rule does the same on every layout and for every value of root=.  What differs is the
programs that look for root: those of the release, of the initramfs generator and of the
storage layout.  So each of these stands once in CHOSEN, and the values of root= take turns.
tests/run --all adds WIDER.
"""

from typing import NamedTuple

from images import CRYPT_NAME, CRYPT_UUID, PATIENT
from layouts import SWAP_UUID


class Case(NamedTuple):
    suite: str
    generator: str      # initramfs-tools, busybox (initramfs-tools with it), dracut, hostonly (dracut)
    layout: str         # of layouts.ROOTS
    attached: str       # of conftest.boot()
    root: str           # which of the layout's values of root=

    def __str__(self):
        return "-".join(self)

    @property
    def dracut(self):
        return self.generator in ("dracut", "hostonly")

    @property
    def flavour(self):
        if self.layout == "luks":
            return "dracut-crypt" if self.dracut else "crypt"
        return {"initramfs-tools": "plain", "hostonly": "dracut-hostonly"}.get(self.generator, self.generator)


def cases(text):
    """A case a line, less the comments."""
    return [Case(*line.split()) for line in text.splitlines() if line and not line.startswith("#")]


CHOSEN = cases("""\
# Each release and family of generators, on LVM: most programs scan for it.
bullseye initramfs-tools lvm              around  mapper
bookworm initramfs-tools lvm              around  uuid
trixie   initramfs-tools lvm              around  uuid
trixie   dracut          lvm              around  mapper
sid      initramfs-tools lvm              around  mapper
sid      dracut          lvm              around  uuid
# What decides which twin is found first: how the base image comes.
bookworm initramfs-tools btrfs            before  partuuid
trixie   dracut          btrfs            after   uuid
bookworm initramfs-tools ext4             awaited partlabel
trixie   dracut          ext4             awaited partuuid
# Content on the disk itself: the rule of each generator's initramfs unbinds the disk.
bookworm initramfs-tools btrfs-disk       around  uuid
trixie   dracut          btrfs-disk       around  label
# The other layouts, each with the programs that look for it.
bookworm initramfs-tools btrfs-two-disks  around  label
bookworm initramfs-tools md               around  uuid
bookworm initramfs-tools beside           around  uuid
trixie   dracut          xfs              around  partuuid
trixie   dracut          luks             around  uuid
""")
WIDER = cases("""\
# These layouts with the other family.
trixie   dracut          btrfs-two-disks  around  uuid
trixie   dracut          md               around  label
trixie   dracut          beside           around  uuid
bookworm initramfs-tools xfs              before  uuid
bookworm initramfs-tools luks             around  mapper
# Variants of the generators, and many partitions.
bookworm busybox         lvm              around  mapper
trixie   hostonly        lvm              around  mapper
trixie   initramfs-tools beside-64        around  uuid
# The oldest release, and the newest, whose systemd and kernel change.
bullseye initramfs-tools btrfs            around  uuid
sid      initramfs-tools md               around  uuid
sid      initramfs-tools btrfs-disk       around  uuid
sid      dracut          btrfs            around  partuuid
sid      dracut          luks             awaited mapper
""")


def append(case):
    """What a case needs on the kernel command line beside root=."""
    words = []
    if case.layout.startswith("beside"):
        words.append(f"resume=UUID={SWAP_UUID}")
    if case.attached == "awaited":
        words.append(PATIENT)
    if case.dracut:
        # A guest that does not find its root is to end, not to wait for a person.
        words += ["rd.shell=0", "rd.emergency=reboot", "rd.retry=600" if case.attached == "awaited" else "rd.retry=60"]
    # dracut opens nothing that it is not told of.
    if case.flavour in ("dracut", "dracut-hostonly"):
        words.append("rd.auto=1")
    if case.flavour == "dracut-crypt":
        words += [f"rd.luks.name={CRYPT_UUID}={CRYPT_NAME}", f"rd.luks.key={CRYPT_UUID}=/etc/keys/root.key"]
    return " ".join(words)


# Without the package, there must be harm: a layout, and how the base image comes.
CONTROLS = [("btrfs", "after"), ("lvm", "before")]
WIDER_CONTROLS = [("md", "plugged"), ("btrfs", "plugged"), ("luks", "before"), ("btrfs-disk", "before"),
                  ("beside", "plugged")]
