/* SPDX-License-Identifier: GPL-2.0-or-later */
/* This file checks that each initramfs contains 59-baseimage.rules and the helper baseimage_id. */
#include <fnmatch.h>

#include "config.h"
#include "status.h"

/* This pattern matches images of initramfs-tools, dracut and kdump, and UKIs (unified kernel images). */
#define PATTERN                                                                                             \
        "/{boot/initrd.img-*,boot/initramfs-*.img,var/lib/kdump/initrd.img-*,"                              \
        "{efi,boot,boot/efi}/{EFI/Linux/*.efi,*/*/initrd*}}"

/* If the rule or the helper is missing, empty, or a link to /dev/null, this script prints a line.  objcopy
 * extracts the initramfs from a UKI.  lsinitramfs and lsinitrd print lines in the format of "ls -l". */
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

static void check_image(struct status *s, struct device *d, const char *path) {
        char *line = NULL;
        size_t size = 0;

        /* Files with these endings are backups.  Boot loaders do not read backups. */
        if (fnmatch("*.@(bak|old|new|old-dkms|dpkg-*)", path, FNM_EXTMATCH) == 0)
                return;
        s->n_initramfs_images++;
        FILE *out = setenv("INITRAMFS", path, true) == 0 ? popen(script, "re") : NULL;
        while (out && getline(&line, &size, out) > 0)
                add_finding(s, d, KIND_INITRAMFS, "", "%s %.*s", path, (int)strcspn(line, "\n"), line);
        free(line);
        if (!out || pclose(out) != 0)
                add_finding(s, d, KIND_ERROR, "",
                            "cannot list %s with lsinitramfs or lsinitrd (nor a UKI with objcopy)", path);
}

void check_initramfs(struct status *s) {
        each_path(s, NULL, format(PATTERN), check_image);
        if (s->n_initramfs_images == 0)
                add_finding(s, NULL, KIND_ERROR, "", "cannot find an initramfs below /boot and /efi");
}
