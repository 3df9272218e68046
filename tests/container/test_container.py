"""A station that is installed from its packages and booted by systemd: `make test-container`.

The files run in the order of their names: the last one upgrades and removes what was installed for the first one.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT
from installed import DAEMONS as ENERGY_PATH
from installed import pid
from machine import wait_for
from site_files import CARD, ENABLED

DAEMONS = [*ENERGY_PATH, *(unit for unit in ENABLED if unit not in ENERGY_PATH)]
UNITS = [*DAEMONS, "voltry-sim"]
# What a daemon may do beyond an ordinary user, as the kernel numbers it.
CAPABILITIES = {"voltry-secc@1": {"cap_net_raw"}, "voltry-sim": {"cap_net_admin", "cap_net_raw"}}
CAPABILITY_BITS = {"cap_net_admin": 1 << 12, "cap_net_raw": 1 << 13}
# Whether the packages are those that are shipped: figures of others mean little.
RELEASE = os.environ.get("VOLTRY_PROFILE") == "release"
# Those that may die without anybody at the vehicle noticing.
UNNOTICED = {"voltry-station", "voltry-ocpp", "voltry-meter@grid", "voltry-ui", "voltry-reader", "voltry-update"}
# Who may call what energises; all others are told so by the bus.
ENERGISE = ["busctl", "call", "org.voltry.Power1", "/org/voltry/power_supply/1", "org.voltry.PowerSupply1", "Enable", "t", "1"]
USERS = ["evse", "station", "power", "meter", "board", "reader", "secc", "ocpp", "ui", "update", "sim"]
# What RAUC lets everybody do, by its own policy; ours takes it from all daemons but one.
RAUC = ["busctl", "get-property", "de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer", "Compatible"]


def status_of(machine, unit):
    text = machine.run("cat", f"/proc/{pid(machine, unit)}/status")
    return {line.split(":")[0]: line.split(":", 1)[1].split() for line in text.splitlines()}


def test_every_unit_is_up(station):
    for unit in UNITS:
        shown = station.machine.show(unit, "ActiveState", "SubState", "NRestarts")
        assert (shown["ActiveState"], shown["SubState"]) == ("active", "running"), unit
    failed = station.machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend")
    assert failed == ""


def test_nothing_runs_as_root_or_may_do_more_than_it_needs(station):
    machine = station.machine
    for unit in UNITS:
        status = status_of(machine, unit)
        assert "0" not in status["Uid"] + status["Gid"], unit
        allowed = sum(CAPABILITY_BITS[name] for name in CAPABILITIES.get(unit, set()))
        for kind in ["CapEff", "CapPrm", "CapBnd", "CapAmb"]:
            assert int(status[kind][0], 16) == allowed, f"{unit}: {kind}"
        assert status["NoNewPrivs"] == ["1"], unit
        assert status["Seccomp"] == ["2"], unit


def test_only_the_energy_path_may_energise(station):
    for user in ["root", *(f"voltry-{name}" for name in USERS)]:
        done = station.machine.try_run(*ENERGISE, user=user)
        denied = "Access denied" in done.stderr or "AccessDenied" in done.stderr
        assert denied == (user != "voltry-evse"), f"{user}: {done.stdout}{done.stderr}"


def test_only_the_updates_may_ask_rauc(station):
    for user in USERS:
        done = station.machine.try_run(*RAUC, user=f"voltry-{user}")
        assert (done.stdout == 's "Voltry Test"\n') == (user == "update"), f"{user}: {done.stdout}{done.stderr}"
        assert ("Access denied" in done.stderr) == (user != "update"), f"{user}: {done.stdout}{done.stderr}"


def test_the_updates_tell_what_rauc_knows(station):
    told = station.ctl("update", "status")
    slots = {slot["name"]: slot["booted"] for slot in told["slots"]}
    assert slots == {"rootfs.0": True, "rootfs.1": False}


def test_the_screen_is_served_to_this_machine(station):
    station.clear()
    ask = 'exec 3<>/dev/tcp/127.0.0.1/8080; printf "GET / HTTP/1.1\\r\\nHost: 127.0.0.1:8080\\r\\n\\r\\n" >&3; timeout 2 cat <&3'

    def free():
        return 'data-evse="1" data-state="state-free"' in station.machine.try_run("bash", "-c", ask).stdout

    wait_for(free, "the screen shows that EVSE 1 is free")


def test_a_card_on_the_reader_is_read(station):
    station.machine.run("voltryctl", "sim", "swipe", CARD, "1")
    read = [line["F_UID"] for line in station.machine.journal("--unit=voltry-reader") if line["MESSAGE"] == "a card"]
    assert read == ["…80"]


def test_a_stranger_reads_nothing(station):
    read = ["busctl", "get-property", "org.voltry.Station1", "/org/voltry/station", "org.voltry.Station1", "Evses"]
    assert station.machine.try_run(*read, user="nobody").returncode != 0
    station.machine.run(*read, user="voltry-ocpp")


def test_a_secret_reaches_its_daemon_alone(station):
    given = "/run/credentials/voltry-ocpp.service/ocpp.password"
    assert station.machine.try_run("test", "-s", given).returncode == 0
    for user in ["voltry-power", "voltry-secc", "nobody"]:
        for file in [given, "/etc/credstore/ocpp.password"]:
            assert station.machine.try_run("cat", file, user=user).returncode != 0
    assert station.machine.try_run("cat", "/etc/credstore/ocpp.password", user="voltry-ocpp").returncode != 0


def test_the_journal_has_the_fields_by_which_one_looks(station):
    [entry, *_] = [line for line in station.machine.journal("--unit=voltry-evse@1") if line["MESSAGE"] == "ready"]
    assert entry["SYSLOG_IDENTIFIER"] == "voltry-evse"
    assert entry["VOLTRY_INSTANCE"] == "1"
    assert entry["PRIORITY"] == "6"
    assert entry["_SYSTEMD_UNIT"] == "voltry-evse@1.service"


def test_a_vehicle_charges_and_is_billed(station):
    charged = station.charge()
    station.free()
    transaction = station.transaction(charged)
    assert transaction["energy"] >= 0
    assert transaction["state"] == "closed"


def test_the_station_is_available_soon_after_its_start(station):
    machine = station.machine
    spent = []
    for _ in range(5):
        machine.run("systemctl", "stop", "voltry.target")
        wait_for(lambda: not any(pid(machine, unit) != "0" for unit in DAEMONS), "the daemons' end")
        machine.run("systemctl", "start", "voltry.target")
        station.wait_until("available")
        begun = min(int(machine.show(unit, "ExecMainStartTimestampMonotonic").popitem()[1]) for unit in DAEMONS)
        states = machine.journal("--unit=voltry-evse@1", f"_PID={pid(machine, 'voltry-evse@1')}")
        available = [line for line in states if line.get("F_STATE") == "available"]
        spent.append((int(available[0]["__MONOTONIC_TIMESTAMP"]) - begun) / 1000)
    figure = sorted(spent)[len(spent) // 2]
    station.told.append(f"boot_to_available_ms: {figure:.0f}, the median of {', '.join(f'{ms:.0f}' for ms in spent)}")
    note("boot_to_available_ms", figure)
    assert figure <= 1500 or not RELEASE


@pytest.mark.skipif(not RELEASE, reason="of a release alone: `make test-container ARGS=release`")
def test_the_station_takes_little_room(station, packages):
    kib = int(subprocess.check_output(["dpkg-deb", "--field", packages["voltry"], "Installed-Size"], text=True))
    station.told.append(f"installed_mb: {kib / 1024:.1f}")
    note("installed_mb", kib / 1024)
    assert kib / 1024 <= 40


def note(name, value):
    """Adds a figure to those of the benchmarks, if the packages are of a release."""
    if not RELEASE:
        return
    file = ROOT / "target/bench.json"
    figures = json.loads(file.read_text()) if file.exists() else {}
    figures[name] = round(value, 1)
    file.write_text(json.dumps(figures, indent=2) + "\n")


@pytest.mark.parametrize("death", ["KILL", "STOP"])
@pytest.mark.parametrize("unit", DAEMONS)
def test_a_daemon_that_dies_or_hangs_while_a_vehicle_charges_comes_back(station, unit, death):
    machine = station.machine
    charged = station.charge()
    victim, restarts = pid(machine, unit), int(machine.show(unit, "NRestarts")["NRestarts"])
    machine.run("kill", f"-{death}", victim)

    def back():
        shown = machine.show(unit, "NRestarts", "ActiveState", "MainPID")
        return int(shown["NRestarts"]) > restarts and shown["ActiveState"] == "active" and shown["MainPID"] != victim

    wait_for(back, f"{unit} runs again")
    killed, again = [int(machine.show(unit, name).popitem()[1]) for name in
                     ["ExecMainExitTimestampMonotonic", "ExecMainStartTimestampMonotonic"]]
    if unit in UNNOTICED:
        wait_for(lambda: station.evse()["state"] == "charging", "the charge goes on")
    else:
        wait_for(lambda: station.transaction(charged)["state"] == "closed", "the transaction is over")
    outcome = station.evse()["state"]
    station.free()
    station.told.append(f"{unit:18} {death:4}  EVSE then {outcome:12} restarted")
    assert killed <= again or killed == 0


def test_no_transaction_is_open_or_missing(station):
    # Where vending is free, an EVSE that starts anew begins another one with the vehicle that it finds.
    transactions = station.transactions()
    assert {row["id"] for row in transactions} >= station.charged
    assert {row["state"] for row in transactions} == {"closed"}
