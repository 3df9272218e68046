"""Recorded cars are matched by voltry-secc: what each said in SLAC, said again over a powerline.

`powerline.py` is two modems and the cable between them; `recorded_slac.py` the vehicle.
"""

import shlex
import sys
from pathlib import Path

import capture
import pytest
import recorded_slac
from conftest import ROOT, play
from test_slac import LINK, NAME, PATH, POWERLINE, UNSHARE, configuration, is_in_state, said, until

CARS = ROOT.parent / "shared" / "data" / "cars"
VEHICLE = Path(__file__).with_name("recorded_slac.py")
recorded = pytest.mark.skipif(not CARS.is_dir(), reason=f"no recordings in {CARS}")


def runs(file):
    return [run for visit in capture.Reader(file).visits if (run := recorded_slac.run_of(visit.frames))]


def one_of_each_car():
    """The first recording of each car that has a match."""
    files = {}
    for car, file in capture.captures(CARS):
        if car not in files and runs(file):
            files[car] = file
    return files


async def matched(secc, car, file):
    await until("a key", is_in_state(secc, "idle"))
    await secc.call(PATH, LINK, "Attach")
    before = len(secc.log.read_text())
    command = [sys.executable, str(VEHICLE), "ev1", str(file)]
    secc.process.stdin.write(f"run {shlex.join(command)}\n".encode())
    secc.process.stdin.flush()
    await until(f"a link with {car}", is_in_state(secc, "up"))
    address = recorded_slac.sender(runs(file)[0][0]).hex(":")
    assert f"matched {address}" in secc.log.read_text()[before:]
    await secc.call(PATH, LINK, "Detach")


@recorded
def test_every_recorded_car_is_matched(daemon, tmp_path):
    files = one_of_each_car()
    assert len(files) > 10

    async def scenario():
        within = [*UNSHARE, sys.executable, POWERLINE]
        async with daemon("voltry-secc", NAME, configuration(""), "1", within=within) as secc:
            await until("a key", said(secc, "new key set"))
            for car, file in files.items():
                await matched(secc, car, file)

    play(scenario(), 10 * len(files))


def test_the_run_that_is_played_is_the_one_that_was_matched():
    vehicle, other, station = bytes(6), b"\1" * 6, b"\2" * 6

    def frame(source, kind, to=b"\xff" * 6):
        return (to + source + bytes.fromhex("88e101") + kind.to_bytes(2, "little")).ljust(90, b"\0")

    given_up = [frame(vehicle, recorded_slac.PARM_REQ), frame(vehicle, recorded_slac.SOUND)]
    whole = [frame(vehicle, recorded_slac.PARM_REQ), frame(vehicle, recorded_slac.MATCH_REQ, station)]
    heard = [*given_up, frame(other, recorded_slac.PARM_REQ), whole[0], frame(other, recorded_slac.SOUND), whole[1]]
    assert recorded_slac.run_of(heard) == whole
    assert recorded_slac.run_of(given_up) is None
    again = recorded_slac.to(other, whole[1])
    assert (again[:6], again[recorded_slac.EVSE_MAC]) == (other, other)
