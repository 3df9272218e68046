#!/usr/bin/env python3
"""An energy meter for Voltry: an Acrel DJSF1352-RN on a Modbus line as org.voltry.EnergyMeter1.

usage: energy_meter.py NAME PATH SERIAL_DEVICE STATE_FILE   as: com.example.Meter1 /com/example/meter/1 /dev/ttyUSB0 open
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from dbus_fast.service import ServiceInterface, dbus_property
from provider import READ, Device1, announced, dbus_method, dbus_signal, notify, now, refused, serve
from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusException

UNIT, BIT_RATE = 1, 19_200
NAME_MAX = 255


class EnergyMeter1(ServiceInterface):
    def __init__(self, device, port, file):
        super().__init__("org.voltry.EnergyMeter1")
        self.device, self.file = device, Path(file)
        self.line = AsyncModbusSerialClient(port, baudrate=BIT_RATE, timeout=0.5, retries=1)
        # One question at a time on the line, one transaction at a time in the meter.
        self.reading, self.changing = asyncio.Lock(), asyncio.Lock()
        # This meter does not remember a transaction: the file does, across restarts.
        self.open = self.file.read_text() if self.file.exists() else ""
        self.stopped, self.number = None, 0

    # --- The meter ------------------------------------------------------------------------------
    async def read(self):
        """Volts, amperes, watts, both registers, and when the meter was asked; it answers with what it has then."""
        async with self.reading:
            try:
                if not self.line.connected:
                    await self.line.connect()
                asked = now()
                answer = await self.line.read_holding_registers(0, count=12, device_id=UNIT)
            except (ModbusException, OSError) as error:
                raise refused("Unavailable", f"the meter does not answer: {error}") from error
        if answer.isError():
            raise refused("Unavailable", f"the meter does not answer: {answer}")
        of = answer.registers

        def signed(value):
            return value - 0x10000 if value & 0x8000 else value

        volts, amperes = of[0] * 10.0 ** (of[1] - 3), signed(of[2]) * 10.0 ** (of[3] - 3)
        watts = signed(of[6]) * 10.0 ** (of[7] - 3)
        return [volts, amperes, watts, float(of[8] << 16 | of[9]), float(of[10] << 16 | of[11]), asked]

    async def work(self):
        while True:
            begin = time.monotonic()
            try:
                measured = await self.read()
                self.device.set_online(True)
                self.number += 1
                self.Reading([self.number, *measured])
            except Exception as error:  # it is asked again in a second
                print(error, file=sys.stderr)
                self.device.set_online(False)
            notify("WATCHDOG=1")
            await asyncio.sleep(max(0.0, begin + 1 - time.monotonic()))

    # --- The transaction ------------------------------------------------------------------------
    async def register(self):
        """The meter does not sign, and has no clock to be trusted: the time is ours."""
        measured = await self.read()
        return [measured[3], "none", "", "", time.time_ns() // 1000, measured[5]]

    def remember(self, name):
        """On the disk, or not at all, also when the mains fail half way."""
        new = self.file.with_suffix(".new")
        with new.open("w") as file:
            print(name, end="", file=file, flush=True)
            os.fsync(file.fileno())
        new.rename(self.file)
        folder = os.open(self.file.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        self.open = name
        self.emit_properties_changed({"Unfinished": name})

    @dbus_method()
    async def ReadRegister(self) -> "(tdddddt)":
        return [self.number, *await self.read()]

    @dbus_method()
    async def Start(self, transaction: "s", identity: "s", tariff: "s") -> "(dsssxt)":
        if not 0 < len(transaction.encode()) <= NAME_MAX:
            raise refused("Invalid", f"a transaction's name has 1 to {NAME_MAX} bytes")
        async with self.changing:
            if self.open:
                raise refused("Refused", f"transaction {self.open} is still open")
            reading = await self.register()
            self.remember(transaction)
            return reading

    @dbus_method()
    async def Stop(self, transaction: "s") -> "(dsssxt)":
        async with self.changing:
            if transaction != self.open or not transaction:
                # Who asks again because the answer was lost gets the same one.
                if self.stopped and self.stopped[0] == transaction:
                    return self.stopped[1]
                raise refused("Refused", f"it is not open; open is {self.open!r}")
            reading = await self.register()
            self.remember("")
            self.stopped = transaction, reading
            return reading

    # --- What is told ---------------------------------------------------------------------------
    @dbus_signal()
    def Reading(self, reading) -> "(tdddddt)":
        return reading

    @dbus_signal()
    def Phases(self, phases) -> "(tddddddt)":
        return phases

    @dbus_property(READ)
    def Unfinished(self) -> "s":
        return self.open

    @dbus_property(READ)
    def PublicKey(self) -> "s":
        return ""

    @dbus_property(READ)
    def Resolution(self) -> "d":
        return 1.0


announced(EnergyMeter1.PublicKey, "const")
announced(EnergyMeter1.Resolution, "const")


async def main(name, path, port, file):
    device = Device1("Acrel", "DJSF1352-RN", "FiscalMetering", "1")
    meter = EnergyMeter1(device, port, file)
    await serve(name, path, [meter, device], meter.work())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
