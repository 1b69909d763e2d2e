/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "baseimage.h"
#include "config.h"
#include "status-test.h"

int run_tests(const char *name, const struct test_case *cases, size_t n) {
        Suite *suite = suite_create(name);

        for (size_t i = 0; i < n; i++) {
                TCase *tcase = tcase_create(cases[i].name);
                tcase_set_timeout(tcase, 120);
                if (cases[i].n > 0)
                        tcase_add_loop_test(tcase, cases[i].test, 0, cases[i].n);
                else
                        tcase_add_test(tcase, cases[i].test);
                suite_add_tcase(suite, tcase);
        }
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static char *join(const char *root, const char *path) {
        char *joined;
        ck_assert_int_ge(asprintf(&joined, "%s/%s", root, path), 0);
        return joined;
}

static void make_folders(char *path) {
        for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                mkdir(path, 0755);
                *slash = '/';
        }
}

void guest_write(const struct guest *guest, const char *path, const char *format, ...) {
        char *full = join(guest->root, path);
        va_list ap;

        make_folders(full);
        FILE *file = fopen(full, "w");
        ck_assert_ptr_nonnull(file);
        va_start(ap, format);
        vfprintf(file, format, ap); // NOLINT(clang-analyzer-valist.Uninitialized): it is
        va_end(ap);
        ck_assert_int_eq(fclose(file), 0);
        free(full);
}

void guest_link(const struct guest *guest, const char *path, const char *target) {
        char *full = join(guest->root, path);

        make_folders(full);
        ck_assert_int_eq(symlink(target, full), 0);
        free(full);
}

void guest_folder(const struct guest *guest, const char *path) {
        char *full = join(guest->root, path);

        make_folders(full);
        ck_assert_int_eq(mkdir(full, 0755), 0);
        free(full);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void)st;
        (void)type;
        (void)ftw;
        return remove(path);
}

void guest_remove(const struct guest *guest, const char *path) {
        char *full = join(guest->root, path);

        ck_assert_int_eq(nftw(full, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
        free(full);
}

void guest_new(struct guest *guest) {
        char template[] = "/tmp/baseimage-status-test-XXXXXX";

        ck_assert_ptr_nonnull(mkdtemp(template));
        guest->root = realpath(template, NULL);
        ck_assert_ptr_nonnull(guest->root);
        guest->roots = (struct roots){
                .sys = guest->sys = join(guest->root, "sys"),
                .dev = guest->dev = join(guest->root, "dev"),
                .proc = guest->proc = join(guest->root, "proc"),
                .run_udev = guest->run_udev = join(guest->root, "run/udev"),
                .boot = guest->boot = join(guest->root, "boot"),
        };
        guest_write(guest, "sys/class/block/vdb/dev", "252:16\n");
        guest_write(guest, "sys/class/block/vdb1/dev", "252:17\n");
        guest_write(guest, "sys/class/block/vdb/ro", "1\n");
        guest_write(guest, "sys/class/block/vdb1/ro", "1\n");
        guest_folder(guest, "sys/class/block/vdb/holders");
        guest_folder(guest, "sys/class/block/vdb1/holders");
        guest_write(guest, "run/udev/data/b252:16", GUEST_RECORD);
        guest_write(guest, "run/udev/data/b252:17", GUEST_RECORD);
        guest_write(guest, "dev/vdb", "%s", "");
        guest_write(guest, "dev/vdb1", "%s", "");
        guest_write(guest, "proc/cmdline", "BOOT_IMAGE=/vmlinuz root=UUID=1234 ro quiet\n");
        guest_write(guest, "proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
        guest_write(guest, "proc/self/mountinfo",
                    "22 1 252:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n");
        guest_folder(guest, "boot");
}

void guest_done(struct guest *guest) {
        guest_remove(guest, "");
        free(guest->root);
        free(guest->sys);
        free(guest->dev);
        free(guest->proc);
        free(guest->run_udev);
        free(guest->boot);
}

void found_devices(struct facts *facts) {
        struct device *device;

        *facts = (struct facts){ .systemd = true };
        ck_assert_int_eq(facts_add_device(facts, "vdb", "vdb", "/sys/devices/pci0/block/vdb", &device), 0);
        ck_assert_int_eq(facts_add_device(facts, "vdb1", "vdb", "/sys/devices/pci0/block/vdb/vdb1", &device),
                         0);
}

void inert_devices(struct facts *facts) {
        found_devices(facts);
        for (unsigned i = 0; i < facts->n_devices; i++) {
                struct device *device = &facts->devices[i];

                device->devnum = makedev(252, 16 + i);
                device->recorded = device->read_only = true;
                ck_assert_int_eq(facts_add(device, FACT_PROPERTY, "ID_SERIAL=" BASEIMAGE_SERIAL), 0);
                ck_assert_int_eq(facts_add(device, FACT_PROPERTY, "ID_FS_TYPE="), 0);
                ck_assert_int_eq(facts_add(device, FACT_PROPERTY, "SYSTEMD_READY=0"), 0);
                ck_assert_int_eq(facts_add(device, FACT_PROPERTY, "SYSTEMD_IGNORE=1"), 0);
        }
}

size_t count_facts(const struct device *device, enum fact_kind kind, const char **ret_text) {
        size_t n = 0;

        for (size_t i = device->n_facts; i > 0; i--)
                if (device->facts[i - 1].kind == kind) {
                        n++;
                        if (ret_text)
                                *ret_text = device->facts[i - 1].text;
                }
        return n;
}
