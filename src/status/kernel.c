/* SPDX-License-Identifier: GPL-2.0-or-later */
/* This file checks whether mounts, swap space, LVM, md, bcache, btrfs or loop devices use a base image. */
#include <blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <libmount.h>
#include <unistd.h>

#include "config.h"
#include "status.h"

#define VIRTIO_ID_BLOCK "0x0002" /* linux/virtio_ids.h */

/* Ignores paths outside of /dev.  Such a path can be on a network file system that does not answer. */
static struct device *device_by_source(const struct status *s, const char *source) {
        return source && strncmp(source, "/dev/", 5) == 0 ? device_by_path(s, source) : NULL;
}

static void add_holder(struct status *s, struct device *d, const char *path) {
        const char *holder = strrchr(path, '/') + 1, *name = holder;
        sd_device *dev = NULL;

        bool dm = sd_device_new_from_subsystem_sysname(&dev, "block", holder) >= 0 &&
                  sd_device_get_sysattr_value(dev, "dm/name", &name) >= 0;
        char *command = format("%s%s",
                               dm                              ? "dmsetup remove "
                               : strncmp(holder, "md", 2) == 0 ? "mdadm --stop /dev/"
                                                               : "stop /dev/",
                               name);
        add_finding(s, d, KIND_HOLDER, command, "%s%s%s", holder, dm ? " " : "", dm ? name : "");
        free(command);
        sd_device_unref(dev);
}

static void add_btrfs(struct status *s, struct device *d, const char *path) {
        const char *uuid = path + strlen("/sys/fs/btrfs/");
        add_finding(s, d, KIND_BTRFS, "", "%.*s", (int)strcspn(uuid, "/"), uuid);
}

static void add_loop_device(struct status *s, sd_device *dev, const char *name) {
        const char *file;

        int r = sd_device_get_sysattr_value(dev, "loop/backing_file", &file);
        if (r < 0 && r != -ENOENT) /* -ENOENT: the loop device is not in use */
                add_error(s, NULL, "the file of a loop device", r);
        struct device *device = r < 0 ? NULL : device_by_source(s, file);
        if (device)
                add_finding(s, device, KIND_LOOP, name, "/dev/%s shows its content", name);
}

/* An unbound disk has no serial in sysfs, so an unbound virtio disk can be a base image. */
static void add_virtio_device(struct status *s, sd_device *dev, const char *name) {
        const char *type, *driver;

        if (sd_device_get_sysattr_value(dev, "device", &type) < 0 || strcmp(type, VIRTIO_ID_BLOCK) != 0)
                return;
        int r = sd_device_get_driver(dev, &driver);
        if (r >= 0)
                return;
        if (r != -ENOENT)
                add_error(s, NULL, "the driver of a disk", r);
        char *rule = format(BASEIMAGE_BIND_RULE_PREFIX "%s.rules", name);
        bool has_bind_rule = access(rule, F_OK) == 0;
        add_finding(s, NULL, has_bind_rule ? KIND_BIND_PENDING : KIND_NO_DRIVER, name,
                    "%s has no driver and may be a base image; %s %s", name, rule,
                    has_bind_rule ? "can bind it" : "does not exist");
        free(rule);
}

static int on_parse_error(struct libmnt_table *table, const char *path, int line) {
        (void)table, (void)path, (void)line;
        return -EBADMSG;
}

/* path: /proc/self/mountinfo; if swaps is true: /proc/swaps */
static void check_mounts(struct status *s, const char *path, bool swaps) {
        struct libmnt_table *table = check_memory(mnt_new_table());
        struct libmnt_iter *lines = check_memory(mnt_new_iter(MNT_ITER_FORWARD));
        struct libmnt_fs *fs;

        mnt_table_set_parser_errcb(table, on_parse_error);
        int r = swaps ? mnt_table_parse_swaps(table, path) : mnt_table_parse_file(table, path);
        /* A kernel without support for swap space has no /proc/swaps. */
        if (r != 0 && !(swaps && r == -ENOENT))
                add_error(s, NULL, path, r);
        while (r == 0 && mnt_table_next_fs(table, lines, &fs) == 0) {
                const char *place = swaps ? mnt_fs_get_source(fs) : mnt_fs_get_target(fs);
                /* A btrfs mount has no device number of a disk, but has the device node as its source. */
                struct device *device = device_by_source(s, mnt_fs_get_source(fs));
                for_each_device (d, s)
                        if (!swaps && d->devnum == mnt_fs_get_devno(fs))
                                device = d;
                if (device && place)
                        add_finding(s, device,
                                    swaps                     ? KIND_SWAP
                                    : strcmp(place, "/") == 0 ? KIND_ROOT_MOUNT
                                                              : KIND_MOUNT,
                                    place, "%s", place);
        }
        mnt_free_iter(lines);
        mnt_unref_table(table);
}

void check_kernel(struct status *s) {
        each_sd_device(s, "virtio", "virtio*", add_virtio_device);
        if (s->n_devices == 0)
                return;
        for_each_device (d, s) {
                each_path(s, d, format("/sys/class/block/%s/holders/*", d->name), add_holder);
                each_path(s, d, format("/sys/fs/btrfs/*/devices/%s", d->name), add_btrfs);
        }
        each_sd_device(s, "block", "loop*", add_loop_device);
        check_mounts(s, "/proc/self/mountinfo", false);
        check_mounts(s, "/proc/swaps", true);
}

/* The rule deletes only partitions, so programs that scan all disks find content on the whole disk. */
void check_disk(struct status *s, struct device *disk) {
        const char *type = "something", *ro = "";
        char *node = format("/dev/%s", disk->name);
        blkid_probe content = check_memory(blkid_new_probe());

        int fd = open(node, O_RDONLY | O_CLOEXEC);
        int r = fd < 0 ? -1 : blkid_probe_set_device(content, fd, 0, 0);
        if (r == 0)
                r = blkid_do_safeprobe(content); /* 1: no content, -2: more than one type of content */
        if (r == 0)
                (void)blkid_probe_lookup_value(content, "TYPE", &type, NULL);
        if (r == 0 && strcmp(type, "LVM2_member") == 0)
                add_finding(s, disk, KIND_LVM_CONTENT, disk->name,
                            "LVM on the whole disk: LVM does not change a volume group that it sees twice");
        else if (r == 0 || r == -2)
                add_finding(s, disk, KIND_CONTENT, "",
                            "%s on the whole disk: programs that scan disks see a duplicate", type);
        else if (r < 0)
                add_error(s, disk, "the disk", fd < 0 ? errno : EIO);
        if (fd >= 0)
                close(fd);
        blkid_free_probe(content);
        free(node);
        if (sd_device_get_sysattr_value(disk->dev, "ro", &ro) < 0 || strcmp(ro, "1") != 0)
                add_finding(s, disk, KIND_ACCESS, "", "the disk is writable");
}
