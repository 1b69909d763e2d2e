# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# test_status.py uses these functions, which create the files of a simulated guest in the current
# directory.  The guest has one base image, /dev/vdb.  This base image is inert.
set -eu

# device NAME MINOR: creates a block device.  udev has no record of the device.
device() {
	mkdir -p "sys/class/block/$1/holders"
	ln -s ../../block "sys/class/block/$1/subsystem"
	printf 'MAJOR=252\nMINOR=%s\nDEVNAME=%s\n' "$2" "$1" >"sys/class/block/$1/uevent"
	echo 1 >"sys/class/block/$1/ro"
	truncate -s 1M "dev/$1"
}

# inert NAME MINOR: creates a disk or a partition of a base image.  The device has the links and the
# properties that baseimage-status expects.  For the tests, NAME is also a name of udev's record.
inert() {
	device "$1" "$2"
	part=${1#vd?}
	part=${part:+-part$part}
	ln -sf "$1" "dev/baseimage$part"
	ln -sf "../../$1" "dev/disk/by-id/virtio-BASEIMAGE$part"
	record=run/udev/data/b252:$2
	ln -s "b252:$2" "run/udev/data/$1"
	printf '%s\n' "S:baseimage$part" "S:disk/by-id/virtio-BASEIMAGE$part" I:1 E:ID_SERIAL=BASEIMAGE E:ID_FS_TYPE= \
		E:SYSTEMD_READY=0 E:UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG=1 E:DM_UDEV_DISABLE_OTHER_RULES_FLAG=1 \
		E:DM_MULTIPATH_DEVICE_PATH=1 E:UDISKS_IGNORE=1 >"$record"
}

# disk NAME MINOR: creates a base image: a disk with the serial BASEIMAGE.
disk() {
	inert "$1" "$2"
	printf 'BASEIMAGE' >"sys/class/block/$1/serial"
}

# set_property NAME KEY=VALUE...: sets properties of a device.  "KEY=" removes the property.
set_property() {
	record=run/udev/data/$1
	shift
	for property; do
		sed -i --follow-symlinks "/^E:${property%%=*}=/d" "$record"
		[ -z "${property#*=}" ] || echo "E:$property" >>"$record"
	done
}

# without_rule NAME: removes the properties of the rule from a device.
without_rule() {
	set_property "$1" SYSTEMD_READY= UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG= \
		DM_UDEV_DISABLE_OTHER_RULES_FLAG= DM_MULTIPATH_DEVICE_PATH= UDISKS_IGNORE=
}

# loop NAME FILE: creates a loop device with the backing file FILE.
loop() {
	device "$1" "9${1#loop}"
	mkdir "sys/class/block/$1/loop"
	echo "$2" >"sys/class/block/$1/loop/backing_file"
}

# virtio NAME TYPE: creates a virtio device without a driver.  The TYPE of a disk is 0x0002.
virtio() {
	mkdir -p "sys/bus/virtio/devices/$1"
	: >"sys/bus/virtio/devices/$1/uevent"
	ln -s ../../../virtio "sys/bus/virtio/devices/$1/subsystem"
	echo "$2" >"sys/bus/virtio/devices/$1/device"
}

# mounted MAJOR:MINOR MOUNTPOINT SOURCE: adds a mount to /proc/self/mountinfo.
mounted() {
	printf '%s\n' "99 1 $1 / $2 rw shared:1 - ext4 $3 rw" >>proc/self/mountinfo
}

# initramfs PATH LINE...: creates an initramfs.  lsinitramfs prints the LINEs.
initramfs() {
	mkdir -p "${1%/*}"
	path=$1
	shift
	printf '%s\n' "$@" >"$path"
}

# program NAME COMMANDS: creates a program of the guest.
program() {
	printf '#!/bin/sh\n%s\n' "$2" >"local/$1"
	chmod +x "local/$1"
}

# meanwhile COMMANDS: makes lsinitramfs run COMMANDS.  baseimage-status --initramfs runs lsinitramfs.
meanwhile() {
	initramfs boot/initrd.img-1 "$RULE" "$HELPER"
	program lsinitramfs "$1; cat \"\$2\""
}

# new_guest: creates the guest.
new_guest() {
	mkdir -p boot dev/disk/by-id proc/self run/systemd/journal run/udev/data sys/class/block local
	touch dev/null
	for name in fd maps exe cmdline environ task; do # the sanitizers and sd-device 258 read these files
		ln -s "/real/self/$name" "proc/self/$name"
	done
	echo "20 1 254:1 / / rw - ext4 /dev/vda1 rw" >proc/self/mountinfo
	echo "Filename	Type	Size	Used	Priority" >proc/swaps
	# shellcheck disable=SC2016
	program lsinitramfs '[ "$1" = -l ] && exec cat "$2"'
	disk vdb 16
}

RULE="-rw-r--r-- 1 root root 3000 Nov  1 10:00 usr/lib/udev/rules.d/59-baseimage.rules"
HELPER="-rwxr-xr-x 1 root root 7512 Nov  1 10:00 usr/lib/udev/baseimage_id"
