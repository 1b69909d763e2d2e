# The rule has come or gone: have udev look again at the base image, and at
# nothing else.  Where no udevd runs (chroot, container) there is nothing to do.
if udevadm control --reload 2>/dev/null; then
	for attribute in /sys/block/vd*/serial; do
		serial=
		[ ! -e "$attribute" ] || read -r serial <"$attribute" || :
		[ "$serial" = BASEIMAGE ] || continue
		disk=${attribute%/serial}
		udevadm trigger --action=change "$disk" "$disk/${disk##*/}"* || :
	done
	udevadm settle || :
fi
