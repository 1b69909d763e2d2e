/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "status.h"

int main(int argc, char *argv[]) {
        return run("", argc, argv);
}
