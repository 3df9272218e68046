"""Charging profiles of PyPI `ocpp` as the CSMS of a whole simulated station: the vehicle is given what they say,
with the CSMS away and after `voltry-ocpp` was killed too."""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from conftest import play, program
from csms import csms_of
from station import station_of
from test_ocpp import VERSIONS, starts, topology

# A direct current is set to a tenth of an ampere and measured as well; the meter's own losses are in it.
TOLERANCE_W = 700


def profile(version, number, purpose, periods, start, transaction=None):
    """SetChargingProfile's arguments for EVSE 1: (seconds, watts) from `start` on."""
    schedule = {
        "start_schedule": start.isoformat().replace("+00:00", "Z"),
        "charging_rate_unit": "W",
        "charging_schedule_period": [
            {"start_period": second, "limit": float(watts)} for second, watts in periods
        ],
    }
    common = {
        "stack_level": 0,
        "charging_profile_purpose": purpose,
        "charging_profile_kind": "Absolute",
        **({"transaction_id": transaction} if transaction is not None else {}),
    }
    if version == "1.6":
        return {
            "connector_id": 1,
            "cs_charging_profiles": {**common, "charging_profile_id": number, "charging_schedule": schedule},
        }
    return {
        "evse_id": 1,
        "charging_profile": {**common, "id": number, "charging_schedule": [{**schedule, "id": number}]},
    }


def transaction_of(start):
    return start.get("transaction_id") or start["transaction_info"]["transaction_id"]


def free(book):
    """It has said that a connector is free: before that it does not know what its EVSEs can."""
    states = book.of("StatusNotification")
    return [state for state in states if "Available" in (state.get("status"), state.get("connector_status"))]


async def power(station):
    """Watts that the vehicle is given."""
    status = await station.status()
    return float(status["voltage"]) * float(status["current"])


async def until_power(station, watts, limit=30):
    """Waits until the vehicle is given so many watts, and does not just pass through them."""
    seen, in_a_row = None, 0
    try:
        async with asyncio.timeout(limit):
            while in_a_row < 2:
                seen = await power(station)
                in_a_row = in_a_row + 1 if abs(seen - watts) <= TOLERANCE_W else 0
                await asyncio.sleep(0.5)
    except TimeoutError:
        raise AssertionError(f"{seen} W instead of {watts} W") from None


async def holds(station, watts, until):
    """The vehicle is given these watts until that time."""
    while datetime.now(UTC) < until:
        given = await power(station)
        assert abs(given - watts) <= TOLERANCE_W, f"{given} W instead of {watts} W"
        await asyncio.sleep(0.5)


def ocpp_daemon(station):
    """The one voltry-ocpp below this station."""
    children = psutil.Process(station.process.pid).children(recursive=True)
    [daemon] = [child for child in children if child.name() == "voltry-ocpp"]
    return daemon


@pytest.mark.parametrize("version", VERSIONS)
def test_power_follows_the_profiles_online_offline_and_after_a_restart(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)) as station:
            await csms.book.until(free)
            default = profile(version, 1, "TxDefaultProfile", [(0, 20_000)], datetime.now(UTC))
            assert (await csms.ask("SetChargingProfile", **default)).status == "Accepted"
            await station.swipe("04A1B2C3")
            await station.say("plug 1")
            [start] = await csms.book.until(starts)
            await until_power(station, 20_000)

            began = datetime.now(UTC).replace(microsecond=0)
            steps = [(0, 12_000), (20, 8_000), (30, 16_000)]
            own = profile(version, 2, "TxProfile", steps, began, transaction_of(start))
            agreed = len(csms.book.of("NotifyEVChargingSchedule"))
            assert (await csms.ask("SetChargingProfile", **own)).status == "Accepted"
            if version == "2.0.1":
                # The vehicle is given the new power for a moment before it stops to agree to it.
                await csms.book.until(lambda book: len(book.of("NotifyEVChargingSchedule")) > agreed)
            await until_power(station, 12_000)
            place = "connector_id" if version == "1.6" else "evse_id"
            answer = await csms.ask("GetCompositeSchedule", **{place: 1, "duration": 60})
            schedule = answer.charging_schedule if version == "1.6" else answer.schedule
            told = [period["limit"] for period in schedule["charging_schedule_period"]]
            assert told == [12_000, 8_000, 16_000]

            await csms.close()
            await until_power(station, 8_000)
            ocpp_daemon(station).kill()
            await holds(station, 8_000, began + timedelta(seconds=28))
            await until_power(station, 16_000, limit=15)

            await csms.open()
            await csms.book.until(lambda book: book.boots() == 2)
            clear = {"id": 2} if version == "1.6" else {"charging_profile_id": 2}
            assert (await csms.ask("ClearChargingProfile", **clear)).status == "Accepted"
            await until_power(station, 20_000)

    play(scenario(), 150)


# What becomes of a profile that is right for EVSE 1: its arguments, the profile's and its schedule's (None: left out).
REFUSED = [
    ({"evse_id": 7}, {}, {}, "UnknownEvse"),
    ({"evse_id": 0}, {}, {}, "InvalidValue"),
    ({}, {"transaction_id": None}, {}, "MissingParam"),
    ({}, {"transaction_id": "another"}, {}, "UnknownTxId"),
    ({}, {"charging_profile_purpose": "ChargingStationMaxProfile"}, {}, "InvalidValue"),
    ({"evse_id": 0}, {"charging_profile_purpose": "ChargingStationExternalConstraints"}, {}, "InvalidProfile"),
    ({}, {"stack_level": 17}, {}, "InvalidStackLevel"),
    ({}, {}, {"charging_schedule_period": [{"start_period": at, "limit": 9e3} for at in range(65)]}, "TooManyElements"),
    ({}, {}, {"charging_schedule_period": [{"start_period": 1, "limit": 9e3}]}, "InvalidSchedule"),
    ({}, {"charging_profile_kind": "Relative"}, {}, "InvalidSchedule"),
    ({}, {}, {"start_schedule": None}, "MissingParam"),
    ({}, {"charging_profile_purpose": "TxDefaultProfile", "transaction_id": None}, {}, "DuplicateProfile"),
]


def changed(given, **changes):
    """These arguments with others in their place; without those that are None."""
    return {key: value for key, value in {**given, **changes}.items() if value is not None}


def test_a_profile_that_breaks_a_rule_is_rejected_by_its_reason_and_changes_nothing(tmp_path):
    async def scenario():
        async with csms_of("2.0.1") as csms, station_of(tmp_path, topology(csms)) as station:
            await csms.book.until(free)
            default = profile("2.0.1", 1, "TxDefaultProfile", [(0, 20_000)], datetime.now(UTC))
            assert (await csms.ask("SetChargingProfile", **default)).status == "Accepted"
            await station.swipe("04A1B2C3")
            await station.say("plug 1")
            [start] = await csms.book.until(starts)
            await until_power(station, 20_000)

            right = profile("2.0.1", 2, "TxProfile", [(0, 9_000)], datetime.now(UTC), transaction_of(start))
            for arguments, of_profile, of_schedule, reason in REFUSED:
                [schedule] = right["charging_profile"]["charging_schedule"]
                wrong = changed(right["charging_profile"], **of_profile)
                wrong["charging_schedule"] = [changed(schedule, **of_schedule)]
                answer = await csms.ask("SetChargingProfile", **{**right, **arguments, "charging_profile": wrong})
                told = (answer.status, answer.status_info["reason_code"])
                assert told == ("Rejected", reason), (arguments, of_profile, of_schedule)
            await holds(station, 20_000, datetime.now(UTC) + timedelta(seconds=1))
            answer = await csms.ask("GetChargingProfiles", request_id=5, charging_profile={})
            assert answer.status == "Accepted"
            reports = await csms.book.until(lambda book: book.of("ReportChargingProfiles"))
            assert [kept["id"] for report in reports for kept in report["charging_profile"]] == [1]
            assert (await csms.ask("SetChargingProfile", **right)).status == "Accepted"
            await until_power(station, 9_000)

    play(scenario(), 90)


def test_a_profile_of_a_request_to_start_holds_and_is_reported(tmp_path):
    async def scenario():
        async with csms_of("2.0.1") as csms, station_of(tmp_path, topology(csms)) as station:
            await csms.book.until(free)
            await station.say("plug 1")
            wish = profile("2.0.1", 3, "TxProfile", [(0, 9_000)], datetime.now(UTC))["charging_profile"]
            answer = await csms.ask(
                "RequestStartTransaction",
                remote_start_id=7,
                evse_id=1,
                id_token={"id_token": "APP-1", "type": "Central"},
                charging_profile=wish,
            )
            assert answer.status == "Accepted"
            await csms.book.until(starts)
            await until_power(station, 9_000)
            answer = await csms.ask("GetChargingProfiles", request_id=5, charging_profile={})
            assert answer.status == "Accepted"
            [report] = await csms.book.until(lambda book: book.of("ReportChargingProfiles"))
            [reported] = report["charging_profile"]
            assert (report["evse_id"], report["request_id"], reported["id"]) == (1, 5, 3)
            assert reported["transaction_id"] == transaction_of(starts(csms.book)[0])

    play(scenario(), 90)


# How long the vehicle is kept waiting for the CSMS.
PATIENCE = "[config.secc.1.timing]\nschedules_ms = 20000\n"


async def plan(csms, number, *watts):
    """A profile with a schedule for each, numbered from ten times its own number on."""
    [start] = starts(csms.book)
    own = profile("2.0.1", number, "TxProfile", [(0, 0)], datetime.now(UTC), transaction_of(start))
    [schedule] = own["charging_profile"]["charging_schedule"]
    own["charging_profile"]["charging_schedule"] = [
        {
            **schedule,
            "id": 10 * number + place,
            "charging_schedule_period": [{"start_period": 0, "limit": float(limit)}],
        }
        for place, limit in enumerate(watts)
    ]
    assert (await csms.ask("SetChargingProfile", **own)).status == "Accepted"


def test_a_vehicle_that_wants_to_agree_anew_by_itself_is_planned_for_again(tmp_path):
    async def scenario():
        async with csms_of("2.0.1") as csms:
            settings = topology(csms).replace("variables = {", 'variables = { "TxCtrlr.TxStartPoint" = "EVConnected",')
            settings = settings.replace("monitor_pace = 10", "monitor_pace = 10\nvehicle.renegotiates_at = 21.0")
            async with station_of(tmp_path, settings + PATIENCE) as station:
                book = csms.book
                await book.until(free)
                await station.swipe("04A1B2C3")
                await station.say("plug 1")
                await book.until(lambda book: book.of("NotifyEVChargingNeeds"))
                await plan(csms, 5, 20_000)
                await book.until(lambda book: book.of("NotifyEVChargingSchedule"))
                first, second = await book.until(lambda book: (it := book.of("NotifyEVChargingNeeds"))[1:] and it)
                wanted = [needs["charging_needs"]["dc_charging_parameters"]["energy_amount"] for needs in (first, second)]
                assert wanted[1] < wanted[0], "it has charged meanwhile"
                await plan(csms, 5, 12_000)
                chosen = await book.until(lambda book: (it := book.of("NotifyEVChargingSchedule"))[1:] and it)
                limits = [it["charging_schedule"]["charging_schedule_period"][0]["limit"] for it in chosen]
                assert limits == [20_000, 12_000]
                await until_power(station, 12_000)
                assert len(starts(book)) == 1
                assert not [event for event in book.of("TransactionEvent") if event["event_type"] == "Ended"]

    play(scenario(), 120)


def test_the_csms_plans_for_a_vehicle_and_hears_what_it_chose_and_asks_it_to_agree_anew(tmp_path):
    async def scenario():
        async with csms_of("2.0.1") as csms, station_of(tmp_path, topology(csms) + PATIENCE) as station:
            book = csms.book
            await book.until(free)
            point = {"component": {"name": "TxCtrlr"}, "variable": {"name": "TxStartPoint"}}
            answer = await csms.ask("SetVariables", set_variable_data=[{**point, "attribute_value": "EVConnected"}])
            assert answer.set_variable_result[0]["attribute_status"] == "Accepted"
            await station.swipe("04A1B2C3")
            await station.say("plug 1")
            [needs] = await book.until(lambda book: book.of("NotifyEVChargingNeeds"))
            needed = needs["charging_needs"]
            assert (needs["evse_id"], needed["requested_energy_transfer"]) == (1, "DC")
            vehicle = needed["dc_charging_parameters"]
            assert vehicle["ev_max_voltage"] > 300 and vehicle["ev_max_current"] > 100

            await plan(csms, 5, 20_000, 15_000)
            [chosen] = await book.until(lambda book: book.of("NotifyEVChargingSchedule"))
            # The simulated vehicle takes the first, and says nothing of its own.
            assert (chosen["evse_id"], chosen["charging_schedule"]["id"]) == (1, 50)
            assert chosen["charging_schedule"]["charging_schedule_period"][0]["limit"] == 20_000
            await until_power(station, 20_000)

            await plan(csms, 5, 12_000)
            [_, again] = await book.until(lambda book: book.of("NotifyEVChargingSchedule")[1:] and book.of("NotifyEVChargingSchedule"))
            assert again["charging_schedule"]["charging_schedule_period"][0]["limit"] == 12_000
            await until_power(station, 12_000)
            assert len(book.of("NotifyEVChargingNeeds")) == 1, "it was the CSMS's wish"
            assert not [event for event in book.of("TransactionEvent") if event["event_type"] == "Ended"]

    play(scenario(), 120)


async def started(station, *words):
    return await asyncio.create_subprocess_exec(
        program("voltryctl"),
        *words,
        env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={station.state / 'bus'}"},
        stdout=asyncio.subprocess.PIPE,
    )


async def voltryctl(station, *words):
    """What `voltryctl ocpp` says, as JSON."""
    process = await started(station, "--json", "ocpp", *words)
    said, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(said)


async def until_line(process, *parts):
    """Reads what it says up to a line with all of these."""
    async with asyncio.timeout(30):
        while line := (await process.stdout.readline()).decode():
            if all(part in line for part in parts):
                return
    raise AssertionError(f"it ended without {parts}")


def test_the_technician_sees_the_wire_the_profiles_and_the_schedule(tmp_path):
    async def scenario():
        async with csms_of("2.0.1") as csms, station_of(tmp_path, topology(csms)) as station:
            await csms.book.until(free)
            steps = profile("2.0.1", 4, "TxDefaultProfile", [(0, 20_000), (1800, 9_000)], datetime.now(UTC))
            assert (await csms.ask("SetChargingProfile", **steps)).status == "Accepted"
            await station.swipe("04A1B2C3")
            await csms.book.until(lambda book: book.of("Authorize"))
            [one] = await voltryctl(station, "profiles")
            assert (one["evse"], one["source"], one["profile"]["id"]) == (1, "CSO", 4)
            periods = await voltryctl(station, "schedule", "1", "--hours", "1")
            assert [period["power"] for period in periods] == [20_000, 9_000]
            assert 1_780 < periods[1]["from"] <= 1_800
            said = await voltryctl(station, "log")
            assert [message["number"] for message in said] == list(range(1, len(said) + 1))
            actions = [json.loads(message["text"])[2] for message in said if message["outgoing"]]
            assert actions[0] == "BootNotification" and "Authorize" in actions
            assert "04A1B2" not in json.dumps(said), "tokens are masked"
            assert len(await voltryctl(station, "messages", "-n", "3")) == 3
            assert (await voltryctl(station, "status"))["state"] == "accepted"
            follower = await started(station, "ocpp", "log", "--follow")
            await until_line(follower, " > ", "BootNotification")
            assert (await csms.ask("GetLocalListVersion")).version_number == 0
            await until_line(follower, " < ", "GetLocalListVersion")
            await until_line(follower, " > ", "versionNumber")
            follower.kill()
            await follower.wait()

    play(scenario(), 60)
