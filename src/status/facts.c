/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <libudev.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "config.h"
#include "facts.h"
#include "text.h"
#include "util.h"

static void udev_unrefp(struct udev **udev) {
        udev_unref(*udev);
}

static void udev_enumerate_unrefp(struct udev_enumerate **enumerate) {
        udev_enumerate_unref(*enumerate);
}

static void udev_device_unrefp(struct udev_device **device) {
        udev_device_unref(*device);
}

static void device_done(struct device *device) {
        for (size_t i = 0; i < device->n_facts; i++)
                free(device->facts[i].text);
        free(device->facts);
        free(device->name);
        free(device->disk);
        free(device->node);
        free(device->syspath);
}

void facts_done(struct facts *facts) {
        for (size_t i = 0; i < facts->n_devices; i++)
                device_done(&facts->devices[i]);
        free(facts->devices);
        *facts = (struct facts){ 0 };
}

/* Takes the text, also on failure. */
static int take_fact(struct device *device, enum fact_kind kind, char *text) {
        struct fact *grown = NULL;

        if (text)
                grown = realloc(device->facts, (device->n_facts + 1) * sizeof(*grown));
        if (!grown) {
                free(text);
                return -ENOMEM;
        }
        device->facts = grown;
        grown[device->n_facts++] = (struct fact){ .kind = kind, .text = text };
        return 0;
}

int facts_add(struct device *device, enum fact_kind kind, const char *format, ...) {
        char *text;
        va_list ap;

        va_start(ap, format);
        int r = vasprintf(&text, format, ap);
        va_end(ap);
        return take_fact(device, kind, r < 0 ? NULL : text);
}

int facts_add_error(struct facts *facts, struct device *device, const char *what, int error) {
        if (device)
                return facts_add(device, FACT_ERROR, "%s: %s", what, strerror(abs(error)));

        for (size_t i = 0; i < facts->n_devices; i++) {
                int r = facts_add_error(facts, &facts->devices[i], what, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

int facts_add_device(struct facts *facts, const char *name, const char *disk, const char *syspath,
                     struct device **ret) {
        struct device *grown = realloc(facts->devices, (facts->n_devices + 1) * sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        facts->devices = grown;

        /* In the list from the start, so that facts_done() frees what there is. */
        struct device *device = &grown[facts->n_devices++];
        *device = (struct device){
                .name = strdup(name),
                .disk = strdup(disk),
                .node = text_format("/dev/%s", name),
                .syspath = strdup(syspath),
        };
        if (!device->name || !device->disk || !device->node || !device->syspath)
                return -ENOMEM;
        if (strcmp(name, disk) != 0)
                device->partition = (unsigned)strtoul(name + strcspn(name, "0123456789"), NULL, 10);
        *ret = device;
        return 0;
}

/* vdb before vdaa, and partitions by number. */
static int compare_devices(const void *a, const void *b) {
        const struct device *x = a, *y = b;
        size_t n = strlen(x->disk), m = strlen(y->disk);

        if (n != m)
                return (n > m) - (n < m);
        int r = strcmp(x->disk, y->disk);
        if (r != 0)
                return r;
        return (x->partition > y->partition) - (x->partition < y->partition);
}

/* Adds a device; error, unless 0, is why it cannot be looked at. */
static int find_device(struct facts *facts, const char *syspath, const char *disk, int error) {
        struct device *device;
        int r;

        r = facts_add_device(facts, strrchr(syspath, '/') + 1, disk, syspath, &device);
        if (r < 0 || error == 0)
                return r;
        device->doubtful = true;
        return facts_add_error(facts, device, "sysfs", error);
}

/* Like find_device(), for each partition of the disk: the folders in its own
 * that begin with its name. */
static int find_partitions(struct facts *facts, const char *syspath, const char *disk) {
        struct dirent *entry;

        _cleanup_closedir_ DIR *directory = opendir(syspath);
        if (!directory)
                return facts_add_error(facts, NULL, "partitions", errno);
        while ((errno = 0, entry = readdir(directory))) {
                _cleanup_free_ char *path = NULL;

                if (!startswith(entry->d_name, disk))
                        continue;
                path = text_format("%s/%s", syspath, entry->d_name);
                if (!path)
                        return -ENOMEM;
                int r = find_device(facts, path, disk, 0);
                if (r < 0)
                        return r;
        }
        return errno != 0 ? facts_add_error(facts, NULL, "partitions", errno) : 0;
}

/* Returns 1 if it is a base image, 0 if not, and a negative errno if that
 * cannot be told.  The blanks go as they do where udev makes an ID_SERIAL. */
static int is_base_image(struct udev_device *disk) {
        /* Should libudev fail without a reason. */
        errno = EIO;
        const char *serial = udev_device_get_sysattr_value(disk, "serial");
        if (!serial) {
                /* It has none (not virtio-blk), or it went away? */
                if (errno == ENOENT && access(udev_device_get_syspath(disk), F_OK) == 0)
                        return 0;
                return -errno;
        }

        const char *blanks = startswith(serial, BASEIMAGE_SERIAL);
        return blanks && blanks[strspn(blanks, " \t\n\r")] == '\0';
}

static int find_disk(struct facts *facts, struct udev *udev, const char *syspath) {
        const char *name = strrchr(syspath, '/') + 1;
        int r;

        _cleanup_(udev_device_unrefp) struct udev_device *disk = udev_device_new_from_syspath(udev, syspath);
        r = disk ? is_base_image(disk) : -errno;
        if (r == 0)
                return 0;
        if (r < 0)
                return find_device(facts, syspath, name, r);
        r = find_device(facts, syspath, name, 0);
        if (r < 0)
                return r;
        return find_partitions(facts, syspath, name);
}

int facts_find(struct facts *facts) {
        struct udev_list_entry *entry;
        int r;

        _cleanup_(udev_unrefp) struct udev *udev = udev_new();
        if (!udev)
                return -errno;
        _cleanup_(udev_enumerate_unrefp) struct udev_enumerate *disks = udev_enumerate_new(udev);
        if (!disks)
                return -errno;
        r = udev_enumerate_add_match_subsystem(disks, "block");
        if (r < 0)
                return r;
        /* libudev takes its time over each device: have it look at disks alone. */
        r = udev_enumerate_add_match_sysname(disks, "vd*[!0-9]");
        if (r < 0)
                return r;
        r = udev_enumerate_scan_devices(disks);
        if (r < 0)
                return r;

        udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(disks)) {
                r = find_disk(facts, udev, udev_list_entry_get_name(entry));
                if (r < 0)
                        return r;
        }
        if (facts->n_devices > 0)
                qsort(facts->devices, facts->n_devices, sizeof(*facts->devices), compare_devices);
        return 0;
}

/* Reads a file of one short line, without its end. */
static int read_line(int directory, const char *path, char *ret, size_t size) {
        _cleanup_close_ int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        ssize_t n = read(fd, ret, size - 1);
        if (n <= 0)
                return n < 0 ? -errno : -ENODATA;
        ret[n] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
        return 0;
}

static int read_attributes(struct facts *facts, struct device *device, int directory) {
        unsigned major, minor;
        char line[32];
        int r;

        r = read_line(directory, "dev", line, sizeof(line));
        if (r >= 0)
                r = devnum_parse(line, &major, &minor);
        if (r < 0)
                return facts_add_error(facts, device, "dev", r);
        device->devnum = makedev(major, minor);

        r = read_line(directory, "ro", line, sizeof(line));
        if (r < 0)
                return facts_add_error(facts, device, "ro", r);
        device->read_only = strcmp(line, "0") != 0;
        return 0;
}

/* Most people know a device-mapper device by its name, not by its number. */
static int add_holder(struct device *device, int directory, const char *holder) {
        char name[256]; /* DM_NAME_LEN is 128 */
        _cleanup_free_ char *path = text_format("%s/dm/name", holder);
        if (!path)
                return -ENOMEM;
        if (read_line(directory, path, name, sizeof(name)) < 0)
                return facts_add(device, FACT_HOLDER, "%s", holder);
        return facts_add(device, FACT_HOLDER, "%s:%s", holder, name);
}

static int read_holders(struct facts *facts, struct device *device, int directory) {
        struct dirent *entry;

        int fd = openat(directory, "holders", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *holders = fd >= 0 ? fdopendir(fd) : NULL;
        if (!holders) {
                int error = errno;
                closep(&fd);
                return facts_add_error(facts, device, "holders", error);
        }
        while ((errno = 0, entry = readdir(holders))) {
                if (entry->d_name[0] == '.')
                        continue;
                int r = add_holder(device, dirfd(holders), entry->d_name);
                if (r < 0)
                        return r;
        }
        return errno != 0 ? facts_add_error(facts, device, "holders", errno) : 0;
}

/* The way to a device's folder is long: it is gone once. */
static int read_sysfs(const struct roots *roots, struct facts *facts, struct device *device) {
        _cleanup_free_ char *path = text_format("%s/class/block/%s", roots->sys, device->name);
        if (!path)
                return -ENOMEM;
        _cleanup_close_ int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0)
                return facts_add_error(facts, device, "sysfs", errno);
        int r = read_attributes(facts, device, directory);
        return r < 0 ? r : read_holders(facts, device, directory);
}

/* Says why udev has no record of a device. */
static int add_no_record(const struct roots *roots, struct device *device) {
        _cleanup_free_ char *path = text_format("%s/control", roots->run_udev);
        if (!path)
                return -ENOMEM;
        return facts_add(device, FACT_ERROR, "udev: %s",
                         access(path, F_OK) == 0 ? "has not processed it yet" : "does not run");
}

/* Reads the properties that udev's rules have set.  libudev could be asked for
 * them, but it looks at each folder on the way to each device again: with many
 * partitions that took longer than all the rest. */
static int read_record(const struct roots *roots, struct facts *facts, struct device *device) {
        _cleanup_free_ char *path = NULL, *line = NULL;
        size_t size = 0;

        /* Then there is an error already. */
        if (device->doubtful || device->devnum == 0)
                return 0;
        path = text_format("%s/data/b%u:%u", roots->run_udev, major(device->devnum), minor(device->devnum));
        if (!path)
                return -ENOMEM;
        _cleanup_fclose_ FILE *file = fopen(path, "re");
        if (!file)
                return errno == ENOENT ? add_no_record(roots, device)
                                       : facts_add_error(facts, device, "udev", errno);
        while ((errno = 0, getline(&line, &size, file)) >= 0) {
                line[strcspn(line, "\n")] = '\0';
                const char *property = startswith(line, "E:");
                if (!property)
                        continue;
                int r = facts_add(device, FACT_PROPERTY, "%s", property);
                if (r < 0)
                        return r;
        }
        /* What is half read says nothing of what is missing. */
        device->recorded = feof(file);
        return device->recorded ? 0 : facts_add_error(facts, device, "udev", errno);
}

/* How the device's node is known to the file system it is on. */
struct node {
        dev_t st_dev;
        ino_t st_ino;
};

static int read_node(const struct roots *roots, struct facts *facts, struct device *device,
                     struct node *ret) {
        _cleanup_free_ char *path = NULL;
        struct stat st;

        path = text_format("%s/%s", roots->dev, device->name);
        if (!path)
                return -ENOMEM;
        *ret = (struct node){ 0 };
        if (stat(path, &st) < 0)
                return facts_add_error(facts, device, "node", errno);
        *ret = (struct node){ .st_dev = st.st_dev, .st_ino = st.st_ino };
        return 0;
}

/* A symlink in a folder, open as directory. */
static int add_link(const struct roots *roots, struct facts *facts, const struct node *nodes,
                    const char *folder, int directory, const char *name) {
        char target[sizeof("/proc/")] = "";
        struct stat st;

        /* Dangling, or gone since: leads to nothing. */
        if (fstatat(directory, name, &st, 0) < 0)
                return 0;
        for (size_t i = 0; i < facts->n_devices; i++) {
                /* Not by st_rdev: it is the node in /dev that is to be left
                 * alone.  (No test has two equal numbers on two file systems.) */
                if (st.st_ino != nodes[i].st_ino || st.st_dev != nodes[i].st_dev)
                        continue;
                /* /dev/stdin and its like are this process' own. */
                if (readlinkat(directory, name, target, sizeof(target) - 1) > 0 &&
                    strcmp(target, "/proc/") == 0)
                        return 0;
                return facts_add(&facts->devices[i], FACT_LINK, "/dev%s/%s", folder + strlen(roots->dev),
                                 name);
        }
        return 0;
}

/* Has each symlink in and below the folder looked at. */
static int walk(const struct roots *roots, struct facts *facts, const struct node *nodes, const char *folder,
                dev_t file_system) {
        struct dirent *entry;
        struct stat st;

        _cleanup_closedir_ DIR *directory = opendir(folder);
        if (!directory || fstat(dirfd(directory), &st) < 0)
                /* No test is quick enough to remove a folder just now. */
                return errno == ENOENT ? 0 : facts_add_error(facts, NULL, folder, errno);
        /* Other file systems (shm, mqueue, pts) hold no device links. */
        if (st.st_dev != file_system)
                return 0;
        while ((errno = 0, entry = readdir(directory))) {
                _cleanup_free_ char *path = NULL;
                int r = 0;

                /* No file system that can be /dev does not tell, nor one in a test. */
                if (entry->d_type == DT_UNKNOWN)
                        return facts_add_error(facts, NULL, folder, EOPNOTSUPP);
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                if (entry->d_type == DT_LNK)
                        r = add_link(roots, facts, nodes, folder, dirfd(directory), entry->d_name);
                if (entry->d_type == DT_DIR) {
                        path = text_format("%s/%s", folder, entry->d_name);
                        r = path ? walk(roots, facts, nodes, path, file_system) : -ENOMEM;
                }
                if (r < 0)
                        return r;
        }
        return errno != 0 ? facts_add_error(facts, NULL, folder, errno) : 0;
}

/* Walks /dev once and looks where each symlink ends: udev's DEVLINKS knows
 * neither a link that another device won, nor one that somebody made by hand. */
static int read_links(const struct roots *roots, struct facts *facts) {
        _cleanup_free_ struct node *nodes = calloc(facts->n_devices, sizeof(*nodes));
        struct stat st;

        if (!nodes)
                return -ENOMEM;
        for (size_t i = 0; i < facts->n_devices; i++) {
                int r = read_node(roots, facts, &facts->devices[i], &nodes[i]);
                if (r < 0)
                        return r;
        }
        if (stat(roots->dev, &st) < 0)
                return facts_add_error(facts, NULL, "/dev", errno);
        return walk(roots, facts, nodes, roots->dev, st.st_dev);
}

/* True if the path is the device's node, or a link to it. */
static bool is_called(const struct device *device, const char *path) {
        if (strcmp(path, device->node) == 0)
                return true;
        for (size_t i = 0; i < device->n_facts; i++)
                if (device->facts[i].kind == FACT_LINK && strcmp(path, device->facts[i].text) == 0)
                        return true;
        return false;
}

static int add_mount(struct facts *facts, char *line) {
        struct mount mount;

        if (mountinfo_parse(line, &mount) < 0)
                return facts_add_error(facts, NULL, "mountinfo", EBADMSG);
        dev_t devnum = makedev(mount.major, mount.minor);
        for (size_t i = 0; i < facts->n_devices; i++) {
                struct device *device = &facts->devices[i];

                /* The number of a btrfs is nobody's: there, the source tells. */
                if (device->devnum != devnum && !is_called(device, mount.source))
                        continue;
                return facts_add(device, FACT_MOUNT, "%s", mount.point);
        }
        return 0;
}

static int add_swap(struct facts *facts, char *line) {
        const char *path;

        /* The heading. */
        if (swaps_parse(line, &path) < 0)
                return 0;
        for (size_t i = 0; i < facts->n_devices; i++)
                if (is_called(&facts->devices[i], path))
                        return facts_add(&facts->devices[i], FACT_SWAP, "%s", path);
        return 0;
}

static int add_opt_out(struct facts *facts, char *line) {
        if (!cmdline_opts_out(line))
                return 0;
        for (size_t i = 0; i < facts->n_devices; i++) {
                int r = facts_add(&facts->devices[i], FACT_OPT_OUT, BASEIMAGE_OPTION "=off");
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Has each line of a file of /proc looked at. */
static int read_proc(const struct roots *roots, struct facts *facts, const char *name,
                     int (*add)(struct facts *facts, char *line)) {
        _cleanup_free_ char *path = NULL, *line = NULL;
        size_t size = 0;

        path = text_format("%s/%s", roots->proc, name);
        if (!path)
                return -ENOMEM;
        _cleanup_fclose_ FILE *file = fopen(path, "re");
        if (!file)
                /* A kernel without swap space has no such list. */
                return errno == ENOENT && add == add_swap ? 0 : facts_add_error(facts, NULL, name, errno);
        while ((errno = 0, getline(&line, &size, file)) >= 0) {
                int r = add(facts, line);
                if (r < 0)
                        return r;
        }
        /* Not ferror(): out of memory is none. */
        return feof(file) ? 0 : facts_add_error(facts, NULL, name, errno);
}

/* The members of one mounted btrfs. */
static int read_btrfs_members(const struct roots *roots, struct facts *facts, const char *uuid) {
        _cleanup_free_ char *path = NULL;
        struct dirent *entry;

        path = text_format("%s/fs/btrfs/%s/devices", roots->sys, uuid);
        if (!path)
                return -ENOMEM;
        _cleanup_closedir_ DIR *directory = opendir(path);
        if (!directory)
                /* "features" is no file system, and one may be unmounted just now. */
                return errno == ENOENT ? 0 : facts_add_error(facts, NULL, path, errno);
        while ((errno = 0, entry = readdir(directory)))
                for (size_t i = 0; i < facts->n_devices; i++) {
                        if (strcmp(entry->d_name, facts->devices[i].name) != 0)
                                continue;
                        int r = facts_add(&facts->devices[i], FACT_BTRFS, "%s", uuid);
                        if (r < 0)
                                return r;
                }
        return errno != 0 ? facts_add_error(facts, NULL, path, errno) : 0;
}

static int read_btrfs(const struct roots *roots, struct facts *facts) {
        _cleanup_free_ char *path = NULL;
        struct dirent *entry;

        path = text_format("%s/fs/btrfs", roots->sys);
        if (!path)
                return -ENOMEM;
        _cleanup_closedir_ DIR *directory = opendir(path);
        if (!directory)
                return errno == ENOENT ? 0 : facts_add_error(facts, NULL, path, errno);
        while ((errno = 0, entry = readdir(directory))) {
                if (entry->d_name[0] == '.')
                        continue;
                int r = read_btrfs_members(roots, facts, entry->d_name);
                if (r < 0)
                        return r;
        }
        return errno != 0 ? facts_add_error(facts, NULL, path, errno) : 0;
}

int facts_read(const struct roots *roots, struct facts *facts) {
        static const struct {
                const char *name;
                int (*add)(struct facts *facts, char *line);
        } proc[] = {
                { "self/mountinfo", add_mount },
                { "swaps", add_swap },
                { "cmdline", add_opt_out },
        };
        int r;

        if (facts->n_devices == 0)
                return 0;
        for (size_t i = 0; i < facts->n_devices; i++)
                if ((r = read_sysfs(roots, facts, &facts->devices[i])) < 0 ||
                    (r = read_record(roots, facts, &facts->devices[i])) < 0)
                        return r;
        /* Links first: mounts and swap space are known by them. */
        r = read_links(roots, facts);
        if (r < 0)
                return r;
        r = read_btrfs(roots, facts);
        for (size_t i = 0; r >= 0 && i < sizeof(proc) / sizeof(*proc); i++)
                r = read_proc(roots, facts, proc[i].name, proc[i].add);
        return r;
}

/* One look at the folder of all: one at each device takes its time. */
int facts_check_gone(const struct roots *roots, struct facts *facts) {
        struct dirent *entry;

        if (facts->n_devices == 0)
                return 0;
        _cleanup_free_ char *path = text_format("%s/class/block", roots->sys);
        _cleanup_free_ bool *there = calloc(facts->n_devices, sizeof(*there));
        if (!path || !there)
                return -ENOMEM;
        _cleanup_closedir_ DIR *directory = opendir(path);
        if (!directory)
                return facts_add_error(facts, NULL, path, errno);
        while ((errno = 0, entry = readdir(directory)))
                for (size_t i = 0; i < facts->n_devices; i++)
                        if (strcmp(entry->d_name, facts->devices[i].name) == 0)
                                there[i] = true;
        if (errno != 0)
                return facts_add_error(facts, NULL, path, errno);
        for (size_t i = 0; i < facts->n_devices; i++) {
                if (there[i])
                        continue;
                facts->devices[i].doubtful = true;
                int r = facts_add_error(facts, &facts->devices[i], "gone", ENODEV);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool is_named(const struct device *device, const struct roots *roots, const char *path) {
        const char *name = startswith(path, roots->dev);
        if (!name || name[0] != '/')
                return false;
        return strcmp(name + 1, device->name) == 0 || strcmp(name + 1, device->disk) == 0;
}

/* Marks in keep what the name stands for.  -ENODEV: nothing. */
static int mark_named(const struct roots *roots, const struct facts *facts, const char *name, bool keep[]) {
        _cleanup_free_ char *path = NULL, *real = NULL;
        int r = -ENODEV;

        path = strchr(name, '/') ? strdup(name) : text_format("%s/%s", roots->dev, name);
        if (!path)
                return -ENOMEM;
        /* Its node may be gone already: then it is as good as its name. */
        real = realpath(path, NULL);
        for (size_t i = 0; i < facts->n_devices; i++)
                if (is_named(&facts->devices[i], roots, real ? real : path)) {
                        keep[i] = true;
                        r = 0;
                }
        return r;
}

int facts_narrow(const struct roots *roots, struct facts *facts, char *const *names, size_t n_names,
                 const char **ret_unknown) {
        if (n_names == 0)
                return 0;
        _cleanup_free_ bool *keep = calloc(facts->n_devices + 1, sizeof(*keep));
        if (!keep)
                return -ENOMEM;
        for (size_t i = 0; i < n_names; i++) {
                int r = mark_named(roots, facts, names[i], keep);
                if (r == -ENODEV)
                        *ret_unknown = names[i];
                if (r < 0)
                        return r;
        }

        size_t n = 0;
        for (size_t i = 0; i < facts->n_devices; i++)
                if (keep[i])
                        facts->devices[n++] = facts->devices[i];
                else
                        device_done(&facts->devices[i]);
        facts->n_devices = n;
        return 0;
}
