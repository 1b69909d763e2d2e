/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Unbinds a virtio disk from the driver virtio_blk.  In the running system, udevd binds the
 * disk to the driver again.
 *
 * device: the kernel's name of the virtio device, such as "virtio3"
 *
 * Before this function unbinds the disk, this function writes a udev rule to the directory
 * BASEIMAGE_BIND_RULES_D.  This udev rule is called the bind rule.  If the bind rule cannot
 * be written, the disk stays bound.
 *
 * The directory is the same in the initramfs and in the running system.  Coldplug is an
 * early step of the boot, after the initramfs has ended.  At coldplug, the kernel announces
 * all devices again, and the bind rule binds the disk to the driver.  The bind rule does not
 * need 59-baseimage.rules in the running system.
 *
 * Returns 0, or a negative errno.  If device is not the name of a virtio device, returns
 * -EINVAL. */
int unbind_until_coldplug(const char *device);
