"""What every provider of a role does alike: the clock, errors by name, Device1, the connection to the bus."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from xml.etree.ElementTree import SubElement

from dbus_fast import BusType, DBusError, Message, PropertyAccess
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_property

try:
    from dbus_fast.service import dbus_method, dbus_signal
except ImportError:  # before 2.46, as in Debian 12 and 13
    from dbus_fast.service import method as dbus_method
    from dbus_fast.service import signal as dbus_signal

READ = PropertyAccess.READ
EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"


def now():
    """CLOCK_BOOTTIME, microseconds: the time of every stamp on the bus."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def notify(word):
    """Tells systemd, where it listens: READY=1 once, WATCHDOG=1 where the control loop made progress."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to, contextlib.suppress(OSError):
            to.setblocking(False)
            to.sendto(word.encode(), address.replace("@", "\0", 1))


def refused(error, why):
    """An error of the contract, by its name."""
    return DBusError(f"org.voltry.Error.{error}", why)


def announced(prop, changes):
    """Says how changes of a property are told, where it is not by their values: const or invalidates."""
    told, plain = prop.introspection, prop.introspection.to_xml

    def to_xml():
        element = plain()
        SubElement(element, "annotation", name=EMITS, value=changes)
        return element
    if hasattr(told, "annotations"):
        told.annotations[EMITS] = changes
    else:  # Debian 12's dbus-fast leaves it out
        told.to_xml = to_xml


class Device1(ServiceInterface):
    """What the device is. Give `component` its name in OCPP 2.0.1's list of components."""

    def __init__(self, vendor, model, component, instance):
        super().__init__("org.voltry.Device1")
        self.about = {"Vendor": vendor, "Model": model, "Serial": "", "Firmware": ""}
        self.component = [component, instance, 0, 0]
        self.online = False

    def set_online(self, online):
        if online != self.online:
            self.online = online
            self.emit_properties_changed({"Online": online})

    @dbus_property(READ)
    def Vendor(self) -> "s":
        return self.about["Vendor"]

    @dbus_property(READ)
    def Model(self) -> "s":
        return self.about["Model"]

    @dbus_property(READ)
    def Serial(self) -> "s":
        return self.about["Serial"]

    @dbus_property(READ)
    def Firmware(self) -> "s":
        return self.about["Firmware"]

    @dbus_property(READ)
    def Online(self) -> "b":
        return self.online

    @dbus_property(READ)
    def Faults(self) -> "a(sst)":
        return []

    @dbus_property(READ)
    def Component(self) -> "(ssuu)":
        return self.component

    @dbus_property(READ)
    def Parts(self) -> "a(ss)":
        return []

    @dbus_property(READ)
    def Variables(self) -> "a((ssuu)ssssddasss)":
        return []


announced(Device1.Variables, "invalidates")


async def serve(name, path, interfaces, work, lost=lambda name: None, called=lambda sender: None):
    """Serves the interfaces at `path`, claims `name`, and works until SIGTERM or the end of the bus.

    `called` is told who calls before each call is answered; `lost`, who left the bus.
    """
    address = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/dbus/system_bus_socket")
    bus = await MessageBus(bus_address=address, bus_type=BusType.SYSTEM).connect()

    def heard(message):
        called(message.sender)
        if message.member == "NameOwnerChanged" and message.sender == "org.freedesktop.DBus" and not message.body[2]:
            lost(message.body[0])

    bus.add_message_handler(heard)
    departures = "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg2=''"
    driver = {"destination": "org.freedesktop.DBus", "path": "/org/freedesktop/DBus", "interface": "org.freedesktop.DBus"}
    await bus.call(Message(**driver, member="AddMatch", signature="s", body=[departures]))
    for interface in interfaces:
        bus.export(path, interface)
    # Only now: whoever sees the name calls.
    await bus.request_name(name)
    working, ended = asyncio.ensure_future(work), asyncio.ensure_future(bus.wait_for_disconnect())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.cancel)
    notify("READY=1")
    await asyncio.wait([working, ended], return_when=asyncio.FIRST_COMPLETED)
    gone = ended.done() and not ended.cancelled()
    # Ending the work makes the outputs safe, also where nobody can command any more. Again, because one that comes as
    # the work's own asyncio.wait_for ends is lost (before Python 3.12).
    while not working.done():
        working.cancel()
        await asyncio.wait([working], timeout=1)
    ended.cancel()
    outcome, _ = await asyncio.gather(working, ended, return_exceptions=True)
    if isinstance(outcome, Exception):
        raise outcome
    if gone:
        # Restart=on-failure: with 0 it would stay away.
        sys.exit("the bus is gone")
