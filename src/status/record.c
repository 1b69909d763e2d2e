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

static const char *property(const struct device *d, const char *key) {
        const char *value;
        return sd_device_get_property_value(d->record, key, &value) >= 0 ? value : "";
}

static void look_at_marks(struct status *s, struct device *d) {
        bool off = strcmp(property(d->disk, BASEIMAGE_OPTION), "off") == 0, found[N(marks)], any = false;

        for (size_t i = 0; i < N(marks); i++)
                any |= found[i] = strcmp(property(d, marks[i].key), marks[i].value) == 0;
        d->unruled = any ? _KINDS : off ? KIND_OFF : KIND_RULE;
        if (!any)
                add_finding(s, d, d->unruled, d->name, "%s",
                            off ? BASEIMAGE_OPTION "=off disables the rule"
                                : BASEIMAGE_RULE_NAME " did not run");
        for (size_t i = 0; any && i < N(marks); i++)
                if (!found[i])
                        add_finding(s, d, KIND_MARK, d->name, "%s=%s is missing, for %s", marks[i].key,
                                    marks[i].value, marks[i].readers);
}

/* What somebody found inside.  systemd 252 keeps empty values. */
static void look_at_properties(struct status *s, struct device *d) {
        const char *value;

        for (const char *key = sd_device_get_property_first(d->record, &value); key;
             key = sd_device_get_property_next(d->record, &value))
                if (value[0] && (strncmp(key, "ID_FS_", 6) == 0 || strncmp(key, "ID_PART_", 8) == 0))
                        add_finding(s, d, KIND_PROPERTY, d->name, "%s=%s", key, value);
}

static void look_at_links(struct status *s, struct device *d) {
        static const char *const names[] = { "baseimage", "disk/by-id/virtio-" BASEIMAGE_SERIAL };
        char *own[N(names)];

        for (size_t i = 0; i < N(names); i++) {
                own[i] = format("/dev/%s%s%s", names[i], *d->number ? "-part" : "", d->number);
                struct device *found = device_by_path(s, own[i]);
                /* With two base images, either may have it. */
                if (d->unruled == _KINDS && (!found || strcmp(found->number, d->number) != 0))
                        add_finding(s, d, KIND_NAME, d->name, "%s does not lead to the base image", own[i]);
        }
        for (const char *link = sd_device_get_devlink_first(d->record); link;
             link = sd_device_get_devlink_next(d->record))
                if (strcmp(link, own[0]) != 0 && strcmp(link, own[1]) != 0)
                        add_finding(s, d, KIND_LINK, d->name, "%s", link);
        free(own[0]);
        free(own[1]);
}

void look_at_record(struct status *s, struct device *d) {
        const char *value;
        int r;

        r = sd_device_get_is_initialized(d->record);
        if (r > 0) /* has it read */
                r = sd_device_get_property_value(d->record, "DEVNAME", &value) < 0 ? -EIO : 1;
        if (r < 0)
                add_error(s, d, "udev's record", r);
        if (r == 0)
                add_finding(s, d, KIND_PENDING, d->disk->name, "udev has not handled it");
        if (r <= 0)
                return;
        look_at_marks(s, d);
        look_at_properties(s, d);
        look_at_links(s, d);
        value = property(d->disk, BASEIMAGE_OPTION);
        bool kept = strcmp(value, "partitions") == 0;
        if (*d->number && !kept)
                add_finding(s, d, KIND_PARTITION, d->name, "programs that scan disks see a duplicate");
        if (!*d->number && *value && strcmp(value, "off") != 0)
                add_finding(s, d, KIND_OPTION, "", BASEIMAGE_OPTION "=%s %s", value,
                            kept ? "keeps partitions: programs that scan disks see duplicates"
                                 : "means nothing");
}
