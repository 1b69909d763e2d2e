/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/sysmacros.h>
#include <systemd/sd-daemon.h>

#include "manager.h"
#include "text.h"
#include "util.h"

/* A manager that hangs must not take us along. */
#define TIMEOUT_USEC (5 * UINT64_C(1000000))

/* How units call a device, or a mount point of it. */
struct name {
        char *text;
        size_t length;
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
        grown[names->n++] = (struct name){
                .text = text,
                .length = strlen(text),
                .device = device,
                .mount_point = mount_point,
        };
        return 0;
}

static int names_take_device(struct names *names, struct device *device) {
        int r;

        r = names_take(names, unit_escape_path(device->node), device, false);
        if (r < 0)
                return r;
        r = names_take(names, unit_escape_path(device->syspath), device, false);
        if (r < 0)
                return r;
        /* lvm2-pvscan@252:17.service */
        r = names_take(names, text_format("%u:%u", major(device->devnum), minor(device->devnum)), device,
                       false);
        for (size_t i = 0; r >= 0 && i < device->n_facts; i++) {
                enum fact_kind kind = device->facts[i].kind;

                if (kind == FACT_LINK || kind == FACT_MOUNT)
                        r = names_take(names, unit_escape_path(device->facts[i].text), device,
                                       kind == FACT_MOUNT);
        }
        return r;
}

/* Of a unit that has a type, as all have that unit_is_of() knows. */
static bool is_mount_unit(const char *unit) {
        const char *type = strrchr(unit, '.');
        return strcmp(type, ".mount") == 0 || strcmp(type, ".automount") == 0;
}

static int add_unit(const struct names *names, const char *text) {
        const struct device *last = NULL;
        struct unit unit = unit_parse(text);

        for (size_t i = 0; i < names->n; i++) {
                const struct name *name = &names->names[i];

                /* Names of one device are neighbours: once is enough. */
                if (name->device == last || !unit_is_of(&unit, name->text, name->length) ||
                    (name->mount_point && !is_mount_unit(text)))
                        continue;
                int r = facts_add(name->device, FACT_UNIT, "%s", text);
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
        while ((r = sd_bus_message_enter_container(reply, 'r', "ssssssouso")) > 0) {
                r = sd_bus_message_read(reply, "s", &unit);
                if (r < 0)
                        return r;
                r = sd_bus_message_skip(reply, "sssssouso");
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(reply);
                if (r < 0)
                        return r;
                r = add_unit(names, unit);
                if (r < 0)
                        return r;
        }
        return r;
}

static int list_units(sd_bus *bus, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &call, "org.freedesktop.systemd1",
                                           "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                                           "ListUnitsFiltered");
        if (r < 0)
                return r;
        r = sd_bus_message_append(call, "as", 4, "active", "activating", "deactivating", "reloading");
        if (r < 0)
                return r;
        return sd_bus_call(bus, call, TIMEOUT_USEC, NULL, ret);
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
        r = list_units(bus, &reply);
        if (r >= 0)
                r = read_units(reply, &names);
        return r < 0 ? facts_add_error(facts, NULL, "systemd", r) : 0;
}

/* The manager's own socket is root's alone, and there where no D-Bus daemon is
 * (yet): in a minimal guest, and early at boot. */
static int open_private(sd_bus **ret) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        r = sd_bus_set_address(bus, "unix:path=/run/systemd/private");
        if (r < 0)
                return r;
        r = sd_bus_start(bus);
        if (r < 0)
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
                return facts_add_error(facts, NULL, "systemd", r);
        return manager_ask_bus(bus, facts);
}
