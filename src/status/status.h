/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What baseimage-status is made of: facts, who gathers them, who judges them,
 * who tells.  What returns an int returns 0 or a negative errno, if nothing
 * else is said. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

/* --- model.c: what was seen ----------------------------------------------- */

enum kind {
        KIND_PROPERTY,   /* KEY=value, of udev's record */
        KIND_UNIT_NAME,  /* how units call it: no finding */
        KIND_MOUNT_NAME, /* how mount units alone call it: no finding */
        KIND_LINK,       /* a symlink that leads to it */
        KIND_NAME,       /* a link of the rule's that does not */
        KIND_UNIT,       /* an active unit of the system manager */
        KIND_HOLDER,     /* who stands on it, in the kernel */
        KIND_BTRFS,      /* UUID of the mounted btrfs that it is a member of */
        KIND_MOUNT,      /* a mount point */
        KIND_SWAP,       /* how it is named in /proc/swaps */
        KIND_BARE_DISK,  /* what LVM finds on the disk, outside of partitions */
        KIND_INITRAMFS,  /* an initramfs, and what it lacks */
        KIND_ERROR,      /* what could not be seen, and why */
        /* What the verdict adds. */
        KIND_MISSING,   /* KEY=value that the rule sets, and who reads it */
        KIND_PARTITION, /* the node of a partition that is not to have one */
        KIND_ACCESS,
        KIND_OPT_OUT, /* the option of the kernel command line: "off" */
        KIND_OPTION,  /* and a value that means nothing */
        _KINDS,
};

/* The text is as it was found: escape it before it is shown to anyone. */
struct fact {
        enum kind kind;
        char *text;
};

/* A base image, or a partition of one. */
struct device {
        char *name;     /* vdb1 */
        char *disk;     /* vdb */
        char *node;     /* /dev/vdb1 */
        char *links[2]; /* that the rule gives it: /dev/baseimage-part1 */
        char *syspath;  /* NULL: not known */
        dev_t devnum;
        unsigned partition; /* 0: the disk */
        bool read_only;
        bool recorded; /* udev has processed it */
        bool doubtful; /* gone, or perhaps no base image: only errors count */
        struct fact *facts;
        size_t n_facts;
};

/* To begin with, all but root is zero. */
struct facts {
        const char *root;       /* the directory where all is looked for; "": here */
        struct device *devices; /* each disk is followed by its partitions */
        size_t n_devices;
        struct device system; /* has the facts that are no one device's, and no name */
        bool systemd;         /* the system manager was there to be asked */
};

int facts_add_device(struct facts *facts, const char *name, const char *disk, struct device **ret);
__attribute__((format(printf, 3, 4))) int facts_add(struct device *device, enum kind kind,
                                                    const char *format, ...);

/* Adds a KIND_ERROR: "what: why". */
int facts_add_error(struct device *device, const char *what, int error);

/* Whose node the path is, or leads to; *ret is NULL where it is none of ours. */
int facts_resolve(const struct facts *facts, const char *path, struct device **ret);

/* Drops each device whose keep is false. */
void facts_keep(struct facts *facts, const bool keep[]);

void facts_done(struct facts *facts);

/* --- select.c ------------------------------------------------------------- */

/* Keeps what names (nodes, links or bare names) stand for: a disk with its
 * partitions, or a partition; all, if there are no names.  -ENODEV:
 * *ret_unknown is none of ours. */
int facts_select(struct facts *facts, char *const *names, size_t n_names, const char **ret_unknown);

/* --- Who gathers: a file for each place.  What could not be seen is no failure,
 * but a KIND_ERROR of the device, or of the system where it is no one's. ------- */

int sysfs_find(struct facts *facts); /* first: disks, by their serial attribute, and partitions */
int sysfs_read(struct facts *facts); /* numbers, access, holders, btrfs */
int udev_read(struct facts *facts);
int dev_read(struct facts *facts);  /* after udev_read(): links */
int proc_read(struct facts *facts); /* mounts and swap space */
int disk_read(struct facts *facts);
int manager_ask(struct facts *facts); /* after dev_read() and proc_read(): by their names */
int manager_ask_bus(sd_bus *bus, struct facts *facts);
int initramfs_look(struct facts *facts);   /* runs other programs */
int sysfs_check_gone(struct facts *facts); /* last: what is not there any more is doubtful */

/* --- verdict.c: what it means; pure ---------------------------------------- */

/* The exit statuses. */
enum state {
        STATE_INERT,
        STATE_LEAKING,
        STATE_UNKNOWN, /* and wrong usage */
        STATE_NONE,    /* no base image attached */
};

enum severity {
        SEVERITY_NOTE, /* worth knowing, changes no state */
        SEVERITY_LEAK,
        SEVERITY_UNKNOWN,
};

struct finding {
        enum severity severity;
        const struct device *device; /* or the facts' system */
        const char *kind;            /* one word */
        char *evidence;              /* escaped */
        const char *remedy;
};

/* Points into the facts. */
struct verdict {
        enum state state;
        struct finding *findings; /* in the order of the devices, then the system's */
        size_t n_findings;
};

int verdict_reach(const struct facts *facts, struct verdict *ret);
void verdict_done(struct verdict *verdict);

/* True of a finding of the device, of one of its partitions if whole, or of the system. */
bool finding_concerns(const struct finding *finding, const struct device *device, bool whole);
enum state verdict_of(const struct verdict *verdict, const struct device *device, bool whole);

const char *state_to_string(enum state state);
const char *severity_to_string(enum severity severity);

/* --- report.c, journal.c: who tells.  Whether it could be written, the stream
 * knows; -ENOMEM where what is to be written could not be made. -------------- */

void report_table(FILE *out, const struct facts *facts, const struct verdict *verdict, bool colour);
void report_export(FILE *out, const struct facts *facts, const struct verdict *verdict);
int report_json(FILE *out, const struct facts *facts, const struct verdict *verdict);

/* Writes one entry per disk. */
int journal_write(const struct facts *facts, const struct verdict *verdict);

/* --- run.c: the program below this root; returns its exit status ------------- */

int run(const char *root, int argc, char *argv[]);

/* --- text.c: texts in someone else's format; pure.  What returns a char *
 * returns a new string, or NULL when out of memory. --------------------------- */

/* A line of /proc/self/mountinfo. */
struct mount {
        unsigned major, minor;
        const char *point; /* both point into the line */
        const char *source;
};

__attribute__((format(printf, 1, 2))) char *text_format(const char *format, ...);

/* Makes a foreign name fit for terminals, logs, JSON, shells and udev: what is
 * not a letter, a digit, a blank or one of #+-.:=@_/,() becomes \xNN, and what
 * is \xNN already stays. */
char *text_escape(const char *text);

/* As systemd-escape --path: the name that systemd's units give to a path. */
char *unit_escape_path(const char *path);

/* True if the unit has this name (see unit_escape_path()), or is the instance
 * of a template for it. */
bool unit_is_of(const char *unit, const char *name);

/* A decimal number and the byte after it; the end is beyond that.  -EINVAL: another byte, no number or too
 * large a one. */
int number_parse(const char *text, char stop, const char **ret_end, unsigned *ret);

/* A device number as sysfs and mountinfo write it: 252:17.  -EINVAL: it is none. */
int devnum_parse(const char *text, unsigned *ret_major, unsigned *ret_minor);

/* The parsers change the line.  -EINVAL: it is none of the format. */
int mountinfo_parse(char *line, struct mount *ret);
int swaps_parse(char *line, const char **ret_path);

/* True if this line of lsinitramfs or lsinitrd is of the file with this path. */
bool listing_names(const char *line, const char *path);

static inline const char *startswith(const char *text, const char *prefix) {
        size_t n = strlen(prefix);
        return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* --- Called with a pointer to the variable when it goes out of scope ---------- */

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_fclose_ _cleanup_(fclosep)

static inline void freep(void *p) {
        free(*(void **)p);
}

static inline void fclosep(FILE **file) {
        if (*file)
                fclose(*file);
}
