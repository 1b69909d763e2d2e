/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* If the condition is false, aborts.  Then libFuzzer reports the input. */
#define require(condition)                                                                                  \
        do {                                                                                                \
                if (!(condition))                                                                           \
                        abort();                                                                            \
        } while (0)

/* Returns a copy of the input as a string.  The buffer ends at the end of the string, so that
 * the address sanitizer reports each read after the end of the string.  The caller must free
 * the string. */
static inline char *fuzz_string(const uint8_t *data, size_t size) {
        char *text = malloc(size + 1);

        require(text);
        if (size > 0)
                memcpy(text, data, size);
        text[size] = '\0';
        return text;
}
