/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "baseimage.h"
#include "config.h"

/* The line ID_FS_UUID="" makes udev empty the property.  Without the quotes, udev (versions
 * 247 to 262) cannot parse the line, and keeps the old value of the property. */
static const char properties[] = "ID_FS_UUID=\"\"\n"
                                 "ID_FS_TYPE=\"\"\n"
                                 "SYSTEMD_READY=0\n"
                                 "SYSTEMD_IGNORE=1\n";

const char *baseimage_properties(const char *id_serial) {
        if (!id_serial || strcmp(id_serial, BASEIMAGE_SERIAL) != 0)
                return "";
        return properties;
}
