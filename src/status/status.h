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

/* What files are below: a directory in the unit tests. */
#ifndef ROOT
#define ROOT ""
#endif

/* The exit statuses. */
enum state { STATE_INERT, STATE_LEAKING, STATE_UNKNOWN, STATE_NONE };

/* A base image, or a partition of one. */
struct device {
        sd_device *record;
        const char *name;    /* vdb1 */
        const char *number;  /* 1; of a disk: "" */
        struct device *disk; /* of a disk: itself */
        dev_t devnum;
        bool wanted; /* by the user; of other disks, there are no findings */
};

/* clang-format off */
enum kind {
        /* Leaks. */
        KIND_RULE, KIND_MARK, KIND_PROPERTY, KIND_LINK, KIND_PARTITION, KIND_HOLDER, KIND_BTRFS, KIND_LOOP,
        KIND_MOUNT, KIND_SWAP, KIND_INITRAMFS,
        /* What could not be told. */
        KIND_ERROR, KIND_UNBOUND,
        /* Notes, which change no state. */
        KIND_CONTENT, KIND_OPTION, KIND_ACCESS,
        _KINDS, /* of findings that do not count */
};
/* clang-format on */

struct finding {
        struct device *device; /* NULL: of no particular base image */
        enum kind kind;
        char *evidence, *remedy; /* printable ASCII */
};

struct status {
        struct device *devices; /* each disk, followed by its partitions */
        size_t n_devices;
        struct finding *findings;
        size_t n_findings;
};

/* --- findings.c --- */

void *check_memory(void *memory);
__attribute__((format(printf, 1, 2))) char *format(const char *template, ...);

/* Takes evidence and remedy, which format() made. */
void add_finding(struct status *status, struct device *device, enum kind kind, char *evidence, char *remedy);
void add_error(struct status *status, struct device *device, const char *what, int error);
bool is_of_disk(const struct finding *finding, const struct device *disk);
/* Of the disk, or of everything. */
enum state state_of(const struct status *status, const struct device *disk);

/* --- find.c --- */

void each_record(struct status *status, const char *subsystem, const char *names,
                 void (*found)(struct status *status, sd_device *record, const char *name));
void find_devices(struct status *status);
/* The device with this node, or that this link leads to; or NULL. */
struct device *device_by_path(const struct status *status, const char *path);
/* Looks for disks that changed since find_devices(): their findings do not count. */
void check_devices(struct status *status);

/* --- Each adds the findings of one place. --- */

void look_at_record(struct status *status, struct device *device);
void look_at_kernel(struct status *status);
void look_at_disk(struct status *status, struct device *disk);
void look_at_initramfs(struct status *status);

/* --- report.c: 0 or a negative errno --- */

int print_report(const struct status *status, bool json);
int write_journal(const struct status *status);
