/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <check.h>

#include "status.h"

#define N(array) (sizeof(array) / sizeof(*(array)))

struct test_case {
        const char *name;
        const TTest *test;
        int n; /* how many cases; 0: no loop */
};

/* Runs the tests, each a test case of its own name, and returns main()'s
 * status. */
int run_tests(const char *suite, const struct test_case *cases, size_t n);

/* Where the guest is: a directory that has one inert disk vdb and its partition
 * vdb1, kept by the option, and nothing else.  Its records of udev's are files
 * of KEY=value lines, run/udev/data/NAME, for sd-device. */
extern char *guest_root;

void guest_new(void);
void guest_done(void);

/* A disk, or a partition of the disk before it, that is inert as well. */
void guest_add(const char *name, unsigned minor);

/* The path is below the guest's root; folders are made as needed. */
__attribute__((format(printf, 2, 3))) void guest_write(const char *path, const char *format, ...);
void guest_link(const char *path, const char *target);
void guest_folder(const char *path);
void guest_remove(const char *path);

/* What is seen of the guest, and what comes of it. */
extern struct facts facts;
extern struct device *disk, *partition;
extern struct verdict verdict;

/* A new guest, and its devices as sysfs_find() gives them. */
void begin(void);

/* The devices alone, inert, as all readers would leave them: 252:16 and 252:17. */
void begin_inert(void);

/* Adds the device vdc, without anything. */
struct device *add_vdc(void);

void judge(void);

/* Frees all of these, and returns the state. */
enum state end(void);

/* Asserts that there is one fact of this kind, with this text. */
void assert_one(const struct device *device, enum kind kind, const char *text);
size_t count_facts(const struct device *device, enum kind kind);
