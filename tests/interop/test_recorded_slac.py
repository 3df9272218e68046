"""Recorded cars are matched by voltry-secc: what each said in SLAC, said again over a powerline.

`powerline.py` is two modems and the cable between them; `recorded_slac.py` the vehicle.
"""

import asyncio
import shlex
import sys
from pathlib import Path

import capture
import pytest
import recorded_slac
from conftest import ROOT, play
from test_slac import LINK, NAME, PATH, POWERLINE, UNSHARE, configuration, is_in_state, said, until

CARS = ROOT.parent / "shared" / "data" / "cars"
VEHICLE_PROGRAM = Path(__file__).with_name("recorded_slac.py")
recorded = pytest.mark.skipif(not CARS.is_dir(), reason=f"no recordings in {CARS}")


def runs(file):
    return [run for visit in capture.visits(file) if (run := recorded_slac.run_of(visit.frames))]


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
    command = [sys.executable, str(VEHICLE_PROGRAM), "ev1", str(file)]
    secc.process.stdin.write(f"run {shlex.join(command)}\n".encode())
    secc.process.stdin.flush()
    await until(f"a link with {car}", is_in_state(secc, "up"))
    address = runs(file)[0].address.hex(":")
    async with asyncio.timeout(10):
        while f"matched {address}" not in secc.log.read_text()[before:]:
            await asyncio.sleep(0.02)
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


VEHICLE, OTHER, STATION = b"\1" * 6, b"\2" * 6, b"\3" * 6
EVERYBODY = b"\xff" * 6


def frame(source, kind, to=EVERYBODY):
    return recorded_slac.message(to, source, kind, bytes(71))


def heard(*frames):
    return list(enumerate(frames))


def frames(run):
    return [octets for _, octets in run.frames]


PARM, SOUND = frame(VEHICLE, recorded_slac.PARM_REQ), frame(VEHICLE, recorded_slac.SOUND)
MATCH = frame(VEHICLE, recorded_slac.MATCH_REQ, STATION)


def test_the_run_that_is_played_is_the_one_that_was_matched():
    given_up = [PARM, SOUND]
    others = [frame(OTHER, recorded_slac.PARM_REQ), frame(OTHER, recorded_slac.SOUND)]
    run = recorded_slac.run_of(heard(*given_up, others[0], PARM, *[SOUND] * 6, others[1], MATCH, *others))
    assert frames(run) == [PARM, *[SOUND] * 6, MATCH]
    again = recorded_slac.to(OTHER, MATCH)
    assert (again[:6], again[recorded_slac.EVSE_MAC]) == (OTHER, OTHER)


def test_parameters_that_are_asked_for_again_while_it_sounds_begin_no_run():
    own = [PARM, *[SOUND] * 8, PARM, *[SOUND] * 2, MATCH]
    assert frames(recorded_slac.run_of(heard(*own))) == own


def test_of_a_matching_that_failed_the_last_run_is_played_as_far_as_it_went():
    assert frames(recorded_slac.run_of(heard(PARM, *[SOUND] * 10, PARM, *[SOUND] * 10))) == [PARM, *[SOUND] * 10]
    assert recorded_slac.run_of(heard(SOUND, MATCH)) is None
    assert recorded_slac.run_of([]) is None


def test_the_station_hears_it_as_weakly_as_the_recorded_one_did():
    def profile(vehicle, db):
        groups = vehicle + bytes([58, 0]) + bytes([db]) * 58
        return recorded_slac.message(EVERYBODY, STATION, recorded_slac.PROFILE, groups)

    run = recorded_slac.run_of(heard(PARM, SOUND, profile(VEHICLE, 31), profile(OTHER, 60), MATCH))
    assert run.attenuation == bytes([31]) * 58


def test_a_made_up_run_is_matched(daemon, tmp_path):
    """As that of a vehicle whose own was not recorded."""
    program = "import recorded_slac as s; s.Vehicle('ev1', s.made_up()).match(); print('matched')"

    async def scenario():
        within = [*UNSHARE, sys.executable, POWERLINE]
        async with daemon("voltry-secc", NAME, configuration(""), "1", within=within) as secc:
            await until("a key", said(secc, "new key set"))
            await secc.call(PATH, LINK, "Attach")
            command = ["env", f"PYTHONPATH={VEHICLE_PROGRAM.parent}", sys.executable, "-c", program]
            secc.process.stdin.write(f"run {shlex.join(command)}\n".encode())
            secc.process.stdin.flush()
            await until("a link", is_in_state(secc, "up"))
            await until("what it says of it", said(secc, "matched"))

    play(scenario(), 30)
