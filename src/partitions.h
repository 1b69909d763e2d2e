/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* These functions delete partitions from the kernel.  The functions write nothing to the
 * disk.  The functions need CAP_SYS_ADMIN.
 *
 * fd: an open descriptor of the whole disk
 *
 * The functions do not open the disk by name.  If the disk is detached, the kernel can give
 * the name to a different disk. */

/* Deletes each partition that is not open.  For an open partition, the kernel reports EBUSY,
 * and this function ignores EBUSY.  After any other error, this function continues with the
 * next partition.
 *
 * If there was no error except EBUSY, returns 0.  Otherwise returns the negative errno of the
 * last error that was not EBUSY. */
int delete_all_partitions(int fd);

/* Deletes one partition.  If a program has the partition open, this function retries for two
 * seconds.  Programs such as pvs and blkid close the partition after a short time.
 *
 * number: the number of the partition, from 1 to 255
 *
 * If the partition is deleted or does not exist, returns 0.  If the partition is still open
 * after two seconds, returns -EBUSY.  If any other error occurs, returns another negative
 * errno. */
int delete_partition(int fd, int number);
