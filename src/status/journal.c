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
        struct iovec *fields;
        size_t n;
};

static void fields_done(struct fields *fields) {
        for (size_t i = 0; i < fields->n; i++)
                free(fields->fields[i].iov_base);
        free(fields->fields);
}

/* Takes the text, also on failure. */
static int fields_take(struct fields *fields, char *text) {
        struct iovec *grown = NULL;

        if (text)
                grown = realloc(fields->fields, (fields->n + 1) * sizeof(*grown));
        if (!grown) {
                free(text);
                return -ENOMEM;
        }
        fields->fields = grown;
        grown[fields->n++] = (struct iovec){ .iov_base = text, .iov_len = strlen(text) };
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

static int take_finding(struct fields *fields, const struct finding *finding) {
        _cleanup_free_ char *evidence = text_escape(finding->evidence, true);

        if (!evidence)
                return -ENOMEM;
        return fields_take(fields,
                           text_format("BASEIMAGE_FINDING=%s: %s %s %s", finding->device->node,
                                       severity_to_string(finding->severity), finding->kind, evidence));
}

static int write_disk(const struct verdict *verdict, const char *disk) {
        _cleanup_(fields_done) struct fields fields = { 0 };
        int r;

        r = take_state(&fields, disk, verdict_of_disk(verdict, disk));
        for (size_t i = 0; r >= 0 && i < verdict->n_findings; i++)
                if (strcmp(verdict->findings[i].device->disk, disk) == 0)
                        r = take_finding(&fields, &verdict->findings[i]);
        if (r < 0)
                return r;
        return sd_journal_sendv(fields.fields, (int) fields.n);
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
