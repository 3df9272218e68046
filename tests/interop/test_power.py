"""voltry-power against one Infypower module that python-can plays over slcan.

The frames are the vendor's own (CAN protocol V1.13), written here from the document and not by our
codec: identifier = device (0x0A: one module) << 22 | command << 16 | to << 8 | from, controller 0xF0.
"""

import asyncio
import contextlib
import itertools
import threading
import time

import can
from conftest import play

PATH = "/org/voltry/power_supply/1"
SUPPLY = "org.voltry.PowerSupply1"
# What the vendor's document gives as examples: 500.0 V and 3.5 A; 500 V, 200 V, 100 A, 10 kW.
MEASURED = 0x0283F000, bytes.fromhex("43FA000040600000")
CAPABILITY = 0x028AF000, bytes.fromhex("01F400C803E803E8")
BARCODE = 0x028BF000, bytes.fromhex("56130C15A3FB06A8")  # 081807123451V1704
SET_400_V_20_A = 0x029C00F0, bytes.fromhex("00061A8000004E20")
ON = 0x029A00F0, bytes(8)
OFF = 0x029A00F0, bytes.fromhex("0100000000000000")
WRITES = {0x0F, 0x13, 0x14, 0x16, 0x19, 0x1A, 0x1B, 0x1C, 0x1F}


class Module(threading.Thread):
    """A module with address 0. It answers reads, confirms writes and keeps what it was told."""

    def __init__(self, device):
        super().__init__(daemon=True)
        self.bus = can.Bus(interface="slcan", channel=device, bitrate=125_000, sleep_after_open=0)
        self.on, self.written, self.ending = False, [], False
        # On, off, on and so forth.
        self.switched_at = []

    def run(self):
        while not self.ending:
            if (message := self.bus.recv(0.05)) is not None:
                self.answer(message.arbitration_id, bytes(message.data))

    def answer(self, identifier, data):
        command, to = identifier >> 16 & 0x3F, identifier >> 8 & 0xFF
        if to not in {0x00, 0x3F} or identifier & 0xFF != 0xF0:
            return
        if command in WRITES:
            self.written.append((identifier, data))
            if command == 0x1A and self.on != (data[0] == 0):
                self.on = not self.on
                self.switched_at.append(time.monotonic())
            reply = data
        else:
            reply = self.read(command)
        identifier = 0x02800000 | command << 16 | 0xF000
        self.bus.send(can.Message(arbitration_id=identifier, is_extended_id=True, data=reply))

    def read(self, command):
        if command == 0x03:
            return MEASURED[1] if self.on else bytes(8)
        if command == 0x0A:
            return CAPABILITY[1]
        if command == 0x0B:
            return BARCODE[1]
        if command == 0x04:
            # Group 1, 35 degrees at the inlet; status1 bit 0: DC side off.
            return bytes([0, 0, 1, 0, 35, 0, 0 if self.on else 1, 0])
        if command == 0x0C:
            return (0).to_bytes(2) + (1000).to_bytes(2) + bytes(4)
        return bytes(8)

    def end(self):
        self.ending = True
        self.join()
        self.bus.shutdown()


@contextlib.asynccontextmanager
async def supply(daemon, serial_pair):
    ours, theirs = serial_pair
    configuration = f"""
[power.bus.rack]
type = "slcan"
device = "{ours}"
bit_rate = 125000

[power.supply.1]
family = "infypower"
bus = "rack"
modules = [0]
"""
    module = Module(theirs)
    module.start()
    try:
        async with daemon("voltry-power", "org.voltry.Power1", configuration) as power:
            while (await power.get(PATH, SUPPLY, "Capability"))[3] == 0:
                await asyncio.sleep(0.02)
            yield module, power
    finally:
        module.end()


def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


@contextlib.asynccontextmanager
async def leased(power, epoch):
    """Renews the lease meanwhile."""

    async def renew():
        sequence = 100
        while True:
            sequence += 1
            await power.call(PATH, SUPPLY, "RenewLease", "ttt", epoch, sequence, now())
            await asyncio.sleep(0.1)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


async def deliver(power, volts, amperes):
    """The answer to the set-point, and its number. One that this machine kept for too long is sent again."""
    assert await power.call(PATH, SUPPLY, "Enable", "t", 1) == []
    for number in itertools.count(1):
        answer = await power.call(PATH, SUPPLY, "SetOutput", "tttdd", 1, number, now(), volts, amperes)
        if answer != "org.voltry.Error.TooOld":
            return answer, number


def test_what_the_module_says_of_itself_is_what_the_supply_offers(daemon, serial_pair):
    async def scenario():
        async with supply(daemon, serial_pair) as (_, power):
            assert await power.get(PATH, SUPPLY, "Capability") == (200, 500, 100, 10_000)
            while not (module := (await power.get(PATH, "org.voltry.PowerRack1", "Modules"))[0])[3]:
                await asyncio.sleep(0.05)  # updated once a second
            assert (module[1], module[3], module[5], module[9]) == (0, "081807123451V1704", True, 35.0)

    play(scenario())


def test_a_starting_daemon_switches_the_module_off_before_anything_else(daemon, serial_pair):
    async def scenario():
        async with supply(daemon, serial_pair) as (module, _):
            await until(lambda: module.written)
            switches = [frame for frame in module.written if frame[0] >> 16 & 0x3F in {0x1A, 0x1B, 0x1C}]
            assert switches[0][1] == OFF[1]

    play(scenario())


def test_a_set_point_is_the_vendors_frame_and_the_answer_is_published(daemon, serial_pair):
    async def scenario():
        async with supply(daemon, serial_pair) as (module, power):
            answer, number = await deliver(power, 400.0, 20.0)
            assert answer == []
            async with leased(power, 1):
                await until(lambda: SET_400_V_20_A in module.written and ON in module.written)
                [applied] = await power.signal("Applied", lambda applied: applied[0] == 1)
                assert applied[1] == number
                [output] = await power.signal("Output", lambda output: output[1] > 0)
                assert output[1:3] == (500.0, 3.5)

    play(scenario())


def test_a_holder_that_no_longer_renews_loses_the_output(daemon, serial_pair):
    async def scenario():
        async with supply(daemon, serial_pair) as (module, power):
            answer, _ = await deliver(power, 400.0, 20.0)
            assert answer == []
            await until(lambda: len(module.switched_at) == 2)
            on_at, off_at = module.switched_at
            assert off_at - on_at < 1.0

    play(scenario())


def test_figures_beyond_the_modules_rating_are_refused_and_reach_no_module(daemon, serial_pair):
    async def scenario():
        async with supply(daemon, serial_pair) as (module, power):
            answer, _ = await deliver(power, 900.0, 20.0)
            assert answer == "org.voltry.Error.OutOfRange"
            await power.signal("Output")
            await power.signal("Output")
            assert not module.on
            assert ON not in module.written

    play(scenario())
