/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Writes a string to fd.  Returns 0, or a negative errno. */
int write_all(int fd, const char *text);

/* If text starts with prefix, returns the rest of text.  Otherwise returns NULL.
 * The helper uses neither strncmp() nor getenv() of musl, because these two functions add
 * 600 bytes to the helper. */
const char *startswith(const char *text, const char *prefix);
