"""Orders and limits that PyPI `ocpp` gives the simulated station as its CSMS, and what it hears in return."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from conftest import play
from csms import csms_of
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from station import station_of
from test_ocpp import VERSIONS, check_order, starts, states, stops, topology
from test_ocpp_charging import free
from test_ocpp_device_model import REGISTER, events, read

COMMON = ["Heartbeat", "MeterValues", "StatusNotification", "FirmwareStatusNotification"]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_triggered_is_sent(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms, sample_interval=0)) as station:
            book = csms.book
            await book.until(lambda book: "Available" in states(book, 1))
            await station.swipe("04A1B2C3")
            await station.say("plug 1")
            await book.until(starts)

            async def trigger(message):
                place = {"connector_id": 1} if version == "1.6" else {"evse": {"id": 1, "connector_id": 1}}
                if message not in ("MeterValues", "StatusNotification", "TransactionEvent"):
                    place = {}
                before = len(book.of(message))
                answer = await csms.ask("TriggerMessage", requested_message=message, **place)
                assert answer.status == "Accepted", message
                told = await book.until(lambda book: (told := book.of(message))[before:] and told)
                return told[-1]

            more = ["DiagnosticsStatusNotification"] if version == "1.6" else ["LogStatusNotification"]
            if version == "1.6":
                await trigger("BootNotification")
            for message in COMMON + more:
                await trigger(message)
            if version == "2.0.1":
                # It is accepted already; and a status is of one connector.
                for message, place in [("BootNotification", {}), ("StatusNotification", {"evse": {"id": 1}})]:
                    answer = await csms.ask("TriggerMessage", requested_message=message, **place)
                    assert answer.status == "Rejected", message
                # Others of the transaction may come at any time.
                await trigger("TransactionEvent")
                asked = lambda book: [it for it in book.of("TransactionEvent") if it["trigger_reason"] == "Trigger"]
                [told] = await book.until(asked)
                assert told["transaction_info"]["charging_state"] in ("EVConnected", "Charging", "SuspendedEV")
                answer = await csms.ask("TriggerMessage", requested_message="PublishFirmwareStatusNotification")
                assert answer.status in ("NotImplemented", "Rejected")
            await station.say("unplug 1")
            await book.until(stops)
            if version == "2.0.1":
                numbers = [event["seq_no"] for event in book.of("TransactionEvent")]
                assert numbers == list(range(len(numbers)))
            else:
                check_order(book, version)

    play(scenario(), 90)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reset_ends_a_charge_and_says_so_before_the_boot(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)) as station:
            book = csms.book
            await book.until(lambda book: "Available" in states(book, 1))
            await station.swipe("04A1B2C3")
            await station.say("plug 1")
            await book.until(starts)
            kind = "Hard" if version == "1.6" else "Immediate"
            assert (await csms.ask("Reset", type=kind)).status == "Accepted"
            [stop] = await book.until(stops)
            reason = stop.get("reason") or stop["transaction_info"]["stopped_reason"]
            assert reason == ("HardReset" if version == "1.6" else "ImmediateReset")
            assert len(book.of("BootNotification")) == 1, "it is told before"
            boots = await book.until(lambda book: (boots := book.of("BootNotification"))[1:] and boots)
            if version == "2.0.1":
                assert boots[-1]["reason"] == "RemoteReset"
            check_order(book, version)

    play(scenario(), 90)


def test_a_reset_ends_what_a_cable_alone_has_begun(tmp_path):
    async def scenario():
        async with csms_of("2.0.1") as csms:
            settings = topology(csms).replace("variables = {", 'variables = { "TxCtrlr.TxStartPoint" = "EVConnected",')
            async with station_of(tmp_path, settings) as station:
                book = csms.book
                await book.until(free)
                await station.say("plug 1")
                [start] = await book.until(starts)
                assert start["trigger_reason"] == "CablePluggedIn"
                assert (await csms.ask("Reset", type="Immediate")).status == "Accepted"
                await book.until(lambda book: book.boots() == 2)
                [stop] = stops(book)
                assert stop["transaction_info"]["transaction_id"] == start["transaction_info"]["transaction_id"]
                assert stop["transaction_info"]["stopped_reason"] == "ImmediateReset"
                told = [action for action, _ in book.told if action in ("TransactionEvent", "BootNotification")]
                assert told[-1] == "BootNotification", "it is told before"

    play(scenario(), 90)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_lock_is_opened_where_the_vehicle_holds_the_plug(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)):
            await csms.book.until(lambda book: "Available" in states(book, 1))
            place, word = ({}, "NotSupported") if version == "1.6" else ({"evse_id": 1}, "UnlockFailed")
            assert (await csms.ask("UnlockConnector", connector_id=1, **place)).status == word
            place, word = ({}, "NotSupported") if version == "1.6" else ({"evse_id": 7}, "UnknownConnector")
            assert (await csms.ask("UnlockConnector", connector_id=7, **place)).status == word

    play(scenario(), 60)


def with_lock(csms):
    return topology(csms).replace("[[evse]]", "[[evse]]\nlock = true")


def charging(book):
    told = [event["transaction_info"] for event in book.of("TransactionEvent")]
    return "Charging" in states(book, 1) or [it for it in told if it.get("charging_state") == "Charging"]


async def unlock(csms):
    place = {} if csms.version == "1.6" else {"evse_id": 1}
    return (await csms.ask("UnlockConnector", connector_id=1, **place)).status


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plug_that_the_station_locks_is_unlocked_and_never_where_it_may_charge(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, with_lock(csms)) as station:
            book = csms.book
            await book.until(lambda book: "Available" in states(book, 1))
            assert await unlock(csms) == "Unlocked"
            await station.swipe("04A1B2C3")
            await station.say("plug 1")
            await book.until(charging)
            assert "locked" in await station.say("unplug 1")
            if version == "1.6":
                # The transaction is ended for it.
                assert await unlock(csms) == "Unlocked"
                [stop] = await book.until(stops)
                assert stop["reason"] == "UnlockCommand"
            else:
                assert await unlock(csms) == "OngoingAuthorizedTransaction"
                assert "locked" in await station.say("unplug 1")
                # What jams when it is to open stays shut, until somebody mends it and asks again.
                await station.say("fault lock-stuck 1")
                await station.swipe("04A1B2C3")
                await station.until("state state=finished")
                assert await unlock(csms) == "UnlockFailed"
                assert "locked" in await station.say("unplug 1")
                await station.say("clear lock-stuck 1")
                assert await unlock(csms) == "Unlocked"
            assert (await station.say("unplug 1")).startswith("ok")
            await book.until(lambda book: states(book, 1)[-1] == "Available")
            check_order(book, version)

    play(scenario(), 90)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_lock_that_jams_is_told_and_nothing_is_energised(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, with_lock(csms)) as station:
            book = csms.book
            await book.until(lambda book: "Available" in states(book, 1))
            await station.say("fault lock-stuck 1")
            await station.swipe("04A1B2C3")
            await station.say("plug 1")
            if version == "1.6":
                broken = lambda book: [
                    it for it in book.of("StatusNotification") if it["error_code"] == "ConnectorLockFailure"
                ]
                told = await book.until(broken)
                assert told[0]["status"] == "Faulted"
            else:
                problem = lambda book: [
                    it for it in events(book) if it["component"]["name"] == "ConnectorPlugRetentionLock"
                ]
                told = await book.until(problem)
                assert (told[0]["variable"]["name"], told[0]["actual_value"]) == ("Problem", "true")
                await book.until(lambda book: states(book, 1)[-1] == "Faulted")
            assert (await station.status())["contactors"] == "open"

    play(scenario(), 90)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reservation_ends_with_its_time(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)):
            book = csms.book
            await book.until(lambda book: "Available" in states(book, 1))
            until = (datetime.now(UTC) + timedelta(seconds=5)).isoformat().replace("+00:00", "Z")
            if version == "1.6":
                place = {"connector_id": 1, "expiry_date": until, "id_tag": "APP-1", "reservation_id": 3}
            else:
                token = {"id_token": "APP-1", "type": "Central"}
                place = {"evse_id": 1, "expiry_date_time": until, "id_token": token, "id": 3}
            assert (await csms.ask("ReserveNow", **place)).status == "Accepted"
            await book.until(lambda book: states(book, 1)[-1] == "Reserved")
            await book.until(lambda book: states(book, 1)[-1] == "Available")
            if version == "2.0.1":
                [told] = await book.until(lambda book: book.of("ReservationStatusUpdate"))
                assert told == {"reservation_id": 3, "reservation_update_status": "Expired"}
            assert (await csms.ask("CancelReservation", reservation_id=3)).status == "Rejected", "it is gone"

    play(scenario(), 60)


async def ask_station(station, member, signature, *body):
    bus = await MessageBus(bus_address=f"unix:path={station.state}/bus", bus_type=BusType.SYSTEM).connect()
    name, path = "org.voltry.Station1", "/org/voltry/station"
    answer = await bus.call(
        Message(destination=name, path=path, interface=name, member=member, signature=signature, body=list(body))
    )
    bus.disconnect()
    assert answer.message_type == MessageType.METHOD_RETURN, answer.body


def test_a_limit_from_elsewhere_is_told_and_its_end_too(tmp_path):
    changed = lambda book: [
        event for event in book.of("TransactionEvent") if event["trigger_reason"] == "ChargingRateChanged"
    ]

    async def scenario():
        async with csms_of("2.0.1") as csms, station_of(tmp_path, topology(csms)) as station:
            book = csms.book
            await book.until(free)
            # While nobody charges, then while somebody does.
            for number in (1, 2):
                await ask_station(station, "SetLimit", "usdd", 1, "ems", 11_000.0, 0.0)
                told = await book.until(lambda book, number=number: book.of("NotifyChargingLimit")[number - 1 :])
                assert (told[0]["evse_id"], told[0]["charging_limit"]["charging_limit_source"]) == (1, "EMS")
                answer = await csms.ask("GetCompositeSchedule", duration=60, evse_id=1)
                [period] = answer.schedule["charging_schedule_period"]
                assert period["limit"] == 11_000
                if number == 2:
                    # One that still waits for its turn stands for the next too.
                    await book.until(lambda book: len(changed(book)) == 1)
                await ask_station(station, "ClearLimit", "us", 1, "ems")
                told = await book.until(lambda book, number=number: book.of("ClearedChargingLimit")[number - 1 :])
                assert (told[0]["evse_id"], told[0]["charging_limit_source"]) == (1, "EMS")
                if number == 2:
                    await book.until(lambda book: len(changed(book)) == 2)
                else:
                    await station.swipe("04A1B2C3")
                    await station.say("plug 1")
                    await book.until(starts)

    play(scenario(), 90)


def test_a_periodic_monitor_tells_again_and_again(tmp_path):
    async def scenario():
        async with csms_of("2.0.1") as csms, station_of(tmp_path, topology(csms)):
            book = csms.book
            await book.until(free)
            async with asyncio.timeout(20):
                while (await read(csms, REGISTER["component"], "EnergyImportRegister"))[0] != "Accepted":
                    await asyncio.sleep(0.1)
            wanted = {**REGISTER, "type": "Periodic", "value": 1, "severity": 5}
            [made] = (await csms.ask("SetVariableMonitoring", set_monitoring_data=[wanted])).set_monitoring_result
            assert made["status"] == "Accepted", made
            own = lambda book: [it for it in events(book) if it.get("variable_monitoring_id") == made["id"]]
            told = await book.until(lambda book: own(book)[2:] and own(book))
            assert {event["trigger"] for event in told} == {"Periodic"}
            numbers = [event["event_id"] for event in told]
            assert numbers == sorted(set(numbers))

    play(scenario(), 60)
