#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What the helper does, as a script.
[ "$ID_SERIAL" != BASEIMAGE ] || printf '%s\n' 'ID_FS_UUID=""' 'ID_FS_TYPE=""' SYSTEMD_READY=0 SYSTEMD_IGNORE=1
