/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * These tests check which partitions the helper deletes, and how many times the helper
 * retries.  The linker replaces ioctl() and poll() by __wrap_ioctl() and __wrap_poll(),
 * which simulate the kernel. */
#include <check.h>
#include <errno.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "partitions.h"

enum { DISK = 42, NUMBERS = 256 };

/* In each of these arrays, the index is the number of a partition. */
static int busy_count[NUMBERS];   /* how many more calls fail with EBUSY; -1: partition does not exist */
static int delete_errno[NUMBERS]; /* the errno of ioctl(); 0: the result depends on busy_count */
static int ioctl_calls[NUMBERS];
static int slept_ms;

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker needs these names. */
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
        ioctl_calls[number]++;
        errno = delete_errno[number] ? delete_errno[number] : busy_count[number] < 0 ? ENXIO : EBUSY;
        if (delete_errno[number] || busy_count[number] < 0)
                return -1;
        return busy_count[number]-- > 0 ? -1 : 0;
}

int __wrap_poll(struct pollfd *fds, nfds_t number, int timeout) {
        ck_assert_ptr_null(fds);
        ck_assert_uint_eq(number, 0);
        slept_ms += timeout;
        return 0;
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void reset(void) {
        memset(busy_count, -1, sizeof busy_count);
        memset(delete_errno, 0, sizeof delete_errno);
        memset(ioctl_calls, 0, sizeof ioctl_calls);
        slept_ms = 0;
}

/* Each row has busy_count[1], delete_errno[1] and the result of delete_all_partitions(). */
static const struct {
        int busy_count, delete_errno, result;
} all_cases[] = {
        { 0, 0, 0 },
        /* delete_all_partitions() does not retry.  The helper retries later, at the partition's event. */
        { 1, 0, 0 },
        { -1, EACCES, -EACCES },
        { -1, ENODEV, 0 }, /* the disk is gone */
};

START_TEST(all__each_once) {
        busy_count[1] = all_cases[_i].busy_count;
        delete_errno[1] = all_cases[_i].delete_errno;
        busy_count[5] = busy_count[255] = 0;
        ck_assert_int_eq(delete_all_partitions(DISK), all_cases[_i].result);
        ck_assert_int_eq(busy_count[1], all_cases[_i].busy_count - (delete_errno[1] == 0));
        ck_assert_int_eq(busy_count[5], -1);
        ck_assert_int_eq(busy_count[255], -1);
        for (int number = 1; number < NUMBERS; number++)
                ck_assert_int_eq(ioctl_calls[number], 1);
        ck_assert_int_eq(slept_ms, 0);
}
END_TEST

/* Each row has busy_count[3] and delete_errno[3], and then the expected values. */
static const struct {
        int busy_count, delete_errno, result, ioctl_calls, slept_ms;
} one_cases[] = {
        { 0, 0, 0, 1, 0 },
        { 7, 0, 0, 8, 700 },
        { 1000, 0, -EBUSY, 21, 2000 },
        { -1, EACCES, -EACCES, 1, 0 },
        { -1, ENODEV, 0, 1, 0 },
};

START_TEST(one__retried) {
        busy_count[3] = one_cases[_i].busy_count;
        delete_errno[3] = one_cases[_i].delete_errno;
        busy_count[4] = 0;
        ck_assert_int_eq(delete_partition(DISK, 3), one_cases[_i].result);
        ck_assert_int_eq(ioctl_calls[3], one_cases[_i].ioctl_calls);
        ck_assert_int_eq(ioctl_calls[4], 0);
        ck_assert_int_eq(slept_ms, one_cases[_i].slept_ms);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("partitions");
        TCase *tests = tcase_create("partitions");

        suite_add_tcase(suite, tests);
        /* By default, Check stops a test after 4 s.  With 0, only Meson stops the test program. */
        tcase_set_timeout(tests, 0);
        tcase_add_checked_fixture(tests, reset, NULL);
        tcase_add_loop_test(tests, all__each_once, 0, sizeof all_cases / sizeof *all_cases);
        tcase_add_loop_test(tests, one__retried, 0, sizeof one_cases / sizeof *one_cases);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
