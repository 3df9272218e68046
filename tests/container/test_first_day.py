"""`voltryctl setup` on an installed station whose hardware answers."""

import json
import tomllib

import pytest
from installed import pid
from machine import wait_for

# What the simulator plays, as a person says it.
SITE = """
name = "Depot 3"
power_limit_w = 90000.0
free_vending = true
csms = { url = "ws://127.0.0.1:9", identity = "DEPOT-3", version = "2.0.1" }
[[evse]]
profile = "iec61851-23-2023"
voltage_max = 1000.0
current_max = 300.0
over_voltage_by_hardware = true
evse_id = "DE*VOL*E1"
interface = "evse1"
modem = "qca7000"
board = "/run/voltry-sim/dev/mcu1"
modules = { family = "infypower", can = "/run/voltry-sim/dev/can1", addresses = [0, 1, 2] }
meter = { model = "acrel-djsf1352-rn", line = "/run/voltry-sim/dev/dc1", baud = 19200, address = 1 }
insulation_monitor = { model = "isocha425hv", line = "/run/voltry-sim/dev/imd1", baud = 19200, address = 3 }
"""
# The same, answered; nothing is the usual answer.
ANSWERS = [
    *["Depot 3", "90000", "yes", "no", ""],
    *["", "", "1000", "300", "yes", "DE*VOL*E1", "evse1", "/run/voltry-sim/dev/mcu1"],
    *["", "/run/voltry-sim/dev/can1", "0 1 2", "", "/run/voltry-sim/dev/dc1", "", "", "/run/voltry-sim/dev/imd1", "3"],
]
DEVICES = {"power_supply/1", "connector/1", "energy_meter/dc1", "insulation_monitor/imd1", "ev_link/1"}


def setup(station, *options, answers=""):
    """The report of a commissioning."""
    done = station.machine.try_run("voltryctl", "--json", "setup", *options, limit=300, input=answers)
    print(done.stdout, done.stderr)
    return {"code": done.returncode, **json.loads(done.stdout)}


def test_the_hardware_is_found_before_any_daemon_runs(station):
    machine = station.machine
    (machine.root / "srv/site.toml").write_text(SITE)
    machine.run("systemctl", "stop", "voltry.target")
    wait_for(lambda: pid(machine, "voltry-station") == "0", "the station's end")
    machine.run("systemctl", "start", "voltry-sim")
    report = setup(station, "--from", "/srv/site.toml", "--dry-run")
    assert (report["code"], report["missing"], report["errors"]) == (0, [], [])
    assert {device["object"] for device in report["devices"]} >= DEVICES
    machine.run("systemctl", "start", "voltry.target")
    station.wait_until("available")


@pytest.fixture(scope="module")
def report(station):
    """Of the commissioning of the station that runs."""
    station.clear()
    (station.machine.root / "srv/site.toml").write_text(SITE)
    return setup(station, "--from", "/srv/site.toml")


def test_a_person_is_asked_where_no_file_answers(station):
    station.clear()
    report = setup(station, "--dry-run", answers="\n".join(ANSWERS) + "\n")
    assert (report["code"], report["name"], report["missing"], report["errors"]) == (0, "Depot 3", [], [])
    assert report["written"] is None


def test_the_devices_of_a_station_that_runs_are_found(report):
    assert (report["missing"], report["errors"], report["failure"]) == ([], [], None)
    found = {device["object"]: device for device in report["devices"]}
    assert found.keys() >= DEVICES
    assert found["ev_link/1"]["serial"]


def test_its_self_test_makes_every_check_that_energises_nothing(report):
    made = {row["check"]: row["outcome"] for row in report["self_test"]}
    assert made.keys() == {"voltages", "temperatures", "lock", "insulation-monitor", "contactors"}
    assert set(made.values()) <= {"passed", "skipped"}
    assert report["code"] == 0


def test_secrets_are_made_once_for_root_alone(station, report):
    [technician] = report["secrets"]
    assert technician["file"] == "/etc/credstore/ui.accounts", "the back end's password was there"
    file = station.machine.root / "etc/credstore/ui.accounts"
    assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o600, 0)
    assert technician["secret"] not in file.read_text()
    assert tomllib.loads(file.read_text())["technician"]["role"] == "configure"


def test_the_station_charges_with_what_was_written(station, report):
    machine = station.machine
    machine.run("systemctl", "enable", *report["units"])
    machine.run("systemctl", "restart", "voltry.target")
    station.wait_until("available")
    assert machine.run("voltryctl", "status").startswith("Depot 3\n")
    assert machine.try_run("test", "-s", "/run/credentials/voltry-ui.service/ui.accounts").returncode == 0
    assert machine.try_run("voltryctl", "config", "check").returncode == 0
    station.charge()
    station.free()
