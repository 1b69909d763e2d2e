/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What udev's rules have set: its record of the device. */
#include <errno.h>
#include <systemd/sd-device.h>
#include <unistd.h>

#include "status.h"

/* Returns 1, 0 if udev has not processed the device yet, or a negative errno. */
static int open_record(struct device *device, sd_device **ret) {
        const char *syspath;
        int r;

        r = sd_device_new_from_subsystem_sysname(ret, "block", device->name);
        if (r < 0)
                return r;
        r = sd_device_get_syspath(*ret, &syspath);
        if (r < 0)
                return r;
        device->syspath = strdup(syspath);
        return device->syspath ? sd_device_get_is_initialized(*ret) : -ENOMEM;
}

/* Like open_record(); what failed is said of the device. */
static int read_record(struct device *device) {
        _cleanup_(sd_device_unrefp) sd_device *record = NULL;
        const char *value;
        int r;

        r = open_record(device, &record);
        if (r < 0) {
                r = facts_add_error(device, "udev", r);
                return r < 0 ? r : 1;
        }
        if (r == 0)
                return 0;
        for (const char *key = sd_device_get_property_first(record, &value); key;
             key = sd_device_get_property_next(record, &value)) {
                r = facts_add(device, KIND_PROPERTY, "%s=%s", key, value);
                if (r < 0)
                        return r;
        }
        device->recorded = true;
        return 1;
}

int udev_read(struct facts *facts) {
        bool missing = false;

        _cleanup_free_ char *control = text_format("%s/run/udev/control", facts->root);
        if (!control)
                return -ENOMEM;
        for (size_t i = 0; i < facts->n_devices; i++) {
                int r = read_record(&facts->devices[i]);
                if (r == 0 && access(control, F_OK) == 0)
                        r = facts_add(&facts->devices[i], KIND_ERROR, "udev: has not processed it yet");
                else if (r == 0)
                        missing = true;
                if (r < 0)
                        return r;
        }
        return missing ? facts_add(&facts->system, KIND_ERROR, "udev: does not run") : 0;
}
