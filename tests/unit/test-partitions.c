/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which partitions are deleted and how often, with a kernel that is played:
 * the linker puts the functions below in place of ioctl() and poll(). */
#include <check.h>
#include <errno.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "partitions.h"
#include "run-suite.h"

enum { DISK = 42, NUMBERS = 256 };

static int there[NUMBERS];  /* how often each partition is found open; -1: there is none */
static int broken[NUMBERS]; /* the errno with which it cannot be deleted */
static int calls[NUMBERS];
static int slept; /* milliseconds */

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's names. */
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_poll(struct pollfd *fds, nfds_t number, int timeout);

int __wrap_ioctl(int fd, unsigned long request, ...) {
        va_list arguments;
        va_start(arguments, request);
        const struct blkpg_ioctl_arg *argument = va_arg(arguments, const struct blkpg_ioctl_arg *);
        va_end(arguments);
        const struct blkpg_partition *partition = argument->data;

        ck_assert_int_eq(fd, DISK);
        ck_assert_uint_eq(request, BLKPG);
        ck_assert_int_eq(argument->op, BLKPG_DEL_PARTITION);
        ck_assert_int_eq(argument->datalen, sizeof(struct blkpg_partition));
        ck_assert_int_ge(partition->pno, 1);
        ck_assert_int_lt(partition->pno, NUMBERS);
        int number = partition->pno;
        calls[number]++;
        errno = broken[number] ? broken[number] : there[number] < 0 ? ENXIO : EBUSY;
        if (broken[number] || there[number] < 0)
                return -1;
        return there[number]-- > 0 ? -1 : 0;
}

int __wrap_poll(struct pollfd *fds, nfds_t number, int timeout) {
        ck_assert_ptr_null(fds);
        ck_assert_uint_eq(number, 0);
        slept += timeout;
        return 0;
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void reset(void) {
        memset(there, -1, sizeof there);
        memset(broken, 0, sizeof broken);
        memset(calls, 0, sizeof calls);
        slept = 0;
}

START_TEST(all__each_once) {
        there[1] = there[5] = there[255] = 0;
        ck_assert_int_eq(delete_all_partitions(DISK), 0);
        ck_assert_int_eq(there[1], -1);
        ck_assert_int_eq(there[5], -1);
        ck_assert_int_eq(there[255], -1);
        for (int number = 1; number < NUMBERS; number++)
                ck_assert_int_eq(calls[number], 1);
}
END_TEST

/* The partition's own event comes later and retries. */
START_TEST(all__open_is_left) {
        there[1] = 1;
        there[2] = 0;
        ck_assert_int_eq(delete_all_partitions(DISK), 0);
        ck_assert_int_eq(calls[1], 1);
        ck_assert_int_eq(there[2], -1);
        ck_assert_int_eq(slept, 0);
}
END_TEST

START_TEST(all__others_after_error) {
        broken[1] = EACCES;
        there[2] = 0;
        ck_assert_int_eq(delete_all_partitions(DISK), -EACCES);
        ck_assert_int_eq(there[2], -1);
}
END_TEST

START_TEST(all__disk_gone) {
        for (int number = 0; number < NUMBERS; number++)
                broken[number] = ENODEV;
        ck_assert_int_eq(delete_all_partitions(DISK), 0);
}
END_TEST

START_TEST(one__deleted) {
        there[3] = there[4] = 0;
        ck_assert_int_eq(delete_partition(DISK, 3), 0);
        ck_assert_int_eq(calls[3], 1);
        ck_assert_int_eq(calls[4], 0);
        ck_assert_int_eq(slept, 0);
}
END_TEST

START_TEST(one__not_there) {
        ck_assert_int_eq(delete_partition(DISK, 3), 0);
        ck_assert_int_eq(slept, 0);
}
END_TEST

START_TEST(one__closed_in_time) {
        there[3] = 7;
        ck_assert_int_eq(delete_partition(DISK, 3), 0);
        ck_assert_int_eq(there[3], -1);
        ck_assert_int_eq(calls[3], 8);
}
END_TEST

START_TEST(one__open_for_two_seconds) {
        there[3] = 1000;
        ck_assert_int_eq(delete_partition(DISK, 3), -EBUSY);
        ck_assert_int_eq(slept, 2000);
}
END_TEST

START_TEST(one__error_at_once) {
        broken[3] = EACCES;
        ck_assert_int_eq(delete_partition(DISK, 3), -EACCES);
        ck_assert_int_eq(calls[3], 1);
}
END_TEST

int main(void) {
        TCase *partitions = tcase_create("partitions");
        tcase_add_checked_fixture(partitions, reset, NULL);
        tcase_add_test(partitions, all__each_once);
        tcase_add_test(partitions, all__open_is_left);
        tcase_add_test(partitions, all__others_after_error);
        tcase_add_test(partitions, all__disk_gone);
        tcase_add_test(partitions, one__deleted);
        tcase_add_test(partitions, one__not_there);
        tcase_add_test(partitions, one__closed_in_time);
        tcase_add_test(partitions, one__open_for_two_seconds);
        tcase_add_test(partitions, one__error_at_once);

        Suite *suite = suite_create("partitions");
        suite_add_tcase(suite, partitions);
        return run_suite(suite);
}
