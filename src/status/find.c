/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The base images: vd* disks whose serial, in sysfs or in udev's record, is
 * BASEIMAGE. */
#include <errno.h>
#include <unistd.h>

#include "config.h"
#include "status.h"

#define DIGITS "0123456789"

void each_record(struct status *status, const char *subsystem, const char *names,
                 void (*found)(struct status *status, sd_device *record, const char *name)) {
        sd_device_enumerator *enumerator = NULL;
        const char *name;
        int r;

        if ((r = sd_device_enumerator_new(&enumerator)) < 0 ||
            (r = sd_device_enumerator_allow_uninitialized(enumerator)) < 0 ||
            (r = sd_device_enumerator_add_match_subsystem(enumerator, subsystem, true)) < 0 ||
            (r = sd_device_enumerator_add_match_sysname(enumerator, names)) < 0)
                add_error(status, NULL, subsystem, r);
        for (sd_device *record = r < 0 ? NULL : sd_device_enumerator_get_device_first(enumerator); record;
             record = sd_device_enumerator_get_device_next(enumerator))
                if (sd_device_get_sysname(record, &name) >= 0)
                        found(status, record, name);
        sd_device_enumerator_unref(enumerator);
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

static struct device *device_by_name(const struct status *status, const char *name) {
        for (size_t i = 0; i < status->n_devices; i++)
                if (strcmp(status->devices[i].name, name) == 0)
                        return &status->devices[i];
        return NULL;
}

/* A disk comes before its partitions. */
static void found_block(struct status *status, sd_device *record, const char *name) {
        struct device device = { .record = record, .name = name, .wanted = true };
        char *disk = format("%.*s", (int)strcspn(name, DIGITS), name);

        device.number = name + strlen(disk);
        int is = *device.number ? device_by_name(status, disk) != NULL : is_base_image(record);
        free(disk);
        if (is < 0)
                add_error(status, NULL, "the serial of a disk", is);
        if (is <= 0)
                return;
        sd_device_ref(record);
        (void)sd_device_get_devnum(record, &device.devnum);
        status->devices = check_memory(reallocarray(status->devices, status->n_devices + 1, sizeof(device)));
        status->devices[status->n_devices++] = device;
}

static int compare(const void *a, const void *b) {
        return strverscmp(((const struct device *)a)->name, ((const struct device *)b)->name);
}

void find_devices(struct status *status) {
        /* sd-device takes a missing /sys for an empty one. */
        if (access(ROOT "/sys/class/block", R_OK) < 0)
                add_error(status, NULL, "/sys", errno);
        each_record(status, "block", "vd*", found_block);
        if (status->n_devices > 0)
                qsort(status->devices, status->n_devices, sizeof(*status->devices), compare);
        for (struct device *d = status->devices; d < status->devices + status->n_devices; d++)
                d->disk = *d->number ? d[-1].disk : d;
}

struct device *device_by_path(const struct status *status, const char *path) {
        char *below = format(ROOT "%s", path), *real = realpath(below, NULL);
        /* Without a node, there is still the name. */
        const char *node = (real ? real : below) + strlen(ROOT);
        struct device *device = strncmp(node, "/dev/", 5) == 0 ? device_by_name(status, node + 5) : NULL;

        free(below);
        free(real);
        return device;
}

/* Whether this is still the name of the same device.  A disk gets a new sequence
 * number whenever it is attached. */
static bool is_same(const struct device *device) {
        const char *was = "", *is = "";
        sd_device *now = NULL;
        dev_t devnum;

        bool same = sd_device_new_from_subsystem_sysname(&now, "block", device->name) >= 0 &&
                    sd_device_get_devnum(now, &devnum) >= 0 && devnum == device->devnum;
        if (same && !*device->number) {
                (void)sd_device_get_sysattr_value(device->record, "diskseq", &was);
                (void)sd_device_get_sysattr_value(now, "diskseq", &is);
                same = strcmp(was, is) == 0;
        }
        sd_device_unref(now);
        return same;
}

void check_devices(struct status *status) {
        for (struct device *device = status->devices; device < status->devices + status->n_devices;
             device++) {
                if (is_same(device))
                        continue;
                for (size_t i = 0; i < status->n_findings; i++)
                        if (is_of_disk(&status->findings[i], device->disk))
                                status->findings[i].kind = _KINDS;
                add_finding(status, device, KIND_ERROR, format("it was detached or replaced meanwhile"),
                            format("run baseimage-status again"));
        }
}
