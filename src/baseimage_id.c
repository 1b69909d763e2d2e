/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Run by udev for every vd* device: tells from ID_SERIAL whether it is the
 * base image.  No stdio and no heap, so that the static program stays within
 * two pages and the fewest system calls. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "baseimage.h"
#include "config.h"

enum { EXIT_USAGE = 2 };

static const char usage[] = "Usage: baseimage_id [--help | --version]\n"
                            "Prints udev properties if ID_SERIAL is " BASEIMAGE_SERIAL ".\n";

/* Writes all of text to fd. Returns 0, or a negative errno. */
static int write_all(int fd, const char *text) {
        size_t left = strlen(text);

        while (left > 0) {
                ssize_t n = write(fd, text, left);
                /* No EINTR: there is no signal handler to return from. */
                if (n < 0)
                        return -errno;
                text += n;
                left -= (size_t)n;
        }
        return 0;
}

/* Writes text to standard output and returns the exit status.  A reader that
 * is gone must end in a message too, hence no SIGPIPE; blocking it is one
 * system call and less code than a handler. */
static int print(const char *text) {
        /* Not on the stack, where it alone would cost 128 bytes of protector. */
        static sigset_t pipe_signal;

        sigemptyset(&pipe_signal);
        sigaddset(&pipe_signal, SIGPIPE);
        sigprocmask(SIG_BLOCK, &pipe_signal, NULL);

        int r = write_all(STDOUT_FILENO, text);
        if (r == 0)
                return EXIT_SUCCESS;

        /* Where standard error is gone as well, the exit status tells alone. */
        write_all(STDERR_FILENO, "baseimage_id: cannot write to standard output: ");
        write_all(STDERR_FILENO, strerror(-r));
        write_all(STDERR_FILENO, "\n");
        return EXIT_FAILURE;
}

int main(int argc, char *argv[]) {
        if (argc == 2 && strcmp(argv[1], "--help") == 0)
                return print(usage);
        if (argc == 2 && strcmp(argv[1], "--version") == 0)
                return print("baseimage_id " PROJECT_VERSION "\n");
        if (argc > 1) {
                write_all(STDERR_FILENO, usage);
                return EXIT_USAGE;
        }

        const char *properties = baseimage_properties(getenv("ID_SERIAL"));
        /* Most devices are not the base image: cost them no system call. */
        return *properties ? print(properties) : EXIT_SUCCESS;
}
