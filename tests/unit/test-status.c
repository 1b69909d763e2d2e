/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * These tests run baseimage-status on a simulated guest, which is a directory.
 * status-guest.sh creates the guest.  Each case has a shell command that changes the guest,
 * and the expected output of baseimage-status. */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "run-suite.h"

#define N(array) (sizeof(array) / sizeof(*(array)))

static char output[1 << 20];

/* Creates a guest, runs the command in the directory of the guest, and then runs
 * baseimage-status with the arguments.  Replaces several blanks in the output by one blank.
 * Stores the output in the variable "output".  Returns the exit status of baseimage-status. */
static int run_status(const char *command, const char *arguments) {
        static const char script[] = "exec 2>&1\n"
                                     "rm -rf \"$GUEST\" && mkdir -p \"$GUEST\" && cd \"$GUEST\" || exit 90\n"
                                     ". \"$SCRIPT\" || exit 91\n"
                                     "%s\n"
                                     "export PATH=\"$PWD/bin:$PATH\" status=0\n"
                                     "\"$STATUS\" >out 2>&1 %s || status=$?\n"
                                     "tr -s ' ' <out\n"
                                     "exit $status\n";
        char *text;

        ck_assert_int_gt(asprintf(&text, script, command, arguments), 0);
        FILE *out = popen(text, "r");
        ck_assert_ptr_nonnull(out);
        size_t n = fread(output, 1, sizeof(output) - 1, out);
        output[n] = '\0';
        free(text);
        int status = pclose(out);
        ck_assert(WIFEXITED(status));
        return WEXITSTATUS(status);
}

#define TRIGGER "udevadm trigger --action=change --settle /dev/"
#define FIND_RULE "find the rule that interferes: udevadm test --action=change /sys/class/block/"
#define BOOT_AGAIN "; if root is on it, boot again with the rule in the initramfs"
#define AGAIN "run baseimage-status as root; if the disk was just attached, run it again"
#define INITRAMFS "install baseimage-udev (or unmask its rule), then: dpkg-reconfigure baseimage-udev"
#define UNMOUNT(point) "umount " point "; make sure that /etc/fstab does not mount it"

#define DETACH "rm -r sys/class/block/vdb"
#define HEADINGS "DEVICE STATE KIND EVIDENCE\n"
#define INERT HEADINGS "/dev/vdb inert disk 0 partitions\n"
#define NO_BASE_IMAGE "No base image found.\n"
#define TO_DO "\nWhat to do:\n "
#define BAD_INITRAMFS(evidence)                                                                             \
        NO_BASE_IMAGE HEADINGS "- leak initramfs " evidence "\n" TO_DO "initramfs: " INITRAMFS "\n"
#define JSON(vdb) "{\n \"baseimages\": [\n " vdb "\n ]\n}\n"

/* Each of these macros is a row of findings[] without the field "command". */
#define LEAK(kind, evidence, remedy) "leak", "vdb", kind, evidence, remedy
#define NO_MARK(mark, affects) LEAK("mark", mark " is missing; this affects " affects, FIND_RULE "vdb")
#define PROPERTY(text) LEAK("property", text, FIND_RULE "vdb")
#define NO_LINK(link)                                                                                       \
        LEAK("name", link " does not lead to the base image",                                               \
             "find the disk with this link (udevadm info LINK), then: " TRIGGER "vdb")
#define LOOP(device)                                                                                        \
        LEAK("loop", device " shows its content", "unmount " device ", then: losetup -d " device)
#define MOUNT(point) LEAK("mount", point, UNMOUNT(point))
#define REPLACED "unknown", "vdb", "error", "the device was detached or replaced during the check", AGAIN
#define UNREADABLE(what) "unknown", "-", "error", "cannot read " what, AGAIN
#define NOTE(kind, evidence, remedy) "note", "vdb", kind, evidence, remedy

/* Each command changes the guest.  Then baseimage-status must report only the finding of the row. */
static const struct {
        const char *command;
        const char *severity, *device, *kind, *evidence, *remedy;
} findings[] = {
        { "without_rule vdb", LEAK("rule", "59-baseimage.rules did not run",
                                   "install baseimage-udev (or unmask its rule), then: " TRIGGER "vdb") },
        { "without_rule vdb; set_property vdb baseimage_udev=off",
          LEAK("rule", "baseimage_udev=off disables the rule", "boot without baseimage_udev=off") },
        { "set_property vdb SYSTEMD_READY=", NO_MARK("SYSTEMD_READY=0", "systemd, btrfs, md") },
        { "set_property vdb SYSTEMD_READY=1", NO_MARK("SYSTEMD_READY=0", "systemd, btrfs, md") },
        { "set_property vdb UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG=",
          NO_MARK("UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG=1", "links by UUID and label") },
        { "set_property vdb DM_UDEV_DISABLE_OTHER_RULES_FLAG=",
          NO_MARK("DM_UDEV_DISABLE_OTHER_RULES_FLAG=1", "LVM, bcache, udisks2") },
        { "set_property vdb DM_MULTIPATH_DEVICE_PATH=",
          NO_MARK("DM_MULTIPATH_DEVICE_PATH=1", "btrfs, md, LVM") },
        { "set_property vdb UDISKS_IGNORE=", NO_MARK("UDISKS_IGNORE=1", "udisks2") },
        { "set_property vdb ID_FS_UUID=1234", PROPERTY("ID_FS_UUID=1234") },
        { "set_property vdb ID_PART_TABLE_TYPE=gpt", PROPERTY("ID_PART_TABLE_TYPE=gpt") },
        { "set_property vdb 'DEVLINKS=/dev/baseimage /dev/disk/by-uuid/1'",
          LEAK("link", "/dev/disk/by-uuid/1", FIND_RULE "vdb") },
        { "ln -sf vda dev/baseimage", NO_LINK("/dev/baseimage") },
        { "rm dev/disk/by-id/*", NO_LINK("/dev/disk/by-id/virtio-BASEIMAGE") },
        { "mkdir sys/class/block/vdb/holders/md0 sys/class/block/md0",
          LEAK("holder", "md0", "mdadm --stop /dev/md0" BOOT_AGAIN) },
        { "mkdir -p sys/class/block/vdb/holders/dm-0 sys/class/block/dm-0/dm;"
          " echo vg-root >sys/class/block/dm-0/dm/name",
          LEAK("holder", "dm-0 vg-root", "dmsetup remove vg-root" BOOT_AGAIN) },
        { "mkdir sys/class/block/vdb/holders/bcache0",
          LEAK("holder", "bcache0", "stop /dev/bcache0" BOOT_AGAIN) },
        { "mkdir -p sys/fs/btrfs/12-34/devices/vdb",
          LEAK("btrfs", "12-34", "unmount this file system, then: btrfs device scan --forget" BOOT_AGAIN) },
        { "loop loop0 /dev/vdb", LOOP("/dev/loop0") },
        { "loop loop1 /dev/baseimage", LOOP("/dev/loop1") },
        { "mounted 252:16 /mnt /dev/x", MOUNT("/mnt") },
        { "mounted 0:33 '/mnt/a\\\\040b' /dev/baseimage", MOUNT("/mnt/a b") },
        { "mounted 252:16 '/mnt/\\\\033[31m\\\\012x' /dev/x", MOUNT("/mnt/\\x1b[31m\\x0ax") },
        { "mounted 252:16 / /dev/vdb",
          LEAK("mount", "/",
               "give the guest's own disk another serial, or boot again with the rule in the initramfs") },
        { "echo '/dev/vdb partition 8 0 -2' >>proc/swaps",
          LEAK("swap", "/dev/vdb", "swapoff /dev/vdb; make sure that /etc/fstab does not name it") },
        { "rm run/udev/data/vdb", "unknown", "vdb", "pending", "udev has not handled the device",
          "udevadm settle; udevadm trigger --action=add --settle /dev/vdb" },
        { "set_property vdb UNREADABLE=yes", "unknown", "vdb", "error",
          "cannot read udev's record: Input/output error", AGAIN },
        { "rm dev/vdb; mkdir dev/vdb", "unknown", "vdb", "error", "cannot read the disk: Input/output error",
          AGAIN },
        { "touch sys/class/block/vdb/gone.now", REPLACED },
        { "echo OTHER >sys/class/block/vdb/serial.now; sed -i s/ID_SERIAL=.*/ID_SERIAL=X/ run/udev/data/vdb",
          REPLACED },
        { "echo 252:99 >sys/class/block/vdb/dev.now; mounted 252:16 /mnt /dev/vdb", REPLACED },
        { "echo 0 >sys/class/block/vdb/ro",
          NOTE("access", "the disk is writable", "attach the disk read-only") },
        { "/sbin/mkswap dev/vdb >/dev/null 2>&1",
          NOTE("content", "swap on the whole disk: programs that scan disks see a duplicate",
               "use an image with partitions: see baseimage-udev(7)") },
        { "set_property vdb baseimage_udev=on",
          NOTE("option", "baseimage_udev=on has no effect", "boot without baseimage_udev") },
        { "set_property vdb baseimage_udev=partitions",
          NOTE("option",
               "baseimage_udev=partitions keeps partitions: programs that scan disks see duplicates",
               "boot without baseimage_udev") },
        { "rm proc/self/mountinfo", UNREADABLE("/proc/self/mountinfo: No such file or directory") },
        { "echo nonsense >>proc/self/mountinfo", UNREADABLE("/proc/self/mountinfo: Bad message") },
        { "rm proc/swaps; mkdir proc/swaps", UNREADABLE("/proc/swaps: Invalid argument") },
        { "mkdir -p sys/class/block/loop0/loop/backing_file",
          UNREADABLE("the file of a loop device: Is a directory") },
        { "mkdir -p sys/class/block/vdc/serial", UNREADABLE("the serial of a disk: Is a directory") },
        { "virtio virtio3 0x0002", "unknown", "-", "unbound",
          "virtio3 has no driver and may be a base image; "
          "/run/udev/rules.d/59-baseimage-virtio3.rules does not exist",
          "echo virtio3 > /sys/bus/virtio/drivers/virtio_blk/bind" },
        { "virtio virtio3 0x0002; mkdir run/udev/rules.d; : >run/udev/rules.d/59-baseimage-virtio3.rules",
          "unknown", "-", "unbound",
          "virtio3 has no driver and may be a base image; "
          "/run/udev/rules.d/59-baseimage-virtio3.rules can bind it",
          "udevadm trigger --type=devices --action=add" },
};

static const char *state_of(const char *severity) {
        if (strcmp(severity, "note") == 0)
                return "inert";
        return strcmp(severity, "leak") == 0 ? "leaking" : "unknown";
}

START_TEST(test_finding__table) {
        const char *severity = findings[_i].severity, *device = findings[_i].device;
        const char *state = state_of(severity);
        char *expected;

        ck_assert_int_gt(asprintf(&expected,
                                  HEADINGS "/dev/vdb %s disk 0 partitions\n%s%s %s %s %s\n" TO_DO "%s: %s\n",
                                  state, *device == '-' ? "" : "`-", device, severity, findings[_i].kind,
                                  findings[_i].evidence, findings[_i].kind, findings[_i].remedy),
                         0);
        int status = run_status(findings[_i].command, "");
        ck_assert_str_eq(output, expected);
        ck_assert_int_eq(status, state[0] == 'i' ? 0 : state[0] == 'l' ? 1 : 2);
        free(expected);
}
END_TEST

/* Each row has a command that changes the guest, the arguments of baseimage-status, the
 * expected exit status and the expected output. */
static const struct {
        const char *command, *arguments;
        int status;
        const char *output;
} runs[] = {
        { "", "", 0, INERT },
        { "", "vdb", 0, INERT },
        { "", "/dev/vdb", 0, INERT },
        { "", "/dev/disk/by-id/virtio-BASEIMAGE", 0, INERT },
        { "", "vda", 2, "baseimage-status: arguments: one of these is not a base image\n" },
        { "", "vdb ../vdb", 2, "baseimage-status: arguments: one of these is not a base image\n" },
        { "", "--quiet", 0, "" },
        { "without_rule vdb", "-q", 1, "" },
        { "rm proc/self/mountinfo", "-q", 2, "" },
        { "", "--version", 0, "baseimage-status 1.0\n" },
        { "", "--json --quiet", 2,
          "baseimage-status: usage: --json, --quiet and --journal exclude each other\n" },
        { "", "--json", 0,
          JSON("{\n \"device\": \"/dev/vdb\",\n \"state\": \"inert\",\n \"kind\": \"disk\",\n"
               " \"evidence\": \"0 partitions\",\n \"remedy\": null\n }") },
        { "set_property vdb 'ID_FS_LABEL=\\x22\"'", "--json", 1,
          JSON("{\n \"device\": \"/dev/vdb\",\n \"state\": \"leaking\",\n \"kind\": \"disk\",\n"
               " \"evidence\": \"0 partitions\",\n \"remedy\": null,\n \"children\": [\n {\n"
               " \"device\": \"/dev/vdb\",\n \"state\": \"leak\",\n \"kind\": \"property\",\n"
               " \"evidence\": \"ID_FS_LABEL=\\\\x22\\\"\",\n \"remedy\": \"" FIND_RULE
               "vdb\"\n }\n ]\n }") },
        { DETACH, "", 3, NO_BASE_IMAGE },
        { DETACH, "--json", 3, "{\n \"baseimages\": [\n\n ]\n}\n" },
        { DETACH, "-q", 3, "" },
        { "rm -r sys/class/block", "-q", 2, "" },
        { DETACH "; virtio virtio3 0x0002", "-q", 2, "" },
        { "virtio virtio3 0x0002; ln -s x sys/class/virtio/virtio3/driver; virtio virtio4 0x0001", "", 0,
          INERT },
        /* If the serial in sysfs is BASEIMAGE, or if ID_SERIAL is BASEIMAGE, the disk is a
         * base image. */
        { "printf 'BASEIMAGE  ' >sys/class/block/vdb/serial; set_property vdb ID_SERIAL=", "", 0, INERT },
        { "printf OTHER >sys/class/block/vdb/serial", "", 0, INERT },
        { "rm sys/class/block/vdb/serial", "", 0, INERT },
        { "printf BASEIMAGE2 >sys/class/block/vdb/serial; set_property vdb ID_SERIAL=BASEIMAGE2", "", 3,
          NO_BASE_IMAGE },
        { "printf OTHER >sys/class/block/vdb/serial; set_property vdb ID_SERIAL=OTHER", "", 3,
          NO_BASE_IMAGE },
        /* The devices and mounts in the next two rows do not use the base image. */
        { "loop loop0 /srv/file; loop loop1 /srv/vdb; mkdir sys/class/block/loop2", "", 0, INERT },
        { "mounted 0:40 /net server:/dev/vdb; mounted 254:2 /mnt /dev/vda2; rm proc/swaps", "", 0, INERT },
        /* If there are two base images, each link can lead to either base image. */
        { "disk vdc 32", "", 0, INERT "/dev/vdc inert disk 0 partitions\n" },
        { "disk vdc 32; without_rule vdc", "vdb", 0, INERT },
        { "disk vdc 32; without_rule vdc", "-q vdc", 1, "" },
        { "disk vdc 32; mounted 252:32 /mnt /dev/vdc", "", 1,
          INERT "/dev/vdc leaking disk 0 partitions\n`-vdc leak mount /mnt\n" TO_DO
                "mount: " UNMOUNT("/mnt") "\n" },
        { "device vdb1 17", "vdb1", 1,
          HEADINGS "/dev/vdb leaking disk 1 partition\n"
                   "`-vdb1 leak partition programs that scan disks see a duplicate\n" TO_DO
                   "partition: close the program that has it open (fuser -v /dev/vdb1) or see: journalctl "
                   "-b -u systemd-udevd; then: " TRIGGER "vdb1\n" },
        { "device vdb1 17; touch sys/class/block/vdb1/gone.now", "-q", 2, "" },
        { "device vdb1 17; set_property vdb baseimage_udev=partitions", "-q", 0, "" },
        { "for n in 1 2 3 10; do device vdb$n 1$n; without_rule vdb$n; done; without_rule vdb;"
          " set_property vdb3 ID_FS_TYPE=ext4; set_property vdb10 ID_FS_TYPE=swap",
          "", 1,
          HEADINGS "/dev/vdb leaking disk 4 partitions\n"
                   "|-vdb-vdb10 leak rule 59-baseimage.rules did not run\n"
                   "|-vdb3-vdb10 leak property ID_FS_TYPE=ext4, and 1 more\n"
                   "`-vdb1-vdb10 leak partition programs that scan disks see a duplicate\n" TO_DO
                   "rule, property, partition: install baseimage-udev (or unmask its rule), then: " TRIGGER
                   "vdb\n" },
        { "device vdb1 17; loop loop0 /dev/vdb1", "-q", 1, "" },
        { "", "--journal vdb", 0,
          "MESSAGE=Base image /dev/vdb is inert\nPRIORITY=6\nMESSAGE_ID=8ca73e3e83fe402ca19f4e65c474fb8e\n"
          "BASEIMAGE_DEVICE=/dev/vdb\nBASEIMAGE_STATE=inert\n" },
        { "mounted 252:16 /mnt /dev/vdb", "--journal vdb", 1,
          "MESSAGE=Base image /dev/vdb is leaking\nPRIORITY=4\nMESSAGE_ID=a03dc0eed94d423fb35d7e1457617f6e\n"
          "BASEIMAGE_DEVICE=/dev/vdb\nBASEIMAGE_STATE=leaking\n" HEADINGS
          "/dev/vdb leaking disk 0 partitions\n`-vdb leak mount /mnt\n" TO_DO
          "mount: " UNMOUNT("/mnt") "\n" },
        { "complete_initramfs boot/initrd.img-1; complete_initramfs boot/initramfs-2.img;"
          " complete_initramfs var/lib/kdump/initrd.img-1;"
          " complete_initramfs boot/efi/1234/6.1/initrd.img-1; : >boot/initrd.img-0.old-dkms",
          "--initramfs", 0, INERT },
        { "", "--initramfs", 2,
          HEADINGS "/dev/vdb unknown disk 0 partitions\n"
                   "- unknown error cannot find an initramfs below /boot and /efi\n" TO_DO "error: " AGAIN
                   "\n" },
        { "complete_initramfs boot/initrd.img-1; " DETACH, "--initramfs", 3, NO_BASE_IMAGE },
        { "complete_initramfs boot/initrd.img-1; initramfs var/lib/kdump/initrd.img-1 \"$RULE\"; " DETACH,
          "--initramfs", 1, BAD_INITRAMFS("/var/lib/kdump/initrd.img-1 lacks baseimage_id") },
        { "initramfs boot/initrd.img-1 \"$HELPER\"; " DETACH, "--initramfs", 1,
          BAD_INITRAMFS("/boot/initrd.img-1 lacks 59-baseimage.rules") },
        /* An empty file or a link to /dev/null masks the rule. */
        { "complete_initramfs boot/initrd.img-1"
          " '-rw-r--r-- 1 root root 0 Nov  1 10:00 etc/udev/rules.d/59-baseimage.rules'; " DETACH,
          "--initramfs", 1, BAD_INITRAMFS("/boot/initrd.img-1 has an empty 59-baseimage.rules") },
        { "complete_initramfs boot/initrd.img-1 'lrwxrwxrwx 1 root root 9 Nov  1 10:00"
          " etc/udev/rules.d/59-baseimage.rules -> /dev/null'; " DETACH,
          "--initramfs", 1, BAD_INITRAMFS("/boot/initrd.img-1 has an empty 59-baseimage.rules") },
        { "initramfs boot/initrd.img-1 x; printf '#!/bin/sh\\nexit 1\\n' >bin/lsinitramfs;"
          " cp bin/lsinitramfs bin/lsinitrd; chmod +x bin/*; " DETACH,
          "--initramfs", 2,
          NO_BASE_IMAGE HEADINGS
          "- unknown error cannot list /boot/initrd.img-1 with lsinitramfs or lsinitrd"
          " (nor a UKI with objcopy)\n" TO_DO "error: " AGAIN "\n" },
        /* glob() cannot read one of the directories, because the directory is a link to itself. */
        { "initramfs boot/initrd.img-1 \"$HELPER\"; mkdir boot/EFI; ln -s Linux boot/EFI/Linux; " DETACH,
          "--initramfs", 1,
          NO_BASE_IMAGE HEADINGS
          "- leak initramfs /boot/initrd.img-1 lacks 59-baseimage.rules\n"
          "- unknown error cannot read /{boot/initrd.img-*,boot/initramfs-*.img,var/lib/kdump/initrd.img-*,"
          "{efi,boot,boot/efi}/{EFI/Linux/*.efi,*/*/initrd*}}: Too many levels of symbolic links\n" TO_DO
          "initramfs: " INITRAMFS "\n error: " AGAIN "\n" },
        { "complete_initramfs boot/initrd.img-1; printf '#!/bin/sh\\nexit 1\\n' >bin/lsinitramfs;"
          " printf '#!/bin/sh\\ncat \"$1\"\\n' >bin/lsinitrd; chmod +x bin/*",
          "--initramfs", 0, INERT },
};

START_TEST(test_run) {
        int status = run_status(runs[_i].command, runs[_i].arguments);

        ck_assert_str_eq(output, runs[_i].output);
        ck_assert_int_eq(status, runs[_i].status);
}
END_TEST

START_TEST(test_run__usage) {
        ck_assert_int_eq(run_status("", "--help"), 0);
        ck_assert_ptr_nonnull(strstr(output, "Exit status: 0 inert, 1 leaking, 2 unknown or wrong usage"));
        ck_assert_int_eq(run_status("", "--nonsense"), 2);
        ck_assert_int_eq(run_status("", ">/dev/full"), 2);
}
END_TEST

/* Even if the rule did not run, and if each of 64 partitions has several findings, the table
 * has at most 24 lines. */
START_TEST(test_table__one_screen) {
        static const char command[] =
                "without_rule vdb; for n in $(seq 64); do device vdb$n $((n + 16)); without_rule vdb$n;"
                " set_property vdb$n ID_FS_TYPE=ext4 ID_FS_UUID=$n ID_PART_ENTRY_NUMBER=$n"
                " \"DEVLINKS=/dev/disk/by-uuid/$n /dev/disk/by-label/$n\";"
                " mounted 252:$((n + 16)) /mnt/$n /dev/vdb$n;"
                " mkdir sys/class/block/vdb$n/holders/md$n; done";
        size_t lines = 0;

        ck_assert_int_eq(run_status(command, ""), 1);
        for (const char *c = output; *c; c++)
                lines += *c == '\n';
        ck_assert_uint_le(lines, 24);
        ck_assert_ptr_nonnull(strstr(output, "|-vdb1-vdb64 leak link /dev/disk/by-uuid/1, and 127 more\n"));
        /* The JSON output contains all findings. */
        ck_assert_int_eq(run_status(command, "--json"), 1);
        ck_assert_ptr_nonnull(strstr(output, "\"/dev/disk/by-label/64\""));
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("status");

        tcase_set_timeout(tests, 60);
        tcase_add_loop_test(tests, test_finding__table, 0, (int)N(findings));
        tcase_add_loop_test(tests, test_run, 0, (int)N(runs));
        tcase_add_test(tests, test_run__usage);
        tcase_add_test(tests, test_table__one_screen);
        return run_suite("status", tests);
}
