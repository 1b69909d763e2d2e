/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Deletes partitions from the kernel; nothing is written to the disk.
 *
 * fd: an open descriptor of the whole disk.  A name can be given to another
 * disk meanwhile, a descriptor cannot.
 * Needs CAP_SYS_ADMIN. */

/* Deletes each partition that is not open.
 * Returns 0, or the negative errno of the last partition that could not be
 * deleted; a partition that is open is no error. */
int delete_all_partitions(int fd);

/* Deletes one partition.  If it is open, retries for about two seconds: a
 * program like pvs or blkid closes it soon.
 * Returns 0 (also if there is no such partition), or a negative errno; -EBUSY
 * if the partition was open all the time. */
int delete_partition(int fd, int number);
