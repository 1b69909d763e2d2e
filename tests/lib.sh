# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh disable=SC2034
# tests/run, tests/demo and tests/bench/run use these functions.

# tests/demo needs DEMO_PACKAGES, tests/run needs TEST_PACKAGES, and "tests/run --all" also needs
# ALL_PACKAGES.  Each script also needs the build dependencies in debian/control.
DEMO_PACKAGES="btrfs-progs dosfstools dpkg-dev e2fsprogs fdisk mmdebstrap python3 python3-pexpect
	qemu-system-x86 qemu-utils util-linux zstd"
TEST_PACKAGES="$DEMO_PACKAGES bcache-tools clang-format clang-tidy codespell cryptsetup-bin devscripts git
	lintian mandoc python3-pytest python3-pytest-xdist shellcheck udev xfsprogs"
ALL_PACKAGES="arch-test autopkgtest gcovr ovmf qemu-system-arm qemu-user"

# In this directory, tests/vm/images.py stores the Debian systems and the disks of the guests.
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/baseimage-udev
# These directories contain mkfs, losetup and chroot.  An ordinary user's PATH lacks these directories.
PATH=$PATH:/usr/sbin:/sbin

# fail MESSAGE: if MESSAGE is empty, does nothing.  Otherwise prints MESSAGE, and exits with status 2.
fail() {
	[ -z "$1" ] || { echo "$0: $1" >&2 && exit 2; }
}

# help ARGUMENT: if ARGUMENT is -h or --help, prints the comment at the top of this script, and exits.
help() {
	case "$1" in
	-h | --help) sed -n '3,/^set/s/^# \?//p' "$0" && exit ;;
	esac
}

# build_depends: prints build-essential and the build dependencies in debian/control.
build_depends() {
	echo build-essential
	# debhelper-compat is a virtual package.  The package debhelper provides this virtual package.
	sed -n '/^Build-Depends:/,/^[^ B]/s/^ \([^ ,]*\).*/\1/p' debian/control | sed 's/^debhelper-compat$/debhelper/'
}

# missing PACKAGE...: prints the names of those PACKAGEs that are not installed.
missing() {
	for package; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf ' %s' "$package"
	done
}

# room DIRECTORY GIB VARIABLE: if DIRECTORY has less than GIB GiB of free space, prints a message.
# The files in DIRECTORY count as free space.  The message tells the user to set VARIABLE.
room() {
	mkdir -p "$1" 2>/dev/null || { echo "$1 cannot be written to" && return; }
	free=$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }')
	[ "$free" -ge "$2" ] || free=$((free + $(du -sk "$1" 2>/dev/null | cut -f1) / 1048576))
	[ "$free" -ge "$2" ] || echo "too little room in $1: $2 GiB are needed, $free free; name another place with $3"
}

# online: succeeds if apt can fetch a file from the first apt source of this machine.
online() {
	probe=$(mktemp -d) offline=0
	# shellcheck disable=SC2016
	release=$(apt-get indextargets --format '$(REPO_URI)dists/$(RELEASE)/Release' | head -n 1)
	/usr/lib/apt/apt-helper -o Acquire::Retries=0 -o Acquire::http::Timeout=20 download-file \
		"$release" "$probe/Release" >/dev/null 2>&1 || offline=1
	rm -r "$probe"
	return $offline
}

# need PACKAGE...: if a package or a build dependency is not installed, installs the package (as
# root), or prints the install command and exits (otherwise).
# shellcheck disable=SC2046,SC2086
need() {
	command -v apt-get >/dev/null || fail "this is no Debian system: install what provides these: $*"
	[ "$(id -u)" = 0 ] || set -- "$@" uidmap
	lacking=$(missing "$@" $(build_depends))
	if [ -n "$lacking" ]; then
		install="apt-get install --no-install-recommends$lacking"
		[ "$(id -u)" = 0 ] || fail "packages are missing: sudo $install"
		echo "$install" >&2
		{ apt-get update -q -o Acquire::Retries=0 -o Acquire::http::Timeout=20 -o APT::Update::Error-Mode=any &&
			DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $lacking; } >&2 ||
			fail "apt-get could not install$lacking; the messages of apt-get are above"
	fi
	fail "$(room "${TMPDIR:-/tmp}" 2 TMPDIR)"
}

# no_guests GIB: if this machine cannot boot guests, prints the reason.  The guests need GIB GiB of
# space in the directory $CACHE.
no_guests() {
	# shellcheck disable=SC2016
	inside=$(tests/inside sh -c 'echo "$BASEIMAGE_INSIDE"') || { echo "$inside" && return; }
	if [ "$inside" = one-id ]; then
		name=$(id -un)
		echo "$name has no subordinate ids: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $name"
		return
	fi
	problem=$(room "$CACHE" "$1" XDG_CACHE_HOME)
	if [ -n "$problem" ]; then
		echo "$problem"
	elif ! ls "$CACHE"/trees/*.tar.zst >/dev/null 2>&1 && ! online; then
		echo "no network: Debian cannot be fetched"
	fi
}

# begin: makes the temporary directory $work, and in $work the file $BASEIMAGE_PROGRESS.
# tests/vm/images.py writes progress messages to this file, and tail prints the messages.
begin() {
	began=$(date +%s)
	work=$(mktemp -d)
	export BASEIMAGE_PROGRESS="$work/progress"
	: >"$BASEIMAGE_PROGRESS"
	tail -f --pid=$$ "$BASEIMAGE_PROGRESS" >&2 &
	# When this shell exits, the trap kills tail.  Otherwise tail would keep standard error open, and
	# a program that reads all output of this shell would wait for tail.
	follower=$!
	trap 'kill "$follower"; rm -rf "$work"' EXIT
}

# end STATUS: prints how many seconds have passed since begin was called, and exits with STATUS.
end() {
	echo "$0 took $(($(date +%s) - began)) s."
	exit "$1"
}

# copy_source DIRECTORY: copies this source tree to DIRECTORY, except the files that git ignores.
# If this source tree is not a git repository, copies all files.
copy_source() {
	mkdir -p "$1"
	{ git ls-files --cached --others --exclude-standard -z 2>/dev/null || find . -type f -print0; } |
		tar --create --null --files-from=- --ignore-failed-read | tar --extract --touch --directory="$1"
}

# build_debs DIRECTORY: builds the packages of this source tree, and moves the packages to DIRECTORY.
# copy_source gives each file the current time.  dpkg-deb replaces a time that is later than the
# date of the changelog by this date.  So the times in the packages are the same in each build.
build_debs() {
	source=$(mktemp -d)
	copy_source "$source/tree"
	if ! (cd "$source/tree" && dpkg-buildpackage -us -uc -b) >"$source/log" 2>&1; then
		tail -n 40 "$source/log" >&2
		echo "$0: the packages cannot be built; the end of the build log is above" >&2
		exit 1
	fi
	mkdir -p "$1"
	mv "$source"/*.deb "$source"/*.changes "$source"/*.buildinfo "$1"
	rm -rf "$source"
}
