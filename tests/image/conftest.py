"""The station in its machine: installed from the packages, booted with Debian's kernel, once for all tests."""

import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A machine is a slower container: the tests of both share what they know of an installed station.
sys.path.append(str(ROOT / "tests/container"))

import disk  # noqa: E402
from guest import Guest, ask_fitness  # noqa: E402
from installed import Station, found_packages  # noqa: E402
from kernel import Kernel  # noqa: E402
from machine import CannotRun  # noqa: E402

FOLDER = ROOT / "target/image"
# By how much everything may take longer by the machine's clock than in the field.
SLOWNESS = 5


class Table(list):
    """What was seen, line by line; printed as it comes, for all of it takes an hour and more."""

    def append(self, line):
        super().append(line)
        print(line, flush=True)


@pytest.fixture(scope="session")
def guest():
    """A machine that is off, with a disk that nobody has used."""
    try:
        ask_fitness()
        FOLDER.mkdir(parents=True, exist_ok=True)
        kernel = Kernel(FOLDER)
        made, stick = disk.make(FOLDER, kernel, found_packages())
    except CannotRun as why:
        pytest.skip(f"no machine: {why}")
    shared = FOLDER / "meter"
    shutil.rmtree(shared, ignore_errors=True)
    shared.mkdir()
    # QEMU makes files as root; the meter's memory is to be anybody's in the machine.
    (shared / "dc1").touch()
    (shared / "dc1").chmod(0o666)
    guest = Guest(FOLDER, made, stick, shared)
    yield guest
    if guest.qemu is not None and guest.qemu.poll() is None:
        guest.power_cut()
    if "VOLTRY_KEEP" not in os.environ:
        made.unlink()
        stick.unlink()


@pytest.fixture(scope="session")
def station(guest):
    """The station, once it is Available."""
    guest.boot()
    station = Station(guest, SLOWNESS, guest.clock)
    station.told = Table()
    station.wait_until("available")
    return station
