"""Infypower power modules over CAN, protocol V1.13, by an slcan adapter.

An identifier is device (0x0A: one module) << 22 | command << 16 | to << 8 | from; the controller is 0xF0.
"""

import asyncio
import contextlib
import struct

import can
from provider import now

STALE = 300_000  # microseconds
OUTPUT, STATUS, RATING, WALK_IN, SWITCH, SET = 0x03, 0x04, 0x0A, 0x13, 0x1A, 0x1C  # the modules' commands
LINES = 64  # at once: an adapter that never ends keeps nobody from switching off
OFF, ON = bytes([1, *bytes(7)]), bytes(8)


class Module:
    """One module: what it measures, and what it has not confirmed yet."""

    def __init__(self, address):
        self.address, self.rating, self.on = address, None, False
        self.volts, self.amperes, self.read_at = 0.0, 0.0, 0
        self.unconfirmed = [(SWITCH, OFF)]  # before anything else

    def hears(self, command, data):
        if (command, data) in self.unconfirmed:
            self.unconfirmed.remove((command, data))
        if command == OUTPUT:
            (self.volts, self.amperes), self.read_at = struct.unpack(">ff", data), now()
        elif command == STATUS:
            self.on = not data[6] & 1
        elif command == RATING:
            high, low, tenths, tens = struct.unpack(">HHHH", data)
            self.rating = float(low), float(high), tenths / 10, tens * 10.0


class Modules:
    """All modules of a bus, with the addresses from 0."""

    def __init__(self, channel, count):
        self.all = [Module(address) for address in range(count)]
        self.ordered, self.asked_at = [(SWITCH, OFF)], 0
        self.can = can.Bus(interface="slcan", channel=channel, bitrate=125_000, sleep_after_open=0)
        asyncio.get_running_loop().add_reader(self.can.fileno(), self.hear)

    def send(self, module, command, data=bytes(8)):
        identifier = 0x0A << 22 | command << 16 | module.address << 8 | 0xF0
        # Without its adapter nothing is read, which everybody notices; what was ordered is said again.
        with contextlib.suppress(can.CanError):
            self.can.send(can.Message(arbitration_id=identifier, is_extended_id=True, data=data))

    def hear(self):
        """What came. Debian 12's python-can takes all lines from the adapter and gives one of them at a time."""
        for _ in range(LINES):
            if message := self.can.recv(0):  # else it acknowledges a frame
                self.receive(message)
            if b"\r" not in self.can._buffer:
                break

    def receive(self, message):
        command, address = message.arbitration_id >> 16 & 0x3F, message.arbitration_id & 0xFF
        if message.arbitration_id >> 26 == 0 and address < len(self.all) and len(message.data) == 8:
            self.all[address].hears(command, bytes(message.data))

    def set(self, volts, amperes):
        """Each gives its share, and is switched on: at once, for its slow start outlasts a CableCheck."""
        share = struct.pack(">II", round(volts * 1000), round(amperes / len(self.all) * 1000))
        self.order([(WALK_IN, bytes(8)), (SET, share), (SWITCH, ON)])

    def switch_off(self):
        self.order([(SWITCH, OFF)])

    def order(self, orders):
        self.ordered = orders
        for module in self.all:
            module.unconfirmed = list(orders)
        self.repeat()

    def repeat(self):
        """What was not confirmed is said again; the whole order to a module that is not as ordered: one that
        restarted has forgotten its share and would give its own."""
        switch = self.ordered[-1]
        for module in self.all:
            if module.on != (switch == (SWITCH, ON)) and switch not in module.unconfirmed:
                module.unconfirmed = list(self.ordered)
            for command, data in module.unconfirmed:
                self.send(module, command, data)

    def ask(self, everything):
        self.asked_at = now()
        for module in self.all:
            for command in (OUTPUT, STATUS, RATING) if everything else (OUTPUT, STATUS):
                self.send(module, command)

    def answered(self):
        return all(module.read_at >= self.asked_at for module in self.all)

    def confirmed(self):
        return not any(module.unconfirmed for module in self.all)

    def measured(self):
        """Volts, amperes and when the oldest was measured; None once one of them is silent."""
        at = min(module.read_at for module in self.all)
        if now() - at > STALE:
            return None
        return max(module.volts for module in self.all), sum(module.amperes for module in self.all), at

    def capability(self):
        """Lowest and highest volts, amperes, watts; zeros while one of them has not told its own."""
        ratings = [module.rating for module in self.all]
        if None in ratings or self.measured() is None:
            return [0.0, 0.0, 0.0, 0.0]
        low, high, amperes, watts = zip(*ratings)
        return [max(low), min(high), sum(amperes), sum(watts)]

    def on(self):
        return any(module.on for module in self.all)
