/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "fuzz.h"
#include "status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *line = fuzz_string(data, size);
        struct mount mount;

        int r = mountinfo_parse(line, &mount);
        require(r == 0 || r == -EINVAL);
        if (r == 0) {
                require(mount.point > line && mount.point + strlen(mount.point) <= line + size);
                require(mount.source > mount.point && mount.source + strlen(mount.source) <= line + size);
        }
        free(line);
        return 0;
}
