"""A station charges to the end with the power supply and the meter of `examples/`, as docs/oem.md has it done."""

import asyncio
import contextlib
import importlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, play, program
from station import FIRST_IN_LINE, station_of

EXAMPLES = ROOT / "examples"
SUPPLY = ["power_supply.py", "com.example.Power1", "/com/example/power/1"]
METER = ["energy_meter.py", "com.example.Meter1", "/com/example/meter/1"]


@contextlib.asynccontextmanager
async def providers(state):
    """Both examples, once the station's bus and hardware are there, and where they tell systemd that they live; ended
    when the station is."""
    while not all((state / part).exists() for part in ["bus", "dev/can1", "dev/dc1"]):
        await asyncio.sleep(0.02)
    running, told = [], []
    for script, name, path, *arguments in [[*SUPPLY, state / "dev/can1", "3"], [*METER, state / "dev/dc1", state / "open"]]:
        told.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        told[-1].setblocking(False)
        told[-1].bind(f"{state}/{script}.notify")
        environment = {
            **os.environ,
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={state}/bus",
            "NOTIFY_SOCKET": f"{state}/{script}.notify",
        }
        command = [sys.executable, EXAMPLES / script, name, path, *arguments]
        running.append(await asyncio.create_subprocess_exec(*FIRST_IN_LINE, *command, env=environment))
    try:
        yield told
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        for heard in told:
            heard.close()


async def sessions(state):
    command = [program("voltryctl"), "--json", "--bus", f"unix:path={state}/bus", "sessions", "list"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return json.loads(said)


def test_a_station_charges_to_the_end_with_both_examples(tmp_path):
    async def scenario():
        async with asyncio.TaskGroup() as group, contextlib.AsyncExitStack() as stack:
            # The station is ready when they have come.
            coming = group.create_task(stack.enter_async_context(providers(tmp_path / "state")))
            station = await stack.enter_async_context(station_of(tmp_path, (EXAMPLES / "station.toml").read_text()))
            told = await coming
            assert await station.say("plug 1") == "ok plugged 1"
            ended = await station.until(r"transaction closed evse=1 transaction=1 energy_wh=([0-9.]+) reason=\"(.*?)\"")
            assert ended[2] == "ended by the vehicle"
            true = await station.status()
            # Of 150 Wh from 20 to 80 %.
            assert float(true["soc"]) >= 80, true
            [transaction] = await sessions(tmp_path / "state")
            assert transaction["energy"] == float(ended[1]) > 80
            # Once that it is ready, then that its loop goes round.
            assert [[heard.recv(64) for _ in range(2)] for heard in told] == [[b"READY=1", b"WATCHDOG=1"]] * 2
            assert transaction["register_end"] == float(true["register"]), true

    play(scenario(), 120)


@contextlib.contextmanager
def meter_without_hardware(bus, folder):
    """The meter's example, once it is ready; nothing answers at its line."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(f"{folder}/notify")
        told.settimeout(20)
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": bus, "NOTIFY_SOCKET": f"{folder}/notify"}
        command = [sys.executable, EXAMPLES / METER[0], *METER[1:], folder / "no-line", folder / "open"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            assert told.recv(64) == b"READY=1"
            yield process
            process.kill()


def test_an_example_that_lost_the_bus_fails_so_that_it_is_started_again(broker, bus, tmp_path):
    with meter_without_hardware(bus, tmp_path) as meter:
        broker.terminate()
        _, said = meter.communicate(timeout=20)
    assert (meter.returncode, said.splitlines()[-1]) == (1, "the bus is gone")


def test_an_example_that_is_told_to_end_has_not_failed(bus, tmp_path):
    with meter_without_hardware(bus, tmp_path) as meter:
        meter.terminate()
        assert meter.wait(20) == 0


def test_the_meters_transaction_is_on_the_disk_before_the_last_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    energy_meter = importlib.import_module("energy_meter")
    on_disk = []

    def fsync(file):
        path = Path(f"/proc/self/fd/{file}").resolve()
        on_disk.append(path.read_text() if path.is_file() else path)

    async def scenario():
        monkeypatch.setattr(energy_meter.os, "fsync", fsync)
        energy_meter.EnergyMeter1(None, "no-line", tmp_path / "open").remember("transaction 1")

    play(scenario())
    assert on_disk == ["transaction 1", tmp_path]


# It has neither the decorators by these names nor annotations in what is introspected.
DBUS_FAST_1_84 = """
import dbus_fast.introspection, dbus_fast.service
del dbus_fast.service.dbus_method, dbus_fast.service.dbus_signal
of_today = dbus_fast.introspection.Property.__init__
def __init__(self, *arguments):
    of_today(self, *arguments)
    del self.annotations
dbus_fast.introspection.Property.__init__ = __init__
"""


@pytest.mark.parametrize("example", [SUPPLY[0], METER[0]])
def test_the_examples_load_with_the_dbus_fast_of_debian_12(example):
    script = f"{DBUS_FAST_1_84}\nimport {example.removesuffix('.py')}"
    done = subprocess.run([sys.executable, "-c", script], cwd=EXAMPLES, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
