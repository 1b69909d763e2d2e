/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who uses the base images, what is on them, and which disks have no driver. */
#include <blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libmount.h>
#include <unistd.h>

#include "status.h"

#define BOOT_AGAIN "; if root is on it, boot again with the rule in the initramfs"

/* Anything else may be on a network file system that does not answer. */
static struct device *device_by_source(const struct status *status, const char *source) {
        return source && strncmp(source, "/dev/", 5) == 0 ? device_by_path(status, source) : NULL;
}

static void found_holder(struct status *status, struct device *device, const char *path) {
        const char *holder = strrchr(path, '/') + 1, *name;
        sd_device *record = NULL;

        if (sd_device_new_from_subsystem_sysname(&record, "block", holder) >= 0 &&
            sd_device_get_sysattr_value(record, "dm/name", &name) >= 0)
                add_finding(status, device, KIND_HOLDER, format("%s (%s)", holder, name),
                            format("dmsetup remove %s" BOOT_AGAIN, name));
        else
                add_finding(status, device, KIND_HOLDER, format("%s", holder),
                            format("%s /dev/%s" BOOT_AGAIN,
                                   strncmp(holder, "md", 2) == 0 ? "mdadm --stop" : "stop", holder));
        sd_device_unref(record);
}

static void found_btrfs(struct status *status, struct device *device, const char *path) {
        const char *uuid = path + strlen(ROOT "/sys/fs/btrfs/");

        add_finding(status, device, KIND_BTRFS, format("%.*s", (int)strcspn(uuid, "/"), uuid),
                    format("umount this file system, then: btrfs device scan --forget" BOOT_AGAIN));
}

/* What is gone, or is no directory, holds nothing. */
static int on_glob_error(const char *path, int error) {
        (void)path;
        return error != ENOENT && error != ENOTDIR;
}

/* Takes the pattern, which format() made. */
static void each_path(struct status *status, struct device *device, char *pattern,
                      void (*found)(struct status *status, struct device *device, const char *path)) {
        glob_t paths = { 0 };

        int r = glob(pattern, 0, on_glob_error, &paths);
        if (r != 0 && r != GLOB_NOMATCH)
                add_error(status, device, pattern, EIO);
        for (size_t i = 0; r == 0 && i < paths.gl_pathc; i++)
                found(status, device, paths.gl_pathv[i]);
        globfree(&paths);
        free(pattern);
}

static void found_loop(struct status *status, sd_device *record, const char *name) {
        const char *file;

        int r = sd_device_get_sysattr_value(record, "loop/backing_file", &file);
        if (r < 0 && r != -ENOENT) /* it has none */
                add_error(status, NULL, "the file of a loop device", r);
        struct device *device = r < 0 ? NULL : device_by_source(status, file);
        if (device)
                add_finding(status, device, KIND_LOOP, format("/dev/%s shows its content", name),
                            format("umount what is on /dev/%s, then: losetup -d /dev/%s", name, name));
}

/* A disk without driver has no serial, so it may be a base image. */
static void found_virtio(struct status *status, sd_device *record, const char *name) {
        const char *type, *driver;
        int r;

        if (sd_device_get_sysattr_value(record, "device", &type) < 0 || strcmp(type, "0x0002") != 0 ||
            (r = sd_device_get_driver(record, &driver)) >= 0)
                return;
        if (r != -ENOENT)
                add_error(status, NULL, "the driver of a disk", r);
        char *rule = format(ROOT "/run/udev/rules.d/59-baseimage-%s.rules", name);
        bool left = access(rule, F_OK) == 0;
        add_finding(status, NULL, KIND_UNBOUND,
                    format("%s, a disk without driver, may be a base image; %s %s", name,
                           rule + strlen(ROOT), left ? "would bind it" : "does not exist"),
                    left ? format("udevadm trigger --type=devices --action=add")
                         : format("echo %s > /sys/bus/virtio/drivers/virtio_blk/bind", name));
        free(rule);
}

static void found_mount(struct status *status, struct libmnt_fs *fs) {
        const char *target = mnt_fs_get_target(fs);
        /* The number of a btrfs is that of no device: there, the source tells. */
        struct device *device = device_by_source(status, mnt_fs_get_source(fs));

        for (size_t i = 0; i < status->n_devices; i++)
                if (status->devices[i].devnum == mnt_fs_get_devno(fs))
                        device = &status->devices[i];
        if (device && target)
                add_finding(status, device, KIND_MOUNT, format("%s", target),
                            strcmp(target, "/") == 0
                                    ? format("give the guest's own disk another serial" BOOT_AGAIN)
                                    : format("umount %s; see that /etc/fstab does not mount it", target));
}

static void found_swap(struct status *status, struct libmnt_fs *fs) {
        const char *source = mnt_fs_get_source(fs);
        struct device *device = device_by_source(status, source);

        if (device)
                add_finding(status, device, KIND_SWAP, format("%s", source),
                            format("swapoff %s; see that /etc/fstab does not name it", source));
}

static int on_parse_error(struct libmnt_table *table, const char *path, int line) {
        (void)table, (void)path, (void)line;
        return -EBADMSG;
}

static void each_line(struct status *status, const char *path,
                      int (*parse)(struct libmnt_table *table, const char *path),
                      void (*found)(struct status *status, struct libmnt_fs *fs)) {
        struct libmnt_table *table = check_memory(mnt_new_table());
        struct libmnt_iter *lines = check_memory(mnt_new_iter(MNT_ITER_FORWARD));
        struct libmnt_fs *fs;

        mnt_table_set_parser_errcb(table, on_parse_error);
        int r = parse(table, path);
        while (r == 0 && mnt_table_next_fs(table, lines, &fs) == 0)
                found(status, fs);
        /* A kernel without swap space has no list of it. */
        if (r != 0 && !(r == -ENOENT && found == found_swap))
                add_error(status, NULL, path + strlen(ROOT), r);
        mnt_free_iter(lines);
        mnt_unref_table(table);
}

void look_at_kernel(struct status *status) {
        each_record(status, "virtio", "virtio*", found_virtio);
        if (status->n_devices == 0)
                return;
        for (struct device *d = status->devices; d < status->devices + status->n_devices; d++) {
                each_path(status, d, format(ROOT "/sys/class/block/%s/holders/*", d->name), found_holder);
                each_path(status, d, format(ROOT "/sys/fs/btrfs/*/devices/%s", d->name), found_btrfs);
        }
        each_record(status, "block", "loop*", found_loop);
        each_line(status, ROOT "/proc/self/mountinfo", mnt_table_parse_file, found_mount);
        each_line(status, ROOT "/proc/swaps", mnt_table_parse_swaps, found_swap);
}

/* Nothing hides the content of the disk itself from programs that scan disks. */
static void found_content(struct status *status, struct device *disk, const char *type) {
        if (strcmp(type, "LVM2_member") == 0)
                add_finding(status, disk, KIND_CONTENT,
                            format("LVM on the bare disk: LVM changes no volume group that it sees twice"),
                            format("have LVM's filter reject this disk, see baseimage-udev(7)"));
        else
                add_finding(status, disk, KIND_CONTENT,
                            format("%s on the bare disk: programs that scan disks see a duplicate", type),
                            format("use an image with partitions, see baseimage-udev(7)"));
}

void look_at_disk(struct status *status, struct device *disk) {
        const char *type = "something", *ro = "";
        char *node = format(ROOT "/dev/%s", disk->name);
        blkid_probe content = check_memory(blkid_new_probe());

        int fd = open(node, O_RDONLY | O_CLOEXEC);
        int r = fd < 0 ? -1 : blkid_probe_set_device(content, fd, 0, 0);
        if (r == 0)
                r = blkid_do_safeprobe(content); /* 1: nothing, -2: more than one type */
        if (r == 0)
                (void)blkid_probe_lookup_value(content, "TYPE", &type, NULL);
        if (r == 0 || r == -2)
                found_content(status, disk, type);
        else if (r < 0)
                add_error(status, disk, "the disk", fd < 0 ? errno : EIO);
        if (fd >= 0)
                close(fd);
        blkid_free_probe(content);
        free(node);

        r = sd_device_get_sysattr_value(disk->record, "ro", &ro);
        if (r < 0)
                add_error(status, disk, "whether it is read-only", r);
        else if (strcmp(ro, "1") != 0)
                add_finding(status, disk, KIND_ACCESS, format("writable: the guest can change the image"),
                            format("attach it read-only"));
}
