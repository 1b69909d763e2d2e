/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* These functions delete partitions from the kernel.  The functions need CAP_SYS_ADMIN,
 * and write nothing to the disk.
 *
 * fd: an open descriptor of the whole disk.  The kernel can give the disk's name to
 * another disk, but fd still refers to this disk. */

/* Deletes each partition that is not open.  An open partition is not an error.
 * Returns 0.  If the kernel could not delete some partitions, returns the negative errno
 * of the last error. */
int delete_all_partitions(int fd);

/* Deletes one partition.  If a program has the partition open, tries again for two
 * seconds, because programs such as pvs and blkid soon close the partition.
 *
 * number: the number of the partition, from 1 to 255
 * Returns 0 if the partition is deleted or does not exist.  Returns -EBUSY if the
 * partition was open all the time, or another negative errno. */
int delete_partition(int fd, int number);
