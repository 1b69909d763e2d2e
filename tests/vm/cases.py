# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists the guests of test_matrix.py.

A layout is the content of a guest's disks, such as a file system on LVM (see layouts.py).  The udev rule works in the
same way on every layout, and for every value of the kernel option root=.  But the release, the initramfs generator and
the layout decide which programs find root.  So the guests in CHOSEN cover every release, both generators and most
layouts, with different values of root=.  "tests/run --all" also boots the guests in WIDER.
"""

from typing import NamedTuple

from images import CRYPT_NAME, CRYPT_UUID, LONG_WAIT
from layouts import SWAP_UUID


class Case(NamedTuple):
    suite: str
    generator: str      # initramfs-tools, busybox (in initramfs-tools), dracut, hostonly (a mode of dracut)
    layout: str         # a key of layouts.ROOTS
    attached: str       # where the base images are attached: see boot() in conftest.py
    root: str           # the name of a value of root= in layouts.ROOTS, such as "uuid"

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
# These guests cover all releases and both generators.  Root is on LVM, for which inert.py has the most scanners.
bullseye initramfs-tools lvm              around  mapper
bookworm initramfs-tools lvm              around  uuid
trixie   initramfs-tools lvm              around  uuid
trixie   dracut          lvm              around  mapper
sid      initramfs-tools lvm              around  mapper
sid      dracut          lvm              around  uuid
# In these guests, "attached" is not "around".  The value of "attached" decides which disk a scanner finds first.
bookworm initramfs-tools btrfs            before  partuuid
trixie   dracut          btrfs            after   uuid
bookworm initramfs-tools ext4             awaited partlabel
trixie   dracut          ext4             awaited partuuid
# In these guests, the file system is on the whole disk.  So the rule in the initramfs unbinds the base image.
bookworm initramfs-tools btrfs-disk       around  uuid
trixie   dracut          btrfs-disk       around  label
# Each of these guests has a layout that no guest above has.
bookworm initramfs-tools btrfs-two-disks  around  label
bookworm initramfs-tools md               around  uuid
bookworm initramfs-tools beside           around  uuid
trixie   dracut          xfs              around  partuuid
trixie   dracut          luks             around  uuid
""")
WIDER = cases("""\
# CHOSEN also has the layouts below, but with the other generator.
trixie   dracut          btrfs-two-disks  around  uuid
trixie   dracut          md               around  label
trixie   dracut          beside           around  uuid
bookworm initramfs-tools xfs              before  uuid
bookworm initramfs-tools luks             around  mapper
# These guests cover busybox in initramfs-tools, hostonly in dracut, and a disk with 64 partitions.
bookworm busybox         lvm              around  mapper
trixie   hostonly        lvm              around  mapper
trixie   initramfs-tools beside-64        around  uuid
# These guests have the oldest release, or sid.  In sid, systemd and the kernel change often.
bullseye initramfs-tools btrfs            around  uuid
sid      initramfs-tools md               around  uuid
sid      initramfs-tools btrfs-disk       around  uuid
sid      dracut          btrfs            around  partuuid
sid      dracut          luks             awaited mapper
""")


def kernel_options(case):
    """Returns the kernel options for a guest, without root=."""
    options = []
    if case.layout.startswith("beside"):
        options.append(f"resume=UUID={SWAP_UUID}")
    if case.attached == "awaited":
        options.append(LONG_WAIT)
    if case.dracut:
        # If dracut does not find root, the guest reboots.  QEMU has the option -no-reboot, so the reboot ends QEMU.
        options += ["rd.shell=0", "rd.emergency=reboot", f"rd.retry={600 if case.attached == 'awaited' else 60}"]
    # With rd.auto, dracut activates volume groups and assembles md arrays.
    if case.flavour in ("dracut", "dracut-hostonly"):
        options.append("rd.auto=1")
    if case.flavour == "dracut-crypt":
        options += [f"rd.luks.name={CRYPT_UUID}={CRYPT_NAME}", f"rd.luks.key={CRYPT_UUID}=/etc/keys/root.key"]
    return " ".join(options)


# Each tuple has the layout and "attached" of a guest without the package.  The base image must harm this guest.
CONTROLS = [("btrfs", "after"), ("lvm", "before")]
WIDER_CONTROLS = [("md", "plugged"), ("btrfs", "plugged"), ("luks", "before"), ("btrfs-disk", "before"),
                  ("beside", "plugged")]
