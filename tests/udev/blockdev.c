/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The tests preload this library into udevadm.  With this library, a regular file with the
 * sticky bit looks like a block device to udevadm.  The device number is the modification time
 * of the file.
 *
 * udevadm opens a device node, and opens the node a second time through /proc/self/fd.  If /proc
 * is not mounted, the second open fails.  Then open64() opens the path of the node again. */
#define _GNU_SOURCE // NOLINT(bugprone-reserved-identifier)
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int stat_at(int fd, const char *path, struct stat *st, int flags) {
        int r = (int)syscall(SYS_newfstatat, fd, path, st, flags);
        if (r == 0 && S_ISREG(st->st_mode) && (st->st_mode & S_ISVTX)) {
                st->st_mode ^= S_IFREG ^ S_IFBLK;
                st->st_rdev = st->st_mtime;
        }
        return r;
}

int fstat64(int fd, struct stat64 *st) {
        return stat_at(fd, "", (struct stat *)st, AT_EMPTY_PATH);
}

int stat64(const char *path, struct stat64 *st) {
        return stat_at(AT_FDCWD, path, (struct stat *)st, 0);
}

int lstat64(const char *path, struct stat64 *st) {
        return stat_at(AT_FDCWD, path, (struct stat *)st, AT_SYMLINK_NOFOLLOW);
}

/* libblkid does not call fstat64(), but calls fstat(). */
int fstat(int fd, struct stat *st) {
        return stat_at(fd, "", st, AT_EMPTY_PATH);
}

int open64(const char *path, int flags, ...) {
        static char last_node[32];
        va_list arguments;
        va_start(arguments, flags);
        int mode = va_arg(arguments, int);
        va_end(arguments);

        if (strncmp(path, "/dev/", 5) == 0)
                strncpy(last_node, path, sizeof last_node - 1);
        int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
        if (fd < 0 && strncmp(path, "/proc/self/fd/", 14) == 0)
                fd = (int)syscall(SYS_openat, AT_FDCWD, last_node, flags, mode);
        return fd;
}

/* NOLINTNEXTLINE(bugprone-reserved-identifier): the name comes from glibc. */
int __open64_2(const char *path, int flags);
/* NOLINTNEXTLINE(bugprone-reserved-identifier) */
int __open64_2(const char *path, int flags) {
        return open64(path, flags, 0);
}
