/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What udev's record says: the marks of the rule, and what the rule prevents. */
#include <errno.h>

#include "config.h"
#include "status.h"

/* What the rule sets, and the readers that are stopped by it.  Its SYSTEMD_IGNORE
 * is left out, as nobody reads it.  tests/vm/test_status.py compares. */
static const struct {
        const char *key, *value, *readers;
} marks[] = {
        { "SYSTEMD_READY", "0", "systemd, btrfs, md" },
        { "UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG", "1", "links by UUID and label" },
        { "DM_UDEV_DISABLE_OTHER_RULES_FLAG", "1", "LVM, bcache, udisks2" },
        { "DM_MULTIPATH_DEVICE_PATH", "1", "btrfs, md, LVM" },
        { "UDISKS_IGNORE", "1", "udisks2" },
};

static const char *property(const struct device *device, const char *key) {
        const char *value;
        return sd_device_get_property_value(device->record, key, &value) >= 0 ? value : "";
}

static bool has_option(const struct device *disk, const char *value) {
        return strcmp(property(disk, BASEIMAGE_OPTION), value) == 0;
}

static bool has_mark(const struct device *device, size_t i) {
        return strcmp(property(device, marks[i].key), marks[i].value) == 0;
}

static bool is_ruled(const struct device *device) {
        for (size_t i = 0; i < N(marks); i++)
                if (has_mark(device, i))
                        return true;
        return false;
}

/* The rule would prevent this finding, so if it did not run, that is to be mended. */
static void add_leak(struct status *status, struct device *device, enum kind kind, char *evidence,
                     char *remedy) {
        if (!is_ruled(device->disk)) {
                free(remedy);
                remedy = has_option(device->disk, "off")
                                 ? format("boot without " BASEIMAGE_OPTION "=off")
                                 : format("install baseimage-udev (or unmask its rule), then: "
                                          "udevadm trigger --action=change --settle /dev/%s",
                                          device->disk->name);
        }
        add_finding(status, device, kind, evidence, remedy);
}

static char *remedy_other_rule(const struct device *device) {
        return format("find the rule that interferes: udevadm test --action=change /sys/class/block/%s",
                      device->name);
}

static void look_at_marks(struct status *status, struct device *device) {
        if (!is_ruled(device)) {
                add_leak(status, device, KIND_RULE,
                         has_option(device->disk, "off") ? format(BASEIMAGE_OPTION "=off disables the rule")
                                                         : format(BASEIMAGE_RULE_NAME " did not run"),
                         remedy_other_rule(device));
                return;
        }
        for (size_t i = 0; i < N(marks); i++)
                if (!has_mark(device, i))
                        add_leak(status, device, KIND_MARK,
                                 format("%s=%s is missing (for %s)", marks[i].key, marks[i].value,
                                        marks[i].readers),
                                 remedy_other_rule(device));
}

/* What somebody found inside.  systemd 252 keeps empty values. */
static void look_at_properties(struct status *status, struct device *device) {
        const char *value;

        for (const char *key = sd_device_get_property_first(device->record, &value); key;
             key = sd_device_get_property_next(device->record, &value))
                if (value[0] && (strncmp(key, "ID_FS_", 6) == 0 || strncmp(key, "ID_PART_", 8) == 0))
                        add_leak(status, device, KIND_PROPERTY, format("%s=%s", key, value),
                                 remedy_other_rule(device));
}

static void look_at_links(struct status *status, struct device *device) {
        static const char *const names[] = { "baseimage", "disk/by-id/virtio-" BASEIMAGE_SERIAL };
        const char *part = *device->number ? "-part" : "";
        char *own[N(names)];

        for (size_t i = 0; i < N(names); i++) {
                own[i] = format("/dev/%s%s%s", names[i], part, device->number);
                struct device *found = device_by_path(status, own[i]);
                /* With two base images, either may have it. */
                if (is_ruled(device) && (!found || strcmp(found->number, device->number) != 0))
                        add_finding(status, device, KIND_LINK,
                                    format("%s does not lead to the base image", own[i]),
                                    format("see what has it: udevadm info %s; then: "
                                           "udevadm trigger --action=change --settle /dev/%s",
                                           own[i], device->name));
        }
        for (const char *link = sd_device_get_devlink_first(device->record); link;
             link = sd_device_get_devlink_next(device->record))
                if (strcmp(link, own[0]) != 0 && strcmp(link, own[1]) != 0)
                        add_leak(status, device, KIND_LINK, format("%s", link), remedy_other_rule(device));
        free(own[0]);
        free(own[1]);
}

static void look_at_option(struct status *status, struct device *disk) {
        const char *value = property(disk, BASEIMAGE_OPTION);

        if (*value && !has_option(disk, "off"))
                add_finding(status, disk, KIND_OPTION,
                            format(BASEIMAGE_OPTION "=%s %s", value,
                                   has_option(disk, "partitions")
                                           ? "keeps the partitions: programs that scan disks see duplicates"
                                           : "means nothing"),
                            format("boot without this option"));
}

void look_at_record(struct status *status, struct device *device) {
        const char *value;
        int r;

        r = sd_device_get_is_initialized(device->record);
        if (r == 0) {
                add_finding(status, device, KIND_ERROR, format("udev has not handled %s", device->name),
                            format("udevadm settle; udevadm trigger --action=add --settle /dev/%s",
                                   device->disk->name));
                return;
        }
        if (r < 0 || (r = sd_device_get_property_value(device->record, "DEVNAME", &value)) < 0) {
                add_error(status, device, "udev's record", r);
                return;
        }
        look_at_marks(status, device);
        look_at_properties(status, device);
        look_at_links(status, device);
        if (!*device->number)
                look_at_option(status, device);
        else if (!has_option(device->disk, "partitions"))
                add_leak(status, device, KIND_PARTITION,
                         format("/dev/%s exists: programs that scan disks see a duplicate", device->name),
                         format("close what has it open (fuser -v /dev/%s), then: "
                                "udevadm trigger --action=change --settle /dev/%s",
                                device->name, device->disk->name));
}
