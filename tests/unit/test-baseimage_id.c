/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * These tests run the helper as a process.  The environment variable HELPER has the path of
 * the helper.  The tests check the helper's standard output, standard error and exit status. */
#include <check.h>
#include <fcntl.h>
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
#define ERROR(problem, number) "baseimage_id: " problem " (errno " number ")\n"
#define NOT_WRITTEN(number) ERROR("standard output: cannot write", number)
#define NOT_DELETED ERROR("/dev/null: cannot delete a partition", "25")
#define NOT_UNBOUND(device) ERROR(device ": cannot unbind", "22")

enum { CLOSED = -1, PIPE = -2 };

struct run {
        int status;     /* exit status, or 128 + the signal's number */
        char out[1024]; /* text that the helper wrote to standard output */
        char err[1024]; /* text that the helper wrote to standard error */
};

static void redirect(int target, int fd) {
        if (fd == CLOSED)
                close(target);
        else
                dup2(fd, target);
}

/* Reads from the pipe until the writer has closed the pipe, or until the buffer is full.  Then
 * closes the pipe.  The text in the buffer is NUL-terminated. */
static void read_pipe(const int ends[2], char *buffer, size_t size) {
        size_t used = 0;
        ssize_t n;

        close(ends[1]);
        while (used < size - 1 && (n = read(ends[0], buffer + used, size - 1 - used)) > 0)
                used += (size_t)n;
        buffer[used] = '\0';
        close(ends[0]);
}

/* Runs the helper.
 *
 * The argument "out" becomes the helper's standard output, and the argument "err" becomes the
 * helper's standard error.  Each is a file descriptor, PIPE or CLOSED.  With PIPE, the returned
 * struct contains the text that the helper wrote.  With CLOSED, the descriptor is closed. */
static struct run run_helper(const char *serial, char *const argv[], int out, int err) {
        int out_ends[2], err_ends[2], status;
        struct run run;

        ck_assert_ptr_nonnull(getenv("HELPER"));
        ck_assert_int_eq(pipe2(out_ends, O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(err_ends, O_CLOEXEC), 0);
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                if (serial)
                        setenv("ID_SERIAL", serial, 1);
                else
                        unsetenv("ID_SERIAL");
                redirect(STDOUT_FILENO, out == PIPE ? out_ends[1] : out);
                redirect(STDERR_FILENO, err == PIPE ? err_ends[1] : err);
                const char *helper = getenv("HELPER");
                if (helper)
                        execv(helper, argv);
                _exit(127);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        run.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        read_pipe(out_ends, run.out, sizeof run.out);
        read_pipe(err_ends, run.err, sizeof run.err);
        return run;
}

/* Runs the helper with the standard output "out", to which the helper cannot write.  Checks that
 * the helper prints the expected message to standard error. */
static void check_failed_output(int out, const char *expected) {
        char *argv[] = { "baseimage_id", NULL };
        struct run run = run_helper("BASEIMAGE", argv, out, PIPE);

        ck_assert_int_eq(run.status, 1);
        ck_assert_str_eq(run.err, expected);
}

static const struct {
        const char *serial;
        char *argv[5];
        int status;
        const char *out, *err;
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
        { NULL, { "baseimage_id", "delete", "/none" }, 1, "", ERROR("/none: cannot open", "2") },
        /* /dev/null is not a disk, so ioctl() fails. */
        { NULL, { "baseimage_id", "delete", "/dev/null" }, 1, "", NOT_DELETED },
        { NULL, { "baseimage_id", "delete", "/dev/null", "255" }, 1, "", NOT_DELETED },
        { NULL, { "baseimage_id", "unbind" }, 2, "", USAGE },
        { NULL, { "baseimage_id", "unbind", "vda" }, 1, "", NOT_UNBOUND("vda") },
        { NULL, { "baseimage_id", "unbind", "virtio" }, 1, "", NOT_UNBOUND("virtio") },
        { NULL, { "baseimage_id", "unbind", "virtio/../0" }, 1, "", NOT_UNBOUND("virtio/../0") },
        { NULL, { "baseimage_id", "unbind", "virtio12345678901" }, 1, "", NOT_UNBOUND("virtio12345678901") },
        /* argc can be 0.  Then argv does not contain the name of the program. */
        { "BASEIMAGE", { NULL }, 0, PROPERTIES, "" },
};

START_TEST(process__case) {
        struct run run = run_helper(cases[_i].serial, cases[_i].argv, PIPE, PIPE);

        ck_assert_str_eq(run.out, cases[_i].out);
        ck_assert_str_eq(run.err, cases[_i].err);
        ck_assert_int_eq(run.status, cases[_i].status);
}
END_TEST

START_TEST(output__device_full) {
        int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        ck_assert_int_ge(full, 0);
        check_failed_output(full, NOT_WRITTEN("28"));
        close(full);
}
END_TEST

START_TEST(output__closed) {
        check_failed_output(CLOSED, NOT_WRITTEN("9"));
}
END_TEST

START_TEST(output__no_reader) {
        int out[2];

        ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
        close(out[0]);
        check_failed_output(out[1], NOT_WRITTEN("32"));
        close(out[1]);
}
END_TEST

START_TEST(output__closed_and_error_closed) {
        char *argv[] = { "baseimage_id", NULL };

        ck_assert_int_eq(run_helper("BASEIMAGE", argv, CLOSED, CLOSED).status, 1);
}
END_TEST

/* With the seal F_SEAL_GROW, the kernel does not let the file grow.  The helper starts to write at
 * the offset "size - 10".  So the first write() writes 10 bytes, and the next write() fails.  The
 * first write() succeeds only if the file ends at the end of a page.  The size of the file is
 * 2 MiB, which is a multiple of every page size. */
START_TEST(output__short_write) {
        const off_t size = 2 << 20;
        int file = memfd_create("short", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        ck_assert_int_ge(file, 0);
        ck_assert_int_eq(ftruncate(file, size), 0);
        ck_assert_int_eq(fcntl(file, F_ADD_SEALS, F_SEAL_GROW), 0);
        ck_assert_int_eq(lseek(file, -10, SEEK_END), size - 10);

        check_failed_output(file, NOT_WRITTEN("1"));

        char written[11] = "";
        ck_assert_int_eq(pread(file, written, 10, size - 10), 10);
        ck_assert_str_eq(written, "ID_FS_UUID");
        close(file);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("process");
        tcase_add_loop_test(tests, process__case, 0, sizeof cases / sizeof *cases);
        tcase_add_test(tests, output__device_full);
        tcase_add_test(tests, output__closed);
        tcase_add_test(tests, output__no_reader);
        tcase_add_test(tests, output__closed_and_error_closed);
        tcase_add_test(tests, output__short_write);
        return run_suite("baseimage_id", tests);
}
