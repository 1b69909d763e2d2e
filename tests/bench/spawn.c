/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Usage: spawn RUNS COMMAND [-- COMMAND]...
 *
 * Runs the commands in turn, RUNS rounds, and prints for each run the command's
 * number and the nanoseconds from spawn to exit.  Words of the form NAME=VALUE
 * before a command are its whole environment beside PATH.  Prints first, as
 * number -1, what a CPUID instruction takes: it tells whether CPUID traps. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "command.h"

static long long now(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long cpuid_cost(void) {
#if defined(__x86_64__) || defined(__i386__)
        enum { TIMES = 1000 };
        unsigned a, b, c, d;
        long long start = now();

        for (int i = 0; i < TIMES; i++)
                __get_cpuid(0, &a, &b, &c, &d);
        /* __get_cpuid asks for the highest leaf first: two instructions. */
        return (now() - start) / (2LL * TIMES);
#else
        return 0;
#endif
}

int main(int argc, char *argv[]) {
        long runs = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
        struct command commands[MAX_COMMANDS];
        int n = parse_commands(argc - 2, argv + 2, commands);

        if (runs <= 0 || n <= 0) {
                fputs("Usage: spawn RUNS COMMAND [-- COMMAND]...\n", stderr);
                return 2;
        }

        /* One processor: what a wake-up of another costs is not the program's. */
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET((size_t)sched_getcpu(), &cpus);
        sched_setaffinity(0, sizeof cpus, &cpus);

        posix_spawn_file_actions_t quiet;
        posix_spawn_file_actions_init(&quiet);
        posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
        posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);

        printf("-1 %lld\n", cpuid_cost());
        int order[MAX_COMMANDS];
        for (int k = 0; k < n; k++)
                order[k] = k;
        srand(1);
        for (long run = 0; run < runs; run++) {
                /* A program starts slower after a large one, which has filled
                 * the caches: so each is to follow any other as often. */
                for (int k = n - 1; k > 0; k--) {
                        int other = rand() % (k + 1);
                        int swapped = order[k];
                        order[k] = order[other];
                        order[other] = swapped;
                }
                for (int k = 0; k < n; k++) {
                        int i = order[k];
                        int status;
                        pid_t pid;

                        long long start = now();
                        int r = posix_spawn(&pid, commands[i].argv[0], &quiet, NULL, commands[i].argv,
                                            commands[i].environment);
                        if (r == 0 && waitpid(pid, &status, 0) < 0)
                                r = errno;
                        long long end = now();
                        if (r != 0 || !WIFEXITED(status)) {
                                fprintf(stderr, "spawn: %s: %s\n", commands[i].argv[0],
                                        r ? strerror(r) : "killed");
                                return 1;
                        }
                        printf("%d %lld\n", i, end - start);
                }
        }
        return 0;
}
