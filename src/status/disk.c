/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What LVM finds on the disk itself.  There no node of a partition can be taken
 * away from it, nor does it ask udev: that much is left of the twin. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "status.h"

/* LVM2's label: in one of the first four sectors (lvm2, lib/label/label.h).  A
 * lookup of eight bytes: libblkid would be a library more, to look for all else
 * as well and read far more of the disk. */
static bool has_label(const char *sectors, ssize_t n) {
        enum { SECTOR = 512, TYPE = 24 };

        for (ssize_t i = 0; i + SECTOR <= n; i += SECTOR)
                if (memcmp(sectors + i, "LABELONE", 8) == 0 &&
                    memcmp(sectors + i + TYPE, "LVM2 001", 8) == 0)
                        return true;
        return false;
}

static int read_disk(const struct facts *facts, struct device *device) {
        char sectors[4 * 512];

        _cleanup_free_ char *path = text_format("%s%s", facts->root, device->node);
        if (!path)
                return -ENOMEM;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        /* For who may not read it, all else can be told. */
        if (fd < 0 && (errno == EACCES || errno == EPERM))
                return facts_add(device, KIND_BARE_DISK, "cannot tell: not allowed to read it");
        if (fd < 0)
                return facts_add_error(device, "disk", errno);
        ssize_t n = read(fd, sectors, sizeof(sectors));
        int error = errno;
        close(fd);
        if (n < 0)
                return facts_add_error(device, "disk", error);
        return has_label(sectors, n) ? facts_add(device, KIND_BARE_DISK, "LVM physical volume") : 0;
}

int disk_read(struct facts *facts) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < facts->n_devices; i++)
                if (facts->devices[i].partition == 0 && !facts->devices[i].doubtful)
                        r = read_disk(facts, &facts->devices[i]);
        return r;
}
