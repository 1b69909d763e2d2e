/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "baseimage.h"
#include "run-suite.h"

static const char *const others[] = {
        NULL,
        "",
        "B",
        "BASEIMAG",
        "BASEIMAGE2",
        "BASEIMAGE ",
        " BASEIMAGE",
        "XBASEIMAGE",
        "baseimage",
        "BaseImage",
        "BASEIMAGE\n",
        "BASEIMAGE\t",
        "BASE IMAGE",
        "BASEIMAGE/",
        "\"BASEIMAGE\"",
        "BASEIMAGE*",
        "*",
        "BASEIMAGEBASEIMAGE",
};

START_TEST(properties__base_image) {
        ck_assert_str_eq(baseimage_properties("BASEIMAGE"), "ID_FS_UUID=\"\"\n"
                                                            "ID_FS_TYPE=\"\"\n"
                                                            "SYSTEMD_READY=0\n"
                                                            "SYSTEMD_IGNORE=1\n");
}
END_TEST

START_TEST(properties__other) {
        ck_assert_str_eq(baseimage_properties(others[_i]), "");
}
END_TEST

START_TEST(properties__megabyte) {
        size_t size = 1 << 20;
        char *text = malloc(size + 1);
        ck_assert_ptr_nonnull(text);

        for (size_t i = 0; i < size; i++)
                text[i] = "BASEIMAGE"[i % strlen("BASEIMAGE")];
        text[size] = '\0';
        ck_assert_str_eq(baseimage_properties(text), "");
        free(text);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("properties");
        tcase_add_test(tests, properties__base_image);
        tcase_add_loop_test(tests, properties__other, 0, sizeof others / sizeof *others);
        tcase_add_test(tests, properties__megabyte);
        return run_suite("baseimage", tests);
}
