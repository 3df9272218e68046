"""A station charges to the end with the power supply and the meter of `examples/`, as docs/oem.md has it done."""

import asyncio
import contextlib
import json
import os
import socket
import sys

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
