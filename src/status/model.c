/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>

#include "config.h"
#include "status.h"

static void device_done(struct device *device) {
        for (size_t i = 0; i < device->n_facts; i++)
                free(device->facts[i].text);
        free(device->facts);
        free(device->name);
        free(device->disk);
        free(device->node);
        free(device->links[0]);
        free(device->links[1]);
        free(device->syspath);
}

void facts_done(struct facts *facts) {
        for (size_t i = 0; i < facts->n_devices; i++)
                device_done(&facts->devices[i]);
        free(facts->devices);
        device_done(&facts->system);
        *facts = (struct facts){ 0 };
}

int facts_add(struct device *device, enum kind kind, const char *format, ...) {
        char *text;
        va_list ap;

        va_start(ap, format);
        int r = vasprintf(&text, format, ap);
        va_end(ap);
        if (r < 0)
                return -ENOMEM;
        struct fact *grown = realloc(device->facts, (device->n_facts + 1) * sizeof(*grown));
        if (!grown) {
                free(text);
                return -ENOMEM;
        }
        device->facts = grown;
        grown[device->n_facts++] = (struct fact){ .kind = kind, .text = text };
        return 0;
}

int facts_add_error(struct device *device, const char *what, int error) {
        return facts_add(device, KIND_ERROR, "%s: %s", what, strerror(abs(error)));
}

int facts_add_device(struct facts *facts, const char *name, const char *disk, struct device **ret) {
        const char *number = name + strlen(disk), *part = *number ? "-part" : "";
        struct device *grown = realloc(facts->devices, (facts->n_devices + 1) * sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        facts->devices = grown;

        /* In the list from the start, so that facts_done() frees what there is. */
        struct device *device = &grown[facts->n_devices++];
        *device = (struct device){
                .name = strdup(name),
                .disk = strdup(disk),
                .node = text_format("/dev/%s", name),
                .links = { text_format("/dev/baseimage%s%s", part, number),
                           text_format("/dev/disk/by-id/virtio-" BASEIMAGE_SERIAL "%s%s", part, number) },
        };
        /* A disk has none: that stays 0. */
        number_parse(number, '\0', &number, &device->partition);
        if (!device->name || !device->disk || !device->node || !device->links[0] || !device->links[1])
                return -ENOMEM;
        *ret = device;
        return 0;
}

void facts_keep(struct facts *facts, const bool keep[]) {
        size_t n = 0;

        for (size_t i = 0; i < facts->n_devices; i++)
                if (keep[i])
                        facts->devices[n++] = facts->devices[i];
                else
                        device_done(&facts->devices[i]);
        facts->n_devices = n;
}

int facts_resolve(const struct facts *facts, const char *path, struct device **ret) {
        _cleanup_free_ char *below = NULL, *real = NULL;

        *ret = NULL;
        below = text_format("%s%s", facts->root, path);
        if (!below)
                return -ENOMEM;
        /* A node may be gone already: then it is as good as its name. */
        real = realpath(below, NULL);
        if (!real && errno == ENOMEM)
                return -ENOMEM;
        const char *node = startswith(real ? real : below, facts->root);
        for (size_t i = 0; node && i < facts->n_devices; i++)
                if (strcmp(node, facts->devices[i].node) == 0)
                        *ret = &facts->devices[i];
        return 0;
}
