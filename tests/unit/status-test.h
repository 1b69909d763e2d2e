/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <check.h>

#include "facts.h"

struct test_case {
        const char *name;
        const TTest *test;
        int n; /* how many cases; 0: no loop */
};

/* Runs the tests, each a test case of its own name, and returns main()'s
 * status. */
int run_tests(const char *suite, const struct test_case *cases, size_t n);

/* What udev has in its database of the guest's devices. */
#define GUEST_RECORD                                                                                        \
        "S:baseimage\nL:-1024\nI:1234\nE:ID_SERIAL=BASEIMAGE\nE:ID_FS_TYPE=\nE:SYSTEMD_READY=0\n"           \
        "E:SYSTEMD_IGNORE=1\nG:systemd\nV:1\n"

/* A guest in a directory of its own, with one inert disk vdb and its
 * partition vdb1, and nothing else. */
struct guest {
        char *root;
        struct roots roots;
        char *sys, *dev, *proc, *run_udev, *boot;
};

void guest_new(struct guest *guest);
void guest_done(struct guest *guest);

/* The path is below the guest's root; folders are made as needed. */
__attribute__((format(printf, 3, 4))) void guest_write(const struct guest *guest, const char *path,
                                                       const char *format, ...);
void guest_link(const struct guest *guest, const char *path, const char *target);
void guest_folder(const struct guest *guest, const char *path);
void guest_remove(const struct guest *guest, const char *path);

/* vdb and vdb1, as facts_find() would give them. */
void found_devices(struct facts *facts);

/* The same as facts_read() would leave them: inert, 252:16 and 252:17. */
void inert_devices(struct facts *facts);

/* How many facts of this kind the device has; the first one's text in
 * *ret_text, where that is not NULL. */
size_t count_facts(const struct device *device, enum fact_kind kind, const char **ret_text);
