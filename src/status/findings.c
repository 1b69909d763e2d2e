/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>

#include "config.h"
#include "status.h"

#define TRIGGER "udevadm trigger --action=change --settle /dev/%s"
#define FIND_RULE "find the rule that interferes: udevadm test --action=change /sys/class/block/%s"
#define INSTALL "install baseimage-udev (or unmask its rule), then: "
#define BOOT_AGAIN "; if root is on it, boot again with the rule in the initramfs"

/* add_finding() replaces each %s in a remedy by the argument "name". */
static const struct {
        const char *name, *remedy;
} kinds[] = {
        [KIND_RULE_DISABLED] = { "rule", "boot without " BASEIMAGE_OPTION "=off" },
        [KIND_RULE_MISSING] = { "rule", INSTALL TRIGGER },
        [KIND_MARK] = { "mark", FIND_RULE },
        [KIND_PROPERTY] = { "property", FIND_RULE },
        [KIND_EXTRA_LINK] = { "link", FIND_RULE },
        [KIND_MISSING_LINK] = { "name", "find the disk with this link (udevadm info LINK), then: " TRIGGER },
        [KIND_PARTITION] = { "partition", "close the program that has it open (fuser -v /dev/%s) or see: "
                                          "journalctl -b -u systemd-udevd; then: " TRIGGER },
        [KIND_ROOT_MOUNT] = { "mount", "give the guest's own disk another serial, or boot again with "
                                       "the rule in the initramfs" },
        [KIND_MOUNT] = { "mount", "umount %s; make sure that /etc/fstab does not mount it" },
        [KIND_SWAP] = { "swap", "swapoff %s; make sure that /etc/fstab does not name it" },
        [KIND_HOLDER] = { "holder", "%s" BOOT_AGAIN },
        [KIND_BTRFS] = { "btrfs", "unmount this file system, then: btrfs device scan --forget" BOOT_AGAIN },
        [KIND_LOOP] = { "loop", "unmount /dev/%s, then: losetup -d /dev/%s" },
        [KIND_INITRAMFS] = { "initramfs", INSTALL "dpkg-reconfigure baseimage-udev" },
        [KIND_ERROR] = { "error",
                         "run baseimage-status as root; if the disk was just attached, run it again" },
        [KIND_PENDING] = { "pending", "udevadm settle; udevadm trigger --action=add --settle /dev/%s" },
        [KIND_NO_DRIVER] = { "unbound", "echo %s > " BASEIMAGE_DRIVER_D "/bind" },
        [KIND_BIND_PENDING] = { "unbound", "udevadm trigger --type=devices --action=add" },
        [KIND_LVM_CONTENT] = { "content", "have LVM's filter reject /dev/%s: see baseimage-udev(7)" },
        [KIND_CONTENT] = { "content", "use an image with partitions: see baseimage-udev(7)" },
        [KIND_OPTION] = { "option", "boot without " BASEIMAGE_OPTION },
        [KIND_ACCESS] = { "access", "attach the disk read-only" },
};

const char *kind_to_string(enum kind kind) {
        return kinds[kind].name;
}

void *check_memory(void *memory) {
        if (memory)
                return memory;
        fputs("baseimage-status: out of memory\n", stderr);
        exit(STATE_UNKNOWN);
}

char *format(const char *template, ...) {
        char *text;
        va_list ap;

        va_start(ap, template);
        int n = vasprintf(&text, template, ap);
        va_end(ap);
        return check_memory(n < 0 ? NULL : text);
}

/* Returns a copy of text, in which \xNN replaces each byte that is not printable ASCII.  Frees text. */
static char *escape(char *text) {
        char *escaped = check_memory(malloc(strlen(text) * 4 + 1)), *end = escaped;

        for (const char *c = text; *c; c++)
                end += sprintf(end, *c >= ' ' && *c <= '~' ? "%c" : "\\x%02x", (unsigned char)*c);
        *end = '\0';
        free(text);
        return escaped;
}

void add_finding(struct status *s, struct device *d, enum kind kind, const char *name, const char *evidence,
                 ...) {
        struct finding finding = { .device = d, .kind = d && !d->disk->selected ? KIND_NONE : kind };
        va_list ap;

        va_start(ap, evidence);
        int n = vasprintf(&finding.evidence, evidence, ap);
        va_end(ap);
        finding.evidence = escape(check_memory(n < 0 ? NULL : finding.evidence));
        /* If the rule did not run, the remedy for the kinds up to KIND_PARTITION is to run the rule. */
        if (d && kind <= KIND_PARTITION && d->disk->rule_problem != KIND_NONE) {
                kind = d->disk->rule_problem;
                name = d->disk->name;
        }
        finding.remedy = escape(format(kinds[kind].remedy, name, name));
        s->findings = check_memory(reallocarray(s->findings, s->n_findings + 1, sizeof(finding)));
        s->findings[s->n_findings++] = finding;
}

void add_error(struct status *s, struct device *d, const char *what, int error) {
        add_finding(s, d, KIND_ERROR, "", "cannot read %s: %s", what, strerror(abs(error)));
}

bool is_of_disk(const struct finding *f, const struct device *disk) {
        return disk ? f->device && f->device->disk == disk : !f->device;
}

enum state state_of(const struct status *s, const struct device *disk) {
        enum kind worst = KIND_NONE;

        /* A finding that belongs to no base image counts for the state of every base image. */
        for_each_finding (f, s)
                if ((!disk || !f->device || is_of_disk(f, disk)) && f->kind < worst)
                        worst = f->kind;
        if (worst < KIND_LVM_CONTENT)
                return worst < KIND_ERROR ? STATE_LEAKING : STATE_UNKNOWN;
        return s->n_devices > 0 ? STATE_INERT : STATE_NONE;
}
