"""voltry-meter against a pymodbus server that holds the registers of an Acrel DJSF1352-RN."""

import contextlib

from conftest import ROOT, free_port, play
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

BUS_NAME = "org.voltry.Meter.Dc"
PATH = "/org/voltry/energy_meter/dc"
METER = "org.voltry.EnergyMeter1"
ADDRESS = 7
# 812.3 V, -12.50 A, -10.15 kW in W, 1,234,567 Wh in, 89 Wh out; registers by the vendor's table:
# voltage and its point, current and its point, wire, temperature, power and its point, two energies.
DISCHARGING = [8123, 2, 0x10000 - 1250, 1, 0, 250, 0x10000 - 10150, 3, 0x0012, 0xD687, 0, 89]
# 400 V, 125 A: other decimal points.
CHARGING = [400, 3, 1250, 2, 0, 250, 500, 5, 0x0012, 0xD688, 0, 89]


class Meter:
    """The meter's registers, and whether it answers."""

    def __init__(self, registers):
        self.registers = registers
        self.reads = 0

    def device(self):
        block = SimData(0, count=20, values=0, datatype=DataType.REGISTERS, readonly=True)
        return SimDevice(ADDRESS, simdata=[block], action=self.action)

    async def action(self, function, start, address, count, current, values):
        assert function == 3
        assert values is None, "a meter is only read"
        self.reads += 1
        current[: len(self.registers)] = self.registers


@contextlib.asynccontextmanager
async def tcp(meter, port=0):
    server = ModbusTcpServer([meter.device()], address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


def configuration(port, tmp_path, more=""):
    return f"""
[meter.dc]
port = {port}
models = ["{ROOT}/packaging/meters"]
state = "{tmp_path}"

[meter.dc.device.dc]
kind = "energy-meter"
model = "acrel-djsf1352-rn"
address = {ADDRESS}
period_ms = 100
timeout_ms = 200
{more}
"""


async def read_twice(meter, run):
    """A reading as the registers are, and one after they changed."""
    async with run as daemon:
        [reading] = await daemon.signal("Reading")
        assert [round(value, 3) for value in reading[1:6]] == [812.3, -12.5, -10150, 1234567, 89]
        meter.registers = CHARGING
        [reading] = await daemon.signal("Reading", lambda reading: reading[1] < 500)
        assert [round(value, 3) for value in reading[1:6]] == [400, 125, 50000, 1234568, 89]
        [now] = await daemon.call(PATH, METER, "ReadRegister")
        assert now[4] == 1234568
        assert await daemon.get(PATH, METER, "Resolution") == 1.0


def test_a_meter_is_read_by_modbus_tcp(daemon, tmp_path):
    async def scenario():
        meter = Meter(DISCHARGING)
        async with tcp(meter) as port:
            config = configuration(f'{{ tcp = "127.0.0.1:{port}" }}', tmp_path)
            await read_twice(meter, daemon("voltry-meter", BUS_NAME, config, "dc"))

    play(scenario())


def test_a_meter_is_read_by_modbus_rtu(daemon, serial_pair, tmp_path):
    async def scenario():
        meter = Meter(DISCHARGING)
        ours, theirs = serial_pair
        server = ModbusSerialServer([meter.device()], port=theirs, baudrate=9600)
        await server.serve_forever(background=True)
        try:
            config = configuration(f'{{ serial = "{ours}" }}', tmp_path)
            await read_twice(meter, daemon("voltry-meter", BUS_NAME, config, "dc"))
        finally:
            await server.shutdown()

    play(scenario())


def test_a_meter_that_goes_away_is_missing_and_comes_back(daemon, tmp_path):
    async def scenario():
        meter = Meter(CHARGING)
        async with contextlib.AsyncExitStack() as stack:
            async with tcp(meter, free_port()) as port:
                config = configuration(f'{{ tcp = "127.0.0.1:{port}" }}', tmp_path, "back_off_ms = 200")
                run = daemon("voltry-meter", BUS_NAME, config, "dc")
                process = await stack.enter_async_context(run)
                await process.signal("Reading")
                assert await process.get(PATH, "org.voltry.Device1", "Online") is True
            offline = lambda interface, changed, *_: "Online" in changed and not changed["Online"].value
            await process.signal("PropertiesChanged", offline)
            assert await process.call(PATH, METER, "ReadRegister") == "org.voltry.Error.Unavailable"
            async with tcp(meter, port):
                [reading] = await process.signal("Reading")
                assert round(reading[1]) == 400

    play(scenario())


def drain(queue):
    while not queue.empty():
        yield queue.get_nowait()


def test_a_meter_at_another_address_is_not_taken_for_this_one(daemon, tmp_path):
    async def scenario():
        meter = Meter(CHARGING)
        other = meter.device()
        other.id = ADDRESS + 1
        server = ModbusTcpServer([other], address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        try:
            port = server.transport.sockets[0].getsockname()[1]
            config = configuration(f'{{ tcp = "127.0.0.1:{port}" }}', tmp_path)
            async with daemon("voltry-meter", BUS_NAME, config, "dc") as process:
                assert isinstance(await process.call(PATH, METER, "ReadRegister"), str)
                assert all(message.member != "Reading" for message in drain(process.signals))
        finally:
            await server.shutdown()

    play(scenario())
