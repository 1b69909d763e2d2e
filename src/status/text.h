/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Every text that the status program reads or writes in someone else's
 * format.  Pure: no file, no environment.  What returns a char * returns a
 * new string, or NULL when out of memory. */

/* A line of /proc/self/mountinfo. */
struct mount {
        unsigned major, minor;
        const char *point; /* both point into the line */
        const char *source;
};

__attribute__((format(printf, 1, 2))) char *text_format(const char *format, ...);

/* Makes a foreign name fit for terminals, logs, JSON, shells and udev: what is
 * not a letter, a digit or one of #+-.:=@_/, becomes \xNN, and what is \xNN
 * already stays.  With spaces, blanks and parentheses stay as well, for texts
 * made to be read. */
char *text_escape(const char *text, bool spaces);

/* As systemd-escape --path: the name that systemd's units give to a path. */
char *unit_escape_path(const char *path);

/* What a unit can be called by: all of its name but the type, and what it is
 * the instance of a template for.  Both are in the text given, or NULL. */
struct unit {
        const char *prefix, *instance;
        size_t n_prefix, n_instance;
};

struct unit unit_parse(const char *text);

/* True if the unit is called by this name (see unit_escape_path()) of n bytes. */
bool unit_is_of(const struct unit *unit, const char *name, size_t n);

/* A device number as sysfs and mountinfo write it: 252:17.  -EINVAL: it is none. */
int devnum_parse(const char *text, unsigned *ret_major, unsigned *ret_minor);

/* The parsers change the line.  They return 0, or -EINVAL for a line that is
 * none of the format. */
int mountinfo_parse(char *line, struct mount *ret);
int swaps_parse(char *line, const char **ret_path);

/* True if this kernel command line turns the package off. */
bool cmdline_opts_out(const char *cmdline);

/* True if this line of lsinitramfs or lsinitrd names the rule. */
bool listing_names_rule(const char *line);
