/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* These functions delete partitions from the kernel.  The functions need CAP_SYS_ADMIN,
 * and write nothing to the disk.
 *
 * fd: an open descriptor of the whole disk.  The functions have no argument for the disk's
 * name, because the kernel can give the name to another disk. */

/* Deletes each partition that is not open.  An open partition is not an error.  If there
 * was an error, returns the negative errno of the last error.  Otherwise returns 0. */
int delete_all_partitions(int fd);

/* Deletes one partition.  If a program has the partition open, this function retries for two
 * seconds.  Programs such as pvs and blkid soon close the partition.
 *
 * number: the number of the partition, from 1 to 255
 *
 * If the partition is deleted or does not exist, returns 0.  If the partition was open all
 * the time, returns -EBUSY.  After any other error, returns another negative errno. */
int delete_partition(int fd, int number);
