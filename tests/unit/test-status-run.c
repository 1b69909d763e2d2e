/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The whole program, over a guest in a directory.  It is called in a child, so
 * that its exit status and output are those of a process. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "read-all.h"
#include "status-faults.h"
#include "status-test.h"

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

int __wrap_sd_journal_send(const char *format, ...);
int __wrap_sd_journal_send(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        fprintf(stderr, "journal: %s\n", va_arg(ap, const char *));
        va_end(ap);
        return 0;
}

/* vdb and vdb1 are base image's; there are others. */
static void begin_run(void) {
        guest_new();
        guest_write("sys/class/block/vda/serial", "ROOT");
        guest_write("dev/vda", "%s", "");
        guest_folder("sys/class/block/vdx");
        terminal = false;
        fault_name = NULL;
        fault_nth = 0;
        setenv("TERM", "linux", 1);
        unsetenv("NO_COLOR");
}

enum { FAULT = 0x40 }; /* beside the exit status: the fault was met */

struct call {
        int status;
        bool faulted;
        char out[4096], err[4096];
};

/* Calls main() with up to three arguments; out is where its standard output
 * goes, NULL being a pipe. */
static void call_run(const char *const arguments[3], const char *out, struct call *ret) {
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
                status = run(guest_root, argc, argv);
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
        { { "--json", "--json" }, 3, "{\n  \"state\": \"none\",", "" },
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
        struct call call;

        begin_run();
        guest_write("sys/class/block/vdb/serial", "OTHER");
        call_run(usages[_i].arguments, NULL, &call);
        ck_assert_int_eq(call.status, usages[_i].status);
        assert_begins(call.out, usages[_i].out);
        assert_begins(call.err, usages[_i].err);
        guest_done();
}
END_TEST

static const char *const outputs[] = { "--export", "--json", "--quiet", "--journal", "--initramfs", NULL };

START_TEST(inert__each_output) {
        const char *const arguments[] = { outputs[_i], NULL, NULL };
        struct call call;

        begin_run();
        call_run(arguments, NULL, &call);
        ck_assert_int_eq(call.status, _i == 4 ? STATE_UNKNOWN : STATE_INERT);
        ck_assert_str_eq(call.err, _i == 3 ? "journal: Base image /dev/vdb is inert\n" : "");
        guest_done();
}
END_TEST

START_TEST(leaking__named) {
        const char *const all[] = { "--export", NULL, NULL }, *const disk[] = { "--export", "vdb", NULL },
                          *const partition[] = { "--export", "/dev/vdb1", NULL };
        const char *const *const arguments[] = { all, disk, partition };
        struct call call;

        begin_run();
        guest_write("run/udev/data/vdb1", "SYSTEMD_READY=1\n");
        call_run(arguments[_i], NULL, &call);
        ck_assert_int_eq(call.status, STATE_LEAKING);
        ck_assert_ptr_nonnull(strstr(
                call.out, "\nBASEIMAGE_VDB1_FINDING_0=leak:missing:SYSTEMD_READY=0\\x20for\\x20systemd"));
        ck_assert_ptr_nonnull(
                strstr(call.out, _i == 2 ? "\nBASEIMAGE_DEVICES=vdb1\n" : "\nBASEIMAGE_DEVICES=vdb,vdb1\n"));
        guest_done();
}
END_TEST

START_TEST(unrecorded__unknown) {
        const char *const arguments[] = { NULL, NULL, NULL };
        struct call call;

        begin_run();
        guest_remove("run/udev/data/vdb1");
        call_run(arguments, NULL, &call);
        ck_assert_int_eq(call.status, STATE_UNKNOWN);
        guest_done();
}
END_TEST

START_TEST(full__message) {
        const char *const table[] = { NULL, NULL, NULL }, *const help[] = { "--help", NULL, NULL };
        struct call call;

        begin_run();
        call_run(_i == 0 ? table : help, "/dev/full", &call);
        ck_assert_int_eq(call.status, STATE_UNKNOWN);
        ck_assert_str_eq(call.err, "baseimage-status: standard output: No space left on device\n");
        guest_done();
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
        struct call call;

        begin_run();
        terminal = colours[_i].terminal;
        if (colours[_i].term)
                setenv("TERM", colours[_i].term, 1);
        else
                unsetenv("TERM");
        if (colours[_i].no_color)
                setenv("NO_COLOR", colours[_i].no_color, 1);
        call_run(arguments, NULL, &call);
        ck_assert_int_eq(strchr(call.out, '\033') != NULL, colours[_i].coloured);
        guest_done();
}
END_TEST

/* The partition is gone when all else was seen. */
START_TEST(gone__unknown) {
        const char *const arguments[] = { "--export", NULL, NULL };
        struct call call;

        begin_run();
        fault_name = "access";
        fault_nth = 3;
        call_run(arguments, NULL, &call);
        ck_assert_int_eq(call.status, STATE_UNKNOWN);
        ck_assert_ptr_nonnull(strstr(call.out, "\nBASEIMAGE_VDB1_FINDING_0=unknown:error:gone:"));
        guest_done();
}
END_TEST

START_TEST(faults__unknown_name) {
        const char *const arguments[] = { "vda", NULL, NULL };
        struct call call;

        begin_run();
        fault_name = "malloc";
        fault_nth = 1;
        call_run(arguments, NULL, &call);
        ck_assert_int_eq(call.status, STATE_UNKNOWN);
        assert_begins(call.err, "baseimage-status: DEVICE: neither ");
        guest_done();
}
END_TEST

/* Whatever fails, in whichever guest, exit status 0 is not what comes of it. */
START_TEST(faults__each_call_fails) {
        static const char *const modes[] = { "--export", "--json", "--journal", "--initramfs" };
        const char *const arguments[] = { modes[_i], NULL, NULL };
        bool leaking = _i % 2 == 1;
        struct call call;

        begin_run();
        if (leaking)
                guest_write("run/udev/data/vdb1", "SYSTEMD_READY=1\n");
        do {
                fault_nth++;
                call_run(arguments, NULL, &call);
                ck_assert_msg(!call.faulted || call.status == STATE_UNKNOWN ||
                                      (leaking && call.status == STATE_LEAKING),
                              "call %u: %d", fault_nth, call.status);
        } while (call.faulted);
        ck_assert_uint_gt(fault_nth, 20);
        guest_done();
}
END_TEST

int main(void) {
        const struct test_case cases[] = {
                { "usage__table", usage__table, N(usages) },
                { "inert__each_output", inert__each_output, N(outputs) },
                { "leaking__named", leaking__named, 3 },
                { "unrecorded__unknown", unrecorded__unknown, 0 },
                { "full__message", full__message, 2 },
                { "colour__table", colour__table, N(colours) },
                { "gone__unknown", gone__unknown, 0 },
                { "faults__unknown_name", faults__unknown_name, 0 },
                { "faults__each_call_fails", faults__each_call_fails, 4 },
        };
        return run_tests("status-run", cases, N(cases));
}
