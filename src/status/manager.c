/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the system manager has units of. */
#include <errno.h>
#include <sys/sysmacros.h>
#include <systemd/sd-daemon.h>

#include "status.h"

/* A manager that hangs must not take us along. */
#define TIMEOUT_USEC (5 * UINT64_C(1000000))

/* How units call a device, or a mount point of it. */
struct name {
        char *text;
        struct device *device;
        bool mount_point;
};

struct names {
        struct name *names;
        size_t n;
};

static void names_done(struct names *names) {
        for (size_t i = 0; i < names->n; i++)
                free(names->names[i].text);
        free(names->names);
}

/* Takes the text, also on failure. */
static int names_take(struct names *names, char *text, struct device *device, bool mount_point) {
        struct name *grown = NULL;

        if (text)
                grown = realloc(names->names, (names->n + 1) * sizeof(*grown));
        if (!grown) {
                free(text);
                return -ENOMEM;
        }
        names->names = grown;
        grown[names->n++] = (struct name){ .text = text, .device = device, .mount_point = mount_point };
        return 0;
}

static int names_take_device(struct names *names, struct device *device) {
        int r;

        r = names_take(names, unit_escape_path(device->node), device, false);
        if (r >= 0 && device->syspath)
                r = names_take(names, unit_escape_path(device->syspath), device, false);
        if (r >= 0) /* lvm2-pvscan@252:17.service */
                r = names_take(names, text_format("%u:%u", major(device->devnum), minor(device->devnum)),
                               device, false);
        for (size_t i = 0; r >= 0 && i < device->n_facts; i++) {
                enum kind kind = device->facts[i].kind;

                if (kind == KIND_LINK || kind == KIND_MOUNT)
                        r = names_take(names, unit_escape_path(device->facts[i].text), device,
                                       kind == KIND_MOUNT);
        }
        return r;
}

static bool is_mount_unit(const char *unit) {
        const char *type = strrchr(unit, '.');
        return type && (strcmp(type, ".mount") == 0 || strcmp(type, ".automount") == 0);
}

static int add_unit(const struct names *names, const char *unit) {
        const struct device *last = NULL;
        bool is_mount = is_mount_unit(unit);

        for (size_t i = 0; i < names->n; i++) {
                const struct name *name = &names->names[i];

                /* Names of one device are neighbours: once is enough. */
                if (name->device == last || (name->mount_point && !is_mount) ||
                    !unit_is_of(unit, name->text))
                        continue;
                int r = facts_add(name->device, KIND_UNIT, "%s", unit);
                if (r < 0)
                        return r;
                last = name->device;
        }
        return 0;
}

/* Reads the manager's answer: a(ssssssouso), of which the name is all we need,
 * since it was asked for active units only. */
static int read_units(sd_bus_message *reply, const struct names *names) {
        const char *unit;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(reply, 'r', "ssssssouso")) > 0)
                if ((r = sd_bus_message_read(reply, "s", &unit)) < 0 ||
                    (r = sd_bus_message_skip(reply, "sssssouso")) < 0 ||
                    (r = sd_bus_message_exit_container(reply)) < 0 || (r = add_unit(names, unit)) < 0)
                        return r;
        return r;
}

int manager_ask_bus(sd_bus *bus, struct facts *facts) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(names_done) struct names names = { 0 };
        int r;

        for (size_t i = 0; i < facts->n_devices; i++) {
                r = names_take_device(&names, &facts->devices[i]);
                if (r < 0)
                        return r;
        }
        if ((r = sd_bus_set_method_call_timeout(bus, TIMEOUT_USEC)) < 0 ||
            (r = sd_bus_call_method(bus, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                                    "org.freedesktop.systemd1.Manager", "ListUnitsFiltered", NULL, &reply,
                                    "as", 4, "active", "activating", "deactivating", "reloading")) < 0 ||
            (r = read_units(reply, &names)) < 0)
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
