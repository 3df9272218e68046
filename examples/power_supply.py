#!/usr/bin/env python3
"""A power supply for Voltry: Infypower modules as org.voltry.PowerSupply1.

usage: power_supply.py NAME PATH SLCAN_DEVICE MODULES   as: com.example.Power1 /com/example/power/1 /dev/ttyACM0 3
"""

import asyncio
import itertools
import math
import sys

from dbus_fast.service import ServiceInterface, dbus_property
from infypower import Modules
from lease import Lease
from provider import READ, Device1, dbus_method, dbus_signal, notify, now, refused, serve

OFF = (0, 0)


class PowerSupply1(ServiceInterface):
    def __init__(self, device, modules):
        super().__init__("org.voltry.PowerSupply1")
        self.device, self.modules, self.lease = device, modules, Lease()
        self.caller = None  # of the call that is being answered
        self.applying, self.told = OFF, None  # epoch and sequence of the set-point
        self.number, self.shown = 0, None

    # --- What energises, and what ends it: nothing here waits ------------------------------------
    @dbus_method()
    def Enable(self, epoch: "t"):
        self.lease.enable(self.caller, epoch)
        self.apply(OFF)

    @dbus_method()
    def SetOutput(self, epoch: "t", sequence: "t", sent_at: "t", voltage: "d", current: "d"):
        low, high, most, _ = self.modules.capability()
        if not most:
            raise refused("Unavailable", "no module has answered yet")
        possible = voltage == 0 or low <= voltage <= high
        if not (math.isfinite(voltage) and math.isfinite(current) and possible and 0 <= current <= most):
            raise refused("OutOfRange", f"{voltage} V and {current} A; {low} to {high} V, up to {most} A")
        self.lease.command(self.caller, epoch, sequence, sent_at)
        self.apply((epoch, sequence), voltage, current)

    @dbus_method()
    def RenewLease(self, epoch: "t", sequence: "t", sent_at: "t"):
        self.lease.renew(self.caller, epoch, sequence, sent_at)

    @dbus_method()
    def Off(self):
        self.lease.release()
        self.apply(OFF)

    @dbus_method()
    def ClearFaults(self):
        pass

    def lost(self, name):
        if name == self.lease.holder:
            self.Off()

    def apply(self, applying, voltage=0.0, current=0.0):
        self.applying, self.told = applying, None
        if voltage > 0:
            self.modules.set(voltage, current)
        else:
            self.modules.switch_off()

    # --- The control loop ------------------------------------------------------------------------
    async def work(self):
        try:
            asked = False
            for tick in itertools.count():
                if self.lease.holder and not self.lease.live():
                    self.Off()
                if self.told != self.applying and self.modules.confirmed():
                    self.told = self.applying
                    self.Applied([*self.applying, now()])
                # As soon as all have answered: what waits here grows old.
                if asked and (self.modules.answered() or tick % 10 == 0):
                    self.publish()
                    asked = False
                if tick % 10 == 0:
                    self.modules.repeat()
                    self.modules.ask(everything=tick % 100 == 0)
                    asked = True
                    notify("WATCHDOG=1")
                await asyncio.sleep(0.01)
        finally:
            self.modules.switch_off()

    def publish(self):
        measured = self.modules.measured()
        self.device.set_online(measured is not None)
        if measured:
            self.number += 1
            self.Output([self.number, *measured])
        shown = {"Capability": self.Capability, "State": self.State}
        if shown != self.shown:
            self.shown = shown
            self.emit_properties_changed(shown)

    # --- What is told ----------------------------------------------------------------------------
    @dbus_signal()
    def Output(self, output) -> "(tddt)":
        return output

    @dbus_signal()
    def Applied(self, applied) -> "(ttt)":
        return applied

    @dbus_property(READ)
    def Capability(self) -> "(dddd)":
        return [*self.modules.capability()]

    @dbus_property(READ)
    def Discharge(self) -> "(ddd)":
        return [0.0, 0.0, 0.0]

    @dbus_property(READ)
    def State(self) -> "s":
        if not self.device.online:
            return "absent"
        return "on" if self.applying != OFF and self.modules.on() else "off"


async def main(name, path, channel, count):
    device = Device1("Infypower", "", "AcDcConverter", "1")
    supply = PowerSupply1(device, Modules(channel, int(count)))

    def called(sender):
        supply.caller = sender

    await serve(name, path, [supply, device], supply.work(), supply.lost, called)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
