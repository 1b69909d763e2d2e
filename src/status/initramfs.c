/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether the initramfs of the running kernel has the rule and the helper. */
#include <errno.h>
#include <glob.h>
#include <sys/utsname.h>

#include "config.h"
#include "status.h"

/* Each file that may be it: which one the boot loader took, nobody knows now.
 * Debian's name, dracut's own, systemd's with and without a UKI. */
static const char patterns[] = "%s/{boot/initrd.img-%s,boot/initramfs-%s.img,{efi,boot,boot/efi}/"
                               "{EFI/Linux/*%s*.efi,*/%s/initrd*}}";

/* Lists what is in $INITRAMFS.  In a UKI, it is a section. */
static const char lister[] = "exec 2>/dev/null </dev/null\n"
                             "case $INITRAMFS in *.efi)\n"
                             "  image=$(mktemp) && trap 'rm -f \"$image\"' EXIT &&\n"
                             "  objcopy -O binary --only-section=.initrd \"$INITRAMFS\" \"$image\" || exit\n"
                             "  INITRAMFS=$image\n"
                             "esac\n"
                             "lsinitramfs \"$INITRAMFS\" || lsinitrd \"$INITRAMFS\"\n";

/* What is to be in it.  An administrator's own rule is in another folder. */
static const char *const files[] = { "/" BASEIMAGE_RULE_NAME, &BASEIMAGE_HELPER[1] };

enum { FILES = sizeof(files) / sizeof(*files) };

/* Marks the files that are listed.  Returns 0 or a negative errno. */
static int read_listing(FILE *listing, bool found[]) {
        _cleanup_free_ char *line = NULL;
        size_t size = 0;

        /* To the end, or the program would die of a broken pipe. */
        while ((errno = 0, getline(&line, &size, listing)) >= 0)
                for (int i = 0; i < FILES; i++)
                        found[i] |= listing_names(line, files[i]);
        return feof(listing) ? 0 : -errno;
}

static int look_into(struct facts *facts, const char *path) {
        bool found[FILES] = { false };

        if (setenv("INITRAMFS", path, true) < 0)
                return -errno;
        FILE *listing = popen(lister, "re");
        if (!listing)
                return facts_add_error(&facts->system, "initramfs", errno);
        int r = read_listing(listing, found);
        if (pclose(listing) != 0)
                return facts_add(&facts->system, KIND_ERROR,
                                 "initramfs: %s cannot be read by %slsinitramfs or lsinitrd", path,
                                 listing_names(path, ".efi") ? "objcopy, or then by " : "");
        if (r < 0)
                return facts_add_error(&facts->system, "initramfs", r);
        for (int i = 0; r >= 0 && i < FILES; i++)
                if (!found[i])
                        r = facts_add(&facts->system, KIND_INITRAMFS, "%s lacks %s", path,
                                      strrchr(files[i], '/') + 1);
        return r;
}

int initramfs_look(struct facts *facts) {
        struct utsname kernel;
        glob_t found = { 0 };
        int r = 0;

        if (facts->n_devices == 0)
                return 0;
        if (uname(&kernel) < 0)
                return -errno;
        _cleanup_free_ char *pattern = text_format(patterns, facts->root, kernel.release, kernel.release,
                                                   kernel.release, kernel.release);
        if (!pattern)
                return -ENOMEM;
        int error = glob(pattern, GLOB_BRACE, NULL, &found);
        if (error == GLOB_NOMATCH)
                r = facts_add(&facts->system, KIND_ERROR, "initramfs: none of Linux %s below /boot and /efi",
                              kernel.release);
        else if (error != 0)
                r = -ENOMEM;
        for (size_t i = 0; r >= 0 && error == 0 && i < found.gl_pathc; i++)
                r = look_into(facts, found.gl_pathv[i]);
        globfree(&found);
        return r;
}
