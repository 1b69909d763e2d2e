/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "status-test.h"
#include "verdict.h"

#define N(array) (sizeof(array) / sizeof(*(array)))

static struct facts facts;
static struct verdict verdict;

static void judge(void) {
        ck_assert_int_eq(verdict_reach(&facts, &verdict), 0);
}

static void done(void) {
        verdict_done(&verdict);
        facts_done(&facts);
}

START_TEST(none__no_devices) {
        facts = (struct facts){ 0 };
        judge();
        ck_assert_int_eq(verdict.state, STATE_NONE);
        ck_assert_uint_eq(verdict.n_findings, 0);
        done();
}
END_TEST

START_TEST(inert__contract_kept) {
        inert_devices(&facts);
        judge();
        ck_assert_int_eq(verdict.state, STATE_INERT);
        ck_assert_uint_eq(verdict.n_findings, 0);
        ck_assert_int_eq(verdict_of_device(&verdict, &facts.devices[1]), STATE_INERT);
        ck_assert_int_eq(verdict_of_disk(&verdict, "vdb"), STATE_INERT);
        done();
}
END_TEST

/* One fact more of the partition vdb1 (252:17), and what becomes of it. */
static const struct {
        enum fact_kind kind;
        const char *text;
        enum state state;
        const char *name;   /* of the finding; NULL: none */
        const char *remedy; /* some of it */
} one_fact[] = {
        { FACT_PROPERTY, "ID_FS_TYPE=ext4", STATE_LEAKING, "property", "install baseimage-udev" },
        { FACT_PROPERTY, "ID_FS_UUID=1234", STATE_LEAKING, "property", "udevadm test" },
        { FACT_PROPERTY, "ID_PART_ENTRY_UUID=1234", STATE_LEAKING, "property", "" },
        { FACT_PROPERTY, "ID_PART_TABLE_TYPE=gpt", STATE_LEAKING, "property", "" },
        { FACT_PROPERTY, "ID_FS_UUID=", STATE_INERT, NULL, NULL },
        { FACT_PROPERTY, "ID_FS_UUID", STATE_INERT, NULL, NULL },
        { FACT_PROPERTY, "ID_PATH=pci-0000:00:05.0", STATE_INERT, NULL, NULL },
        { FACT_PROPERTY, "PARTNAME=root", STATE_INERT, NULL, NULL },
        { FACT_LINK, "/dev/baseimage-part1", STATE_INERT, NULL, NULL },
        { FACT_LINK, "/dev/baseimage", STATE_INERT, NULL, NULL },
        { FACT_LINK, "/dev/disk/by-id/virtio-BASEIMAGE-part1", STATE_INERT, NULL, NULL },
        { FACT_LINK, "/dev/block/252:17", STATE_INERT, NULL, NULL },
        { FACT_LINK, "/dev/baseimage-part2", STATE_LEAKING, "link", "" },
        { FACT_LINK, "/dev/baseimage-part01", STATE_LEAKING, "link", "" },
        { FACT_LINK, "/dev/baseimage-part1x", STATE_LEAKING, "link", "" },
        { FACT_LINK, "/dev/baseimage-part", STATE_LEAKING, "link", "" },
        { FACT_LINK, "/dev/baseimages", STATE_LEAKING, "link", "" },
        { FACT_LINK, "/dev/block/252:16", STATE_LEAKING, "link", "" },
        { FACT_LINK, "/dev/block/253:17", STATE_LEAKING, "link", "" },
        { FACT_LINK, "/dev/block/252", STATE_LEAKING, "link", "" },
        { FACT_LINK, "/dev/block/252:17x", STATE_LEAKING, "link", "" },
        { FACT_LINK, "/dev/disk/by-uuid/1234", STATE_LEAKING, "link", "grep -r SYMLINK" },
        { FACT_LINK, "/dev/disk/by-path/pci-0000:00:05.0-part1", STATE_LEAKING, "link", "" },
        { FACT_UNIT, "dev-vdb1.device", STATE_LEAKING, "unit", "systemctl stop" },
        { FACT_HOLDER, "dm-0:vg-root", STATE_LEAKING, "holder", "vgchange -an" },
        { FACT_BTRFS, "1234", STATE_LEAKING, "btrfs", "btrfs device scan --forget" },
        { FACT_MOUNT, "/mnt", STATE_LEAKING, "mount", "umount" },
        { FACT_MOUNT, "/", STATE_LEAKING, "mount", "baseimage_udev=off" },
        { FACT_SWAP, "/dev/vdb1", STATE_LEAKING, "swap", "swapoff" },
        { FACT_INITRAMFS, "/boot/initrd.img", STATE_LEAKING, "initramfs", "update-initramfs -u" },
        { FACT_OPT_OUT, "baseimage_udev=off", STATE_INERT, "opt-out", "without this option" },
        { FACT_ERROR, "ro: Input/output error", STATE_UNKNOWN, "error", "as root" },
};

START_TEST(one_fact__table) {
        inert_devices(&facts);
        ck_assert_int_eq(facts_add(&facts.devices[1], one_fact[_i].kind, "%s", one_fact[_i].text), 0);
        judge();
        ck_assert_int_eq(verdict.state, one_fact[_i].state);
        ck_assert_int_eq(verdict_of_device(&verdict, &facts.devices[0]), STATE_INERT);
        ck_assert_int_eq(verdict_of_device(&verdict, &facts.devices[1]), one_fact[_i].state);
        ck_assert_int_eq(verdict_of_disk(&verdict, "vdb"), one_fact[_i].state);
        ck_assert_int_eq(verdict_of_disk(&verdict, "vdc"), STATE_INERT);
        ck_assert_uint_eq(verdict.n_findings, one_fact[_i].name ? 1 : 0);
        if (one_fact[_i].name) {
                ck_assert_ptr_eq(verdict.findings[0].device, &facts.devices[1]);
                ck_assert_str_eq(verdict.findings[0].kind, one_fact[_i].name);
                ck_assert_str_eq(verdict.findings[0].evidence, one_fact[_i].text);
                ck_assert_ptr_nonnull(strstr(verdict.findings[0].remedy, one_fact[_i].remedy));
                ck_assert_ptr_null(strchr(verdict.findings[0].remedy, '\n'));
        }
        done();
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

/* The contract broken in one property. */
static const char *const broken[][2] = {
        { "SYSTEMD_READY=0", "SYSTEMD_READY=1" }, { "SYSTEMD_READY=0", "SYSTEMD_READY=00" },
        { "SYSTEMD_READY=0", "SYSTEMD_READY=" },  { "SYSTEMD_READY=0", "SYSTEMD_READY_NOT=0" },
        { "SYSTEMD_READY=0", "OTHER=0" },         { "SYSTEMD_IGNORE=1", "SYSTEMD_IGNORE=0" },
};

START_TEST(missing__table) {
        inert_devices(&facts);
        set_property(&facts.devices[0], broken[_i][0], broken[_i][1]);
        judge();
        ck_assert_int_eq(verdict.state, STATE_LEAKING);
        ck_assert_uint_eq(verdict.n_findings, 1);
        ck_assert_str_eq(verdict.findings[0].kind, "missing");
        ck_assert_str_eq(verdict.findings[0].evidence, broken[_i][0]);
        ck_assert_str_eq(severity_to_string(verdict.findings[0].severity), "leak");
        done();
}
END_TEST

START_TEST(access__writable_is_a_note) {
        inert_devices(&facts);
        facts.devices[0].read_only = false;
        judge();
        ck_assert_int_eq(verdict.state, STATE_INERT);
        ck_assert_uint_eq(verdict.n_findings, 1);
        ck_assert_str_eq(verdict.findings[0].kind, "access");
        ck_assert_str_eq(severity_to_string(verdict.findings[0].severity), "note");
        done();
}
END_TEST

START_TEST(unrecorded__contract_unknown) {
        inert_devices(&facts);
        facts.devices[1].recorded = false;
        set_property(&facts.devices[1], "SYSTEMD_READY=0", "X=0");
        ck_assert_int_eq(facts_add(&facts.devices[1], FACT_ERROR, "udev: does not run"), 0);
        judge();
        ck_assert_int_eq(verdict.state, STATE_UNKNOWN);
        ck_assert_uint_eq(verdict.n_findings, 1);
        done();
}
END_TEST

/* What is gone may have left anything behind, under a name that is another's now. */
START_TEST(doubtful__only_errors_count) {
        inert_devices(&facts);
        facts.devices[0].doubtful = true;
        facts.devices[0].read_only = false;
        ck_assert_int_eq(facts_add(&facts.devices[0], FACT_MOUNT, "/"), 0);
        ck_assert_int_eq(facts_add(&facts.devices[0], FACT_ERROR, "gone"), 0);
        judge();
        ck_assert_int_eq(verdict.state, STATE_UNKNOWN);
        ck_assert_uint_eq(verdict.n_findings, 1);
        ck_assert_str_eq(verdict.findings[0].evidence, "gone");
        ck_assert_str_eq(severity_to_string(verdict.findings[0].severity), "unknown");
        done();
}
END_TEST

/* In either order. */
START_TEST(leak_and_error__leaking) {
        inert_devices(&facts);
        ck_assert_int_eq(facts_add(&facts.devices[_i], FACT_ERROR, "x"), 0);
        ck_assert_int_eq(facts_add(&facts.devices[1 - _i], FACT_SWAP, "x"), 0);
        judge();
        ck_assert_int_eq(verdict.state, STATE_LEAKING);
        ck_assert_int_eq(verdict_of_disk(&verdict, "vdb"), STATE_LEAKING);
        ck_assert_int_eq(verdict_of_device(&verdict, &facts.devices[_i]), STATE_UNKNOWN);
        done();
}
END_TEST

int main(void) {
        const struct test_case cases[] = {
                { "none__no_devices", none__no_devices, 0 },
                { "inert__contract_kept", inert__contract_kept, 0 },
                { "one_fact__table", one_fact__table, N(one_fact) },
                { "missing__table", missing__table, N(broken) },
                { "access__writable_is_a_note", access__writable_is_a_note, 0 },
                { "unrecorded__contract_unknown", unrecorded__contract_unknown, 0 },
                { "doubtful__only_errors_count", doubtful__only_errors_count, 0 },
                { "leak_and_error__leaking", leak_and_error__leaking, 2 },
        };
        return run_tests("status-verdict", cases, N(cases));
}
