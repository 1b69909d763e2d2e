/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Writes a string to fd.  Returns 0, or a negative errno. */
int write_all(int fd, const char *text);

/* Returns the rest of text after prefix, or NULL if text does not start with prefix.
 * The helper uses this in place of musl's strncmp() and getenv(), which take 600 bytes. */
const char *startswith(const char *text, const char *prefix);
