/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The whole program in the guest that umockdev plays, with libudev in it: to
 * be run by umockdev-wrapper.  Its main() is called in a child, so that its
 * exit status and output are those of a process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <umockdev.h>
#include <unistd.h>

#include "read-all.h"
#include "status-faults.h"
#include "status-test.h"
#include "verdict.h"

#define N(array) (sizeof(array) / sizeof(*(array)))

int status_main(int argc, char *argv[]);

static UMockdevTestbed *testbed;
static bool terminal;
static const char *fault_name; /* what is to fail in the program */
static unsigned fault_nth;

int __wrap_sd_booted(void);
int __wrap_sd_booted(void) {
        return 0;
}

int __wrap_isatty(int fd);
int __wrap_isatty(int fd) {
        (void)fd;
        return terminal;
}

int __wrap_sd_journal_sendv(const struct iovec *fields, int n);
int __wrap_sd_journal_sendv(const struct iovec *fields, int n) {
        fprintf(stderr, "journal: %.*s %d\n", (int)fields[0].iov_len, (const char *)fields[0].iov_base, n);
        return 0;
}

/* Takes the path below the guest's root; without content, makes its folder alone. */
static void write_file(char *path, const char *content) {
        char *full = g_build_filename(umockdev_testbed_get_root_dir(testbed), path, NULL),
             *folder = g_path_get_dirname(full);

        ck_assert_int_eq(g_mkdir_with_parents(folder, 0755), 0);
        if (content)
                ck_assert(g_file_set_contents(full, content, -1, NULL));
        g_free(folder);
        g_free(full);
        g_free(path);
}

/* Numbers that no driver has, so that nothing of the real machine fits. */
static char *add(const char *name, const char *parent, const char *serial, const char *inert) {
        static unsigned minor;
        char *number = g_strdup_printf("4000:%u\n", ++minor);
        const char *attributes[] = { "dev", number, "ro", "1\n", serial ? "serial" : NULL, serial, NULL };
        const char *properties[] = { "DEVTYPE", parent ? "partition" : "disk", "DEVNAME", name, NULL };
        char *path = g_strdup_printf("%s%s", parent ? "" : "virtio0/block/", name);
        char *syspath = umockdev_testbed_add_devicev(testbed, "block", path, parent, (char **)attributes,
                                                     (char **)properties);

        ck_assert_ptr_nonnull(syspath);
        write_file(g_strdup_printf("%s/holders/", syspath), NULL);
        /* umockdev makes no node by itself; any file will do. */
        write_file(g_strdup_printf("dev/%s", name), "");
        if (inert) {
                char *record = g_strdup_printf("E:SYSTEMD_READY=%s\nE:SYSTEMD_IGNORE=1\n", inert);
                write_file(g_strdup_printf("run/udev/data/b4000:%u", minor), record);
                g_free(record);
        }
        g_free(path);
        g_free(number);
        return syspath;
}

static void begin(void) {
        testbed = umockdev_testbed_new();
        fault_root = umockdev_testbed_get_root_dir(testbed);
        terminal = false;
        fault_name = NULL;
        fault_nth = 0;
        setenv("PATH", "/nonexistent", 1); /* no lsinitramfs */
        setenv("TERM", "linux", 1);
        unsetenv("NO_COLOR");
        g_free(add("vda", NULL, "ROOT", "1"));
        g_free(add("vdx", NULL, NULL, "1"));
        g_free(add("sda", NULL, "BASEIMAGE", "1"));
}

static void add_base_image(const char *serial, const char *inert) {
        char *disk = add("vdb", NULL, serial, "0");
        g_free(add("vdb1", disk, NULL, inert));
        g_free(disk);
}

static void end(void) {
        g_object_unref(testbed);
}

enum { FAULT = 0x40 }; /* beside the exit status: the fault was met */

struct run {
        int status;
        bool faulted;
        char out[4096], err[4096];
};

/* Calls main() with up to three arguments; out is where its standard output
 * goes, NULL being a pipe. */
static void call(const char *const arguments[3], const char *out, struct run *ret) {
        char *argv[] = { (char *)"baseimage-status", NULL, NULL, NULL, NULL };
        int ends[2][2], argc = 1, status;

        for (; argc < 4 && arguments[argc - 1]; argc++)
                argv[argc] = (char *)arguments[argc - 1];
        ck_assert_int_eq(pipe(ends[0]), 0);
        ck_assert_int_eq(pipe(ends[1]), 0);
        fflush(NULL);
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                dup2(out ? open(out, O_WRONLY) : ends[0][1], STDOUT_FILENO);
                dup2(ends[1][1], STDERR_FILENO);
                for (int i = 0; i < 4; i++)
                        close(ends[i / 2][i % 2]);
                fault_arm(fault_name, fault_nth);
                status = status_main(argc, argv);
                exit(fault_disarm() ? status | FAULT : status);
        }
        close(ends[0][1]);
        close(ends[1][1]);
        read_all(ends[0][0], ret->out, sizeof(ret->out));
        read_all(ends[1][0], ret->err, sizeof(ret->err));
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFEXITED(status));
        ret->status = WEXITSTATUS(status) & ~FAULT;
        ret->faulted = WEXITSTATUS(status) & FAULT;
}

/* Arguments, exit status, how the output and the messages begin; run without
 * any base image. */
static const struct {
        const char *arguments[3];
        int status;
        const char *out, *err;
} usages[] = {
        { { NULL }, 3, "No base image attached.\n", "" },
        { { "--help" }, 0, "Usage: baseimage-status ", "" },
        { { "-h", "--nonsense" }, 0, "Usage: baseimage-status ", "" },
        { { "--version" }, 0, "baseimage-status 1.0\n", "" },
        { { "-V" }, 0, "baseimage-status 1.0\n", "" },
        { { "--nonsense" }, 2, "", "baseimage-status: unrecognized option '--nonsense'\nTry " },
        { { "--json", "--export" },
          2,
          "",
          "baseimage-status: only one of --export, --json, --quiet and --journal\nTry " },
        { { "--quiet", "--json" }, 2, "", "baseimage-status: only one of " },
        { { "--json", "--json" }, 3, "{\n  \"state\": \"none\",\n", "" },
        { { "--export" }, 3, "BASEIMAGE_STATE=none\n", "" },
        { { "--quiet" }, 3, "", "" },
        { { "-q", "--initramfs" }, 3, "", "" },
        { { "--journal" }, 3, "", "" },
        { { "vda" },
          2,
          "",
          "baseimage-status: vda: neither a vd* disk with the serial BASEIMAGE nor a partition" },
        { { "--", "--a\nb%s" }, 2, "", "baseimage-status: --a\\x0ab\\x25s: neither " },
        { { "-q", "/dev/sda" }, 2, "", "baseimage-status: /dev/sda: neither " },
};

static void assert_begins(const char *text, const char *beginning) {
        if (*beginning == '\0')
                ck_assert_str_eq(text, "");
        else
                ck_assert_msg(strncmp(text, beginning, strlen(beginning)) == 0, "'%s' is not '%s'", text,
                              beginning);
}

START_TEST(usage__table) {
        struct run run;

        begin();
        call(usages[_i].arguments, NULL, &run);
        ck_assert_int_eq(run.status, usages[_i].status);
        assert_begins(run.out, usages[_i].out);
        assert_begins(run.err, usages[_i].err);
        end();
}
END_TEST

static const char *const outputs[] = { "--export", "--json", "--quiet", "--journal", "--initramfs", NULL };

START_TEST(inert__each_output) {
        const char *const arguments[] = { outputs[_i], NULL, NULL };
        struct run run;

        begin();
        add_base_image("BASEIMAGE", "0");
        call(arguments, NULL, &run);
        ck_assert_int_eq(run.status, _i == 4 ? STATE_UNKNOWN : STATE_INERT);
        ck_assert_str_eq(run.err, _i == 3 ? "journal: MESSAGE=Base image /dev/vdb is inert 5\n" : "");
        end();
}
END_TEST

/* The serial as the kernel gives it, and what follows. */
static const struct {
        const char *serial;
        int status;
} serials[] = {
        { "BASEIMAGE", STATE_INERT }, { "BASEIMAGE\n", STATE_INERT }, { "BASEIMAGE   ", STATE_INERT },
        { "BASEIMAGE2", STATE_NONE }, { " BASEIMAGE", STATE_NONE },   { "BASEIMAG", STATE_NONE },
        { "baseimage", STATE_NONE },  { "BASEIMAGE x", STATE_NONE },  { "", STATE_NONE },
};

START_TEST(serial__table) {
        const char *const arguments[] = { NULL, NULL, NULL };
        struct run run;

        begin();
        add_base_image(serials[_i].serial, "0");
        call(arguments, NULL, &run);
        ck_assert_int_eq(run.status, serials[_i].status);
        end();
}
END_TEST

START_TEST(leaking__named) {
        const char *const all[] = { "--export", NULL, NULL }, *const disk[] = { "--export", "vdb", NULL },
                          *const partition[] = { "--export", "/dev/vdb1", NULL };
        const char *const *const arguments[] = { all, disk, partition };
        struct run run;

        begin();
        add_base_image("BASEIMAGE", "1");
        call(arguments[_i], NULL, &run);
        ck_assert_int_eq(run.status, STATE_LEAKING);
        ck_assert_ptr_nonnull(strstr(run.out, "\nBASEIMAGE_VDB1_FINDING_0=leak:missing:SYSTEMD_READY=0\n"));
        ck_assert_ptr_nonnull(
                strstr(run.out, _i == 2 ? "\nBASEIMAGE_DEVICES=vdb1\n" : "\nBASEIMAGE_DEVICES=vdb,vdb1\n"));
        end();
}
END_TEST

/* By number, not by letter. */
START_TEST(order__by_number) {
        const char *const arguments[] = { "--export", NULL, NULL };
        struct run run;

        begin();
        g_free(add("vdaa", NULL, "BASEIMAGE", "0"));
        char *disk = add("vdb", NULL, "BASEIMAGE", "0");
        g_free(add("vdb10", disk, NULL, "0"));
        g_free(add("vdb2", disk, NULL, "0"));
        g_free(add("vdc", NULL, "BASEIMAGE", "0"));
        g_free(disk);
        call(arguments, NULL, &run);
        ck_assert_ptr_nonnull(strstr(run.out, "\nBASEIMAGE_DEVICES=vdb,vdb2,vdb10,vdc,vdaa\n"));
        end();
}
END_TEST

START_TEST(unrecorded__unknown) {
        const char *const arguments[] = { NULL, NULL, NULL };
        struct run run;

        begin();
        add_base_image("BASEIMAGE", NULL);
        call(arguments, NULL, &run);
        ck_assert_int_eq(run.status, STATE_UNKNOWN);
        end();
}
END_TEST

START_TEST(full__message) {
        const char *const table[] = { NULL, NULL, NULL }, *const help[] = { "--help", NULL, NULL };
        struct run run;

        begin();
        add_base_image("BASEIMAGE", "0");
        call(_i == 0 ? table : help, "/dev/full", &run);
        ck_assert_int_eq(run.status, STATE_UNKNOWN);
        ck_assert_str_eq(run.err, "baseimage-status: standard output: No space left on device\n");
        end();
}
END_TEST

static const struct {
        bool terminal;
        const char *term, *no_color;
        bool coloured;
} colours[] = {
        { true, "linux", NULL, true }, { true, "linux", "", true }, { false, "linux", NULL, false },
        { true, "dumb", NULL, false }, { true, NULL, NULL, false }, { true, "linux", "1", false },
        { true, "linux", "0", false },
};

START_TEST(colour__table) {
        const char *const arguments[] = { NULL, NULL, NULL };
        struct run run;

        begin();
        add_base_image("BASEIMAGE", "0");
        terminal = colours[_i].terminal;
        if (colours[_i].term)
                setenv("TERM", colours[_i].term, 1);
        else
                unsetenv("TERM");
        if (colours[_i].no_color)
                setenv("NO_COLOR", colours[_i].no_color, 1);
        call(arguments, NULL, &run);
        ck_assert_int_eq(strchr(run.out, '\033') != NULL, colours[_i].coloured);
        end();
}
END_TEST

/* A serial that is there and cannot be read, even by root. */
START_TEST(serial__unreadable) {
        const char *const arguments[] = { "--export", NULL, NULL };
        struct run run;

        begin();
        add_base_image("BASEIMAGE", "0");
        fault_name = "udev_device_get_sysattr_value";
        fault_nth = 2;
        call(arguments, NULL, &run);
        ck_assert_int_eq(run.status, STATE_UNKNOWN);
        ck_assert_ptr_nonnull(strstr(run.out, ":error:sysfs:\\x20Permission\\x20denied\n"));
        end();
}
END_TEST

/* A disk without a serial is none of ours, unless it just went away. */
START_TEST(serial__gone) {
        const char *const arguments[] = { "--export", NULL, NULL };
        struct run run;

        begin();
        fault_name = "access";
        fault_nth = 1;
        call(arguments, NULL, &run);
        ck_assert_int_eq(run.status, STATE_UNKNOWN);
        ck_assert_ptr_nonnull(strstr(run.out, "\nBASEIMAGE_VDX_STATE=unknown\n"));
        end();
}
END_TEST

START_TEST(faults__unknown_name) {
        const char *const arguments[] = { "vda", NULL, NULL };
        struct run run;

        begin();
        fault_name = "malloc";
        fault_nth = 1;
        call(arguments, NULL, &run);
        ck_assert_int_eq(run.status, STATE_UNKNOWN);
        assert_begins(run.err, "baseimage-status: DEVICE: neither ");
        end();
}
END_TEST

/* Whatever fails, in whichever guest, exit status 0 is not what comes of it. */
START_TEST(faults__each_call_fails) {
        static const char *const modes[] = { "--export", "--json", "--journal", "--initramfs" };
        const char *const arguments[] = { modes[_i % 4], NULL, NULL };
        struct run run;

        begin();
        add_base_image("BASEIMAGE", _i < 4 ? "0" : "1");
        do {
                fault_nth++;
                call(arguments, NULL, &run);
                ck_assert_msg(!run.faulted || run.status == STATE_UNKNOWN ||
                                      (_i >= 4 && run.status == STATE_LEAKING),
                              "call %u: %d", fault_nth, run.status);
        } while (run.faulted);
        ck_assert_uint_gt(fault_nth, 20);
        end();
}
END_TEST

int main(void) {
        const struct test_case cases[] = {
                { "usage__table", usage__table, N(usages) },
                { "inert__each_output", inert__each_output, N(outputs) },
                { "serial__table", serial__table, N(serials) },
                { "serial__unreadable", serial__unreadable, 0 },
                { "serial__gone", serial__gone, 0 },
                { "leaking__named", leaking__named, 3 },
                { "order__by_number", order__by_number, 0 },
                { "unrecorded__unknown", unrecorded__unknown, 0 },
                { "full__message", full__message, 2 },
                { "colour__table", colour__table, N(colours) },
                { "faults__unknown_name", faults__unknown_name, 0 },
                { "faults__each_call_fails", faults__each_call_fails, 8 },
        };
        return run_tests("status-main", cases, N(cases));
}
