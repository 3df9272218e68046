"""Whoever plans a vehicle's charging, as an energy management or a back end would over D-Bus."""

import asyncio
import contextlib

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

INTERFACE = "org.voltry.ChargingSchedules1"
OFFER = "(ta(ya(ud)ua(ysya(uuya(da(sun)))))ay)"


class Planner:
    """Offers the same schedules to every vehicle that asks; what was wanted, and what was chosen."""

    def __init__(self, bus, schedules):
        self.bus, self.schedules, self.wanted, self.chosen, self.answers = bus, schedules, [], [], []

    def heard(self, message):
        if message.message_type != MessageType.SIGNAL or message.interface != INTERFACE:
            return
        [told] = message.body
        if message.member == "Chosen":
            self.chosen.append(told)
        else:
            self.wanted.append(told)
            self.offer(told[0], message.sender, message.path)

    def offer(self, wanted=0, link="org.voltry.Secc.N1", path="/org/voltry/ev_link/1"):
        """Offers its schedules, unasked if need be."""
        offer = Message(link, path, INTERFACE, "Offer", signature=OFFER, body=[[wanted, self.schedules, b""]])
        self.answers.append(asyncio.ensure_future(self.bus.call(offer)))


@contextlib.asynccontextmanager
async def planner(socket, schedules):
    bus = await MessageBus(bus_address=f"unix:path={socket}", bus_type=BusType.SYSTEM).connect()
    planning = Planner(bus, schedules)
    bus.add_message_handler(planning.heard)
    broker, rule = "org.freedesktop.DBus", f"type='signal',interface='{INTERFACE}'"
    await bus.call(Message(broker, "/org/freedesktop/DBus", broker, "AddMatch", signature="s", body=[rule]))
    try:
        yield planning
        for answer in planning.answers:
            assert (await answer).error_name is None, (await answer).body
    finally:
        bus.disconnect()
