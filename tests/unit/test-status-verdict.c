/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "baseimage.h"
#include "config.h"
#include "status-faults.h"
#include "status-test.h"

START_TEST(none__no_devices) {
        facts = (struct facts){ 0 };
        ck_assert_int_eq(facts_add_error(&facts.system, "/dev", ENOENT), 0);
        judge();
        ck_assert_uint_eq(verdict.n_findings, 0);
        ck_assert_int_eq(end(), STATE_NONE);
}
END_TEST

START_TEST(inert__contract_kept) {
        begin_inert();
        judge();
        ck_assert_int_eq(verdict.state, STATE_INERT);
        ck_assert_uint_eq(verdict.n_findings, 0);
        ck_assert_int_eq(verdict_of(&verdict, partition, false), STATE_INERT);
        ck_assert_int_eq(verdict_of(&verdict, disk, true), STATE_INERT);
        end();
}
END_TEST

/* One fact more of the partition vdb1 (252:17), and what becomes of it. */
static const struct {
        enum kind kind;
        const char *text;
        enum state state;
        const char *name;   /* of the finding; NULL: none */
        const char *remedy; /* some of it */
} one_fact[] = {
        { KIND_PROPERTY, "ID_FS_TYPE=ext4", STATE_LEAKING, "property", "install baseimage-udev" },
        { KIND_PROPERTY, "ID_FS_UUID=1234", STATE_LEAKING, "property", "udevadm test" },
        { KIND_PROPERTY, "ID_PART_ENTRY_UUID=1234", STATE_LEAKING, "property", "" },
        { KIND_PROPERTY, "ID_PART_TABLE_TYPE=gpt", STATE_LEAKING, "property", "" },
        { KIND_PROPERTY, "ID_FS_UUID=", STATE_INERT, NULL, NULL },
        { KIND_PROPERTY, "ID_FS_UUID", STATE_INERT, NULL, NULL },
        { KIND_PROPERTY, "ID_PATH=pci-0000:00:05.0", STATE_INERT, NULL, NULL },
        { KIND_PROPERTY, "PARTNAME=root", STATE_INERT, NULL, NULL },
        { KIND_LINK, "/dev/baseimage-part1", STATE_INERT, NULL, NULL },
        { KIND_LINK, "/dev/baseimage", STATE_LEAKING, "link", "" }, /* it is the disk's */
        { KIND_LINK, "/dev/disk/by-id/virtio-BASEIMAGE-part1", STATE_INERT, NULL, NULL },
        { KIND_LINK, "/dev/block/252:17", STATE_INERT, NULL, NULL },
        { KIND_LINK, "/dev/baseimage-part2", STATE_LEAKING, "link", "" },
        { KIND_LINK, "/dev/baseimage-part01", STATE_LEAKING, "link", "" },
        { KIND_LINK, "/dev/baseimage-part1x", STATE_LEAKING, "link", "" },
        { KIND_LINK, "/dev/baseimage-part", STATE_LEAKING, "link", "" },
        { KIND_LINK, "/dev/baseimages", STATE_LEAKING, "link", "" },
        { KIND_LINK, "/dev/block/252:16", STATE_LEAKING, "link", "" },
        { KIND_LINK, "/dev/block/253:17", STATE_LEAKING, "link", "" },
        { KIND_LINK, "/dev/block/252", STATE_LEAKING, "link", "" },
        { KIND_LINK, "/dev/block/252:17x", STATE_LEAKING, "link", "" },
        { KIND_LINK, "/dev/disk/by-uuid/1234", STATE_LEAKING, "link", "grep -r SYMLINK" },
        { KIND_LINK, "/dev/disk/by-path/pci-0000:00:05.0-part1", STATE_LEAKING, "link", "" },
        { KIND_UNIT, "dev-vdb1.device", STATE_LEAKING, "unit", "systemctl stop" },
        { KIND_HOLDER, "dm-0:vg-root", STATE_LEAKING, "holder", "vgchange -an" },
        { KIND_BTRFS, "1234", STATE_LEAKING, "btrfs", "btrfs device scan --forget" },
        { KIND_MOUNT, "/mnt", STATE_LEAKING, "mount", "umount" },
        { KIND_MOUNT, "/", STATE_LEAKING, "mount", "baseimage_udev=off" },
        { KIND_BARE_DISK, "LVM physical volume", STATE_INERT, "bare-disk", "baseimage-udev(7)" },
        { KIND_SWAP, "/dev/vdb1", STATE_LEAKING, "swap", "swapoff" },
        { KIND_ERROR, "ro: Input/output error", STATE_UNKNOWN, "error", "as root" },
};

START_TEST(one_fact__table) {
        begin_inert();
        ck_assert_int_eq(facts_add(&facts.devices[1], one_fact[_i].kind, "%s", one_fact[_i].text), 0);
        judge();
        ck_assert_int_eq(verdict.state, one_fact[_i].state);
        ck_assert_int_eq(verdict_of(&verdict, disk, false), STATE_INERT);
        ck_assert_int_eq(verdict_of(&verdict, partition, false), one_fact[_i].state);
        ck_assert_int_eq(verdict_of(&verdict, disk, true), one_fact[_i].state);
        ck_assert_uint_eq(verdict.n_findings, one_fact[_i].name ? 1 : 0);
        if (one_fact[_i].name) {
                ck_assert_ptr_eq(verdict.findings[0].device, &facts.devices[1]);
                ck_assert_str_eq(verdict.findings[0].kind, one_fact[_i].name);
                ck_assert_str_eq(verdict.findings[0].evidence, one_fact[_i].text);
                ck_assert_ptr_nonnull(strstr(verdict.findings[0].remedy, one_fact[_i].remedy));
                ck_assert_ptr_null(strchr(verdict.findings[0].remedy, '\n'));
        }
        end();
}
END_TEST

static void set_property(struct device *device, const char *from, const char *to) {
        for (size_t i = 0; i < device->n_facts; i++)
                if (strcmp(device->facts[i].text, from) == 0) {
                        free(device->facts[i].text);
                        device->facts[i].text = strdup(to);
                        return;
                }
        ck_abort_msg("no such property");
}

/* Each mark of the rule's, another value of it, and one with a longer name. */
static const char *const marks[][3] = {
#define MARK(key, value, readers) { key "=" value, key "_NOT=" value, readers },
#include "marks.h"
#undef MARK
};

static const char *const values[] = { "", "x", "00" };

START_TEST(missing__each_mark) {
        const char *mark = marks[_i][0];

        for (size_t i = 0; i <= N(values); i++) {
                char other[128], expected[256];

                begin_inert();
                snprintf(other, sizeof(other), "%.*s=%s", (int)strcspn(mark, "="), mark,
                         values[i % N(values)]);
                set_property(partition, mark, i < N(values) ? other : marks[_i][1]);
                judge();
                ck_assert_uint_eq(verdict.n_findings, 1);
                ck_assert_str_eq(verdict.findings[0].kind, "missing");
                snprintf(expected, sizeof(expected), "%s for %s", mark, marks[_i][2]);
                ck_assert_str_eq(verdict.findings[0].evidence, expected);
                ck_assert_str_eq(severity_to_string(verdict.findings[0].severity), "leak");
                ck_assert_int_eq(verdict_of(&verdict, disk, false), STATE_INERT);
                ck_assert_int_eq(end(), STATE_LEAKING);
        }
}
END_TEST

/* What the helper prints is what the rule sets by itself, if the helper is not there. */
START_TEST(marks__of_the_helper) {
        const char *line = baseimage_properties(BASEIMAGE_SERIAL);
        unsigned found = 0;

        for (; *line; line += strcspn(line, "\n") + 1)
                for (size_t i = 0; i < N(marks); i++)
                        found += strncmp(line, marks[i][0], strcspn(line, "\n")) == 0;
        ck_assert_uint_eq(found, 2);
        ck_assert_uint_ge(N(marks), 6);
}
END_TEST

/* A value of the option, what is said of it, and of the partition that has a node. */
static const struct {
        const char *value, *kind;
        bool partition;
} options[] = {
        { "", NULL, true },          { "partitions", NULL, false },
        { "off", "opt-out", false }, { "Partitions", "option", true },
        { "on", "option", true },
};

START_TEST(option__table) {
        unsigned n = 0;

        begin_inert();
        for (size_t i = 0; i < 2; i++) {
                char *text = text_format(BASEIMAGE_OPTION "=%s", options[_i].value);
                set_property(&facts.devices[i], BASEIMAGE_OPTION "=partitions", text);
                free(text);
        }
        judge();
        if (options[_i].partition) {
                ck_assert_str_eq(verdict.findings[n].kind, "partition");
                ck_assert_str_eq(verdict.findings[n++].evidence, "/dev/vdb1");
        }
        if (options[_i].kind) {
                /* Once, and no device's. */
                ck_assert_str_eq(verdict.findings[n].kind, options[_i].kind);
                ck_assert_ptr_eq(verdict.findings[n].device, &facts.system);
                ck_assert_int_eq(verdict.findings[n++].severity, SEVERITY_NOTE);
        }
        ck_assert_uint_eq(verdict.n_findings, n);
        ck_assert_int_eq(end(), options[_i].partition ? STATE_LEAKING : STATE_INERT);
}
END_TEST

/* What is no one device's is each one's, and said once. */
static const struct {
        enum kind kind;
        enum state state;
        const char *name;
} of_system[] = {
        { KIND_NAME, STATE_LEAKING, "name" },
        { KIND_INITRAMFS, STATE_LEAKING, "initramfs" },
        { KIND_ERROR, STATE_UNKNOWN, "error" },
};

START_TEST(system__table) {
        begin_inert();
        ck_assert_int_eq(facts_add(&facts.system, of_system[_i].kind, "x\n"), 0);
        judge();
        ck_assert_uint_eq(verdict.n_findings, 1);
        ck_assert_str_eq(verdict.findings[0].kind, of_system[_i].name);
        ck_assert_str_eq(verdict.findings[0].evidence, "x\\x0a");
        ck_assert_int_eq(verdict_of(&verdict, disk, false), of_system[_i].state);
        ck_assert_int_eq(verdict_of(&verdict, partition, false), of_system[_i].state);
        ck_assert_int_eq(end(), of_system[_i].state);
}
END_TEST

/* Of another disk, nothing. */
START_TEST(whole__of_another_disk) {
        begin_inert();
        struct device *other = add_vdc();
        ck_assert_int_eq(facts_add(partition, KIND_SWAP, "x"), 0);
        judge();
        ck_assert_int_eq(verdict_of(&verdict, other, true), STATE_INERT);
        ck_assert_int_eq(verdict_of(&verdict, disk, true), STATE_LEAKING);
        end();
}
END_TEST

START_TEST(faults__each_call_fails) {
        const char *failed;
        unsigned nth = 0;

        do {
                begin_inert();
                set_property(disk, marks[0][0], "X=");
                set_property(disk, BASEIMAGE_OPTION "=partitions", BASEIMAGE_OPTION "=on");
                ck_assert_int_eq(facts_add(&facts.system, KIND_ERROR, "x"), 0);
                fault_arm(NULL, ++nth);
                int r = verdict_reach(&facts, &verdict);
                failed = fault_disarm();
                ck_assert_int_eq(r, failed ? -ENOMEM : 0);
                ck_assert_uint_eq(verdict.n_findings, failed ? 0 : 3);
                end();
        } while (failed);
        ck_assert_uint_gt(nth, 5);
}
END_TEST

START_TEST(access__writable_is_a_note) {
        begin_inert();
        facts.devices[0].read_only = false;
        judge();
        ck_assert_int_eq(verdict.state, STATE_INERT);
        ck_assert_uint_eq(verdict.n_findings, 1);
        ck_assert_str_eq(verdict.findings[0].kind, "access");
        ck_assert_str_eq(severity_to_string(verdict.findings[0].severity), "note");
        end();
}
END_TEST

START_TEST(unrecorded__contract_unknown) {
        begin_inert();
        facts.devices[1].recorded = false;
        set_property(&facts.devices[1], "SYSTEMD_READY=0", "X=0");
        ck_assert_int_eq(facts_add(&facts.devices[1], KIND_ERROR, "udev: does not run"), 0);
        judge();
        ck_assert_int_eq(verdict.state, STATE_UNKNOWN);
        ck_assert_uint_eq(verdict.n_findings, 1);
        end();
}
END_TEST

/* What is gone may have left anything behind, under a name that is another's now. */
START_TEST(doubtful__only_errors_count) {
        begin_inert();
        facts.devices[0].doubtful = true;
        facts.devices[0].read_only = false;
        ck_assert_int_eq(facts_add(&facts.devices[0], KIND_MOUNT, "/"), 0);
        ck_assert_int_eq(facts_add(&facts.devices[0], KIND_ERROR, "gone"), 0);
        judge();
        ck_assert_int_eq(verdict.state, STATE_UNKNOWN);
        ck_assert_uint_eq(verdict.n_findings, 1);
        ck_assert_str_eq(verdict.findings[0].evidence, "gone");
        ck_assert_str_eq(severity_to_string(verdict.findings[0].severity), "unknown");
        end();
}
END_TEST

/* In either order. */
START_TEST(leak_and_error__leaking) {
        begin_inert();
        ck_assert_int_eq(facts_add(&facts.devices[_i], KIND_ERROR, "x"), 0);
        ck_assert_int_eq(facts_add(&facts.devices[1 - _i], KIND_SWAP, "x"), 0);
        judge();
        ck_assert_int_eq(verdict.state, STATE_LEAKING);
        ck_assert_int_eq(verdict_of(&verdict, disk, true), STATE_LEAKING);
        ck_assert_int_eq(verdict_of(&verdict, &facts.devices[_i], false), STATE_UNKNOWN);
        end();
}
END_TEST

int main(void) {
        const struct test_case cases[] = {
                { "none__no_devices", none__no_devices, 0 },
                { "inert__contract_kept", inert__contract_kept, 0 },
                { "one_fact__table", one_fact__table, N(one_fact) },
                { "missing__each_mark", missing__each_mark, N(marks) },
                { "marks__of_the_helper", marks__of_the_helper, 0 },
                { "option__table", option__table, N(options) },
                { "system__table", system__table, N(of_system) },
                { "whole__of_another_disk", whole__of_another_disk, 0 },
                { "faults__each_call_fails", faults__each_call_fails, 0 },
                { "access__writable_is_a_note", access__writable_is_a_note, 0 },
                { "unrecorded__contract_unknown", unrecorded__contract_unknown, 0 },
                { "doubtful__only_errors_count", doubtful__only_errors_count, 0 },
                { "leak_and_error__leaking", leak_and_error__leaking, 2 },
        };
        return run_tests("status-verdict", cases, N(cases));
}
