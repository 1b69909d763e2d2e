/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "status.h"

/* Marks in keep what the name stands for. */
static int mark_named(const struct facts *facts, const char *name, bool keep[]) {
        struct device *device;

        _cleanup_free_ char *path = strchr(name, '/') ? strdup(name) : text_format("/dev/%s", name);
        if (!path)
                return -ENOMEM;
        int r = facts_resolve(facts, path, &device);
        if (r < 0)
                return r;
        if (!device)
                return -ENODEV;
        for (size_t i = 0; i < facts->n_devices; i++)
                keep[i] |= &facts->devices[i] == device ||
                           (device->partition == 0 && strcmp(facts->devices[i].disk, device->disk) == 0);
        return 0;
}

int facts_select(struct facts *facts, char *const *names, size_t n_names, const char **ret_unknown) {
        if (n_names == 0)
                return 0;
        _cleanup_free_ bool *keep = calloc(facts->n_devices + 1, sizeof(*keep));
        if (!keep)
                return -ENOMEM;
        for (size_t i = 0; i < n_names; i++) {
                int r = mark_named(facts, names[i], keep);
                if (r == -ENODEV)
                        *ret_unknown = names[i];
                if (r < 0)
                        return r;
        }
        facts_keep(facts, keep);
        return 0;
}
