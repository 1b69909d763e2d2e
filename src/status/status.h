/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * baseimage-status finds the base images, checks each place where they can leak, and
 * reports findings.  If memory runs out, it exits with STATE_UNKNOWN. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-device.h>

#define N(array) (sizeof(array) / sizeof(*(array)))

#ifndef ROOT
#define ROOT "" /* the unit tests set it to a directory */
#endif

/* clang-format off */
/* These are also the exit statuses. */
enum state { STATE_INERT, STATE_LEAKING, STATE_UNKNOWN, STATE_NONE };

enum kind {
        /* These are leaks.  The rule prevents the leaks up to KIND_PARTITION. */
        KIND_RULE_DISABLED, KIND_RULE_MISSING, KIND_MARK, KIND_PROPERTY, KIND_EXTRA_LINK,
        KIND_MISSING_LINK, KIND_PARTITION,
        KIND_ROOT_MOUNT, KIND_MOUNT, KIND_SWAP, KIND_HOLDER, KIND_BTRFS, KIND_LOOP, KIND_INITRAMFS,
        /* For these the state is unknown. */
        KIND_ERROR, KIND_PENDING, KIND_NO_DRIVER, KIND_BIND_PENDING, /* without and with a bind rule */
        /* These are notes.  They do not change the state. */
        KIND_LVM_CONTENT, KIND_CONTENT, KIND_OPTION, KIND_ACCESS,
        /* This marks a finding that is not reported.  It must be the last. */
        KIND_NONE,
};
/* clang-format on */

/* A base image, or a partition of one. */
struct device {
        sd_device *dev;
        const char *name;      /* such as "vdb1" */
        const char *partition; /* the number, such as "1"; "" for a disk */
        struct device *disk;   /* a disk points to itself */
        dev_t devnum;
        bool selected;          /* the user named this disk, or no disk */
        enum kind rule_problem; /* KIND_RULE_..., or KIND_NONE if the rule ran */
};

struct finding {
        struct device *device; /* NULL if the finding belongs to no base image */
        enum kind kind;
        char *evidence, *remedy; /* printable ASCII */
};

struct status {
        struct device *devices; /* each disk, followed by its partitions */
        size_t n_devices;
        struct finding *findings;
        size_t n_findings;
        size_t n_initramfs_images; /* that were checked */
};

#define for_each_device(d, s) for (struct device *d = (s)->devices; d < (s)->devices + (s)->n_devices; d++)
#define for_each_finding(f, s)                                                                              \
        for (struct finding *f = (s)->findings; f < (s)->findings + (s)->n_findings; f++)

/* findings.c */
/* Returns memory.  If it is NULL, exits. */
void *check_memory(void *memory);
/* Returns a string; the caller frees it. */
__attribute__((format(printf, 1, 2))) char *format(const char *template, ...);
const char *kind_to_string(enum kind kind);
/* device: NULL if the finding belongs to no base image.
 * name: what the remedy names, such as the device or the mount point. */
__attribute__((format(printf, 5, 6))) void add_finding(struct status *s, struct device *d, enum kind kind,
                                                       const char *name, const char *evidence, ...);
/* error: an errno, positive or negative */
void add_error(struct status *s, struct device *d, const char *what, int error);
/* disk: NULL to ask whether the finding belongs to no base image */
bool is_of_disk(const struct finding *f, const struct device *disk);
/* disk: NULL to ask for the state of all disks */
enum state state_of(const struct status *s, const struct device *disk);

/* find.c */
/* Calls callback for each device of a subsystem whose name matches the pattern names. */
void each_sd_device(struct status *s, const char *subsystem, const char *names,
                    void (*callback)(struct status *s, sd_device *dev, const char *name));
/* Calls callback for each path that matches the glob(7) pattern.  Frees pattern. */
void each_path(struct status *s, struct device *d, char *pattern,
               void (*callback)(struct status *s, struct device *d, const char *path));
void find_devices(struct status *s);
/* path: a device node, or a link to one.  Returns NULL if it is not of a base image. */
struct device *device_by_path(const struct status *s, const char *path);
/* Finds disks that changed since find_devices(), and discards their findings. */
void recheck_disks(struct status *s);

/* Each of these adds the findings of one place. */
void check_record(struct status *s, struct device *d);
void check_disk(struct status *s, struct device *disk);
void check_kernel(struct status *s);
void check_initramfs(struct status *s);

/* report.c: both return 0 or a negative errno. */
int print_report(const struct status *s, bool json);
int write_journal(const struct status *s);
