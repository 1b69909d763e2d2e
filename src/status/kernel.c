/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who uses the base images, what is on them, and which disks have no driver. */
#include <blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <libmount.h>
#include <unistd.h>

#include "config.h"
#include "status.h"

/* Anything else may be on a network file system that does not answer. */
static struct device *device_by_source(const struct status *s, const char *source) {
        return source && strncmp(source, "/dev/", 5) == 0 ? device_by_path(s, source) : NULL;
}

static void found_holder(struct status *s, struct device *d, const char *path) {
        const char *holder = strrchr(path, '/') + 1, *name = holder;
        sd_device *record = NULL;

        bool dm = sd_device_new_from_subsystem_sysname(&record, "block", holder) >= 0 &&
                  sd_device_get_sysattr_value(record, "dm/name", &name) >= 0;
        char *command = format("%s%s",
                               dm                              ? "dmsetup remove "
                               : strncmp(holder, "md", 2) == 0 ? "mdadm --stop /dev/"
                                                               : "stop /dev/",
                               name);
        add_finding(s, d, KIND_HOLDER, command, "%s%s%s", holder, dm ? " " : "", dm ? name : "");
        free(command);
        sd_device_unref(record);
}

static void found_btrfs(struct status *s, struct device *d, const char *path) {
        const char *uuid = path + strlen(ROOT "/sys/fs/btrfs/");
        add_finding(s, d, KIND_BTRFS, "", "%.*s", (int)strcspn(uuid, "/"), uuid);
}

static void found_loop(struct status *s, sd_device *record, const char *name) {
        const char *file;

        int r = sd_device_get_sysattr_value(record, "loop/backing_file", &file);
        if (r < 0 && r != -ENOENT) /* it has none */
                add_error(s, NULL, "the file of a loop device", r);
        struct device *device = r < 0 ? NULL : device_by_source(s, file);
        if (device)
                add_finding(s, device, KIND_LOOP, name, "/dev/%s shows its content", name);
}

/* A disk without driver has no serial, so it may be a base image. */
static void found_virtio(struct status *s, sd_device *record, const char *name) {
        const char *type, *driver;
        int r;

        if (sd_device_get_sysattr_value(record, "device", &type) < 0 || strcmp(type, "0x0002") != 0 ||
            (r = sd_device_get_driver(record, &driver)) >= 0)
                return;
        if (r != -ENOENT)
                add_error(s, NULL, "the driver of a disk", r);
        char *rule = format(ROOT BASEIMAGE_BIND_RULES "%s.rules", name);
        bool left = access(rule, F_OK) == 0;
        add_finding(s, NULL, left ? KIND_LEFT : KIND_UNBOUND, name,
                    "%s, a disk without driver, may be a base image; %s %s", name, rule + strlen(ROOT),
                    left ? "would bind it" : "does not exist");
        free(rule);
}

static int on_parse_error(struct libmnt_table *table, const char *path, int line) {
        (void)table, (void)path, (void)line;
        return -EBADMSG;
}

/* Reads mountinfo, or the list of swap space. */
static void look_at_mounts(struct status *s, const char *path, bool swaps) {
        struct libmnt_table *table = check_memory(mnt_new_table());
        struct libmnt_iter *lines = check_memory(mnt_new_iter(MNT_ITER_FORWARD));
        struct libmnt_fs *fs;

        mnt_table_set_parser_errcb(table, on_parse_error);
        int r = swaps ? mnt_table_parse_swaps(table, path) : mnt_table_parse_file(table, path);
        /* A kernel without swap space has no list of it. */
        if (r != 0 && !(swaps && r == -ENOENT))
                add_error(s, NULL, path + strlen(ROOT), r);
        while (r == 0 && mnt_table_next_fs(table, lines, &fs) == 0) {
                const char *place = swaps ? mnt_fs_get_source(fs) : mnt_fs_get_target(fs);
                /* The number of a btrfs is that of no device: there, the source tells. */
                struct device *device = device_by_source(s, mnt_fs_get_source(fs));
                for_each_device (d, s)
                        if (!swaps && d->devnum == mnt_fs_get_devno(fs))
                                device = d;
                if (device && place)
                        add_finding(s, device,
                                    swaps                     ? KIND_SWAP
                                    : strcmp(place, "/") == 0 ? KIND_ROOT
                                                              : KIND_MOUNT,
                                    place, "%s", place);
        }
        mnt_free_iter(lines);
        mnt_unref_table(table);
}

void look_at_kernel(struct status *s) {
        each_record(s, "virtio", "virtio*", found_virtio);
        if (s->n_devices == 0)
                return;
        for_each_device (d, s) {
                each_path(s, d, format(ROOT "/sys/class/block/%s/holders/*", d->name), found_holder);
                each_path(s, d, format(ROOT "/sys/fs/btrfs/*/devices/%s", d->name), found_btrfs);
        }
        each_record(s, "block", "loop*", found_loop);
        look_at_mounts(s, ROOT "/proc/self/mountinfo", false);
        look_at_mounts(s, ROOT "/proc/swaps", true);
}

/* Nothing hides the content of the disk itself from programs that scan disks. */
void look_at_disk(struct status *s, struct device *disk) {
        const char *type = "something", *ro = "";
        char *node = format(ROOT "/dev/%s", disk->name);
        blkid_probe content = check_memory(blkid_new_probe());

        int fd = open(node, O_RDONLY | O_CLOEXEC);
        int r = fd < 0 ? -1 : blkid_probe_set_device(content, fd, 0, 0);
        if (r == 0)
                r = blkid_do_safeprobe(content); /* 1: nothing, -2: more than one type */
        if (r == 0)
                (void)blkid_probe_lookup_value(content, "TYPE", &type, NULL);
        if (r == 0 && strcmp(type, "LVM2_member") == 0)
                add_finding(s, disk, KIND_LVM, disk->name,
                            "LVM on the bare disk: LVM changes no volume group that it sees twice");
        else if (r == 0 || r == -2)
                add_finding(s, disk, KIND_CONTENT, "",
                            "%s on the bare disk: programs that scan disks see a duplicate", type);
        else if (r < 0)
                add_error(s, disk, "the disk", fd < 0 ? errno : EIO);
        if (fd >= 0)
                close(fd);
        blkid_free_probe(content);
        free(node);
        if (sd_device_get_sysattr_value(disk->record, "ro", &ro) < 0 || strcmp(ro, "1") != 0)
                add_finding(s, disk, KIND_ACCESS, "", "it is writable");
}
