/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "status-faults.h"
#include "status-test.h"

#define HEADING "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

static void begin_read(void) {
        begin();
        ck_assert_int_eq(sysfs_read(&facts), 0);
}

static void read_all(void) {
        ck_assert_int_eq(proc_read(&facts), 0);
}

START_TEST(read__inert) {
        begin_read();
        read_all();
        ck_assert_uint_eq(disk->n_facts + partition->n_facts, 0);
        ck_assert_int_eq(end(), STATE_INERT);
}
END_TEST

START_TEST(mounts__by_number) {
        begin_read();
        guest_write("proc/self/mountinfo", "22 1 252:1 / / rw - ext4 /dev/vda1 rw\n"
                                           "23 22 252:17 / /mnt\\040x ro - ext4 /dev/root ro\n");
        read_all();
        assert_one(partition, KIND_MOUNT, "/mnt x");
        ck_assert_uint_eq(disk->n_facts, 0);
        ck_assert_int_eq(end(), STATE_LEAKING);
}
END_TEST

/* A btrfs has a number that no device has. */
static const char *const names[] = { "/dev/vdb1", "/dev/disk/by-uuid/1234", "/dev/baseimage-part1" };

START_TEST(mounts__by_source) {
        begin_read();
        guest_link("dev/disk/by-uuid/1234", "../../vdb1");
        guest_write("proc/self/mountinfo", "22 1 0:40 / /mnt ro - btrfs %s ro\n", names[_i]);
        read_all();
        assert_one(partition, KIND_MOUNT, "/mnt");
        ck_assert_int_eq(end(), STATE_LEAKING);
}
END_TEST

START_TEST(swaps__by_name) {
        begin_read();
        guest_link("dev/disk/by-uuid/1234", "../../vdb1");
        guest_write("proc/swaps", HEADING "/dev/vda2 partition 1 0 -2\n%s partition 1 0 -2\n", names[_i]);
        read_all();
        assert_one(partition, KIND_SWAP, names[_i]);
        ck_assert_int_eq(end(), STATE_LEAKING);
}
END_TEST

/* What is not there, what is in its place, and what is said, once. */
static const struct {
        const char *path, *content;
        bool folder;
        const char *error; /* NULL: none */
} unreadable[] = {
        { "proc/self/mountinfo", NULL, false, "/proc/self/mountinfo: No such file or directory" },
        { "proc/self/mountinfo", NULL, true, "/proc/self/mountinfo: Is a directory" },
        { "proc/self/mountinfo", "22 1 nonsense\n", false, "mountinfo: Bad message" },
        { "proc/swaps", NULL, true, "/proc/swaps: Is a directory" },
        { "proc/swaps", NULL, false, NULL }, /* a kernel without swap space */
};

START_TEST(read__unreadable) {
        begin_read();
        guest_remove(unreadable[_i].path);
        if (unreadable[_i].content)
                guest_write(unreadable[_i].path, "%s", unreadable[_i].content);
        if (unreadable[_i].folder)
                guest_folder(unreadable[_i].path);
        read_all();
        if (unreadable[_i].error)
                assert_one(&facts.system, KIND_ERROR, unreadable[_i].error);
        ck_assert_uint_eq(disk->n_facts + partition->n_facts, 0);
        ck_assert_int_eq(end(), unreadable[_i].error ? STATE_UNKNOWN : STATE_INERT);
}
END_TEST

START_TEST(faults__each_call_fails) {
        const char *failed;
        unsigned nth = 0;

        do {
                begin_read();
                if (_i == 1) {
                        guest_write("proc/self/mountinfo", "22 1 252:17 / /mnt rw - ext4 /dev/vdb1 rw\n");
                        guest_write("proc/swaps", "/dev/vdb partition 1 0 -2\n");
                }
                fault_arm(NULL, ++nth);
                int r = proc_read(&facts);
                failed = fault_disarm();
                enum state state = end();
                if (failed && r == 0)
                        ck_assert_msg(state == STATE_UNKNOWN || (_i == 1 && state == STATE_LEAKING),
                                      "%s failed", failed);
                ck_assert(r == 0 || (failed && r == -ENOMEM));
        } while (failed);
        ck_assert_uint_gt(nth, 5);
}
END_TEST

int main(void) {
        const struct test_case cases[] = {
                { "read__inert", read__inert, 0 },
                { "mounts__by_number", mounts__by_number, 0 },
                { "mounts__by_source", mounts__by_source, N(names) },
                { "swaps__by_name", swaps__by_name, N(names) },
                { "read__unreadable", read__unreadable, N(unreadable) },
                { "faults__each_call_fails", faults__each_call_fails, 2 },
        };
        return run_tests("status-proc", cases, N(cases));
}
