/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Decides whether a block device is the base image.
 *
 * id_serial: the device's ID_SERIAL, or NULL if the device has none.
 * Returns the properties that udev's IMPORT{program} reads: a KEY=value line for
 * each.  For a device that is not the base image, returns "". */
const char *baseimage_properties(const char *id_serial);
