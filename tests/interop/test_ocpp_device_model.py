"""The station's variables and monitors as a CSMS (PyPI `ocpp`) meets them; a maker's own daemon among them."""

import asyncio
import contextlib
import os
import signal

import pytest
from conftest import play
from csms import csms_of
from dbus_fast import PropertyAccess
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property
from station import station_of
from test_ocpp import topology

FAN = {"name": "AirCoolingSystem"}
EVSE = {"name": "EVSE", "evse": {"id": 1}}
PILOT = {"name": "CPPWMController", "evse": {"id": 1, "connector_id": 1}}
REGISTER = {
    "component": {"name": "FiscalMetering", "instance": "dc1", "evse": {"id": 1}},
    "variable": {"name": "EnergyImportRegister"},
}


class Fan(ServiceInterface):
    """The smallest device that a maker may add: one component, a fault, a variable that can be written."""

    def __init__(self):
        super().__init__("org.voltry.Device1")
        self.speed, self.faults = "50", []

    @dbus_property(access=PropertyAccess.READ)
    def Vendor(self) -> "s":
        return "Example"

    @dbus_property(access=PropertyAccess.READ)
    def Online(self) -> "b":
        return True

    @dbus_property(access=PropertyAccess.READ)
    def Faults(self) -> "a(sst)":
        return self.faults

    @dbus_property(access=PropertyAccess.READ)
    def Component(self) -> "(ssuu)":
        return ["AirCoolingSystem", "", 0, 0]

    @dbus_property(access=PropertyAccess.READ)
    def Variables(self) -> "a((ssuu)ssssddasss)":
        return [[["AirCoolingSystem", "", 0, 0], "FanSpeed", "", "integer", "Percent", 10.0, 100.0, [], "speed", self.speed]]


class FanSettings(ServiceInterface):
    def __init__(self, fan):
        super().__init__("org.voltry.Settings1")
        self.fan = fan

    @dbus_method()
    def Write(self, name: "s", value: "s") -> "b":
        self.fan.speed = value
        # That they changed is told without the values.
        self.fan.emit_properties_changed({}, ["Variables"])
        return False


@contextlib.asynccontextmanager
async def fan_of(station):
    """A maker's daemon on the station's bus."""
    bus = await MessageBus(bus_address=f"unix:path={station.state}/bus").connect()
    fan = Fan()
    bus.export("/org/voltry/fan/1", fan)
    bus.export("/org/voltry/fan/1", FanSettings(fan))
    await bus.request_name("com.example.Fan1")
    try:
        yield fan
    finally:
        bus.disconnect()


async def read(csms, component, variable):
    data = [{"component": component, "variable": {"name": variable}}]
    [result] = (await csms.ask("GetVariables", get_variable_data=data)).get_variable_result
    return result["attribute_status"], result.get("attribute_value")


async def until_read(csms, component, variable, wanted, limit=20):
    async with asyncio.timeout(limit):
        while await read(csms, component, variable) != wanted:
            await asyncio.sleep(0.2)


async def write(csms, component, variable, value):
    data = [{"component": component, "variable": {"name": variable}, "attribute_value": value}]
    [result] = (await csms.ask("SetVariables", set_variable_data=data)).set_variable_result
    return result["attribute_status"]


async def report(csms, request, action="GetBaseReport", told="NotifyReport", key="report_data", **asked):
    """What a report's parts tell together."""
    answer = await csms.ask(action, request_id=request, **asked)
    if answer.status != "Accepted":
        return answer.status
    parts = await csms.book.until(
        lambda book: (parts := [p for p in book.of(told) if p["request_id"] == request])
        and not parts[-1]["tbc"]
        and parts
    )
    assert [part["seq_no"] for part in parts] == list(range(len(parts)))
    return [item for part in parts for item in part[key]]


def events(book):
    return [event for message in book.of("NotifyEvent") for event in message["event_data"]]


def place(item):
    component = item["component"]
    return component["name"], component.get("evse", {}).get("id"), item["variable"]["name"]


async def variables(csms, station):
    await until_read(csms, EVSE, "AvailabilityState", ("Accepted", "Available"))
    await until_read(csms, REGISTER["component"], "Available", ("Accepted", "true"))
    await until_read(csms, PILOT, "State", ("Accepted", "A"))
    full = await report(csms, 1, report_base="FullInventory")
    places = [place(item) for item in full]
    for wanted in [
        ("ChargingStation", None, "AvailabilityState"),
        ("ChargingStation", None, "SupplyPhases"),
        ("EVSE", 1, "Power"),
        ("EVSE", 1, "SupplyPhases"),
        ("Connector", 1, "ConnectorType"),
        ("AcDcConverter", 1, "PowerAvailable"),
        ("AcDcConverter", 1, "Temperature"),
        ("FiscalMetering", 1, "EnergyImportRegister"),
        ("GroundIsolationProtection", 1, "Available"),
        ("CPPWMController", 1, "State"),
        ("PowerContactor", 1, "Active"),
        ("EmergencyStopSensor", 1, "Active"),
        ("ISO15118Ctrlr", 1, "ProtocolSupported"),
        ("TxCtrlr", None, "EVConnectionTimeOut"),
        ("AlignedDataCtrlr", None, "Interval"),
        ("SampledDataCtrlr", None, "TxUpdatedInterval"),
        ("MonitoringCtrlr", None, "ItemsPerMessage"),
    ]:
        assert wanted in places, wanted
    assert ("AirCoolingSystem", None, "FanSpeed") in places, "a maker's own"
    # What the configuration says has reached the daemon.
    await until_read(csms, {"name": "SampledDataCtrlr"}, "TxUpdatedInterval", ("Accepted", "7"))
    summary = await report(csms, 2, report_base="SummaryInventory")
    assert ("EVSE", 1, "AvailabilityState") in [place(item) for item in summary]
    configuration = await report(csms, 3, report_base="ConfigurationInventory")
    assert all(item["variable_attribute"][0]["mutability"] != "ReadOnly" for item in configuration)
    wanted = [{"component": {"name": "FiscalMetering"}, "variable": {"name": "EnergyImportRegister"}}]
    meters = await report(csms, 4, "GetReport", component_variable=wanted)
    # The grid's meter is the station's.
    assert {place(item) for item in meters} == {
        ("FiscalMetering", 1, "EnergyImportRegister"),
        ("FiscalMetering", None, "EnergyImportRegister"),
    }
    assert await report(csms, 5, "GetReport", component_criteria=["Problem"]) == "EmptyResultSet"


async def writing(csms, station, fan):
    assert await read(csms, FAN, "FanSpeed") == ("Accepted", "50")
    assert await write(csms, FAN, "FanSpeed", "70") == "Accepted"
    assert fan.speed == "70", "the maker's daemon has it"
    assert await read(csms, FAN, "FanSpeed") == ("Accepted", "70")
    timeout = {"name": "TxCtrlr"}
    assert await write(csms, timeout, "EVConnectionTimeOut", "0") == "Rejected"
    assert await write(csms, timeout, "EVConnectionTimeOut", "123") == "Accepted"
    for daemon in ("ocpp", "station"):
        boots = csms.book.boots()
        await station.say(f"kill {daemon}")
        if daemon == "ocpp":
            await csms.book.until(lambda book, boots=boots: book.boots() > boots)
        await until_read(csms, timeout, "EVConnectionTimeOut", ("Accepted", "123"))


async def monitoring(csms, station, fan):
    # The uplink is new, and hears of one daemon after another.
    await until_read(csms, FAN, "FanSpeed", ("Accepted", "70"))
    await until_read(csms, REGISTER["component"], "Available", ("Accepted", "true"))
    data = [{**REGISTER, "type": "Delta", "value": 5.0, "severity": 4}]
    [result] = (await csms.ask("SetVariableMonitoring", set_monitoring_data=data)).set_monitoring_result
    assert result["status"] == "Accepted"
    # An EVSE's own, with the units of the maker.
    data = [{"component": FAN, "variable": {"name": "FanSpeed"}, "type": "UpperThreshold", "value": 200.0, "severity": 4}]
    [refused] = (await csms.ask("SetVariableMonitoring", set_monitoring_data=data)).set_monitoring_result
    assert refused["status"] == "Rejected"
    monitors = await report(csms, 6, "GetMonitoringReport", "NotifyMonitoringReport", "monitor")
    assert [item["variable_monitoring"][0]["id"] for item in monitors] == [result["id"]]
    assert (await station.say("plug 1")).startswith("ok")
    found = await csms.book.until(lambda book: [e for e in events(book) if e.get("variable_monitoring_id") == result["id"]])
    assert found[0]["trigger"] == "Delta" and float(found[0]["actual_value"]) > 0
    assert found[0]["transaction_id"]
    await station.say("unplug 1")
    assert (await csms.ask("SetMonitoringLevel", severity=8)).status == "Accepted"
    assert (await csms.ask("SetMonitoringBase", monitoring_base="FactoryDefault")).status == "Accepted"
    cleared = (await csms.ask("ClearVariableMonitoring", id=[result["id"]])).clear_monitoring_result
    assert [item["status"] for item in cleared] == ["NotFound"]


async def problems(csms, station, fan):
    fan.faults = [["FanStuck", "0 of 2000 rpm", 1]]
    fan.emit_properties_changed({"Faults": fan.faults})
    [event] = await csms.book.until(lambda book: [e for e in events(book) if e.get("tech_code") == "FanStuck"])
    assert event["component"] == FAN and event["variable"] == {"name": "Problem"}
    assert event["actual_value"] == "true" and not event["cleared"]
    assert event["event_notification_type"] == "HardWiredNotification"
    await station.say("fault emergency-stop 1")
    stops = lambda book: [e for e in events(book) if e.get("tech_code") == "MREC8EmergencyStop"]
    [stop] = await csms.book.until(stops)
    assert stop["component"]["name"] == "EmergencyStopSensor" and stop["component"]["evse"]["id"] == 1
    problem = await report(csms, 7, "GetReport", component_criteria=["Problem"])
    assert ("EmergencyStopSensor", 1, "Problem") in [place(item) for item in problem]
    await station.say("clear emergency-stop 1")


async def hanging(csms, station):
    """A daemon that hangs is not available, and holds up nothing."""
    process = await daemon_of(station, "voltry-meter", "dc1")
    os.kill(process, signal.SIGSTOP)
    answers = 0
    try:
        async with asyncio.timeout(40):
            while await read(csms, REGISTER["component"], "Available") != ("Accepted", "false"):
                assert (await read(csms, {"name": "OCPPCommCtrlr"}, "HeartbeatInterval"))[0] == "Accepted"
                answers += is_stopped(process)
                await asyncio.sleep(0.2)
        # In the 5 s of its watchdog; each would take the 2 s in which a daemon has to answer.
        assert answers > 3, "the uplink waits for it"
    finally:
        # Its watchdog may have ended it meanwhile.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)
    await until_read(csms, REGISTER["component"], "Available", ("Accepted", "true"), 40)


def is_stopped(process):
    with contextlib.suppress(OSError), open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(") ")[2].startswith("T")
    return False


async def daemon_of(station, program, instance):
    """The process of one of this station's daemons."""
    for process in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            with open(f"/proc/{process}/cmdline", "rb") as file:
                words = file.read().decode().split("\0")
            if words[0].endswith(program) and str(station.state) in " ".join(words) and instance in words:
                return int(process)
    pytest.fail(f"{program} {instance} does not run")


def test_the_device_model_is_the_station(tmp_path):
    async def scenario():
        async with (
            csms_of("2.0.1") as csms,
            station_of(tmp_path, topology(csms, free=True, sample_interval=7)) as station,
        ):
            async with fan_of(station) as fan:
                await csms.book.until(lambda book: book.of("StatusNotification"))
                await until_read(csms, FAN, "FanSpeed", ("Accepted", "50"))
                await variables(csms, station)
                await writing(csms, station, fan)
                await monitoring(csms, station, fan)
                await hanging(csms, station)
                await problems(csms, station, fan)
            # The maker's daemon has left.
            await until_read(csms, FAN, "Available", ("Accepted", "false"))

    play(scenario(), 200)


def test_keys_of_1_6_change_the_daemon_that_has_them_and_last(tmp_path):
    async def scenario():
        async with (
            csms_of("1.6") as csms,
            station_of(tmp_path, topology(csms, free=True, sample_interval=7)) as station,
        ):
            async with fan_of(station) as fan:
                await csms.book.until(lambda book: book.of("StatusNotification"))

                async def value(key):
                    answer = await csms.ask("GetConfiguration", key=[key])
                    return answer.configuration_key[0]["value"] if answer.configuration_key else None

                async with asyncio.timeout(20):
                    while await value("AirCoolingSystem.FanSpeed") != "50":
                        await asyncio.sleep(0.2)
                assert await value("NumberOfConnectors") == "1"
                assert await value("MeterValueSampleInterval") == "7"
                for key, wanted, status in (
                    ("AirCoolingSystem.FanSpeed", "80", "Accepted"),
                    ("ConnectionTimeOut", "123", "Accepted"),
                    ("ConnectionTimeOut", "0", "Rejected"),
                    ("MeterValueSampleInterval", "9", "Accepted"),
                ):
                    assert (await csms.ask("ChangeConfiguration", key=key, value=wanted)).status == status
                assert fan.speed == "80"
                for daemon in ("ocpp", "station"):
                    await station.say(f"kill {daemon}")
                await csms.book.until(lambda book: book.boots() == 2)
                async with asyncio.timeout(20):
                    while await value("ConnectionTimeOut") != "123" or await value("MeterValueSampleInterval") != "9":
                        await asyncio.sleep(0.2)

    play(scenario(), 100)
