/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Usage: trace COMMAND [-- COMMAND]...
 *
 * Runs each command once and prints what it took from exec to exit: its
 * number, the system calls after execve, the page faults (execve's own
 * included: it sets up stack and data), and the KiB mapped in at its end.  Commands are as in spawn.c.
 *
 * Not strace and getrusage: the kernel keeps the resident size of a process in
 * batches of more pages than this one has, so that ru_maxrss is 0, and counts
 * the faults of the child before its exec as well. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"

struct cost {
        long calls, faults, kib;
};

/* Returns the number after the fields-th blank, or after key, of a /proc file. */
static long proc_number(pid_t pid, const char *file, const char *key, int fields) {
        char name[64], text[8192];
        long number = -1;

        snprintf(name, sizeof name, "/proc/%d/%s", (int)pid, file);
        FILE *f = fopen(name, "re");
        if (!f)
                return -1;
        text[fread(text, 1, sizeof text - 1, f)] = '\0';
        fclose(f);

        char *p = strstr(text, key);
        if (p) {
                p += strlen(key);
                for (; p && fields > 0; fields--)
                        p = strchr(p + 1, ' ');
                if (p)
                        number = strtol(p, NULL, 10);
        }
        return number;
}

static long faults(pid_t pid) {
        /* "PID (comm) state ...": minflt is the seventh after the blank that follows the parenthesis. */
        return proc_number(pid, "stat", ")", 7);
}

static int measure(const struct command *c, struct cost *ret) {
        pid_t pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                int null = open("/dev/null", O_WRONLY);
                if (null < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
                        _exit(127);
                close(null);
                ptrace(PTRACE_TRACEME, 0, NULL, NULL);
                raise(SIGSTOP);
                execve(c->argv[0], c->argv, c->environment);
                _exit(127);
        }

        struct cost cost = { 0 };
        long before = 0, entered = 0;
        int status, executed = 0;

        if (waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status))
                return -ECHILD;
        if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
                   PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL) < 0)
                return -errno;
        for (int sig = 0;;) {
                if (ptrace(PTRACE_SYSCALL, pid, NULL, sig) < 0 || waitpid(pid, &status, 0) < 0)
                        return -errno;
                if (!WIFSTOPPED(status))
                        break;
                sig = 0;
                if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
                        executed = 1;
                        /* Next is the end of execve itself. */
                        entered = 1;
                } else if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8)) {
                        cost.faults = faults(pid) - before;
                        cost.kib = proc_number(pid, "smaps_rollup", "Rss:", 0);
                } else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
                        if (!executed)
                                /* The last such stop is the start of execve. */
                                before = faults(pid);
                        else if (!entered)
                                cost.calls++;
                        entered = executed && !entered;
                } else
                        sig = WSTOPSIG(status);
        }
        if (!executed || !WIFEXITED(status))
                return -ENOEXEC;
        *ret = cost;
        return 0;
}

int main(int argc, char *argv[]) {
        struct command commands[MAX_COMMANDS];
        int n = parse_commands(argc - 1, argv + 1, commands);

        if (n <= 0) {
                fputs("Usage: trace COMMAND [-- COMMAND]...\n", stderr);
                return 2;
        }
        for (int i = 0; i < n; i++) {
                struct cost cost = { 0 };
                int r = measure(&commands[i], &cost);
                if (r < 0) {
                        fprintf(stderr, "trace: %s: %s\n", commands[i].argv[0], strerror(-r));
                        return 1;
                }
                printf("%d %ld %ld %ld\n", i, cost.calls, cost.faults, cost.kib);
        }
        return 0;
}
