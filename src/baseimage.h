/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What udev is to know about a block device, as IMPORT{program} reads it:
 * KEY=value lines, each ended by a newline.
 *
 * id_serial: the device's ID_SERIAL, or NULL where it has none.
 * Returns the contract for the base image, "" for every other device; a
 * constant either way, never NULL. */
const char *baseimage_properties(const char *id_serial);
