/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "status-faults.h"
#include "status-test.h"
#include "verdict.h"

#define N(array) (sizeof(array) / sizeof(*(array)))

static struct guest guest;
static struct facts facts;
static struct device *disk, *partition;

static void begin(void) {
        guest_new(&guest);
        found_devices(&facts);
        disk = &facts.devices[0];
        partition = &facts.devices[1];
}

static void read_all(void) {
        ck_assert_int_eq(facts_read(&guest.roots, &facts), 0);
        ck_assert_int_eq(facts_check_gone(&guest.roots, &facts), 0);
}

static enum state end(void) {
        struct verdict verdict;

        ck_assert_int_eq(verdict_reach(&facts, &verdict), 0);
        enum state state = verdict.state;
        verdict_done(&verdict);
        facts_done(&facts);
        guest_done(&guest);
        return state;
}

static void assert_one(const struct device *device, enum fact_kind kind, const char *expected) {
        const char *text = NULL;

        ck_assert_uint_eq(count_facts(device, kind, &text), 1);
        ck_assert_str_eq(text, expected);
}

START_TEST(read__inert) {
        begin();
        read_all();
        for (size_t i = 0; i < facts.n_devices; i++) {
                const struct device *device = &facts.devices[i];
                const char *first;

                ck_assert(device->recorded && device->read_only && !device->doubtful);
                ck_assert_uint_eq(device->devnum, makedev(252, 16 + i));
                ck_assert_uint_eq(count_facts(device, FACT_PROPERTY, &first), 4);
                ck_assert_str_eq(first, "ID_SERIAL=BASEIMAGE");
                for (enum fact_kind kind = FACT_PROPERTY + 1; kind < _FACT_KINDS; kind++)
                        ck_assert_uint_eq(count_facts(device, kind, NULL), 0);
        }
        ck_assert_int_eq(end(), STATE_INERT);
}
END_TEST

START_TEST(read__no_devices_no_reading) {
        struct roots nowhere = { "/x", "/x", "/x", "/x", "/x" };
        struct facts none = { 0 };

        ck_assert_int_eq(facts_read(&nowhere, &none), 0);
        ck_assert_int_eq(facts_check_gone(&nowhere, &none), 0);
}
END_TEST

START_TEST(access__writable) {
        begin();
        guest_write(&guest, "sys/class/block/vdb1/ro", "0\n");
        read_all();
        ck_assert(disk->read_only && !partition->read_only);
        ck_assert_int_eq(end(), STATE_INERT);
}
END_TEST

/* Where the link is, where it points to, and as what it is shown; NULL: not. */
static const char *const links[][3] = {
        { "dev/disk/by-uuid/1234", "../../vdb1", "/dev/disk/by-uuid/1234" },
        { "dev/disk/by-label/a\nb", "../../vdb1", "/dev/disk/by-label/a\nb" },
        { "dev/mine", "vdb1", "/dev/mine" },
        { "dev/disk/by-uuid/other", "../../vda1", NULL },
        { "dev/disk/by-uuid/dangling", "../../vdz", NULL },
        { "dev/loop", "loop", NULL },
};

START_TEST(links__table) {
        begin();
        guest_write(&guest, "dev/vda1", "%s", "");
        guest_link(&guest, links[_i][0], links[_i][1]);
        read_all();
        if (links[_i][2])
                assert_one(partition, FACT_LINK, links[_i][2]);
        ck_assert_uint_eq(count_facts(partition, FACT_LINK, NULL), links[_i][2] ? 1 : 0);
        ck_assert_uint_eq(count_facts(disk, FACT_LINK, NULL), 0);
        ck_assert_int_eq(end(), links[_i][2] ? STATE_LEAKING : STATE_INERT);
}
END_TEST

START_TEST(links__chain) {
        begin();
        guest_link(&guest, "dev/disk/by-label/root", "../../vdb1");
        guest_link(&guest, "dev/root", "disk/by-label/root");
        read_all();
        ck_assert_uint_eq(count_facts(partition, FACT_LINK, NULL), 2);
        ck_assert_int_eq(end(), STATE_LEAKING);
}
END_TEST

START_TEST(links__own) {
        begin();
        guest_link(&guest, "dev/baseimage", "vdb");
        guest_link(&guest, "dev/baseimage-part1", "vdb1");
        guest_link(&guest, "dev/disk/by-id/virtio-BASEIMAGE", "../../vdb");
        guest_link(&guest, "dev/disk/by-id/virtio-BASEIMAGE-part1", "../../vdb1");
        guest_link(&guest, "dev/block/252:16", "../vdb");
        guest_link(&guest, "dev/block/252:17", "../vdb1");
        read_all();
        ck_assert_uint_eq(count_facts(disk, FACT_LINK, NULL), 3);
        ck_assert_uint_eq(count_facts(partition, FACT_LINK, NULL), 3);
        ck_assert_int_eq(end(), STATE_INERT);
}
END_TEST

/* /dev/stdin of "baseimage-status </dev/vdb". */
START_TEST(links__own_standard_input) {
        begin();
        char *node;
        ck_assert_int_ge(asprintf(&node, "%s/vdb", guest.dev), 0);
        ck_assert_ptr_nonnull(freopen(node, "r", stdin));
        free(node);
        guest_link(&guest, "dev/stdin", "/proc/self/fd/0");
        read_all();
        ck_assert_uint_eq(count_facts(disk, FACT_LINK, NULL), 0);
        ck_assert_int_eq(end(), STATE_INERT);
}
END_TEST

/* Needs the right to mount. */
START_TEST(links__other_file_system) {
        begin();
        guest_folder(&guest, "dev/shm");
        char *shm;
        ck_assert_int_ge(asprintf(&shm, "%s/shm", guest.dev), 0);
        if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
            mount("shm", shm, "tmpfs", 0, NULL) == 0) {
                guest_link(&guest, "dev/shm/x", "../vdb");
                read_all();
                ck_assert_uint_eq(count_facts(disk, FACT_LINK, NULL), 0);
                ck_assert_int_eq(umount(shm), 0);
        }
        free(shm);
        end();
}
END_TEST

START_TEST(links__no_node) {
        begin();
        guest_remove(&guest, "dev/vdb1");
        read_all();
        assert_one(partition, FACT_ERROR, "node: No such file or directory");
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

START_TEST(holders__named) {
        begin();
        guest_write(&guest, "sys/class/block/dm-0/dm/name", "vg-ro\tot\n");
        guest_folder(&guest, "sys/class/block/md127");
        guest_link(&guest, "sys/class/block/vdb/holders/dm-0", "../../dm-0");
        guest_link(&guest, "sys/class/block/vdb1/holders/md127", "../../md127");
        read_all();
        assert_one(disk, FACT_HOLDER, "dm-0:vg-ro\tot");
        assert_one(partition, FACT_HOLDER, "md127");
        ck_assert_int_eq(end(), STATE_LEAKING);
}
END_TEST

START_TEST(btrfs__member) {
        begin();
        guest_folder(&guest, "sys/fs/btrfs/features");
        guest_folder(&guest, "sys/fs/btrfs/12-34/devices/vda1");
        guest_folder(&guest, "sys/fs/btrfs/56-78/devices/vdb1");
        read_all();
        assert_one(partition, FACT_BTRFS, "56-78");
        ck_assert_uint_eq(count_facts(disk, FACT_BTRFS, NULL), 0);
        ck_assert_int_eq(end(), STATE_LEAKING);
}
END_TEST

START_TEST(mounts__by_number) {
        begin();
        guest_write(&guest, "proc/self/mountinfo",
                    "22 1 252:1 / / rw - ext4 /dev/vda1 rw\n"
                    "23 22 252:17 / /mnt\\040x ro - ext4 /dev/root ro\n");
        read_all();
        assert_one(partition, FACT_MOUNT, "/mnt x");
        ck_assert_uint_eq(count_facts(disk, FACT_MOUNT, NULL), 0);
        ck_assert_int_eq(end(), STATE_LEAKING);
}
END_TEST

/* A btrfs has a number that no device has. */
START_TEST(mounts__by_source) {
        begin();
        guest_link(&guest, "dev/disk/by-uuid/1234", "../../vdb1");
        guest_write(&guest, "proc/self/mountinfo", "22 1 0:40 / /mnt ro - btrfs %s ro\n",
                    _i == 0 ? "/dev/vdb1" : "/dev/disk/by-uuid/1234");
        read_all();
        assert_one(partition, FACT_MOUNT, "/mnt");
        ck_assert_int_eq(end(), STATE_LEAKING);
}
END_TEST

START_TEST(swaps__by_name) {
        begin();
        guest_link(&guest, "dev/disk/by-uuid/1234", "../../vdb1");
        guest_write(&guest, "proc/swaps",
                    "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
                    "/dev/vda2 partition 1 0 -2\n%s partition 1 0 -2\n",
                    _i == 0 ? "/dev/vdb1" : "/dev/disk/by-uuid/1234");
        read_all();
        ck_assert_uint_eq(count_facts(partition, FACT_SWAP, NULL), 1);
        ck_assert_int_eq(end(), STATE_LEAKING);
}
END_TEST

START_TEST(cmdline__opt_out) {
        begin();
        guest_write(&guest, "proc/cmdline", "ro baseimage_udev=off\n");
        read_all();
        assert_one(disk, FACT_OPT_OUT, "baseimage_udev=off");
        assert_one(partition, FACT_OPT_OUT, "baseimage_udev=off");
        ck_assert_int_eq(end(), STATE_INERT);
}
END_TEST

START_TEST(record__none) {
        begin();
        guest_remove(&guest, "run/udev/data/b252:16");
        if (_i == 1)
                guest_write(&guest, "run/udev/control", "%s", "");
        read_all();
        assert_one(disk, FACT_ERROR, _i == 1 ? "udev: has not processed it yet" : "udev: does not run");
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

/* What is not there, and what each device then says.  A folder in the place of
 * a file is there, and cannot be read even by root. */
static const struct {
        const char *remove, *folder, *error;
} unreadable[] = {
        { "sys/class/block/vdb1/dev", NULL, "dev: No such file or directory" },
        { "run/udev/data/b252:17", "run/udev/data/b252:17", "udev: Is a directory" },
        { "sys/class/block/vdb1/ro", "sys/class/block/vdb1/ro", "ro: Is a directory" },
        { "sys/class/block/vdb1/holders", NULL, "holders: No such file or directory" },
        { "proc/self/mountinfo", NULL, "self/mountinfo: No such file or directory" },
        { "proc/self/mountinfo", "proc/self/mountinfo", "self/mountinfo: Is a directory" },
        { "proc/cmdline", NULL, "cmdline: No such file or directory" },
};

START_TEST(read__unreadable) {
        const char *text;

        begin();
        guest_remove(&guest, unreadable[_i].remove);
        if (unreadable[_i].folder)
                guest_folder(&guest, unreadable[_i].folder);
        read_all();
        ck_assert_uint_ge(count_facts(partition, FACT_ERROR, &text), 1);
        ck_assert_str_eq(text, unreadable[_i].error);
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

/* What is in a file of the disk's, and what it then says. */
static const struct {
        const char *path, *content, *error;
} malformed[] = {
        { "sys/class/block/vdb/ro", "", "ro: No data available" },
        { "sys/class/block/vdb/dev", "252\n", "dev: Invalid argument" },
        { "proc/self/mountinfo", "22 1 nonsense\n", "mountinfo: Bad message" },
};

START_TEST(read__malformed) {
        begin();
        guest_write(&guest, malformed[_i].path, "%s", malformed[_i].content);
        read_all();
        assert_one(disk, FACT_ERROR, malformed[_i].error);
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

START_TEST(read__no_swap_support) {
        begin();
        guest_remove(&guest, "proc/swaps");
        read_all();
        ck_assert_int_eq(end(), STATE_INERT);
}
END_TEST

START_TEST(read__odd_btrfs) {
        begin();
        if (_i == 0)
                guest_write(&guest, "sys/fs/btrfs", "%s", "");
        else
                guest_write(&guest, "sys/fs/btrfs/1234/devices", "%s", "");
        read_all();
        ck_assert_uint_eq(count_facts(disk, FACT_ERROR, NULL), 1);
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

START_TEST(gone__never_inert) {
        begin();
        ck_assert_int_eq(facts_read(&guest.roots, &facts), 0);
        guest_remove(&guest, "sys/class/block/vdb1");
        ck_assert_int_eq(facts_check_gone(&guest.roots, &facts), 0);
        ck_assert(!disk->doubtful && partition->doubtful);
        assert_one(partition, FACT_ERROR, "gone: No such device");
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

/* As if it was looked at again and again while it goes: what went first. */
START_TEST(gone__before_reading) {
        begin();
        guest_remove(&guest, "sys/class/block/vdb1");
        guest_remove(&guest, "dev/vdb1");
        read_all();
        ck_assert(partition->doubtful);
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

/* Names, and which of vdb, vdb1 and vdc stay. */
static const struct {
        const char *names[2];
        const char *left;
} narrow[] = {
        { { "vdb" }, "vdb vdb1" },
        { { "vdb1" }, "vdb1" },
        { { "vdc" }, "vdc" },
        { { "vdc", "vdb1" }, "vdb1 vdc" },
        { { "DEV/vdb" }, "vdb vdb1" },
        { { "DEV/disk/by-id/virtio-BASEIMAGE" }, "vdb vdb1" },
        { { "DEV/vdc" }, "vdc" }, /* which has no node */
        { { "vda" }, NULL },
        { { "vdb2" }, NULL },
        { { "" }, NULL },
        { { "/" }, NULL },
        { { "vdb", "vda" }, NULL },
        { { "DEV/../vdb" }, NULL },
        { { "DEVvdb" }, NULL },
        { { "/tmp/vdb" }, NULL },
};

START_TEST(narrow__table) {
        const char *unknown = NULL;
        char *names[2] = { 0 }, left[64] = "";
        int used = 0;
        struct device *device;
        size_t n = 0;

        begin();
        ck_assert_int_eq(facts_add_device(&facts, "vdc", "vdc", "/sys/block/vdc", &device), 0);
        guest_link(&guest, "dev/disk/by-id/virtio-BASEIMAGE", "../../vdb");
        for (; n < 2 && narrow[_i].names[n]; n++) {
                const char *name = narrow[_i].names[n];
                bool below = strncmp(name, "DEV", 3) == 0;
                ck_assert_int_ge(asprintf(&names[n], "%s%s", below ? guest.dev : "", name + (below ? 3 : 0)),
                                 0);
        }

        int r = facts_narrow(&guest.roots, &facts, names, n, &unknown);
        if (narrow[_i].left) {
                ck_assert_int_eq(r, 0);
                for (size_t i = 0; i < facts.n_devices; i++)
                        used += snprintf(left + used, sizeof(left) - (size_t)used, "%s%s", i > 0 ? " " : "",
                                         facts.devices[i].name);
                ck_assert_str_eq(left, narrow[_i].left);
        } else {
                ck_assert_int_eq(r, -ENODEV);
                ck_assert_str_eq(unknown, names[n - 1]);
                ck_assert_uint_eq(facts.n_devices, 3);
        }
        free(names[0]);
        free(names[1]);
        end();
}
END_TEST

START_TEST(narrow__to_all) {
        begin();
        ck_assert_int_eq(facts_narrow(&guest.roots, &facts, NULL, 0, NULL), 0);
        ck_assert_uint_eq(facts.n_devices, 2);
        end();
}
END_TEST

/* A guest with a fact of every kind. */
static void make_leaking(void) {
        guest_link(&guest, "dev/disk/by-uuid/1234", "../../vdb1");
        guest_write(&guest, "sys/class/block/dm-0/dm/name", "vg-root\n");
        guest_link(&guest, "sys/class/block/vdb/holders/dm-0", "../../dm-0");
        guest_link(&guest, "sys/class/block/vdb/holders/md0", "../../md0");
        guest_folder(&guest, "sys/fs/btrfs/1234/devices/vdb1");
        guest_write(&guest, "proc/self/mountinfo", "22 1 252:17 / /mnt rw - ext4 /dev/vdb1 rw\n");
        guest_write(&guest, "proc/swaps", "/dev/vdb partition 1 0 -2\n");
        guest_write(&guest, "proc/cmdline", "baseimage_udev=off");
        guest_remove(&guest, "run/udev/data/b252:16");
        guest_write(&guest, "run/udev/data/b252:17", "E:SYSTEMD_READY=1\n");
}

/* One where much is missing. */
static void make_unreadable(void) {
        guest_remove(&guest, "proc/self/mountinfo");
        guest_remove(&guest, "proc/cmdline");
        guest_remove(&guest, "dev");
        guest_remove(&guest, "sys/class/block/vdb/dev");
        guest_write(&guest, "sys/fs/btrfs/1234/devices", "%s", "");
}

/* Whatever fails, in whichever guest, the answer is not "inert". */
START_TEST(faults__each_call_fails) {
        const char *failed;
        unsigned nth = 0;

        do {
                struct verdict verdict = { 0 };

                begin();
                if (_i == 1)
                        make_leaking();
                if (_i == 2)
                        make_unreadable();
                if (_i == 3)
                        guest_remove(&guest, "sys/class/block/vdb1");
                fault_arm(NULL, ++nth);
                int r = facts_read(&guest.roots, &facts);
                if (r == 0)
                        r = facts_check_gone(&guest.roots, &facts);
                if (r == 0)
                        r = verdict_reach(&facts, &verdict);
                failed = fault_disarm();
                if (failed && r == 0)
                        ck_assert_msg(verdict.state != STATE_INERT, "%s failed", failed);
                if (r < 0) {
                        ck_assert_ptr_nonnull(failed);
                        ck_assert_ptr_null(verdict.findings);
                }
                verdict_done(&verdict);
                end();
        } while (failed);
        ck_assert_uint_gt(nth, 20);
}
END_TEST

START_TEST(faults__narrow) {
        const char *failed, *unknown;
        char *names[] = { (char *)"vdb1", (char *)"/dev/vdb" };
        unsigned nth = 0;

        do {
                begin();
                fault_arm(NULL, ++nth);
                int r = facts_narrow(&guest.roots, &facts, names, 1 + (size_t)_i, &unknown);
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
                int r = facts_add_device(&facts, "vdb1", "vdb", "/sys/block/vdb/vdb1", &device);
                failed = fault_disarm();
                ck_assert_int_eq(r, failed ? -ENOMEM : 0);
                facts_done(&facts);
        } while (failed);
}
END_TEST

int main(void) {
        const struct test_case cases[] = {
                { "read__inert", read__inert, 0 },
                { "read__no_devices_no_reading", read__no_devices_no_reading, 0 },
                { "access__writable", access__writable, 0 },
                { "links__table", links__table, N(links) },
                { "links__chain", links__chain, 0 },
                { "links__own", links__own, 0 },
                { "links__own_standard_input", links__own_standard_input, 0 },
                { "links__other_file_system", links__other_file_system, 0 },
                { "links__no_node", links__no_node, 0 },
                { "holders__named", holders__named, 0 },
                { "btrfs__member", btrfs__member, 0 },
                { "mounts__by_number", mounts__by_number, 0 },
                { "mounts__by_source", mounts__by_source, 2 },
                { "swaps__by_name", swaps__by_name, 2 },
                { "cmdline__opt_out", cmdline__opt_out, 0 },
                { "record__none", record__none, 2 },
                { "read__unreadable", read__unreadable, N(unreadable) },
                { "read__malformed", read__malformed, N(malformed) },
                { "read__no_swap_support", read__no_swap_support, 0 },
                { "read__odd_btrfs", read__odd_btrfs, 2 },
                { "gone__never_inert", gone__never_inert, 0 },
                { "gone__before_reading", gone__before_reading, 0 },
                { "narrow__table", narrow__table, N(narrow) },
                { "faults__each_call_fails", faults__each_call_fails, 4 },
                { "faults__narrow", faults__narrow, 2 },
                { "faults__add_device", faults__add_device, 0 },
                { "narrow__to_all", narrow__to_all, 0 },
        };
        return run_tests("status-facts", cases, N(cases));
}
