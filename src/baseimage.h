/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Returns the properties that the program baseimage_id prints for a block device.
 *
 * id_serial: the value of the device's property ID_SERIAL; NULL if the device does not have
 * this property
 *
 * If id_serial is the serial of a base image, the returned text has one line KEY=value for
 * each property.  udev's IMPORT{program} can read these lines.  Otherwise the returned text
 * is empty. */
const char *baseimage_properties(const char *id_serial);
