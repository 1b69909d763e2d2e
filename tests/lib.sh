# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# tests/run, tests/demo and tests/bench/run use these functions.

# The tests need these packages, and also the build dependencies in debian/control.
# shellcheck disable=SC2034
DEMO_PACKAGES="btrfs-progs dosfstools dpkg-dev e2fsprogs fdisk mmdebstrap python3 python3-pexpect
	qemu-system-x86 qemu-utils util-linux zstd"
# shellcheck disable=SC2034
TEST_PACKAGES="$DEMO_PACKAGES bcache-tools clang-format clang-tidy codespell cryptsetup-bin devscripts git
	lintian mandoc python3-pytest python3-pytest-xdist shellcheck udev xfsprogs"
# shellcheck disable=SC2034
ALL_PACKAGES="arch-test autopkgtest clang gcovr libclang-rt-dev ovmf qemu-system-arm qemu-user valgrind"

# tests/vm/images.py stores the systems and the disks of guests in this directory.
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/baseimage-udev
# mkfs, losetup and chroot are in these directories, which are not in an ordinary user's PATH.
PATH=$PATH:/usr/sbin:/sbin

# fail MESSAGE: prints the message and exits with status 2.  If the message is empty, does nothing.
fail() {
	[ -z "$1" ] || { echo "$0: $1" >&2 && exit 2; }
}

# build_depends: prints the build dependencies in debian/control.
build_depends() {
	echo build-essential
	# debhelper-compat is a virtual package, which the package debhelper provides.
	sed -n '/^Build-Depends:/,/^[^ B]/s/^ \([^ ,]*\).*/\1/p' debian/control | sed 's/^debhelper-compat$/debhelper/'
}

# missing PACKAGE...: prints the packages that are not installed.
missing() {
	for package; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf ' %s' "$package"
	done
}

# room DIRECTORY GIB VARIABLE: prints a message if the directory has less than GIB of
# free space.  The size of the directory's content counts as free space.
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

# need PACKAGE...: installs the missing packages and build dependencies, if the user is
# root.  For an ordinary user, prints the command that installs the packages, and exits.
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
			fail "apt-get could not install$lacking; its messages are above"
	fi
	fail "$(room "${TMPDIR:-/tmp}" 2 TMPDIR)"
}

# no_guests GIB: if this machine cannot boot guests, prints the reason.  GIB is the
# space that the systems and the disks of the guests need.
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

# need_guests GIB: if this machine cannot boot guests, prints the reason and exits.
need_guests() {
	fail "$(no_guests "$1")"
}

# begin: makes the temporary directory $work, and starts tail, which prints the lines
# that tests/vm/images.py writes to $BASEIMAGE_PROGRESS.
begin() {
	began=$(date +%s)
	work=$(mktemp -d)
	export BASEIMAGE_PROGRESS="$work/progress"
	: >"$BASEIMAGE_PROGRESS"
	tail -f --pid=$$ "$BASEIMAGE_PROGRESS" >&2 &
	# The trap kills tail.  Otherwise tail would keep standard error open after this shell has exited.
	# Then a program that reads all output of this shell would not end.
	follower=$!
	trap 'kill "$follower"; rm -rf "$work"' EXIT
}

# end STATUS: prints the time since the call of begin, and exits with the status.
end() {
	echo "It took $(($(date +%s) - began)) s."
	exit "$1"
}

# copy_source DIRECTORY: copies those files of this source tree that git does not ignore.
# If this is not a git tree, copies all files.
copy_source() {
	mkdir -p "$1"
	{ git ls-files --cached --others --exclude-standard -z 2>/dev/null || find . -type f -print0; } |
		tar --create --null --files-from=- --ignore-failed-read | tar --extract --touch --directory="$1"
}

# build_debs DIRECTORY: builds the packages of this source tree, and moves them to the
# directory.  dpkg-deb stores the time of a file that is older than the changelog.  copy_source
# gives each file a new time, so all builds are the same.
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
