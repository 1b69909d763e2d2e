# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# test-status.c runs this script, which creates a simulated guest in the current
# directory.  The guest has one base image, /dev/vdb.  This base image is inert.
set -eu

# device NAME MINOR: creates a disk or a partition, which has the properties and links
# that the rule sets for a base image.
device() {
	mkdir -p "sys/class/block/$1/holders"
	echo "252:$2" >"sys/class/block/$1/dev"
	echo 1 >"sys/class/block/$1/ro"
	truncate -s 1M "dev/$1"
	part=${1#vd?}
	part=${part:+-part$part}
	ln -sf "$1" "dev/baseimage$part"
	ln -sf "../../$1" "dev/disk/by-id/virtio-BASEIMAGE$part"
	cat >"run/udev/data/$1" <<-END
		DEVNAME=/dev/$1
		DEVLINKS=/dev/baseimage$part /dev/disk/by-id/virtio-BASEIMAGE$part
		ID_SERIAL=BASEIMAGE
		ID_FS_TYPE=
		SYSTEMD_READY=0
		UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG=1
		DM_UDEV_DISABLE_OTHER_RULES_FLAG=1
		DM_MULTIPATH_DEVICE_PATH=1
		UDISKS_IGNORE=1
	END
}

# disk NAME MINOR: creates a base image: a disk with the serial BASEIMAGE.
disk() {
	device "$1" "$2"
	printf 'BASEIMAGE' >"sys/class/block/$1/serial"
}

# set_property NAME KEY=VALUE...: sets properties of a device.  "KEY=" removes the property.
set_property() {
	record=run/udev/data/$1
	shift
	for property; do
		sed -i "/^${property%%=*}=/d" "$record"
		[ -z "${property#*=}" ] || echo "$property" >>"$record"
	done
}

# without_rule NAME: removes from a device the properties that show that the rule has run.
without_rule() {
	set_property "$1" SYSTEMD_READY= UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG= \
		DM_UDEV_DISABLE_OTHER_RULES_FLAG= DM_MULTIPATH_DEVICE_PATH= UDISKS_IGNORE=
}

# loop NAME FILE: creates a loop device with the backing file FILE.
loop() {
	mkdir -p "sys/class/block/$1/loop"
	echo "$2" >"sys/class/block/$1/loop/backing_file"
}

# virtio NAME TYPE: creates a virtio device without a driver.
virtio() {
	mkdir -p "sys/class/virtio/$1"
	echo "$2" >"sys/class/virtio/$1/device"
}

# mounted MAJOR:MINOR MOUNTPOINT SOURCE: adds a mount to /proc/self/mountinfo.
mounted() {
	echo "99 1 $1 / $2 rw shared:1 - ext4 $3 rw" >>proc/self/mountinfo
}

# initramfs PATH LINE...: creates an initramfs.  bin/lsinitramfs prints the LINEs.
initramfs() {
	mkdir -p "${1%/*}"
	path=$1
	shift
	printf '%s\n' "$@" >"$path"
}

# complete_initramfs PATH [LINE...]: creates an initramfs with the rule and the helper.
complete_initramfs() {
	path=$1
	shift
	initramfs "$path" "$RULE" "$HELPER" "$@"
}

mkdir -p dev/disk/by-id run/udev/data proc/self sys/class/virtio sys/fs/btrfs/features boot bin
echo "20 1 254:1 / / rw - ext4 /dev/vda1 rw" >proc/self/mountinfo
echo "Filename	Type	Size	Used	Priority" >proc/swaps
mkdir sys/class/block
disk vdb 16
RULE="-rw-r--r-- 1 root root 3000 Nov  1 10:00 usr/lib/udev/rules.d/59-baseimage.rules"
HELPER="-rwxr-xr-x 1 root root 7512 Nov  1 10:00 usr/lib/udev/baseimage_id"
printf '#!/bin/sh\n[ "$1" = -l ] && exec cat "$2"\n' >bin/lsinitramfs
chmod +x bin/lsinitramfs
