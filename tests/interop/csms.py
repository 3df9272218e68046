"""A CSMS made of PyPI `ocpp`, whose schemas judge each message; it keeps what it was told."""

import asyncio
import contextlib
import itertools
import json
from datetime import UTC, datetime

import websockets
from conftest import free_port
from ocpp.messages import CallError
from ocpp.routing import after, on
from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call as call16
from ocpp.v16 import call_result as result16
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call as call201
from ocpp.v201 import call_result as result201


def now():
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class Book:
    """What all connections told: (action, message), oldest first."""

    def __init__(self):
        self.told, self.news = [], asyncio.Condition()
        self.numbers = itertools.count(1)
        # What was answered, by the call's id: one that comes again, its answer lost, is told once.
        self.answers = {}
        self.tokens, self.groups = {}, {}
        # What 2.0.1's CSMS says to whom it lets in, and what a transaction costs in the end.
        self.greeting, self.total_cost, self.new_tariff = None, None, None

    async def note(self, action, message):
        async with self.news:
            self.told.append((action, message))
            self.news.notify_all()

    def of(self, *actions):
        return [message for action, message in self.told if action in actions]

    async def until(self, condition, limit=60):
        """What the condition gives of this book as soon as that is something."""
        async with asyncio.timeout(limit), self.news:
            while not (found := condition(self)):
                await self.news.wait()
            return found

    def boots(self):
        """How often the station has booted and taken the answer: nothing else leaves it before."""
        actions = [action for action, _ in self.told]
        pairs = itertools.pairwise(actions)
        return sum(first == "BootNotification" != then for first, then in pairs)

    def judge(self, token):
        return self.tokens.get(token, "Accepted")


class OnceAnId:
    """Answers a call that comes again as it did before: it is the one it answered."""

    async def route_message(self, raw_msg):
        kind, number, *_ = json.loads(raw_msg)
        if kind == 2 and number in self.book.answers:
            await super()._send(self.book.answers[number])
        else:
            await super().route_message(raw_msg)

    async def _send(self, message):
        kind, number, *_ = json.loads(message)
        if kind == 3:
            self.book.answers[number] = message
        await super()._send(message)


class Station16(OnceAnId, ChargePoint16):
    book, boot_status, boot_interval = None, "Accepted", 60

    @on("BootNotification")
    async def on_boot(self, **message):
        await self.book.note("BootNotification", message)
        return result16.BootNotification(
            current_time=now(), interval=self.boot_interval, status=self.boot_status
        )

    @on("Heartbeat")
    async def on_heartbeat(self):
        await self.book.note("Heartbeat", {})
        return result16.Heartbeat(current_time=now())

    @on("StatusNotification")
    async def on_status(self, **message):
        await self.book.note("StatusNotification", message)
        return result16.StatusNotification()

    @on("Authorize")
    async def on_authorize(self, **message):
        await self.book.note("Authorize", message)
        info = {"status": self.book.judge(message["id_tag"])}
        if group := self.book.groups.get(message["id_tag"]):
            info["parent_id_tag"] = group
        return result16.Authorize(id_tag_info=info)

    @on("StartTransaction")
    async def on_start(self, **message):
        number = next(self.book.numbers)
        await self.book.note("StartTransaction", {**message, "transaction_id": number})
        info = {"status": self.book.judge(message["id_tag"])}
        return result16.StartTransaction(transaction_id=number, id_tag_info=info)

    @on("MeterValues")
    async def on_values(self, **message):
        await self.book.note("MeterValues", message)
        return result16.MeterValues()

    @on("StopTransaction")
    async def on_stop(self, **message):
        await self.book.note("StopTransaction", message)
        return result16.StopTransaction()

    @on("SecurityEventNotification")
    async def on_security_event(self, **message):
        await self.book.note("SecurityEventNotification", message)
        return result16.SecurityEventNotification()

    @on("FirmwareStatusNotification")
    async def on_firmware(self, **message):
        await self.book.note("FirmwareStatusNotification", message)
        return result16.FirmwareStatusNotification()

    @on("DataTransfer")
    async def on_data(self, **message):
        await self.book.note("DataTransfer", message)
        return result16.DataTransfer(status="Accepted", data="text back")

    @on("SignedFirmwareStatusNotification")
    async def on_signed_firmware(self, **message):
        await self.book.note("SignedFirmwareStatusNotification", message)
        return result16.SignedFirmwareStatusNotification()

    @on("DiagnosticsStatusNotification")
    async def on_diagnostics(self, **message):
        await self.book.note("DiagnosticsStatusNotification", message)
        return result16.DiagnosticsStatusNotification()

    @on("LogStatusNotification")
    async def on_log(self, **message):
        await self.book.note("LogStatusNotification", message)
        return result16.LogStatusNotification()


class Station201(OnceAnId, ChargePoint201):
    book, boot_status, boot_interval = None, "Accepted", 60

    @on("BootNotification")
    async def on_boot(self, **message):
        await self.book.note("BootNotification", message)
        return result201.BootNotification(
            current_time=now(), interval=self.boot_interval, status=self.boot_status
        )

    @on("Heartbeat")
    async def on_heartbeat(self):
        await self.book.note("Heartbeat", {})
        return result201.Heartbeat(current_time=now())

    @on("StatusNotification")
    async def on_status(self, **message):
        await self.book.note("StatusNotification", message)
        return result201.StatusNotification()

    @on("Authorize")
    async def on_authorize(self, **message):
        await self.book.note("Authorize", message)
        token = message["id_token"]["id_token"]
        info = {"status": self.book.judge(token)}
        if group := self.book.groups.get(token):
            info["group_id_token"] = {"id_token": group, "type": "Central"}
        if self.book.greeting:
            info["personal_message"] = {"format": "UTF8", "content": self.book.greeting}
        return result201.Authorize(id_token_info=info)

    @on("TransactionEvent")
    async def on_event(self, **message):
        await self.book.note("TransactionEvent", message)
        token = message.get("id_token")
        info = {"status": self.book.judge(token["id_token"])} if token else None
        cost = self.book.total_cost if message["event_type"] == "Ended" else None
        tariff = self.book.new_tariff if message["event_type"] == "Updated" else None
        text = {"format": "UTF8", "content": tariff} if tariff else None
        return result201.TransactionEvent(id_token_info=info, total_cost=cost, updated_personal_message=text)

    @on("MeterValues")
    async def on_values(self, **message):
        await self.book.note("MeterValues", message)
        return result201.MeterValues()

    @on("ReportChargingProfiles")
    async def on_charging_profiles(self, **message):
        await self.book.note("ReportChargingProfiles", message)
        return result201.ReportChargingProfiles()

    @on("NotifyChargingLimit")
    async def on_limit(self, **message):
        await self.book.note("NotifyChargingLimit", message)
        return result201.NotifyChargingLimit()

    @on("ClearedChargingLimit")
    async def on_limit_cleared(self, **message):
        await self.book.note("ClearedChargingLimit", message)
        return result201.ClearedChargingLimit()

    @on("NotifyEVChargingNeeds")
    async def on_needs(self, **message):
        await self.book.note("NotifyEVChargingNeeds", message)
        return result201.NotifyEVChargingNeeds(status="Accepted")

    @on("NotifyEVChargingSchedule")
    async def on_charging_schedule(self, **message):
        await self.book.note("NotifyEVChargingSchedule", message)
        return result201.NotifyEVChargingSchedule(status="Accepted")

    @on("ReservationStatusUpdate")
    async def on_reservation(self, **message):
        await self.book.note("ReservationStatusUpdate", message)
        return result201.ReservationStatusUpdate()

    @on("NotifyEvent")
    async def on_notify_event(self, **message):
        await self.book.note("NotifyEvent", message)
        return result201.NotifyEvent()

    @on("NotifyMonitoringReport")
    async def on_monitoring_report(self, **message):
        await self.book.note("NotifyMonitoringReport", message)
        return result201.NotifyMonitoringReport()

    @on("NotifyReport")
    async def on_report(self, **message):
        await self.book.note("NotifyReport", message)
        return result201.NotifyReport()

    @on("SecurityEventNotification")
    async def on_security_event(self, **message):
        await self.book.note("SecurityEventNotification", message)
        return result201.SecurityEventNotification()

    @on("FirmwareStatusNotification")
    async def on_firmware(self, **message):
        await self.book.note("FirmwareStatusNotification", message)
        return result201.FirmwareStatusNotification()

    @on("DataTransfer")
    async def on_data(self, **message):
        await self.book.note("DataTransfer", message)
        return result201.DataTransfer(status="Accepted", data="text back")

    @on("NotifyDisplayMessages")
    async def on_display(self, **message):
        await self.book.note("NotifyDisplayMessages", message)
        return result201.NotifyDisplayMessages()

    @on("NotifyCustomerInformation")
    async def on_customer(self, **message):
        await self.book.note("NotifyCustomerInformation", message)
        return result201.NotifyCustomerInformation()

    @on("LogStatusNotification")
    async def on_log(self, **message):
        await self.book.note("LogStatusNotification", message)
        return result201.LogStatusNotification()


class Csms:
    """A CSMS that may go away and come back, with its book."""

    def __init__(self, version):
        self.version, self.book = version, Book()
        self.kind = {"1.6": Station16, "2.0.1": Station201}[version]
        self.calls = {"1.6": call16, "2.0.1": call201}[version]
        self.server, self.port, self.station = None, free_port(), None
        self.boot_status = "Accepted"

    async def open(self):
        self.server = await websockets.serve(
            self.serve, "127.0.0.1", self.port, subprotocols=[f"ocpp{self.version}"]
        )

    async def close(self):
        self.server.close()
        await self.server.wait_closed()
        self.station = None

    async def serve(self, connection):
        station = self.kind(connection.request.path.rsplit("/", 1)[-1], connection, response_timeout=20)
        station.book, station.boot_status = self.book, self.boot_status
        async with self.book.news:
            self.station = station
            self.book.news.notify_all()
        with contextlib.suppress(websockets.ConnectionClosed):
            await station.start()

    async def ask(self, action, **payload):
        """What the station answers; a CALLERROR is its code."""
        answer = await self.station.call(
            getattr(self.calls, action)(**payload), suppress=False, skip_schema_validation=False
        )
        return answer


@contextlib.asynccontextmanager
async def csms_of(version):
    csms = Csms(version)
    await csms.open()
    try:
        yield csms
    finally:
        await csms.close()
