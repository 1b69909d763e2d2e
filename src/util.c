/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

int write_all(int fd, const char *text) {
        size_t left = strlen(text);

        while (left > 0) {
                ssize_t n = write(fd, text, left);
                /* write() cannot fail with EINTR, because the helper has no signal handler. */
                if (n < 0)
                        return -errno;
                text += n;
                left -= (size_t)n;
        }
        return 0;
}

const char *startswith(const char *text, const char *prefix) {
        while (*prefix)
                if (*text++ != *prefix++)
                        return NULL;
        return text;
}
