/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "status-faults.h"
#include "status-test.h"

static void read_all(void) {
        disk->recorded = partition->recorded = true;
        ck_assert_int_eq(dev_read(&facts), 0);
}

/* Where a link is and leads to, and to which device: 0 the disk, 1 the partition, -1 none. */
static const struct {
        const char *path, *target;
        int whose;
} links[] = {
        { "dev/disk/by-uuid/1234", "../../vdb1", 1 },
        { "dev/disk/by-path/x", "../../vdb", 0 },
        { "dev/x", "disk/by-uuid/../../vdb", -1 }, /* no such folder */
        { "dev/y", "vda", -1 },
        { "dev/z", "vdb2", -1 },
        { "dev/loop", "loop", -1 },
        { "dev/of-somebody", "../dev/vdb1", 1 },
        { "dev/chain", "baseimage-part1", 1 },
        { "dev/outside", "../proc/vdb", -1 },
        { "dev/stdin", "vdb", -1 },
        { "dev/a/b/c/d/e", "../../../../vdb", 0 },
};

START_TEST(links__table) {
        char link[64];

        begin();
        guest_write("proc/vdb", "%s", "");
        guest_link(links[_i].path, links[_i].target);
        read_all();
        snprintf(link, sizeof(link), "/%s", links[_i].path);
        for (int i = 0; i < 2; i++) {
                const struct device *device = &facts.devices[i];
                bool found = false;

                for (size_t j = 0; j < device->n_facts; j++)
                        found |= strcmp(device->facts[j].text, link) == 0;
                ck_assert_int_eq(found, links[_i].whose == i);
                /* Those of the rule, too, and of udev. */
                ck_assert_uint_eq(device->n_facts, 2U + found + (unsigned)i);
        }
        ck_assert_uint_eq(facts.system.n_facts, 0);
        end();
}
END_TEST

/* Needs the right to mount. */
START_TEST(links__other_file_system) {
        begin();
        guest_folder("dev/shm");
        char *shm = text_format("%s/dev/shm", guest_root);
        if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
            mount("shm", shm, "tmpfs", 0, NULL) == 0) {
                guest_link("dev/shm/x", "../vdb");
                read_all();
                ck_assert_uint_eq(count_facts(disk, KIND_LINK), 2);
                ck_assert_int_eq(umount(shm), 0);
        }
        free(shm);
        end();
}
END_TEST

START_TEST(links__no_folder) {
        begin();
        guest_remove("dev");
        ck_assert_int_eq(dev_read(&facts), 0);
        ck_assert_uint_eq(disk->n_facts + facts.system.n_facts, 0);
        end();
}
END_TEST

/* Root may look into every folder. */
START_TEST(links__unreadable_folder) {
        bool root = geteuid() == 0;

        begin();
        guest_folder("dev/secret");
        char *path = text_format("%s/dev/secret", guest_root);
        ck_assert_int_eq(chmod(path, 0), 0);
        ck_assert_int_eq(chmod(guest_root, 0755), 0);
        if (root)
                ck_assert_int_eq(seteuid(65534), 0);
        read_all();
        if (root)
                ck_assert_int_eq(seteuid(0), 0);
        ck_assert_int_eq(chmod(path, 0755), 0);
        free(path);
        assert_one(&facts.system, KIND_ERROR, "/dev/secret: Permission denied");
        end();
}
END_TEST

/* A link of the rule's, where it leads instead, and what is said. */
static const struct {
        const char *path, *target, *said;
} names[] = {
        { "dev/baseimage", NULL, "/dev/baseimage does not lead to /dev/vdb" },
        { "dev/baseimage", "vda", "/dev/baseimage does not lead to /dev/vdb" },
        { "dev/baseimage", "vdb1", "/dev/baseimage does not lead to /dev/vdb" },
        { "dev/baseimage-part1", "vdb", "/dev/baseimage-part1 does not lead to /dev/vdb1" },
        { "dev/disk/by-id/virtio-BASEIMAGE", NULL,
          "/dev/disk/by-id/virtio-BASEIMAGE does not lead to /dev/vdb" },
        { "dev/disk/by-id/virtio-BASEIMAGE", "../../vda",
          "/dev/disk/by-id/virtio-BASEIMAGE does not lead to /dev/vdb" },
        { "dev/baseimage", "vdc", NULL }, /* another base image */
        { "dev/baseimage", "disk/by-id/virtio-BASEIMAGE", NULL },
};

START_TEST(names__table) {
        begin();
        guest_write("dev/vda", "%s", "");
        guest_add("vdc", 32);
        add_vdc()->recorded = true;
        guest_remove(names[_i].path);
        if (names[_i].target)
                guest_link(names[_i].path, names[_i].target);
        read_all();
        ck_assert_uint_eq(facts.system.n_facts, names[_i].said ? 1 : 0);
        if (names[_i].said)
                assert_one(&facts.system, KIND_NAME, names[_i].said);
        end();
}
END_TEST

/* What udev has not processed has no links yet; if the first has not, the second has. */
START_TEST(names__unrecorded) {
        begin();
        add_vdc()->recorded = _i == 1;
        guest_remove("dev/baseimage");
        ck_assert_int_eq(dev_read(&facts), 0);
        ck_assert_uint_eq(count_facts(&facts.system, KIND_NAME), (unsigned)_i);
        end();
}
END_TEST

START_TEST(faults__each_call_fails) {
        const char *failed;
        unsigned nth = 0;

        do {
                begin_inert();
                guest_new();
                facts.root = guest_root;
                if (_i == 1)
                        guest_remove("dev/baseimage");
                fault_arm(NULL, ++nth);
                int r = dev_read(&facts);
                failed = fault_disarm();
                enum state state = end();
                if (r == 0)
                        ck_assert_int_eq(state, _i == 1  ? STATE_LEAKING
                                                : failed ? STATE_UNKNOWN
                                                         : STATE_INERT);
                else
                        ck_assert_int_eq(failed ? r : 0, -ENOMEM);
        } while (failed);
        ck_assert_uint_gt(nth, 20);
}
END_TEST

int main(void) {
        const struct test_case cases[] = {
                { "links__table", links__table, N(links) },
                { "links__other_file_system", links__other_file_system, 0 },
                { "links__no_folder", links__no_folder, 0 },
                { "links__unreadable_folder", links__unreadable_folder, 0 },
                { "names__table", names__table, N(names) },
                { "names__unrecorded", names__unrecorded, 2 },
                { "faults__each_call_fails", faults__each_call_fails, 2 },
        };
        return run_tests("status-dev", cases, N(cases));
}
