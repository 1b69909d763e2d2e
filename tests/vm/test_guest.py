# SPDX-License-Identifier: GPL-2.0-or-later
"""When a guest is given up, with a shell, a console and a clock that are made up; and which is another's equal."""

import re

import pexpect
import pytest

import guest as module
from guest import MAINTENANCE_SECONDS, SILENCE_SECONDS, BootFailed, Guest, Silent


class Played(Guest):
    """Says the next of its lines at each look, each after so many seconds; then it answers, or is silent."""

    def __init__(self, tmp_path, lines, seconds, answers=True):     # pylint: disable=super-init-not-called
        self.lines, self.seconds, self.answers = list(lines), seconds, answers
        self.console = tmp_path / "console"
        self.console.write_text("")
        self.shell = self.process = self
        self.now, self.buffer, self.ended = 0, "", None

    def expect_in_shell(self, _pattern, **_):
        self.now += self.seconds
        if self.lines:
            with open(self.console, "a", encoding="utf-8") as console:
                console.write(self.lines.pop(0) + "\r\n")
        elif self.answers:
            return
        raise pexpect.TIMEOUT("played")

    def poll(self):
        return self.ended


@pytest.fixture
def play(tmp_path, monkeypatch):
    def start(*words, **options):
        played = Played(tmp_path, *words, **options)
        monkeypatch.setattr(module.time, "monotonic", lambda: played.now)
        wait = played.expect
        monkeypatch.setattr(played, "expect", played.expect_in_shell, raising=False)
        return played, lambda: wait("answer")
    return start


def test_guest__slow_is_not_dead(play):
    played, wait = play([f"[  OK  ] Started {n}" for n in range(100)], SILENCE_SECONDS - 1)
    wait()
    assert played.now > 50 * SILENCE_SECONDS


def test_guest__silent(play):
    played, wait = play(["Booting"], 5, answers=False)
    with pytest.raises(Silent, match=f"(?s)Booting.*no word for {SILENCE_SECONDS} s"):
        wait()
    assert played.now < 1.1 * SILENCE_SECONDS


@pytest.mark.parametrize("words", [
    "[    3.1] Kernel panic - not syncing: VFS: Unable to mount root fs",
    "Gave up waiting for root file system device.  Common problems:",
    "(initramfs) ",
    "Entering emergency mode. Exit the shell to continue.",
])
def test_guest__dead_at_once(words, play):
    played, wait = play(["Booting", words, "more"], 5, answers=False)
    with pytest.raises(BootFailed, match=re.escape(words.strip()) + "$"):
        wait()
    assert played.now == 10


@pytest.mark.parametrize("words", [
    "You are in emergency mode. After logging in, type \"journalctl -xb\" to view",
    "Press Enter for maintenance",
    "Cannot open access to console, the root account is locked.",
])
def test_guest__waits_for_a_person(words, play):
    played, wait = play([words], 5, answers=False)
    with pytest.raises(BootFailed, match=re.escape(words) + "$"):
        wait()
    assert played.now < 2 * MAINTENANCE_SECONDS


def test_guest__ended(play):
    played, wait = play(["Booting", "reboot: Power down"], 5, answers=False)
    played.ended = 0
    with pytest.raises(BootFailed, match="(?s)Booting.*QEMU has ended"):
        wait()
    assert played.now == 5


def test_guest__of_another_disk(tmp_path):
    disk = tmp_path / "0.raw"

    def likeness():
        disk.write_bytes(b"")
        guest = Guest("guest", "vmlinuz", "initrd", "", [(disk, None, True)], logs=tmp_path)
        guest.directory.rmdir()
        return guest.likeness()

    assert likeness() != likeness()
