/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "status-faults.h"
#include "status-test.h"

static pid_t server;

/* What the manager is asked for, and what it says. */
static int answer(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        sd_bus_message *reply = NULL;
        const char *const *units = userdata;
        char **states = NULL;

        if (!units[0])
                return sd_bus_error_set_errno(error, -EACCES);
        if (sd_bus_message_read_strv(call, &states) < 0 || strcmp(states[0], "active") != 0)
                return -EINVAL;
        for (char **state = states; *state; state++)
                free(*state);
        free(states);

        sd_bus_message_new_method_return(call, &reply);
        sd_bus_message_open_container(reply, 'a', "(ssssssouso)");
        for (; *units; units++)
                sd_bus_message_append(reply, "(ssssssouso)", *units, "A unit", "loaded", "active", "running",
                                      "", "/org/freedesktop/systemd1/unit/x", 0, "", "/");
        sd_bus_message_close_container(reply);
        int r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

static int answer_nonsense(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        (void)userdata;
        (void)error;
        return sd_bus_reply_method_return(call, "s", "nonsense");
}

static const sd_bus_vtable manager[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("ListUnitsFiltered", "as", "a(ssssssouso)", answer, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable broken_manager[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("ListUnitsFiltered", "as", "s", answer_nonsense, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static void serve(int fd, const sd_bus_vtable *vtable, const char *const *units) {
        sd_id128_t id = { 0 };
        sd_bus *bus = NULL;
        int r;

        sd_id128_randomize(&id);
        if (sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fd, fd) < 0 || sd_bus_set_server(bus, 1, id) < 0 ||
            sd_bus_set_anonymous(bus, 1) < 0 || sd_bus_set_trusted(bus, 1) < 0 ||
            sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/systemd1",
                                     "org.freedesktop.systemd1.Manager", vtable, (void *)units) < 0 ||
            sd_bus_start(bus) < 0)
                _exit(1);
        while ((r = sd_bus_process(bus, NULL)) >= 0)
                if (r == 0 && sd_bus_wait(bus, UINT64_MAX) < 0)
                        break;
        _exit(0);
}

static sd_bus *begin_bus(const sd_bus_vtable *vtable, const char *const *units) {
        sd_bus *bus = NULL;
        int ends[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        server = fork();
        ck_assert_int_ge(server, 0);
        if (server == 0) {
                close(ends[0]);
                serve(ends[1], vtable, units);
        }
        close(ends[1]);
        begin_inert();
        ck_assert_int_eq(sd_bus_new(&bus), 0);
        ck_assert_int_ge(sd_bus_set_fd(bus, ends[0], ends[0]), 0);
        ck_assert_int_ge(sd_bus_start(bus), 0);
        return bus;
}

static enum state end_bus(sd_bus *bus) {
        sd_bus_flush_close_unref(bus);
        ck_assert_int_eq(waitpid(server, NULL, 0), server);
        return end();
}

/* An active unit, and whose it is: 0 the disk's, 1 the partition's, -1 none's. */
static const struct {
        const char *unit;
        int whose;
} units[] = {
        { "dev-vdb.device", 0 },
        { "dev-vdb1.device", 1 },
        { "dev-vdb1.swap", 1 },
        { "dev-disk-by\\x2dlabel-root.device", 1 },
        { "systemd-fsck@dev-disk-by\\x2dlabel-root.service", 1 },
        { "sys-devices-pci0-block-vdb1.device", 1 },
        { "lvm2-pvscan@252:16.service", 0 },
        { "mnt-root.mount", 1 },
        { "mnt-root.automount", 1 },
        { "mnt-root.service", -1 },
        { "getty@mnt-root.service", -1 },
        { "dev-vda1.device", -1 },
        { "baseimage-status@vdb.service", -1 },
        { "-.mount", -1 },
        { "nonsense", -1 },
};

START_TEST(ask_bus__table) {
        const char *const answers[] = { "init.scope", units[_i].unit, "sysinit.target", NULL };
        sd_bus *bus = begin_bus(manager, answers);

        ck_assert_int_eq(facts_add(&facts.devices[1], KIND_LINK, "/dev/disk/by-label/root"), 0);
        ck_assert_int_eq(facts_add(&facts.devices[1], KIND_MOUNT, "/mnt/root"), 0);
        ck_assert_int_eq(manager_ask_bus(bus, &facts), 0);
        for (int i = 0; i < 2; i++)
                ck_assert_uint_eq(count_facts(&facts.devices[i], KIND_UNIT), units[_i].whose == i);
        if (units[_i].whose >= 0)
                assert_one(&facts.devices[units[_i].whose], KIND_UNIT, units[_i].unit);
        ck_assert_uint_eq(facts.system.n_facts, 0);
        end_bus(bus);
}
END_TEST

START_TEST(ask_bus__inert) {
        const char *const answers[] = { "dev-vda.device", "-.mount", NULL };
        sd_bus *bus = begin_bus(manager, answers);

        ck_assert_int_eq(manager_ask_bus(bus, &facts), 0);
        ck_assert_int_eq(end_bus(bus), STATE_INERT);
}
END_TEST

/* More than one message of the socket's size. */
START_TEST(ask_bus__ten_thousand_units) {
        enum { UNITS = 10000 };
        const char **answers = calloc(UNITS + 1, sizeof(*answers));

        ck_assert_ptr_nonnull(answers);
        for (size_t i = 0; i < UNITS; i++)
                answers[i] = i == UNITS - 1 ? "dev-vdb.device" : "dev-disk-by\\x2duuid-1234.device";
        sd_bus *bus = begin_bus(manager, answers);
        ck_assert_int_eq(manager_ask_bus(bus, &facts), 0);
        assert_one(&facts.devices[0], KIND_UNIT, "dev-vdb.device");
        end_bus(bus);
        free(answers);
}
END_TEST

START_TEST(ask_bus__refused) {
        const char *const nothing[] = { NULL };
        sd_bus *bus = begin_bus(manager, nothing);

        ck_assert_int_eq(manager_ask_bus(bus, &facts), 0);
        assert_one(&facts.system, KIND_ERROR, "systemd: Permission denied");
        ck_assert_int_eq(end_bus(bus), STATE_UNKNOWN);
}
END_TEST

START_TEST(ask_bus__nonsense) {
        sd_bus *bus = begin_bus(broken_manager, NULL);

        ck_assert_int_eq(manager_ask_bus(bus, &facts), 0);
        ck_assert_int_eq(end_bus(bus), STATE_UNKNOWN);
}
END_TEST

/* Whatever fails, the answer is not "inert". */
START_TEST(ask_bus__each_call_fails) {
        const char *const answers[] = { "dev-vda.device", "dev-vdb.device", NULL };

        for (unsigned nth = 1;; nth++) {
                sd_bus *bus = begin_bus(manager, answers);
                ck_assert_int_eq(facts_add(&facts.devices[0], KIND_LINK, "/dev/baseimage"), 0);

                fault_arm(NULL, nth);
                int r = manager_ask_bus(bus, &facts);
                const char *failed = fault_disarm();
                bool found = count_facts(&facts.devices[0], KIND_UNIT) > 0;
                enum state state = end_bus(bus);
                if (r == 0)
                        ck_assert_int_eq(state, failed && !found ? STATE_UNKNOWN : STATE_LEAKING);
                else
                        ck_assert_ptr_nonnull(failed);
                if (!failed)
                        break;
        }
}
END_TEST

/* manager_ask(): is there a manager, and who can be asked? */
static int booted, private_bus = -ENOENT, system_bus = -ENOENT;

int __wrap_sd_booted(void);
int __wrap_sd_booted(void) {
        return booted;
}

int __real_sd_bus_start(sd_bus *bus);
int __wrap_sd_bus_start(sd_bus *bus);
int __wrap_sd_bus_start(sd_bus *bus) {
        const char *address;

        /* Only the manager's has an address here. */
        return sd_bus_get_address(bus, &address) < 0 ? __real_sd_bus_start(bus) : private_bus;
}

int __wrap_sd_bus_open_system(sd_bus **ret);
int __wrap_sd_bus_open_system(sd_bus **ret) {
        return system_bus < 0 ? system_bus : sd_bus_new(ret);
}

START_TEST(ask__not_running_under_systemd) {
        begin_inert();
        booted = 0;
        ck_assert_int_eq(manager_ask(&facts), 0);
        ck_assert(!facts.systemd);
        ck_assert_int_eq(end(), STATE_INERT);
}
END_TEST

START_TEST(ask__no_devices_no_question) {
        facts = (struct facts){ 0 };
        booted = 1;
        ck_assert_int_eq(manager_ask(&facts), 0);
        ck_assert(facts.systemd);
}
END_TEST

START_TEST(ask__nobody_answers) {
        begin_inert();
        booted = 1;
        private_bus = _i == 1 ? 0 : -ECONNREFUSED; /* a bus that is not connected */
        system_bus = _i == 2 ? 0 : -EHOSTUNREACH;
        ck_assert_int_eq(manager_ask(&facts), 0);
        assert_one(&facts.system, KIND_ERROR,
                   _i == 0 ? "systemd: No route to host" : "systemd: Transport endpoint is not connected");
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

START_TEST(ask__each_call_fails) {
        static const char *const calls[] = { "sd_bus_new", "sd_bus_set_address" };

        begin_inert();
        booted = 1;
        fault_arm(calls[_i], 1);
        ck_assert_int_eq(manager_ask(&facts), 0);
        ck_assert_ptr_nonnull(fault_disarm());
        ck_assert_int_eq(end(), STATE_UNKNOWN);
}
END_TEST

int main(void) {
        const struct test_case cases[] = {
                { "ask_bus__table", ask_bus__table, N(units) },
                { "ask_bus__inert", ask_bus__inert, 0 },
                { "ask_bus__ten_thousand_units", ask_bus__ten_thousand_units, 0 },
                { "ask_bus__refused", ask_bus__refused, 0 },
                { "ask_bus__nonsense", ask_bus__nonsense, 0 },
                { "ask_bus__each_call_fails", ask_bus__each_call_fails, 0 },
                { "ask__not_running_under_systemd", ask__not_running_under_systemd, 0 },
                { "ask__no_devices_no_question", ask__no_devices_no_question, 0 },
                { "ask__nobody_answers", ask__nobody_answers, 3 },
                { "ask__each_call_fails", ask__each_call_fails, 2 },
        };
        return run_tests("status-manager", cases, N(cases));
}
