/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "config.h"
#include "journal.h"
#include "report.h"
#include "status-faults.h"
#include "status-test.h"

#define N(array) (sizeof(array) / sizeof(*(array)))

static struct facts facts;
static struct verdict verdict;
static char *output;
static size_t output_size;

/* Everything that goes to the journal, field by line, a blank line between
 * entries. */
static FILE *journal;
static int journal_error;

int __wrap_sd_journal_sendv(const struct iovec *fields, int n);
int __wrap_sd_journal_sendv(const struct iovec *fields, int n) {
        if (journal_error < 0)
                return journal_error;
        for (int i = 0; i < n; i++)
                fprintf(journal, "%.*s\n", (int)fields[i].iov_len, (const char *)fields[i].iov_base);
        fputc('\n', journal);
        return 0;
}

static int to_table(FILE *out) {
        return report_table(out, &facts, &verdict, false);
}

static int to_coloured_table(FILE *out) {
        return report_table(out, &facts, &verdict, true);
}

static int to_export(FILE *out) {
        return report_export(out, &facts, &verdict);
}

static int to_json(FILE *out) {
        return report_json(out, &facts, &verdict);
}

static int to_journal(FILE *out) {
        journal = out;
        return journal_write(&facts, &verdict);
}

static int (*const reports[])(FILE *) = { to_table, to_export, to_json, to_journal, to_coloured_table };

static int print(int (*report)(FILE *)) {
        FILE *out = open_memstream(&output, &output_size);
        ck_assert_ptr_nonnull(out);
        int r = report(out);
        ck_assert_int_eq(fclose(out), 0);
        return r;
}

static void assert_printed(int (*report)(FILE *), const char *expected) {
        ck_assert_int_eq(print(report), 0);
        ck_assert_str_eq(output, expected);
        free(output);
}

static void judge(void) {
        ck_assert_int_eq(verdict_reach(&facts, &verdict), 0);
}

static void done(void) {
        verdict_done(&verdict);
        facts_done(&facts);
}

/* A partition that leaks by two links, and a second disk that is gone. */
static void make_leaking(void) {
        struct device *device;

        inert_devices(&facts);
        ck_assert_int_eq(facts_add(&facts.devices[1], FACT_LINK, "/dev/a b"), 0);
        ck_assert_int_eq(facts_add(&facts.devices[1], FACT_LINK, "/dev/c\nd"), 0);
        ck_assert_int_eq(facts_add(&facts.devices[1], FACT_SWAP, "/dev/vdb1"), 0);
        ck_assert_int_eq(facts_add_device(&facts, "vdaa", "vdaa", "/sys/block/vdaa", &device), 0);
        device->doubtful = true;
        ck_assert_int_eq(facts_add(device, FACT_ERROR, "gone: No such device"), 0);
        judge();
}

#define LINK_REMEDY                                                                                         \
        "as for a property; else find who makes it: grep -r SYMLINK /etc/udev/rules.d /run/udev/rules.d "   \
        "/usr/lib/udev/rules.d"
#define SWAP_REMEDY "swapoff it, and see that /etc/fstab does not name it"
#define ERROR_REMEDY "run baseimage-status again, as root; detach and attach the disk if it stays"

START_TEST(table__none) {
        facts = (struct facts){ .systemd = _i };
        judge();
        assert_printed(to_table, "No base image attached.\n");
        done();
}
END_TEST

START_TEST(table__inert) {
        inert_devices(&facts);
        judge();
        assert_printed(to_table, "DEVICE     STATE    ACCESS\n"
                                 "/dev/vdb   inert    read-only\n"
                                 "/dev/vdb1  inert    read-only\n");
        done();
}
END_TEST

START_TEST(table__writable_without_systemd) {
        inert_devices(&facts);
        facts.systemd = false;
        facts.devices[0].read_only = false;
        judge();
        assert_printed(
                to_table,
                "DEVICE     STATE    ACCESS\n"
                "/dev/vdb   inert    writable\n"
                "  note     access     writable\n"
                "/dev/vdb1  inert    read-only\n"
                "\n"
                "What to do:\n"
                "  access     attach it read-only, so that nothing in the guest can change the image\n"
                "\n"
                "No units to look at: not running under systemd.\n");
        done();
}
END_TEST

START_TEST(table__leaking) {
        make_leaking();
        assert_printed(to_table, "DEVICE     STATE    ACCESS\n"
                                 "/dev/vdb   inert    read-only\n"
                                 "/dev/vdb1  leaking  read-only\n"
                                 "  leak     link       /dev/a b\n"
                                 "  leak     link       /dev/c\\x0ad\n"
                                 "  leak     swap       /dev/vdb1\n"
                                 "/dev/vdaa  unknown  unknown\n"
                                 "  unknown  error      gone: No such device\n"
                                 "\n"
                                 "What to do:\n"
                                 "  link       " LINK_REMEDY "\n"
                                 "  swap       " SWAP_REMEDY "\n"
                                 "  error      " ERROR_REMEDY "\n");
        done();
}
END_TEST

START_TEST(table__coloured) {
        make_leaking();
        ck_assert_int_eq(print(to_coloured_table), 0);
        ck_assert_ptr_nonnull(strstr(output, "/dev/vdb   \033[32minert  \033[0m  read-only\n"));
        ck_assert_ptr_nonnull(strstr(output, "/dev/vdb1  \033[1;31mleaking\033[0m  read-only\n"));
        ck_assert_ptr_nonnull(strstr(output, "/dev/vdaa  \033[33munknown\033[0m  unknown\n"));
        free(output);
        done();
}
END_TEST

/* Names are never cut, and the columns make room. */
START_TEST(table__long_name) {
        struct device *device;

        facts = (struct facts){ .systemd = true };
        ck_assert_int_eq(facts_add_device(&facts, "vdabcdefgh123", "vdabcdefgh", "/sys", &device), 0);
        device->read_only = true;
        judge();
        assert_printed(to_table, "DEVICE              STATE    ACCESS\n"
                                 "/dev/vdabcdefgh123  inert    read-only\n");
        done();
}
END_TEST

/* One advice for two kinds: both name it. */
START_TEST(table__same_remedy) {
        inert_devices(&facts);
        free(facts.devices[0].facts[2].text);
        facts.devices[0].facts[2].text = strdup("SYSTEMD_READY=1");
        ck_assert_int_eq(facts_add(&facts.devices[0], FACT_PROPERTY, "ID_FS_TYPE=ext4"), 0);
        ck_assert_int_eq(facts_add(&facts.devices[0], FACT_PROPERTY, "ID_FS_UUID=1"), 0);
        judge();
        ck_assert_int_eq(print(to_table), 0);
        ck_assert_ptr_nonnull(strstr(output, "\nWhat to do:\n  missing    install "));
        ck_assert_ptr_nonnull(strstr(output, "\n  property   install "));
        ck_assert_ptr_null(strstr(strstr(output, "\n  property   install ") + 1, "\n  property"));
        free(output);
        done();
}
END_TEST

/* Not that the kernel had such a name. */
START_TEST(export__odd_name) {
        struct device *device;

        facts = (struct facts){ 0 };
        ck_assert_int_eq(facts_add_device(&facts, "vd-b", "vd-b", "/sys", &device), 0);
        judge();
        ck_assert_int_eq(print(to_export), 0);
        ck_assert_ptr_nonnull(strstr(output, "\nBASEIMAGE_VD_B_STATE="));
        free(output);
        done();
}
END_TEST

START_TEST(export__none) {
        facts = (struct facts){ 0 };
        judge();
        assert_printed(to_export, "BASEIMAGE_STATE=none\nBASEIMAGE_SYSTEMD=0\nBASEIMAGE_DEVICES=\n");
        done();
}
END_TEST

START_TEST(export__leaking) {
        make_leaking();
        assert_printed(to_export, "BASEIMAGE_STATE=leaking\n"
                                  "BASEIMAGE_SYSTEMD=1\n"
                                  "BASEIMAGE_DEVICES=vdb,vdb1,vdaa\n"
                                  "BASEIMAGE_VDB_STATE=inert\n"
                                  "BASEIMAGE_VDB_ACCESS=read-only\n"
                                  "BASEIMAGE_VDB_FINDINGS=0\n"
                                  "BASEIMAGE_VDB1_STATE=leaking\n"
                                  "BASEIMAGE_VDB1_ACCESS=read-only\n"
                                  "BASEIMAGE_VDB1_FINDING_0=leak:link:/dev/a\\x20b\n"
                                  "BASEIMAGE_VDB1_FINDING_1=leak:link:/dev/c\\x0ad\n"
                                  "BASEIMAGE_VDB1_FINDING_2=leak:swap:/dev/vdb1\n"
                                  "BASEIMAGE_VDB1_FINDINGS=3\n"
                                  "BASEIMAGE_VDAA_STATE=unknown\n"
                                  "BASEIMAGE_VDAA_ACCESS=unknown\n"
                                  "BASEIMAGE_VDAA_FINDING_0=unknown:error:gone:\\x20No\\x20such\\x20device\n"
                                  "BASEIMAGE_VDAA_FINDINGS=1\n");
        done();
}
END_TEST

START_TEST(json__none) {
        facts = (struct facts){ 0 };
        judge();
        ck_assert_int_eq(print(to_json), 0);
        json_object *object = json_tokener_parse(output);
        ck_assert_str_eq(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
                         "{\"state\":\"none\",\"systemd\":false,\"devices\":[]}");
        json_object_put(object);
        free(output);
        done();
}
END_TEST

START_TEST(json__leaking) {
        make_leaking();
        ck_assert_int_eq(print(to_json), 0);
        json_object *object = json_tokener_parse(output), *devices, *device, *findings, *value;
        ck_assert_ptr_nonnull(object);
        ck_assert(json_object_object_get_ex(object, "devices", &devices));
        ck_assert_uint_eq(json_object_array_length(devices), 3);
        device = json_object_array_get_idx(devices, 1);
        ck_assert(json_object_object_get_ex(device, "device", &value));
        ck_assert_str_eq(json_object_get_string(value), "/dev/vdb1");
        ck_assert(json_object_object_get_ex(device, "findings", &findings));
        ck_assert_uint_eq(json_object_array_length(findings), 3);
        ck_assert_str_eq(
                json_object_to_json_string_ext(json_object_array_get_idx(findings, 1),
                                               JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
                "{\"severity\":\"leak\",\"kind\":\"link\",\"evidence\":\"/dev/c\\\\x0ad\","
                "\"remedy\":\"" LINK_REMEDY "\"}");
        json_object_put(object);
        free(output);
        done();
}
END_TEST

START_TEST(journal__none) {
        facts = (struct facts){ 0 };
        judge();
        assert_printed(to_journal, "");
        done();
}
END_TEST

START_TEST(journal__inert) {
        inert_devices(&facts);
        judge();
        assert_printed(to_journal, "MESSAGE=Base image /dev/vdb is inert\n"
                                   "MESSAGE_ID=" BASEIMAGE_MESSAGE_INERT "\n"
                                   "PRIORITY=6\n"
                                   "BASEIMAGE_DEVICE=/dev/vdb\n"
                                   "BASEIMAGE_STATE=inert\n"
                                   "\n");
        done();
}
END_TEST

START_TEST(journal__leaking) {
        make_leaking();
        assert_printed(to_journal, "MESSAGE=Base image /dev/vdb is leaking\n"
                                   "MESSAGE_ID=" BASEIMAGE_MESSAGE_LEAKING "\n"
                                   "PRIORITY=4\n"
                                   "BASEIMAGE_DEVICE=/dev/vdb\n"
                                   "BASEIMAGE_STATE=leaking\n"
                                   "BASEIMAGE_FINDINGS=/dev/vdb1: leak link /dev/a b\n"
                                   "/dev/vdb1: leak link /dev/c\\x0ad\n"
                                   "/dev/vdb1: leak swap /dev/vdb1\n"
                                   "\n"
                                   "MESSAGE=Could not tell whether base image /dev/vdaa is inert\n"
                                   "MESSAGE_ID=" BASEIMAGE_MESSAGE_LEAKING "\n"
                                   "PRIORITY=4\n"
                                   "BASEIMAGE_DEVICE=/dev/vdaa\n"
                                   "BASEIMAGE_STATE=unknown\n"
                                   "BASEIMAGE_FINDINGS=/dev/vdaa: unknown error gone: No such device\n"
                                   "\n");
        done();
}
END_TEST

START_TEST(journal__failed) {
        inert_devices(&facts);
        judge();
        journal_error = -EMSGSIZE;
        ck_assert_int_eq(print(to_journal), -EMSGSIZE);
        journal_error = 0;
        free(output);
        done();
}
END_TEST

/* A report that could not be made whole says so. */
START_TEST(faults__each_call_fails) {
        const char *failed;
        unsigned nth = 0;

        make_leaking();
        do {
                FILE *out = open_memstream(&output, &output_size);
                ck_assert_ptr_nonnull(out);
                fault_arm(NULL, ++nth);
                int r = reports[_i](out);
                failed = fault_disarm();
                ck_assert_int_eq(r, failed ? -ENOMEM : 0);
                ck_assert_int_eq(fclose(out), 0);
                free(output);
        } while (failed);
        ck_assert_uint_gt(nth, 1);
        done();
}
END_TEST

/* No byte of a name gets through that could mean anything to a reader. */
START_TEST(hostile__every_byte) {
        char name[256];

        inert_devices(&facts);
        for (size_t i = 0; i < sizeof(name) - 1; i++)
                name[i] = (char)(i + 1);
        name[sizeof(name) - 1] = '\0';
        for (enum fact_kind kind = FACT_LINK; kind < _FACT_KINDS; kind++)
                ck_assert_int_eq(facts_add(&facts.devices[0], kind, "%s", name), 0);
        ck_assert_int_eq(facts_add(&facts.devices[0], FACT_PROPERTY, "ID_FS_LABEL=%s", name), 0);
        judge();
        ck_assert_int_eq(print(reports[_i]), 0);
        ck_assert_ptr_nonnull(strstr(output, _i == 2 ? "\\\\x0a" : "\\x0a"));
        for (size_t i = 0; i < output_size; i++)
                ck_assert_msg(output[i] == '\n' || (output[i] >= ' ' && output[i] <= '~'), "byte %d",
                              output[i]);
        ck_assert_ptr_null(strchr(output, '%'));
        ck_assert_ptr_null(strchr(output, '`'));
        if (_i == 2) {
                json_object *object = json_tokener_parse(output);
                ck_assert_ptr_nonnull(object);
                json_object_put(object);
        } else
                ck_assert_ptr_null(strchr(output, '"'));
        free(output);
        done();
}
END_TEST

int main(void) {
        const struct test_case cases[] = {
                { "table__none", table__none, 2 },
                { "table__inert", table__inert, 0 },
                { "table__writable_without_systemd", table__writable_without_systemd, 0 },
                { "table__leaking", table__leaking, 0 },
                { "table__coloured", table__coloured, 0 },
                { "table__long_name", table__long_name, 0 },
                { "table__same_remedy", table__same_remedy, 0 },
                { "export__odd_name", export__odd_name, 0 },
                { "export__none", export__none, 0 },
                { "export__leaking", export__leaking, 0 },
                { "json__none", json__none, 0 },
                { "json__leaking", json__leaking, 0 },
                { "journal__none", journal__none, 0 },
                { "journal__inert", journal__inert, 0 },
                { "journal__leaking", journal__leaking, 0 },
                { "journal__failed", journal__failed, 0 },
                { "faults__each_call_fails", faults__each_call_fails, 4 },
                { "hostile__every_byte", hostile__every_byte, 4 },
        };
        return run_tests("status-report", cases, N(cases));
}
