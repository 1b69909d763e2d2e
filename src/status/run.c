/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Says of each base image whether it is really inert, whoever did or did not
 * make it so. */
#include <errno.h>
#include <getopt.h>
#include <unistd.h>

#include "config.h"
#include "status.h"

/* Named as getopt_long() names the options. */
enum output {
        OUTPUT_TABLE,
        OUTPUT_EXPORT = 'e',
        OUTPUT_JSON = 'j',
        OUTPUT_QUIET = 'q',
        OUTPUT_JOURNAL = 'J',
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

static const struct option options[] = {
        { "export", no_argument, NULL, OUTPUT_EXPORT }, { "json", no_argument, NULL, OUTPUT_JSON },
        { "quiet", no_argument, NULL, OUTPUT_QUIET },   { "journal", no_argument, NULL, OUTPUT_JOURNAL },
        { "initramfs", no_argument, NULL, 'i' },        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },          { 0 },
};

/* Returns 1 to go on, 0 if all is done, and -EINVAL. */
static int parse_argv(int argc, char *argv[], struct arguments *ret) {
        struct arguments arguments = { 0 };
        int c;

        while ((c = getopt_long(argc, argv, "qhV", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        fputs(usage, stdout);
                        return 0;
                case 'V':
                        puts("baseimage-status " PROJECT_VERSION);
                        return 0;
                case '?':
                        return -EINVAL;
                case 'i':
                        arguments.initramfs = true;
                        break;
                default:
                        if (arguments.output != OUTPUT_TABLE && arguments.output != (enum output)c) {
                                fputs("baseimage-status: only one of --export, --json, --quiet and "
                                      "--journal\n",
                                      stderr);
                                return -EINVAL;
                        }
                        arguments.output = (enum output)c;
                }
        arguments.devices = argv + optind;
        arguments.n_devices = (size_t)(argc - optind);
        *ret = arguments;
        return 1;
}

/* The name may be anything. */
static int complain_unknown(const char *name) {
        _cleanup_free_ char *escaped = text_escape(name);

        fprintf(stderr,
                "baseimage-status: %s: neither a vd* disk with the serial " BASEIMAGE_SERIAL
                " nor a partition of one\n",
                escaped ? escaped : "DEVICE");
        return STATE_UNKNOWN;
}

/* Where it fails for a name, that is in *ret_unknown. */
static int gather(const struct arguments *arguments, struct facts *facts, const char **ret_unknown) {
        static int (*const readers[])(struct facts *) = {
                sysfs_find, sysfs_read, udev_read, dev_read, proc_read, disk_read, manager_ask,
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < sizeof(readers) / sizeof(*readers); i++)
                r = readers[i](facts);
        if (r >= 0 && arguments->initramfs)
                r = initramfs_look(facts);
        if (r >= 0)
                r = sysfs_check_gone(facts);
        /* Not before: a link may rightly lead to a disk that was not asked for. */
        return r < 0 ? r : facts_select(facts, arguments->devices, arguments->n_devices, ret_unknown);
}

static bool want_colour(void) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

        return isatty(STDOUT_FILENO) && (!no_color || !*no_color) && term && strcmp(term, "dumb") != 0;
}

static int report(enum output output, const struct facts *facts, const struct verdict *verdict) {
        switch (output) {
        case OUTPUT_EXPORT:
                report_export(stdout, facts, verdict);
                return 0;
        case OUTPUT_JSON:
                return report_json(stdout, facts, verdict);
        case OUTPUT_JOURNAL:
                return journal_write(facts, verdict);
        case OUTPUT_QUIET:
                return 0;
        default:
                report_table(stdout, facts, verdict, want_colour());
                return 0;
        }
}

int run(const char *root, int argc, char *argv[]) {
        _cleanup_(verdict_done) struct verdict verdict = { 0 };
        _cleanup_(facts_done) struct facts facts = { .root = root };
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
