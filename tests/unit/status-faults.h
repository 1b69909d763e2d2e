/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

/* Has the nth call of this function (NULL: of any that can be made to fail)
 * fail.  0: none. */
void fault_arm(const char *name, unsigned nth);

/* Ends it, and returns the function that failed, or NULL: there were fewer calls. */
const char *fault_disarm(void);

/* For who stands in for a function: whether this call is to fail. */
bool fault(const char *name);
