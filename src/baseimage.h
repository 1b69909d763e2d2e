/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Returns the properties that the helper prints for a block device.
 *
 * id_serial: the device's ID_SERIAL, or NULL if the device has no ID_SERIAL
 *
 * For a base image, the returned text has a line KEY=value for each property, in the
 * format of udev's IMPORT{program}.  For any other device, the text is empty. */
const char *baseimage_properties(const char *id_serial);
