/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A path, a newline, a unit. */
#include "fuzz.h"
#include "status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *path = fuzz_string(data, size), *unit = strchr(path, '\n');

        if (unit)
                *unit++ = '\0';
        char *name = unit_escape_path(path);
        require(name && name[0] != '\0' && name[0] != '.' && !strchr(name, '/') && !strchr(name, '@'));
        if (unit && unit_is_of(unit, name))
                require(strstr(unit, name));
        free(name);
        free(path);
        return 0;
}
