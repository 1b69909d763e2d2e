/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Writes all of text to fd.  Returns 0, or a negative errno. */
int write_all(int fd, const char *text);
