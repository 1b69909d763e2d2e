/* SPDX-License-Identifier: GPL-2.0-or-later */
/* This file finds the base images: the vd* disks with the serial BASEIMAGE in sysfs or in udev's record. */
#include <errno.h>
#include <glob.h>
#include <unistd.h>

#include "config.h"
#include "status.h"

void each_sd_device(struct status *s, const char *subsystem, const char *names,
                    void (*callback)(struct status *s, sd_device *dev, const char *name)) {
        sd_device_enumerator *enumerator = NULL;
        const char *name;
        int r = sd_device_enumerator_new(&enumerator);

        if (r >= 0)
                r = sd_device_enumerator_allow_uninitialized(enumerator);
        if (r >= 0)
                r = sd_device_enumerator_add_match_subsystem(enumerator, subsystem, true);
        if (r >= 0)
                r = sd_device_enumerator_add_match_sysname(enumerator, names);
        if (r < 0)
                add_error(s, NULL, subsystem, r);
        for (sd_device *dev = r < 0 ? NULL : sd_device_enumerator_get_device_first(enumerator); dev;
             dev = sd_device_enumerator_get_device_next(enumerator))
                if (sd_device_get_sysname(dev, &name) >= 0)
                        callback(s, dev, name);
        sd_device_enumerator_unref(enumerator);
}

static int glob_error; /* the errno of a directory that exists, but that glob() cannot read */

static int on_glob_error(const char *path, int error) {
        (void)path;
        if (error != ENOENT && error != ENOTDIR)
                glob_error = error;
        return 0;
}

void each_path(struct status *s, struct device *d, char *pattern,
               void (*callback)(struct status *s, struct device *d, const char *path)) {
        glob_t paths = { 0 };

        glob_error = 0;
        if (glob(pattern, GLOB_BRACE, on_glob_error, &paths) == GLOB_NOSPACE)
                check_memory(NULL);
        if (glob_error != 0)
                add_error(s, d, pattern, glob_error);
        for (size_t i = 0; i < paths.gl_pathc; i++)
                callback(s, d, paths.gl_pathv[i]);
        globfree(&paths);
        free(pattern);
}

static bool is_serial(const char *serial) {
        size_t n = strlen(BASEIMAGE_SERIAL);

        /* udev ignores blanks at the end of the serial, so this function ignores these blanks too. */
        return strncmp(serial, BASEIMAGE_SERIAL, n) == 0 &&
               serial[n + strspn(serial + n, " \t\r\n")] == '\0';
}

/* Returns 1 for a base image, 0 for any other disk, or a negative errno. */
static int is_base_image(sd_device *disk) {
        const char *serial;
        int in_sysfs = sd_device_get_sysattr_value(disk, "serial", &serial);

        if (in_sysfs >= 0 && is_serial(serial))
                return 1;
        int in_record = sd_device_get_property_value(disk, "ID_SERIAL", &serial);
        if (in_record >= 0 && is_serial(serial))
                return 1;
        if (in_sysfs < 0 && in_sysfs != -ENOENT)
                return in_sysfs;
        return in_record < 0 && in_record != -ENOENT ? in_record : 0;
}

static struct device *device_by_name(const struct status *s, const char *name) {
        for_each_device (d, s)
                if (strcmp(d->name, name) == 0)
                        return d;
        return NULL;
}

/* sd-device lists each disk before the partitions of the disk.  So device_by_name() finds the disk. */
static void add_block_device(struct status *s, sd_device *dev, const char *name) {
        struct device device = { .dev = dev, .name = name, .selected = true, .rule_problem = KIND_NONE };
        char *disk = format("%.*s", (int)strcspn(name, "0123456789"), name);

        device.partition = name + strlen(disk);
        int r = *device.partition ? device_by_name(s, disk) != NULL : is_base_image(dev);
        free(disk);
        if (r < 0)
                add_error(s, NULL, "the serial of a disk", r);
        if (r <= 0)
                return;
        sd_device_ref(dev);
        (void)sd_device_get_devnum(dev, &device.devnum);
        s->devices = check_memory(reallocarray(s->devices, s->n_devices + 1, sizeof(device)));
        s->devices[s->n_devices++] = device;
}

static int compare_names(const void *a, const void *b) {
        return strverscmp(((const struct device *)a)->name, ((const struct device *)b)->name);
}

void find_devices(struct status *s) {
        /* If /sys is missing, sd-device lists no devices and returns no error. */
        if (access("/sys/class/block", R_OK) < 0)
                add_error(s, NULL, "/sys", errno);
        each_sd_device(s, "block", "vd*", add_block_device);
        if (s->n_devices > 0)
                qsort(s->devices, s->n_devices, sizeof(*s->devices), compare_names);
        for_each_device (d, s)
                d->disk = *d->partition ? d[-1].disk : d;
}

struct device *device_by_path(const struct status *s, const char *path) {
        char *real = realpath(path, NULL);
        /* If a device has no device node, realpath() fails.  Then path itself has the device's name. */
        const char *node = real ? real : path;
        struct device *device = strncmp(node, "/dev/", 5) == 0 ? device_by_name(s, node + 5) : NULL;

        free(real);
        return device;
}

/* Returns whether d still has the same device number and, if d is a disk, is still a base image. */
static bool is_unchanged(const struct device *d) {
        sd_device *now = NULL;
        dev_t devnum;
        bool same = sd_device_new_from_subsystem_sysname(&now, "block", d->name) >= 0 &&
                    sd_device_get_devnum(now, &devnum) >= 0 && devnum == d->devnum &&
                    (*d->partition || is_base_image(now) > 0);
        sd_device_unref(now);
        return same;
}

void recheck_disks(struct status *s) {
        for_each_device (d, s) {
                if (is_unchanged(d))
                        continue;
                for_each_finding (f, s)
                        if (is_of_disk(f, d->disk))
                                f->kind = KIND_NONE;
                add_finding(s, d, KIND_ERROR, "", "the device was detached or replaced during the check");
        }
}
