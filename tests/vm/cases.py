# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests of test_matrix.py, chosen by mechanism.

The rule does the same on every layout and for every root=.  What differs is who
looks for root and how: the release, the initramfs generator, the storage layout,
and when the base image comes.  So each of these stands once in CHOSEN, and the
values of root= take turns.  --all adds WIDER.
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
# Each release and generator, on LVM: most programs scan for it.
bullseye initramfs-tools lvm              around  mapper
bookworm busybox         lvm              around  mapper
trixie   initramfs-tools lvm              around  uuid
trixie   dracut          lvm              around  mapper
trixie   hostonly        lvm              around  mapper
sid      initramfs-tools lvm              around  mapper
sid      dracut          lvm              around  uuid
# Each other layout, once for each family of generators; each way to attach.
bookworm initramfs-tools btrfs            after   partuuid
trixie   dracut          btrfs            before  uuid
bookworm initramfs-tools btrfs-disk       around  uuid
trixie   dracut          btrfs-disk       around  label
bookworm initramfs-tools btrfs-two-disks  around  label
trixie   dracut          btrfs-two-disks  around  uuid
bookworm initramfs-tools ext4             awaited partlabel
trixie   dracut          ext4             awaited partuuid
bookworm initramfs-tools xfs              before  partuuid
trixie   dracut          xfs              after   uuid
bookworm initramfs-tools md               around  uuid
trixie   dracut          md               around  label
bookworm initramfs-tools luks             around  mapper
trixie   dracut          luks             around  uuid
trixie   initramfs-tools beside-64        around  uuid
trixie   dracut          beside           around  uuid
""")
WIDER = cases("""\
# What the package began with: either order, and each value of root=.
bookworm initramfs-tools btrfs            before  uuid
bookworm initramfs-tools btrfs            before  partuuid
bookworm initramfs-tools btrfs            awaited label
bullseye initramfs-tools lvm              before  mapper
bullseye initramfs-tools lvm              after   mapper
bullseye initramfs-tools btrfs            around  uuid
bullseye initramfs-tools md               around  label
# The newest release, whose systemd and kernel change.
sid      initramfs-tools btrfs            around  partlabel
sid      initramfs-tools md               around  uuid
sid      initramfs-tools luks             around  uuid
sid      initramfs-tools btrfs-disk       around  uuid
sid      dracut          btrfs            around  partuuid
sid      dracut          xfs              around  partuuid
sid      dracut          md               awaited uuid
sid      dracut          luks             around  mapper
sid      hostonly        lvm              awaited mapper
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
CONTROLS = [("btrfs", "after"), ("lvm", "before"), ("md", "plugged")]
WIDER_CONTROLS = [("btrfs", "plugged"), ("lvm", "after"), ("md", "before"), ("luks", "before"), ("xfs", "after"),
                  ("ext4", "plugged"), ("btrfs-disk", "before"), ("btrfs-two-disks", "after"), ("beside", "plugged")]
