# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# tests/run, tests/demo and tests/bench/run use these functions.

# The tests need these packages as well as the build dependencies in debian/control.
# shellcheck disable=SC2034
DEMO_PACKAGES="btrfs-progs dosfstools dpkg-dev e2fsprogs fdisk mmdebstrap python3 python3-pexpect
	qemu-system-x86 qemu-utils util-linux zstd"
# shellcheck disable=SC2034
TEST_PACKAGES="$DEMO_PACKAGES bcache-tools clang-format clang-tidy codespell cryptsetup-bin devscripts git
	lintian mandoc python3-pytest python3-pytest-xdist shellcheck udev xfsprogs"
# shellcheck disable=SC2034
ALL_PACKAGES="arch-test autopkgtest clang gcovr libclang-rt-dev ovmf qemu-system-arm qemu-user valgrind"

# tests/vm/images.py keeps systems and disks of guests here.
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/baseimage-udev
# mkfs, losetup and chroot are in these directories, which an ordinary user's PATH lacks.
PATH=$PATH:/usr/sbin:/sbin

# fail MESSAGE: exits with status 2.  An empty message does nothing.
fail() {
	[ -z "$1" ] || { echo "$0: $1" >&2 && exit 2; }
}

# build_depends: prints the packages that debian/control names.
build_depends() {
	echo build-essential
	# debhelper-compat is a virtual package.
	sed -n '/^Build-Depends:/,/^[^ B]/s/^ \([^ ,]*\).*/\1/p' debian/control | sed 's/^debhelper-compat$/debhelper/'
}

# missing PACKAGE...: prints the packages that are not installed.
missing() {
	for package; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf ' %s' "$package"
	done
}

# room DIRECTORY GIB VARIABLE: prints a message if there is too little room.
# The size of the directory's content counts as free.
room() {
	mkdir -p "$1" 2>/dev/null || { echo "$1 cannot be written to" && return; }
	free=$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }')
	[ "$free" -ge "$2" ] || free=$((free + $(du -sk "$1" 2>/dev/null | cut -f1) / 1048576))
	[ "$free" -ge "$2" ] || echo "too little room in $1: $2 GiB are needed, $free free; name another place with $3"
}

# online: succeeds if apt can fetch from the first of this machine's sources.
online() {
	probe=$(mktemp -d) offline=0
	# shellcheck disable=SC2016
	release=$(apt-get indextargets --format '$(REPO_URI)dists/$(RELEASE)/Release' | head -n 1)
	/usr/lib/apt/apt-helper -o Acquire::Retries=0 -o Acquire::http::Timeout=20 download-file \
		"$release" "$probe/Release" >/dev/null 2>&1 || offline=1
	rm -r "$probe"
	return $offline
}

# need PACKAGE...: root installs the missing packages and build dependencies.
# For another user, exits and prints the command that installs them.
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

# no_guests GIB: prints a line if this machine cannot boot guests.  GIB is the
# room that systems and disks of the guests need.
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

# need_guests GIB: exits if this machine cannot boot guests.
need_guests() {
	fail "$(no_guests "$1")"
}

# begin: makes the temporary directory $work, and shows the lines that
# tests/vm/images.py writes to $BASEIMAGE_PROGRESS.
begin() {
	began=$(date +%s)
	work=$(mktemp -d)
	export BASEIMAGE_PROGRESS="$work/progress"
	: >"$BASEIMAGE_PROGRESS"
	tail -f --pid=$$ "$BASEIMAGE_PROGRESS" >&2 &
	# Without the kill, tail lives until the parent of this shell waits for it.  The parent can first read all output.
	follower=$!
	trap 'kill "$follower"; rm -rf "$work"' EXIT
}

# end STATUS: prints the time since begin, and exits.
end() {
	echo "It took $(($(date +%s) - began)) s."
	exit "$1"
}

# copy_source DIRECTORY: copies the files of this tree that git does not ignore;
# without git, copies all files.
copy_source() {
	mkdir -p "$1"
	{ git ls-files --cached --others --exclude-standard -z 2>/dev/null || find . -type f -print0; } |
		tar --create --null --files-from=- --ignore-failed-read | tar --extract --touch --directory="$1"
}

# build_debs DIRECTORY: builds the packages of this tree.  If a file is older than
# the changelog, its time goes into the package; copy_source gives each file a new time.
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
