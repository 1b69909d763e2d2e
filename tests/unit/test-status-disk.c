/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "status-faults.h"
#include "status-test.h"

/* Writes a label into the sector, and what follows it into the file, in all so many bytes. */
static void write_label(const char *path, int sector, const char *id, const char *type, long size) {
        char *full = text_format("%s/%s", guest_root, path);
        FILE *file = fopen(full, "w");

        ck_assert_ptr_nonnull(file);
        fseek(file, sector * 512L, SEEK_SET);
        fprintf(file, "%-24s%s", id, type);
        fflush(file);
        ck_assert_int_eq(ftruncate(fileno(file), size), 0);
        fclose(file);
        free(full);
}

static const struct {
        int sector;
        const char *id, *type;
        long size;
        bool is;
} labels[] = {
        { 1, "LABELONE", "LVM2 001", 8192, true },
        { 0, "LABELONE", "LVM2 001", 8192, true },
        { 3, "LABELONE", "LVM2 001", 8192, true },
        { 4, "LABELONE", "LVM2 001", 8192, false },
        { 1, "LABELTWO", "LVM2 001", 8192, false },
        { 1, "LABELONE", "LVM2 002", 8192, false },
        { 1, "", "", 8192, false },
        { 0, "LABELONE", "LVM2 001", 512, true },
        { 0, "LABELONE", "LVM2 001", 511, false },
        { 1, "", "", 0, false },
};

START_TEST(label__table) {
        begin_inert();
        guest_new();
        facts.root = guest_root;
        write_label("dev/vdb", labels[_i].sector, labels[_i].id, labels[_i].type, labels[_i].size);
        ck_assert_int_eq(disk_read(&facts), 0);
        ck_assert_uint_eq(count_facts(disk, KIND_BARE_DISK), labels[_i].is);
        if (labels[_i].is)
                assert_one(disk, KIND_BARE_DISK, "LVM physical volume");
        /* A note: what LVM does with it, its configuration says. */
        ck_assert_int_eq(end(), STATE_INERT);
}
END_TEST

START_TEST(label__of_partition) {
        begin();
        write_label("dev/vdb1", 1, "LABELONE", "LVM2 001", 8192);
        ck_assert_int_eq(disk_read(&facts), 0);
        ck_assert_uint_eq(disk->n_facts + partition->n_facts, 0);
        end();
}
END_TEST

START_TEST(label__unreadable) {
        begin();
        guest_remove("dev/vdb");
        if (_i == 1)
                guest_folder("dev/vdb");
        ck_assert_int_eq(disk_read(&facts), 0);
        assert_one(disk, KIND_ERROR, _i == 0 ? "disk: No such file or directory" : "disk: Is a directory");
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

START_TEST(label__doubtful) {
        begin();
        disk->doubtful = true;
        guest_remove("dev/vdb");
        ck_assert_int_eq(disk_read(&facts), 0);
        ck_assert_uint_eq(disk->n_facts, 0);
        end();
}
END_TEST

/* Root may read everything. */
START_TEST(label__not_root) {
        bool root = geteuid() == 0;

        begin();
        char *path = text_format("%s/dev/vdb", guest_root);
        ck_assert_int_eq(chmod(path, 0), 0);
        ck_assert_int_eq(chmod(guest_root, 0755), 0);
        free(path);
        if (root)
                ck_assert_int_eq(seteuid(65534), 0);
        ck_assert_int_eq(disk_read(&facts), 0);
        if (root)
                ck_assert_int_eq(seteuid(0), 0);
        assert_one(disk, KIND_BARE_DISK, "cannot tell: not allowed to read it");
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
                fault_arm(NULL, ++nth);
                int r = disk_read(&facts);
                failed = fault_disarm();
                enum state state = end();
                ck_assert(r == 0 || (failed && r == -ENOMEM));
                if (r == 0)
                        ck_assert_int_eq(state, failed ? STATE_UNKNOWN : STATE_INERT);
        } while (failed);
        ck_assert_uint_gt(nth, 3);
}
END_TEST

int main(void) {
        const struct test_case cases[] = {
                { "label__table", label__table, N(labels) },
                { "label__of_partition", label__of_partition, 0 },
                { "label__unreadable", label__unreadable, 2 },
                { "label__doubtful", label__doubtful, 0 },
                { "label__not_root", label__not_root, 0 },
                { "faults__each_call_fails", faults__each_call_fails, 0 },
        };
        return run_tests("status-disk", cases, N(cases));
}
