/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * These tests run the helper as a process.  The environment variable HELPER has its path.
 * They check its standard output, standard error and exit status. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"
#include "run-suite.h"

#define PROPERTIES "ID_FS_UUID=\"\"\nID_FS_TYPE=\"\"\nSYSTEMD_READY=0\nSYSTEMD_IGNORE=1\n"
#define USAGE                                                                                               \
        "Usage: baseimage_id\n"                                                                             \
        "       baseimage_id delete DISK [PARTITION-NUMBER]\n"                                              \
        "       baseimage_id unbind VIRTIO-DEVICE\n"                                                        \
        "       baseimage_id --help | --version\n"
#define CANNOT_WRITE "baseimage_id: standard output: cannot write "

enum { CLOSED = -1 };

struct run {
        int status;     /* exit status, or 128 + the signal's number */
        char out[1024]; /* standard output */
        char err[1024]; /* standard error */
};

static void redirect(int target, int fd) {
        if (fd == CLOSED)
                close(target);
        else
                dup2(fd, target);
}

/* Runs the helper with standard output and standard error redirected to out and err.
 * CLOSED closes the descriptor.  Returns the status as in struct run. */
static int run_helper(const char *serial, char *const argv[], int out, int err) {
        const char *path = getenv("HELPER");
        /* setenv() can overwrite the result of getenv(), so use a copy. */
        char *helper = path ? strdup(path) : NULL;
        ck_assert_ptr_nonnull(helper);

        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                if (serial)
                        setenv("ID_SERIAL", serial, 1);
                else
                        unsetenv("ID_SERIAL");
                redirect(STDOUT_FILENO, out);
                redirect(STDERR_FILENO, err);
                execv(helper, argv);
                _exit(127);
        }

        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        free(helper);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Reads fd until its end or until buffer is full.  Terminates the string, and closes fd. */
static void read_all(int fd, char *buffer, size_t size) {
        size_t used = 0;
        ssize_t n;

        while (used < size - 1 && (n = read(fd, buffer + used, size - 1 - used)) > 0)
                used += (size_t)n;
        buffer[used] = '\0';
        close(fd);
}

static struct run run_with_pipes(const char *serial, char *const argv[]) {
        int out[2], err[2];
        struct run run;

        ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(err, O_CLOEXEC), 0);
        run.status = run_helper(serial, argv, out[1], err[1]);
        close(out[1]);
        close(err[1]);
        read_all(out[0], run.out, sizeof run.out);
        read_all(err[0], run.err, sizeof run.err);
        return run;
}

/* Runs the helper with a standard output that it cannot write to.
 * reason: the expected end of the message */
static void check_failed_output(int out, const char *reason) {
        char *argv[] = { "baseimage_id", NULL };
        int err[2];
        char message[256], expected[256];

        ck_assert_int_eq(pipe2(err, O_CLOEXEC), 0);
        ck_assert_int_eq(run_helper("BASEIMAGE", argv, out, err[1]), 1);
        close(err[1]);
        read_all(err[0], message, sizeof message);
        snprintf(expected, sizeof expected, CANNOT_WRITE "%s\n", reason);
        ck_assert_str_eq(message, expected);
}

static const struct {
        const char *serial;
        char *argv[5];
        int status;
        const char *out;
        const char *err;
} cases[] = {
        { "BASEIMAGE", { "baseimage_id" }, 0, PROPERTIES, "" },
        { "BASEIMAGE2", { "baseimage_id" }, 0, "", "" },
        { "", { "baseimage_id" }, 0, "", "" },
        { NULL, { "baseimage_id" }, 0, "", "" },
        { NULL, { "baseimage_id", "--help" }, 0, USAGE, "" },
        { "BASEIMAGE", { "baseimage_id", "--version" }, 0, "baseimage_id " PROJECT_VERSION "\n", "" },
        { "BASEIMAGE", { "baseimage_id", "/dev/vda" }, 2, "", USAGE },
        { "BASEIMAGE", { "baseimage_id", "" }, 2, "", USAGE },
        { "BASEIMAGE", { "baseimage_id", "--help", "--help" }, 2, "", USAGE },
        { NULL, { "baseimage_id", "delete" }, 2, "", USAGE },
        { NULL, { "baseimage_id", "delete", "/dev/null", "0" }, 2, "", USAGE },
        { NULL, { "baseimage_id", "delete", "/dev/null", "256" }, 2, "", USAGE },
        { NULL, { "baseimage_id", "delete", "/dev/null", "1x" }, 2, "", USAGE },
        { NULL, { "baseimage_id", "delete", "/dev/null", "" }, 2, "", USAGE },
        { NULL, { "baseimage_id", "delete", "/dev/null", "4294967297" }, 2, "", USAGE },
        { NULL,
          { "baseimage_id", "delete", "/nonexistent" },
          1,
          "",
          "baseimage_id: /nonexistent: cannot open (errno 2)\n" },
        /* /dev/null is not a disk. */
        { NULL,
          { "baseimage_id", "delete", "/dev/null" },
          1,
          "",
          "baseimage_id: /dev/null: cannot delete a partition (errno 25)\n" },
        { NULL,
          { "baseimage_id", "delete", "/dev/null", "255" },
          1,
          "",
          "baseimage_id: /dev/null: cannot delete a partition (errno 25)\n" },
        { NULL, { "baseimage_id", "unbind" }, 2, "", USAGE },
        { NULL,
          { "baseimage_id", "unbind", "vda" },
          1,
          "",
          "baseimage_id: vda: cannot unbind (errno 22)\n" },
        { NULL,
          { "baseimage_id", "unbind", "virtio" },
          1,
          "",
          "baseimage_id: virtio: cannot unbind (errno 22)\n" },
        { NULL,
          { "baseimage_id", "unbind", "virtio/../0" },
          1,
          "",
          "baseimage_id: virtio/../0: cannot unbind (errno 22)\n" },
        { NULL,
          { "baseimage_id", "unbind", "virtio12345678901" },
          1,
          "",
          "baseimage_id: virtio12345678901: cannot unbind (errno 22)\n" },
        /* argc is 0: there is not even a program name. */
        { "BASEIMAGE", { NULL }, 0, PROPERTIES, "" },
};

START_TEST(process__case) {
        struct run run = run_with_pipes(cases[_i].serial, cases[_i].argv);

        ck_assert_str_eq(run.out, cases[_i].out);
        ck_assert_str_eq(run.err, cases[_i].err);
        ck_assert_int_eq(run.status, cases[_i].status);
}
END_TEST

START_TEST(output__device_full) {
        int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        ck_assert_int_ge(full, 0);
        check_failed_output(full, "(errno 28)");
        close(full);
}
END_TEST

START_TEST(output__closed) {
        check_failed_output(CLOSED, "(errno 9)");
}
END_TEST

START_TEST(output__no_reader) {
        int out[2];

        ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
        close(out[0]);
        check_failed_output(out[1], "(errno 32)");
        close(out[1]);
}
END_TEST

START_TEST(output__closed_and_error_closed) {
        char *argv[] = { "baseimage_id", NULL };

        ck_assert_int_eq(run_helper("BASEIMAGE", argv, CLOSED, CLOSED), 1);
}
END_TEST

/* F_SEAL_GROW forbids writes after the end of the file.  The kernel writes the text up to
 * the end of a page, and only the next write fails.  2 MiB is a multiple of any page size. */
START_TEST(output__short_write) {
        const off_t size = 2 << 20;
        int file = memfd_create("short", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        ck_assert_int_ge(file, 0);
        ck_assert_int_eq(ftruncate(file, size), 0);
        ck_assert_int_eq(fcntl(file, F_ADD_SEALS, F_SEAL_GROW), 0);
        ck_assert_int_eq(lseek(file, -10, SEEK_END), size - 10);

        check_failed_output(file, "(errno 1)");

        char written[11] = "";
        ck_assert_int_eq(pread(file, written, 10, size - 10), 10);
        ck_assert_str_eq(written, "ID_FS_UUID");
        close(file);
}
END_TEST

int main(void) {
        TCase *process = tcase_create("process");
        tcase_add_loop_test(process, process__case, 0, sizeof cases / sizeof *cases);

        TCase *output = tcase_create("output");
        tcase_add_test(output, output__device_full);
        tcase_add_test(output, output__closed);
        tcase_add_test(output, output__no_reader);
        tcase_add_test(output, output__closed_and_error_closed);
        tcase_add_test(output, output__short_write);

        Suite *suite = suite_create("baseimage_id");
        suite_add_tcase(suite, process);
        suite_add_tcase(suite, output);
        return run_suite(suite);
}
