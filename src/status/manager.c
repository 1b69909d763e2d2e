/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the system manager has units of. */
#include <errno.h>
#include <sys/sysmacros.h>
#include <systemd/sd-daemon.h>

#include "status.h"

/* Takes the name, or NULL: out of memory. */
static int take_name(struct device *device, enum kind kind, char *name) {
        _cleanup_free_ char *text = name;
        return text ? facts_add(device, kind, "%s", text) : -ENOMEM;
}

static int add_names(struct device *device) {
        size_t n = device->n_facts;
        int r;

        r = take_name(device, KIND_UNIT_NAME, unit_escape_path(device->node));
        if (r >= 0 && device->syspath)
                r = take_name(device, KIND_UNIT_NAME, unit_escape_path(device->syspath));
        if (r >= 0) /* lvm2-pvscan@252:17.service */
                r = facts_add(device, KIND_UNIT_NAME, "%u:%u", major(device->devnum), minor(device->devnum));
        for (size_t i = 0; r >= 0 && i < n; i++) {
                enum kind kind = device->facts[i].kind;

                if (kind == KIND_LINK || kind == KIND_MOUNT)
                        r = take_name(device, kind == KIND_LINK ? KIND_UNIT_NAME : KIND_MOUNT_NAME,
                                      unit_escape_path(device->facts[i].text));
        }
        return r;
}

static bool is_mount_unit(const char *unit) {
        const char *type = strrchr(unit, '.');
        return type && (strcmp(type, ".mount") == 0 || strcmp(type, ".automount") == 0);
}

static bool is_unit_of(const char *unit, const struct device *device) {
        bool is_mount = is_mount_unit(unit);

        for (size_t i = 0; i < device->n_facts; i++) {
                const struct fact *fact = &device->facts[i];

                if ((fact->kind == KIND_UNIT_NAME || (fact->kind == KIND_MOUNT_NAME && is_mount)) &&
                    unit_is_of(unit, fact->text))
                        return true;
        }
        return false;
}

static int add_unit(struct facts *facts, const char *unit) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < facts->n_devices; i++)
                if (is_unit_of(unit, &facts->devices[i]))
                        r = facts_add(&facts->devices[i], KIND_UNIT, "%s", unit);
        return r;
}

/* Reads the manager's answer: a(ssssssouso), of which the name is all we need,
 * since it was asked for active units only. */
static int read_units(sd_bus_message *reply, struct facts *facts) {
        const char *unit;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(reply, 'r', "ssssssouso")) > 0)
                if ((r = sd_bus_message_read(reply, "s", &unit)) < 0 ||
                    (r = sd_bus_message_skip(reply, "sssssouso")) < 0 ||
                    (r = sd_bus_message_exit_container(reply)) < 0 || (r = add_unit(facts, unit)) < 0)
                        return r;
        return r;
}

int manager_ask_bus(sd_bus *bus, struct facts *facts) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        for (size_t i = 0; i < facts->n_devices; i++) {
                r = add_names(&facts->devices[i]);
                if (r < 0)
                        return r;
        }
        /* A manager that hangs does not take us along: sd-bus waits for 25 s, as it does for systemctl. */
        if ((r = sd_bus_call_method(bus, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                                    "org.freedesktop.systemd1.Manager", "ListUnitsFiltered", NULL, &reply,
                                    "as", 4, "active", "activating", "deactivating", "reloading")) < 0 ||
            (r = read_units(reply, facts)) < 0)
                return facts_add_error(&facts->system, "systemd", r);
        return 0;
}

/* As systemctl does for root: the manager's own socket is there where no D-Bus
 * daemon is (yet), in a minimal guest, and early at boot, when the service of
 * this package runs. */
static int open_private(sd_bus **ret) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
        int r;

        if ((r = sd_bus_new(&bus)) < 0 ||
            (r = sd_bus_set_address(bus, "unix:path=/run/systemd/private")) < 0 ||
            (r = sd_bus_start(bus)) < 0)
                return r;
        *ret = bus;
        bus = NULL;
        return 0;
}

int manager_ask(struct facts *facts) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        int r;

        facts->systemd = sd_booted() > 0;
        if (!facts->systemd || facts->n_devices == 0)
                return 0;
        r = open_private(&bus);
        if (r < 0)
                r = sd_bus_open_system(&bus);
        if (r < 0)
                return facts_add_error(&facts->system, "systemd", r);
        return manager_ask_bus(bus, facts);
}
