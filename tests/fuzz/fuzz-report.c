/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Facts, one per line: a letter for the kind (a small one: of the system), and
 * the text.  Whatever they say, the reports are made of printable ASCII, and
 * JSON is JSON. */
#include <json-c/json.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "fuzz.h"
#include "status.h"

static void add_facts(struct facts *facts, char *text) {
        struct device *device;
        char *line;

        require(facts_add_device(facts, "vdb1", "vdb", &device) == 0);
        device->devnum = makedev(252, 17);
        while ((line = strsep(&text, "\n")))
                if (line[0] != '\0')
                        require(facts_add(line[0] >= 'a' ? &facts->system : device,
                                          (unsigned char)line[0] % _KINDS, "%s", line + 1) == 0);
}

static void table(FILE *out, const struct facts *facts, const struct verdict *verdict) {
        report_table(out, facts, verdict, false);
}

static void json(FILE *out, const struct facts *facts, const struct verdict *verdict) {
        require(report_json(out, facts, verdict) == 0);
}

static void (*const reports[])(FILE *, const struct facts *, const struct verdict *) = {
        table,
        report_export,
        json,
};

static char *print(int format, const struct facts *facts, const struct verdict *verdict) {
        char *text;
        size_t size;

        FILE *out = open_memstream(&text, &size);
        require(out);
        reports[format](out, facts, verdict);
        require(fclose(out) == 0 && strlen(text) == size);
        for (size_t i = 0; i < size; i++)
                require(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
        return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_string(data, size);
        struct verdict verdict;
        struct facts facts = { 0 };

        add_facts(&facts, text);
        require(verdict_reach(&facts, &verdict) == 0);
        for (int format = 0; format < 3; format++) {
                char *report = print(format, &facts, &verdict);
                if (format == 2) {
                        json_object *object = json_tokener_parse(report);
                        require(object);
                        json_object_put(object);
                }
                free(report);
        }
        verdict_done(&verdict);
        facts_done(&facts);
        free(text);
        return 0;
}
