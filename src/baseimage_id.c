/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * This program is called the helper.  The udev rule 59-baseimage.rules runs the helper.
 *
 * IMPORT{program} in the rule runs the helper without arguments.  If the environment
 * variable ID_SERIAL is the serial of a base image, the helper then prints properties.
 *
 * RUN in the rule runs the helper with arguments.  The helper then deletes partitions or
 * unbinds the disk.
 *
 * On amd64, the helper must not be larger than 8 KiB.  The helper must also start with few
 * system calls.  So the helper does not use stdio, the heap or strerror(). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "baseimage.h"
#include "config.h"
#include "driver.h"
#include "partitions.h"
#include "util.h"

enum { EXIT_USAGE = 2 };

extern char **environ;

static const char usage[] = "Usage: baseimage_id\n"
                            "       baseimage_id delete DISK [PARTITION-NUMBER]\n"
                            "       baseimage_id unbind VIRTIO-DEVICE\n"
                            "       baseimage_id --help | --version\n";

/* Prints a message to standard error.
 *
 * object: the name of the file or device
 * problem: the text after the name, which begins with ": "
 * error: a positive errno
 *
 * Returns the exit status EXIT_FAILURE. */
static int fail(const char *object, const char *problem, int error) {
        /* An errno has at most three digits. */
        char number[] = { (char)('0' + error / 100), (char)('0' + error / 10 % 10), (char)('0' + error % 10),
                          '\0' };

        write_all(STDERR_FILENO, "baseimage_id: ");
        write_all(STDERR_FILENO, object);
        write_all(STDERR_FILENO, problem);
        write_all(STDERR_FILENO, " (errno ");
        write_all(STDERR_FILENO, number + (error < 100) + (error < 10));
        write_all(STDERR_FILENO, ")\n");
        return EXIT_FAILURE;
}

/* Prints text to standard output.  Returns the exit status. */
static int print(const char *text) {
        /* If this variable were on the stack, the compiler would add code that protects the
         * stack.  Then the helper would be 128 bytes larger. */
        static sigset_t pipe_signal;

        /* If standard output is a pipe that no process reads, write() fails with EPIPE, and
         * the kernel sends SIGPIPE.  SIGPIPE would end the helper without a message.  So the
         * helper blocks SIGPIPE, and prints a message after the failed write(). */
        sigemptyset(&pipe_signal);
        sigaddset(&pipe_signal, SIGPIPE);
        sigprocmask(SIG_BLOCK, &pipe_signal, NULL);

        int r = write_all(STDOUT_FILENO, text);
        return r < 0 ? fail("standard output", ": cannot write", -r) : EXIT_SUCCESS;
}

/* Returns the value of the environment variable ID_SERIAL.  If the variable is not set,
 * returns NULL. */
static const char *get_serial(void) {
        for (char **variable = environ; variable && *variable; variable++) {
                const char *value = startswith(*variable, "ID_SERIAL=");
                if (value)
                        return value;
        }
        return NULL;
}

/* Converts text to the number of a partition.  If text is not a number from 1 to 255,
 * returns 0. */
static int parse_partition(const char *text) {
        int number = 0;

        do {
                if (*text < '0' || *text > '9' || number > 25)
                        return 0;
                number = number * 10 + *text - '0';
        } while (*++text);
        return number <= 255 ? number : 0;
}

/* Deletes partitions of a disk from the kernel.
 *
 * disk: the path of the disk's device node
 * partition: the number of the partition to delete, or 0 to delete all partitions
 *
 * Returns the exit status. */
static int run_delete(const char *disk, int partition) {
        int fd = open(disk, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return fail(disk, ": cannot open", errno);

        int r = partition ? delete_partition(fd, partition) : delete_all_partitions(fd);
        return r < 0 ? fail(disk, ": cannot delete a partition", -r) : EXIT_SUCCESS;
}

static int run_unbind(const char *device) {
        int r = unbind_until_coldplug(device);
        return r < 0 ? fail(device, ": cannot unbind", -r) : EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        if (argc <= 1) {
                const char *properties = baseimage_properties(get_serial());
                /* For most devices, properties is empty.  Then the helper skips the system calls
                 * of print(). */
                return *properties ? print(properties) : EXIT_SUCCESS;
        }
        if (argc == 2 && strcmp(argv[1], "--help") == 0)
                return print(usage);
        if (argc == 2 && strcmp(argv[1], "--version") == 0)
                return print("baseimage_id " PROJECT_VERSION "\n");
        if (argc == 3 && strcmp(argv[1], "unbind") == 0)
                return run_unbind(argv[2]);
        if (argc == 3 && strcmp(argv[1], "delete") == 0)
                return run_delete(argv[2], 0);
        if (argc == 4 && strcmp(argv[1], "delete") == 0 && parse_partition(argv[3]))
                return run_delete(argv[2], parse_partition(argv[3]));

        write_all(STDERR_FILENO, usage);
        return EXIT_USAGE;
}
