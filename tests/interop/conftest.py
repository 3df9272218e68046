"""What each test of a daemon against a foreign peer needs: a private bus, the one daemon, serial lines, a port."""

import asyncio
import contextlib
import os
import random
import socket
import subprocess
import time
from pathlib import Path

import pytest
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"

BUS_CONFIGURATION = """<busconfig><type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow receive_sender="*"/></policy></busconfig>"""


def play(scenario, limit=30):
    """Runs a test's scenario; one that hangs fails."""
    asyncio.run(asyncio.wait_for(scenario, limit))


def program(name):
    path = PROGRAMS / name
    assert path.is_file(), f"{path} is not built: run `make build` first"
    return path


def free_port():
    """One that is nobody's; not of those that the kernel gives out meanwhile."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@pytest.fixture
def broker(tmp_path):
    """The process of a bus of this test's own."""
    (tmp_path / "bus.conf").write_text(BUS_CONFIGURATION.format(socket=tmp_path / "bus"))
    command = ["dbus-daemon", "--nofork", "--print-address=1", f"--config-file={tmp_path}/bus.conf"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("unix:"), "the bus did not start"
        yield process
        process.terminate()


@pytest.fixture
def bus(broker, tmp_path):
    """The address of that bus."""
    return f"unix:path={tmp_path}/bus"


class Daemon:
    """One of our daemons, running on the test's bus, and this test's own connection beside it."""

    def __init__(self, name, bus_name, connection, log, process):
        self.name, self.bus_name, self.connection, self.log = name, bus_name, connection, log
        self.process = process
        self.signals = asyncio.Queue()
        connection.add_message_handler(self.on_message)

    def on_message(self, message):
        if message.message_type == MessageType.SIGNAL and message.path != "/org/freedesktop/DBus":
            self.signals.put_nowait(message)

    async def call(self, path, interface, member, signature="", *body):
        """The reply's body, or the error's name."""
        reply = await self.connection.call(
            Message(
                destination=self.bus_name,
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=list(body),
            )
        )
        return reply.error_name if reply.message_type == MessageType.ERROR else reply.body

    async def get(self, path, interface, name):
        [value] = await self.call(path, "org.freedesktop.DBus.Properties", "Get", "ss", interface, name)
        return value.value

    async def signal(self, member, condition=lambda *body: True, limit=10):
        """The body of the next such signal that meets the condition."""
        async with asyncio.timeout(limit):
            while True:
                message = await self.signals.get()
                if message.member == member and condition(*message.body):
                    return message.body


@pytest.fixture
def daemon(bus, tmp_path):
    """daemon(PROGRAM, BUS_NAME, TOML, *ARGUMENTS): an async context with the daemon up and named.

    `within` is a command that starts it, as one that makes a network for it.
    """

    @contextlib.asynccontextmanager
    async def run(name, bus_name, configuration, *arguments, within=()):
        folder = tmp_path / "config"
        folder.mkdir(exist_ok=True)
        (folder / "voltry.toml").write_text(configuration)
        connection = await MessageBus(bus_address=bus, bus_type=BusType.SYSTEM).connect()
        log_path = tmp_path / f"{name}.log"
        with log_path.open("w") as log:
            process = subprocess.Popen(
                [*within, program(name), "--config", folder, *arguments],
                env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": bus},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        peer = Daemon(name, bus_name, connection, log_path, process)
        try:
            await bus_call(connection, "AddMatch", "s", "type='signal'")
            await until_named(connection, bus_name, process, log_path)
            yield peer
        finally:
            process.terminate()
            process.wait(10)
            connection.disconnect()
            print(f"--- {name} said:\n{log_path.read_text()}")

    return run


async def bus_call(connection, member, signature, *body):
    reply = await connection.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member=member,
            signature=signature,
            body=list(body),
        )
    )
    return reply.body


async def until_named(connection, bus_name, process, log_path):
    deadline = time.monotonic() + 10
    while not (await bus_call(connection, "NameHasOwner", "s", bus_name))[0]:
        assert process.poll() is None, f"it ended: {log_path.read_text()}"
        assert time.monotonic() < deadline, f"no {bus_name} on the bus: {log_path.read_text()}"
        await asyncio.sleep(0.01)


@pytest.fixture
def serial_pair():
    """Two serial devices joined back to back."""
    command = ["socat", "-d", "-d", "pty,rawer,echo=0", "pty,rawer,echo=0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        devices = []
        for line in process.stderr:
            if "PTY is" in line:
                devices.append(line.split()[-1])
            if "starting data transfer loop" in line:
                break
        yield devices
        process.terminate()
