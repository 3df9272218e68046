"""The bus policy on a real broker with real users: each allowance works, everything else is denied.

The broker runs in a mount namespace of its own with the station's users in passwd and group. The
clients are connections of this process, each made while wearing its user's credentials, which is
what the broker asks the kernel for.
"""

import asyncio
import os
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.auth import AuthExternal

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "dbus/org.voltry.conf"
# Of a maker's daemon that takes a role without a change to ours.
OEM_POLICY = ROOT / "docs/com.example.Guard1.conf"
DISTRIBUTION = Path("/usr/share/dbus-1/system.conf")
RAUC = "de.pengutronix.rauc"
# What Debian's rauc-service brings along: anybody may install.
RAUC_POLICY = f"""
<policy context="default"><allow send_destination="{RAUC}"/></policy>
<policy user="root"><allow own="{RAUC}"/></policy>
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to wear several users' credentials")

DAEMONS = ["evse", "station", "power", "meter", "board", "secc", "ocpp", "ui", "reader", "update"]
UIDS = {f"voltry-{name}": 61000 + number for number, name in enumerate(DAEMONS)}
UIDS |= {"technician": 61100, "stranger": 61101, "oem-guard": 61102, "root": 0}
GROUPS = {"voltry-daemon": 61200, "voltry": 61201}
NAMES = {
    "voltry-evse": "org.voltry.Evse.N1",
    "voltry-station": "org.voltry.Station1",
    "voltry-power": "org.voltry.Power1",
    "voltry-meter": "org.voltry.Meter.grid",
    "voltry-board": "org.voltry.Board1",
    "voltry-reader": "org.voltry.Reader1",
    "voltry-secc": "org.voltry.Secc.N1",
    "voltry-ocpp": "org.voltry.Ocpp1",
    "voltry-ui": "org.voltry.Ui1",
    "voltry-update": "org.voltry.Update1",
    "oem-guard": "com.example.Guard1",
}
ASK_STATION = {"voltry-ocpp", "technician", "root"}
# Browsers are behind voltry-ui: it may only look, stop, take out of service and back, and test what is; and hand on a
# code and the press of a start button.
UI_CALLS = {
    *[("Station1", member) for member in ["Transactions", "Transaction", "Stop", "StopTransaction", "Unlock"]],
    *[("Station1", member) for member in ["EnterCode", "PressStart", "EndByMasterPass"]],
    *[("Station1", member) for member in ["ClearFaults", "SetAvailable", "SelfTest", "EndSelfTest"]],
    *[("Settings1", member) for member in ["List", "Write"]],
    *[("V2gLog1", member) for member in ["Conversations", "Read"]],
    *[("Recorder1", member) for member in ["Sessions", "Read"]],
    ("CsmsLog1", "Messages"),
    ("Csms1", "NoteSecurity"),
}
# Interface: who provides it, who may call it.
CONTRACT = {
    "Book1": ({"voltry-station"}, {"voltry-ocpp", "root"}),
    "Csms1": ({"voltry-ocpp"}, {"voltry-station"}),
    "Certificates1": ({"voltry-secc"}, {"voltry-ocpp"}),
    "ChargingSchedules1": ({"voltry-secc"}, {"voltry-ocpp"}),
    "ContractCertificates1": ({"voltry-secc"}, {"voltry-ocpp"}),
    "ConnectorIo1": ({"voltry-board"}, {"voltry-evse"}),
    "DataTransfer1": (set(), {"voltry-ocpp"}),  # a maker's daemon, under a policy of its own
    "Display1": ({"voltry-ocpp"}, set()),
    "Update1": ({"voltry-update"}, ASK_STATION),
    "Device1": (
        {f"voltry-{name}" for name in ["evse", "station", "power", "meter", "board", "secc", "reader"]},
        set(),
    ),
    "EnergyMeter1": ({"voltry-meter"}, {"voltry-station"}),
    "EvLink1": ({"voltry-secc"}, {"voltry-evse"}),
    "Evse1": ({"voltry-evse"}, {"voltry-station"}),
    "IdTokenReader1": ({"voltry-reader"}, set()),
    "InsulationMonitor1": ({"voltry-power", "voltry-meter"}, {"voltry-evse"}),
    "OverVoltageMonitor1": ({"oem-guard"}, {"voltry-evse"}),
    "PowerRack1": ({"voltry-power"}, {"technician", "root"}),
    "PowerSupply1": ({"voltry-power"}, {"voltry-evse"}),
    "SelfTest1": ({"voltry-evse"}, {"voltry-station"}),
    "Session1": ({"voltry-station"}, set()),
    "Settings1": ({"voltry-station"}, ASK_STATION),
    "Station1": ({"voltry-station"}, ASK_STATION),
    "SwitchMatrix1": ({"voltry-board"}, {"voltry-power"}),
    "V2gLog1": ({"voltry-secc"}, {"technician", "root"}),
    "Recorder1": ({"voltry-station"}, {"technician", "root"}),
    "CsmsLog1": ({"voltry-ocpp"}, {"technician", "root"}),
    "VoltageMonitor1": ({"voltry-board", "voltry-meter", "voltry-power"}, set()),
    "Sim1": (set(), set()),  # never on a station's bus
}
# Members with other callers than their interface.
CALLERS = {
    ("Station1", "RemoteStart"): {"voltry-ocpp", "root"},
    ("Station1", "LoadTest"): {"technician", "root"},
}
CALLERS |= {call: CONTRACT[call[0]][1] | {"voltry-ui"} for call in UI_CALLS}
READERS = set(UIDS) - {"stranger"}


def members(kind):
    """(interface, member) of every method or signal in the contract."""
    for path in sorted((ROOT / "dbus").glob("*.xml")):
        for interface in ET.parse(path).getroot().iter("interface"):
            for member in interface.iter(kind):
                yield interface.get("name"), member.get("name")


def broker_configuration(socket):
    """The distribution's system bus, without what belongs to its own instance, with our policy."""
    text = DISTRIBUTION.read_text()
    for tag in ["fork", "user", "pidfile", "listen", "servicehelper", "servicedir", "includedir", "include"]:
        text = re.sub(rf"<{tag}\b[^>]*?(/>|>[^<]*</{tag}>)", "", text)
    text = text.replace("<standard_system_servicedirs/>", "").replace("<syslog/>", "")
    include = "".join(f"<include>{policy}</include>" for policy in [POLICY, OEM_POLICY])
    return text.replace("</busconfig>", f"<listen>unix:path={socket}</listen>{RAUC_POLICY}{include}</busconfig>")


def groups_of(user):
    if user == "technician":
        return [GROUPS["voltry"]]
    return [GROUPS["voltry-daemon"]] if user in NAMES else []


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bus")
    for parent in [folder, folder.parent, folder.parent.parent]:
        parent.chmod(0o755)  # every user must reach the socket
    socket = folder / "socket"
    (folder / "bus.conf").write_text(broker_configuration(socket))
    passwd = "".join(f"{user}:x:{uid}:{uid}::/:/bin/false\n" for user, uid in UIDS.items())
    group = "".join(
        f"{name}:x:{gid}:{','.join(user for user in UIDS if gid in groups_of(user))}\n" for name, gid in GROUPS.items()
    )
    (folder / "passwd").write_text(passwd)
    (folder / "group").write_text("root:x:0:\n" + group)
    script = (
        f"mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/group /etc/group &&"
        f" exec dbus-daemon --nofork --print-address=1 --config-file={folder}/bus.conf"
    )
    process = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("unix:"), "the broker did not start"
    yield f"unix:path={socket}"
    process.terminate()
    process.wait(10)


class Client:
    """One user's connection. It answers every call it gets, and keeps the signals."""

    def __init__(self, user, bus):
        self.user, self.bus, self.signals = user, bus, []
        bus.add_message_handler(self.on_message)

    def on_message(self, message):
        if message.message_type == MessageType.SIGNAL:
            self.signals.append((message.interface, message.member))
            return None
        if message.message_type == MessageType.METHOD_CALL:
            return Message.new_method_return(message)
        return None

    async def call(self, destination, interface, member, signature="", body=()):
        """None, or the name of the error."""
        message = Message(
            destination=destination,
            path="/org/voltry/x/1",
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        reply = await asyncio.wait_for(self.bus.call(message), 5)
        return reply.error_name if reply.message_type == MessageType.ERROR else None


async def connect(address, user):
    """Connects as `user`: the kernel notes the effective ids and groups at that moment."""
    uid = UIDS[user]
    try:
        os.setgroups(groups_of(user))
        os.setegid(uid)
        os.seteuid(uid)
        bus = MessageBus(bus_address=address, bus_type=BusType.SYSTEM, auth=AuthExternal(uid=uid))
        return Client(user, await asyncio.wait_for(bus.connect(), 5))
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([])


def on_the_bus(broker, scenario):
    """Runs a scenario with every user connected and every daemon owning its name."""

    async def run():
        clients = {user: await connect(broker, user) for user in UIDS}
        for user, name in NAMES.items():
            assert await own(clients[user], name) is None
        try:
            await scenario(clients)
        finally:
            for client in clients.values():
                client.bus.disconnect()

    asyncio.run(run())


async def own(client, name):
    return await client.call("org.freedesktop.DBus", "org.freedesktop.DBus", "RequestName", "su", [name, 4])


DENIED = "org.freedesktop.DBus.Error.AccessDenied"


def test_the_contract_table_names_every_interface():
    interfaces = {path.stem.removeprefix("org.voltry.") for path in (ROOT / "dbus").glob("*.xml")}
    assert interfaces == set(CONTRACT)


def test_each_method_is_open_to_its_callers_and_denied_to_all_others(broker):
    async def scenario(clients):
        wrong = []
        for interface, member in members("method"):
            name = interface.removeprefix("org.voltry.")
            providers, callers = CONTRACT[name]
            callers = CALLERS.get((name, member), callers)
            for target in NAMES:
                for user, client in clients.items():
                    if user == target:
                        continue
                    error = await client.call(NAMES[target], interface, member)
                    allowed = user in callers
                    # A call that no policy names may only be refused by the broker.
                    if allowed and target in providers and error is not None:
                        wrong.append(f"{user} may not call {interface}.{member} on {target}: {error}")
                    if not allowed and error != DENIED:
                        wrong.append(f"{user} may call {interface}.{member} on {target}")
        assert wrong == []

    on_the_bus(broker, scenario)


def test_energising_methods_are_open_to_evse_alone(broker):
    energising = [
        ("voltry-power", "PowerSupply1", "Enable"),
        ("voltry-power", "PowerSupply1", "SetOutput"),
        ("voltry-power", "PowerSupply1", "RenewLease"),
        ("voltry-board", "ConnectorIo1", "Enable"),
        ("voltry-board", "ConnectorIo1", "CloseContactors"),
        ("voltry-board", "ConnectorIo1", "RenewLease"),
        ("oem-guard", "OverVoltageMonitor1", "Arm"),
        ("oem-guard", "OverVoltageMonitor1", "Disarm"),
    ]

    async def scenario(clients):
        for target, interface, member in energising:
            may = []
            for user, client in clients.items():
                if await client.call(NAMES[target], f"org.voltry.{interface}", member) is None:
                    may.append(user)
            assert may == ["voltry-evse"], member

    on_the_bus(broker, scenario)


def test_of_the_daemons_only_the_one_for_updates_reaches_rauc(broker):
    async def scenario(clients):
        assert await own(clients["root"], RAUC) is None
        installer = f"{RAUC}.Installer"
        properties = "org.freedesktop.DBus.Properties"
        for user in NAMES:
            for interface, member in [(installer, "InstallBundle"), (installer, "Mark"), (properties, "Get")]:
                error = await clients[user].call(RAUC, interface, member)
                assert error == (None if user == "voltry-update" else DENIED), f"{user} {member}"
        assert await clients["technician"].call(RAUC, installer, "Info") is None, "as RAUC's own policy has it"

    on_the_bus(broker, scenario)


def test_a_call_that_names_no_interface_is_denied(broker):
    async def scenario(clients):
        for user, client in clients.items():
            assert await client.call(NAMES["voltry-power"], None, "SetOutput") == DENIED, user

    on_the_bus(broker, scenario)


def test_reading_is_open_to_the_groups_and_root_and_to_no_stranger(broker):
    reads = [
        ("org.freedesktop.DBus.Properties", "Get"),
        ("org.freedesktop.DBus.Properties", "GetAll"),
        ("org.freedesktop.DBus.Introspectable", "Introspect"),
        ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects"),
        ("org.freedesktop.DBus.Peer", "Ping"),
    ]

    async def scenario(clients):
        for user, client in clients.items():
            expected = None if user in READERS else DENIED
            for name in NAMES.values():
                for interface, member in reads:
                    if client.bus is not clients.get(user_of(name)).bus:
                        error = await client.call(name, interface, member)
                        assert error == expected, f"{user} {member} {name}"

    on_the_bus(broker, scenario)


def user_of(name):
    return next(user for user, owned in NAMES.items() if owned == name)


def test_nobody_sets_a_property(broker):
    async def scenario(clients):
        for user, client in clients.items():
            for name in NAMES.values():
                error = await client.call(name, "org.freedesktop.DBus.Properties", "Set")
                assert error == DENIED, f"{user} sets properties of {name}"

    on_the_bus(broker, scenario)


def test_a_name_is_owned_by_its_daemon_alone(broker):
    free = {
        "voltry-evse": "org.voltry.Evse.N7",
        "voltry-meter": "org.voltry.Meter.dc7",
        "voltry-secc": "org.voltry.Secc.N7",
        None: "org.voltry.Sim1",
    }

    async def scenario(clients):
        for owner, name in [*free.items(), *NAMES.items()]:
            for user, client in clients.items():
                if user != owner:
                    assert await own(client, name) == DENIED, f"{user} owns {name}"
        for owner, name in free.items():
            if owner:
                assert await own(clients[owner], name) is None

    on_the_bus(broker, scenario)


def test_signals_come_from_their_providers_alone(broker):
    async def scenario(clients):
        # What vehicles say of themselves, and ask of the back end, reaches these alone.
        confidential = {
            "org.voltry.V2gLog1": "technician",
            "org.voltry.ContractCertificates1": "voltry-ocpp",
            "org.voltry.IdTokenReader1": "voltry-station",
        }
        for listener in [clients[user] for user in ["voltry-evse", *confidential.values()]]:
            await listener.call("org.freedesktop.DBus", "org.freedesktop.DBus", "AddMatch", "s", ["type='signal'"])
        for interface, member in members("signal"):
            providers, _ = CONTRACT[interface.removeprefix("org.voltry.")]
            listener = clients[confidential.get(interface, "voltry-evse")]
            for user, client in clients.items():
                if user == listener.user:
                    continue
                listener.signals.clear()
                await client.bus.send(Message.new_signal("/org/voltry/x/1", interface, member))
                # A call through the same two connections arrives after the signal would have.
                await round_trip(client, listener)
                assert ((interface, member) in listener.signals) == (user in providers), f"{user} {interface}.{member}"

    on_the_bus(broker, scenario)


async def round_trip(sender, receiver):
    await sender.call("org.freedesktop.DBus", "org.freedesktop.DBus", "GetId")
    await receiver.call("org.freedesktop.DBus", "org.freedesktop.DBus", "GetId")


@pytest.mark.parametrize(
    ("sender", "signal", "hears", "deaf"),
    [
        ("voltry-station", ("org.voltry.Station1", "TransactionEnded"), "technician", "stranger"),
        ("voltry-secc", ("org.voltry.V2gLog1", "Message"), "technician", "stranger"),
        ("voltry-secc", ("org.voltry.ContractCertificates1", "Requested"), "voltry-ocpp", "technician"),
        ("voltry-reader", ("org.voltry.IdTokenReader1", "Read"), "voltry-station", "voltry-ui"),
    ],
)
def test_what_was_charged_and_said_is_not_broadcast_to_strangers(broker, sender, signal, hears, deaf):
    async def scenario(clients):
        for user in [hears, deaf]:
            await clients[user].call("org.freedesktop.DBus", "org.freedesktop.DBus", "AddMatch", "s", ["type='signal'"])
        provider = clients[sender]
        await provider.bus.send(Message.new_signal("/org/voltry/x/1", *signal))
        await round_trip(provider, clients[deaf])
        await round_trip(provider, clients[hears])
        assert signal in clients[hears].signals
        assert signal not in clients[deaf].signals

    on_the_bus(broker, scenario)
