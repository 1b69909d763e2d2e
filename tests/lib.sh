# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# For tests/run and tests/demo: what they need, and the package they test.

# What the package is built with is in debian/control; this is what the tests
# need beside it.
# shellcheck disable=SC2034
DEMO_PACKAGES="btrfs-progs dosfstools dpkg-dev e2fsprogs fdisk mmdebstrap python3 python3-pexpect
	qemu-system-x86 qemu-utils util-linux"
# shellcheck disable=SC2034
TEST_PACKAGES="$DEMO_PACKAGES autopkgtest bcache-tools clang clang-format clang-tidy cryptsetup-bin devscripts
	gcovr git libclang-rt-dev lintian lvm2 mandoc piuparts python3-pytest python3-pytest-xdist qemu-user shellcheck
	udev valgrind xfsprogs"

build_depends() {
	# Names alone: version and architecture are apt's business.
	sed -n '/^Build-Depends:/,/^[^ ]/{/^ /s/[ ,]*\([a-z0-9.+-]*\).*/\1/p}' debian/control |
		sed 's/^debhelper-compat$/debhelper/'
}

# need PACKAGE...: installs what is missing, or says what to install.
need() {
	if ! command -v apt-get >/dev/null; then
		echo "$0: this is no Debian system: install what provides these: $*" >&2
		exit 2
	fi
	missing=
	for package; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
			missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ]; then
		echo "$0: not installed:$missing" >&2
		echo "$0: run as root, or first: apt-get install$missing" >&2
		exit 2
	fi
	echo "Installing$missing" >&2
	# shellcheck disable=SC2086
	{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing; } >&2
}

# build_debs DIRECTORY: builds the packages of this tree into it.
# No file is to be older than the changelog: its time would go into the package.
build_debs() {
	source=$(mktemp -d)
	{ git ls-files --cached --others --exclude-standard -z 2>/dev/null || find . -type f -print0; } |
		tar --create --null --files-from=- --ignore-failed-read | tar --extract --touch --directory="$source" --one-top-level=tree
	if ! (cd "$source/tree" && dpkg-buildpackage -us -uc -b) >"$source/log" 2>&1; then
		tail -n 40 "$source/log" >&2
		echo "$0: the package does not build" >&2
		exit 1
	fi
	mkdir -p "$1"
	mv "$source"/*.deb "$source"/*.changes "$source"/*.buildinfo "$1"
	rm -rf "$source"
}
