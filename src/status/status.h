/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * baseimage-status finds the base images, checks each place where the guest can use a base
 * image, and reports findings.  If no memory is left, baseimage-status ends with
 * STATE_UNKNOWN. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-device.h>

#define N(array) (sizeof(array) / sizeof(*(array)))

#ifndef ROOT
#define ROOT "" /* the unit tests set ROOT to a directory */
#endif

/* clang-format off */
/* These values are also the exit statuses. */
enum state { STATE_INERT, STATE_LEAKING, STATE_UNKNOWN, STATE_NONE };

enum kind {
        /* The following kinds are leaks.  If the rule works, the kinds from
         * KIND_RULE_DISABLED to KIND_PARTITION do not occur. */
        KIND_RULE_DISABLED, KIND_RULE_MISSING, KIND_MARK, KIND_PROPERTY, KIND_EXTRA_LINK,
        KIND_MISSING_LINK, KIND_PARTITION,
        KIND_ROOT_MOUNT, KIND_MOUNT, KIND_SWAP, KIND_HOLDER, KIND_BTRFS, KIND_LOOP, KIND_INITRAMFS,
        /* The following kinds make the state unknown.  KIND_NO_DRIVER is for an unbound
         * disk without a bind rule.  KIND_BIND_PENDING is for an unbound disk with a bind
         * rule. */
        KIND_ERROR, KIND_PENDING, KIND_NO_DRIVER, KIND_BIND_PENDING,
        /* The following kinds are notes, which do not change the state. */
        KIND_LVM_CONTENT, KIND_CONTENT, KIND_OPTION, KIND_ACCESS,
        /* A finding of this kind is not reported.  KIND_NONE must be the last kind. */
        KIND_NONE,
};
/* clang-format on */

/* This is a base image or a partition of a base image. */
struct device {
        sd_device *dev;
        const char *name;      /* such as "vdb1" */
        const char *partition; /* the partition's number, such as "1"; "" for a disk */
        struct device *disk;   /* the disk of this partition; for a disk, the disk itself */
        dev_t devnum;
        bool selected;          /* whether the report includes this disk */
        enum kind rule_problem; /* KIND_NONE if the rule ran, else KIND_RULE_DISABLED or KIND_RULE_MISSING */
};

struct finding {
        struct device *device; /* NULL if the finding belongs to no base image */
        enum kind kind;
        char *evidence, *remedy; /* printable ASCII */
};

struct status {
        struct device *devices; /* each disk, followed by the disk's partitions */
        size_t n_devices;
        struct finding *findings;
        size_t n_findings;
        size_t n_initramfs_images; /* how many images check_initramfs() has checked */
};

#define for_each_device(d, s) for (struct device *d = (s)->devices; d < (s)->devices + (s)->n_devices; d++)
#define for_each_finding(f, s)                                                                              \
        for (struct finding *f = (s)->findings; f < (s)->findings + (s)->n_findings; f++)

/* findings.c */
/* Returns memory.  If memory is NULL, ends the program with STATE_UNKNOWN. */
void *check_memory(void *memory);
/* Returns the formatted text as a new string.  The caller must free the string. */
__attribute__((format(printf, 1, 2))) char *format(const char *template, ...);
const char *kind_to_string(enum kind kind);
/* Adds a finding.
 *
 * d: NULL if the finding belongs to no base image
 * name: the text for %s in the remedy, such as the name of a device or a mount point */
__attribute__((format(printf, 5, 6))) void add_finding(struct status *s, struct device *d, enum kind kind,
                                                       const char *name, const char *evidence, ...);
/* Adds a finding of KIND_ERROR.
 *
 * what: the thing that baseimage-status could not read
 * error: an errno, positive or negative */
void add_error(struct status *s, struct device *d, const char *what, int error);
/* Returns whether the finding belongs to the disk or to a partition of the disk.  If disk is
 * NULL, returns whether the finding belongs to no base image. */
bool is_of_disk(const struct finding *f, const struct device *disk);
/* Returns the state of the disk.  If disk is NULL, returns the worst state of all disks. */
enum state state_of(const struct status *s, const struct device *disk);

/* find.c */
/* Calls callback for each device of the subsystem, if the name of the device matches the
 * pattern "names". */
void each_sd_device(struct status *s, const char *subsystem, const char *names,
                    void (*callback)(struct status *s, sd_device *dev, const char *name));
/* Calls callback for each path that matches the glob(7) pattern.  Frees pattern. */
void each_path(struct status *s, struct device *d, char *pattern,
               void (*callback)(struct status *s, struct device *d, const char *path));
void find_devices(struct status *s);
/* Returns the base image to which the path belongs.  If the path belongs to a partition of
 * a base image, returns the partition.  If the path belongs to any other device, returns
 * NULL.
 *
 * path: a device node, or a link to a device node */
struct device *device_by_path(const struct status *s, const char *path);
/* Discards the findings of each disk that was detached or replaced after find_devices().
 * For such a disk, adds a finding of KIND_ERROR. */
void recheck_disks(struct status *s);

/* Each of these functions checks one place, and adds findings. */
void check_record(struct status *s, struct device *d);
void check_disk(struct status *s, struct device *disk);
void check_kernel(struct status *s);
void check_initramfs(struct status *s);

/* report.c: both functions return 0 or a negative errno. */
int print_report(const struct status *s, bool json);
int write_journal(const struct status *s);
