/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "baseimage.h"
#include "config.h"

/* The quotes are load-bearing: udev (247 to 262) takes KEY= with nothing after
 * it for a parse error and keeps the old value; only KEY="" empties it. */
static const char contract[] = "ID_FS_UUID=\"\"\n"
                               "ID_FS_TYPE=\"\"\n"
                               "SYSTEMD_READY=0\n"
                               "SYSTEMD_IGNORE=1\n";

const char *baseimage_properties(const char *id_serial) {
        if (!id_serial || strcmp(id_serial, BASEIMAGE_SERIAL) != 0)
                return "";
        return contract;
}
