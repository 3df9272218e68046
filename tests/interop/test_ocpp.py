"""The whole simulated station with PyPI `ocpp` as its CSMS: boot, charge, outage, replay, orders."""

import asyncio
from datetime import datetime

import pytest
from conftest import play
from csms import csms_of
from station import station_of

VERSIONS = ["1.6", "2.0.1"]


def topology(csms, more=""):
    return f"""
free = false
[[evse]]
monitor_pace = 10
[uplink]
csms = "ws://127.0.0.1:{csms.port}/ocpp"
identity = "VOLTRY-1"
version = "{csms.version}"
variables = {{ MeterValueSampleInterval = "1" }}
{more}
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
            await book.until(lambda book: book.of("BootNotification"))
            await station.say("swipe 04A1B2C3 1")
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
