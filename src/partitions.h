/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* These functions delete partitions from the kernel.  They write nothing to the
 * disk.  They need CAP_SYS_ADMIN.
 *
 * fd: an open descriptor of the whole disk.  It stays with this disk, even if the
 * kernel gives the disk's name to another disk. */

/* Deletes each partition that is not open.
 * Returns 0, or the negative errno of the last partition that it could not delete.
 * An open partition is not an error. */
int delete_all_partitions(int fd);

/* Deletes one partition.  While the partition is open, retries for two seconds,
 * because a program such as pvs or blkid closes it soon.
 *
 * number: the number of the partition, from 1 to 255.
 * Returns 0, also if the partition does not exist; or a negative errno.  -EBUSY:
 * the partition was open all the time. */
int delete_partition(int fd, int number);
