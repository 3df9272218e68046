"""The station in its container: installed from the packages, once for all tests."""

import os
import shutil
from pathlib import Path

import pytest
import site_files
from installed import Station, apt, found_packages
from machine import CannotRun, Machine, ask_fitness, base

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "target/container"

@pytest.fixture(scope="session")
def packages():
    return found_packages()


@pytest.fixture(scope="session")
def machine(packages):
    """A booted Debian with the packages at hand, not installed."""
    try:
        ask_fitness()
        machine = Machine(base(FOLDER), FOLDER / "root")
        machine.boot()
    except CannotRun as why:
        pytest.skip(f"no container: {why}")
    for package in packages.values():
        shutil.copy(package, machine.root / "srv")
    yield machine
    machine.power_off()
    if "VOLTRY_KEEP" not in os.environ:
        shutil.rmtree(machine.root, ignore_errors=True)


@pytest.fixture(scope="session")
def before(machine):
    """What the machine had when nothing was installed: files, users, groups."""
    return {"files": machine.files(), "users": accounts(machine, "passwd"), "groups": accounts(machine, "group")}


def accounts(machine, kind):
    return {line.split(":")[0] for line in machine.run("getent", kind).splitlines()}


@pytest.fixture(scope="session")
def station(machine, before, packages):
    """The machine after `apt-get install`, and then with what its site adds."""
    machine.run(*apt("install", *(f"/srv/{package.name}" for package in packages.values())))
    station = Station(machine)
    station.wait_until("available")
    site_files.put(machine.root)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "enable", *site_files.ENABLED)
    machine.run("systemctl", "restart", "voltry.target")
    station.wait_until("available")
    yield station
    print("\n" + "\n".join(station.told))
