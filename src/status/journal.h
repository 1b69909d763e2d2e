/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "verdict.h"

/* Writes one entry per disk.  Returns 0 or a negative errno. */
int journal_write(const struct facts *facts, const struct verdict *verdict);
