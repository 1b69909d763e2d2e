/* SPDX-License-Identifier: GPL-2.0-or-later */
/* This file prints the report as a table or as JSON, and writes entries to the journal. */
#include <libsmartcols.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "config.h"
#include "status.h"

static const char *const states[] = { "inert", "leaking", "unknown", "none" };

static struct libscols_table *new_table(bool json) {
        static const char *const names[] = { "DEVICE", "STATE", "KIND", "EVIDENCE", "REMEDY" };
        const char *no_color = getenv("NO_COLOR");
        struct libscols_table *table = check_memory(scols_new_table());

        scols_table_set_name(table, "baseimages");
        scols_table_enable_json(table, json);
        scols_table_enable_colors(table, isatty(STDOUT_FILENO) && (!no_color || !*no_color));
        for (size_t i = 0; i < N(names) - !json; i++) {
                int flags = i == 0 ? SCOLS_FL_TREE : i == 3 && !json ? SCOLS_FL_WRAP : 0;
                struct libscols_column *column =
                        check_memory(scols_table_new_column(table, names[i], 0, flags));
                scols_column_set_safechars(column, "\\"); /* add_finding() has escaped the evidence */
        }
        return table;
}

/* Adds a line to the table.  Then frees the strings "device" and "evidence". */
static struct libscols_line *add_line(struct libscols_table *table, struct libscols_line *parent,
                                      char *device, const char *state, const char *kind, char *evidence,
                                      const char *remedy) {
        struct libscols_line *line = check_memory(scols_table_new_line(table, parent));
        const char *const cells[] = { device, state, kind, evidence, remedy };

        for (size_t i = 0; i < scols_table_get_ncols(table); i++)
                if (scols_line_set_data(line, i, cells[i]) < 0)
                        check_memory(NULL);
        free(device);
        free(evidence);
        return line;
}

static struct libscols_line *add_disk(struct libscols_table *table, const struct status *s,
                                      const struct device *disk) {
        static const char *const colours[] = { "green", "red", "brown" };
        enum state state = state_of(s, disk);
        size_t n = 0;

        for_each_device (d, s)
                n += d != disk && d->disk == disk;
        struct libscols_line *line = add_line(table, NULL, format("/dev/%s", disk->name), states[state],
                                              "disk", format("%zu partition%s", n, n == 1 ? "" : "s"), NULL);
        scols_cell_set_color(scols_line_get_cell(line, 1), colours[state]);
        return line;
}

/* In the table, adds one line for all findings of the kind.  In JSON, adds an object for each finding. */
static void add_kind(struct libscols_table *table, struct libscols_line *parent, const struct status *s,
                     const struct device *disk, enum kind kind) {
        const char *severity = kind < KIND_ERROR ? "leak" : kind < KIND_LVM_CONTENT ? "unknown" : "note";
        const struct device *first_device = NULL, *last_device = NULL;
        const struct finding *first = NULL;
        size_t more = 0;

        for_each_finding (f, s) {
                if (f->kind != kind || !is_of_disk(f, disk))
                        continue;
                if (scols_table_is_json(table))
                        add_line(table, parent, disk ? format("/dev/%s", f->device->name) : NULL, severity,
                                 kind_to_string(kind), format("%s", f->evidence), f->remedy);
                first = first ? first : f;
                more += strcmp(f->evidence, first->evidence) != 0;
                first_device = first_device && first_device < f->device ? first_device : f->device;
                last_device = last_device && last_device > f->device ? last_device : f->device;
        }
        if (first && !scols_table_is_json(table))
                add_line(table, parent,
                         format(first_device == last_device ? "%s" : "%s-%s",
                                first_device ? first_device->name : "-",
                                last_device ? last_device->name : ""),
                         severity, kind_to_string(kind),
                         format(more > 0 ? "%s, and %zu more" : "%s", first->evidence, more), NULL);
}

/* For each kind, prints the remedy of the first finding of the kind.  If the next kind has the same remedy,
 * prints this remedy once for both kinds. */
static void print_remedies(const struct status *s) {
        const char *last = NULL;

        for (enum kind kind = 0; kind < KIND_NONE; kind++)
                for_each_finding (f, s) {
                        if (f->kind != kind)
                                continue;
                        if (last && strcmp(last, f->remedy) == 0)
                                printf(", %s", kind_to_string(kind));
                        else
                                printf("%s%s\n  %s", last ? ": " : "\nWhat to do:", last ? last : "",
                                       kind_to_string(kind));
                        last = f->remedy;
                        break;
                }
        if (last)
                printf(": %s\n", last);
}

int print_report(const struct status *s, bool json) {
        struct libscols_table *table = new_table(json);

        if (s->n_devices == 0 && !json)
                puts("No base image found.");
        for_each_device (d, s)
                if (d->disk == d && d->selected) {
                        struct libscols_line *line = add_disk(table, s, d);
                        for (enum kind kind = 0; kind < KIND_NONE; kind++)
                                add_kind(table, line, s, d, kind);
                }
        for (enum kind kind = 0; kind < KIND_NONE; kind++)
                add_kind(table, NULL, s, NULL, kind);
        int r = scols_print_table(table);
        scols_unref_table(table);
        if (!json)
                print_remedies(s);
        return r;
}

int write_journal(const struct status *s) {
        static const char *const messages[] = { "Base image /dev/%s is inert",
                                                "Base image /dev/%s is leaking",
                                                "Cannot tell whether base image /dev/%s is inert" };
        int r = 0;

        for_each_device (d, s) {
                if (d->disk != d || !d->selected || r < 0)
                        continue;
                enum state state = state_of(s, d);
                bool inert = state == STATE_INERT;
                char *message = format(messages[state], d->name);
                r = sd_journal_send("MESSAGE=%s", message, "PRIORITY=%d", inert ? 6 : 4, "MESSAGE_ID=%s",
                                    inert ? BASEIMAGE_MESSAGE_INERT : BASEIMAGE_MESSAGE_LEAKING,
                                    "BASEIMAGE_DEVICE=/dev/%s", d->name, "BASEIMAGE_STATE=%s", states[state],
                                    NULL);
                free(message);
        }
        return r;
}
