"""The whole simulated station with PyPI `ocpp` as its CSMS: boot, charge, outage, replay, orders."""

import asyncio
import contextlib
from datetime import datetime

import pytest
from conftest import play
from csms import csms_of
from station import station_of

VERSIONS = ["1.6", "2.0.1"]


def topology(csms, free=False, sample_interval=1):
    return f"""
free = {str(free).lower()}
[[evse]]
monitor_pace = 10
[uplink]
csms = "ws://127.0.0.1:{csms.port}/ocpp"
identity = "VOLTRY-1"
version = "{csms.version}"
variables = {{ MeterValueSampleInterval = "{sample_interval}" }}
"""


def starts(book):
    return book.of("StartTransaction") + [
        event for event in book.of("TransactionEvent") if event["event_type"] == "Started"
    ]


def stops(book):
    return book.of("StopTransaction") + [
        event for event in book.of("TransactionEvent") if event["event_type"] == "Ended"
    ]


def readings(book):
    return book.of("MeterValues") + [
        event for event in book.of("TransactionEvent") if event["event_type"] == "Updated"
    ]


def register(message, key):
    """The meter's register in it, watt-hours."""
    if key in message:
        return message[key]
    [value] = [
        value
        for value in message["meter_value"][0]["sampled_value"]
        if value["measurand"] == "Energy.Active.Import.Register"
    ]
    return float(value["value"])


def billed(book):
    """Watt-hours of each transaction, in order."""
    return [
        register(stop, "meter_stop") - register(start, "meter_start")
        for start, stop in zip(starts(book), stops(book), strict=True)
    ]


def check_order(book, version):
    """Every message of a transaction is of the one that runs, numbered and timed in order."""
    times, running, expected = [], None, 0
    for action, message in book.told:
        if action not in ("StartTransaction", "MeterValues", "StopTransaction", "TransactionEvent"):
            continue
        time = message.get("timestamp") or message["meter_value"][0]["timestamp"]
        times.append(datetime.fromisoformat(time))
        if version == "2.0.1":
            identity, number = message["transaction_info"]["transaction_id"], message["seq_no"]
            expected = 0 if message["event_type"] == "Started" else expected + 1
            assert number == expected
        else:
            identity = message["transaction_id"]
            assert identity > 0
        if action == "StartTransaction" or message.get("event_type") == "Started":
            running = identity
        assert identity == running
    assert times == sorted(times)
    assert all(time.year >= 2025 for time in times)


async def register_now(station):
    """What the simulated meter counts, watt-hours."""
    return float((await station.status())["register"])


async def until_counted(station, register):
    """Waits until the meter has counted beyond this."""
    async with asyncio.timeout(60):
        while await register_now(station) <= register:
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_charge_with_an_outage_in_its_middle_is_billed_as_the_meter_counts(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)) as station:
            book, before = csms.book, await register_now(station)
            # In the very second in which the uplink boots: the card waits for the CSMS.
            await book.until(lambda book: book.of("BootNotification"))
            await station.swipe("04A1B2C3")
            await station.say("plug 1")
            await book.until(starts)
            await until_counted(station, before + 20)
            await csms.close()
            await until_counted(station, before + 40)
            await station.say("unplug 1")
            async with asyncio.timeout(20):
                while (await station.status())["state"] != "available":
                    await asyncio.sleep(0.2)
            assert not stops(book)
            await csms.open()
            await book.until(stops)
            assert len(book.of("BootNotification")) == 1, "an outage is no boot"
            check_order(book, version)
            assert billed(book) == [await register_now(station) - before]
            assert book.of("Authorize"), "the CSMS was asked"

    play(scenario(), 120)


def started_number(book, version):
    """What the CSMS names the newest transaction by."""
    start = starts(book)[-1]
    return start["transaction_id"] if version == "1.6" else start["transaction_info"]["transaction_id"]


async def start_remotely(csms, who="APP-1"):
    if csms.version == "1.6":
        return await csms.ask("RemoteStartTransaction", id_tag=who, connector_id=1)
    token = {"id_token": who, "type": "Central"}
    return await csms.ask("RequestStartTransaction", id_token=token, remote_start_id=7, evse_id=1)


async def stop_remotely(csms):
    number = started_number(csms.book, csms.version)
    action = "RemoteStopTransaction" if csms.version == "1.6" else "RequestStopTransaction"
    return await csms.ask(action, transaction_id=number)


def states(book, connector):
    """What the CSMS was told of a connector, in order."""
    return [
        message.get("connector_status") or message["status"]
        for message in book.of("StatusNotification")
        if connector in (message.get("evse_id"), message["connector_id"])
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_csms_starts_and_stops_and_the_reason_says_so(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)) as station:
            book, before = csms.book, await register_now(station)
            await book.until(lambda book: "Available" in states(book, 1))
            assert (await start_remotely(csms)).status == "Accepted"
            await station.say("plug 1")
            await book.until(starts)
            assert not book.of("Authorize"), "a remote start is the CSMS's own word"
            await until_counted(station, before + 5)
            assert (await stop_remotely(csms)).status == "Accepted"
            [stop] = await book.until(stops)
            # It was asked to over ISO 15118, and not cut off.
            ended = await station.until("vehicle's session ended: (.*) vehicle=")
            assert ended[1] == "stopped on the station's request"
            if version == "1.6":
                assert stop["reason"] == "Remote"
            else:
                assert stop["transaction_info"]["stopped_reason"] == "Remote"
                assert stop["trigger_reason"] == "RemoteStop"
                numbers = [event["transaction_info"].get("remote_start_id") for event in starts(book)]
                assert numbers == [7]
            check_order(book, version)
            assert billed(book) == [await register_now(station) - before]
            assert len(readings(book)) >= 1, "every second, as the station was told"

    play(scenario(), 120)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_uplink_that_is_killed_goes_on_where_it_was(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)) as station:
            book, before = csms.book, await register_now(station)
            await book.until(lambda book: "Available" in states(book, 1))
            await station.swipe("04A1B2C3")
            await station.say("plug 1")
            await book.until(starts)
            for boots in (2, 3):
                await until_counted(station, await register_now(station) + 5)
                await station.say("kill ocpp")
                await book.until(lambda book, boots=boots: len(book.of("BootNotification")) == boots)
            await station.say("unplug 1")
            await book.until(stops)
            assert len(starts(book)) == len(stops(book)) == 1
            check_order(book, version)
            assert billed(book) == [await register_now(station) - before]

    play(scenario(), 120)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_mains_fail_while_it_charges_and_the_csms_is_away(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)) as station:
            book, before = csms.book, await register_now(station)
            await book.until(lambda book: "Available" in states(book, 1))
            await station.swipe("04A1B2C3")
            await station.say("plug 1")
            await book.until(starts)
            await until_counted(station, before + 5)
            await csms.close()
            await until_counted(station, before + 10)
            await station.say("power-cut")
            await station.say("unplug 1")
            await csms.open()
            await book.until(stops)
            assert len(starts(book)) == len(stops(book)) == 1
            check_order(book, version)
            assert billed(book) == [await register_now(station) - before]

    play(scenario(), 120)


@pytest.mark.parametrize("version", VERSIONS)
def test_availability_follows_the_csms(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)):
            book = csms.book
            await book.until(lambda book: "Available" in states(book, 1))
            async def change(word, station=False):
                if version == "1.6":
                    return await csms.ask("ChangeAvailability", connector_id=0 if station else 1, type=word)
                where = {} if station else {"evse": {"id": 1, "connector_id": 1}}
                return await csms.ask("ChangeAvailability", operational_status=word, **where)

            for station in (False, True):
                assert (await change("Inoperative", station)).status == "Accepted"
                await book.until(lambda book: states(book, 1)[-1] == "Unavailable")
                assert (await change("Operative", station)).status == "Accepted"
                await book.until(lambda book: states(book, 1)[-1] == "Available")

    play(scenario(), 60)


async def reserve(csms, number):
    until = "2099-01-01T00:00:00Z"
    if csms.version == "1.6":
        return await csms.ask(
            "ReserveNow", connector_id=1, expiry_date=until, id_tag="APP-1", reservation_id=number
        )
    token = {"id_token": "APP-1", "type": "Central"}
    return await csms.ask("ReserveNow", id=number, expiry_date_time=until, id_token=token, evse_id=1)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reservation_holds_the_connector_for_its_token(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)) as station:
            book = csms.book
            await book.until(lambda book: "Available" in states(book, 1))
            assert (await reserve(csms, 3)).status == "Accepted"
            await book.until(lambda book: states(book, 1)[-1] == "Reserved")
            assert (await csms.ask("CancelReservation", reservation_id=3)).status == "Accepted"
            await book.until(lambda book: states(book, 1)[-1] == "Available")
            assert (await csms.ask("CancelReservation", reservation_id=3)).status == "Rejected"

            assert (await reserve(csms, 4)).status == "Accepted"
            await book.until(lambda book: states(book, 1)[-1] == "Reserved")
            assert (await start_remotely(csms, "APP-2")).status == "Rejected"
            assert "refused" in await station.say("swipe 04A1B2C3 1")
            assert (await start_remotely(csms)).status == "Accepted", "for whom it is held"
            await station.say("plug 1")
            [start] = await book.until(starts)
            assert start["reservation_id"] == 4

    play(scenario(), 90)


def test_configuration_is_read_and_written(tmp_path):
    async def scenario():
        async with contextlib.AsyncExitStack() as stack:
            csms = await stack.enter_async_context(csms_of("1.6"))
            # As a foreign conformance suite starts it.
            options = ["--csms", f"ws://127.0.0.1:{csms.port}/ocpp", "--identity", "VOLTRY-1", "--ocpp", "1.6"]
            options += ["--ocpp-set", "MeterValueSampleInterval=1"]
            await stack.enter_async_context(station_of(tmp_path, options))
            await csms.book.until(lambda book: book.of("StatusNotification"))
            keys = (await csms.ask("GetConfiguration")).configuration_key
            values = {key["key"]: key.get("value") for key in keys}
            assert values["MeterValueSampleInterval"] == "1"
            for key, value, status in (
                ("HeartbeatInterval", "1", "Accepted"),
                ("HeartbeatInterval", "soon", "Rejected"),
                ("NumberOfConnectors", "9", "Rejected"),
                ("Nonsense", "9", "NotSupported"),
            ):
                assert (await csms.ask("ChangeConfiguration", key=key, value=value)).status == status
            await csms.book.until(lambda book: len(book.of("Heartbeat")) >= 2, 10)

    play(scenario(), 60)


def test_variables_are_read_written_and_reported(tmp_path):
    async def scenario():
        async with csms_of("2.0.1") as csms, station_of(tmp_path, topology(csms)):
            await csms.book.until(lambda book: book.of("StatusNotification"))
            name = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
            answer = await csms.ask("SetVariables", set_variable_data=[{**name, "attribute_value": "1"}])
            assert answer.set_variable_result[0]["attribute_status"] == "Accepted"
            answer = await csms.ask("GetVariables", get_variable_data=[name])
            assert answer.get_variable_result[0]["attribute_value"] == "1"
            await csms.book.until(lambda book: len(book.of("Heartbeat")) >= 2, 10)
            answer = await csms.ask("GetBaseReport", request_id=5, report_base="FullInventory")
            assert answer.status == "Accepted"
            parts = await csms.book.until(
                lambda book: (parts := book.of("NotifyReport")) and not parts[-1]["tbc"] and parts
            )
            assert [part["seq_no"] for part in parts] == list(range(len(parts)))
            reported = [item["variable"]["name"] for part in parts for item in part["report_data"]]
            assert "HeartbeatInterval" in reported and len(reported) > 40

    play(scenario(), 60)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reset_starts_the_uplink_anew(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)):
            await csms.book.until(lambda book: "Available" in states(book, 1))
            kind = "Soft" if version == "1.6" else "Immediate"
            assert (await csms.ask("Reset", type=kind)).status == "Accepted"
            boots = await csms.book.until(lambda book: (boots := book.of("BootNotification"))[1:] and boots)
            if version == "2.0.1":
                assert [boot["reason"] for boot in boots] == ["PowerUp", "RemoteReset"]

    play(scenario(), 60)
