/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "driver.h"
#include "util.h"

/* driver.h describes the bind rule.  The text of the bind rule is rule_start, the name of the
 * virtio device and rule_end, in this order.
 *
 * udevd also reads the bind rule in the initramfs, where the bind rule must not bind the
 * disk.  So the bind rule checks for files that only an initramfs has.  If one of these files
 * exists, the bind rule does nothing.
 *
 * In the running system, the bind rule binds the disk at the next event of the virtio device.
 * Coldplug causes such an event.  If the disk then has a driver, the bind rule removes the
 * file of the bind rule.  Otherwise the bind rule retries at the next event. */
static const char rule_start[] = "# The initramfs unbound this disk.\n"
                                 "TEST==\"" BASEIMAGE_INITRAMFS_MARKER "\", GOTO=\"end\"\n"
                                 "TEST==\"/etc/initrd-release\", GOTO=\"end\"\n"
                                 "TEST==\"/usr/lib/initrd-release\", GOTO=\"end\"\n"
                                 "TEST==\"/conf/initramfs.conf\", GOTO=\"end\"\n"
                                 "ACTION==\"add|change\", SUBSYSTEM==\"virtio\", KERNEL==\"";
static const char rule_end[] = "\", RUN+=\"/bin/sh -c 'echo %k >" BASEIMAGE_DRIVER_D "/bind;"
                               " ! test -e /sys/bus/virtio/devices/%k/driver ||"
                               " rm " BASEIMAGE_BIND_RULE_PREFIX "%k.rules'\"\n"
                               "LABEL=\"end\"\n";

enum { DIGITS_MAX = 10 };

/* Opens a file for writing, and writes three texts to the file.  Passes the argument "flags"
 * to open(2), in addition to O_WRONLY and O_CLOEXEC.  Returns 0, or a negative errno. */
static int write_file(const char *path, int flags, const char *first, const char *second,
                      const char *third) {
        int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);
        if (fd < 0)
                return -errno;

        int r = write_all(fd, first);
        if (r == 0)
                r = write_all(fd, second);
        if (r == 0)
                r = write_all(fd, third);
        close(fd);
        return r;
}

/* Returns whether name is the kernel's name of a virtio device.  Such a name is "virtio" and
 * then an int as a decimal number.  In Linux, drivers/virtio/virtio.c makes the name. */
static bool is_virtio_device(const char *name) {
        const char *number = startswith(name, "virtio");
        size_t digits = 0;

        while (number && number[digits] >= '0' && number[digits] <= '9')
                digits++;
        return digits > 0 && digits <= DIGITS_MAX && !number[digits];
}

int unbind_until_coldplug(const char *device) {
        static char rule_path[sizeof BASEIMAGE_BIND_RULE_PREFIX + sizeof "virtio" + DIGITS_MAX +
                              sizeof ".rules"];

        if (!is_virtio_device(device))
                return -EINVAL;
        stpcpy(stpcpy(stpcpy(rule_path, BASEIMAGE_BIND_RULE_PREFIX), device), ".rules");

        /* udevd has already created the parent directory /run/udev. */
        if (mkdir(BASEIMAGE_BIND_RULES_D, 0755) < 0 && errno != EEXIST)
                return -errno;
        int r = write_file(rule_path, O_CREAT | O_TRUNC, rule_start, device, rule_end);
        if (r < 0) {
                unlink(rule_path);
                return r;
        }
        /* If an earlier event has already unbound the disk, this write fails.  Then the bind rule
         * must stay, because only the bind rule binds the disk again. */
        return write_file(BASEIMAGE_DRIVER_D "/unbind", 0, device, "", "");
}
