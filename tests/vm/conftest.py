# SPDX-License-Identifier: GPL-2.0-or-later
import contextlib
import os
import time
from collections import defaultdict
from pathlib import Path

import pytest

import cases
import images
import layouts
from guest import AWAITS_ROOT, Guest
from inert import SERIAL

LOGS = Path(os.environ.get("BASEIMAGE_LOGS") or images.CACHE / "logs")


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="a wider matrix, and the tests that take long")


def pytest_configure(config):
    config.addinivalue_line("markers", "all_only: run with --all")
    config.addinivalue_line("markers", "tool(name): what makes the image")


def pytest_generate_tests(metafunc):
    every = metafunc.config.getoption("all")
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases.CHOSEN + (cases.WIDER if every else []), ids=str)
    if "control" in metafunc.fixturenames:
        metafunc.parametrize("control", cases.CONTROLS + (cases.WIDER_CONTROLS if every else []), ids="-".join)


def pytest_collection_modifyitems(config, items):
    if not config.getoption("all"):
        left = [item for item in items if item.get_closest_marker("all_only")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
    put_longest_first(items)


def put_longest_first(items):
    """The longest first, or one worker would be at it when the others are done."""
    first = "test_autopkgtest", "test_loaders", "test_other_devices", "test_package", "test_attached"
    items.sort(key=lambda item: item.path.stem not in first)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(call):
    """A test of what cannot be made here is skipped, and says why."""
    if call.excinfo and call.excinfo.errisinstance(images.Unavailable):
        reason = str(call.excinfo.value)
        call.excinfo = pytest.CallInfo.from_call(lambda: pytest.skip(reason), call.when).excinfo


def pytest_runtest_logreport(report):
    """A run takes long: says at once what failed, not at its end."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid} failed:\n{report.longreprtext[-3000:]}", flush=True)


def built(package):
    """A package under test."""
    directory = os.environ.get("BASEIMAGE_DEBS")
    if not directory:
        pytest.fail("BASEIMAGE_DEBS does not name the directory of the built packages: use tests/run")
    path, = Path(directory).glob(f"{package}_*.deb")
    return path


def pytest_terminal_summary(terminalreporter):
    """The matrix as a table: how many guests of each kind were inert."""
    cells = defaultdict(lambda: [0, 0])
    for outcome in "passed", "failed", "skipped":
        for report in terminalreporter.stats.get(outcome, []):
            case = dict(report.user_properties).get("case")
            if case and report.when == ("setup" if outcome == "skipped" else "call"):
                suite, generator, layout = case[:3]
                cell = cells[layout, f"{suite} {generator}"]
                cell[0] += outcome == "passed"
                cell[1] += outcome != "skipped"
    booted = {column for _, column in cells}
    columns = sorted(booted)
    if not columns:
        return
    terminalreporter.section("guests in which the base image was inert, of all that were booted")
    for line in zip(*(column.split(" ") for column in columns)):
        terminalreporter.write_line(f"{'':16}" + "".join(f"{word:>16}" for word in line))
    for layout in layouts.ROOTS:
        row = [cells.get((layout, column), (0, 0)) for column in columns]
        if any(number for _, number in row):
            terminalreporter.write_line(f"{layout:16}" + "".join(
                f"{f'{good}/{number}' if number else '-':>16}" for good, number in row))


@pytest.fixture(scope="session")
def deb():
    return built("baseimage-udev")


@pytest.fixture
def older(deb, tmp_path):
    """The package as an earlier version."""
    unpacked = tmp_path / "older"
    images.run("dpkg-deb", "-R", deb, unpacked)
    control = unpacked / "DEBIAN/control"
    control.write_text(control.read_text().replace("Version: ", "Version: 0~"))
    path = tmp_path / "older.deb"
    images.run("dpkg-deb", "--root-owner-group", "-b", unpacked, path)
    return path


@pytest.fixture(scope="session")
def status_deb():
    return built("baseimage-status")


@pytest.fixture
def make_disk(deb, status_deb):
    def make(suite="bookworm", flavour="plain", layout="btrfs", package=True):
        # The libraries of Debian 11 are too old for baseimage-status.
        looks = (status_deb,) if suite != "bullseye" else ()
        return layouts.disk(suite, flavour, layout, looks + ((deb,) if package else ()))
    return make


@pytest.fixture(autouse=True)
def used():
    """What a test has used may go after it."""
    yield
    images.let_go()


@pytest.fixture
def boot(request, record_property):
    """Boots a disk with its own image attached "before" it, "after" it, "around" it, or not at all.

    "awaited": both come while the initramfs waits for root, the image first; "late": the image at boot, the own
    disk then.  more: other disks, which come last.  meanwhile: as Guest's.
    """
    def start(disk, attached=None, root=None, append="", more=(), serial=None, meanwhile=None):
        own = [(path, serial, False) for path in disk.paths]
        base = [(path, SERIAL, True) for path in disk.paths]
        first, then = {"before": (base + own, []), "after": (own + base, []), "around": (base + own + base, []),
                       "awaited": ([], base + own), "late": (base, own)}.get(attached, (own, []))
        if then:
            then, more = then + list(more), ()

        def attach(guest):
            guest.await_console(AWAITS_ROOT)
            for path, number, readonly in then:
                if number != SERIAL:
                    # For scanners that look again and again.
                    time.sleep(5)
                guest.plug(path, number, readonly, settle=False)

        # With nothing but its own disk it is what a test begins with, not what it tests.
        snapshot = first == own and not more and serial is None and not append
        record_property("booted", str(disk.paths[0]))
        name = request.node.name.replace("/", "-").removeprefix("test_")
        root = disk.roots.get(root, root) or next(iter(disk.roots.values()))
        return Guest(name, disk.kernel, disk.initrd, f"root={root} ro {append}", first + list(more), LOGS,
                     show=request.config.getoption("capture") == "no", meanwhile=attach if then else meanwhile,
                     snapshot=snapshot)
    return start


@pytest.fixture
def fault(record_property):
    """A block in which something is broken on purpose: its end means survived."""
    @contextlib.contextmanager
    def broken(what):
        record_property("injected", what)
        yield
        record_property("survived", what)
    return broken


@pytest.fixture
def plug_base():
    """Hot-plugs a guest's own image, or images."""
    def plug(guest, disk, **options):
        return [guest.plug(path, SERIAL, **options) for path in disk.paths]
    return plug
