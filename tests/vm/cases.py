# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists the guests of test_matrix.py, chosen by mechanism.

The rule does the same on every layout and for every value of root=.  Different programs find root: they depend on the
release, the initramfs generator and the layout.  So CHOSEN has each of these once, with different values of root=.
"tests/run --all" adds WIDER.
"""

from typing import NamedTuple

from images import CRYPT_NAME, CRYPT_UUID, LONG_WAIT
from layouts import SWAP_UUID


class Case(NamedTuple):
    suite: str
    generator: str      # initramfs-tools, busybox (initramfs-tools with busybox), dracut, hostonly (dracut)
    layout: str         # a key of layouts.ROOTS
    attached: str       # an argument of conftest.boot()
    root: str           # a key of the layout's values of root=

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
    """Returns the case of each line that is no comment."""
    return [Case(*line.split()) for line in text.splitlines() if line and not line.startswith("#")]


CHOSEN = cases("""\
# Each release and family of generators, on LVM: most scanners look for LVM.
bullseye initramfs-tools lvm              around  mapper
bookworm initramfs-tools lvm              around  uuid
trixie   initramfs-tools lvm              around  uuid
trixie   dracut          lvm              around  mapper
sid      initramfs-tools lvm              around  mapper
sid      dracut          lvm              around  uuid
# Each way to attach the base image: it decides which disk a scanner finds first.
bookworm initramfs-tools btrfs            before  partuuid
trixie   dracut          btrfs            after   uuid
bookworm initramfs-tools ext4             awaited partlabel
trixie   dracut          ext4             awaited partuuid
# Content on the whole disk: the rule in the initramfs unbinds the disk.
bookworm initramfs-tools btrfs-disk       around  uuid
trixie   dracut          btrfs-disk       around  label
# The other layouts, each with its scanners.
bookworm initramfs-tools btrfs-two-disks  around  label
bookworm initramfs-tools md               around  uuid
bookworm initramfs-tools beside           around  uuid
trixie   dracut          xfs              around  partuuid
trixie   dracut          luks             around  uuid
""")
WIDER = cases("""\
# These layouts with the other family of generators.
trixie   dracut          btrfs-two-disks  around  uuid
trixie   dracut          md               around  label
trixie   dracut          beside           around  uuid
bookworm initramfs-tools xfs              before  uuid
bookworm initramfs-tools luks             around  mapper
# Variants of the generators, and many partitions.
bookworm busybox         lvm              around  mapper
trixie   hostonly        lvm              around  mapper
trixie   initramfs-tools beside-64        around  uuid
# The oldest release, and the newest one, whose systemd and kernel change.
bullseye initramfs-tools btrfs            around  uuid
sid      initramfs-tools md               around  uuid
sid      initramfs-tools btrfs-disk       around  uuid
sid      dracut          btrfs            around  partuuid
sid      dracut          luks             awaited mapper
""")


def kernel_options(case):
    """Returns the options, except root=, that a case needs on the kernel command line."""
    options = []
    if case.layout.startswith("beside"):
        options.append(f"resume=UUID={SWAP_UUID}")
    if case.attached == "awaited":
        options.append(LONG_WAIT)
    if case.dracut:
        # If dracut does not find root, the guest reboots, which ends QEMU.
        options += ["rd.shell=0", "rd.emergency=reboot", f"rd.retry={600 if case.attached == 'awaited' else 60}"]
    # With rd.auto, dracut assembles LVM and md.
    if case.flavour in ("dracut", "dracut-hostonly"):
        options.append("rd.auto=1")
    if case.flavour == "dracut-crypt":
        options += [f"rd.luks.name={CRYPT_UUID}={CRYPT_NAME}", f"rd.luks.key={CRYPT_UUID}=/etc/keys/root.key"]
    return " ".join(options)


# In these guests without the package, the base image must do harm.
CONTROLS = [("btrfs", "after"), ("lvm", "before")]
WIDER_CONTROLS = [("md", "plugged"), ("btrfs", "plugged"), ("luks", "before"), ("btrfs-disk", "before"),
                  ("beside", "plugged")]
