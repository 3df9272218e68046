"""The machine with its station started anew."""

import pytest
from installed import DAEMONS, pid

# As the kernel numbers them (sched(7)).
POLICIES = {"other": 0, "fifo": 1, "rr": 2}


@pytest.fixture(scope="module")
def again(station):
    """The station once its machine has started again."""
    station.machine.power_off()
    station.machine.boot()
    return station


def scheduling(machine, unit):
    """What the kernel does with the unit's first process, and what the unit says: policy and priority."""
    fields = machine.run("cat", f"/proc/{pid(machine, unit)}/stat").rpartition(") ")[2].split()
    shown = machine.show(unit, "CPUSchedulingPolicy", "CPUSchedulingPriority")
    # Fields 40 and 41 of the line, which is cut behind the second.
    return (int(fields[38]), int(fields[37])), (int(shown["CPUSchedulingPolicy"]), int(shown["CPUSchedulingPriority"]))


def test_the_station_comes_up_by_itself(again):
    again.wait_until("available")
    assert again.machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend") == ""


def test_each_daemon_and_the_broker_run_before_others_as_their_units_say(again):
    for unit in [*DAEMONS, "voltry-sim", "dbus"]:
        seen, told = scheduling(again.machine, unit)
        assert seen == told, unit
    first = [unit for unit in [*DAEMONS, "dbus"] if scheduling(again.machine, unit)[0][0] == POLICIES["rr"]]
    assert {"voltry-evse@1", "voltry-power", "voltry-board", "dbus"} <= set(first)
