/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
/* Where in our sources an entry comes from helps no one who reads it. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "config.h"
#include "status.h"

/* All in one field: of an entry with more than some 500 the journal takes none,
 * and a disk of many partitions has them. */
static int format_findings(const struct verdict *verdict, const struct device *disk, char **ret) {
        _cleanup_free_ char *text = strdup("");

        for (size_t i = 0; text && i < verdict->n_findings; i++) {
                const struct finding *finding = &verdict->findings[i];

                if (!finding_concerns(finding, disk, true))
                        continue;
                char *longer =
                        text_format("%s%s%s: %s %s %s", text, *text ? "\n" : "",
                                    finding->device->name ? finding->device->node : "all",
                                    severity_to_string(finding->severity), finding->kind, finding->evidence);
                free(text);
                text = longer;
        }
        if (!text)
                return -ENOMEM;
        *ret = text;
        text = NULL;
        return 0;
}

static int write_disk(const struct verdict *verdict, const struct device *disk) {
        static const char *const messages[] = {
                [STATE_INERT] = "Base image /dev/%s is inert",
                [STATE_LEAKING] = "Base image /dev/%s is leaking",
                [STATE_UNKNOWN] = "Could not tell whether base image /dev/%s is inert",
        };
        enum state state = verdict_of(verdict, disk, true);
        _cleanup_free_ char *message = NULL, *findings = NULL;
        int r;

        message = text_format(messages[state], disk->disk);
        if (!message)
                return -ENOMEM;
        r = format_findings(verdict, disk, &findings);
        if (r < 0)
                return r;
        return sd_journal_send("MESSAGE=%s", message, "MESSAGE_ID=%s",
                               state == STATE_INERT ? BASEIMAGE_MESSAGE_INERT : BASEIMAGE_MESSAGE_LEAKING,
                               "PRIORITY=%s", state == STATE_INERT ? "6" : "4", "BASEIMAGE_DEVICE=/dev/%s",
                               disk->disk, "BASEIMAGE_STATE=%s", state_to_string(state),
                               *findings ? "BASEIMAGE_FINDINGS=%s" : NULL, findings, NULL);
}

int journal_write(const struct facts *facts, const struct verdict *verdict) {
        const char *last = "";

        for (size_t i = 0; i < facts->n_devices; i++) {
                const struct device *device = &facts->devices[i];

                if (strcmp(device->disk, last) == 0)
                        continue;
                int r = write_disk(verdict, device);
                if (r < 0)
                        return r;
                last = device->disk;
        }
        return 0;
}
