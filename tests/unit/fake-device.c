/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The functions in this file replace the functions of libsystemd that baseimage-status calls.
 * The directory ROOT/sys/class/SUBSYSTEM/NAME has a file for each attribute of a device.
 * The file ROOT/run/udev/data/NAME is udev's record, with a line for each property of a device.
 *
 * After the checks, baseimage-status opens each device a second time, by name.  Then, if the file
 * ATTRIBUTE.now exists, the functions read this file instead of the file ATTRIBUTE.  So a test can
 * simulate a new disk with the same name.  If gone.now exists, the second open fails. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <sys/sysmacros.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "status.h"

struct sd_device {
        char *directory, *name;
        bool reopened;
        bool has_record;
        size_t next; /* index of the next property or link */
        char *keys[32], *values[32];
        size_t n_properties;
        char *links[32];
};

struct sd_device_enumerator {
        const char *subsystem;
        sd_device *devices[128];
        size_t n, next;
};

/* This array keeps all memory until exit.  So the sanitizers report no leak. */
static void *allocations[4096];

static void *keep(void *memory) {
        static size_t n;

        if (!memory || n == N(allocations))
                abort();
        return allocations[n++] = memory;
}

/* Returns the text of the file without the newline at the end.  On failure, returns NULL and
 * sets errno. */
static char *read_file(const char *path) {
        char text[8192] = "";

        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return NULL;
        ssize_t n = read(fd, text, sizeof(text) - 1);
        close(fd); /* a successful close() does not change errno */
        if (n < 0)
                return NULL;
        if (n > 0 && text[n - 1] == '\n')
                text[n - 1] = '\0';
        return keep(strdup(text));
}

static void read_record(sd_device *device) {
        char *text = read_file(keep(format(ROOT "/run/udev/data/%s", device->name))), *line, *link;
        size_t n = 0;

        device->has_record = text != NULL;
        while (text && (line = strsep(&text, "\n"))) {
                device->keys[device->n_properties] = strsep(&line, "=");
                device->values[device->n_properties++] = line;
                if (strcmp(device->keys[device->n_properties - 1], "DEVLINKS") != 0)
                        continue;
                line = keep(strdup(line));
                while ((link = strsep(&line, " ")))
                        device->links[n++] = link;
        }
}

static sd_device *new_device(const char *subsystem, const char *name, bool reopened) {
        sd_device *device = keep(calloc(1, sizeof(*device)));

        device->directory = keep(format(ROOT "/sys/class/%s/%s", subsystem, name));
        device->name = keep(strdup(name));
        device->reopened = reopened;
        read_record(device);
        return device;
}

int sd_device_new_from_subsystem_sysname(sd_device **ret, const char *subsystem, const char *sysname) {
        char *gone = keep(format(ROOT "/sys/class/%s/%s/gone.now", subsystem, sysname));

        if (access(gone, F_OK) == 0)
                return -ENODEV;
        *ret = new_device(subsystem, sysname, true);
        return 0;
}

sd_device *sd_device_ref(sd_device *device) {
        return device;
}

sd_device *sd_device_unref(sd_device *device) {
        (void)device;
        return NULL;
}

int sd_device_get_sysname(sd_device *device, const char **ret) {
        *ret = device->name;
        return 0;
}

int sd_device_get_sysattr_value(sd_device *device, const char *sysattr, const char **ret) {
        const char *text = NULL;

        if (device->reopened)
                text = read_file(keep(format("%s/%s.now", device->directory, sysattr)));
        if (!text)
                text = read_file(keep(format("%s/%s", device->directory, sysattr)));
        if (text)
                *ret = text;
        return text ? 0 : -errno;
}

int sd_device_get_devnum(sd_device *device, dev_t *ret) {
        unsigned major, minor;
        const char *text = "";

        if (sd_device_get_sysattr_value(device, "dev", &text) < 0 ||
            sscanf(text, "%u:%u", &major, &minor) != 2) // NOLINT(cert-err34-c)
                return -ENOENT;
        *ret = makedev(major, minor);
        return 0;
}

int sd_device_get_driver(sd_device *device, const char **ret) {
        static char target[256];

        *ret = target;
        return readlink(keep(format("%s/driver", device->directory)), target, sizeof(target) - 1) < 0
                       ? -errno
                       : 0;
}

int sd_device_get_is_initialized(sd_device *device) {
        return device->has_record;
}

/* If the record has a line "UNREADABLE=...", fails with EACCES. */
int sd_device_get_property_value(sd_device *device, const char *key, const char **ret) {
        const char *value = NULL;

        for (size_t i = 0; i < device->n_properties; i++)
                if (strcmp(device->keys[i], "UNREADABLE") == 0)
                        return -EACCES;
                else if (strcmp(device->keys[i], key) == 0)
                        value = device->values[i];
        if (value)
                *ret = value;
        return value ? 0 : -ENOENT;
}

const char *sd_device_get_property_next(sd_device *device, const char **ret_value) {
        if (device->next == device->n_properties)
                return NULL;
        *ret_value = device->values[device->next];
        return device->keys[device->next++];
}

const char *sd_device_get_property_first(sd_device *device, const char **ret_value) {
        device->next = 0;
        return sd_device_get_property_next(device, ret_value);
}

const char *sd_device_get_devlink_next(sd_device *device) {
        return device->next == N(device->links) ? NULL : device->links[device->next++];
}

const char *sd_device_get_devlink_first(sd_device *device) {
        device->next = 0;
        return sd_device_get_devlink_next(device);
}

int sd_device_enumerator_new(sd_device_enumerator **ret) {
        *ret = keep(calloc(1, sizeof(**ret)));
        return 0;
}

sd_device_enumerator *sd_device_enumerator_unref(sd_device_enumerator *enumerator) {
        (void)enumerator;
        return NULL;
}

int sd_device_enumerator_allow_uninitialized(sd_device_enumerator *enumerator) {
        (void)enumerator;
        return 0;
}

int sd_device_enumerator_add_match_subsystem(sd_device_enumerator *enumerator, const char *subsystem,
                                             int match) {
        enumerator->subsystem = subsystem;
        return match ? 0 : -EINVAL;
}

/* Adds the devices in alphabetical order.  So a disk comes before the disk's partitions, and
 * vdb10 comes before vdb2. */
int sd_device_enumerator_add_match_sysname(sd_device_enumerator *enumerator, const char *sysname) {
        struct dirent **entries;

        int n = scandir(keep(format(ROOT "/sys/class/%s", enumerator->subsystem)), &entries, NULL,
                        alphasort);
        for (int i = 0; i < n; i++) {
                if (fnmatch(sysname, entries[i]->d_name, 0) == 0)
                        enumerator->devices[enumerator->n++] =
                                new_device(enumerator->subsystem, entries[i]->d_name, false);
                free(entries[i]);
        }
        if (n >= 0)
                free(entries);
        return 0;
}

sd_device *sd_device_enumerator_get_device_next(sd_device_enumerator *enumerator) {
        return enumerator->next == enumerator->n ? NULL : enumerator->devices[enumerator->next++];
}

sd_device *sd_device_enumerator_get_device_first(sd_device_enumerator *enumerator) {
        return sd_device_enumerator_get_device_next(enumerator);
}

/* Prints each field of the journal entry to standard output. */
int sd_journal_send(const char *template, ...) {
        va_list ap;

        va_start(ap, template);
        for (const char *field = template; field;
             field = va_arg(ap, const char *)) { // NOLINT(clang-analyzer-valist*)
                const char *value = strchr(field, '=') + 1;
                printf("%.*s", (int)(value - field), field);
                if (strcmp(value, "%d") == 0)
                        printf("%d\n", va_arg(ap, int)); // NOLINT(clang-analyzer-valist*)
                else if (strncmp(value, "/dev/", 5) == 0)
                        printf("/dev/%s\n", va_arg(ap, const char *)); // NOLINT(clang-analyzer-valist*)
                else
                        printf("%s\n", va_arg(ap, const char *)); // NOLINT(clang-analyzer-valist*)
        }
        va_end(ap);
        return 0;
}
