/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "status-faults.h"
#include "status-test.h"

#define RULE "echo usr/lib/udev/rules.d/59-baseimage.rules;"
#define HELPER "echo usr/lib/udev/baseimage_id;"
#define LISTED "-rw-r--r-- 1 root root 99 Jan 1 1970 usr/lib/udev/"
/* As the real ones: fail unless the file is what they know. */
#define IF_CPIO "[ \"$(head -c 5 \"$1\")\" = 07070 ] || exit 1; "

/* A program of the guest's, found before all others; NULL: none. */
static void add_program(const char *name, const char *script) {
        char path[64];

        if (!script)
                return;
        snprintf(path, sizeof(path), "bin/%s", name);
        guest_write(path, "#!/bin/sh\n%s\n", script);
        char *full = text_format("%s/%s", guest_root, path);
        ck_assert_int_eq(chmod(full, 0755), 0);
        free(full);
}

/* Adds an initramfs of the running kernel: the release in the place of R. */
static void add_initramfs(const char *name, const char *content) {
        struct utsname kernel;
        char path[512];

        ck_assert_int_eq(uname(&kernel), 0);
        const char *release = strchr(name, 'R');
        snprintf(path, sizeof(path), "%.*s%s%s", (int)(release - name), name, kernel.release, release + 1);
        guest_write(path, "%s", content);
}

/* Ours are in the guest, the shell's own are where they are. */
static void begin_programs(void) {
        begin_inert();
        guest_new();
        facts.root = guest_root;
        guest_folder("bin");
        char *path = text_format("%s/bin:/usr/bin:/bin", guest_root);
        ck_assert_int_eq(setenv("PATH", path, 1), 0);
        free(path);
        /* Should this machine have them. */
        add_program("lsinitramfs", "exit 1");
        add_program("lsinitrd", "exit 1");
        add_program("objcopy", "exit 1");
}

/* The one fact, of all devices, without the path before it; or none. */
static void assert_said(enum kind kind, const char *text) {
        ck_assert_uint_eq(facts.devices[0].n_facts, facts.devices[1].n_facts);
        ck_assert_uint_eq(facts.system.n_facts, text ? 1 : 0);
        if (!text)
                return;
        ck_assert_int_eq(facts.system.facts[0].kind, kind);
        ck_assert_msg(strstr(facts.system.facts[0].text, text) != NULL, "'%s' is not in '%s'", text,
                      facts.system.facts[0].text);
}

/* What the programs do (NULL: fail), where the initramfs is, and what is said. */
static const struct {
        const char *lsinitramfs, *lsinitrd, *objcopy;
        const char *path;
        enum kind kind;
        const char *said; /* NULL: nothing */
} cases[] = {
        { "echo bin;" RULE HELPER "echo lib", NULL, NULL, "boot/initrd.img-R", 0, NULL },
        { RULE "printf usr/lib/udev/baseimage_id", NULL, NULL, "boot/initrd.img-R", 0, NULL },
        { "echo etc/udev/rules.d/59-baseimage.rules;" HELPER, NULL, NULL, "boot/initrd.img-R", 0, NULL },
        { NULL, "echo " LISTED "rules.d/59-baseimage.rules; echo " LISTED "baseimage_id", NULL,
          "boot/initramfs-R.img", 0, NULL },
        { NULL, RULE HELPER, NULL, "boot/initrd.img-R", 0, NULL },
        { "[ -e \"$1\" ] &&" RULE HELPER, NULL, NULL, "boot/initrd.img-R", 0, NULL },
        { "echo noise >&2; read x ||" RULE HELPER, NULL, NULL, "boot/initrd.img-R", 0, NULL },
        { "exit 127", RULE HELPER, NULL, "boot/initrd.img-R", 0, NULL },
        { RULE HELPER, NULL, NULL, "efi/1234/R/initrd.img", 0, NULL },
        { HELPER, NULL, NULL, "boot/initrd.img-R", KIND_INITRAMFS, " lacks 59-baseimage.rules" },
        { RULE, NULL, NULL, "boot/initrd.img-R", KIND_INITRAMFS, " lacks baseimage_id" },
        { RULE "echo usr/bin/xbaseimage_id", NULL, NULL, "boot/initrd.img-R", KIND_INITRAMFS,
          " lacks baseimage_id" },
        { "echo usr/lib/udev/rules.d/59-baseimage.rules.orig;" HELPER, NULL, NULL, "boot/initrd.img-R",
          KIND_INITRAMFS, " lacks 59-baseimage.rules" },
        { RULE HELPER "exit 1", NULL, NULL, "boot/initrd.img-R", KIND_ERROR,
          " cannot be read by lsinitramfs or lsinitrd" },
        { RULE "kill -9 $$", NULL, NULL, "boot/initrd.img-R", KIND_ERROR, " cannot be read by" },
        { NULL, NULL, NULL, "boot/initrd.img-R", KIND_ERROR, " cannot be read by" },
        { RULE HELPER, NULL, NULL, "boot/vmlinuz-R", KIND_ERROR, "initramfs: none of Linux " },
        /* A UKI is none of theirs. */
        { IF_CPIO RULE HELPER, NULL, "[ \"$3\" = --only-section=.initrd ] && echo 070701 >\"$5\"",
          "efi/EFI/Linux/debian-R.efi", 0, NULL },
        { NULL, IF_CPIO RULE HELPER, "echo 070701 >\"$5\"", "boot/efi/EFI/Linux/R.efi", 0, NULL },
        { IF_CPIO HELPER, NULL, "echo 070701 >\"$5\"", "boot/EFI/Linux/R.efi", KIND_INITRAMFS,
          " lacks 59-" },
        { IF_CPIO RULE HELPER, NULL, NULL, "boot/EFI/Linux/R.efi", KIND_ERROR,
          " cannot be read by objcopy, or then by lsinitramfs" },
};

START_TEST(look__table) {
        begin_programs();
        add_program("lsinitramfs", cases[_i].lsinitramfs);
        add_program("lsinitrd", cases[_i].lsinitrd);
        add_program("objcopy", cases[_i].objcopy);
        add_initramfs(cases[_i].path, strstr(cases[_i].path, ".efi") ? "MZ" : "070701");
        ck_assert_int_eq(initramfs_look(&facts), 0);
        assert_said(cases[_i].kind, cases[_i].said);
        end();
}
END_TEST

/* Whichever was booted. */
START_TEST(look__each) {
        begin_programs();
        add_program("lsinitramfs", RULE "case $1 in *.img*)" HELPER "esac");
        add_program("objcopy", "echo 070701 >\"$5\"");
        add_initramfs("boot/initrd.img-R", "070701");
        add_initramfs("efi/EFI/Linux/R+3.efi", "MZ");
        ck_assert_int_eq(initramfs_look(&facts), 0);
        assert_said(KIND_INITRAMFS, "+3.efi lacks baseimage_id");
        ck_assert_int_eq(end(), STATE_LEAKING);
}
END_TEST

START_TEST(look__no_devices_no_program) {
        facts = (struct facts){ .root = "/nonexistent" };
        ck_assert_int_eq(initramfs_look(&facts), 0);
        ck_assert_uint_eq(facts.system.n_facts, 0);
}
END_TEST

START_TEST(look__each_call_fails) {
        const char *failed;
        unsigned nth = 0;

        do {
                begin_programs();
                add_program("lsinitrd", _i == 0 ? RULE HELPER : HELPER);
                add_initramfs("boot/initrd.img-R", "070701");
                fault_arm(NULL, ++nth);
                int r = initramfs_look(&facts);
                failed = fault_disarm();
                enum state state = end();
                if (r == 0)
                        ck_assert_int_eq(state, failed    ? STATE_UNKNOWN
                                                : _i == 0 ? STATE_INERT
                                                          : STATE_LEAKING);
                else
                        ck_assert_ptr_nonnull(failed);
        } while (failed);
        ck_assert_uint_gt(nth, 5);
}
END_TEST

int main(void) {
        const struct test_case tests[] = {
                { "look__table", look__table, N(cases) },
                { "look__each", look__each, 0 },
                { "look__no_devices_no_program", look__no_devices_no_program, 0 },
                { "look__each_call_fails", look__each_call_fails, 2 },
        };
        return run_tests("status-initramfs", tests, N(tests));
}
