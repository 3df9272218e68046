"""A CSMS that says ten thousand things a second, sense and nonsense: the charge does not notice, and is billed as the
meter counts."""

import asyncio
import contextlib
import json
import os
import time

import psutil
import pytest
from conftest import play
from csms import Csms
from station import station_of
from test_ocpp import billed, check_order, register_now, starts, states, stops, topology, until_counted
from test_ocpp_charging import ocpp_daemon

RATE = 10_000
BURST = 200
# Its own calls, by their ids: answers to them are counted and not read.
OWN = '[3,"f'
OWN_REFUSED = '[4,"f'
# Bytes that wait in the CSMS at the most: it sends as fast as the station takes it, and no faster.
AHEAD = 64 << 10
# What the daemon has of its own; with its code, of a release build 12 MiB at the most, it keeps to 32.
MEMORY = 16 << 20
VERSION = "2.0.1"


def texts():
    """Sense and nonsense, none of which is to end a charge, by their number."""
    heartbeat = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
    schedule = {"id": 1, "chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 30_000}]}
    profile = {"id": 1, "stackLevel": 1, "chargingProfilePurpose": "TxDefaultProfile"}
    profile |= {"chargingProfileKind": "Relative", "chargingSchedule": [schedule]}
    nobody = {"remoteStartId": 1, "evseId": 9, "idToken": {"idToken": "A", "type": "Central"}}
    calls = [
        ("GetVariables", {"getVariableData": [heartbeat]}),
        ("TriggerMessage", {"requestedMessage": "Heartbeat"}),
        ("RequestStartTransaction", nobody),
        ("ChangeAvailability", {"connectorId": 9, "type": "Inoperative"}),
        ("DataTransfer", {"vendorId": "x" * 200, "data": "y" * 1000}),
        ("NoSuchAction", {"a": "b" * 100}),
        ("Reset", {"type": "Hardest"}),
    ] * 60
    # It is on the disk before its answer leaves, and disks are slower than ten thousand a second.
    calls.append(("SetChargingProfile", {"evseId": 1, "chargingProfile": profile}))
    nonsense = ["null", "x" * 300, "[2,", "[" * 300, '[3,"nobody",{}]', '[4,"nobody","InternalError","",{}]']

    def text(number):
        kind, other = number % 2, number // 2
        return nonsense[other % len(nonsense)] if kind else json.dumps([2, f"f{number}", *calls[other % len(calls)]])

    return text


def frame(text):
    """A text as a server sends it."""
    text = text.encode()
    length = bytes([len(text)]) if len(text) < 126 else b"\x7e" + len(text).to_bytes(2, "big")
    return b"\x81" + length + text


class Flooding(Csms):
    """Floods whoever is connected, between its own messages."""

    sent = answered = 0

    def __init__(self):
        super().__init__(VERSION)
        csms = self

        class Station(self.kind):
            async def route_message(self, text):
                if text.startswith((OWN, OWN_REFUSED)):
                    csms.answered += 1
                else:
                    await super().route_message(text)

        self.kind = Station

    async def flood(self):
        text, begun = texts(), time.monotonic()
        while True:
            due = (time.monotonic() - begun) * RATE
            transport = self.station and self.station._connection.transport
            if (
                self.sent < due
                and transport
                and not transport.is_closing()
                and transport.get_write_buffer_size() < AHEAD
            ):
                transport.write(b"".join(frame(text(number)) for number in range(self.sent, self.sent + BURST)))
                self.sent += BURST
            await asyncio.sleep(0.005)


# Its load beside that of other tests is more than a station takes whose daemons do not go before others, and than one
# takes whose machine stalls: it has the machine to itself.
@pytest.mark.skipif(os.environ.get("VOLTRY_CSMS_DAYS") != "all", reason="by itself: make csms-days")
@pytest.mark.skipif(os.geteuid() != 0, reason="the daemons on the way of the energy go before others by root's leave alone")
def test_a_csms_that_floods_the_station_disturbs_no_charge(tmp_path):
    async def scenario():
        csms = Flooding()
        await csms.open()
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(csms.close)
            station = await stack.enter_async_context(station_of(tmp_path, topology(csms)))
            book, before = csms.book, await register_now(station)
            await book.until(lambda book: "Available" in states(book, 1))
            await station.swipe("04A1B2C3")
            await station.say("plug 1")
            await book.until(starts)
            await until_counted(station, before + 5)

            daemon = psutil.Process(ocpp_daemon(station).pid)
            flooding, begun, own = asyncio.create_task(csms.flood()), time.monotonic(), 0
            counted = await register_now(station)
            while csms.answered < 5_000 or await register_now(station) < counted + 20:
                memory = daemon.memory_info()
                own = max(own, memory.rss - memory.shared)
                assert (await station.status())["state"] == "charging"
                assert not flooding.done(), flooding.result()
                await asyncio.sleep(0.1)
            flooding.cancel()
            # What of the flood is still on its way is dropped with the connection.
            await csms.close()
            rate = csms.sent / (time.monotonic() - begun)
            print(f"{csms.sent} sent, {rate:.0f}/s, {csms.answered} answered, {own / (1 << 20):.1f} MiB of its own")

            await csms.open()

            # By the card, for a plug that is pulled while current flows is a fault.
            await station.swipe("04A1B2C3")
            [stop] = await book.until(stops)
            assert stop["transaction_info"]["stopped_reason"] == "Local"
            await station.say("unplug 1")
            await book.until(lambda book: states(book, 1)[-1] == "Available")
            assert "Faulted" not in states(book, 1)
            assert len(starts(book)) == len(stops(book)) == len(book.of("BootNotification")) == 1
            check_order(book, VERSION)
            assert billed(book) == [await register_now(station) - before]
            assert own < MEMORY

    play(scenario(), 120)
