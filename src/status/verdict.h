/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "facts.h"

/* The exit statuses. */
enum state {
        STATE_INERT,
        STATE_LEAKING,
        STATE_UNKNOWN, /* and wrong usage */
        STATE_NONE,    /* no base image attached */
};

enum severity {
        SEVERITY_NOTE, /* worth knowing, changes no state */
        SEVERITY_LEAK,
        SEVERITY_UNKNOWN,
};

struct finding {
        enum severity severity;
        const struct device *device;
        const char *kind; /* one word */
        char *evidence;   /* as it was found: escape it before it is shown */
        const char *remedy;
};

struct verdict {
        enum state state;
        struct finding *findings; /* in the order of the devices */
        size_t n_findings;
};

/* From facts to findings, pure; the findings point into the facts.  Returns 0
 * or -ENOMEM. */
int verdict_reach(const struct facts *facts, struct verdict *ret);
void verdict_done(struct verdict *verdict);

/* Of one device, and of a disk with its partitions. */
enum state verdict_of_device(const struct verdict *verdict, const struct device *device);
enum state verdict_of_disk(const struct verdict *verdict, const char *disk);

const char *state_to_string(enum state state);
const char *severity_to_string(enum severity severity);
