/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * baseimage-status finds the base images, looks at one place after the other, and
 * reports findings.  Out of memory, it exits with STATE_UNKNOWN. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-device.h>

#define N(array) (sizeof(array) / sizeof(*(array)))

#ifndef ROOT
#define ROOT "" /* in the unit tests, a directory */
#endif

/* clang-format off */
/* The exit statuses. */
enum state { STATE_INERT, STATE_LEAKING, STATE_UNKNOWN, STATE_NONE };

enum kind {
        /* Leaks.  The rule prevents those up to the partition. */
        KIND_OFF, KIND_RULE, KIND_MARK, KIND_PROPERTY, KIND_LINK, KIND_NAME, KIND_PARTITION,
        KIND_ROOT, KIND_MOUNT, KIND_SWAP, KIND_HOLDER, KIND_BTRFS, KIND_LOOP, KIND_INITRAMFS,
        /* What could not be told. */
        KIND_ERROR, KIND_PENDING, KIND_UNBOUND, KIND_LEFT,
        /* Notes, which change no state. */
        KIND_LVM, KIND_CONTENT, KIND_OPTION, KIND_ACCESS,
        _KINDS, /* of findings that do not count */
};
/* clang-format on */

/* A base image, or a partition of one. */
struct device {
        sd_device *record;
        const char *name;    /* vdb1 */
        const char *number;  /* 1; of a disk: "" */
        struct device *disk; /* of a disk: itself */
        dev_t devnum;
        bool wanted;       /* by the user; of other disks, no finding counts */
        enum kind unruled; /* why the rule did not run, or _KINDS */
};

struct finding {
        struct device *device; /* NULL: the finding has no base image */
        enum kind kind;
        char *evidence, *remedy; /* printable ASCII */
};

struct status {
        struct device *devices; /* each disk, followed by its partitions */
        size_t n_devices;
        struct finding *findings;
        size_t n_findings;
        size_t n_initramfs; /* that were looked into */
};

#define for_each_device(d, s) for (struct device *d = (s)->devices; d < (s)->devices + (s)->n_devices; d++)
#define for_each_finding(f, s)                                                                              \
        for (struct finding *f = (s)->findings; f < (s)->findings + (s)->n_findings; f++)

/* findings.c */
void *check_memory(void *memory);
__attribute__((format(printf, 1, 2))) char *format(const char *template, ...);
const char *kind_to_string(enum kind kind);
/* The name is that in the remedy: of the device, or of what uses it. */
__attribute__((format(printf, 5, 6))) void add_finding(struct status *s, struct device *d, enum kind kind,
                                                       const char *name, const char *evidence, ...);
void add_error(struct status *s, struct device *d, const char *what, int error);
bool is_of_disk(const struct finding *f, const struct device *disk);
enum state state_of(const struct status *s, const struct device *disk); /* NULL: of everything */

/* find.c */
void each_record(struct status *s, const char *subsystem, const char *names,
                 void (*found)(struct status *s, sd_device *record, const char *name));
/* Takes the pattern, which format() made. */
void each_path(struct status *s, struct device *d, char *pattern,
               void (*found)(struct status *s, struct device *d, const char *path));
void find_devices(struct status *s);
/* The device with this node, or that this link leads to; or NULL. */
struct device *device_by_path(const struct status *s, const char *path);
/* Looks for disks that changed since find_devices(): their findings do not count. */
void check_devices(struct status *s);

/* Each adds the findings of one place. */
void look_at_record(struct status *s, struct device *d);
void look_at_disk(struct status *s, struct device *disk);
void look_at_kernel(struct status *s);
void look_at_initramfs(struct status *s);

/* report.c: 0 or a negative errno */
int print_report(const struct status *s, bool json);
int write_journal(const struct status *s);
