/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "partitions.h"

/* These definitions are copies from the kernel's header linux/blkpg.h, because musl does not
 * have this header. */
struct blkpg_partition {
        long long start;
        long long length;
        int number;
        char devname[64];
        char volname[64];
};

struct blkpg_ioctl_arg {
        int op;
        int flags;
        int datalen;
        void *data;
};

enum {
        BLKPG = 0x1269, /* _IO(0x12, 105) */
        BLKPG_DEL_PARTITION = 2,
        DISK_MAX_PARTS = 256, /* from include/linux/blkdev.h of Linux 5.18 and later */
};

enum { RETRIES = 20, RETRY_MILLISECONDS = 100 };

/* Deletes the partition, and returns 0.  If the partition or the disk does not exist, does
 * nothing and returns 0.  If the kernel cannot delete the partition, returns a negative
 * errno. */
static int delete_once(int fd, int number) {
        /* Static variables need less code than variables on the stack. */
        static struct blkpg_partition partition;
        static struct blkpg_ioctl_arg argument = {
                .op = BLKPG_DEL_PARTITION,
                .datalen = sizeof partition,
                .data = &partition,
        };

        partition.number = number;
        if (ioctl(fd, BLKPG, &argument) == 0 || errno == ENXIO || errno == ENODEV)
                return 0;
        return -errno;
}

int delete_all_partitions(int fd) {
        int result = 0;

        for (int number = 1; number < DISK_MAX_PARTS; number++) {
                int r = delete_once(fd, number);
                if (r < 0 && r != -EBUSY)
                        result = r;
        }
        return result;
}

int delete_partition(int fd, int number) {
        int r = delete_once(fd, number);

        for (int i = 0; r == -EBUSY && i < RETRIES; i++) {
                poll(NULL, 0, RETRY_MILLISECONDS);
                r = delete_once(fd, number);
        }
        return r;
}
