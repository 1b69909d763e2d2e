/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "fuzz.h"
#include "status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *line = fuzz_string(data, size);
        const char *path;

        int r = swaps_parse(line, &path);
        require(r == 0 || r == -EINVAL);
        if (r == 0)
                require(path[0] == '/' && strlen(path) < size);
        free(line);
        return 0;
}
