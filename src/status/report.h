/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdio.h>

#include "verdict.h"

/* All return 0 or a negative errno.  Whether it could be written, the stream
 * knows. */
int report_table(FILE *out, const struct facts *facts, const struct verdict *verdict, bool colour);
int report_export(FILE *out, const struct facts *facts, const struct verdict *verdict);
int report_json(FILE *out, const struct facts *facts, const struct verdict *verdict);
