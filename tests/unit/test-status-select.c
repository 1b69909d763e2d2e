/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "status-faults.h"
#include "status-test.h"

/* Names, and which of vdb, vdb1 and vdc stay. */
static const struct {
        const char *names[2];
        const char *left;
} selections[] = {
        { { NULL }, "vdb vdb1 vdc" },
        { { "vdb" }, "vdb vdb1" },
        { { "vdb1" }, "vdb1" },
        { { "vdc" }, "vdc" }, /* which has no node */
        { { "vdc", "vdb1" }, "vdb1 vdc" },
        { { "/dev/vdb" }, "vdb vdb1" },
        { { "/dev/vdc" }, "vdc" },
        { { "/dev/disk/by-id/virtio-BASEIMAGE" }, "vdb vdb1" },
        { { "vda" }, NULL },
        { { "vdb2" }, NULL },
        { { "" }, NULL },
        { { "/" }, NULL },
        { { "vdb", "vda" }, NULL },
        { { "/dev/../vdb" }, NULL },
        { { "/devvdb" }, NULL },
        { { "/tmp/vdb" }, NULL },
};

START_TEST(select__table) {
        const char *unknown = NULL;
        char left[64] = "";
        size_t n = 0;

        begin();
        add_vdc();
        while (n < 2 && selections[_i].names[n])
                n++;
        int r = facts_select(&facts, (char *const *)selections[_i].names, n, &unknown);
        for (size_t i = 0; i < facts.n_devices; i++)
                snprintf(left + strlen(left), sizeof(left) - strlen(left), "%s%s", i > 0 ? " " : "",
                         facts.devices[i].name);
        if (selections[_i].left) {
                ck_assert_int_eq(r, 0);
                ck_assert_str_eq(left, selections[_i].left);
        } else {
                ck_assert_int_eq(r, -ENODEV);
                ck_assert_str_eq(unknown, selections[_i].names[n - 1]);
                ck_assert_str_eq(left, "vdb vdb1 vdc");
        }
        end();
}
END_TEST

START_TEST(faults__each_call_fails) {
        char *names[] = { (char *)"vdb1", (char *)"/dev/vda" };
        const char *failed, *unknown;
        unsigned nth = 0;

        do {
                begin();
                fault_arm(NULL, ++nth);
                int r = facts_select(&facts, names, 1 + (size_t)_i, &unknown);
                failed = fault_disarm();
                ck_assert_int_eq(r, failed ? -ENOMEM : _i == 0 ? 0 : -ENODEV);
                ck_assert_uint_eq(facts.n_devices, r == 0 ? 1 : 2);
                end();
        } while (failed);
}
END_TEST

/* What there is when it fails is freed. */
START_TEST(faults__add_device) {
        struct device *device = NULL;
        const char *failed;
        unsigned nth = 0;

        do {
                facts = (struct facts){ 0 };
                fault_arm(NULL, ++nth);
                int r = facts_add_device(&facts, "vdb1", "vdb", &device);
                failed = fault_disarm();
                ck_assert_int_eq(r, failed ? -ENOMEM : 0);
                facts_done(&facts);
        } while (failed);
}
END_TEST

int main(void) {
        const struct test_case cases[] = {
                { "select__table", select__table, N(selections) },
                { "faults__each_call_fails", faults__each_call_fails, 2 },
                { "faults__add_device", faults__add_device, 0 },
        };
        return run_tests("status-select", cases, N(cases));
}
