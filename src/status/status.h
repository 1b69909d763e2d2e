/* SPDX-License-Identifier: GPL-2.0-or-later */
/* baseimage-status checks each place where the guest can use a base image, and reports findings. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-device.h>

#define N(array) (sizeof(array) / sizeof(*(array)))

/* clang-format off */
/* These values are also the exit statuses. */
enum state { STATE_INERT, STATE_LEAKING, STATE_UNKNOWN, STATE_NONE };

enum kind {
        /* These kinds are leaks. */
        KIND_RULE_DISABLED, KIND_RULE_MISSING, KIND_MARK, KIND_PROPERTY, KIND_EXTRA_LINK,
        KIND_MISSING_LINK, KIND_PARTITION,
        KIND_ROOT_MOUNT, KIND_MOUNT, KIND_SWAP, KIND_HOLDER, KIND_BTRFS, KIND_LOOP, KIND_INITRAMFS,
        /* If there is no leak, these kinds set the state to unknown.  src/driver.h explains bind rules. */
        KIND_ERROR, KIND_PENDING, KIND_NO_DRIVER, KIND_BIND_PENDING,
        /* These kinds are notes.  A note does not change the state. */
        KIND_LVM_CONTENT, KIND_CONTENT, KIND_OPTION, KIND_ACCESS,
        /* The report does not show findings of this kind.  KIND_NONE must be the last kind. */
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
        bool selected;          /* whether the report shows this disk */
        enum kind rule_problem; /* KIND_RULE_DISABLED or KIND_RULE_MISSING; if the rule ran: KIND_NONE */
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
        size_t n_initramfs_images; /* the number of images that check_initramfs() has checked */
};

#define for_each_device(d, s) for (struct device *d = (s)->devices; d < (s)->devices + (s)->n_devices; d++)
#define for_each_finding(f, s)                                                                              \
        for (struct finding *f = (s)->findings; f < (s)->findings + (s)->n_findings; f++)

/* findings.c */
/* Returns memory.  If memory is NULL, prints a message and ends the program with STATE_UNKNOWN. */
void *check_memory(void *memory);
/* Returns the formatted text as a new string.  The caller must free the string. */
__attribute__((format(printf, 1, 2))) char *format(const char *template, ...);
const char *kind_to_string(enum kind kind);
/* Adds a finding.  If the finding belongs to no base image, d is NULL.  In the remedy, name replaces %s. */
__attribute__((format(printf, 5, 6))) void add_finding(struct status *s, struct device *d, enum kind kind,
                                                       const char *name, const char *evidence, ...);
/* Adds a finding of KIND_ERROR with the evidence "cannot read WHAT".  error: an errno or -errno */
void add_error(struct status *s, struct device *d, const char *what, int error);
/* Returns whether the finding belongs to the disk.  A finding of no base image belongs to the disk NULL. */
bool is_of_disk(const struct finding *f, const struct device *disk);
/* Returns the state of the disk.  If disk is NULL, returns the worst state of all disks. */
enum state state_of(const struct status *s, const struct device *disk);

/* find.c */
/* Calls callback for each device of the subsystem whose name matches "names".  Adds errors as findings. */
void each_sd_device(struct status *s, const char *subsystem, const char *names,
                    void (*callback)(struct status *s, sd_device *dev, const char *name));
/* If a path matches the glob(7) pattern, calls callback.  Frees pattern.  Adds errors as findings. */
void each_path(struct status *s, struct device *d, char *pattern,
               void (*callback)(struct status *s, struct device *d, const char *path));
void find_devices(struct status *s);
/* If path leads to neither a base image nor a partition of a base image, returns NULL. */
struct device *device_by_path(const struct status *s, const char *path);
/* If a disk was detached or replaced, discards the disk's findings, and adds a finding of KIND_ERROR. */
void recheck_disks(struct status *s);

/* These functions check udev's record, the disk, the kernel and each initramfs, and add findings. */
void check_record(struct status *s, struct device *d);
void check_disk(struct status *s, struct device *disk);
void check_kernel(struct status *s);
void check_initramfs(struct status *s);

/* report.c: Both functions return 0 or a negative errno. */
int print_report(const struct status *s, bool json);
int write_journal(const struct status *s);
