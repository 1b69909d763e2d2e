/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the kernel says of its devices, below /sys. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "config.h"
#include "status.h"

#define LINE_SIZE 256 /* DM_NAME_LEN is 128 */

struct names {
        struct dirent **entries;
        int n;
};

static void names_done(struct names *names) {
        for (int i = 0; i < names->n; i++)
                free(names->entries[i]);
        free(names->entries);
}

static int is_not_hidden(const struct dirent *entry) {
        return entry->d_name[0] != '.';
}

/* Takes the path of a folder, and gives the names in it, vdb2 before vdb10. */
static int list(char *path, struct names *ret) {
        _cleanup_free_ char *folder = path;
        if (!folder)
                return -ENOMEM;
        int n = scandir(folder, &ret->entries, is_not_hidden, versionsort);
        if (n < 0)
                return -errno;
        ret->n = n;
        return 0;
}

/* Reads an attribute, LINE_SIZE bytes at most, without the end of the line. */
static int read_attribute(const struct facts *facts, const char *device, const char *attribute, char *ret) {
        _cleanup_free_ char *path = text_format("%s/sys/class/block/%s/%s", facts->root, device, attribute);
        if (!path)
                return -ENOMEM;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        ssize_t n = read(fd, ret, LINE_SIZE - 1);
        int r = n < 0 ? -errno : 0;
        close(fd);
        if (r < 0)
                return r;
        ret[n] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
        return 0;
}

/* Returns 0, or a negative errno if the device is not there. */
static int check_there(const struct facts *facts, const char *device) {
        _cleanup_free_ char *path = text_format("%s/sys/class/block/%s", facts->root, device);
        if (!path)
                return -ENOMEM;
        return access(path, F_OK) < 0 ? -errno : 0;
}

/* Returns 1 if it is a base image, 0 if not, and a negative errno if that
 * cannot be told.  The blanks go as they do where udev makes an ID_SERIAL. */
static int is_base_image(const struct facts *facts, const char *disk) {
        char serial[LINE_SIZE];

        int r = read_attribute(facts, disk, "serial", serial);
        if (r == -ENOENT)
                /* It has none (not virtio-blk), or it went away? */
                return check_there(facts, disk);
        if (r < 0)
                return r;
        const char *blanks = startswith(serial, BASEIMAGE_SERIAL);
        return blanks && blanks[strspn(blanks, " \t\r")] == '\0';
}

static int add_doubt(struct device *device, const char *what, int error) {
        device->doubtful = true;
        return facts_add_error(device, what, error);
}

int sysfs_find(struct facts *facts) {
        _cleanup_(names_done) struct names names = { 0 };
        const char *disk = NULL; /* the base image that we are at */
        struct device *device;
        int r;

        r = list(text_format("%s/sys/class/block", facts->root), &names);
        for (int i = 0; r >= 0 && i < names.n; i++) {
                const char *name = names.entries[i]->d_name;

                if (!startswith(name, "vd"))
                        continue;
                /* A disk; else, a partition of the disk before it. */
                if (!isdigit((unsigned char)name[strlen(name) - 1])) {
                        int is = is_base_image(facts, name);
                        disk = is > 0 ? name : NULL;
                        if (is < 0 && (r = facts_add_device(facts, name, name, &device)) >= 0)
                                r = add_doubt(device, "serial", is);
                }
                if (disk && startswith(name, disk))
                        r = facts_add_device(facts, name, disk, &device);
        }
        return r;
}

/* Without its number or its access, a device is as good as gone: none of its
 * names could be told from those that leak. */
static int read_numbers(const struct facts *facts, struct device *device) {
        unsigned major, minor;
        char line[LINE_SIZE];
        int r;

        if ((r = read_attribute(facts, device->name, "dev", line)) < 0 ||
            (r = devnum_parse(line, &major, &minor)) < 0)
                return add_doubt(device, "dev", r);
        device->devnum = makedev(major, minor);

        r = read_attribute(facts, device->name, "ro", line);
        if (r >= 0 && strcmp(line, "0") != 0 && strcmp(line, "1") != 0)
                r = -EINVAL;
        if (r < 0)
                return add_doubt(device, "ro", r);
        device->read_only = strcmp(line, "1") == 0;
        return 0;
}

static int read_holders(const struct facts *facts, struct device *device) {
        _cleanup_(names_done) struct names names = { 0 };
        int r;

        r = list(text_format("%s/sys/class/block/%s/holders", facts->root, device->name), &names);
        if (r < 0)
                return facts_add_error(device, "holders", r);
        for (int i = 0; r >= 0 && i < names.n; i++) {
                const char *holder = names.entries[i]->d_name;
                char name[LINE_SIZE];

                /* Most people know a device-mapper device by its name, not by its number. */
                if (read_attribute(facts, holder, "dm/name", name) >= 0)
                        r = facts_add(device, KIND_HOLDER, "%s:%s", holder, name);
                else
                        r = facts_add(device, KIND_HOLDER, "%s", holder);
        }
        return r;
}

/* Adds the device to its mounted btrfs, if it is a member of this one. */
static int read_btrfs_member(struct facts *facts, const char *uuid, struct device *device) {
        _cleanup_free_ char *path =
                text_format("%s/sys/fs/btrfs/%s/devices/%s", facts->root, uuid, device->name);
        if (!path)
                return -ENOMEM;
        if (access(path, F_OK) == 0)
                return facts_add(device, KIND_BTRFS, "%s", uuid);
        /* "features" is no file system, and one may be unmounted just now. */
        return errno == ENOENT ? 0 : facts_add_error(device, "btrfs", errno);
}

static int read_btrfs(struct facts *facts) {
        _cleanup_(names_done) struct names names = { 0 };
        int r;

        r = list(text_format("%s/sys/fs/btrfs", facts->root), &names);
        if (r == -ENOENT) /* the kernel has no btrfs */
                return 0;
        if (r < 0)
                return facts_add_error(&facts->system, "btrfs", r);
        for (int i = 0; i < names.n; i++)
                for (size_t j = 0; r >= 0 && j < facts->n_devices; j++)
                        r = read_btrfs_member(facts, names.entries[i]->d_name, &facts->devices[j]);
        return r;
}

int sysfs_read(struct facts *facts) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < facts->n_devices; i++)
                if ((r = read_numbers(facts, &facts->devices[i])) >= 0)
                        r = read_holders(facts, &facts->devices[i]);
        return r < 0 ? r : read_btrfs(facts);
}

int sysfs_check_gone(struct facts *facts) {
        for (size_t i = 0; i < facts->n_devices; i++) {
                int r = check_there(facts, facts->devices[i].name);
                if (r < 0 && (r = add_doubt(&facts->devices[i], "gone", r)) < 0)
                        return r;
        }
        return 0;
}
