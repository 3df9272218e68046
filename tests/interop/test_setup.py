"""`voltryctl setup` on the first day: the simulator's hardware is what was built, a file says what hangs where."""

import asyncio
import json
import os
import tomllib
from pathlib import Path

from conftest import ROOT, play, program
from station import station_of


def site(state, **changed):
    """The site's file."""
    lines = {
        "family": "infypower",
        "meter_address": 1,
        "meter_line": state / "dev/dc1",
        "interface": "evse1",
        **changed,
    }
    return f"""
name = "Depot 3"
power_limit_w = 90000.0
csms = {{ url = "ws://csms.example/ocpp", identity = "DEPOT-3", version = "2.0.1" }}
[[evse]]
profile = "iec61851-23-2023"
voltage_max = 1000.0
current_max = 300.0
over_voltage_by_hardware = true
evse_id = "DE*VOL*E1"
interface = "{lines["interface"]}"
modem = "qca7000"
board = "{state}/dev/mcu1"
modules = {{ family = "{lines["family"]}", can = "{state}/dev/can1", addresses = [0, 1, 2] }}
meter = {{ model = "acrel-djsf1352-rn", line = "{lines["meter_line"]}", baud = 19200, address = {lines["meter_address"]} }}
insulation_monitor = {{ model = "isocha425hv", line = "{state}/dev/imd1", baud = 19200, address = 3 }}
"""


def beside(station):
    """What starts a program where the simulator's network is: root alone may. Elsewhere no link to a vehicle is found."""
    process = station.process.pid
    while Path(f"/proc/{process}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
        [process] = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return ["nsenter", "-t", process, "-n", "--"]


async def setup(folder, text, *arguments, where=()):
    """The exit code and the report."""
    (folder / "site.toml").write_text(text)
    process = await asyncio.create_subprocess_exec(
        *[*where, program("voltryctl"), "--json", "--bus", f"unix:path={folder}/no-station", "setup", "--from", folder / "site.toml"],
        *["--config", folder / "etc", "--credentials", folder / "credstore", *arguments],
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "STATE_DIRECTORY": str(folder)},
    )
    said, _ = await process.communicate()
    return process.returncode, json.loads(said)


def test_a_station_that_was_just_built_is_looked_at_configured_and_reported(tmp_path):
    async def scenario():
        async with station_of(tmp_path, (ROOT / "examples/hardware.toml").read_text()) as station:
            state, etc = station.state, tmp_path / "etc"
            # What an image brings along.
            (etc / "voltry.d").mkdir(parents=True)
            meters = f'models = ["{ROOT}/packaging/meters"]\nstate = "{tmp_path}/meter"\n'
            (etc / "voltry.d/image.toml").write_text(f"[meter.dc1]\n{meters}[meter.imd1]\n{meters}")

            code, report = await setup(tmp_path, site(state, family="nobody's"))
            assert code == 4 and any("nobody's" in error for error in report["errors"]) and report["written"] is None
            assert not (etc / "voltry.toml").exists()

            root = os.geteuid() == 0
            where, good = (beside(station), 0) if root else ((), 4)
            await station.say("fault modem-silent 1")
            code, report = await setup(tmp_path, site(state, meter_address=9), "--dry-run", where=where)
            assert (code, report["missing"], report["errors"]) == (4, ["energy_meter/dc1", "ev_link/1"], [])
            assert not (etc / "voltry.toml").exists() and not (tmp_path / "credstore").exists()
            await station.say("clear modem-silent 1")

            code, report = await setup(tmp_path, site(state), where=where)
            print(json.dumps(report, indent=1))
            assert (code, report["missing"], report["errors"]) == (good, [] if root else ["ev_link/1"], [])
            devices = {device["object"]: device for device in report["devices"]}
            assert devices["power_supply/1"]["vendor"] and devices["power_supply/1"]["serial"]
            if root:
                assert devices["ev_link/1"]["serial"] and all(device["online"] for device in devices.values())
            csms, technician = report["secrets"]
            assert (tmp_path / "credstore/ocpp.password").read_text() == csms["secret"]
            accounts = tomllib.loads((tmp_path / "credstore/ui.accounts").read_text())
            assert accounts["technician"]["password"].startswith("$argon2id$")
            assert technician["secret"] not in (tmp_path / "credstore/ui.accounts").read_text()
            config = tomllib.loads((etc / "voltry.toml").read_text())
            assert config["ocpp"]["profile"]["1"]["password_file"] == "ocpp.password"

            code, report = await setup(tmp_path, site(state), where=where)
            assert (code, report["secrets"]) == (good, []), "the password that the back end knows stays"
            assert (etc / "voltry.toml.before").exists()

    play(scenario(), 180)
