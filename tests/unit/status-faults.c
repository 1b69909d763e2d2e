/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * __wrap_X() is called in the place of X(), which is __real_X(): see ld's
 * --wrap. */
#include <dirent.h>
#include <errno.h>
#include <json-c/json.h>
#include <libudev.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "status-faults.h"

static const char *armed_name;
static const char *fired;
static unsigned left;
const char *fault_root;

void fault_arm(const char *name, unsigned nth) {
        armed_name = name;
        fired = NULL;
        left = nth;
}

const char *fault_disarm(void) {
        left = 0;
        return fired;
}

static bool fault(const char *name) {
        if (left == 0 || (armed_name && strcmp(armed_name, name) != 0) || --left > 0)
                return false;
        fired = name;
        return true;
}

/* Fails as its manual says: with value, and errno set. */
#define WRAP(type, name, parameters, arguments, error, value)                                               \
        type __real_##name parameters;                                                                      \
        type __wrap_##name parameters;                                                                      \
        type __wrap_##name parameters {                                                                     \
                if (fault(#name)) {                                                                         \
                        errno = error;                                                                      \
                        return value;                                                                       \
                }                                                                                           \
                return __real_##name arguments;                                                             \
        }

WRAP(void *, malloc, (size_t n), (n), ENOMEM, NULL)
WRAP(void *, calloc, (size_t n, size_t m), (n, m), ENOMEM, NULL)
WRAP(void *, realloc, (void *p, size_t n), (p, n), ENOMEM, NULL)
WRAP(char *, strdup, (const char *s), (s), ENOMEM, NULL)
WRAP(int, vasprintf, (char **p, const char *f, va_list ap), (p, f, ap), ENOMEM, -1)
WRAP(FILE *, fdopen, (int fd, const char *m), (fd, m), ENOMEM, NULL)
WRAP(ssize_t, getline, (char **l, size_t *n, FILE *f), (l, n, f), EIO, -1)
WRAP(DIR *, opendir, (const char *p), (p), EACCES, NULL)
WRAP(DIR *, fdopendir, (int fd), (fd), ENOMEM, NULL)
WRAP(struct dirent64 *, readdir64, (DIR * d), (d), EIO, NULL)
WRAP(int, access, (const char *p, int m), (p, m), EACCES, -1)
WRAP(ssize_t, read, (int fd, void *b, size_t n), (fd, b, n), EIO, -1)
WRAP(ssize_t, readlinkat, (int d, const char *p, char *b, size_t n), (d, p, b, n), EIO, -1)
WRAP(int, stat64, (const char *p, struct stat64 *st), (p, st), EIO, -1)
WRAP(int, fstat64, (int fd, struct stat64 *st), (fd, st), EIO, -1)
WRAP(int, fstatat64, (int d, const char *p, struct stat64 *st, int f), (d, p, st, f), EIO, -1)
/* None of ours creates a file: there is no mode. */
WRAP(int, open64, (const char *p, int f, ...), (p, f), EMFILE, -1)
WRAP(int, openat64, (int d, const char *p, int f, ...), (d, p, f), EACCES, -1)
WRAP(int, pipe2, (int *ends, int flags), (ends, flags), EMFILE, -1)
WRAP(int, uname, (struct utsname * u), (u), EFAULT, -1)
WRAP(pid_t, waitpid, (pid_t p, int *s, int o), (p, s, o), EINTR, -1)
WRAP(int, posix_spawn_file_actions_init, (posix_spawn_file_actions_t * a), (a), 0, ENOMEM)
WRAP(int, posix_spawn_file_actions_addopen,
     (posix_spawn_file_actions_t * a, int fd, const char *p, int f, mode_t m), (a, fd, p, f, m), 0, ENOMEM)
WRAP(int, posix_spawn_file_actions_adddup2, (posix_spawn_file_actions_t * a, int fd, int to), (a, fd, to), 0,
     ENOMEM)

FILE *__real_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode) {
        char below[PATH_MAX];

        if (fault("fopen64")) {
                errno = EACCES;
                return NULL;
        }
        if (!fault_root || strncmp(path, "/run/", strlen("/run/")) != 0)
                return __real_fopen64(path, mode);
        snprintf(below, sizeof(below), "%s%s", fault_root, path);
        return __real_fopen64(below, mode);
}

WRAP(struct udev *, udev_new, (void), (), ENOMEM, NULL)
WRAP(struct udev_enumerate *, udev_enumerate_new, (struct udev * u), (u), ENOMEM, NULL)
WRAP(int, udev_enumerate_add_match_subsystem, (struct udev_enumerate * e, const char *s), (e, s), 0, -ENOMEM)
WRAP(int, udev_enumerate_add_match_sysname, (struct udev_enumerate * e, const char *s), (e, s), 0, -ENOMEM)
WRAP(int, udev_enumerate_scan_devices, (struct udev_enumerate * e), (e), 0, -ENOMEM)
WRAP(struct udev_device *, udev_device_new_from_syspath, (struct udev * u, const char *s), (u, s), ENODEV,
     NULL)
WRAP(const char *, udev_device_get_sysattr_value, (struct udev_device * d, const char *a), (d, a), EACCES,
     NULL)

WRAP(json_object *, json_object_new_object, (void), (), ENOMEM, NULL)
WRAP(json_object *, json_object_new_array, (void), (), ENOMEM, NULL)
WRAP(json_object *, json_object_new_string, (const char *s), (s), ENOMEM, NULL)
WRAP(json_object *, json_object_new_boolean, (json_bool b), (b), ENOMEM, NULL)
WRAP(int, json_object_object_add, (json_object * o, const char *k, json_object *v), (o, k, v), ENOMEM, -1)
WRAP(int, json_object_array_add, (json_object * o, json_object *v), (o, v), ENOMEM, -1)
WRAP(const char *, json_object_to_json_string_ext, (json_object * o, int f), (o, f), ENOMEM, NULL)

WRAP(int, sd_bus_new, (sd_bus * *bus), (bus), 0, -ENOMEM)
WRAP(int, sd_bus_set_address, (sd_bus * bus, const char *a), (bus, a), 0, -ENOMEM)
WRAP(int, sd_bus_message_new_method_call,
     (sd_bus * bus, sd_bus_message **m, const char *d, const char *p, const char *i, const char *n),
     (bus, m, d, p, i, n), 0, -ENOMEM)
WRAP(int, sd_bus_call, (sd_bus * bus, sd_bus_message *m, uint64_t t, sd_bus_error *e, sd_bus_message **r),
     (bus, m, t, e, r), 0, -ETIMEDOUT)
WRAP(int, sd_bus_message_enter_container, (sd_bus_message * m, char t, const char *c), (m, t, c), 0,
     -EBADMSG)
WRAP(int, sd_bus_message_exit_container, (sd_bus_message * m), (m), 0, -EBADMSG)
WRAP(int, sd_bus_message_skip, (sd_bus_message * m, const char *t), (m, t), 0, -EBADMSG)

int __wrap_sd_bus_message_append(sd_bus_message *m, const char *types, ...);
int __wrap_sd_bus_message_append(sd_bus_message *m, const char *types, ...) {
        va_list ap;

        if (fault("sd_bus_message_append"))
                return -ENOMEM;
        va_start(ap, types);
        int r = sd_bus_message_appendv(m, types, ap);
        va_end(ap);
        return r;
}

int __wrap_sd_bus_message_read(sd_bus_message *m, const char *types, ...);
int __wrap_sd_bus_message_read(sd_bus_message *m, const char *types, ...) {
        va_list ap;

        if (fault("sd_bus_message_read"))
                return -EBADMSG;
        va_start(ap, types);
        int r = sd_bus_message_readv(m, types, ap);
        va_end(ap);
        return r;
}
