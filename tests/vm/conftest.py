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
from guest import WAITS_FOR_ROOT, Guest
from inert import SERIAL

# The tests in these files take the most time.  pytest starts these tests first, so that no worker runs much longer than
# the other workers.
LONGEST = "test_autopkgtest", "test_loaders", "test_other_devices", "test_package", "test_attached"


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="boot more guests, and run the tests that take long")


def pytest_configure(config):
    config.addinivalue_line("markers", "all_only: run with --all")
    config.addinivalue_line("markers", "tool(name): the program that makes the image")


def pytest_generate_tests(metafunc):
    wider = metafunc.config.getoption("all")
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases.CHOSEN + (cases.WIDER if wider else []), ids=str)
    if "control" in metafunc.fixturenames:
        metafunc.parametrize("control", cases.CONTROLS + (cases.WIDER_CONTROLS if wider else []), ids="-".join)


def pytest_collection_modifyitems(config, items):
    if not config.getoption("all"):
        left = [item for item in items if item.get_closest_marker("all_only")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(call):
    """Skips a test, with the reason, if this machine cannot make an image for the test."""
    if call.excinfo and call.excinfo.errisinstance(images.Unavailable):
        reason = str(call.excinfo.value)
        call.excinfo = pytest.CallInfo.from_call(lambda: pytest.skip(reason), call.when).excinfo


def pytest_runtest_logreport(report):
    """Prints each failure immediately, because the other tests can take hours."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid} failed:\n{report.longreprtext[-3000:]}", flush=True)


def pytest_terminal_summary(terminalreporter):
    """For each layout, prints the number of guests that booted and the number of guests that ignored the base image."""
    cells = defaultdict(lambda: [0, 0])
    for outcome in "passed", "failed":
        for report in terminalreporter.stats.get(outcome, []):
            case = dict(report.user_properties).get("case")
            if case and report.when == "call":
                suite, generator, layout = case[:3]
                cells[layout, suite, generator][0] += outcome == "passed"
                cells[layout, suite, generator][1] += 1
    columns = sorted({cell[1:] for cell in cells})
    if columns:
        terminalreporter.section("guests in which the base image was inert, of all that were booted")
    for words in zip(*columns):
        terminalreporter.write_line(f"{'':16}" + "".join(f"{word:>16}" for word in words))
    for layout in layouts.ROOTS:
        row = [cells.get((layout, *column)) for column in columns]
        if any(row):
            terminalreporter.write_line(f"{layout:16}" + "".join(
                f"{f'{cell[0]}/{cell[1]}' if cell else '-':>16}" for cell in row))


def built(package):
    """tests/run has built the packages.  Returns the path of the .deb file of one package."""
    directory = os.environ.get("BASEIMAGE_DEBS")
    if not directory:
        pytest.fail("BASEIMAGE_DEBS does not name the directory of the built packages: use tests/run")
    path, = Path(directory).glob(f"{package}_*.deb")
    return path


@pytest.fixture(scope="session")
def deb():
    return built("baseimage-udev")


@pytest.fixture(scope="session")
def status_deb():
    return built("baseimage-status")


@pytest.fixture
def older_deb(deb, tmp_path):
    """Makes a copy of baseimage-udev's .deb file with a lower version number.  Returns the path of the copy."""
    unpacked, path = tmp_path / "older", tmp_path / "older.deb"
    images.run("dpkg-deb", "-R", deb, unpacked)
    control = unpacked / "DEBIAN/control"
    control.write_text(control.read_text().replace("Version: ", "Version: 0~"))
    images.run("dpkg-deb", "--root-owner-group", "-b", unpacked, path)
    return path


@pytest.fixture
def make_disk(deb, status_deb):
    """Returns a function that makes a guest's disk with baseimage-status.

    The argument "package" decides whether the disk also has baseimage-udev.
    """
    def make(suite="bookworm", flavour="plain", layout="btrfs", package=True):
        # The libraries of Debian 11 are too old for baseimage-status.
        debs = (status_deb,) if suite != "bullseye" else ()
        return layouts.disk(suite, flavour, layout, debs + ((deb,) if package else ()))
    return make


@pytest.fixture(autouse=True)
def release_cache():
    yield
    images.release_cache()


@pytest.fixture
def boot(request, record_property, make_disk):
    """Returns a function that makes a Guest, which boots from "disk" or from the result of make_disk(**system).

    The argument "attached" tells where a copy of the guest's own disk is attached as base image:
    - "before": before the guest's own disk
    - "after": after the guest's own disk
    - "around": one base image before the guest's own disk, and one base image after the guest's own disk
    - "awaited": the test hot-plugs the base image and then the guest's own disk, while the initramfs waits for root
    - "late": the base image is attached at boot; the test hot-plugs the guest's own disk while the initramfs waits
    The argument "root" is a key of disk.roots, or a value of root=.  The argument "more" has other disks, which come
    last.  The argument "serial" is the serial of the guest's own disk.
    """
    def start(attached=None, root=None, append="", *, disk=None, more=(), serial=None, during_boot=None, **system):
        disk = disk or make_disk(**system)
        own = [(path, serial, False) for path in disk.paths]
        base = [(path, SERIAL, True) for path in disk.paths]
        at_boot, later = {"before": (base + own, []), "after": (own + base, []), "around": (base + own + base, []),
                          "awaited": ([], base + own), "late": (base, own)}.get(attached, (own, []))
        if later:
            later, more = later + list(more), ()

        def plug_later(guest):
            guest.await_console(WAITS_FOR_ROOT)
            for path, number, readonly in later:
                if number != SERIAL:
                    # The guest's own disk comes late, so that the initramfs scans the base image several times.
                    time.sleep(5)
                guest.plug(path, number, readonly, settle=False)

        record_property("booted", str(disk.paths[0]))
        name = request.node.name.replace("/", "-").removeprefix("test_")
        root = disk.roots.get(root, root) or next(iter(disk.roots.values()))
        # If only the guest's own disk is attached, the test does not check the boot.  Then the guest starts from a
        # snapshot, because a boot is slower.
        guest = Guest(name, disk.kernel, disk.initrd, f"root={root} ro {append}", at_boot + list(more),
                      show=request.config.getoption("capture") == "no",
                      during_boot=plug_later if later else during_boot,
                      snapshot=at_boot == own and not more and serial is None and not append)
        guest.disk = disk
        return guest
    return start


@pytest.fixture
def fault(record_property):
    """Returns a context manager for a fault: inside the "with" block, a test breaks a part of the system.

    If the block raises no exception, the report of the tests says that the package survived the fault.
    """
    @contextlib.contextmanager
    def inject(what):
        record_property("injected", what)
        yield
        record_property("survived", what)
    return inject
