/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * __wrap_X() is called in the place of X(), which is __real_X(): see ld's
 * --wrap. */
#include <dirent.h>
#include <errno.h>
#include <fts.h>
#include <glob.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "status-faults.h"

static const char *armed_name;
static const char *fired;
static unsigned left;

void fault_arm(const char *name, unsigned nth) {
        armed_name = name;
        fired = NULL;
        left = nth;
}

const char *fault_disarm(void) {
        left = 0;
        return fired;
}

bool fault(const char *name) {
        if (left == 0 || (armed_name && strcmp(armed_name, name) != 0))
                return false;
        if (--left > 0)
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
WRAP(char *, realpath, (const char *p, char *r), (p, r), ENOMEM, NULL)
WRAP(int, vasprintf, (char **p, const char *f, va_list ap), (p, f, ap), ENOMEM, -1)
/* What the one above is where the compiler fortifies. */
WRAP(int, __vasprintf_chk, (char **p, int n, const char *f, va_list ap), (p, n, f, ap), ENOMEM, -1)
WRAP(int, setenv, (const char *n, const char *v, int o), (n, v, o), ENOMEM, -1)
WRAP(FILE *, fopen64, (const char *p, const char *m), (p, m), EACCES, NULL)
WRAP(FILE *, popen, (const char *c, const char *m), (c, m), EMFILE, NULL)
WRAP(ssize_t, getline, (char **l, size_t *n, FILE *f), (l, n, f), EIO, -1)
WRAP(int, scandir64,
     (const char *p, struct dirent64 ***l, int (*f)(const struct dirent64 *),
      int (*c)(const struct dirent64 **, const struct dirent64 **)),
     (p, l, f, c), EACCES, -1)
WRAP(FTS64 *, fts64_open, (char *const *p, int o, int (*c)(const FTSENT64 **, const FTSENT64 **)), (p, o, c),
     ENOMEM, NULL)
WRAP(int, glob64, (const char *p, int f, int (*e)(const char *, int), glob64_t *g), (p, f, e, g), ENOMEM,
     GLOB_NOSPACE)
WRAP(int, access, (const char *p, int m), (p, m), EACCES, -1)
/* None of ours creates a file: there is no mode. */
WRAP(int, open64, (const char *p, int f, ...), (p, f), EMFILE, -1)
WRAP(ssize_t, read, (int fd, void *b, size_t n), (fd, b, n), EIO, -1)
WRAP(int, uname, (struct utsname * u), (u), EFAULT, -1)

WRAP(json_object *, json_object_new_object, (void), (), ENOMEM, NULL)
WRAP(json_object *, json_object_new_array, (void), (), ENOMEM, NULL)
WRAP(json_object *, json_object_new_string, (const char *s), (s), ENOMEM, NULL)
WRAP(json_object *, json_object_new_boolean, (json_bool b), (b), ENOMEM, NULL)
WRAP(int, json_object_object_add, (json_object * o, const char *k, json_object *v), (o, k, v), ENOMEM, -1)
WRAP(int, json_object_array_add, (json_object * o, json_object *v), (o, v), ENOMEM, -1)
WRAP(const char *, json_object_to_json_string_ext, (json_object * o, int f), (o, f), ENOMEM, NULL)

/* glibc's fts_close() leaks what was never read. */
FTSENT64 *__real_fts64_read(FTS64 *tree);
FTSENT64 *__wrap_fts64_read(FTS64 *tree);
FTSENT64 *__wrap_fts64_read(FTS64 *tree) {
        FTSENT64 *entry = __real_fts64_read(tree);

        if (!fault("fts64_read"))
                return entry;
        errno = EIO;
        return NULL;
}

WRAP(int, sd_bus_new, (sd_bus * *bus), (bus), 0, -ENOMEM)
WRAP(int, sd_bus_set_address, (sd_bus * bus, const char *a), (bus, a), 0, -ENOMEM)
WRAP(int, sd_bus_message_enter_container, (sd_bus_message * m, char t, const char *c), (m, t, c), 0,
     -EBADMSG)
WRAP(int, sd_bus_message_exit_container, (sd_bus_message * m), (m), 0, -EBADMSG)
WRAP(int, sd_bus_message_skip, (sd_bus_message * m, const char *t), (m, t), 0, -EBADMSG)

int __wrap_sd_bus_call_method(sd_bus *bus, const char *destination, const char *path, const char *interface,
                              const char *member, sd_bus_error *error, sd_bus_message **reply,
                              const char *types, ...);
int __wrap_sd_bus_call_method(sd_bus *bus, const char *destination, const char *path, const char *interface,
                              const char *member, sd_bus_error *error, sd_bus_message **reply,
                              const char *types, ...) {
        va_list ap;

        if (fault("sd_bus_call_method"))
                return -ETIMEDOUT;
        va_start(ap, types);
        int r = sd_bus_call_methodv(bus, destination, path, interface, member, error, reply, types, ap);
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
