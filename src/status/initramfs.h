/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "facts.h"

/* Looks whether the initramfs of the running kernel holds the rule, with
 * lsinitramfs or lsinitrd, and adds to each disk a FACT_INITRAMFS if it does
 * not, or a FACT_ERROR if that cannot be told.  Returns 0 or a negative errno. */
int initramfs_look(const struct roots *roots, struct facts *facts);
