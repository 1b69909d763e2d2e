/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "initramfs.h"
#include "status-faults.h"
#include "status-test.h"

#define N(array) (sizeof(array) / sizeof(*(array)))
#define RULE "usr/lib/udev/rules.d/59-baseimage.rules"

static struct guest guest;
static struct facts facts;

/* A program of the guest, to be found before all others. */
static void add_program(const char *name, const char *script) {
        char *path;

        ck_assert_int_ge(asprintf(&path, "bin/%s", name), 0);
        guest_write(&guest, path, "#!/bin/sh\n%s\n", script);
        free(path);
        ck_assert_int_ge(asprintf(&path, "%s/bin/%s", guest.root, name), 0);
        ck_assert_int_eq(chmod(path, 0755), 0);
        free(path);
}

static void begin(const char *before, const char *after) {
        struct utsname kernel;
        char *path;

        guest_new(&guest);
        inert_devices(&facts);
        guest_folder(&guest, "bin");
        ck_assert_int_ge(asprintf(&path, "%s/bin", guest.root), 0);
        ck_assert_int_eq(setenv("PATH", path, 1), 0);
        free(path);
        if (before) {
                ck_assert_int_eq(uname(&kernel), 0);
                ck_assert_int_ge(asprintf(&path, "boot/%s%s%s", before, kernel.release, after), 0);
                guest_write(&guest, path, "%s", "");
                free(path);
        }
}

static void end(void) {
        facts_done(&facts);
        guest_done(&guest);
}

/* Which programs there are, where the initramfs is, and what follows. */
static const struct {
        const char *lsinitramfs, *lsinitrd;
        const char *before, *after;
        enum fact_kind kind; /* _FACT_KINDS: none */
        const char *error;
} cases[] = {
        { "echo bin; echo " RULE "; echo lib", NULL, "initrd.img-", "", _FACT_KINDS, NULL },
        { "echo bin; printf " RULE, NULL, "initrd.img-", "", _FACT_KINDS, NULL },
        { NULL, "echo -rw-r--r-- 1 root root 99 Jan 1 1970 " RULE, "initramfs-", ".img", _FACT_KINDS, NULL },
        { NULL, "echo " RULE, "initrd.img-", "", _FACT_KINDS, NULL },
        { "[ -e \"$1\" ] && echo " RULE, NULL, "initrd.img-", "", _FACT_KINDS, NULL },
        { "echo noise >&2; read x || echo " RULE, NULL, "initrd.img-", "", _FACT_KINDS, NULL },
        { "exit 127", "echo " RULE, "initrd.img-", "", _FACT_KINDS, NULL },
        { "echo bin", "echo " RULE, "initrd.img-", "", FACT_INITRAMFS, NULL },
        { ":", NULL, "initrd.img-", "", FACT_INITRAMFS, NULL },
        { "echo " RULE ".orig", NULL, "initrd.img-", "", FACT_INITRAMFS, NULL },
        { "echo " RULE "; exit 1", NULL, "initrd.img-", "", FACT_ERROR, "initramfs: Input/output error" },
        { "kill -9 $$", NULL, "initrd.img-", "", FACT_ERROR, "initramfs: Input/output error" },
        { NULL, NULL, "initrd.img-", "", FACT_ERROR, "initramfs: No such file or directory" },
        { "echo " RULE, NULL, NULL, NULL, FACT_ERROR, "initramfs: No such file or directory" },
        { "echo " RULE, NULL, "vmlinuz-", "", FACT_ERROR, "initramfs: No such file or directory" },
};

START_TEST(look__table) {
        const char *text;

        begin(cases[_i].before, cases[_i].after);
        if (cases[_i].lsinitramfs)
                add_program("lsinitramfs", cases[_i].lsinitramfs);
        if (cases[_i].lsinitrd)
                add_program("lsinitrd", cases[_i].lsinitrd);
        ck_assert_int_eq(initramfs_look(&guest.roots, &facts), 0);
        for (enum fact_kind kind = FACT_PROPERTY + 1; kind < _FACT_KINDS; kind++) {
                /* It is the disk's, not the partition's. */
                ck_assert_uint_eq(count_facts(&facts.devices[0], kind, &text), cases[_i].kind == kind);
                ck_assert_uint_eq(count_facts(&facts.devices[1], kind, NULL), 0);
        }
        if (cases[_i].error)
                ck_assert_str_eq(text, cases[_i].error);
        end();
}
END_TEST

START_TEST(look__no_devices_no_program) {
        struct facts none = { 0 };

        begin("initrd.img-", "");
        ck_assert_int_eq(initramfs_look(&guest.roots, &none), 0);
        end();
}
END_TEST

/* Someone else took the program's exit status. */
START_TEST(look__no_child) {
        const char *text;

        begin("initrd.img-", "");
        add_program("lsinitramfs", "echo " RULE);
        signal(SIGCHLD, SIG_IGN);
        ck_assert_int_eq(initramfs_look(&guest.roots, &facts), 0);
        signal(SIGCHLD, SIG_DFL);
        ck_assert_uint_eq(count_facts(&facts.devices[0], FACT_ERROR, &text), 1);
        ck_assert_str_eq(text, "initramfs: No child processes");
        end();
}
END_TEST

START_TEST(look__each_call_fails) {
        const char *failed;
        unsigned nth = 0;

        do {
                begin("initrd.img-", "");
                add_program("lsinitrd", _i == 0 ? "echo " RULE : "echo bin");
                fault_arm(NULL, ++nth);
                int r = initramfs_look(&guest.roots, &facts);
                failed = fault_disarm();
                if (r == 0) {
                        /* An interrupted waitpid() is tried again. */
                        bool told = !failed || strcmp(failed, "waitpid") == 0;
                        ck_assert_uint_eq(count_facts(&facts.devices[0], FACT_ERROR, NULL), !told);
                        ck_assert_uint_eq(count_facts(&facts.devices[0], FACT_INITRAMFS, NULL),
                                          told && _i == 1);
                } else
                        ck_assert_ptr_nonnull(failed);
                end();
        } while (failed);
}
END_TEST

int main(void) {
        const struct test_case tests[] = {
                { "look__table", look__table, N(cases) },
                { "look__no_devices_no_program", look__no_devices_no_program, 0 },
                { "look__no_child", look__no_child, 0 },
                { "look__each_call_fails", look__each_call_fails, 2 },
        };
        return run_tests("status-initramfs", tests, N(tests));
}
