# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# For tests/run and tests/demo: what they need, and the package they test.

# What the package is built with is in debian/control; this is what the tests
# need beside it.
# shellcheck disable=SC2034
DEMO_PACKAGES="btrfs-progs dosfstools dpkg-dev e2fsprogs fdisk mmdebstrap python3 python3-pexpect
	qemu-system-x86 qemu-utils util-linux zstd"
# shellcheck disable=SC2034
TEST_PACKAGES="$DEMO_PACKAGES autopkgtest bcache-tools clang clang-format clang-tidy codespell cryptsetup-bin devscripts
	gcovr git libclang-rt-dev lintian mandoc ovmf piuparts python3-pytest python3-pytest-xdist qemu-user shellcheck
	udev valgrind xfsprogs"

# What is made for guests is kept here: tests/vm/images.py.
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/baseimage-udev
TEMP=${TMPDIR:-/tmp}

# fail MESSAGE: ends what cannot be done on this machine.
fail() {
	echo "$0: $1" >&2
	exit 2
}

# missing PACKAGE...: prints which of these are not installed, and what
# debian/control asks for beside them; nothing if all is there.
missing() {
	for package; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf ' %s' "$package"
	done
	# dpkg's own word: build-essential, which is nowhere named, counts as well.
	dpkg-checkbuilddeps >/dev/null 2>&1 || printf ' %s' "the build dependencies of debian/control"
}

# room DIRECTORY GIB: whether so much is free there, with what is in it already.
room() {
	mkdir -p "$1" || fail "$1 cannot be written to"
	free=$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }')
	[ "$free" -ge "$2" ] || free=$((free + $(du -sk "$1" | cut -f1) / 1048576))
	[ "$free" -ge "$2" ] || fail "too little room in $1: $2 GiB are needed, $free free; name another place with $3"
}

# online: whether Debian can be fetched.  apt's lists are new then.
online() {
	apt-get update -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=20 -o APT::Update::Error-Mode=any >/dev/null 2>&1
}

# need GIB PACKAGE...: installs what is missing; or says in one line what this
# machine lacks, before anything long begins, and exits 2.  GIB: the room that
# the guests' systems and disks take.
need() {
	gib=$1
	shift
	command -v apt-get >/dev/null || fail "this is no Debian system: install what provides these: $*"
	lacking=$(missing "$@")
	[ "$(id -u)" = 0 ] ||
		fail "it makes systems and disks for guests: run it as root${lacking:+, which also installs:$lacking}"
	unshare --mount --pid --fork --mount-proc true 2>/dev/null ||
		fail "no namespaces can be made (unshare): a container has to be privileged, a chroot a mount point"
	room "$CACHE" "$gib" XDG_CACHE_HOME
	room "$TEMP" 2 TMPDIR
	if { [ -n "$lacking" ] || ! ls "$CACHE"/trees/*.tar.zst >/dev/null 2>&1; } && ! online; then
		fail "no network: apt-get update fails, and Debian has to be fetched${lacking:+, as have:$lacking}"
	fi
	[ -n "$lacking" ] || return 0
	echo "Installing$lacking" >&2
	{
		export DEBIAN_FRONTEND=noninteractive
		apt-get install -q -y --no-upgrade --no-install-recommends "$@" &&
			apt-get build-dep -q -y --no-install-recommends ./
	} >&2 || fail "apt-get could not install$lacking; what it said is above"
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
