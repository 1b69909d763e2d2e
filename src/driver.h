/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Unbinds a virtio disk from the driver until the coldplug of the running system.
 *
 * device: the kernel's name of the virtio device, such as "virtio3"
 *
 * First writes a bind rule to the directory BASEIMAGE_BIND_RULES_D.  This directory is the
 * same in the initramfs and in the running system.  If the bind rule cannot be written, the
 * disk stays bound.  In the running system, udevd reads the bind rule and binds the disk to
 * the driver again.  The bind rule also works if the running system has no
 * 59-baseimage.rules.
 * Returns 0, or a negative errno.  If device is not the name of a virtio device, the errno
 * is -EINVAL. */
int unbind_until_coldplug(const char *device);
