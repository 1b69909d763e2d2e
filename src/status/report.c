/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>

#include "report.h"
#include "text.h"
#include "util.h"

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

static int table_findings(FILE *out, const struct verdict *verdict, const struct device *device) {
        for (size_t i = 0; i < verdict->n_findings; i++) {
                const struct finding *finding = &verdict->findings[i];
                _cleanup_free_ char *evidence = NULL;

                if (finding->device != device)
                        continue;
                evidence = text_escape(finding->evidence, true);
                if (!evidence)
                        return -ENOMEM;
                fprintf(out, "  %-7s  %-9s  %s\n", severity_to_string(finding->severity), finding->kind,
                        evidence);
        }
        return 0;
}

/* The same advice fits many findings: once is enough. */
static void table_remedies(FILE *out, const struct verdict *verdict) {
        for (size_t i = 0; i < verdict->n_findings; i++) {
                const struct finding *finding = &verdict->findings[i];
                size_t first = 0;

                while (verdict->findings[first].remedy != finding->remedy ||
                       strcmp(verdict->findings[first].kind, finding->kind) != 0)
                        first++;
                if (first < i)
                        continue;
                fprintf(out, "%s  %-9s  %s\n", i == 0 ? "\nWhat to do:\n" : "", finding->kind,
                        finding->remedy);
        }
}

int report_table(FILE *out, const struct facts *facts, const struct verdict *verdict, bool colour) {
        int width = (int)strlen("DEVICE");

        if (facts->n_devices == 0) {
                fputs("No base image attached.\n", out);
                return 0;
        }
        for (size_t i = 0; i < facts->n_devices; i++)
                if ((int)strlen(facts->devices[i].node) > width)
                        width = (int)strlen(facts->devices[i].node);

        fprintf(out, "%-*s  %-7s  %s\n", width, "DEVICE", "STATE", "ACCESS");
        for (size_t i = 0; i < facts->n_devices; i++) {
                const struct device *device = &facts->devices[i];
                enum state state = verdict_of_device(verdict, device);

                fprintf(out, "%-*s  %s%-7s%s  %s\n", width, device->node, colour ? colour_of(state) : "",
                        state_to_string(state), colour ? "\033[0m" : "", access_of(device));
                int r = table_findings(out, verdict, device);
                if (r < 0)
                        return r;
        }
        table_remedies(out, verdict);
        if (!facts->systemd)
                fputs("\nNo units to look at: not running under systemd.\n", out);
        return 0;
}

/* BASEIMAGE_VDB1_ */
static void export_key(FILE *out, const struct device *device) {
        fputs("BASEIMAGE_", out);
        for (const char *c = device->name; *c; c++)
                fputc(isalnum((unsigned char)*c) ? toupper((unsigned char)*c) : '_', out);
        fputc('_', out);
}

static int export_device(FILE *out, const struct verdict *verdict, const struct device *device) {
        unsigned n = 0;

        export_key(out, device);
        fprintf(out, "STATE=%s\n", state_to_string(verdict_of_device(verdict, device)));
        export_key(out, device);
        fprintf(out, "ACCESS=%s\n", access_of(device));
        for (size_t i = 0; i < verdict->n_findings; i++) {
                const struct finding *finding = &verdict->findings[i];
                _cleanup_free_ char *evidence = NULL;

                if (finding->device != device)
                        continue;
                evidence = text_escape(finding->evidence, false);
                if (!evidence)
                        return -ENOMEM;
                export_key(out, device);
                fprintf(out, "FINDING_%u=%s:%s:%s\n", n++, severity_to_string(finding->severity),
                        finding->kind, evidence);
        }
        export_key(out, device);
        fprintf(out, "FINDINGS=%u\n", n);
        return 0;
}

int report_export(FILE *out, const struct facts *facts, const struct verdict *verdict) {
        fprintf(out, "BASEIMAGE_STATE=%s\nBASEIMAGE_SYSTEMD=%d\nBASEIMAGE_DEVICES=",
                state_to_string(verdict->state), facts->systemd);
        for (size_t i = 0; i < facts->n_devices; i++)
                fprintf(out, "%s%s", i > 0 ? "," : "", facts->devices[i].name);
        fputc('\n', out);
        for (size_t i = 0; i < facts->n_devices; i++) {
                int r = export_device(out, verdict, &facts->devices[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void json_object_putp(json_object **object) {
        json_object_put(*object);
}

/* Takes the value, also on failure. */
static int json_set(json_object *object, const char *key, json_object *value) {
        if (value && json_object_object_add(object, key, value) == 0)
                return 0;
        json_object_put(value);
        return -ENOMEM;
}

static int json_set_string(json_object *object, const char *key, const char *value) {
        return json_set(object, key, json_object_new_string(value));
}

/* Takes the value, also on failure. */
static int json_append(json_object *array, json_object *value) {
        if (value && json_object_array_add(array, value) == 0)
                return 0;
        json_object_put(value);
        return -ENOMEM;
}

static json_object *json_finding(const struct finding *finding) {
        _cleanup_free_ char *evidence = text_escape(finding->evidence, true);
        _cleanup_(json_object_putp) json_object *object = json_object_new_object();

        if (!evidence || !object ||
            json_set_string(object, "severity", severity_to_string(finding->severity)) < 0 ||
            json_set_string(object, "kind", finding->kind) < 0 ||
            json_set_string(object, "evidence", evidence) < 0 ||
            json_set_string(object, "remedy", finding->remedy) < 0)
                return NULL;
        return json_object_get(object);
}

static json_object *json_device(const struct verdict *verdict, const struct device *device) {
        _cleanup_(json_object_putp) json_object *object = json_object_new_object();
        _cleanup_(json_object_putp) json_object *findings = json_object_new_array();

        if (!object || !findings || json_set_string(object, "device", device->node) < 0 ||
            json_set_string(object, "disk", device->disk) < 0 ||
            json_set_string(object, "state", state_to_string(verdict_of_device(verdict, device))) < 0 ||
            json_set_string(object, "access", access_of(device)) < 0)
                return NULL;
        for (size_t i = 0; i < verdict->n_findings; i++)
                if (verdict->findings[i].device == device &&
                    json_append(findings, json_finding(&verdict->findings[i])) < 0)
                        return NULL;
        if (json_set(object, "findings", json_object_get(findings)) < 0)
                return NULL;
        return json_object_get(object);
}

int report_json(FILE *out, const struct facts *facts, const struct verdict *verdict) {
        _cleanup_(json_object_putp) json_object *object = json_object_new_object();
        _cleanup_(json_object_putp) json_object *devices = json_object_new_array();

        if (!object || !devices || json_set_string(object, "state", state_to_string(verdict->state)) < 0 ||
            json_set(object, "systemd", json_object_new_boolean(facts->systemd)) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < facts->n_devices; i++)
                if (json_append(devices, json_device(verdict, &facts->devices[i])) < 0)
                        return -ENOMEM;
        if (json_set(object, "devices", json_object_get(devices)) < 0)
                return -ENOMEM;

        const char *text = json_object_to_json_string_ext(
                object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
        if (!text)
                return -ENOMEM;
        fprintf(out, "%s\n", text);
        return 0;
}
