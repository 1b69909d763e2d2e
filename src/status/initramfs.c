/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether each initramfs has the rule and the helper. */
#include <errno.h>
#include <fnmatch.h>
#include <glob.h>

#include "config.h"
#include "status.h"

/* Those of Debian, dracut and kdump; on the EFI system partition, alone or in a UKI. */
#define PATTERN                                                                                             \
        "/{boot/initrd.img-*,boot/initramfs-*.img,var/lib/kdump/initrd.img-*,"                              \
        "{efi,boot,boot/efi}/{EFI/Linux/*.efi,*/*/initrd*}}"

/* Prints what is wrong with $INITRAMFS.  In a UKI, it is a section.  The listings
 * are those of "ls -l".  A link to /dev/null masks the rule, as an empty file does. */
static const char script[] =
        "exec 2>/dev/null </dev/null\n"
        "case $INITRAMFS in *.efi)\n"
        "  image=$(mktemp) && trap 'rm -f \"$image\"' EXIT &&\n"
        "  objcopy -O binary --only-section=.initrd \"$INITRAMFS\" \"$image\" || exit\n"
        "  INITRAMFS=$image\n"
        "esac\n"
        "list=$(lsinitramfs -l \"$INITRAMFS\" || lsinitrd \"$INITRAMFS\") || exit\n"
        "for file in " BASEIMAGE_RULE_NAME " " BASEIMAGE_HELPER "; do\n"
        "  printf '%s\\n' \"$list\" | awk -v file=\"${file##*/}\" '\n"
        "    { mask = sub(/ -> \\/dev\\/null$/, \"\") || $5 == \"0\" && !/^l/ }\n"
        "    substr($0, length - length(file)) == \"/\" file { empty += mask; full += !mask && !/^l/ }\n"
        "    END { if (empty) print \"has an empty \" file; else if (!full) print \"lacks \" file }'\n"
        "done\n";

static void look_into(struct status *status, const char *path) {
        char *line = NULL;
        size_t size = 0;

        FILE *out = setenv("INITRAMFS", path, true) == 0 ? popen(script, "re") : NULL;
        while (out && getline(&line, &size, out) > 0)
                add_finding(status, NULL, KIND_INITRAMFS,
                            format("%s %.*s", path + strlen(ROOT), (int)strcspn(line, "\n"), line),
                            format("update-initramfs -u -k all, or dracut --force --regenerate-all; "
                                   "make UKIs and kdump's initrd again"));
        free(line);
        if (!out || pclose(out) != 0)
                add_finding(status, NULL, KIND_ERROR, format("cannot list %s", path + strlen(ROOT)),
                            format("install initramfs-tools or dracut, and binutils for a UKI"));
}

void look_at_initramfs(struct status *status) {
        glob_t paths = { 0 };
        size_t n = 0;

        int r = glob(ROOT PATTERN, GLOB_BRACE | GLOB_ERR, NULL, &paths);
        for (size_t i = 0; r == 0 && i < paths.gl_pathc; i++)
                /* No boot loader takes the backup of an initramfs. */
                if (fnmatch("*.@(bak|old|new|old-dkms|dpkg-*)", paths.gl_pathv[i], FNM_EXTMATCH) != 0 &&
                    ++n > 0)
                        look_into(status, paths.gl_pathv[i]);
        if (n == 0)
                add_finding(status, NULL, KIND_ERROR,
                            format("cannot find an initramfs below /boot and /efi"),
                            format("mount the file systems that hold them; run baseimage-status as root"));
        globfree(&paths);
}
