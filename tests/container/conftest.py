"""The station in its container: installed from the packages, once for all tests."""

import json
import os
import shutil
from pathlib import Path

import pytest
from machine import CannotRun, Machine, ask_fitness, base, wait_for

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "target/container"
PACKAGES = ROOT / "target/debian"
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


def apt(*arguments):
    return ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes", "-o", "Dpkg::Use-Pty=0", *arguments]


class Station:
    """The installed station."""

    def __init__(self, machine):
        self.machine = machine
        self.told = []
        self.charged = set()

    def ctl(self, *arguments):
        return json.loads(self.machine.run("voltryctl", "--json", *arguments))

    def evse(self):
        """What EVSE 1 does; nothing while the station does not answer."""
        done = self.machine.try_run("voltryctl", "--json", "status", "1")
        return json.loads(done.stdout)[0] if done.returncode == 0 and done.stdout else {"state": "", "transaction": 0}

    def wait_until(self, state, limit=60):
        wait_for(lambda: self.evse()["state"] == state, f"EVSE 1 is {state}, but {self.evse()}", limit)

    def charge(self):
        """Plugs a vehicle in and waits until current flows; the number of its transaction."""
        self.wait_until("available")
        self.machine.run("voltryctl", "sim", "plug", "1")
        wait_for(lambda: self.evse().get("current", 0) > 10, "current flows", 90)
        transaction = self.evse()["transaction"]
        self.charged.add(transaction)
        return transaction

    def free(self):
        """Takes the vehicle away, if it is still there, and clears what stays latched."""
        self.machine.try_run("voltryctl", "sim", "unplug", "1")

        def available():
            if self.evse()["state"] == "faulted":
                self.machine.try_run("voltryctl", "faults", "clear", "1")
            evse = self.evse()
            return evse["state"] == "available" and evse["transaction"] == 0

        wait_for(available, "EVSE 1 is available again", 60)

    def transaction(self, number):
        """A transaction; nothing while the station does not answer."""
        done = self.machine.try_run("voltryctl", "--json", "sessions", "list", "--limit", "1000")
        rows = json.loads(done.stdout) if done.returncode == 0 else []
        return next((row for row in rows if row["id"] == number), {"state": "unknown"})

    def transactions(self):
        return self.ctl("sessions", "list", "--limit", "1000")


@pytest.fixture(scope="session")
def packages():
    found = {path.name.split("_")[0]: path for path in PACKAGES.glob("*.deb")}
    assert set(found) == {"voltry", "voltry-simulated"}, "`make deb` has not run"
    return found


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
