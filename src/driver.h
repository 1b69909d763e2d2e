/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Unbinds a virtio disk from its driver until the coldplug of the running system.
 *
 * device: the kernel's name of the virtio device, such as "virtio3".
 * First writes a rule to BASEIMAGE_BIND_RULES_D, which survives switch_root.  In the
 * running system udevd reads this rule and binds the disk, even if that system
 * lacks the package's own rule.
 * Returns 0, or a negative errno; -EINVAL if device is not such a name.  If the
 * rule cannot be written, the disk stays bound. */
int unbind_until_coldplug(const char *device);
