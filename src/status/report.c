/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Evidence is escaped: here it is only to be put in its place. */
#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>

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

static void json_object_putp(json_object **object) {
        json_object_put(*object);
}

/* Takes the value, also on failure.  An array has no keys. */
static int json_add(json_object *parent, const char *key, json_object *value) {
        if (value &&
            (key ? json_object_object_add(parent, key, value) : json_object_array_add(parent, value)) == 0)
                return 0;
        json_object_put(value);
        return -ENOMEM;
}

static int json_add_string(json_object *parent, const char *key, const char *value) {
        return json_add(parent, key, json_object_new_string(value));
}

static int json_add_finding(json_object *findings, const struct finding *finding) {
        json_object *object = json_object_new_object();

        if (json_add(findings, NULL, object) < 0 ||
            json_add_string(object, "severity", severity_to_string(finding->severity)) < 0 ||
            json_add_string(object, "kind", finding->kind) < 0 ||
            json_add_string(object, "evidence", finding->evidence) < 0 ||
            json_add_string(object, "remedy", finding->remedy) < 0)
                return -ENOMEM;
        return 0;
}

static int json_add_findings(json_object *parent, const struct verdict *verdict,
                             const struct device *device) {
        json_object *findings = json_object_new_array();

        if (json_add(parent, "findings", findings) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < verdict->n_findings; i++)
                if (verdict->findings[i].device == device &&
                    json_add_finding(findings, &verdict->findings[i]) < 0)
                        return -ENOMEM;
        return 0;
}

static int json_add_device(json_object *devices, const struct verdict *verdict,
                           const struct device *device) {
        json_object *object = json_object_new_object();

        if (json_add(devices, NULL, object) < 0 || json_add_string(object, "device", device->node) < 0 ||
            json_add_string(object, "disk", device->disk) < 0 ||
            json_add_string(object, "state", state_to_string(verdict_of(verdict, device, false))) < 0 ||
            json_add_string(object, "access", access_of(device)) < 0)
                return -ENOMEM;
        return json_add_findings(object, verdict, device);
}

int report_json(FILE *out, const struct facts *facts, const struct verdict *verdict) {
        _cleanup_(json_object_putp) json_object *object = json_object_new_object();
        json_object *devices;
        const char *text;

        if (!object || json_add_string(object, "state", state_to_string(verdict->state)) < 0 ||
            json_add(object, "systemd", json_object_new_boolean(facts->systemd)) < 0)
                return -ENOMEM;
        devices = json_object_new_array();
        if (json_add(object, "devices", devices) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < facts->n_devices; i++)
                if (json_add_device(devices, verdict, &facts->devices[i]) < 0)
                        return -ENOMEM;
        if (json_add_findings(object, verdict, &facts->system) < 0)
                return -ENOMEM;
        text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                              JSON_C_TO_STRING_NOSLASHESCAPE);
        if (!text)
                return -ENOMEM;
        fprintf(out, "%s\n", text);
        return 0;
}
