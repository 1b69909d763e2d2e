/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "status-faults.h"
#include "status-test.h"

/* Read by others: so that it does not make a leak here. */
static void read_all(void) {
        ck_assert_int_eq(udev_read(&facts), 0);
        disk->read_only = partition->read_only = true;
}

START_TEST(read__inert) {
        begin();
        read_all();
        ck_assert(disk->recorded && partition->recorded);
        ck_assert_str_eq(disk->facts[0].text, "SYSTEMD_READY=0");
        ck_assert_str_eq(partition->syspath, "/sys/devices/pci0/block/vdb1");
        ck_assert_int_eq(end(), STATE_INERT);
}
END_TEST

START_TEST(read__empty_record) {
        begin();
        guest_write("run/udev/data/vdb", "\n");
        read_all();
        ck_assert(disk->recorded);
        ck_assert_uint_eq(disk->n_facts, 0);
        ck_assert_int_eq(end(), STATE_LEAKING);
}
END_TEST

/* Said of the device, or once for all if there is no udev. */
START_TEST(read__no_record) {
        begin();
        guest_remove("run/udev/data/vdb");
        guest_remove("run/udev/data/vdb1");
        if (_i == 1)
                guest_remove("run/udev/control");
        read_all();
        if (_i == 0) {
                assert_one(disk, KIND_ERROR, "udev: has not processed it yet");
                assert_one(partition, KIND_ERROR, "udev: has not processed it yet");
        } else {
                assert_one(&facts.system, KIND_ERROR, "udev: does not run");
                ck_assert_uint_eq(disk->n_facts + partition->n_facts, 0);
        }
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

START_TEST(read__gone) {
        begin();
        guest_remove("sys/class/block/vdb1");
        read_all();
        assert_one(partition, KIND_ERROR, "udev: No such device");
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

START_TEST(faults__each_call_fails) {
        const char *failed;
        unsigned nth = 0;

        do {
                begin();
                disk->read_only = partition->read_only = true;
                if (_i == 1)
                        guest_remove("run/udev/data/vdb");
                fault_arm(NULL, ++nth);
                int r = udev_read(&facts);
                failed = fault_disarm();
                enum state state = end();
                if (r == 0)
                        ck_assert_int_eq(state, failed || _i == 1 ? STATE_UNKNOWN : STATE_INERT);
                else
                        ck_assert_int_eq(failed ? r : 0, -ENOMEM);
        } while (failed);
        ck_assert_uint_gt(nth, 10);
}
END_TEST

int main(void) {
        const struct test_case cases[] = {
                { "read__inert", read__inert, 0 },
                { "read__empty_record", read__empty_record, 0 },
                { "read__no_record", read__no_record, 2 },
                { "read__gone", read__gone, 0 },
                { "faults__each_call_fails", faults__each_call_fails, 2 },
        };
        return run_tests("status-udev", cases, N(cases));
}
