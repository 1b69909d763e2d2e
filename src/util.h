/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Writes a string to fd.  Returns 0, or a negative errno. */
int write_all(int fd, const char *text);

/* If text starts with prefix, returns a pointer to the text after prefix.  Otherwise returns
 * NULL.
 *
 * The program baseimage_id uses this function instead of musl's strncmp() and getenv().
 * These two functions would add 600 bytes to the program. */
const char *startswith(const char *text, const char *prefix);
