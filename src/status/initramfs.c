/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "config.h"
#include "initramfs.h"
#include "text.h"
#include "util.h"

/* Where Debian keeps it, and where dracut does elsewhere. */
static int find_initramfs(const struct roots *roots, char **ret) {
        static const char *const names[][2] = { { "initrd.img-", "" }, { "initramfs-", ".img" } };
        struct utsname kernel;

        if (uname(&kernel) < 0)
                return -errno;
        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
                char *path = text_format("%s/%s%s%s", roots->boot, names[i][0], kernel.release, names[i][1]);
                if (!path)
                        return -ENOMEM;
                if (access(path, F_OK) == 0) {
                        *ret = path;
                        return 0;
                }
                free(path);
        }
        return -ENOENT;
}

static int spawn(const char *program, const char *argument, int output, pid_t *ret) {
        char *const argv[] = { (char *)program, (char *)argument, NULL };
        posix_spawn_file_actions_t actions;

        int r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        /* Their complaints are many, and none is about the rule. */
        if ((r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)) == 0 &&
            (r = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)) == 0 &&
            (r = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)) == 0)
                r = posix_spawnp(ret, program, &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        return -r;
}

/* Like spawn(), with a stream to read what the program says. */
static int spawn_to_read(const char *program, const char *argument, pid_t *ret_pid, FILE **ret) {
        _cleanup_fclose_ FILE *listing = NULL;
        _cleanup_close_ int output = -1;
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        output = ends[1];
        listing = fdopen(ends[0], "r");
        if (!listing) {
                int r = -errno;
                close(ends[0]);
                return r;
        }
        int r = spawn(program, argument, output, ret_pid);
        if (r < 0)
                return r;
        *ret = listing;
        listing = NULL;
        return 0;
}

/* Returns 1 if a line names the rule, 0 if none does. */
static int read_listing(FILE *listing) {
        _cleanup_free_ char *line = NULL;
        size_t size = 0;
        int found = 0;

        /* To the end, or the program would die of a broken pipe. */
        while ((errno = 0, getline(&line, &size, listing)) >= 0)
                found |= listing_names_rule(line);
        return feof(listing) ? found : -errno;
}

/* Returns what read_listing() does, -ENOENT where there is no such program, or
 * -EIO when it failed. */
static int list(const char *program, const char *path) {
        _cleanup_fclose_ FILE *listing = NULL;
        int status = 0;
        pid_t pid = -1;

        int r = spawn_to_read(program, path, &pid, &listing);
        if (r < 0)
                return r;
        r = read_listing(listing);
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        if (r < 0)
                return r;
        /* Where posix_spawn() cannot tell, 127 is that it was not found. */
        if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
                return -ENOENT;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? r : -EIO;
}

static int add_to_disks(struct facts *facts, const char *path, int error) {
        for (size_t i = 0; i < facts->n_devices; i++) {
                struct device *device = &facts->devices[i];
                int r;

                if (device->partition != 0)
                        continue;
                r = error < 0 ? facts_add_error(facts, device, "initramfs", error)
                              : facts_add(device, FACT_INITRAMFS, "%s", path);
                if (r < 0)
                        return r;
        }
        return 0;
}

int initramfs_look(const struct roots *roots, struct facts *facts) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (facts->n_devices == 0)
                return 0;
        r = find_initramfs(roots, &path);
        if (r >= 0) {
                r = list("lsinitramfs", path);
                if (r == -ENOENT)
                        r = list("lsinitrd", path);
        }
        if (r > 0)
                return 0;
        return add_to_disks(facts, path, r);
}
