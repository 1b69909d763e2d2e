# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests the rule and the helper on a simulated machine, with the installed "udevadm test"."""

import pytest

from machine import AMBIGUOUS, HELPER, SWAP, TABLE, udev_version

DELETE_ALL = "/usr/lib/udev/baseimage_id delete /dev/vdb"
UNBIND = "/usr/lib/udev/baseimage_id unbind virtio1"
BASE_IMAGE_PROPERTIES = {
    "ID_SERIAL": "BASEIMAGE", "SYSTEMD_READY": "0", "SYSTEMD_IGNORE": "1",
    "UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG": "1", "DM_UDEV_DISABLE_OTHER_RULES_FLAG": "1",
    "DM_MULTIPATH_DEVICE_PATH": "1", "UDISKS_IGNORE": "1"}
# If one of these files exists, the rule assumes that udevd runs in an initramfs.
MARKERS = ["/usr/lib/baseimage-udev/initramfs", "/etc/initrd-release", "/usr/lib/initrd-release",
           "/conf/initramfs.conf"]
NO_OR_ONE_MARKER = [[], *([file] for file in MARKERS)]

on_each_bus = pytest.mark.parametrize("machine", ["pci-vdb", "pci-vdb1", "ccw-vdb", "ccw-vdb1"], indirect=True)
on_disks = pytest.mark.parametrize("machine", ["pci-vdb", "ccw-vdb"], indirect=True)


def has_base_image_properties(record):
    return BASE_IMAGE_PROPERTIES.items() <= record.properties.items()


def content_properties(record):
    """Returns the names of the properties that blkid sets from the content of the device."""
    return [name for name in record.properties if name.startswith(("ID_FS_", "ID_PART_"))]


@on_each_bus
@pytest.mark.parametrize("action", ["add", "change", "online"])
def test_base_image__properties_and_links(machine, action):
    machine.action = action
    record = machine.record()
    assert has_base_image_properties(record) and not content_properties(record)
    part = "-part1" if machine.device == "vdb1" else ""
    assert record.links == {f"/dev/baseimage{part}", f"/dev/disk/by-id/virtio-BASEIMAGE{part}"}
    assert record.priority == "-1024"
    assert record.watch in (None, "disabled")
    assert record.helper_commands == [f"{DELETE_ALL} 1" if part else DELETE_ALL]


def test_other__content_is_found(machine):
    """Checks that udev sets properties and links from the content of a disk that is not a base image."""
    machine.serial = "ROOT"
    record = machine.record()
    assert content_properties(record)
    assert ("/dev/disk/by-label/inside" in record.links) == (machine.device == "vdb1")
    assert record.watch in (None, "enabled")


@pytest.mark.parametrize("files", NO_OR_ONE_MARKER)
def test_base_image__partitions_kept(machine, files):
    """With baseimage_udev=partitions, the rule must delete no partition, and must unbind the disk in an initramfs."""
    machine.cmdline = "quiet baseimage_udev=partitions ro"
    machine.files = files
    record = machine.record()
    assert record.helper_commands == ([UNBIND] if files and machine.device == "vdb" else [])
    assert has_base_image_properties(record) and record.properties["baseimage_udev"] == "partitions"


@pytest.mark.parametrize("serial, rule", [
    # If an earlier rule sets ID_SERIAL to BASEIMAGE, the disk is a base image.
    ("", 'KERNEL=="vd*", ENV{ID_SERIAL}="BASEIMAGE"\n'),
    ("ROOT", 'KERNEL=="vd*", ENV{ID_SERIAL}="BASEIMAGE"\n'),
    # If the serial is BASEIMAGE, the disk is a base image, even if an earlier rule sets another ID_SERIAL.
    ("BASEIMAGE", 'KERNEL=="vd*", ENV{ID_SERIAL}="other"\n'),
    # udev ignores blanks at the end of the serial.
    ("BASEIMAGE  ", ""),
])
def test_base_image__earlier_rule(machine, serial, rule):
    expected = machine.record()
    machine.serial = serial
    machine.rules["50-serial.rules"] = rule
    assert machine.record() == expected


@pytest.mark.skipif(udev_version() >= 257, reason="from version 257 on, udevadm test does not run the helper")
def test_base_image__emptied(machine):
    """Checks that the helper empties ID_FS_UUID and ID_FS_TYPE after an earlier rule has set these properties."""
    machine.rules["50-inside.rules"] = 'KERNEL=="vd*", ENV{ID_FS_UUID}="1", ENV{ID_FS_TYPE}="ext4"\n'
    assert not content_properties(machine.record())


# Each row has the attributes of the machine that differ from the default.  Here baseimage_udev=off is the default.
@pytest.mark.parametrize("attributes", [
    {},
    {"serial": "", "rules": {"50-serial.rules": 'KERNEL=="vd*", ENV{ID_SERIAL}="BASEIMAGE"\n'}},
    {"rules": {"50-serial.rules": 'KERNEL=="vd*", ENV{ID_SERIAL}="other"\n', "60-persistent-storage.rules": ""}},
    # If a kernel option occurs twice, udev uses the last value.  udev replaces "-" by "_" in names, and removes quotes.
    {"cmdline": "quiet baseimage_udev=on baseimage_udev=off ro"},
    {"cmdline": "quiet baseimage-udev=off ro"},
    {"cmdline": 'quiet baseimage_udev="off" ro'},
])
def test_base_image__opted_out(machine, attributes):
    """Checks that udev's record is the same as without the package, except for the property baseimage_udev."""
    vars(machine).update({"cmdline": "quiet baseimage_udev=off ro"} | attributes)
    record = machine.record()
    assert record.properties.pop("baseimage_udev") == "off"
    assert record == machine.record_without_package()


@on_each_bus
@pytest.mark.parametrize("file", MARKERS)
def test_initramfs__partitions_deleted(machine, file):
    """Checks that the rule has the same result in an initramfs as in the running system.

    In an initramfs, the rule runs udev's blkid.  blkid sets properties, which the rule must empty.
    """
    expected = machine.record()
    machine.files = [file]
    # After a boot with UEFI, udev's blkid also sets these properties.  In this test, an earlier rule sets them.
    machine.rules["50-gpt.rules"] = ('KERNEL=="vdb", ENV{ID_PART_GPT_AUTO_ROOT_UUID}="1",'
                                     ' ENV{ID_PART_GPT_AUTO_ROOT_DISK}="1"\n')
    assert machine.record() == expected


@on_disks
@pytest.mark.parametrize("file", MARKERS)
@pytest.mark.parametrize("content", [SWAP, AMBIGUOUS], ids=["swap", "ambiguous"])
def test_initramfs__content_without_partition(machine, file, content):
    """In an initramfs, the rule must unbind a disk without partitions.  In the running system, the rule must not."""
    machine.content = {"vdb": content}
    expected = machine.record()
    assert expected.helper_commands == []
    machine.files = [file]
    record = machine.record()
    assert record.helper_commands == [UNBIND]
    assert not {"ID_FS_USAGE", "ID_FS_TYPE", "ID_FS_UUID", "ID_FS_LABEL"} & record.properties.keys()
    assert record.links == expected.links and has_base_image_properties(record)


@pytest.mark.parametrize("word, value", [
    ("baseimage_udev=on", "on"), ("baseimage_udev", "1"), ("xbaseimage_udev=off", None),
    ("baseimage_udev=off baseimage_udev=on", "on")])
def test_base_image__not_opted_out(machine, word, value):
    expected = machine.record()
    machine.cmdline = f"quiet {word} ro"
    record = machine.record()
    assert record.properties.pop("baseimage_udev", None) == value
    assert record == expected


SERIALS = ["", "ROOT", " BASEIMAGE", "BASEIMAGE2", "XBASEIMAGE", "baseimage", "BASEIMAGE X", "BASE\\x20IMAGE", "*",
           "$attr{size}", "%k", "a\"b'c", "Größe"]
# Each row has attributes of the machine.  With these attributes, the rule must not change udev's record.
UNCHANGED = [
    *({"serial": serial} for serial in SERIALS),
    *({"serial": "ROOT", "cmdline": f"quiet baseimage_udev={value} ro"} for value in ("off", "partitions", "on")),
    *({"serial": "ROOT", "files": [file]} for file in MARKERS),
    *({"serial": "ROOT", "rules": {name: rule}} for name, rule in (
        ("60-persistent-storage.rules", ""),
        ("50-skip.rules", 'KERNEL=="vd*", ENV{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}="1"\n'),
        ("50-serial.rules", 'KERNEL=="vd*", ENV{ID_SERIAL}="of-the-admin"\n'),
        ("50-cmdline.rules", 'KERNEL=="vd*", ENV{baseimage}="kept"\n'))),
    # A base image is detached.
    *({"action": "remove", "files": files} for files in NO_OR_ONE_MARKER),
    # The device is not a virtio disk or not a block device, but an earlier rule sets ID_SERIAL to BASEIMAGE.
    {"bus": "scsi", "disk": "sda", "device": "sda", "content": {"sda": TABLE}, "rules": {
        "50-serial.rules": 'KERNEL=="sda", ENV{ID_SERIAL}="BASEIMAGE"\n'}},
    {"bus": "other", "device": "vdz", "rules": {"50-serial.rules": 'KERNEL=="vdz", ENV{ID_SERIAL}="BASEIMAGE"\n'}},
]


@pytest.mark.parametrize("attributes", UNCHANGED, ids=str)
def test_record__unchanged(machine, attributes):
    vars(machine).update(attributes)
    assert machine.record() == machine.record_without_package()


HELPERS = {
    "fails": "#!/bin/sh\nexit 1\n",
    "crashes": "#!/bin/sh\nkill -SEGV $$\n",
    "half a line": "#!/bin/sh\nprintf 'ID_FS_UUID=\"\"\nSYSTEMD_REA'\n",
    "megabyte": "#!/bin/sh\nprintf %01000000d\n",
}


@pytest.mark.parametrize("fault", ["missing", "not executable", *HELPERS])
def test_base_image__without_helper(machine, fault):
    """Checks that the rule sets all properties without 99-systemd.rules, even if the helper is missing or broken."""
    machine.rules["99-systemd.rules"] = ""
    expected = machine.record()
    if fault == "missing":
        del machine.package[HELPER]
    elif fault == "not executable":
        machine.helper_mode = 0o644
    else:
        machine.package[HELPER] = HELPERS[fault].encode()
    record = machine.record()
    assert record == expected and has_base_image_properties(record)
