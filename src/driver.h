/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Unbinds a virtio disk from its driver, for the time in the initramfs.
 *
 * device: the kernel's name of the virtio device, like "virtio3".
 * Before that it writes a rule to BIND_RULES_DIRECTORY, which survives
 * switch_root.  The rule has udevd bind the disk in the real system, also if
 * the package's own rule is missing there.
 * Returns 0, or a negative errno; -EINVAL if the name is none of a virtio
 * device.  If the rule cannot be written, the disk stays bound: it is better to
 * keep a disk than to lose it. */
int unbind_until_real_system(const char *device);
