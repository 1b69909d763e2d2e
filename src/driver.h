/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Unbinds a virtio disk from the driver until the coldplug of the running system.
 *
 * device: the kernel's name of the virtio device, such as "virtio3"
 * First writes a bind rule to the directory BASEIMAGE_BIND_RULES_D, which survives
 * switch_root.  If the bind rule cannot be written, the disk stays bound.  In the running
 * system, udevd reads the bind rule and binds the disk to the driver again, even if the
 * running system lacks 59-baseimage.rules.
 * Returns 0, or a negative errno.  The errno is -EINVAL if device is not the name of a
 * virtio device. */
int unbind_until_coldplug(const char *device);
