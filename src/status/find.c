/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The base images: vd* disks whose serial, in sysfs or in udev's record, is
 * BASEIMAGE. */
#include <errno.h>
#include <glob.h>
#include <unistd.h>

#include "config.h"
#include "status.h"

#define DIGITS "0123456789"

void each_record(struct status *s, const char *subsystem, const char *names,
                 void (*found)(struct status *s, sd_device *record, const char *name)) {
        sd_device_enumerator *enumerator = NULL;
        const char *name;
        int r;

        if ((r = sd_device_enumerator_new(&enumerator)) < 0 ||
            (r = sd_device_enumerator_allow_uninitialized(enumerator)) < 0 ||
            (r = sd_device_enumerator_add_match_subsystem(enumerator, subsystem, true)) < 0 ||
            (r = sd_device_enumerator_add_match_sysname(enumerator, names)) < 0)
                add_error(s, NULL, subsystem, r);
        for (sd_device *record = r < 0 ? NULL : sd_device_enumerator_get_device_first(enumerator); record;
             record = sd_device_enumerator_get_device_next(enumerator))
                if (sd_device_get_sysname(record, &name) >= 0)
                        found(s, record, name);
        sd_device_enumerator_unref(enumerator);
}

/* What is gone, or is no directory, holds nothing. */
static int on_glob_error(const char *path, int error) {
        (void)path;
        return error != ENOENT && error != ENOTDIR;
}

void each_path(struct status *s, struct device *d, char *pattern,
               void (*found)(struct status *s, struct device *d, const char *path)) {
        glob_t paths = { 0 };

        int r = glob(pattern, GLOB_BRACE, on_glob_error, &paths);
        if (r != 0 && r != GLOB_NOMATCH)
                add_error(s, d, pattern, EIO);
        for (size_t i = 0; r == 0 && i < paths.gl_pathc; i++)
                found(s, d, paths.gl_pathv[i]);
        globfree(&paths);
        free(pattern);
}

static bool is_serial(const char *serial) {
        size_t n = strlen(BASEIMAGE_SERIAL);

        /* udev drops blanks at the end as well. */
        return strncmp(serial, BASEIMAGE_SERIAL, n) == 0 &&
               serial[n + strspn(serial + n, " \t\r\n")] == '\0';
}

/* 1: yes, 0: no, or a negative errno. */
static int is_base_image(sd_device *disk) {
        const char *serial;
        int r, s;

        r = sd_device_get_sysattr_value(disk, "serial", &serial);
        if (r >= 0 && is_serial(serial))
                return 1;
        s = sd_device_get_property_value(disk, "ID_SERIAL", &serial);
        if (s >= 0 && is_serial(serial))
                return 1;
        return r < 0 && r != -ENOENT ? r : s < 0 && s != -ENOENT ? s : 0;
}

static struct device *device_by_name(const struct status *s, const char *name) {
        for_each_device (d, s)
                if (strcmp(d->name, name) == 0)
                        return d;
        return NULL;
}

/* A disk comes before its partitions. */
static void found_block(struct status *s, sd_device *record, const char *name) {
        struct device device = { .record = record, .name = name, .wanted = true, .unruled = _KINDS };
        char *disk = format("%.*s", (int)strcspn(name, DIGITS), name);

        device.number = name + strlen(disk);
        int is = *device.number ? device_by_name(s, disk) != NULL : is_base_image(record);
        free(disk);
        if (is < 0)
                add_error(s, NULL, "the serial of a disk", is);
        if (is <= 0)
                return;
        sd_device_ref(record);
        (void)sd_device_get_devnum(record, &device.devnum);
        s->devices = check_memory(reallocarray(s->devices, s->n_devices + 1, sizeof(device)));
        s->devices[s->n_devices++] = device;
}

static int compare(const void *a, const void *b) {
        return strverscmp(((const struct device *)a)->name, ((const struct device *)b)->name);
}

void find_devices(struct status *s) {
        /* sd-device takes a missing /sys for an empty one. */
        if (access(ROOT "/sys/class/block", R_OK) < 0)
                add_error(s, NULL, "/sys", errno);
        each_record(s, "block", "vd*", found_block);
        if (s->n_devices > 0)
                qsort(s->devices, s->n_devices, sizeof(*s->devices), compare);
        for_each_device (d, s)
                d->disk = *d->number ? d[-1].disk : d;
}

struct device *device_by_path(const struct status *s, const char *path) {
        char *below = format(ROOT "%s", path), *real = realpath(below, NULL);
        /* Without a node, there is still the name. */
        const char *node = (real ? real : below) + strlen(ROOT);
        struct device *device = strncmp(node, "/dev/", 5) == 0 ? device_by_name(s, node + 5) : NULL;

        free(below);
        free(real);
        return device;
}

/* Whether the name is still that of a base image with this number. */
static bool is_same(const struct device *d) {
        sd_device *now = NULL;
        dev_t devnum;

        bool same = sd_device_new_from_subsystem_sysname(&now, "block", d->name) >= 0 &&
                    sd_device_get_devnum(now, &devnum) >= 0 && devnum == d->devnum &&
                    (*d->number || is_base_image(now) > 0);
        sd_device_unref(now);
        return same;
}

void check_devices(struct status *s) {
        for_each_device (d, s) {
                if (is_same(d))
                        continue;
                for_each_finding (f, s)
                        if (is_of_disk(f, d->disk))
                                f->kind = _KINDS;
                add_finding(s, d, KIND_ERROR, "", "it was detached or replaced meanwhile");
        }
}
