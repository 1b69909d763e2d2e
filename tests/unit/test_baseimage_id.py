# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the helper, and checks standard output, standard error and exit status.

The environment variable HELPER has the path of the helper, and VERSION has the version of this project.
"""

import fcntl
import os
import subprocess
import unittest

PROPERTIES = 'ID_FS_UUID=""\nID_FS_TYPE=""\nSYSTEMD_READY=0\nSYSTEMD_IGNORE=1\n'
USAGE = """\
Usage: baseimage_id
       baseimage_id delete DISK [PARTITION-NUMBER]
       baseimage_id unbind VIRTIO-DEVICE
       baseimage_id --help | --version
"""
OTHER_SERIALS = [
    "", "B", "BASEIMAG", "BASEIMAGE2", "BASEIMAGE ", " BASEIMAGE", "XBASEIMAGE", "baseimage", "BaseImage",
    "BASEIMAGE\n", "BASEIMAGE\t", "BASE IMAGE", "BASEIMAGE/", '"BASEIMAGE"', "BASEIMAGE*", "*", "BASEIMAGE" * 10000]
# Each row has the arguments, and the expected exit status, standard output and standard error.
CASES = [
    (["--help"], 0, USAGE, ""),
    (["--version"], 0, f"baseimage_id {os.environ['VERSION']}\n", ""),
    *((arguments, 2, "", USAGE) for arguments in (["/dev/vda"], [""], ["--help", "--help"], ["delete"], ["unbind"])),
    *((["delete", "/dev/null", number], 2, "", USAGE) for number in ("0", "256", "1x", "", "4294967297")),
    (["delete", "/none"], 1, "", "baseimage_id: /none: cannot open (errno 2)\n"),
    # /dev/null is not a disk, so ioctl() fails.
    (["delete", "/dev/null"], 1, "", "baseimage_id: /dev/null: cannot delete a partition (errno 25)\n"),
    (["delete", "/dev/null", "255"], 1, "", "baseimage_id: /dev/null: cannot delete a partition (errno 25)\n"),
    *((["unbind", name], 1, "", f"baseimage_id: {name}: cannot unbind (errno 22)\n")
      for name in ("vda", "virtio", "virtio1x", "virtio/../0", "virtio12345678901")),
]


def run_helper(*arguments, serial="BASEIMAGE", **options):
    """Runs the helper.  Returns the exit status, the standard output and the standard error."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    environment = {} if serial is None else {"ID_SERIAL": serial}
    result = subprocess.run([os.environ["HELPER"], *arguments], env=environment, text=True, check=False, **options)
    return result.returncode, result.stdout, result.stderr


class Helper(unittest.TestCase):
    maxDiff = None

    def test_serial(self):
        self.assertEqual(run_helper(), (0, PROPERTIES, ""))
        for serial in (None, *OTHER_SERIALS):
            with self.subTest(serial=serial):
                self.assertEqual(run_helper(serial=serial), (0, "", ""))

    def test_arguments(self):
        for arguments, *expected in CASES:
            with self.subTest(arguments=arguments):
                self.assertEqual(run_helper(*arguments), tuple(expected))

    def check_failed_output(self, errno, **options):
        message = f"baseimage_id: standard output: cannot write (errno {errno})\n"
        self.assertEqual(run_helper(**options), (1, None, message))

    def test_output__fails_at_once(self):
        reader, writer = os.pipe()
        os.close(reader)
        with open("/dev/full", "wb") as full, open(writer, "wb") as pipe:
            self.check_failed_output(28, stdout=full)
            self.check_failed_output(32, stdout=pipe)
        self.check_failed_output(9, stdout=None, preexec_fn=lambda: os.close(1))
        closed = run_helper(stdout=None, stderr=None, preexec_fn=lambda: os.closerange(1, 3))
        self.assertEqual(closed, (1, None, None))

    def test_output__short_write(self):
        """Checks that the helper prints a message if it can write only a part of the text.

        With the seal F_SEAL_GROW, the kernel does not let the file grow.  The helper starts to write 10 bytes before
        the end.  So the first write() writes 10 bytes, and the next write() fails.  The first write() succeeds only if
        the file ends at the end of a page.  The size of the file is 2 MiB, which is a multiple of every page size.
        """
        with open(os.memfd_create("short", os.MFD_ALLOW_SEALING), "r+b") as file:
            file.truncate(2 << 20)
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
            file.seek(-10, os.SEEK_END)
            self.check_failed_output(1, stdout=file)
            self.assertEqual(os.pread(file.fileno(), 11, (2 << 20) - 10), b"ID_FS_UUID")


unittest.main()
