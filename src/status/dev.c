/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where the links below /dev lead. */
#include <errno.h>
#include <fts.h>

#include "status.h"

/* Takes the path of a symlink. */
static int add_link(struct facts *facts, const char *path) {
        const char *link = path + strlen(facts->root);
        struct device *device;

        /* They are this process' own. */
        if (strcmp(link, "/dev/stdin") == 0 || strcmp(link, "/dev/stdout") == 0 ||
            strcmp(link, "/dev/stderr") == 0)
                return 0;
        int r = facts_resolve(facts, link, &device);
        return r < 0 || !device ? r : facts_add(device, KIND_LINK, "%s", link);
}

static void fts_closep(FTS **tree) {
        if (*tree)
                fts_close(*tree);
}

/* Looks at each symlink: udev's DEVLINKS knows neither a link that another
 * device won, nor one that somebody made by hand.  Other file systems (shm,
 * mqueue, pts) hold no device links. */
static int walk(struct facts *facts, char *path) {
        char *paths[] = { path, NULL };
        FTSENT *entry;
        int r = 0;

        _cleanup_(fts_closep) FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
        if (!tree)
                return facts_add_error(&facts->system, "/dev", errno);
        while (r >= 0 && (errno = 0, entry = fts_read(tree)))
                switch (entry->fts_info) {
                case FTS_SL:
                        r = add_link(facts, entry->fts_path);
                        break;
                case FTS_DNR:
                case FTS_ERR:
                case FTS_NS:
                        if (entry->fts_errno != ENOENT)
                                r = facts_add_error(&facts->system, entry->fts_path + strlen(facts->root),
                                                    entry->fts_errno);
                }
        return r < 0 || errno == 0 ? r : facts_add_error(&facts->system, "/dev", errno);
}

/* With two base images, each name may be of either. */
static int check_name(struct facts *facts, const struct device *device, const char *link) {
        struct device *found;
        int r;

        r = facts_resolve(facts, link, &found);
        if (r < 0 || (found && found->partition == device->partition))
                return r;
        return facts_add(&facts->system, KIND_NAME, "%s does not lead to %s", link, device->node);
}

static bool has_elder(const struct facts *facts, const struct device *device) {
        for (const struct device *elder = facts->devices; elder < device; elder++)
                if (elder->recorded && elder->partition == device->partition)
                        return true;
        return false;
}

int dev_read(struct facts *facts) {
        int r;

        _cleanup_free_ char *path = text_format("%s/dev", facts->root);
        if (!path)
                return -ENOMEM;
        r = walk(facts, path);
        for (size_t i = 0; r >= 0 && i < facts->n_devices; i++) {
                const struct device *device = &facts->devices[i];

                /* What udev has not processed has no links yet. */
                if (!device->recorded || has_elder(facts, device))
                        continue;
                r = check_name(facts, device, device->links[0]);
                if (r >= 0)
                        r = check_name(facts, device, device->links[1]);
        }
        return r;
}
