/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Where to look; the tests look into a recorded guest. */
struct roots {
        const char *sys, *dev, *proc, *run_udev, *boot;
};

/* What was seen of a device.  The text is as it was found: escape it before it
 * is shown to anyone. */
enum fact_kind {
        FACT_PROPERTY,  /* KEY=value, of udev's record */
        FACT_LINK,      /* a symlink that leads to it */
        FACT_UNIT,      /* an active unit of the system manager */
        FACT_HOLDER,    /* who stands on it, in the kernel */
        FACT_BTRFS,     /* UUID of the mounted btrfs that it is a member of */
        FACT_MOUNT,     /* a mount point */
        FACT_SWAP,      /* how it is named in /proc/swaps */
        FACT_INITRAMFS, /* the initramfs without the rule */
        FACT_OPT_OUT,   /* the option that turns the package off */
        FACT_ERROR,     /* what could not be seen, and why */
        _FACT_KINDS,
};

struct fact {
        enum fact_kind kind;
        char *text;
};

/* A base image, or a partition of one. */
struct device {
        char *name; /* vdb1 */
        char *disk; /* vdb */
        char *node; /* /dev/vdb1 */
        char *syspath;
        dev_t devnum;
        unsigned partition; /* 0: the disk */
        bool read_only;
        bool recorded; /* udev has processed it */
        bool doubtful; /* gone, or perhaps no base image: only errors count */
        struct fact *facts;
        size_t n_facts;
};

/* Each disk is followed by its partitions. */
struct facts {
        struct device *devices;
        size_t n_devices;
        bool systemd; /* the system manager was there to be asked */
};

/* All return 0 or a negative errno.  What could not be read of a device is no
 * failure, but a FACT_ERROR of that device. */

/* Finds the disks, through libudev, and their partitions. */
int facts_find(struct facts *facts);

/* Reads everything that is a file. */
int facts_read(const struct roots *roots, struct facts *facts);

/* To be called last: marks what has gone away meanwhile. */
int facts_check_gone(const struct roots *roots, struct facts *facts);

/* Keeps what names (nodes, links or bare names) stand for: a disk with its
 * partitions, or a partition.  -ENODEV: *ret_unknown is not in facts. */
int facts_narrow(const struct roots *roots, struct facts *facts, char *const *names, size_t n_names,
                 const char **ret_unknown);

/* For those who find more.  facts_add() formats the text; facts_add_error()
 * says what failed, of device or, where it is NULL, of each. */
__attribute__((format(printf, 3, 4))) int facts_add(struct device *device, enum fact_kind kind,
                                                    const char *format, ...);
int facts_add_error(struct facts *facts, struct device *device, const char *what, int error);
int facts_add_device(struct facts *facts, const char *name, const char *disk, const char *syspath,
                     struct device **ret);

void facts_done(struct facts *facts);
