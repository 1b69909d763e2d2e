/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "baseimage.h"
#include "config.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *serial = fuzz_string(data, size);
        const char *properties = baseimage_properties(serial);
        int is_base_image = strcmp(serial, BASEIMAGE_SERIAL) == 0;

        require((properties[0] != '\0') == is_base_image);
        free(serial);
        return 0;
}
