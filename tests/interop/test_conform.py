"""`voltryctl conform` on our own providers and on the examples, over the simulator's hardware."""

import asyncio
import json
import os
import sys

import pytest
from conftest import ROOT, play, program
from station import station_of

EXAMPLES = ROOT / "examples"
POWER = ["com.example.Power1", "/com/example/power/1"]
METER = ["com.example.Meter1", "/com/example/meter/1"]
# At least so many rules has a role.
RULES = {"power-supply": 10, "energy-meter": 10, "connector": 15, "insulation-monitor": 7, "voltage-monitor": 5}


def example_power(state):
    return [sys.executable, EXAMPLES / "power_supply.py", *POWER, state / "dev/can1", "3"]


def example_meter(state):
    return [sys.executable, EXAMPLES / "energy_meter.py", *METER, state / "dev/dc1", state / "lib/open"]


async def conform(role, name, path, *command):
    """Puts the provider through the contract; every rule must hold, if need be when it is tried again alone: a
    machine that has other things to do comes too late for a lease itself."""
    rules = await tried(role, name, path, command)
    assert len(rules) >= RULES[role]
    for rule in rules:
        for _ in range(2):
            if rule["verdict"] != "passed":
                [rule] = await tried(role, name, path, command, "--only", rule["rule"])
        assert rule["verdict"] == "passed", rule


async def tried(role, name, path, command, *only):
    process = await asyncio.create_subprocess_exec(
        *[program("voltryctl"), "--json", "conform", role, name, path, "--yes", "--slack", "3", *only, "--", *command],
        env={key: value for key, value in os.environ.items() if key != "VOLTRY_BUS"},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    rules = json.loads(said)
    for rule in rules:
        print(f"{command[0]} {rule['rule']:20} {rule['verdict']:10} {rule['seen']}")
    return rules


def test_our_monitors_and_our_board_keep_the_contract(tmp_path):
    async def scenario():
        async with station_of(tmp_path, (EXAMPLES / "hardware.toml").read_text()) as station:
            # A load holds the pilot in state C: for nobody else does a board close.
            assert (await station.say("load 20 1")).startswith("ok")
            board = [program("voltry-board"), "--config", station.state]

            async def monitors():
                monitor = [program("voltry-meter"), "--config", station.state, "imd1"]
                for role in ["insulation-monitor", "voltage-monitor"]:
                    await conform(role, "org.voltry.Meter.Imd1", "/org/voltry/insulation_monitor/imd1", *monitor)

            connector = conform("connector", "org.voltry.Board1", "/org/voltry/connector/1", *board)
            await asyncio.gather(monitors(), connector)

    play(scenario(), 240)


@pytest.mark.parametrize("whose", ["ours", "examples"])
def test_a_provider_over_simulated_hardware_keeps_the_contract(tmp_path, whose):
    async def scenario():
        async with station_of(tmp_path, (EXAMPLES / "hardware.toml").read_text()) as station:
            state = station.state
            if whose == "ours":
                power = [program("voltry-power"), "--config", state]
                meter = [program("voltry-meter"), "--config", state, "dc1"]
                await asyncio.gather(
                    conform("power-supply", "org.voltry.Power1", "/org/voltry/power_supply/1", *power),
                    conform("energy-meter", "org.voltry.Meter.Dc1", "/org/voltry/energy_meter/dc1", *meter),
                )
            else:
                await asyncio.gather(
                    conform("power-supply", *POWER, *example_power(state)),
                    conform("energy-meter", *METER, *example_meter(state)),
                )

    play(scenario(), 240)


def test_the_examples_stay_short():
    for example in EXAMPLES.glob("*.py"):
        assert len(example.read_text().splitlines()) < 150, example


def test_the_examples_need_what_the_tests_have():
    """The versions that the examples name are those that they are tested with."""
    wanted = (EXAMPLES / "requirements.txt").read_text().split()
    tested = (ROOT / "tests/interop/requirements.txt").read_text().splitlines()
    assert wanted and set(wanted) <= set(tested)
