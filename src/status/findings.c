/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>

#include "status.h"

void *check_memory(void *memory) {
        if (memory)
                return memory;
        fputs("baseimage-status: out of memory\n", stderr);
        exit(STATE_UNKNOWN);
}

char *format(const char *template, ...) {
        char *text;
        va_list ap;

        va_start(ap, template);
        int n = vasprintf(&text, template, ap);
        va_end(ap);
        return check_memory(n < 0 ? NULL : text);
}

/* Disks and users choose names.  Terminals, logs and JSON must stand them. */
static char *escape(char *text) {
        char *escaped = check_memory(malloc(strlen(text) * 4 + 1)), *end = escaped;

        for (const char *c = text; *c; c++)
                end += sprintf(end, *c >= ' ' && *c <= '~' ? "%c" : "\\x%02x", (unsigned char)*c);
        *end = '\0';
        free(text);
        return escaped;
}

void add_finding(struct status *status, struct device *device, enum kind kind, char *evidence,
                 char *remedy) {
        struct finding finding = { device, kind, escape(evidence), escape(remedy) };

        if (device && !device->disk->wanted)
                finding.kind = _KINDS;
        status->findings =
                check_memory(reallocarray(status->findings, status->n_findings + 1, sizeof(finding)));
        status->findings[status->n_findings++] = finding;
}

void add_error(struct status *status, struct device *device, const char *what, int error) {
        add_finding(status, device, KIND_ERROR, format("cannot read %s: %s", what, strerror(abs(error))),
                    format("run baseimage-status as root, or again if the disk was just attached"));
}

bool is_of_disk(const struct finding *finding, const struct device *disk) {
        return disk ? finding->device && finding->device->disk == disk : !finding->device;
}

enum state state_of(const struct status *status, const struct device *disk) {
        enum kind worst = _KINDS;

        /* What is of no particular disk is of each. */
        for (const struct finding *f = status->findings; f < status->findings + status->n_findings; f++)
                if ((!disk || !f->device || is_of_disk(f, disk)) && f->kind < worst)
                        worst = f->kind;
        if (worst < KIND_CONTENT)
                return worst < KIND_ERROR ? STATE_LEAKING : STATE_UNKNOWN;
        return status->n_devices > 0 ? STATE_INERT : STATE_NONE;
}
