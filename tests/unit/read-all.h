/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <unistd.h>

/* Reads fd to its end, or until text is full, and closes it; text becomes a
 * string of at most size bytes with its end. */
static inline void read_all(int fd, char *text, size_t size) {
        size_t used = 0;
        ssize_t n;

        while (used < size - 1 && (n = read(fd, text + used, size - 1 - used)) > 0)
                used += (size_t)n;
        text[used] = '\0';
        close(fd);
}
