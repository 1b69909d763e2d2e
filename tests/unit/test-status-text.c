/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "status-test.h"

static const struct {
        const char *text, *escaped;
} escapes[] = {
        { "", "" },
        { "/dev/vdb1", "/dev/vdb1" },
        { "ID_FS_TYPE=ext4", "ID_FS_TYPE=ext4" },
        { "a b (c)", "a b (c)" },
        { "a\nMESSAGE=b", "a\\x0aMESSAGE=b" },
        { "a\tb\r", "a\\x09b\\x0d" },
        { "\033[31mred", "\\x1b\\x5b31mred" },
        { "100%s", "100\\x25s" },
        { "\"'`$(rm)", "\\x22\\x27\\x60\\x24(rm)" },
        { "a\\x20b", "a\\x20b" },
        { "\\\\x2d", "\\x5c\\x2d" },
        { "a\\x2", "a\\x5cx2" },
        { "a\\x2g", "a\\x5cx2g" },
        { "a\\n", "a\\x5cn" },
        { "a\\", "a\\x5c" },
        { "Gr\xc3\xb6\xc3\x9f"
          "e",
          "Gr\\xc3\\xb6\\xc3\\x9fe" },
        { "\x7f\x80\xff", "\\x7f\\x80\\xff" },
        { "{}<>|&;*?!~^@#+", "\\x7b\\x7d\\x3c\\x3e\\x7c\\x26\\x3b\\x2a\\x3f\\x21\\x7e\\x5e@#+" },
};

START_TEST(escape__table) {
        char *escaped = text_escape(escapes[_i].text);
        ck_assert_str_eq(escaped, escapes[_i].escaped);
        free(escaped);
}
END_TEST

START_TEST(escape__four_kib) {
        char text[4097];

        memset(text, '\n', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        char *escaped = text_escape(text);
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
        ck_assert_int_eq(unit_is_of(units[_i].unit, units[_i].name), units[_i].is);
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

START_TEST(listing_names__table) {
        ck_assert_int_eq(listing_names(listings[_i].line, "/59-baseimage.rules"), listings[_i].names);
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
                { "listing_names__table", listing_names__table, N(listings) },
        };
        return run_tests("status-text", cases, N(cases));
}
