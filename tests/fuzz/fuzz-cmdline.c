/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"
#include "fuzz.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *cmdline = fuzz_string(data, size);

        if (cmdline_opts_out(cmdline))
                require(strstr(cmdline, BASEIMAGE_OPTION "=off"));
        free(cmdline);
        return 0;
}
