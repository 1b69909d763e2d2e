/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Called with a pointer to the variable when it goes out of scope. */
#define _cleanup_(function) __attribute__((cleanup(function)))

static inline void freep(void *p) {
        free(*(void **)p);
}

static inline void fclosep(FILE **file) {
        if (*file)
                fclose(*file);
}

static inline void closedirp(DIR **dir) {
        if (*dir)
                closedir(*dir);
}

static inline void closep(int *fd) {
        if (*fd >= 0)
                close(*fd);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_fclose_ _cleanup_(fclosep)
#define _cleanup_closedir_ _cleanup_(closedirp)
#define _cleanup_close_ _cleanup_(closep)

static inline const char *startswith(const char *text, const char *prefix) {
        size_t n = strlen(prefix);
        return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}
