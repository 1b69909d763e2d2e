/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "status-test.h"
#include "text.h"

#define N(array) (sizeof(array) / sizeof(*(array)))

static const struct {
        const char *text, *escaped;
        bool spaces;
} escapes[] = {
        { "", "", false },
        { "/dev/vdb1", "/dev/vdb1", false },
        { "ID_FS_TYPE=ext4", "ID_FS_TYPE=ext4", false },
        { "a b", "a\\x20b", false },
        { "a b (c)", "a b (c)", true },
        { "a\nMESSAGE=b", "a\\x0aMESSAGE=b", true },
        { "a\tb\r", "a\\x09b\\x0d", true },
        { "\033[31mred", "\\x1b\\x5b31mred", true },
        { "100%s", "100\\x25s", true },
        { "\"'`$(rm)", "\\x22\\x27\\x60\\x24(rm)", true },
        { "\"'`$(rm)", "\\x22\\x27\\x60\\x24\\x28rm\\x29", false },
        { "a\\x20b", "a\\x20b", false },
        { "\\\\x2d", "\\x5c\\x2d", true },
        { "a\\x2", "a\\x5cx2", true },
        { "a\\x2g", "a\\x5cx2g", true },
        { "a\\n", "a\\x5cn", true },
        { "a\\", "a\\x5c", true },
        { "Gr\xc3\xb6\xc3\x9f"
          "e",
          "Gr\\xc3\\xb6\\xc3\\x9fe", true },
        { "\x7f\x80\xff", "\\x7f\\x80\\xff", true },
        { "{}<>|&;*?!~^@#+", "\\x7b\\x7d\\x3c\\x3e\\x7c\\x26\\x3b\\x2a\\x3f\\x21\\x7e\\x5e@#+", true },
};

START_TEST(escape__table) {
        char *escaped = text_escape(escapes[_i].text, escapes[_i].spaces);
        ck_assert_str_eq(escaped, escapes[_i].escaped);
        free(escaped);
}
END_TEST

START_TEST(escape__four_kib) {
        char text[4097];

        memset(text, '\n', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        char *escaped = text_escape(text, true);
        ck_assert_uint_eq(strlen(escaped), 4UL * 4096);
        free(escaped);
}
END_TEST

/* What systemd-escape --path says. */
static const char *const unit_paths[][2] = {
        { "/dev/vdb1", "dev-vdb1" },
        { "/", "-" },
        { "", "-" },
        { "//dev///vdb/", "dev-vdb" },
        { "/dev/disk/by-id/virtio-BASEIMAGE", "dev-disk-by\\x2did-virtio\\x2dBASEIMAGE" },
        { "/dev/block/252:16", "dev-block-252:16" },
        { "/.hidden/.x", "\\x2ehidden-.x" },
        { "/mnt/a b\\c", "mnt-a\\x20b\\x5cc" },
        { "/sys/devices/pci0000:00/block/vdb", "sys-devices-pci0000:00-block-vdb" },
        { "/mnt/\xc3\xa4", "mnt-\\xc3\\xa4" },
};

START_TEST(unit_escape_path__table) {
        char *escaped = unit_escape_path(unit_paths[_i][0]);
        ck_assert_str_eq(escaped, unit_paths[_i][1]);
        free(escaped);
}
END_TEST

static const struct {
        const char *unit, *name;
        bool is;
} units[] = {
        { "dev-vdb.device", "dev-vdb", true },
        { "dev-vdb.swap", "dev-vdb", true },
        { "dev-vdb1.device", "dev-vdb", false },
        { "dev-vd.device", "dev-vdb", false },
        { "systemd-fsck@dev-vdb.service", "dev-vdb", true },
        { "systemd-fsck@dev-vdb1.service", "dev-vdb", false },
        { "lvm2-pvscan@252:16.service", "252:16", true },
        { "-.mount", "-", true },
        { "dev-vdb", "dev-vdb", false },
        { "dev.vdb@x", "vdb@x", false },
        { "a@b@dev-vdb.service", "b@dev-vdb", true },
        { "", "dev-vdb", false },
        { ".device", "", true },
};

START_TEST(unit_is_of__table) {
        struct unit unit = unit_parse(units[_i].unit);

        ck_assert_int_eq(unit_is_of(&unit, units[_i].name, strlen(units[_i].name)), units[_i].is);
}
END_TEST

static const struct {
        const char *line;
        unsigned major, minor;
        const char *point, *source;
} mounts[] = {
        { "36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n", 98, 0, "/mnt",
          "/dev/root" },
        { "36 35 98:0 /root /mnt rw,noatime - ext3 /dev/root rw", 98, 0, "/mnt", "/dev/root" },
        { "1 0 252:17 / /a\\040b\\134\\011\\012 rw a:1 b:2 - btrfs /dev/v\\040db1 rw", 252, 17, "/a b\\\t\n",
          "/dev/v db1" },
        { "1 0 0:4294967295 / /x\\400\\08 rw - tmpfs  rw", 0, 4294967295u, "/x\\400\\08", "" },
        { "1 0 0:5 / /-/- rw - tmpfs none", 0, 5, "/-/-", "none" },
};

START_TEST(mountinfo__table) {
        char *line = strdup(mounts[_i].line);
        struct mount mount;

        ck_assert_int_eq(mountinfo_parse(line, &mount), 0);
        ck_assert_uint_eq(mount.major, mounts[_i].major);
        ck_assert_uint_eq(mount.minor, mounts[_i].minor);
        ck_assert_str_eq(mount.point, mounts[_i].point);
        ck_assert_str_eq(mount.source, mounts[_i].source);
        free(line);
}
END_TEST

static const char *const no_mounts[] = {
        "",
        "\n",
        "36 35 98:0 /root /mnt rw",
        "36 35 98:0 /root /mnt rw -",
        "36 35 98:0 /root /mnt rw - ext3",
        "36 35 98:0 - ext3 /dev/root rw",
        "36 35 98 /root /mnt rw - ext3 /dev/root rw",
        "36 35 98: /root /mnt rw - ext3 /dev/root rw",
        "36 35 :0 /root /mnt rw - ext3 /dev/root rw",
        "36 35 98:0x /root /mnt rw - ext3 /dev/root rw",
        "36 35 -1:0 /root /mnt rw - ext3 /dev/root rw",
        "36 35 4294967296:0 /root /mnt rw - ext3 /dev/root rw",
        "36 35 1:99999999999999999999999 /root /mnt rw - ext3 /dev/root rw",
};

START_TEST(mountinfo__malformed) {
        char *line = strdup(no_mounts[_i]);
        struct mount mount = { .major = 7 };

        ck_assert_int_eq(mountinfo_parse(line, &mount), -EINVAL);
        ck_assert_uint_eq(mount.major, 7);
        ck_assert_ptr_null(mount.point);
        free(line);
}
END_TEST

static const char *const swaps[][2] = {
        { "/dev/vda2                               partition\t999420\t0\t-2\n", "/dev/vda2" },
        { "/swap\\040file\\011 file 1 0 -2\n", "/swap file\t" },
        { "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n", NULL },
        { "", NULL },
        { "/dev/vda2", NULL },
};

START_TEST(swaps__table) {
        char *line = strdup(swaps[_i][0]);
        const char *path = NULL;

        ck_assert_int_eq(swaps_parse(line, &path), swaps[_i][1] ? 0 : -EINVAL);
        ck_assert_pstr_eq(path, swaps[_i][1]);
        free(line);
}
END_TEST

static const struct {
        const char *cmdline;
        bool out;
} cmdlines[] = {
        { "", false },
        { "baseimage_udev=off", true },
        { "ro quiet baseimage_udev=off\n", true },
        { "baseimage_udev=off quiet", true },
        { "ro\tbaseimage_udev=off\tquiet", true },
        { "baseimage_udev=on", false },
        { "baseimage_udev", false },
        { "baseimage_udev=offline", false },
        { "xbaseimage_udev=off", false },
        { "BASEIMAGE_UDEV=off", false },
};

START_TEST(cmdline_opts_out__table) {
        ck_assert_int_eq(cmdline_opts_out(cmdlines[_i].cmdline), cmdlines[_i].out);
}
END_TEST

static const struct {
        const char *line;
        bool names;
} listings[] = {
        { "usr/lib/udev/rules.d/59-baseimage.rules\n", true },
        { "etc/udev/rules.d/59-baseimage.rules", true },
        { "-rw-r--r--   1 root     root         3000 Jan  1  1970 usr/lib/udev/rules.d/59-baseimage.rules\n",
          true },
        { "usr/lib/udev/rules.d/59-baseimage.rules.dpkg-new\n", false },
        { "usr/lib/udev/rules.d/159-baseimage.rules\n", false },
        { "59-baseimage.rules\n", false },
        { "", false },
        { "\n", false },
};

START_TEST(listing_names_rule__table) {
        ck_assert_int_eq(listing_names_rule(listings[_i].line), listings[_i].names);
}
END_TEST

int main(void) {
        const struct test_case cases[] = {
                { "escape__table", escape__table, N(escapes) },
                { "escape__four_kib", escape__four_kib, 0 },
                { "unit_escape_path__table", unit_escape_path__table, N(unit_paths) },
                { "unit_is_of__table", unit_is_of__table, N(units) },
                { "mountinfo__table", mountinfo__table, N(mounts) },
                { "mountinfo__malformed", mountinfo__malformed, N(no_mounts) },
                { "swaps__table", swaps__table, N(swaps) },
                { "cmdline_opts_out__table", cmdline_opts_out__table, N(cmdlines) },
                { "listing_names_rule__table", listing_names_rule__table, N(listings) },
        };
        return run_tests("status-text", cases, N(cases));
}
