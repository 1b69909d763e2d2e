/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <systemd/sd-device.h>
#include <unistd.h>

#include "config.h"
#include "status-faults.h"
#include "status-test.h"

char *guest_root;
struct facts facts;
struct device *disk, *partition;
struct verdict verdict;

static const char *const inert[] = {
#define MARK(key, value, readers) key "=" value,
#include "marks.h"
#undef MARK
        "ID_SERIAL=" BASEIMAGE_SERIAL,
        "ID_FS_TYPE=",
        BASEIMAGE_OPTION "=partitions",
};

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

/* Makes the folders on the way to the path below the guest's root. */
static char *below(const char *path) {
        char *full;

        ck_assert_int_ge(asprintf(&full, "%s/%s", guest_root, path), 0);
        for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                mkdir(full, 0755);
                *slash = '/';
        }
        return full;
}

void guest_write(const char *path, const char *format, ...) {
        char *full = below(path);
        va_list ap;

        FILE *file = fopen(full, "w");
        ck_assert_ptr_nonnull(file);
        va_start(ap, format);
        vfprintf(file, format, ap); // NOLINT(clang-analyzer-valist.Uninitialized): it is
        va_end(ap);
        ck_assert_int_eq(fclose(file), 0);
        free(full);
}

void guest_link(const char *path, const char *target) {
        char *full = below(path);

        ck_assert_int_eq(symlink(target, full), 0);
        free(full);
}

void guest_folder(const char *path) {
        char *full = below(path);

        ck_assert_int_eq(mkdir(full, 0755), 0);
        free(full);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void)st;
        (void)type;
        (void)ftw;
        return remove(path);
}

void guest_remove(const char *path) {
        char *full = below(path);

        ck_assert_int_eq(nftw(full, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
        free(full);
}

void guest_add(const char *name, unsigned minor) {
        char path[64];
        FILE *record;
        char *full;

        snprintf(path, sizeof(path), "sys/class/block/%s/dev", name);
        guest_write(path, "252:%u\n", minor);
        snprintf(path, sizeof(path), "sys/class/block/%s/ro", name);
        guest_write(path, "1\n");
        snprintf(path, sizeof(path), "sys/class/block/%s/holders", name);
        guest_folder(path);
        if (!strpbrk(name, "0123456789")) {
                snprintf(path, sizeof(path), "sys/class/block/%s/serial", name);
                guest_write(path, BASEIMAGE_SERIAL);
        }
        snprintf(path, sizeof(path), "dev/%s", name);
        guest_write(path, "%s", "");
        snprintf(path, sizeof(path), "run/udev/data/%s", name);
        full = below(path);
        record = fopen(full, "w");
        ck_assert_ptr_nonnull(record);
        for (size_t i = 0; i < N(inert); i++)
                fprintf(record, "%s\n", inert[i]);
        ck_assert_int_eq(fclose(record), 0);
        free(full);
}

void guest_new(void) {
        char template[] = "/tmp/baseimage-status-test-XXXXXX";

        ck_assert_ptr_nonnull(mkdtemp(template));
        guest_root = realpath(template, NULL);
        ck_assert_ptr_nonnull(guest_root);
        guest_write("run/udev/control", "%s", "");
        guest_write("proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
        guest_write("proc/self/mountinfo", "22 1 252:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n");
        guest_add("vdb", 16);
        guest_add("vdb1", 17);
        guest_link("dev/baseimage", "vdb");
        guest_link("dev/baseimage-part1", "vdb1");
        guest_link("dev/disk/by-id/virtio-" BASEIMAGE_SERIAL, "../../vdb");
        guest_link("dev/disk/by-id/virtio-" BASEIMAGE_SERIAL "-part1", "../../vdb1");
        guest_link("dev/block/252:17", "../vdb1");
}

void guest_done(void) {
        guest_remove("");
        free(guest_root);
        guest_root = NULL;
}

/* sd-device, of which a record is one of the guest's.  One at a time; what it
 * calls itself is not to fail (Check would call malloc()). */
struct sd_device {
        char text[4096], *next, syspath[64];
        bool initialized;
};

int __real_open64(const char *path, int flags, ...);
int __real_access(const char *path, int mode);
ssize_t __real_read(int fd, void *buffer, size_t n);

int __wrap_sd_device_new_from_subsystem_sysname(sd_device **ret, const char *subsystem, const char *name);
int __wrap_sd_device_new_from_subsystem_sysname(sd_device **ret, const char *subsystem, const char *name) {
        static struct sd_device device;
        char path[PATH_MAX];

        if (fault("sd_device_new_from_subsystem_sysname"))
                return -EMFILE;
        snprintf(path, sizeof(path), "%s/sys/class/%s/%s", guest_root, subsystem, name);
        if (__real_access(path, F_OK) < 0)
                return -ENODEV;
        device = (struct sd_device){ 0 };
        snprintf(device.syspath, sizeof(device.syspath), "/sys/devices/pci0/block/%s", name);
        snprintf(path, sizeof(path), "%s/run/udev/data/%s", guest_root, name);
        int fd = __real_open64(path, O_RDONLY);
        device.initialized = fd >= 0;
        if (fd >= 0) {
                if (__real_read(fd, device.text, sizeof(device.text) - 1) < 0)
                        abort();
                close(fd);
        }
        *ret = &device;
        return 0;
}

int __wrap_sd_device_get_syspath(sd_device *device, const char **ret);
int __wrap_sd_device_get_syspath(sd_device *device, const char **ret) {
        *ret = device->syspath;
        return fault("sd_device_get_syspath") ? -ENOMEM : 0;
}

int __wrap_sd_device_get_is_initialized(sd_device *device);
int __wrap_sd_device_get_is_initialized(sd_device *device) {
        return fault("sd_device_get_is_initialized") ? -EACCES : device->initialized;
}

const char *__wrap_sd_device_get_property_next(sd_device *device, const char **value);
const char *__wrap_sd_device_get_property_next(sd_device *device, const char **value) {
        char *key = strsep(&device->next, "\n"), *equals = key ? strchr(key, '=') : NULL;

        if (!equals)
                return NULL;
        *equals = '\0';
        *value = equals + 1;
        return key;
}

const char *__wrap_sd_device_get_property_first(sd_device *device, const char **value);
const char *__wrap_sd_device_get_property_first(sd_device *device, const char **value) {
        device->next = device->text;
        return __wrap_sd_device_get_property_next(device, value);
}

sd_device *__wrap_sd_device_unref(sd_device *device);
sd_device *__wrap_sd_device_unref(sd_device *device) {
        (void)device;
        return NULL;
}

static void found_devices(void) {
        facts = (struct facts){ .root = guest_root ? guest_root : "/nonexistent", .systemd = true };
        ck_assert_int_eq(facts_add_device(&facts, "vdb", "vdb", &disk), 0);
        ck_assert_int_eq(facts_add_device(&facts, "vdb1", "vdb", &partition), 0);
        disk = &facts.devices[0];
}

void begin(void) {
        guest_new();
        found_devices();
}

void begin_inert(void) {
        found_devices();
        for (unsigned i = 0; i < facts.n_devices; i++) {
                struct device *device = &facts.devices[i];

                device->devnum = makedev(252, 16 + i);
                device->recorded = device->read_only = true;
                ck_assert_int_ge(asprintf(&device->syspath, "/sys/devices/pci0/block/%s", device->name), 0);
                for (size_t j = 0; j < N(inert); j++)
                        ck_assert_int_eq(facts_add(device, KIND_PROPERTY, "%s", inert[j]), 0);
        }
}

struct device *add_vdc(void) {
        struct device *device;

        ck_assert_int_eq(facts_add_device(&facts, "vdc", "vdc", &device), 0);
        disk = &facts.devices[0];
        partition = &facts.devices[1];
        return device;
}

void judge(void) {
        ck_assert_int_eq(verdict_reach(&facts, &verdict), 0);
}

enum state end(void) {
        if (!verdict.findings)
                judge();
        enum state state = verdict.state;
        verdict_done(&verdict);
        facts_done(&facts);
        if (guest_root)
                guest_done();
        return state;
}

size_t count_facts(const struct device *device, enum kind kind) {
        size_t n = 0;

        for (size_t i = 0; i < device->n_facts; i++)
                n += device->facts[i].kind == kind;
        return n;
}

void assert_one(const struct device *device, enum kind kind, const char *text) {
        ck_assert_uint_eq(count_facts(device, kind), 1);
        for (size_t i = 0; i < device->n_facts; i++)
                if (device->facts[i].kind == kind)
                        ck_assert_str_eq(device->facts[i].text, text);
}
