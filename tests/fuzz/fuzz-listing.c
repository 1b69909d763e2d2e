/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"
#include "fuzz.h"
#include "status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *line = fuzz_string(data, size);

        if (listing_names(line, "/" BASEIMAGE_RULE_NAME))
                require(strstr(line, "/" BASEIMAGE_RULE_NAME));
        free(line);
        return 0;
}
