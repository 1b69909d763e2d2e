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

/* An inert vdb (252:16) and vdb1, as
 * facts_find() would give them. */
void inert_devices(struct facts *facts);

/* How many facts of this kind the device has; the first one's text in
 * *ret_text, where that is not NULL. */
size_t count_facts(const struct device *device, enum fact_kind kind, const char **ret_text);
