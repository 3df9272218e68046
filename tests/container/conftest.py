"""The station in its container: installed from the packages, once for all tests."""

import os
import shutil
from pathlib import Path

import pytest
from installed import Station, apt, found_packages
from machine import CannotRun, Machine, ask_fitness, base

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "target/container"
# A CSMS that nobody plays: the uplink dials it in vain, and lives.
CSMS = """
[ocpp]
identity = "VOLTRY-TEST"
[ocpp.profile.1]
url = "ws://127.0.0.1:9"
version = "2.0.1"
security_profile = 1
password_file = "ocpp.password"
"""
PASSWORD = "sixteen letters!"


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
    """The machine after `apt-get install`, with an uplink to nowhere."""
    secret = machine.root / "etc/credstore/ocpp.password"
    secret.parent.mkdir(mode=0o700, exist_ok=True)
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    machine.run(*apt("install", *(f"/srv/{package.name}" for package in packages.values())))
    (machine.root / "etc/voltry/voltry.d/60-csms.toml").write_text(CSMS)
    machine.run("systemctl", "enable", "--now", "voltry-ocpp")
    station = Station(machine)
    station.wait_until("available")
    yield station
    print("\n" + "\n".join(station.told))
