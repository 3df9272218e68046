"""A station that was installed from its packages, in whatever machine."""

import json
import time
from pathlib import Path

from machine import wait_for

ROOT = Path(__file__).resolve().parents[2]
DAEMONS = [
    *["voltry-evse@1", "voltry-station", "voltry-power", "voltry-board", "voltry-secc@1", "voltry-ocpp"],
    *["voltry-meter@dc1", "voltry-meter@imd1", "voltry-meter@grid"],
]
UNITS = [*DAEMONS, "voltry-sim"]


# A machine that does other work may be late, which ends a charge before it began.
ATTEMPTS = 3


def found_packages():
    """What `make deb` has made, by name."""
    found = {path.name.split("_")[0]: path for path in (ROOT / "target/debian").glob("*.deb")}
    assert set(found) == {"voltry", "voltry-simulated"}, "`make deb` has not run"
    return found


def apt(*arguments):
    return ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes", "-o", "Dpkg::Use-Pty=0", *arguments]


def pid(machine, unit):
    return machine.show(unit, "MainPID")["MainPID"]


class Station:
    """The installed station; `slowness` is by how much its machine is slower than this one, by the given clock."""

    def __init__(self, machine, slowness=1, clock=time.monotonic):
        self.machine = machine
        self.slowness = slowness
        self.clock = clock
        # Each look costs a slow machine a good part of its time.
        self.pause = 0.1 if slowness == 1 else 2.0
        self.told = []
        self.charged = set()

    def ctl(self, *arguments):
        return json.loads(self.machine.run("voltryctl", "--json", *arguments))

    def evse(self):
        """What EVSE 1 does; nothing while the station does not answer."""
        done = self.machine.try_run("voltryctl", "--json", "status", "1")
        return json.loads(done.stdout)[0] if done.returncode == 0 and done.stdout else {"state": "", "transaction": 0}

    def wait_for(self, condition, what, limit=60):
        return wait_for(condition, what, limit * self.slowness, self.pause, self.clock)

    def wait_until(self, state, limit=60):
        self.wait_for(lambda: self.evse()["state"] == state, f"EVSE 1 is {state}", limit)

    def charge(self):
        """Plugs a vehicle in and waits until current flows; the number of its transaction."""
        for _ in range(ATTEMPTS):
            self.free()
            self.machine.run("voltryctl", "sim", "plug", "1")
            came = self.wait_for(self.charging_or_faulted, "current flows", 90)
            if came["state"] != "faulted":
                break
        assert came["state"] != "faulted", f"it did not charge in {ATTEMPTS} attempts"
        transaction = self.evse()["transaction"]
        self.charged.add(transaction)
        return transaction

    def charging_or_faulted(self):
        """What the EVSE does once current flows, or once it has given up."""
        evse = self.evse()
        return evse if evse.get("current", 0) > 10 or evse["state"] == "faulted" else None

    def free(self):
        """Takes the vehicle away, if it is still there, and clears what stays latched."""
        self.machine.try_run("voltryctl", "sim", "unplug", "1")
        self.clear()

    def clear(self):
        """Clears what stays latched: on a machine that does other work, values may be late also while nobody charges."""

        def available():
            if self.evse()["state"] == "faulted":
                self.machine.try_run("voltryctl", "faults", "clear", "1")
            evse = self.evse()
            return evse["state"] == "available" and evse["transaction"] == 0

        self.wait_for(available, "EVSE 1 is available again")

    def transaction(self, number):
        """A transaction; nothing while the station does not answer."""
        done = self.machine.try_run("voltryctl", "--json", "sessions", "list", "--limit", "1000")
        rows = json.loads(done.stdout) if done.returncode == 0 else []
        return next((row for row in rows if row["id"] == number), {"state": "unknown"})

    def transactions(self):
        return self.ctl("sessions", "list", "--limit", "1000")
