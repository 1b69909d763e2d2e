/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>

#include "config.h"
#include "status-faults.h"
#include "status-test.h"

static char *output;
static size_t output_size;

/* Everything that goes to the journal, field by line, a blank line between
 * entries. */
static FILE *journal;
static int journal_error;

/* Each of our formats takes one string. */
int __wrap_sd_journal_send(const char *format, ...);
int __wrap_sd_journal_send(const char *format, ...) {
        va_list ap;

        if (journal_error < 0)
                return journal_error;
        va_start(ap, format);
        for (; format; format = va_arg(ap, const char *)) {
                const char *value =
                        va_arg(ap, const char *); // NOLINT(clang-analyzer-valist.Uninitialized): it is
                const char *hole = strstr(format, "%s");
                fprintf(journal, "%.*s%s\n", (int)(hole - format), format, value);
        }
        va_end(ap);
        fputc('\n', journal);
        return 0;
}

static int to_table(FILE *out) {
        report_table(out, &facts, &verdict, false);
        return 0;
}

static int to_coloured_table(FILE *out) {
        report_table(out, &facts, &verdict, true);
        return 0;
}

static int to_export(FILE *out) {
        report_export(out, &facts, &verdict);
        return 0;
}

static int to_json(FILE *out) {
        return report_json(out, &facts, &verdict);
}

static int to_journal(FILE *out) {
        journal = out;
        return journal_write(&facts, &verdict);
}

static int (*const reports[])(FILE *) = { to_table, to_export, to_json, to_journal };

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

/* A partition that leaks by two links, a second disk that is gone, and what failed for both. */
static void make_leaking(void) {
        begin_inert();
        ck_assert_int_eq(facts_add(partition, KIND_LINK, "/dev/a b"), 0);
        ck_assert_int_eq(facts_add(partition, KIND_LINK, "/dev/c\nd"), 0);
        ck_assert_int_eq(facts_add(partition, KIND_SWAP, "/dev/vdb1"), 0);
        struct device *gone = add_vdc();
        gone->doubtful = true;
        ck_assert_int_eq(facts_add(gone, KIND_ERROR, "gone: No such device"), 0);
        ck_assert_int_eq(facts_add(&facts.system, KIND_ERROR, "systemd: (no)"), 0);
        judge();
}

#define LINK_REMEDY                                                                                         \
        "as for a property; else find who makes it: grep -r SYMLINK /etc/udev/rules.d /run/udev/rules.d "   \
        "/usr/lib/udev/rules.d"
#define SWAP_REMEDY "swapoff it, and see that /etc/fstab does not name it"
#define ERROR_REMEDY                                                                                        \
        "run baseimage-status again, as root, and with what it lacks; detach and attach the disk if it "    \
        "stays"

START_TEST(table__none) {
        facts = (struct facts){ .systemd = _i };
        judge();
        assert_printed(to_table, "No base image attached.\n");
        end();
}
END_TEST

START_TEST(table__inert) {
        begin_inert();
        judge();
        assert_printed(to_table, "DEVICE     STATE    ACCESS\n"
                                 "/dev/vdb   inert    read-only\n"
                                 "/dev/vdb1  inert    read-only\n");
        end();
}
END_TEST

START_TEST(table__writable_without_systemd) {
        begin_inert();
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
        end();
}
END_TEST

START_TEST(table__leaking) {
        make_leaking();
        assert_printed(to_table, "DEVICE     STATE    ACCESS\n"
                                 "/dev/vdb   unknown  read-only\n"
                                 "/dev/vdb1  leaking  read-only\n"
                                 "  leak     link       /dev/a b\n"
                                 "  leak     link       /dev/c\\x0ad\n"
                                 "  leak     swap       /dev/vdb1\n"
                                 "/dev/vdc   unknown  unknown\n"
                                 "  unknown  error      gone: No such device\n"
                                 "all\n"
                                 "  unknown  error      systemd: (no)\n"
                                 "\n"
                                 "What to do:\n"
                                 "  link       " LINK_REMEDY "\n"
                                 "  swap       " SWAP_REMEDY "\n"
                                 "  error      " ERROR_REMEDY "\n");
        end();
}
END_TEST

START_TEST(table__coloured) {
        make_leaking();
        ck_assert_int_eq(print(to_coloured_table), 0);
        ck_assert_ptr_nonnull(strstr(output, "/dev/vdb   \033[33munknown\033[0m  read-only\n"));
        ck_assert_ptr_nonnull(strstr(output, "/dev/vdb1  \033[1;31mleaking\033[0m  read-only\n"));
        ck_assert_ptr_nonnull(strstr(output, "/dev/vdc   \033[33munknown\033[0m  unknown\n"));
        free(output);
        end();
}
END_TEST

/* Names are never cut, and the columns make room. */
START_TEST(table__long_name) {
        struct device *device;

        facts = (struct facts){ .systemd = true };
        ck_assert_int_eq(facts_add_device(&facts, "vdabcdefgh123", "vdabcdefgh", &device), 0);
        device->read_only = true;
        judge();
        assert_printed(to_table, "DEVICE              STATE    ACCESS\n"
                                 "/dev/vdabcdefgh123  inert    read-only\n");
        end();
}
END_TEST

/* One advice for two kinds: both name it. */
START_TEST(table__same_remedy) {
        begin_inert();
        free(disk->facts[0].text);
        disk->facts[0].text = strdup("SYSTEMD_READY=1");
        ck_assert_int_eq(facts_add(&facts.devices[0], KIND_PROPERTY, "ID_FS_TYPE=ext4"), 0);
        ck_assert_int_eq(facts_add(&facts.devices[0], KIND_PROPERTY, "ID_FS_UUID=1"), 0);
        judge();
        ck_assert_int_eq(print(to_table), 0);
        ck_assert_ptr_nonnull(strstr(output, "\nWhat to do:\n  missing    install "));
        ck_assert_ptr_nonnull(strstr(output, "\n  property   install "));
        ck_assert_ptr_null(strstr(strstr(output, "\n  property   install ") + 1, "\n  property"));
        free(output);
        end();
}
END_TEST

/* Not that the kernel had such a name. */
START_TEST(export__odd_name) {
        struct device *device;

        facts = (struct facts){ 0 };
        ck_assert_int_eq(facts_add_device(&facts, "vd-b", "vd-b", &device), 0);
        judge();
        ck_assert_int_eq(print(to_export), 0);
        ck_assert_ptr_nonnull(strstr(output, "\nBASEIMAGE_VD_B_STATE="));
        free(output);
        end();
}
END_TEST

START_TEST(export__none) {
        facts = (struct facts){ 0 };
        judge();
        assert_printed(
                to_export,
                "BASEIMAGE_STATE=none\nBASEIMAGE_SYSTEMD=0\nBASEIMAGE_DEVICES=\nBASEIMAGE_FINDINGS=0\n");
        end();
}
END_TEST

START_TEST(export__leaking) {
        make_leaking();
        assert_printed(to_export, "BASEIMAGE_STATE=leaking\n"
                                  "BASEIMAGE_SYSTEMD=1\n"
                                  "BASEIMAGE_DEVICES=vdb,vdb1,vdc\n"
                                  "BASEIMAGE_FINDING_0=unknown:error:systemd:\\x20\\x28no\\x29\n"
                                  "BASEIMAGE_FINDINGS=1\n"
                                  "BASEIMAGE_VDB_STATE=unknown\n"
                                  "BASEIMAGE_VDB_ACCESS=read-only\n"
                                  "BASEIMAGE_VDB_FINDINGS=0\n"
                                  "BASEIMAGE_VDB1_STATE=leaking\n"
                                  "BASEIMAGE_VDB1_ACCESS=read-only\n"
                                  "BASEIMAGE_VDB1_FINDING_0=leak:link:/dev/a\\x20b\n"
                                  "BASEIMAGE_VDB1_FINDING_1=leak:link:/dev/c\\x0ad\n"
                                  "BASEIMAGE_VDB1_FINDING_2=leak:swap:/dev/vdb1\n"
                                  "BASEIMAGE_VDB1_FINDINGS=3\n"
                                  "BASEIMAGE_VDC_STATE=unknown\n"
                                  "BASEIMAGE_VDC_ACCESS=unknown\n"
                                  "BASEIMAGE_VDC_FINDING_0=unknown:error:gone:\\x20No\\x20such\\x20device\n"
                                  "BASEIMAGE_VDC_FINDINGS=1\n");
        end();
}
END_TEST

START_TEST(json__none) {
        facts = (struct facts){ 0 };
        judge();
        ck_assert_int_eq(print(to_json), 0);
        json_object *object = json_tokener_parse(output);
        ck_assert_str_eq(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
                         "{\"state\":\"none\",\"systemd\":false,\"devices\":[],\"findings\":[]}");
        json_object_put(object);
        free(output);
        end();
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
        end();
}
END_TEST

START_TEST(journal__none) {
        facts = (struct facts){ 0 };
        judge();
        assert_printed(to_journal, "");
        end();
}
END_TEST

START_TEST(journal__inert) {
        begin_inert();
        judge();
        assert_printed(to_journal, "MESSAGE=Base image /dev/vdb is inert\n"
                                   "MESSAGE_ID=" BASEIMAGE_MESSAGE_INERT "\n"
                                   "PRIORITY=6\n"
                                   "BASEIMAGE_DEVICE=/dev/vdb\n"
                                   "BASEIMAGE_STATE=inert\n"
                                   "\n");
        end();
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
                                   "all: unknown error systemd: (no)\n"
                                   "\n"
                                   "MESSAGE=Could not tell whether base image /dev/vdc is inert\n"
                                   "MESSAGE_ID=" BASEIMAGE_MESSAGE_LEAKING "\n"
                                   "PRIORITY=4\n"
                                   "BASEIMAGE_DEVICE=/dev/vdc\n"
                                   "BASEIMAGE_STATE=unknown\n"
                                   "BASEIMAGE_FINDINGS=/dev/vdc: unknown error gone: No such device\n"
                                   "all: unknown error systemd: (no)\n"
                                   "\n");
        end();
}
END_TEST

START_TEST(journal__failed) {
        begin_inert();
        judge();
        journal_error = -EMSGSIZE;
        ck_assert_int_eq(print(to_journal), -EMSGSIZE);
        journal_error = 0;
        free(output);
        end();
}
END_TEST

/* An entry that could not be made whole is not written. */
START_TEST(faults__each_call_fails) {
        const char *failed;
        unsigned nth = 0;

        make_leaking();
        do {
                journal = open_memstream(&output, &output_size);
                ck_assert_ptr_nonnull(journal);
                fault_arm(NULL, ++nth);
                int r = journal_write(&facts, &verdict);
                failed = fault_disarm();
                ck_assert_int_eq(r, failed ? -ENOMEM : 0);
                ck_assert_int_eq(fclose(journal), 0);
                free(output);
        } while (failed);
        ck_assert_uint_gt(nth, 5);
        end();
}
END_TEST

/* No byte of a name gets through that could mean anything to a reader. */
START_TEST(hostile__every_byte) {
        char name[256];

        begin_inert();
        for (size_t i = 0; i < sizeof(name) - 1; i++)
                name[i] = (char)(i + 1);
        name[sizeof(name) - 1] = '\0';
        for (enum kind kind = KIND_LINK; kind < _KINDS; kind++)
                ck_assert_int_eq(facts_add(&facts.devices[0], kind, "%s", name), 0);
        ck_assert_int_eq(facts_add(&facts.devices[0], KIND_PROPERTY, "ID_FS_LABEL=%s", name), 0);
        ck_assert_int_eq(facts_add(&facts.system, KIND_ERROR, "%s", name), 0);
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
        end();
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
                { "faults__each_call_fails", faults__each_call_fails, 0 },
                { "hostile__every_byte", hostile__every_byte, 4 },
        };
        return run_tests("status-report", cases, N(cases));
}
