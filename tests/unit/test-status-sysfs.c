/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/sysmacros.h>

#include "status-faults.h"
#include "status-test.h"

/* Which devices are there: their names, in their order. */
static void assert_found(const char *expected) {
        char found[256] = "";

        facts = (struct facts){ .root = guest_root };
        ck_assert_int_eq(sysfs_find(&facts), 0);
        for (size_t i = 0; i < facts.n_devices; i++)
                snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s", i > 0 ? " " : "",
                         facts.devices[i].name);
        ck_assert_str_eq(found, expected);
}

START_TEST(find__by_number) {
        guest_new();
        guest_add("vdc", 32);
        guest_add("vdb10", 26);
        guest_add("vdb2", 18);
        guest_folder("sys/class/block/vda1");
        guest_write("sys/class/block/vda/serial", "ROOT");
        guest_folder("sys/class/block/vdba1"); /* no partition of vdb */
        guest_folder("sys/class/block/vdba");
        guest_write("sys/class/block/sda/serial", "BASEIMAGE");
        assert_found("vdb vdb1 vdb2 vdb10 vdc");
        ck_assert_uint_eq(facts.devices[3].partition, 10);
        ck_assert_str_eq(facts.devices[3].disk, "vdb");
        ck_assert_str_eq(facts.devices[3].node, "/dev/vdb10");
        ck_assert_str_eq(facts.devices[3].links[0], "/dev/baseimage-part10");
        ck_assert_str_eq(facts.devices[4].links[1], "/dev/disk/by-id/virtio-BASEIMAGE");
        end();
}
END_TEST

/* The serial as the kernel gives it, and whether it is the base image's. */
static const struct {
        const char *serial;
        bool is;
} serials[] = {
        { "BASEIMAGE", true },   { "BASEIMAGE\n", true },  { "BASEIMAGE   ", true },
        { "BASEIMAGE2", false }, { " BASEIMAGE", false },  { "BASEIMAG", false },
        { "baseimage", false },  { "BASEIMAGE x", false }, { "", false },
};

START_TEST(find__serial) {
        guest_new();
        guest_write("sys/class/block/vdb/serial", "%s", serials[_i].serial);
        assert_found(serials[_i].is ? "vdb vdb1" : "");
        ck_assert_int_eq(end(), serials[_i].is ? STATE_INERT : STATE_NONE);
}
END_TEST

START_TEST(find__no_serial) {
        guest_new();
        guest_remove("sys/class/block/vdb/serial");
        assert_found("");
        ck_assert_int_eq(end(), STATE_NONE);
}
END_TEST

/* A folder in the place of the file cannot be read even by root. */
START_TEST(find__unreadable_serial) {
        guest_new();
        guest_remove("sys/class/block/vdb/serial");
        guest_folder("sys/class/block/vdb/serial");
        assert_found("vdb");
        assert_one(&facts.devices[0], KIND_ERROR, "serial: Is a directory");
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

START_TEST(find__no_sysfs) {
        guest_new();
        guest_remove("sys");
        facts = (struct facts){ .root = guest_root };
        ck_assert_int_eq(sysfs_find(&facts), -ENOENT);
        end();
}
END_TEST

START_TEST(read__inert) {
        begin();
        ck_assert_int_eq(sysfs_read(&facts), 0);
        ck_assert_int_eq(sysfs_check_gone(&facts), 0);
        for (unsigned i = 0; i < 2; i++) {
                ck_assert(facts.devices[i].read_only && !facts.devices[i].doubtful);
                ck_assert_uint_eq(facts.devices[i].devnum, makedev(252, 16 + i));
                ck_assert_uint_eq(facts.devices[i].n_facts, 0);
        }
        ck_assert_int_eq(end(), STATE_INERT);
}
END_TEST

START_TEST(read__writable) {
        begin();
        guest_write("sys/class/block/vdb/ro", "0\n");
        ck_assert_int_eq(sysfs_read(&facts), 0);
        ck_assert(!disk->read_only && partition->read_only);
        end();
}
END_TEST

START_TEST(read__holders) {
        begin();
        guest_write("sys/class/block/dm-0/dm/name", "vg-ro\tot\n");
        guest_folder("sys/class/block/md127");
        guest_link("sys/class/block/vdb/holders/dm-0", "../../dm-0");
        guest_link("sys/class/block/vdb1/holders/md127", "../../md127");
        ck_assert_int_eq(sysfs_read(&facts), 0);
        assert_one(disk, KIND_HOLDER, "dm-0:vg-ro\tot");
        assert_one(partition, KIND_HOLDER, "md127");
        ck_assert_int_eq(end(), STATE_LEAKING);
}
END_TEST

START_TEST(read__btrfs) {
        begin();
        guest_folder("sys/fs/btrfs/features");
        guest_folder("sys/fs/btrfs/12-34/devices/vda1");
        guest_folder("sys/fs/btrfs/56-78/devices/vdb1");
        ck_assert_int_eq(sysfs_read(&facts), 0);
        assert_one(partition, KIND_BTRFS, "56-78");
        ck_assert_uint_eq(count_facts(disk, KIND_BTRFS), 0);
        ck_assert_int_eq(end(), STATE_LEAKING);
}
END_TEST

/* What is not there, what is in its place (NULL: a folder), and what is said. */
static const struct {
        const char *path, *content, *error;
} unreadable[] = {
        { "sys/class/block/vdb1/dev", NULL, "dev: Is a directory" },
        { "sys/class/block/vdb1/dev", "252\n", "dev: Invalid argument" },
        { "sys/class/block/vdb1/ro", NULL, "ro: Is a directory" },
        { "sys/class/block/vdb1/ro", "", "ro: Invalid argument" },
        { "sys/class/block/vdb1/holders", "", "holders: Not a directory" },
};

START_TEST(read__unreadable) {
        begin();
        guest_remove(unreadable[_i].path);
        if (unreadable[_i].content)
                guest_write(unreadable[_i].path, "%s", unreadable[_i].content);
        else
                guest_folder(unreadable[_i].path);
        ck_assert_int_eq(sysfs_read(&facts), 0);
        assert_one(partition, KIND_ERROR, unreadable[_i].error);
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

/* What is wrong for all is said once. */
START_TEST(read__odd_btrfs) {
        begin();
        if (_i == 0)
                guest_write("sys/fs/btrfs", "%s", "");
        else
                guest_write("sys/fs/btrfs/1234/devices", "%s", "");
        ck_assert_int_eq(sysfs_read(&facts), 0);
        assert_one(_i == 0 ? &facts.system : partition, KIND_ERROR, "btrfs: Not a directory");
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

/* Before or after it was read. */
START_TEST(gone__never_inert) {
        begin();
        if (_i == 0)
                ck_assert_int_eq(sysfs_read(&facts), 0);
        guest_remove("sys/class/block/vdb1");
        if (_i == 1)
                ck_assert_int_eq(sysfs_read(&facts), 0);
        ck_assert_int_eq(sysfs_check_gone(&facts), 0);
        ck_assert(!disk->doubtful && partition->doubtful);
        ck_assert_str_eq(partition->facts[partition->n_facts - 1].text, "gone: No such file or directory");
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

/* A disk without a serial is none of ours, unless it just went away. */
START_TEST(find__going) {
        guest_new();
        guest_remove("sys/class/block/vdb/serial");
        fault_arm("access", 1);
        assert_found("vdb");
        ck_assert_str_eq(fault_disarm(), "access");
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

/* Whatever fails, in whichever guest, the answer is not "inert". */
START_TEST(faults__each_call_fails) {
        const char *failed;
        unsigned nth = 0;

        do {
                guest_new();
                if (_i == 1) {
                        guest_write("sys/class/block/dm-0/dm/name", "vg-root\n");
                        guest_link("sys/class/block/vdb/holders/dm-0", "../../dm-0");
                        guest_link("sys/class/block/vdb/holders/md0", "../../md0");
                }
                if (_i >= 1)
                        guest_folder("sys/fs/btrfs/1234/devices/vdb1");
                facts = (struct facts){ .root = guest_root };
                fault_arm(NULL, ++nth);
                int r = sysfs_find(&facts);
                if (r == 0)
                        r = sysfs_read(&facts);
                if (r == 0)
                        r = sysfs_check_gone(&facts);
                failed = fault_disarm();
                enum state state = end();
                if (failed && r == 0)
                        ck_assert_msg(state == STATE_LEAKING || state == STATE_UNKNOWN, "%s failed", failed);
                ck_assert(r == 0 || failed);
        } while (failed);
        ck_assert_uint_gt(nth, 20);
}
END_TEST

int main(void) {
        const struct test_case cases[] = {
                { "find__by_number", find__by_number, 0 },
                { "find__serial", find__serial, N(serials) },
                { "find__no_serial", find__no_serial, 0 },
                { "find__unreadable_serial", find__unreadable_serial, 0 },
                { "find__no_sysfs", find__no_sysfs, 0 },
                { "find__going", find__going, 0 },
                { "read__inert", read__inert, 0 },
                { "read__writable", read__writable, 0 },
                { "read__holders", read__holders, 0 },
                { "read__btrfs", read__btrfs, 0 },
                { "read__unreadable", read__unreadable, N(unreadable) },
                { "read__odd_btrfs", read__odd_btrfs, 2 },
                { "gone__never_inert", gone__never_inert, 2 },
                { "faults__each_call_fails", faults__each_call_fails, 3 },
        };
        return run_tests("status-sysfs", cases, N(cases));
}
