/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/sysmacros.h>

#include "config.h"
#include "status.h"

/* What the rule sets: generated from its text, so that it stands once. */
static const struct {
        const char *key, *value;
        const char *readers; /* whom it holds off */
} marks[] = {
#define MARK(key, value, readers) { key, value, readers },
#include "marks.h"
#undef MARK
};

#define REMEDY_RULE                                                                                         \
        "install baseimage-udev, then: udevadm trigger --action=change --settle DEVICE; if it is "          \
        "installed, see what its rule and others do: udevadm test --action=change DEVICE"

static const struct {
        enum severity severity;
        const char *name, *remedy;
} kinds[_KINDS] = {
        [KIND_MISSING] = { SEVERITY_LEAK, "missing", REMEDY_RULE },
        [KIND_PROPERTY] = { SEVERITY_LEAK, "property", REMEDY_RULE },
        [KIND_PARTITION] = { SEVERITY_LEAK, "partition",
                             "if baseimage-udev is installed, something has it open: fuser -v DEVICE; then: "
                             "udevadm trigger --action=change --settle DISK" },
        [KIND_LINK] = { SEVERITY_LEAK, "link",
                        "as for a property; else find who makes it: grep -r SYMLINK /etc/udev/rules.d "
                        "/run/udev/rules.d /usr/lib/udev/rules.d" },
        [KIND_NAME] = { SEVERITY_LEAK, "name",
                        "see whose it is: udevadm info LINK; then: udevadm trigger --action=change --settle "
                        "DEVICE" },
        [KIND_UNIT] = { SEVERITY_LEAK, "unit",
                        "systemctl stop UNIT; a .device unit goes with the properties and links" },
        [KIND_HOLDER] = { SEVERITY_LEAK, "holder",
                          "let go of it: vgchange -an VG, mdadm --stop MD, cryptsetup close NAME or dmsetup "
                          "remove NAME; if it holds the root file system, boot again with the rule in the "
                          "initramfs" },
        [KIND_BTRFS] = { SEVERITY_LEAK, "btrfs",
                         "umount the file system, then: btrfs device scan --forget; if it is the root file "
                         "system, boot again with the rule in the initramfs" },
        [KIND_MOUNT] = { SEVERITY_LEAK, "mount",
                         "umount it, and see that /etc/fstab does not mount it again" },
        [KIND_SWAP] = { SEVERITY_LEAK, "swap", "swapoff it, and see that /etc/fstab does not name it" },
        [KIND_INITRAMFS] = { SEVERITY_LEAK, "initramfs",
                             "update-initramfs -u, or with dracut: dracut --force; make a UKI anew" },
        /* LVM's filter ends it, and that LVM alone can read: hence no leak. */
        [KIND_BARE_DISK] = { SEVERITY_NOTE, "bare-disk",
                             "if LVM is on it (root can see): LVM reads every disk by itself, and changes "
                             "no volume group that is there twice; have it filter this disk, see "
                             "baseimage-udev(7)" },
        [KIND_ACCESS] = { SEVERITY_NOTE, "access",
                          "attach it read-only, so that nothing in the guest can change the image" },
        [KIND_OPT_OUT] = { SEVERITY_NOTE, "opt-out",
                           "boot without this option to have the disk left alone" },
        [KIND_OPTION] = { SEVERITY_NOTE, "option",
                          "it means nothing: say off or partitions, or boot without it" },
        [KIND_ERROR] = { SEVERITY_UNKNOWN, "error",
                         "run baseimage-status again, as root, and with what it lacks; detach and attach "
                         "the disk if it stays" },
};

static const char remedy_root[] =
        "if this is the guest's own disk, give it another serial; until then boot with " BASEIMAGE_OPTION
        "=off; if not, boot again with the rule in the initramfs";

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

static int add_finding(struct verdict *verdict, const struct device *device, enum kind kind,
                       const char *evidence) {
        struct finding *grown = realloc(verdict->findings, (verdict->n_findings + 1) * sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        verdict->findings = grown;

        struct finding *finding = &grown[verdict->n_findings];
        *finding = (struct finding){
                .severity = kinds[kind].severity,
                .device = device,
                .kind = kinds[kind].name,
                .evidence = text_escape(evidence),
                .remedy = kinds[kind].remedy,
        };
        if (kind == KIND_MOUNT && strcmp(evidence, "/") == 0)
                finding->remedy = remedy_root;
        if (!finding->evidence)
                return -ENOMEM;
        verdict->n_findings++;
        return 0;
}

/* The value of a property in udev's record, "" where there is none. */
static const char *property(const struct device *device, const char *key) {
        for (size_t i = 0; i < device->n_facts; i++) {
                const struct fact *fact = &device->facts[i];
                const char *rest = fact->kind == KIND_PROPERTY ? startswith(fact->text, key) : NULL;

                if (rest && rest[0] == '=')
                        return rest + 1;
        }
        return "";
}

static int judge_marks(const struct device *device, struct verdict *verdict) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < sizeof(marks) / sizeof(*marks); i++) {
                if (strcmp(property(device, marks[i].key), marks[i].value) == 0)
                        continue;
                _cleanup_free_ char *evidence =
                        text_format("%s=%s for %s", marks[i].key, marks[i].value, marks[i].readers);
                r = evidence ? add_finding(verdict, device, KIND_MISSING, evidence) : -ENOMEM;
        }
        return r;
}

/* Other than "", these are what udev decided. */
static bool is_off(const struct device *device) {
        return strcmp(property(device, BASEIMAGE_OPTION), "off") == 0;
}

static bool keeps_partitions(const struct device *device) {
        return strcmp(property(device, BASEIMAGE_OPTION), "partitions") == 0;
}

/* Once: it is on the kernel command line. */
static int judge_option(const struct facts *facts, struct verdict *verdict) {
        for (size_t i = 0; i < facts->n_devices; i++) {
                const struct device *device = &facts->devices[i];
                const char *value = property(device, BASEIMAGE_OPTION);

                if (value[0] == '\0' || keeps_partitions(device))
                        continue;
                _cleanup_free_ char *evidence = text_format(BASEIMAGE_OPTION "=%s", value);
                if (!evidence)
                        return -ENOMEM;
                return add_finding(verdict, &facts->system, is_off(device) ? KIND_OPT_OUT : KIND_OPTION,
                                   evidence);
        }
        return 0;
}

/* What someone found inside.  An empty value is none: see systemd 247 and 252. */
static bool is_leaked_property(const char *text) {
        const char *value = strchr(text, '=');

        return value && value[1] != '\0' && (startswith(text, "ID_FS_") || startswith(text, "ID_PART_"));
}

/* The rule's own links, and the number that udev gives to every device. */
static bool is_own_link(const char *link, const struct device *device) {
        char number[64];

        snprintf(number, sizeof(number), "/dev/block/%u:%u", major(device->devnum), minor(device->devnum));
        return strcmp(link, device->links[0]) == 0 || strcmp(link, device->links[1]) == 0 ||
               strcmp(link, number) == 0;
}

static int judge_fact(const struct device *device, const struct fact *fact, struct verdict *verdict) {
        if (!kinds[fact->kind].name || (device->doubtful && fact->kind != KIND_ERROR) ||
            (fact->kind == KIND_PROPERTY && !is_leaked_property(fact->text)) ||
            (fact->kind == KIND_LINK && device->name && is_own_link(fact->text, device)))
                return 0;
        return add_finding(verdict, device, fact->kind, fact->text);
}

static int judge_device(const struct device *device, struct verdict *verdict) {
        int r = 0;

        if (device->recorded && !device->doubtful) {
                r = judge_marks(device, verdict);
                if (r >= 0 && device->partition != 0 && !is_off(device) && !keeps_partitions(device))
                        r = add_finding(verdict, device, KIND_PARTITION, device->node);
        }
        for (size_t i = 0; r >= 0 && i < device->n_facts; i++)
                r = judge_fact(device, &device->facts[i], verdict);
        if (r >= 0 && device->name && !device->read_only && !device->doubtful)
                r = add_finding(verdict, device, KIND_ACCESS, "writable");
        return r;
}

/* A leak is sure, whatever else could not be seen. */
static enum state worse(enum state state, enum severity severity) {
        if (severity == SEVERITY_LEAK)
                return STATE_LEAKING;
        return severity == SEVERITY_UNKNOWN && state == STATE_INERT ? STATE_UNKNOWN : state;
}

int verdict_reach(const struct facts *facts, struct verdict *ret) {
        struct verdict verdict = { .state = facts->n_devices > 0 ? STATE_INERT : STATE_NONE };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < facts->n_devices; i++)
                r = judge_device(&facts->devices[i], &verdict);
        if (r >= 0)
                r = judge_option(facts, &verdict);
        if (r >= 0 && facts->n_devices > 0)
                r = judge_device(&facts->system, &verdict);
        if (r < 0) {
                verdict_done(&verdict);
                return r;
        }
        for (size_t i = 0; i < verdict.n_findings; i++)
                verdict.state = worse(verdict.state, verdict.findings[i].severity);
        *ret = verdict;
        return 0;
}

bool finding_concerns(const struct finding *finding, const struct device *device, bool whole) {
        return !finding->device->name || finding->device == device ||
               (whole && strcmp(finding->device->disk, device->disk) == 0);
}

enum state verdict_of(const struct verdict *verdict, const struct device *device, bool whole) {
        enum state state = STATE_INERT;

        for (size_t i = 0; i < verdict->n_findings; i++)
                if (finding_concerns(&verdict->findings[i], device, whole))
                        state = worse(state, verdict->findings[i].severity);
        return state;
}
