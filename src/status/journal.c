/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/uio.h>
#include <syslog.h>
/* Where in our sources an entry comes from helps no one who reads it. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "config.h"
#include "journal.h"
#include "text.h"
#include "util.h"

struct fields {
        struct iovec fields[6];
        int n;
};

static void fields_done(struct fields *fields) {
        for (int i = 0; i < fields->n; i++)
                free(fields->fields[i].iov_base);
}

/* Takes the text, unless it is NULL: out of memory. */
static int fields_take(struct fields *fields, char *text) {
        if (!text)
                return -ENOMEM;
        fields->fields[fields->n++] = (struct iovec){ .iov_base = text, .iov_len = strlen(text) };
        return 0;
}

static int take_state(struct fields *fields, const char *disk, enum state state) {
        static const char *const messages[] = {
                [STATE_INERT] = "Base image /dev/%s is inert",
                [STATE_LEAKING] = "Base image /dev/%s is leaking",
                [STATE_UNKNOWN] = "Could not tell whether base image /dev/%s is inert",
        };
        bool inert = state == STATE_INERT;
        _cleanup_free_ char *message = NULL;
        int r;

        message = text_format(messages[state], disk);
        if (!message)
                return -ENOMEM;
        if ((r = fields_take(fields, text_format("MESSAGE=%s", message))) < 0 ||
            (r = fields_take(fields, text_format("MESSAGE_ID=%s", inert ? BASEIMAGE_MESSAGE_INERT
                                                                        : BASEIMAGE_MESSAGE_LEAKING))) < 0 ||
            (r = fields_take(fields, text_format("PRIORITY=%d", inert ? LOG_INFO : LOG_WARNING))) < 0 ||
            (r = fields_take(fields, text_format("BASEIMAGE_DEVICE=/dev/%s", disk))) < 0)
                return r;
        return fields_take(fields, text_format("BASEIMAGE_STATE=%s", state_to_string(state)));
}

/* Adds a line to the text, which is replaced. */
static int add_finding(char **text, const struct finding *finding) {
        _cleanup_free_ char *evidence = text_escape(finding->evidence, true);
        if (!evidence)
                return -ENOMEM;
        char *longer = text_format(
                "%s%s%s: %s %s %s", *text ? *text : "BASEIMAGE_FINDINGS=", *text ? "\n" : "",
                finding->device->node, severity_to_string(finding->severity), finding->kind, evidence);
        if (!longer)
                return -ENOMEM;
        free(*text);
        *text = longer;
        return 0;
}

/* All in one field: of an entry with more than some 500 the journal takes none,
 * and a disk of many partitions has them. */
static int take_findings(struct fields *fields, const struct verdict *verdict, const char *disk) {
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; i < verdict->n_findings; i++) {
                const struct finding *finding = &verdict->findings[i];

                if (strcmp(finding->device->disk, disk) != 0)
                        continue;
                int r = add_finding(&text, finding);
                if (r < 0)
                        return r;
        }
        if (!text)
                return 0;
        int r = fields_take(fields, text);
        text = NULL;
        return r;
}

static int write_disk(const struct verdict *verdict, const char *disk) {
        _cleanup_(fields_done) struct fields fields = { 0 };
        int r;

        if ((r = take_state(&fields, disk, verdict_of_disk(verdict, disk))) < 0 ||
            (r = take_findings(&fields, verdict, disk)) < 0)
                return r;
        return sd_journal_sendv(fields.fields, fields.n);
}

int journal_write(const struct facts *facts, const struct verdict *verdict) {
        const char *last = "";

        for (size_t i = 0; i < facts->n_devices; i++) {
                const char *disk = facts->devices[i].disk;

                if (strcmp(disk, last) == 0)
                        continue;
                int r = write_disk(verdict, disk);
                if (r < 0)
                        return r;
                last = disk;
        }
        return 0;
}
