/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <check.h>
#include <stdlib.h>

/* Runs the tests, and frees the memory of the tests.  Returns the exit status of the test program. */
static inline int run_suite(const char *name, TCase *tests) {
        Suite *suite = suite_create(name);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);

        /* By default, Check stops a test after 4 s.  With 0, only Meson stops the test program. */
        tcase_set_timeout(tests, 0);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
