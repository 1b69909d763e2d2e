/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Says of each base image whether it is really inert, whoever did or did not
 * make it so. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "initramfs.h"
#include "journal.h"
#include "manager.h"
#include "report.h"
#include "text.h"
#include "util.h"

enum output {
        OUTPUT_TABLE,
        OUTPUT_EXPORT,
        OUTPUT_JSON,
        OUTPUT_QUIET,
        OUTPUT_JOURNAL,
};

struct arguments {
        enum output output;
        bool initramfs;
        char **devices;
        size_t n_devices;
};

static const char usage[] =
        "Usage: baseimage-status [OPTION...] [DEVICE...]\n"
        "Says whether the base images (virtio disks with the serial " BASEIMAGE_SERIAL ") are inert.\n\n"
        "      --export     print KEY=value lines\n"
        "      --json       print JSON\n"
        "  -q, --quiet      print nothing\n"
        "      --journal    write to the journal, print nothing\n"
        "      --initramfs  look into the initramfs of the running kernel, too\n"
        "  -h, --help       print this\n"
        "  -V, --version    print the version\n\n"
        "Exit status: 0 inert, 1 leaking, 2 wrong usage or could not tell, 3 no base image.\n";

static int complain(const char *what, int error) {
        fprintf(stderr, "baseimage-status: %s: %s\n", what, strerror(abs(error)));
        return STATE_UNKNOWN;
}

/* A report that nobody could read is none. */
static int close_stdout(int status) {
        /* In case that the flush succeeds after an earlier failure; no test has
         * seen that. */
        errno = EIO;
        if (fflush(stdout) != 0 || ferror(stdout))
                return complain("standard output", errno);
        return status;
}

/* Returns 1 to go on, 0 if all is done, and -EINVAL. */
static int parse_argv(int argc, char *argv[], struct arguments *ret) {
        enum { INITRAMFS = 0x100, OUTPUT };
        static const struct option options[] = {
                { "export", no_argument, NULL, OUTPUT + OUTPUT_EXPORT },
                { "json", no_argument, NULL, OUTPUT + OUTPUT_JSON },
                { "quiet", no_argument, NULL, 'q' },
                { "journal", no_argument, NULL, OUTPUT + OUTPUT_JOURNAL },
                { "initramfs", no_argument, NULL, INITRAMFS },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'V' },
                { 0 },
        };
        struct arguments arguments = { 0 };
        int c;

        while ((c = getopt_long(argc, argv, "qhV", options, NULL)) >= 0) {
                enum output output = c == 'q' ? OUTPUT_QUIET : (enum output)(c - OUTPUT);

                if (c == 'h') {
                        fputs(usage, stdout);
                        return 0;
                }
                if (c == 'V') {
                        puts("baseimage-status " PROJECT_VERSION);
                        return 0;
                }
                if (c == '?')
                        return -EINVAL;
                if (c == INITRAMFS) {
                        arguments.initramfs = true;
                        continue;
                }
                if (arguments.output != OUTPUT_TABLE && arguments.output != output) {
                        fputs("baseimage-status: only one of --export, --json, --quiet and --journal\n",
                              stderr);
                        return -EINVAL;
                }
                arguments.output = output;
        }
        arguments.devices = argv + optind;
        arguments.n_devices = (size_t)(argc - optind);
        *ret = arguments;
        return 1;
}

/* The name may be anything. */
static int complain_unknown(const char *name) {
        _cleanup_free_ char *escaped = text_escape(name, true);

        fprintf(stderr,
                "baseimage-status: %s: neither a vd* disk with the serial " BASEIMAGE_SERIAL
                " nor a partition of one\n",
                escaped ? escaped : "DEVICE");
        return STATE_UNKNOWN;
}

/* Where it fails for a name, that is in *ret_unknown. */
static int gather(const struct arguments *arguments, struct facts *facts, const char **ret_unknown) {
        static const struct roots roots = {
                .sys = "/sys",
                .dev = "/dev",
                .proc = "/proc",
                .run_udev = "/run/udev",
                .boot = "/boot",
        };
        int r;

        if ((r = facts_find(facts)) < 0 ||
            (r = facts_narrow(&roots, facts, arguments->devices, arguments->n_devices, ret_unknown)) < 0)
                return r;
        /* Out of memory in both; the whole program's test has no manager to ask. */
        if ((r = facts_read(&roots, facts)) < 0 || (r = manager_ask(facts)) < 0)
                return r;
        if (arguments->initramfs && (r = initramfs_look(&roots, facts)) < 0)
                return r;
        return facts_check_gone(&roots, facts);
}

static bool want_colour(void) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

        return isatty(STDOUT_FILENO) && (!no_color || !*no_color) && term && strcmp(term, "dumb") != 0;
}

static int report(enum output output, const struct facts *facts, const struct verdict *verdict) {
        switch (output) {
        case OUTPUT_EXPORT:
                return report_export(stdout, facts, verdict);
        case OUTPUT_JSON:
                return report_json(stdout, facts, verdict);
        case OUTPUT_JOURNAL:
                return journal_write(facts, verdict);
        case OUTPUT_QUIET:
                return 0;
        default:
                return report_table(stdout, facts, verdict, want_colour());
        }
}

int main(int argc, char *argv[]) {
        _cleanup_(verdict_done) struct verdict verdict = { 0 };
        _cleanup_(facts_done) struct facts facts = { 0 };
        struct arguments arguments;
        const char *unknown = NULL;
        int r;

        r = parse_argv(argc, argv, &arguments);
        if (r == 0)
                return close_stdout(EXIT_SUCCESS);
        if (r < 0) {
                fputs("Try 'baseimage-status --help'.\n", stderr);
                return STATE_UNKNOWN;
        }

        r = gather(&arguments, &facts, &unknown);
        if (unknown)
                return complain_unknown(unknown);
        if (r < 0)
                return complain("cannot gather", r);
        r = verdict_reach(&facts, &verdict);
        if (r < 0)
                return complain("cannot judge", r);
        r = report(arguments.output, &facts, &verdict);
        if (r < 0)
                return complain("cannot report", r);
        return close_stdout(verdict.state);
}
