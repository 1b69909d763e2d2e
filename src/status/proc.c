/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Mounts and swap space, from /proc. */
#include <errno.h>
#include <sys/sysmacros.h>

#include "status.h"

static int add_mount(struct facts *facts, char *line) {
        struct device *device;
        struct mount mount;
        int r;

        if (mountinfo_parse(line, &mount) < 0)
                return facts_add_error(&facts->system, "mountinfo", EBADMSG);
        /* The number of a btrfs is nobody's: there, the source tells. */
        r = facts_resolve(facts, mount.source, &device);
        if (r < 0)
                return r;
        dev_t devnum = makedev(mount.major, mount.minor);
        for (size_t i = 0; i < facts->n_devices; i++)
                if (facts->devices[i].devnum == devnum)
                        device = &facts->devices[i];
        return device ? facts_add(device, KIND_MOUNT, "%s", mount.point) : 0;
}

static int add_swap(struct facts *facts, char *line) {
        struct device *device;
        const char *path;
        int r;

        /* The heading. */
        if (swaps_parse(line, &path) < 0)
                return 0;
        r = facts_resolve(facts, path, &device);
        return r < 0 || !device ? r : facts_add(device, KIND_SWAP, "%s", path);
}

/* Has each line of a file looked at. */
static int read_lines(struct facts *facts, const char *name, int (*add)(struct facts *facts, char *line)) {
        _cleanup_free_ char *path = NULL, *line = NULL;
        size_t size = 0;

        path = text_format("%s%s", facts->root, name);
        if (!path)
                return -ENOMEM;
        _cleanup_fclose_ FILE *file = fopen(path, "re");
        if (!file)
                /* A kernel without swap space has no such list. */
                return errno == ENOENT && add == add_swap ? 0 : facts_add_error(&facts->system, name, errno);
        while ((errno = 0, getline(&line, &size, file)) >= 0) {
                int r = add(facts, line);
                if (r < 0)
                        return r;
        }
        /* Not ferror(): out of memory is none. */
        return feof(file) ? 0 : facts_add_error(&facts->system, name, errno);
}

int proc_read(struct facts *facts) {
        int r = read_lines(facts, "/proc/self/mountinfo", add_mount);
        return r < 0 ? r : read_lines(facts, "/proc/swaps", add_swap);
}
