/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Tells of each base image whether it is inert, whether or not baseimage-udev is
 * installed. */
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
        "      --journal    write to the journal; print what is not inert\n"
        "      --initramfs  also look into each initramfs\n"
        "  -h, --help       print this\n"
        "  -V, --version    print the version\n\n"
        "Exit status: 0 inert, 1 leaking, 2 wrong usage or could not tell, 3 no base image.\n";

static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        { "quiet", no_argument, NULL, 'q' },
        { "journal", no_argument, NULL, 'J' },
        { "initramfs", no_argument, NULL, 'i' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        { 0 },
};

static int complain(const char *what, const char *why) {
        fprintf(stderr, "baseimage-status: %s: %s\n", what, why);
        return STATE_UNKNOWN;
}

/* A report that could not be written is none. */
static int close_stdout(int state) {
        errno = EIO;
        if (fflush(stdout) != 0 || ferror(stdout))
                return complain("standard output", strerror(errno));
        return state;
}

/* A partition stands for its disk.  False: one of them is no base image. */
static bool want_disks(struct status *s, char *const names[]) {
        for_each_device (d, s)
                d->wanted = !*names;
        for (; *names; names++) {
                char *path = format("%s%s", strchr(*names, '/') ? "" : "/dev/", *names);
                struct device *device = device_by_path(s, path);

                free(path);
                if (!device)
                        return false;
                device->disk->wanted = true;
        }
        return true;
}

int main(int argc, char *argv[]) {
        static struct status status; /* its memory is the program's */
        bool initramfs = false;
        int c, how = 0, r = 0;

        while ((c = getopt_long(argc, argv, "qhV", options, NULL)) >= 0)
                if (c == '?')
                        return STATE_UNKNOWN;
                else if (c == 'i')
                        initramfs = true;
                else if (how != 0 && how != c)
                        return complain("usage", "only one of --json, --quiet and --journal");
                else
                        how = c;
        if (how == 'h' || how == 'V') {
                fputs(how == 'h' ? usage : "baseimage-status " PROJECT_VERSION "\n", stdout);
                return close_stdout(EXIT_SUCCESS);
        }
        find_devices(&status);
        if (!want_disks(&status, argv + optind))
                return complain("arguments", "not all of these are base images");
        for_each_device (d, &status) {
                look_at_record(&status, d);
                if (d->disk == d)
                        look_at_disk(&status, d);
        }
        look_at_kernel(&status);
        if (initramfs)
                look_at_initramfs(&status);
        check_devices(&status);
        enum state state = state_of(&status, NULL);
        if (how == 'J')
                r = write_journal(&status);
        if (r >= 0 && how != 'q' && (how != 'J' || state != STATE_INERT))
                r = print_report(&status, how == 'j');
        return r < 0 ? complain("cannot report", strerror(-r)) : close_stdout(state);
}
