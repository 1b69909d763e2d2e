# SPDX-License-Identifier: GPL-2.0-or-later
"""The rule and the helper, as they are built or installed, through this machine's udevadm."""

import pytest

from machine import AMBIGUOUS, HELPER, SWAP, TABLE, Machine, udev_version

DELETE_ALL = "/usr/lib/udev/baseimage_id delete /dev/vdb"
PROMISED = {"ID_SERIAL": "BASEIMAGE", "SYSTEMD_READY": "0", "SYSTEMD_IGNORE": "1",
            "UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG": "1", "DM_UDEV_DISABLE_OTHER_RULES_FLAG": "1",
            "DM_MULTIPATH_DEVICE_PATH": "1", "UDISKS_IGNORE": "1"}
# Files that only an initramfs has.
MARKERS = ["/usr/lib/baseimage-udev/initramfs", "/etc/initrd-release", "/usr/lib/initrd-release", "/conf/initramfs.conf"]

on_each_bus = pytest.mark.parametrize("machine", ["pci-vdb", "pci-vdb1", "ccw-vdb", "ccw-vdb1"], indirect=True)
on_disks = pytest.mark.parametrize("machine", ["pci-vdb", "ccw-vdb"], indirect=True)


def holds_promise(record):
    return PROMISED.items() <= record.properties.items()


def inside(record):
    """The properties that tell what is on the device."""
    return [name for name in record.properties if name.startswith(("ID_FS_", "ID_PART_"))]


@on_each_bus
@pytest.mark.parametrize("action", ["add", "change", "online"])
def test_base_image__contract(machine, action):
    record = machine.record(action)
    assert holds_promise(record) and not inside(record)
    part = "-part1" if machine.device == "vdb1" else ""
    assert record.links == {f"/dev/baseimage{part}", f"/dev/disk/by-id/virtio-BASEIMAGE{part}"}
    assert record.priority == "-1024"
    assert record.watch in (None, "disabled")
    assert record.ours == [f"{DELETE_ALL} 1" if part else DELETE_ALL]



def test_other__not_virtio(root):
    """Another kind of disk, whatever its ID_SERIAL."""
    machine = Machine(root)
    machine.bus, machine.disk, machine.device, machine.content = "scsi", "sda", "sda", {"sda": TABLE}
    machine.rules["50-serial.rules"] = 'KERNEL=="sda", ENV{ID_SERIAL}="BASEIMAGE"\n'
    assert machine.record() == machine.record_without_package()


def test_other__not_block(root):
    machine = Machine(root)
    machine.bus, machine.device = "other", "vdz"
    machine.rules["50-serial.rules"] = 'KERNEL=="vdz", ENV{ID_SERIAL}="BASEIMAGE"\n'
    assert machine.record() == machine.record_without_package()


def test_other__content_is_found(machine):
    """The properties and links that a base image does not have."""
    machine.serial = "ROOT"
    record = machine.record()
    assert inside(record)
    assert ("/dev/disk/by-label/inside" in record.links) == (machine.device == "vdb1")
    assert record.watch in (None, "enabled")


def test_base_image__rule_alone(machine):
    """The helper and systemd's rules set some of the properties, too."""
    del machine.package[HELPER]
    machine.rules["99-systemd.rules"] = ""
    assert holds_promise(machine.record())


@on_disks
def test_base_image__no_partitions(machine):
    machine.content = {"vdb": SWAP}
    assert machine.record().ours == []


def test_base_image__partitions_kept(machine):
    machine.cmdline = "quiet baseimage_udev=partitions ro"
    record = machine.record()
    assert record.ours == []
    assert holds_promise(record) and record.properties["baseimage_udev"] == "partitions"


@pytest.mark.parametrize("serial, rule", [
    # For a disk whose serial cannot be chosen.
    ("", 'KERNEL=="vd*", ENV{ID_SERIAL}="BASEIMAGE"\n'),
    ("ROOT", 'KERNEL=="vd*", ENV{ID_SERIAL}="BASEIMAGE"\n'),
    # Hides nothing.
    ("BASEIMAGE", 'KERNEL=="vd*", ENV{ID_SERIAL}="other"\n'),
])
def test_base_image__earlier_rule(machine, serial, rule):
    expected = machine.record()
    machine.serial = serial
    machine.rules["50-serial.rules"] = rule
    assert machine.record() == expected


def test_base_image__emptied(machine):
    """What another rule had found inside, the helper takes away."""
    if udev_version() >= 257:
        pytest.skip("from version 257 on, udevadm test runs no program, and so no helper")
    machine.rules["50-inside.rules"] = 'KERNEL=="vd*", ENV{ID_FS_UUID}="1", ENV{ID_FS_TYPE}="ext4"\n'
    assert not inside(machine.record())


@pytest.mark.parametrize("name, rule", [
    ("60-persistent-storage.rules", ""),
    ("50-skip.rules", 'KERNEL=="vd*", ENV{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}="1"\n'),
    ("50-serial.rules", 'KERNEL=="vd*", ENV{ID_SERIAL}="of-the-admin"\n'),
    ("50-cmdline.rules", 'KERNEL=="vd*", ENV{baseimage}="kept"\n'),
])
def test_other__unchanged_beside(machine, name, rule):
    machine.serial = "ROOT"
    machine.rules[name] = rule
    assert machine.record() == machine.record_without_package()


def test_base_image__removed(machine):
    assert machine.record("remove") == machine.record_without_package("remove")


@pytest.mark.parametrize("serial, rules", [
    ("BASEIMAGE", {}),
    ("", {"50-serial.rules": 'KERNEL=="vd*", ENV{ID_SERIAL}="BASEIMAGE"\n'}),
    ("BASEIMAGE", {"50-serial.rules": 'KERNEL=="vd*", ENV{ID_SERIAL}="other"\n', "60-persistent-storage.rules": ""}),
])
def test_base_image__opted_out(machine, serial, rules):
    """The record says why, and is otherwise that of any disk."""
    machine.serial = serial
    machine.rules.update(rules)
    machine.cmdline = "quiet baseimage_udev=off ro"
    record = machine.record()
    assert record.properties.pop("baseimage_udev") == "off"
    assert record == machine.record_without_package()


@pytest.mark.parametrize("value", ["off", "partitions", "on"])
def test_other__with_option(machine, value):
    machine.serial = "ROOT"
    machine.cmdline = f"quiet baseimage_udev={value} ro"
    assert machine.record() == machine.record_without_package()


@on_each_bus
@pytest.mark.parametrize("file", MARKERS)
def test_initramfs__partitions_deleted(machine, file):
    """As in the real system, and what was read of the partition table does not show."""
    expected = machine.record()
    machine.files = [file]
    # As the blkid builtin does after a boot by UEFI.
    machine.rules["50-gpt.rules"] = ('KERNEL=="vdb", ENV{ID_PART_GPT_AUTO_ROOT_UUID}="1",'
                                     ' ENV{ID_PART_GPT_AUTO_ROOT_ORIGIN}="2"\n')
    assert machine.record() == expected


@on_disks
@pytest.mark.parametrize("file", MARKERS)
@pytest.mark.parametrize("content", [SWAP, AMBIGUOUS], ids=["swap", "ambiguous"])
def test_initramfs__content_without_partition(machine, file, content):
    """The driver lets go of the disk; only there."""
    machine.content = {"vdb": content}
    expected = machine.record()
    machine.files = [file]
    record = machine.record()
    assert record.ours == ["/usr/lib/udev/baseimage_id unbind virtio1"]
    assert not {"ID_FS_USAGE", "ID_FS_TYPE", "ID_FS_UUID", "ID_FS_LABEL"} & record.properties.keys()
    assert record.links == expected.links and holds_promise(record)


@pytest.mark.parametrize("file", MARKERS)
def test_initramfs__partitions_kept(machine, file):
    machine.cmdline = "quiet baseimage_udev=partitions ro"
    machine.files = [file]
    said = machine.record().ours
    assert said == (["/usr/lib/udev/baseimage_id unbind virtio1"] if machine.device == "vdb" else [])


@pytest.mark.parametrize("file", MARKERS)
def test_initramfs__removed(machine, file):
    machine.files = [file]
    assert machine.record("remove") == machine.record_without_package("remove")


@pytest.mark.parametrize("file", MARKERS)
def test_initramfs__others_stay(machine, file):
    machine.serial = "ROOT"
    machine.files = [file]
    assert machine.record() == machine.record_without_package()


# As udev's parser has it: the last one counts, - is as good as _, quotes are removed.
@pytest.mark.parametrize("words", ["baseimage_udev=on baseimage_udev=off", "baseimage-udev=off", 'baseimage_udev="off"'])
def test_base_image__opted_out_as_udev_reads_it(machine, words):
    machine.cmdline = f"quiet {words} ro"
    assert "SYSTEMD_READY" not in machine.record().properties


@pytest.mark.parametrize("word, value", [
    ("baseimage_udev=on", "on"), ("baseimage_udev", "1"), ("xbaseimage_udev=off", None),
    ("baseimage_udev=off baseimage_udev=on", "on")])
def test_base_image__not_opted_out(machine, word, value):
    expected = machine.record()
    machine.cmdline = f"quiet {word} ro"
    record = machine.record()
    assert record.properties.pop("baseimage_udev", None) == value
    assert record == expected


OTHERS = ["", "ROOT", " BASEIMAGE", "BASEIMAGE2", "XBASEIMAGE", "baseimage", "BASEIMAGE X", "BASE\\x20IMAGE", "*",
          "$attr{size}", "%k", "a\"b'c", "Größe"]


@pytest.mark.parametrize("serial", OTHERS)
def test_other__unchanged(machine, serial):
    machine.serial = serial
    assert machine.record() == machine.record_without_package()


def test_other__unchanged_with_broken_helper(machine):
    machine.serial = "ROOT"
    del machine.package[HELPER]
    assert machine.record() == machine.record_without_package()


def test_base_image__blanks(machine):
    """udev ignores blanks at the end; others count."""
    expected = machine.record()
    machine.serial = "BASEIMAGE  "
    assert machine.record() == expected


HELPERS = {
    "fails": "#!/bin/sh\nexit 1\n",
    "crashes": "#!/bin/sh\nkill -SEGV $$\n",
    "half a line": "#!/bin/sh\nprintf 'ID_FS_UUID=\"\"\nSYSTEMD_REA'\n",
    "megabyte": "#!/bin/sh\nprintf %01000000d\n",
}


@pytest.mark.parametrize("fault", ["missing", "not executable", *HELPERS])
def test_base_image__without_helper(machine, fault):
    expected = machine.record()
    if fault == "missing":
        del machine.package[HELPER]
    elif fault == "not executable":
        machine.helper_mode = 0o644
    else:
        machine.package[HELPER] = HELPERS[fault].encode()
    assert machine.record() == expected
