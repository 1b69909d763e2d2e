/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/sysmacros.h>

#include "baseimage.h"
#include "config.h"
#include "text.h"
#include "util.h"
#include "verdict.h"

static const char remedy_rule[] =
        "install baseimage-udev, then: udevadm trigger --action=change --settle DEVICE; if it is "
        "installed, see what its rule does: udevadm test --action=change DEVICE";

/* What a fact of each kind means; properties and links have more to say. */
static const struct {
        const char *name, *remedy;
        enum severity severity;
} kinds[_FACT_KINDS] = {
        [FACT_PROPERTY] = { "property", remedy_rule, SEVERITY_LEAK },
        [FACT_LINK] = { "link",
                        "as for a property; else find who makes it: grep -r SYMLINK "
                        "/etc/udev/rules.d /run/udev/rules.d /usr/lib/udev/rules.d",
                        SEVERITY_LEAK },
        [FACT_UNIT] = { "unit", "systemctl stop UNIT; a .device unit goes with the properties and links",
                        SEVERITY_LEAK },
        [FACT_HOLDER] = { "holder",
                          "let go of it: vgchange -an VG, mdadm --stop MD, cryptsetup close NAME or "
                          "dmsetup remove NAME; if it holds the root file system, boot again with the "
                          "rule in the initramfs",
                          SEVERITY_LEAK },
        [FACT_BTRFS] = { "btrfs",
                         "umount the file system, then: btrfs device scan --forget; if it is the root "
                         "file system, boot again with the rule in the initramfs",
                         SEVERITY_LEAK },
        [FACT_MOUNT] = { "mount", "umount it, and see that /etc/fstab does not mount it again",
                         SEVERITY_LEAK },
        [FACT_SWAP] = { "swap", "swapoff it, and see that /etc/fstab does not name it", SEVERITY_LEAK },
        [FACT_INITRAMFS] = { "initramfs",
                             "it lacks " BASEIMAGE_RULE_NAME
                             ": update-initramfs -u, or with dracut: dracut --force",
                             SEVERITY_LEAK },
        [FACT_OPT_OUT] = { "opt-out", "boot without this option to have the disk left alone",
                           SEVERITY_NOTE },
        [FACT_ERROR] = { "error",
                         "run baseimage-status again, as root; detach and attach the disk if it stays",
                         SEVERITY_UNKNOWN },
};

static const char remedy_root[] =
        "if this is the guest's own disk, give it another serial; until then boot with " BASEIMAGE_OPTION
        "=off; if not, boot again with the rule in the initramfs";
static const char remedy_writable[] =
        "attach it read-only, so that nothing in the guest can change the image";

const char *state_to_string(enum state state) {
        static const char *const names[] = {
                [STATE_INERT] = "inert",
                [STATE_LEAKING] = "leaking",
                [STATE_UNKNOWN] = "unknown",
                [STATE_NONE] = "none",
        };
        return names[state];
}

const char *severity_to_string(enum severity severity) {
        static const char *const names[] = {
                [SEVERITY_NOTE] = "note",
                [SEVERITY_LEAK] = "leak",
                [SEVERITY_UNKNOWN] = "unknown",
        };
        return names[severity];
}

void verdict_done(struct verdict *verdict) {
        for (size_t i = 0; i < verdict->n_findings; i++)
                free(verdict->findings[i].evidence);
        free(verdict->findings);
        *verdict = (struct verdict){ 0 };
}

/* Takes the evidence, also on failure. */
static int take_finding(struct verdict *verdict, struct finding finding) {
        struct finding *grown = NULL;

        if (finding.evidence)
                grown = realloc(verdict->findings, (verdict->n_findings + 1) * sizeof(*grown));
        if (!grown) {
                free(finding.evidence);
                return -ENOMEM;
        }
        verdict->findings = grown;
        grown[verdict->n_findings++] = finding;
        return 0;
}

static const char *property(const struct device *device, const char *key, size_t n) {
        for (size_t i = 0; i < device->n_facts; i++) {
                const struct fact *fact = &device->facts[i];

                if (fact->kind == FACT_PROPERTY && strncmp(fact->text, key, n) == 0 && fact->text[n] == '=')
                        return fact->text + n + 1;
        }
        return "";
}

/* Each property that the contract sets and the device lacks.  Those that it
 * empties are among the properties that leak. */
static int judge_contract(const struct device *device, struct verdict *verdict) {
        for (const char *line = baseimage_properties(BASEIMAGE_SERIAL), *next; *line; line = next) {
                size_t key = strcspn(line, "="), all = strcspn(line, "\n");
                const char *wanted = line + key + 1;
                size_t n = all - key - 1;

                next = line + all + 1;
                const char *value = property(device, line, key);
                if (*wanted == '"' || (strlen(value) == n && memcmp(value, wanted, n) == 0))
                        continue;
                int r = take_finding(verdict, (struct finding){
                                                      .severity = SEVERITY_LEAK,
                                                      .device = device,
                                                      .kind = "missing",
                                                      .evidence = text_format("%.*s", (int)all, line),
                                                      .remedy = remedy_rule,
                                              });
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What someone found inside.  An empty value is none: see systemd 247 and 252. */
static bool is_leaked_property(const char *text) {
        const char *value = strchr(text, '=');

        return value && value[1] != '\0' && (startswith(text, "ID_FS_") || startswith(text, "ID_PART_"));
}

static bool is_own_name(const char *name, const struct device *device) {
        /* On a partition too: other rules for this serial call all of it so. */
        if (name[0] == '\0')
                return true;
        name = startswith(name, "-part");
        return name && name[0] != '0' && strspn(name, "0123456789") == strlen(name) &&
               strtoul(name, NULL, 10) == device->partition;
}

/* The rule's own links, and the number that udev gives to every device. */
static bool is_own_link(const char *link, const struct device *device) {
        static const char *const own[] = { "/dev/baseimage", "/dev/disk/by-id/virtio-" BASEIMAGE_SERIAL };
        char *end;

        for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) {
                const char *rest = startswith(link, own[i]);
                if (rest && is_own_name(rest, device))
                        return true;
        }
        link = startswith(link, "/dev/block/");
        return link && strtoul(link, &end, 10) == major(device->devnum) && *end == ':' &&
               strtoul(end + 1, &end, 10) == minor(device->devnum) && *end == '\0';
}

static int judge_fact(const struct device *device, const struct fact *fact, struct verdict *verdict) {
        const char *remedy = kinds[fact->kind].remedy;

        if (fact->kind == FACT_PROPERTY && !is_leaked_property(fact->text))
                return 0;
        if (fact->kind == FACT_LINK && is_own_link(fact->text, device))
                return 0;
        if (fact->kind == FACT_MOUNT && strcmp(fact->text, "/") == 0)
                remedy = remedy_root;
        return take_finding(verdict, (struct finding){
                                             .severity = kinds[fact->kind].severity,
                                             .device = device,
                                             .kind = kinds[fact->kind].name,
                                             .evidence = strdup(fact->text),
                                             .remedy = remedy,
                                     });
}

static int judge_access(const struct device *device, struct verdict *verdict) {
        if (device->read_only || device->doubtful)
                return 0;
        return take_finding(verdict, (struct finding){
                                             .severity = SEVERITY_NOTE,
                                             .device = device,
                                             .kind = "access",
                                             .evidence = strdup("writable"),
                                             .remedy = remedy_writable,
                                     });
}

static int judge_device(const struct device *device, struct verdict *verdict) {
        int r = 0;

        if (device->recorded && !device->doubtful)
                r = judge_contract(device, verdict);
        for (size_t i = 0; r >= 0 && i < device->n_facts; i++)
                if (!device->doubtful || device->facts[i].kind == FACT_ERROR)
                        r = judge_fact(device, &device->facts[i], verdict);
        if (r < 0)
                return r;
        return judge_access(device, verdict);
}

/* A leak is sure, whatever else could not be seen. */
static enum state worse(enum state state, enum severity severity) {
        if (severity == SEVERITY_LEAK)
                return STATE_LEAKING;
        return severity == SEVERITY_UNKNOWN && state == STATE_INERT ? STATE_UNKNOWN : state;
}

int verdict_reach(const struct facts *facts, struct verdict *ret) {
        struct verdict verdict = { .state = facts->n_devices > 0 ? STATE_INERT : STATE_NONE };

        for (size_t i = 0; i < facts->n_devices; i++) {
                int r = judge_device(&facts->devices[i], &verdict);
                if (r < 0) {
                        verdict_done(&verdict);
                        return r;
                }
        }
        for (size_t i = 0; i < verdict.n_findings; i++)
                verdict.state = worse(verdict.state, verdict.findings[i].severity);
        *ret = verdict;
        return 0;
}

enum state verdict_of_device(const struct verdict *verdict, const struct device *device) {
        enum state state = STATE_INERT;

        for (size_t i = 0; i < verdict->n_findings; i++)
                if (verdict->findings[i].device == device)
                        state = worse(state, verdict->findings[i].severity);
        return state;
}

enum state verdict_of_disk(const struct verdict *verdict, const char *disk) {
        enum state state = STATE_INERT;

        for (size_t i = 0; i < verdict->n_findings; i++)
                if (strcmp(verdict->findings[i].device->disk, disk) == 0)
                        state = worse(state, verdict->findings[i].severity);
        return state;
}
