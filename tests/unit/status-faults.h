/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

/* Has a call of the functions named in meson.build fail: the nth one of name,
 * or of any if name is NULL.  For as long as none is armed, they work. */
void fault_arm(const char *name, unsigned nth);

/* Returns the name of what failed, or NULL if it never came to that. */
const char *fault_disarm(void);

/* Where /run is, unless NULL: umockdev plays /sys and /dev alone. */
extern const char *fault_root;
