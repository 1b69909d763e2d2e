/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <string.h>

enum { MAX_COMMANDS = 32, MAX_VARIABLES = 4 };

/* A program to run: its words, and all of its environment. */
struct command {
        char **argv;
        char *environment[MAX_VARIABLES + 2];
};

/* Parses COMMAND [-- COMMAND]..., each [NAME=VALUE]... PROGRAM [WORD]..., into
 * commands; ends the words of each in argv with NULL.
 * Returns how many there are, or -1 if one is not like that. */
static inline int parse_commands(int argc, char *argv[], struct command *commands) {
        static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
        int n = 0;

        for (int i = 0; i < argc; i++) {
                if (n == MAX_COMMANDS)
                        return -1;
                struct command *c = &commands[n++];
                int variables = 0;

                c->environment[variables++] = path;
                for (; i < argc && strchr(argv[i], '='); i++) {
                        if (variables > MAX_VARIABLES)
                                return -1;
                        c->environment[variables++] = argv[i];
                }
                c->environment[variables] = NULL;
                c->argv = argv + i;
                if (i == argc || strcmp(argv[i], "--") == 0)
                        return -1;
                for (i++; i < argc && strcmp(argv[i], "--") != 0; i++)
                        ;
                argv[i] = NULL;
        }
        return n;
}
