/* SPDX-License-Identifier: GPL-2.0-or-later */
/* baseimage-status reports whether the guest ignores each base image. */
#include <errno.h>
#include <getopt.h>
#include <unistd.h>

#include "config.h"
#include "status.h"

static const char usage[] =
        "Usage: baseimage-status [OPTION...] [DEVICE...]\n"
        "Tells whether the base images (virtio disks with the serial " BASEIMAGE_SERIAL ") are inert.\n\n"
        "      --json       print JSON\n"
        "  -q, --quiet      print nothing\n"
        "      --journal    write to the journal; print a report if not all are inert\n"
        "      --initramfs  also check each initramfs\n"
        "  -h, --help       print this\n"
        "  -V, --version    print the version\n\n"
        "Exit status: 0 inert, 1 leaking, 2 unknown or wrong usage, 3 no base image.\n";

static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        { "quiet", no_argument, NULL, 'q' },
        { "journal", no_argument, NULL, 'J' },
        { "initramfs", no_argument, NULL, 'i' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        { 0 },
};

static int fail(const char *object, const char *problem) {
        fprintf(stderr, "baseimage-status: %s: %s\n", object, problem);
        return STATE_UNKNOWN;
}

/* If the report could not be written, returns STATE_UNKNOWN.  Otherwise returns the argument "state". */
static int close_stdout(int state) {
        errno = EIO;
        if (fflush(stdout) != 0 || ferror(stdout))
                return fail("standard output", strerror(errno));
        return state;
}

/* Selects disks for the report.  names: the names of disks or partitions, then NULL.  If there are no
 * names, selects all disks.  If a name belongs to no base image, returns false. */
static bool select_disks(struct status *s, char *const names[]) {
        for_each_device (d, s)
                d->selected = !*names;
        for (; *names; names++) {
                char *path = format("%s%s", strchr(*names, '/') ? "" : "/dev/", *names);
                struct device *device = device_by_path(s, path);

                free(path);
                if (!device)
                        return false;
                device->disk->selected = true;
        }
        return true;
}

int main(int argc, char *argv[]) {
        static struct status status; /* the kernel frees the memory at exit */
        bool initramfs = false;
        int c, mode = 0, r = 0;

        while ((c = getopt_long(argc, argv, "qhV", options, NULL)) >= 0)
                if (c == '?')
                        return STATE_UNKNOWN;
                else if (c == 'i')
                        initramfs = true;
                else if (mode != 0 && mode != c)
                        return fail("usage", "--json, --quiet and --journal exclude each other");
                else
                        mode = c;
        if (mode == 'h' || mode == 'V') {
                fputs(mode == 'h' ? usage : "baseimage-status " PROJECT_VERSION "\n", stdout);
                return close_stdout(EXIT_SUCCESS);
        }
        find_devices(&status);
        if (!select_disks(&status, argv + optind))
                return fail("arguments", "one of these is not a base image");
        for_each_device (d, &status) {
                check_record(&status, d);
                if (d->disk == d)
                        check_disk(&status, d);
        }
        check_kernel(&status);
        if (initramfs)
                check_initramfs(&status);
        recheck_disks(&status);
        enum state state = state_of(&status, NULL);
        if (mode == 'J')
                r = write_journal(&status);
        if (r >= 0 && mode != 'q' && (mode != 'J' || state != STATE_INERT))
                r = print_report(&status, mode == 'j');
        return r < 0 ? fail("cannot report", strerror(-r)) : close_stdout(state);
}
