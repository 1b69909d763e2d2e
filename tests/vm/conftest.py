# SPDX-License-Identifier: GPL-2.0-or-later
import contextlib
import os
import time
from collections import Counter
from pathlib import Path

import pytest

import cases
import images
import layouts
from guest import WAITS_FOR_ROOT, Guest
from inert import SERIAL

# pytest starts the tests in LONGEST first, and the tests in SHORTEST last.  So all workers end at about the same time.
# Without --all, the tests in SHORTEST take the least time.
LONGEST = "test_autopkgtest", "test_loaders", "test_other_devices", "test_status", "test_package", "test_attached"
SHORTEST = "test_deb", "test_front_door"


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="boot more guests, and run the tests that take long")


def pytest_configure(config):
    config.addinivalue_line("markers", "all_only: run with --all")


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
    items.sort(key=lambda item: 0 if item.path.stem in LONGEST else 2 if item.path.stem in SHORTEST else 1)


def pytest_runtest_logreport(report):
    """Prints each failure immediately and not at the end, because the other tests can take hours."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid} failed:\n{report.longreprtext[-3000:]}", flush=True)


def pytest_terminal_summary(terminalreporter):
    """For each layout, release and generator, prints how many guests of the matrix ignored the base image."""
    booted, inert = Counter(), Counter()
    for outcome in "passed", "failed":
        for report in terminalreporter.stats.get(outcome, []):
            if case := dict(report.user_properties).get("case"):
                suite, generator, layout = case[:3]
                booted[layout, suite, generator] += 1
                inert[layout, suite, generator] += outcome == "passed"
    columns = sorted({(suite, generator) for _, suite, generator in booted})
    # The first two rows are headings: the releases and the generators.
    rows = [("", *words) for words in zip(*columns)]
    for layout in layouts.ROOTS:
        cells = [(layout, *column) for column in columns]
        if any(booted[cell] for cell in cells):
            rows.append((layout, *(f"{inert[cell]}/{booted[cell]}" if booted[cell] else "-" for cell in cells)))
    if rows:
        terminalreporter.section("guests in which the base image was inert, of all that were booted")
    for layout, *words in rows:
        terminalreporter.write_line(f"{layout:16}" + "".join(f"{word:>16}" for word in words))


def built(package):
    """Returns the path of the .deb file of a package.  tests/run has built this file."""
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
    """Copies the .deb file of baseimage-udev, and lowers the version in the copy.  Returns the path of the copy."""
    unpacked, path = tmp_path / "older", tmp_path / "older.deb"
    images.run("dpkg-deb", "-R", deb, unpacked)
    control = unpacked / "DEBIAN/control"
    control.write_text(control.read_text().replace("Version: ", "Version: 0~"))
    images.run("dpkg-deb", "--root-owner-group", "-b", unpacked, path)
    return path


@pytest.fixture
def make_disk(deb, status_deb):
    """Returns a function that makes a guest's disk.  The disk has baseimage-status.

    If the argument "package" of the function is true, the disk also has baseimage-udev.
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
    """Returns a function that makes a Guest.  The guest boots from the Disk in "disk", or from make_disk(**system).

    A base image is a copy of the guest's own disk.  The argument "attached" states in which order the disks appear:
    - "before": a base image, then the guest's own disk
    - "after": the guest's own disk, then a base image
    - "around": a base image, then the guest's own disk, then a second base image
    - "awaited": no disk at boot; while the initramfs waits for root, a base image, then the guest's own disk
    - "late": a base image at boot; while the initramfs waits for root, the guest's own disk
    Without "attached", there is no base image.  The argument "root" is a key of disk.roots, or a value of root=.  The
    argument "more" has other disks, which follow these disks.  "serial" is the serial of the guest's own disk.
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
                    # In these 5 s, root is missing, so the initramfs scans the base image several times.
                    time.sleep(5)
                guest.plug(path, number, readonly, settle=False)

        record_property("booted", str(disk.paths[0]))
        name = request.node.name.replace("/", "-").removeprefix("test_")
        root = disk.roots.get(root, root) or next(iter(disk.roots.values()))
        # If only the guest's own disk is attached, the test does not check the boot.  So the guest starts from a
        # snapshot, which is the saved state of a booted guest.  A boot would be slower.
        return Guest(name, disk, f"root={root} ro {append}", at_boot + list(more),
                     show=request.config.getoption("capture") == "no",
                     during_boot=plug_later if later else during_boot,
                     snapshot=at_boot == own and not more and serial is None and not append)
    return start


@pytest.fixture
def fault(record_property):
    """Returns a context manager.  Inside the "with" block, a test breaks a part of the system on purpose (a fault).

    If the block raises no exception, tests/run counts the fault as survived.
    """
    @contextlib.contextmanager
    def inject(what):
        record_property("injected", what)
        yield
        record_property("survived", what)
    return inject
