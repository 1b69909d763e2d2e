/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Writes all of text to fd.  Returns 0, or a negative errno. */
int write_all(int fd, const char *text);

/* Returns what follows prefix in text, or NULL if text does not start with it.
 * strncmp() and getenv() of musl would cost 600 bytes. */
const char *startswith(const char *text, const char *prefix);
