/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Evidence is escaped: here it is only to be put in its place. */
#include <ctype.h>

#include "status.h"

static const char *access_of(const struct device *device) {
        return device->doubtful ? "unknown" : device->read_only ? "read-only" : "writable";
}

static const char *colour_of(enum state state) {
        static const char *const colours[] = {
                [STATE_INERT] = "\033[32m",
                [STATE_LEAKING] = "\033[1;31m",
                [STATE_UNKNOWN] = "\033[33m",
                [STATE_NONE] = "",
        };
        return colours[state];
}

/* Takes what is to be said before the first, or "". */
static void table_findings(FILE *out, const struct verdict *verdict, const struct device *device,
                           const char *before) {
        for (size_t i = 0; i < verdict->n_findings; i++) {
                const struct finding *finding = &verdict->findings[i];

                if (finding->device != device)
                        continue;
                fprintf(out, "%s  %-7s  %-9s  %s\n", before, severity_to_string(finding->severity),
                        finding->kind, finding->evidence);
                before = "";
        }
}

/* The same advice fits many findings: once is enough. */
static void table_remedies(FILE *out, const struct verdict *verdict) {
        for (size_t i = 0; i < verdict->n_findings; i++) {
                const struct finding *finding = &verdict->findings[i];
                size_t first = 0;

                while (verdict->findings[first].remedy != finding->remedy ||
                       strcmp(verdict->findings[first].kind, finding->kind) != 0)
                        first++;
                if (first == i)
                        fprintf(out, "%s  %-9s  %s\n", i == 0 ? "\nWhat to do:\n" : "", finding->kind,
                                finding->remedy);
        }
}

void report_table(FILE *out, const struct facts *facts, const struct verdict *verdict, bool colour) {
        int width = (int)strlen("DEVICE");

        if (facts->n_devices == 0) {
                fputs("No base image attached.\n", out);
                return;
        }
        for (size_t i = 0; i < facts->n_devices; i++)
                if ((int)strlen(facts->devices[i].node) > width)
                        width = (int)strlen(facts->devices[i].node);

        fprintf(out, "%-*s  %-7s  %s\n", width, "DEVICE", "STATE", "ACCESS");
        for (size_t i = 0; i < facts->n_devices; i++) {
                const struct device *device = &facts->devices[i];
                enum state state = verdict_of(verdict, device, false);

                fprintf(out, "%-*s  %s%-7s%s  %s\n", width, device->node, colour ? colour_of(state) : "",
                        state_to_string(state), colour ? "\033[0m" : "", access_of(device));
                table_findings(out, verdict, device, "");
        }
        table_findings(out, verdict, &facts->system, "all\n");
        table_remedies(out, verdict);
        if (!facts->systemd)
                fputs("\nNo units to look at: not running under systemd.\n", out);
}

/* BASEIMAGE_VDB1_; for the system, BASEIMAGE_ */
static void export_key(FILE *out, const struct device *device) {
        fputs("BASEIMAGE_", out);
        for (const char *c = device->name; c && *c; c++)
                fputc(isalnum((unsigned char)*c) ? toupper((unsigned char)*c) : '_', out);
        if (device->name)
                fputc('_', out);
}

static void export_findings(FILE *out, const struct verdict *verdict, const struct device *device) {
        unsigned n = 0;

        for (size_t i = 0; i < verdict->n_findings; i++) {
                const struct finding *finding = &verdict->findings[i];

                if (finding->device != device)
                        continue;
                export_key(out, device);
                fprintf(out, "FINDING_%u=%s:%s:", n++, severity_to_string(finding->severity), finding->kind);
                /* For a shell, the rest as well. */
                for (const char *c = finding->evidence; *c; c++)
                        fprintf(out, strchr(" ()", *c) ? "\\x%02x" : "%c", *c);
                fputc('\n', out);
        }
        export_key(out, device);
        fprintf(out, "FINDINGS=%u\n", n);
}

void report_export(FILE *out, const struct facts *facts, const struct verdict *verdict) {
        fprintf(out, "BASEIMAGE_STATE=%s\nBASEIMAGE_SYSTEMD=%d\nBASEIMAGE_DEVICES=",
                state_to_string(verdict->state), facts->systemd);
        for (size_t i = 0; i < facts->n_devices; i++)
                fprintf(out, "%s%s", i > 0 ? "," : "", facts->devices[i].name);
        fputc('\n', out);
        export_findings(out, verdict, &facts->system);
        for (size_t i = 0; i < facts->n_devices; i++) {
                const struct device *device = &facts->devices[i];

                export_key(out, device);
                fprintf(out, "STATE=%s\n", state_to_string(verdict_of(verdict, device, false)));
                export_key(out, device);
                fprintf(out, "ACCESS=%s\n", access_of(device));
                export_findings(out, verdict, device);
        }
}

/* Of escaped text, there is but one character that JSON would take for its own. */
static void json_string(FILE *out, const char *key, const char *value) {
        fprintf(out, "\"%s\": \"", key);
        for (; *value; value++)
                fprintf(out, *value == '\\' ? "\\%c" : "%c", *value);
        fputc('"', out);
}

/* The last member of an object. */
static void json_findings(FILE *out, const struct verdict *verdict, const struct device *device) {
        const char *separator = "";

        fputs("\"findings\": [", out);
        for (size_t i = 0; i < verdict->n_findings; i++) {
                const struct finding *finding = &verdict->findings[i];

                if (finding->device != device)
                        continue;
                fprintf(out, "%s\n  { ", separator);
                json_string(out, "severity", severity_to_string(finding->severity));
                fputs(", ", out);
                json_string(out, "kind", finding->kind);
                fputs(",\n    ", out);
                json_string(out, "evidence", finding->evidence);
                fputs(",\n    ", out);
                json_string(out, "remedy", finding->remedy);
                fputs(" }", out);
                separator = ",";
        }
        fputs("] }", out);
}

void report_json(FILE *out, const struct facts *facts, const struct verdict *verdict) {
        fprintf(out, "{ \"state\": \"%s\", \"systemd\": %s,\n\"devices\": [",
                state_to_string(verdict->state), facts->systemd ? "true" : "false");
        for (size_t i = 0; i < facts->n_devices; i++) {
                const struct device *device = &facts->devices[i];

                fprintf(out,
                        "%s\n{ \"device\": \"%s\", \"disk\": \"%s\", \"state\": \"%s\", \"access\": "
                        "\"%s\", ",
                        i > 0 ? "," : "", device->node, device->disk,
                        state_to_string(verdict_of(verdict, device, false)), access_of(device));
                json_findings(out, verdict, device);
        }
        fputs("],\n", out);
        json_findings(out, verdict, &facts->system);
        fputc('\n', out);
}
