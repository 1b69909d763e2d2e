/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "facts.h"

/* Asks the system manager for its active units and adds those of each device
 * (once its links and mounts are known).  Returns 0 or a negative errno; a
 * manager that gives no answer is a FACT_ERROR, one that is not there is
 * facts->systemd == false. */
int manager_ask(struct facts *facts);

/* The same of whoever is at the other end of the bus. */
int manager_ask_bus(sd_bus *bus, struct facts *facts);
