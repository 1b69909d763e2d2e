/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>

#include "status.h"

#define ALPHANUMERIC "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

char *text_format(const char *format, ...) {
        char *text;
        va_list ap;

        va_start(ap, format);
        int r = vasprintf(&text, format, ap);
        va_end(ap);
        return r < 0 ? NULL : text;
}

/* Appends c as \xNN and returns the new end. */
static char *escape_byte(char *end, char c) {
        static const char hex[] = "0123456789abcdef";
        unsigned char byte = (unsigned char)c;

        *end++ = '\\';
        *end++ = 'x';
        *end++ = hex[byte >> 4];
        *end++ = hex[byte & 15];
        return end;
}

/* True for \xNN. */
static bool is_escape(const char *text) {
        return text[0] == '\\' && text[1] == 'x' && strspn(text + 2, "0123456789abcdef") >= 2;
}

char *text_escape(const char *text) {
        char *escaped = malloc(strlen(text) * 4 + 1);
        if (!escaped)
                return NULL;

        char *end = escaped;
        for (; *text; text++)
                /* What udev or systemd has escaped is fit, and better known so. */
                if (strchr(ALPHANUMERIC "#+-.:=@_/, ()", *text) || is_escape(text))
                        *end++ = *text;
                else
                        end = escape_byte(end, *text);
        *end = '\0';
        return escaped;
}

char *unit_escape_path(const char *path) {
        char *escaped = malloc(strlen(path) * 4 + 2);
        if (!escaped)
                return NULL;

        char *end = escaped;
        for (;;) {
                path += strspn(path, "/");
                size_t n = strcspn(path, "/");
                if (n == 0)
                        break;
                if (end != escaped)
                        *end++ = '-';
                for (; n > 0; n--, path++)
                        /* A leading dot would hide the unit file. */
                        if (strchr(ALPHANUMERIC ":_", *path) || (*path == '.' && end != escaped))
                                *end++ = *path;
                        else
                                end = escape_byte(end, *path);
        }
        if (end == escaped)
                *end++ = '-';
        *end = '\0';
        return escaped;
}

/* True for NAME.TYPE. */
static bool is_called(const char *unit, const char *name) {
        const char *type = startswith(unit, name);
        return type && type[0] == '.' && !strchr(type + 1, '.');
}

bool unit_is_of(const char *unit, const char *name) {
        const char *at = strchr(unit, '@');
        return is_called(unit, name) || (at && is_called(at + 1, name));
}

/* The kernel writes blanks and backslashes in names as \ooo. */
static void unescape_octal(char *text) {
        char *end = text;

        for (; *text; text++) {
                if (text[0] == '\\' && strspn(text + 1, "01234567") >= 3 && text[1] <= '3') {
                        *end++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
                        text += 3;
                } else
                        *end++ = *text;
        }
        *end = '\0';
}

/* No strtoul(): it takes blanks and signs; and what is built on a newer Debian would not run on Debian 12,
 * as with _GNU_SOURCE it is that of C23, which glibc has from 2.38 on. */
int number_parse(const char *text, char stop, const char **ret_end, unsigned *ret) {
        unsigned long long n = 0;

        if (*text < '0' || *text > '9')
                return -EINVAL;
        for (; *text >= '0' && *text <= '9'; text++) {
                n = n * 10 + (unsigned)(*text - '0');
                if (n > UINT_MAX)
                        return -EINVAL;
        }
        if (*text != stop)
                return -EINVAL;
        *ret_end = text + 1;
        *ret = (unsigned)n;
        return 0;
}

int devnum_parse(const char *text, unsigned *ret_major, unsigned *ret_minor) {
        int r = number_parse(text, ':', &text, ret_major);
        return r < 0 ? r : number_parse(text, '\0', &text, ret_minor);
}

/* 36 35 98:0 /root /mount/point rw,noatime shared:1 - ext4 /dev/vda1 rw */
int mountinfo_parse(char *line, struct mount *ret) {
        enum { NUMBER = 2, POINT = 4, FIELDS = 6 };
        char *fields[FIELDS], *optional;
        unsigned major, minor;
        int r;

        line[strcspn(line, "\n")] = '\0';
        for (int i = 0; i < FIELDS; i++) {
                fields[i] = strsep(&line, " ");
                if (!fields[i])
                        return -EINVAL;
        }
        do
                optional = strsep(&line, " ");
        while (optional && strcmp(optional, "-") != 0);
        (void)strsep(&line, " "); /* the type */
        char *source = strsep(&line, " ");
        if (!source)
                return -EINVAL;

        r = devnum_parse(fields[NUMBER], &major, &minor);
        if (r < 0)
                return r;

        unescape_octal(fields[POINT]);
        unescape_octal(source);
        *ret = (struct mount){ .major = major, .minor = minor, .point = fields[POINT], .source = source };
        return 0;
}

/* /dev/vda2                               partition	999420	0	-2 */
int swaps_parse(char *line, const char **ret_path) {
        size_t n = strcspn(line, " \t\n");

        /* Not the heading either. */
        if (line[0] != '/' || line[n] == '\0')
                return -EINVAL;
        line[n] = '\0';
        unescape_octal(line);
        *ret_path = line;
        return 0;
}

bool listing_names(const char *line, const char *path) {
        size_t n = strcspn(line, "\n"), m = strlen(path);
        return n >= m && memcmp(line + n - m, path, m) == 0;
}
