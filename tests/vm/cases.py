# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists the guests of test_matrix.py.

The rule works in the same way on every layout and for every value of root=.  But the release, the initramfs generator
and the layout decide which programs find root.  So CHOSEN has every release, both generators and most layouts, with
different values of root=.  "tests/run --all" also boots the guests in WIDER.
"""

from typing import NamedTuple

from images import CRYPT_NAME, CRYPT_UUID, LONG_WAIT
from layouts import SWAP_UUID


class Case(NamedTuple):
    suite: str
    generator: str      # initramfs-tools, busybox (initramfs-tools with busybox), dracut, hostonly (dracut)
    layout: str         # a key of layouts.ROOTS
    attached: str       # the argument "attached" of conftest.boot()
    root: str           # a key of the dictionary of root= values in layouts.ROOTS

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
    """Returns a Case for each line that is neither empty nor a comment."""
    return [Case(*line.split()) for line in text.splitlines() if line and not line.startswith("#")]


CHOSEN = cases("""\
# These guests cover all releases and both generators.  Root is on LVM, because most scanners look for LVM.
bullseye initramfs-tools lvm              around  mapper
bookworm initramfs-tools lvm              around  uuid
trixie   initramfs-tools lvm              around  uuid
trixie   dracut          lvm              around  mapper
sid      initramfs-tools lvm              around  mapper
sid      dracut          lvm              around  uuid
# These guests cover the other values of "attached".  The value decides which disk a scanner finds first.
bookworm initramfs-tools btrfs            before  partuuid
trixie   dracut          btrfs            after   uuid
bookworm initramfs-tools ext4             awaited partlabel
trixie   dracut          ext4             awaited partuuid
# In these guests the file system is on the whole disk, so the rule in the initramfs unbinds the base image.
bookworm initramfs-tools btrfs-disk       around  uuid
trixie   dracut          btrfs-disk       around  label
# These guests cover the other layouts.
bookworm initramfs-tools btrfs-two-disks  around  label
bookworm initramfs-tools md               around  uuid
bookworm initramfs-tools beside           around  uuid
trixie   dracut          xfs              around  partuuid
trixie   dracut          luks             around  uuid
""")
WIDER = cases("""\
# These guests have a layout of CHOSEN with the other generator.
trixie   dracut          btrfs-two-disks  around  uuid
trixie   dracut          md               around  label
trixie   dracut          beside           around  uuid
bookworm initramfs-tools xfs              before  uuid
bookworm initramfs-tools luks             around  mapper
# These guests cover variants of the generators, and a disk with 64 partitions.
bookworm busybox         lvm              around  mapper
trixie   hostonly        lvm              around  mapper
trixie   initramfs-tools beside-64        around  uuid
# These guests have the oldest release, or sid.  The systemd and the kernel of sid change often.
bullseye initramfs-tools btrfs            around  uuid
sid      initramfs-tools md               around  uuid
sid      initramfs-tools btrfs-disk       around  uuid
sid      dracut          btrfs            around  partuuid
sid      dracut          luks             awaited mapper
""")


def kernel_options(case):
    """Returns the kernel options of a case, without root=."""
    options = []
    if case.layout.startswith("beside"):
        options.append(f"resume=UUID={SWAP_UUID}")
    if case.attached == "awaited":
        options.append(LONG_WAIT)
    if case.dracut:
        # If dracut does not find root, the guest reboots.  QEMU runs with -no-reboot, so QEMU then exits.
        options += ["rd.shell=0", "rd.emergency=reboot", f"rd.retry={600 if case.attached == 'awaited' else 60}"]
    # With rd.auto, dracut activates volume groups and assembles md arrays.
    if case.flavour in ("dracut", "dracut-hostonly"):
        options.append("rd.auto=1")
    if case.flavour == "dracut-crypt":
        options += [f"rd.luks.name={CRYPT_UUID}={CRYPT_NAME}", f"rd.luks.key={CRYPT_UUID}=/etc/keys/root.key"]
    return " ".join(options)


# Without the package, the base image must harm each of these guests.
CONTROLS = [("btrfs", "after"), ("lvm", "before")]
WIDER_CONTROLS = [("md", "plugged"), ("btrfs", "plugged"), ("luks", "before"), ("btrfs-disk", "before"),
                  ("beside", "plugged")]
