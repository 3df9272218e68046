"""A maker's daemon in Python, packed as docs/oem.md has it, on an installed station: it charges with it."""

import json
import subprocess

import pytest
from conftest import ROOT
from installed import apt, pid
from machine import wait_for

UNIT = "voltry-example-power"
PROGRAM = ["com.example.Power1", "/com/example/power/1", "/run/voltry-sim/dev/can1", "3"]
FILES = {
    # Its adapter is where the simulator has it.
    f"etc/systemd/system/{UNIT}.service.d/30-site.conf": f"""
[Service]
ExecStart=
ExecStart=/usr/bin/{UNIT} {" ".join(PROGRAM[2:])}
""",
    # What `voltryctl setup` has written binds to ours.
    "etc/voltry/voltry.d/80-example.toml": """
[evse.1]
power_supply = { name = "com.example.Power1", path = "/com/example/power/1" }
""",
}


@pytest.fixture(scope="module")
def theirs(station, tmp_path_factory):
    """The station with the maker's power supply in place of ours; afterwards as it was."""
    machine, folder = station.machine, tmp_path_factory.mktemp("package")
    subprocess.run([ROOT / "examples/package/make-deb", folder], check=True, capture_output=True, timeout=60)
    [package] = folder.glob("*.deb")
    (machine.root / "srv" / package.name).write_bytes(package.read_bytes())
    machine.run(*apt("install", f"/srv/{package.name}"))
    for name, text in FILES.items():
        (machine.root / name).parent.mkdir(parents=True, exist_ok=True)
        (machine.root / name).write_text(text)
    machine.run("systemctl", "mask", "--now", "voltry-power")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "voltry.target")
    yield station
    for name in FILES:
        (machine.root / name).unlink()
    machine.run(*apt("purge", UNIT))
    machine.run("systemctl", "unmask", "voltry-power")
    machine.run("systemctl", "restart", "voltry.target")
    station.clear()


def test_the_station_is_available_with_it(theirs):
    theirs.wait_until("available")
    assert theirs.machine.try_run("voltryctl", "config", "check").returncode == 0
    # Ours, which the simulator's configuration still has a table for, is away and missed.
    done = theirs.machine.try_run("voltryctl", "--json", "devices")
    devices = {device["object"]: device["online"] for device in json.loads(done.stdout)}
    assert devices["/com/example/power/1"]


def test_it_runs_as_a_user_of_its_own_in_the_sandbox_of_ours(theirs):
    text = theirs.machine.run("cat", f"/proc/{pid(theirs.machine, UNIT)}/status")
    status = {line.split(":")[0]: line.split(":", 1)[1].split() for line in text.splitlines()}
    assert "0" not in status["Uid"] + status["Gid"]
    assert {int(status[kind][0], 16) for kind in ["CapEff", "CapPrm", "CapBnd", "CapAmb"]} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == (["1"], ["2"])


@pytest.mark.parametrize("death", ["KILL", "STOP"])
def test_it_comes_back_when_it_dies_or_hangs_while_a_vehicle_charges(theirs, death):
    machine, charged = theirs.machine, theirs.charge()
    victim = pid(machine, UNIT)
    machine.run("kill", f"-{death}", victim)
    wait_for(lambda: theirs.transaction(charged)["state"] == "closed", "the transaction is over")
    wait_for(lambda: pid(machine, UNIT) not in {"0", victim}, f"{UNIT} runs again")
    theirs.free()


def test_it_keeps_the_contract(theirs):
    machine = theirs.machine
    machine.run("systemctl", "stop", UNIT)
    line = ["voltryctl", "conform", "power-supply", *PROGRAM[:2], "--yes", "--slack", "3", "--"]
    done = machine.try_run(*line, "python3", f"/usr/lib/{UNIT}/power_supply.py", *PROGRAM, limit=300)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
