"""A station in a machine with Debian's kernel and two CAN controllers: `make test-image`."""

import json
import os
import random
import time

from conftest import SLOWNESS
from installed import UNITS

BOOK = "/var/lib/voltry/station/book.db"
# A count of the meter, in the book's thousandths of a watt-hour.
COUNT = 1000
CUTS = int(os.environ.get("VOLTRY_CUTS", "20"))
# Seconds that its hardware watchdog waits for process 1, of the machine's clock (guest/watchdog.conf).
WATCHDOG_S = 20
UNITS_HERE = [*(unit for unit in UNITS if unit != "voltry-ocpp"), "voltry-update"]


def books(guest):
    """What is billed, in order: where each transaction began and ended on the meter, and whether it is closed."""
    query = "SELECT id, ended IS NOT NULL AS closed, register_start AS first, register_last AS last FROM transactions ORDER BY id"
    return json.loads(guest.run("sqlite3", "-json", "-readonly", BOOK, query) or "[]")


def register(guest):
    """What the meter has counted, as it keeps it outside of the machine; in the book's unit."""
    return int((guest.shared / "dc1").read_text().split()[0]) * COUNT


def hold_books_to_meter(guest, began):
    """Each watt-hour since `began` is in exactly one closed transaction, to one count."""
    rows = books(guest)
    assert all(row["closed"] for row in rows), rows
    ends = [began, *(row["last"] for row in rows)]
    for row, end in zip(rows, ends, strict=False):
        assert abs(row["first"] - end) <= COUNT, f"{row} begins where the one before did not end, {end}"
    assert abs(register(guest) - ends[-1]) <= COUNT, f"the meter has {register(guest)}, the book ends with {rows[-1:]}"
    return rows


def available_after(guest):
    """Seconds from the kernel's start to the EVSE's first Available, by the machine's clock."""
    lines = guest.journal("--unit=voltry-evse@1")
    return next(int(line["__MONOTONIC_TIMESTAMP"]) for line in lines if line.get("F_STATE") == "available") / 1e6


def test_every_unit_is_up(station):
    for unit in UNITS_HERE:
        shown = station.machine.show(unit, "ActiveState", "SubState", "NRestarts")
        assert (shown["ActiveState"], shown["SubState"], shown["NRestarts"]) == ("active", "running", "0"), unit
    failed = station.machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend")
    assert failed == ""
    station.told.append(f"Available {available_after(station.machine):.1f} s after the kernel's start, by the machine's clock")


def test_the_modules_are_on_a_wire_of_can(station):
    for name in ["can0", "can1"]:
        [link] = json.loads(station.machine.run("ip", "-details", "-json", "-statistics", "link", "show", name))
        can = link["linkinfo"]["info_data"]
        assert can["bittiming"]["bitrate"] == 125_000
        assert can["state"] == "ERROR-ACTIVE"
        assert link["stats64"]["rx"]["packets"] > 0, link
    assert "socketcan" in station.machine.run("cat", "/etc/voltry/voltry.d/50-simulated.toml")


def test_a_vehicle_charges_and_is_billed_what_the_meter_counted(station, guest):
    began = register(guest)
    station.charge()
    # The vehicle ends it by itself, when it has enough.
    station.wait_for(lambda: all(row["closed"] for row in books(guest)), "the transaction is over", 60)
    station.free()
    [bill] = hold_books_to_meter(guest, began)
    assert bill["last"] - bill["first"] >= 20 * COUNT
    station.told.append(f"a charge over SocketCAN: {(bill['last'] - bill['first']) / COUNT:.0f} Wh billed and counted")


def test_a_controller_that_goes_bus_off_ends_the_charge_and_the_next_one_begins_by_itself(station, guest):
    """Nothing is wrong with the wire but for some seconds: after each restart the controller goes bus-off again."""
    began = first_of_all(guest)
    charged = station.charge()
    guest.run("modprobe", "bus_off")
    held = "for each in $(seq 30); do echo can0 >/sys/module/bus_off/parameters/controller; sleep 0.1; done"
    guest.run("sh", "-c", f"{held}; ip -json -details -statistics link show can0 >/run/link")
    [link] = json.loads(guest.run("cat", "/run/link"))
    stats = link["linkinfo"]["info_xstats"]
    assert stats["bus_off"] >= 10 and stats["restarts"] >= 10, link
    faults = {line["F_CODE"] for line in guest.journal("--unit=voltry-power") if "F_CODE" in line}
    assert "PowerModuleBusOff" in faults, faults
    station.wait_for(lambda: station.evse().get("current", 1) == 0, "no current flows", 30)
    station.free()
    [link] = json.loads(guest.run("ip", "-details", "-json", "link", "show", "can0"))
    assert link["linkinfo"]["info_data"]["state"] == "ERROR-ACTIVE", link
    station.charge()
    station.free()
    bills = [row for row in hold_books_to_meter(guest, began) if row["id"] >= charged]
    assert len(bills) == 2, bills
    station.told.append(f"bus-off {stats['bus_off']} times in 3 s, as often restarted: the charge ended, the next one began")


def test_an_interface_that_goes_down_and_comes_up_is_found_again(station, guest):
    began = first_of_all(guest)
    charged = station.charge()
    guest.run("sh", "-c", "ip link set can0 down; sleep 3; ip link set can0 up")
    station.wait_for(lambda: station.evse().get("current", 1) == 0, "no current flows", 30)
    station.free()
    station.charge()
    station.free()
    bills = [row for row in hold_books_to_meter(guest, began) if row["id"] >= charged]
    assert len(bills) == 2, bills
    station.told.append("can0 down for 3 s: the charge ended, the next one began")


def cgroup_file(guest, unit, name):
    return guest.run("cat", f"/sys/fs/cgroup{guest.show(unit, 'ControlGroup')['ControlGroup']}/{name}").split()


def test_the_kernel_holds_each_unit_to_its_limits(station, guest):
    for unit in UNITS_HERE:
        limits = guest.show(unit, "MemoryMax", "TasksMax")
        assert cgroup_file(guest, unit, "memory.max") == [limits["MemoryMax"]] != ["max"], unit
        assert cgroup_file(guest, unit, "pids.max") == [limits["TasksMax"]] != ["max"], unit
    guest.run("systemctl", "start", "voltry-hog@memory")
    station.wait_for(lambda: guest.show("voltry-hog@memory", "ActiveState")["ActiveState"] == "failed", "an end", 60)
    assert guest.show("voltry-hog@memory", "Result")["Result"] == "oom-kill"
    guest.run("systemctl", "start", "voltry-hog@tasks")
    station.wait_for(lambda: cgroup_file(guest, "voltry-hog@tasks", "pids.events")[1] != "0", "a refusal", 60)
    [most] = cgroup_file(guest, "voltry-hog@tasks", "pids.current")
    guest.run("systemctl", "kill", "--signal=KILL", "voltry-hog@tasks")
    assert int(most) <= int(guest.show("voltry-hog@tasks", "TasksMax")["TasksMax"])
    assert station.evse()["state"] == "available", "the station did not notice"
    station.told.append("a unit that takes memory: killed; one that takes tasks: refused")


def databases(guest):
    return guest.run("find", "/var/lib/voltry", "-name", "*.db").split()


def test_power_cuts_while_charging_lose_nothing(station, guest):
    seed = int(os.environ.get("VOLTRY_SEED") or random.randrange(1 << 32))
    moments = random.Random(seed)
    station.told.append(f"power cuts, seed {seed} (VOLTRY_SEED):")
    began = first_of_all(guest)
    for cut in range(1, CUTS + 1):
        charged = station.charge()
        delay = moments.uniform(0, 15)
        time.sleep(delay)
        guest.power_cut()
        meter = register(guest)
        guest.boot()
        station.wait_until("available")
        assert databases(guest) == [BOOK]
        assert guest.run("sqlite3", "-readonly", BOOK, "PRAGMA integrity_check").strip() == "ok"
        station.wait_for(lambda: all(row["closed"] for row in books(guest)), "what was open is closed", 30)
        assert register(guest) == meter, "nothing flowed"
        bill = next(row for row in hold_books_to_meter(guest, began) if row["id"] == charged)
        station.told.append(
            f"  {cut:2}: cut {delay:4.1f} s after current flowed; meter {meter / COUNT:.0f} Wh, billed "
            f"{(bill['last'] - bill['first']) / COUNT:.0f} Wh; Available {available_after(guest):.1f} s after the kernel's start"
        )


def first_of_all(guest):
    """Where the first transaction of the book began on the meter."""
    rows = books(guest)
    return rows[0]["first"] if rows else register(guest)


def test_the_hardware_watchdog_starts_the_machine_anew_when_process_1_hangs(station, guest):
    before = boot_of(guest)
    frozen = time.monotonic()
    guest.run("sh", "-c", "echo 1 >/sys/fs/cgroup/init.scope/cgroup.freeze")
    assert guest.monitor.wait_for("WATCHDOG", WATCHDOG_S * SLOWNESS * 3) == {"action": "reset"}
    fired = time.monotonic() - frozen
    guest.follow_restarts()
    assert boot_of(guest) != before
    station.wait_until("available")
    station.told.append(
        f"process 1 hangs: the watchdog fires after {fired:.0f} s of this machine's clock; "
        f"Available {available_after(guest):.1f} s after the kernel's start"
    )


def test_a_reset_of_the_csms_starts_the_machine_anew(station, guest):
    """What the uplink does (`a_reset_has_the_machine_start_anew_where_somebody_can`) is done here by hand, as its user."""
    before = boot_of(guest)
    guest.run("install", "--directory", "--owner=voltry-ocpp", "--mode=0700", "/run/voltry-ocpp")
    guest.run_later("runuser", "-u", "voltry-ocpp", "--", "touch", "/run/voltry-ocpp/reset")
    guest.follow_restarts()
    assert boot_of(guest) != before
    station.wait_until("available")
    assert station.machine.show("voltry-reset.path", "ActiveState")["ActiveState"] == "active"
    station.told.append(f"a reset: the machine starts anew; Available {available_after(guest):.1f} s after the kernel's start")


def boot_of(guest):
    return guest.run("cat", "/proc/sys/kernel/random/boot_id")
