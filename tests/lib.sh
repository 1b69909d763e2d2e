# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# For tests/run and tests/demo: what they need, and the package they test.

# What the package is built with is in debian/control; this is what the tests
# need beside it.
# shellcheck disable=SC2034
DEMO_PACKAGES="btrfs-progs dosfstools dpkg-dev e2fsprogs fdisk mmdebstrap python3 python3-pexpect
	qemu-system-x86 qemu-utils util-linux zstd"
# shellcheck disable=SC2034
TEST_PACKAGES="$DEMO_PACKAGES bcache-tools clang-format clang-tidy codespell cryptsetup-bin devscripts git
	lintian mandoc python3-pytest python3-pytest-xdist shellcheck udev xfsprogs"
# shellcheck disable=SC2034
ALL_PACKAGES="arch-test autopkgtest clang gcovr libclang-rt-dev ovmf qemu-system-arm qemu-user valgrind"

# What is made for guests is kept here: tests/vm/images.py.
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/baseimage-udev
TEMP=${TMPDIR:-/tmp}
# An ordinary user's has no mkfs, losetup or chroot.
PATH=$PATH:/usr/sbin:/sbin

# fail MESSAGE: ends what cannot be done on this machine.
fail() {
	echo "$0: $1" >&2
	exit 2
}

# build_depends: prints the packages that debian/control names.
build_depends() {
	echo build-essential
	# The level of debhelper is a virtual package.
	sed -n '/^Build-Depends:/,/^[^ B]/s/^ \([^ ,]*\).*/\1/p' debian/control | sed 's/^debhelper-compat$/debhelper/'
}

# missing PACKAGE...: prints which of these are not installed.
missing() {
	for package; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf ' %s' "$package"
	done
}

# room DIRECTORY GIB VARIABLE: prints why there is too little room, if so.  What
# is in the directory already counts as free.
room() {
	mkdir -p "$1" 2>/dev/null || { echo "$1 cannot be written to" && return; }
	free=$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }')
	[ "$free" -ge "$2" ] || free=$((free + $(du -sk "$1" 2>/dev/null | cut -f1) / 1048576))
	[ "$free" -ge "$2" ] || echo "too little room in $1: $2 GiB are needed, $free free; name another place with $3"
}

# online: whether Debian can be fetched, from where this machine has its packages.
online() {
	probe=$(mktemp -d) offline=0
	# shellcheck disable=SC2016
	release=$(apt-get indextargets --format '$(REPO_URI)dists/$(RELEASE)/Release' | head -n 1)
	/usr/lib/apt/apt-helper -o Acquire::Retries=0 -o Acquire::http::Timeout=20 download-file \
		"$release" "$probe/Release" >/dev/null 2>&1 || offline=1
	rm -r "$probe"
	return $offline
}

# need PACKAGE...: installs what is missing, of the build dependencies as well.
# An ordinary user is told the command that does it.
need() {
	command -v apt-get >/dev/null || fail "this is no Debian system: install what provides these: $*"
	[ "$(id -u)" = 0 ] || set -- "$@" uidmap
	# shellcheck disable=SC2046
	lacking=$(missing "$@" $(build_depends))
	if [ -n "$lacking" ]; then
		install="apt-get install --no-install-recommends$lacking"
		[ "$(id -u)" = 0 ] || fail "packages are missing: sudo $install"
		echo "$install" >&2
		# shellcheck disable=SC2086
		{ apt-get update -q -o Acquire::Retries=0 -o Acquire::http::Timeout=20 -o APT::Update::Error-Mode=any &&
			DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $lacking; } >&2 ||
			fail "apt-get could not install$lacking; what it said is above"
	fi
	lack=$(room "$TEMP" 2 TMPDIR)
	[ -z "$lack" ] || fail "$lack"
}

# no_guests GIB: prints why no guests can be booted here, if so, in one line.
# GIB: the room that their systems and disks take.
no_guests() {
	# shellcheck disable=SC2016
	inside=$(tests/inside sh -c 'echo "$BASEIMAGE_INSIDE"') || { echo "$inside" && return; }
	if [ "$inside" = one-id ]; then
		name=$(id -un)
		echo "$name has no subordinate ids: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $name"
		return
	fi
	lack=$(room "$CACHE" "$1" XDG_CACHE_HOME)
	if [ -n "$lack" ]; then
		echo "$lack"
	elif ! ls "$CACHE"/trees/*.tar.zst >/dev/null 2>&1 && ! online; then
		echo "no network: Debian cannot be fetched"
	fi
}

# begin: makes the directory $work, which goes at the end, as does what shows the
# lines that tests/vm/images.py writes about what it makes.
begin() {
	work=$(mktemp -d)
	export BASEIMAGE_PROGRESS="$work/progress"
	: >"$BASEIMAGE_PROGRESS"
	tail -f --pid=$$ "$BASEIMAGE_PROGRESS" >&2 &
	# By itself it stays as long as nobody has waited for this process: a reader of its output may first want all.
	follower=$!
	trap 'kill "$follower"; rm -rf "$work"' EXIT
}

# copy_source DIRECTORY: what is not ignored of this tree, with or without git.
copy_source() {
	mkdir -p "$1"
	{ git ls-files --cached --others --exclude-standard -z 2>/dev/null || find . -type f -print0; } |
		tar --create --null --files-from=- --ignore-failed-read | tar --extract --touch --directory="$1"
}

# build_debs DIRECTORY: builds the packages of this tree into it.
# No file is to be older than the changelog: its time would go into the package.
build_debs() {
	source=$(mktemp -d)
	copy_source "$source/tree"
	if ! (cd "$source/tree" && dpkg-buildpackage -us -uc -b) >"$source/log" 2>&1; then
		tail -n 40 "$source/log" >&2
		echo "$0: the package does not build" >&2
		exit 1
	fi
	mkdir -p "$1"
	mv "$source"/*.deb "$source"/*.changes "$source"/*.buildinfo "$1"
	rm -rf "$source"
}
