/* SPDX-License-Identifier: GPL-2.0-or-later */
/* This file checks the properties and links in udev's record of a base image or of a partition. */
#include <errno.h>

#include "config.h"
#include "status.h"

/* This table has each property that the rule sets and a program reads.  The field "affects" names the
 * affected programs or links.  tests/vm/test_status.py checks that the table is complete. */
static const struct {
        const char *key, *value, *affects;
} marks[] = {
        { "SYSTEMD_READY", "0", "systemd, btrfs, md" },
        { "UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG", "1", "links by UUID and label" },
        { "DM_UDEV_DISABLE_OTHER_RULES_FLAG", "1", "LVM, bcache, udisks2" },
        { "DM_MULTIPATH_DEVICE_PATH", "1", "btrfs, md, LVM" },
        { "UDISKS_IGNORE", "1", "udisks2" },
};

static const char *property(const struct device *d, const char *key) {
        const char *value;
        return sd_device_get_property_value(d->dev, key, &value) >= 0 ? value : "";
}

static void check_marks(struct status *s, struct device *d) {
        bool off = strcmp(property(d->disk, BASEIMAGE_OPTION), "off") == 0, found[N(marks)],
             any_mark = false;

        for (size_t i = 0; i < N(marks); i++)
                any_mark |= found[i] = strcmp(property(d, marks[i].key), marks[i].value) == 0;
        d->rule_problem = any_mark ? KIND_NONE : off ? KIND_RULE_DISABLED : KIND_RULE_MISSING;
        if (!any_mark)
                add_finding(s, d, d->rule_problem, d->name, "%s",
                            off ? BASEIMAGE_OPTION "=off disables the rule"
                                : BASEIMAGE_RULE_NAME " did not run");
        for (size_t i = 0; any_mark && i < N(marks); i++)
                if (!found[i])
                        add_finding(s, d, KIND_MARK, d->name, "%s=%s is missing; this affects %s",
                                    marks[i].key, marks[i].value, marks[i].affects);
}

/* Adds a finding for each property that another rule has set from the content of the device.  systemd 252
 * keeps empty properties in the record, so an empty property is not a finding. */
static void check_properties(struct status *s, struct device *d) {
        const char *value;

        for (const char *key = sd_device_get_property_first(d->dev, &value); key;
             key = sd_device_get_property_next(d->dev, &value))
                if (value[0] && (strncmp(key, "ID_FS_", 6) == 0 || strncmp(key, "ID_PART_", 8) == 0))
                        add_finding(s, d, KIND_PROPERTY, d->name, "%s=%s", key, value);
}

static void check_links(struct status *s, struct device *d) {
        static const char *const names[] = { "baseimage", "disk/by-id/virtio-" BASEIMAGE_SERIAL };
        char *own_links[N(names)];

        for (size_t i = 0; i < N(names); i++) {
                own_links[i] = format("/dev/%s%s%s", names[i], *d->partition ? "-part" : "", d->partition);
                struct device *found = device_by_path(s, own_links[i]);
                /* If there are two base images, the link can lead to either base image. */
                if (d->rule_problem == KIND_NONE && (!found || strcmp(found->partition, d->partition) != 0))
                        add_finding(s, d, KIND_MISSING_LINK, d->name, "%s does not lead to the base image",
                                    own_links[i]);
        }
        for (const char *link = sd_device_get_devlink_first(d->dev); link;
             link = sd_device_get_devlink_next(d->dev))
                if (strcmp(link, own_links[0]) != 0 && strcmp(link, own_links[1]) != 0)
                        add_finding(s, d, KIND_EXTRA_LINK, d->name, "%s", link);
        free(own_links[0]);
        free(own_links[1]);
}

void check_record(struct status *s, struct device *d) {
        const char *value;
        int r;

        r = sd_device_get_is_initialized(d->dev);
        if (r > 0) /* sd_device_get_property_value() makes sd-device read the record */
                r = sd_device_get_property_value(d->dev, "DEVNAME", &value) < 0 ? -EIO : 1;
        if (r < 0)
                add_error(s, d, "udev's record", r);
        if (r == 0)
                add_finding(s, d, KIND_PENDING, d->disk->name, "udev has not handled the device");
        if (r <= 0)
                return;
        check_marks(s, d);
        check_properties(s, d);
        check_links(s, d);
        value = property(d->disk, BASEIMAGE_OPTION);
        bool kept = strcmp(value, "partitions") == 0;
        if (*d->partition && !kept)
                add_finding(s, d, KIND_PARTITION, d->name, "programs that scan disks see a duplicate");
        if (!*d->partition && *value && strcmp(value, "off") != 0)
                add_finding(s, d, KIND_OPTION, "", BASEIMAGE_OPTION "=%s %s", value,
                            kept ? "keeps partitions: programs that scan disks see duplicates"
                                 : "has no effect");
}
