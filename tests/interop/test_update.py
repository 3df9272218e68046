"""`voltry-update` with RAUC itself (Debian's): bundles that its own tool makes, installed by its own service into two
slots that are files. The boot loader is a script, as RAUC lets one be configured; the station is this test."""

import asyncio
import contextlib
import datetime
import json
import os
import shutil
import subprocess

import pytest
from conftest import Daemon, bus_call, play, program, until_named
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from dbus_fast import BusType, PropertyAccess
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_property

UPDATE = ("/org/voltry/update", "org.voltry.Update1")
LIMIT = 60


def loop_devices():
    done = subprocess.run(["losetup", "-f"], capture_output=True, check=False) if shutil.which("losetup") else None
    return bool(done) and done.returncode == 0


pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("rauc") or not shutil.which("mksquashfs") or not loop_devices(),
    reason="needs root, loop devices, rauc and squashfs-tools",
)

SYSTEM = """[system]
compatible=Voltry Test
bootloader=custom
statusfile={folder}/status
[handlers]
bootloader-custom-backend={folder}/boot
[keyring]
path={folder}/maker.pem
[slot.rootfs.0]
device={folder}/slot0
type=raw
bootname=A
[slot.rootfs.1]
device={folder}/slot1
type=raw
bootname=B
"""
# The first slot of those that are good, the one that was activated last before the other.
BOOT = """#!/bin/sh
cd {folder}/loader || exit 1
case $1 in
get-primary) for slot in $(cat order); do [ "$(cat $slot)" = good ] && echo $slot && exit; done; exit 1 ;;
set-primary) echo good >$2; [ $2 = A ] && echo "A B" >order || echo "B A" >order ;;
get-state) cat $2 ;;
set-state) echo $3 >$2 ;;
esac
"""
MANIFEST = """[update]
compatible={compatible}
version={version}
[hooks]
filename=hook
[image.rootfs]
filename=rootfs.img
hooks=post-install
"""
# It stands still while the image is written and not yet bootable, if it is told to.
HOOK = """#!/bin/sh
[ -e {folder}/hold ] || exit 0
touch {folder}/held
while [ -e {folder}/hold ]; do sleep 0.05; done
"""


class Station1(ServiceInterface):
    """The station, with one EVSE."""

    def __init__(self):
        super().__init__("org.voltry.Station1")
        self.state, self.use = "available", "available"

    @dbus_property(access=PropertyAccess.READ)
    def Evses(self) -> "a(usbbdddddta(sst))":  # noqa: F722
        return [[1, self.state, True, False, 0.0, 0.0, 0.0, 0.0, -1.0, 0, []]]

    @dbus_property(access=PropertyAccess.READ)
    def Connectors(self) -> "a(usxtsds)":  # noqa: F722
        return [[1, self.use, 0, 0, "", 0.0, "hardware"]]


def certificate(folder, name):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=60))
    made = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(key, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}.key").write_bytes(key.private_bytes(*pem))


class Machine:
    """Two slots, a boot loader, RAUC's service, the daemon; what is on the disk outlives `boot`."""

    def __init__(self, folder, bus, daemon, settings):
        self.folder, self.bus, self.daemon, self.settings = folder, bus, daemon, settings
        self.station = Station1()
        (folder / "loader").mkdir()
        for name, text in [("order", "A B"), ("A", "good"), ("B", "good")]:
            (folder / "loader" / name).write_text(f"{text}\n")
        for name, text in [("boot", BOOT), ("system.conf", SYSTEM)]:
            (folder / name).write_text(text.format(folder=folder))
        (folder / "boot").chmod(0o755)
        for slot in ["slot0", "slot1"]:
            (folder / slot).write_bytes(bytes(1 << 20))
        for name in ["maker", "stranger"]:
            certificate(folder, name)
        self.boots = 0

    def bundle(self, version, compatible="Voltry Test", signer="maker"):
        content = self.folder / f"content-{version}"
        content.mkdir(exist_ok=True)
        (content / "rootfs.img").write_bytes(version.encode() + os.urandom(200_000))
        (content / "manifest.raucm").write_text(MANIFEST.format(compatible=compatible, version=version))
        (content / "hook").write_text(HOOK.format(folder=self.folder))
        (content / "hook").chmod(0o755)
        made = self.folder / f"{version}-{signer}.raucb"
        keys = [f"--cert={self.folder}/{signer}.pem", f"--key={self.folder}/{signer}.key"]
        rauc = ["rauc", *keys, f"--keyring={self.folder}/{signer}.pem", "bundle", content, made]
        subprocess.run(rauc, check=True, capture_output=True, timeout=60)
        return made

    def starts_from(self):
        return subprocess.run([self.folder / "boot", "get-primary"], capture_output=True, text=True, check=True).stdout.strip()

    def loader(self, slot):
        return (self.folder / "loader" / slot).read_text().strip()

    @contextlib.asynccontextmanager
    async def boot(self):
        """The machine, from when it starts until the power goes."""
        slot = self.starts_from()
        version = (self.folder / f"slot{'AB'.index(slot)}").read_bytes()[:5].strip(b"\0").decode() or "1.0.0"
        (self.folder / "os-release").write_text(f"IMAGE_VERSION={version}\n")
        (self.folder / "restart").unlink(missing_ok=True)
        memory = self.folder / "state.json"
        if memory.exists():
            text = json.loads(memory.read_text())
            if text["pending"]:
                text["pending"]["boot"] = f"one before {self.boots}"
                memory.write_text(json.dumps(text))
        self.boots += 1
        service = ["unshare", "-m", "rauc", f"--conf={self.folder}/system.conf", f"--override-boot-slot={slot}"]
        service += [f"--mount={self.folder}/mount", "service"]
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.bus}
        files = [f"{key}_file = '{self.folder}/{file}'" for key, file in [("version", "os-release"), ("state", "state.json")]]
        config = "\n".join(["[update]", *files, f"restart_file = '{self.folder}/restart'", self.settings])
        connection = await MessageBus(bus_address=self.bus, bus_type=BusType.SYSTEM).connect()
        for name in ["de.pengutronix.rauc", "org.voltry.Update1", "org.voltry.Station1"]:
            # The bus takes a moment to notice that they were killed.
            while (await bus_call(connection, "NameHasOwner", "s", name))[0]:
                await asyncio.sleep(0.01)
        connection.export("/org/voltry/station", self.station)
        await connection.request_name("org.voltry.Station1")
        log_path = self.folder / "rauc.log"
        with log_path.open("a") as log:
            rauc = subprocess.Popen(service, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            await until_named(connection, "de.pengutronix.rauc", rauc, log_path)
            async with self.daemon("voltry-update", "org.voltry.Update1", config) as peer:
                await until(peer, "Slots", bool)
                yield peer
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(rauc.pid, 9)
                peer.process.kill()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(rauc.pid, 9)
            rauc.wait(10)
            connection.disconnect()

    async def until_restarting(self, peer):
        """Until the machine is asked to start anew."""
        async with asyncio.timeout(LIMIT):
            while not (self.folder / "restart").exists():
                await asyncio.sleep(0.05)

    async def ctl(self, *arguments):
        """What `voltryctl` prints, and its exit code."""
        process = await asyncio.create_subprocess_exec(
            *[program("voltryctl"), "--bus", self.bus, *arguments],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return said.decode(), process.returncode


async def until(peer: Daemon, name, wanted):
    """The property, once it is as wanted: each change is told."""
    async with asyncio.timeout(LIMIT):
        while not wanted(value := await peer.get(*UPDATE, name)):
            await peer.signal("PropertiesChanged", limit=LIMIT)
    return value


async def install(peer, bundle):
    """How the installation ends, or the error's name."""
    begun = await peer.call(*UPDATE, "Install", "s", str(bundle))
    if begun != []:
        return begun
    outcome, detail = await peer.signal("InstallationEnded", limit=LIMIT)
    return outcome, detail


@pytest.fixture
def machine(tmp_path, bus, daemon):
    return lambda settings: Machine(tmp_path, bus, daemon, settings)


PATIENT = "trial_s = 3600\nsteady_s = 1"


def test_a_version_that_charges_is_installed_tried_and_marked_good(machine):
    machine = machine(PATIENT)

    async def scenario():
        bundle = machine.bundle("2.0.0")
        async with machine.boot():
            machine.station.use = "charging"
            said, code = "", 0
            # The daemon asks once a second who charges.
            async with asyncio.timeout(LIMIT):
                while "charges at EVSE 1" not in said:
                    said, code = await machine.ctl("update", str(bundle))
            assert code == 1
            machine.station.use = "available"
            async with asyncio.timeout(LIMIT):
                while code != 0:
                    said, code = await machine.ctl("--json", "update", str(bundle), "--restart")
            assert json.loads(said.splitlines()[-1]) == {"outcome": "restart-needed", "detail": ""}
            await machine.until_restarting(None)
        assert machine.starts_from() == "B"
        machine.station.state = "faulted"
        async with machine.boot() as peer:
            assert await peer.get(*UPDATE, "Version") == "2.0.0"
            await until(peer, "Detail", lambda detail: detail == "EVSE 1 does not work")
            assert await peer.get(*UPDATE, "Verdict") == "on-trial"
            machine.station.state = "available"
            await until(peer, "Verdict", lambda verdict: verdict == "good")
            said, code = await machine.ctl("--json", "update", "status")
            standing = json.loads(said)
            assert (code, standing["version"], standing["verdict"]) == (0, "2.0.0", "good")
            [old, new] = standing["slots"]
            assert (new["name"], new["booted"], new["good"], new["version"]) == ("rootfs.1", True, True, "2.0.0")
            assert not old["booted"]

    play(scenario(), 4 * LIMIT)


def test_a_version_that_does_not_charge_is_left_for_the_one_from_before(machine):
    machine = machine("trial_s = 2\nsteady_s = 1")

    async def scenario():
        bundle = machine.bundle("2.0.0")
        async with machine.boot() as peer:
            await until_idle_is_known(peer, machine)
            assert await install(peer, bundle) == ("restart-needed", "")
            assert await peer.call(*UPDATE, "Restart") == []
            await machine.until_restarting(peer)
        machine.station.state = "faulted"
        async with machine.boot() as peer:
            assert await peer.get(*UPDATE, "Version") == "2.0.0"
            await machine.until_restarting(peer)
        assert (machine.loader("B"), machine.starts_from()) == ("bad", "A")
        async with machine.boot() as peer:
            assert await peer.get(*UPDATE, "Version") == "1.0.0"
            assert await peer.get(*UPDATE, "Verdict") == "fell-back"
            assert await peer.get(*UPDATE, "Detail") == "EVSE 1 does not work"
            assert (await machine.ctl("update", "status"))[1] == 4

    play(scenario(), 4 * LIMIT)


async def until_idle_is_known(peer, machine):
    """Until the daemon has asked the station: what is no bundle is refused before, and found to be none afterwards."""
    nothing = machine.folder / "nothing"
    nothing.write_text("nothing")
    async with asyncio.timeout(LIMIT):
        while await install(peer, nothing) == "org.voltry.Error.Refused":
            await asyncio.sleep(0.05)


async def stand_still_in(peer, machine, bundle):
    """Until the installation stands still in the middle of the writing."""
    (machine.folder / "hold").touch()
    await until_idle_is_known(peer, machine)
    assert await peer.call(*UPDATE, "Install", "s", str(bundle)) == []
    async with asyncio.timeout(LIMIT):
        while not (machine.folder / "held").exists():
            await asyncio.sleep(0.05)


def test_what_is_damaged_foreign_or_older_is_refused_and_what_runs_stays(machine):
    machine = machine(PATIENT)

    async def scenario():
        whole = machine.bundle("2.0.0")
        tampered = machine.folder / "tampered.raucb"
        text = bytearray(whole.read_bytes())
        text[50_000] ^= 1
        tampered.write_bytes(text)
        foreign = machine.bundle("2.0.0", signer="stranger")
        older, another_machines = machine.bundle("0.9.0"), machine.bundle("3.0.0", "Another Machine")
        async with machine.boot() as peer:
            await until_idle_is_known(peer, machine)
            for bundle in [tampered, foreign, machine.folder / "nowhere"]:
                outcome, detail = await install(peer, bundle)
                assert (outcome, bool(detail)) == ("invalid", True), bundle
            assert await install(peer, older) == "org.voltry.Error.Refused"
            assert await install(peer, another_machines) == "org.voltry.Error.Refused"
            assert await peer.get(*UPDATE, "RestartNeeded") is False
            assert await peer.call(*UPDATE, "Restart") == "org.voltry.Error.Refused"
        assert (machine.starts_from(), machine.loader("B")) == ("A", "good")
        assert set((machine.folder / "slot1").read_bytes()) == {0}

    play(scenario(), 4 * LIMIT)


def test_after_a_power_cut_in_the_middle_the_old_version_runs_and_it_can_be_tried_again(machine):
    machine = machine(PATIENT)

    async def scenario():
        bundle = machine.bundle("2.0.0")
        async with machine.boot() as peer:
            await stand_still_in(peer, machine, bundle)
            assert machine.loader("B") == "bad"
        (machine.folder / "hold").unlink()
        assert machine.starts_from() == "A"
        async with machine.boot() as peer:
            assert await peer.get(*UPDATE, "Version") == "1.0.0"
            assert await peer.get(*UPDATE, "Verdict") == "interrupted"
            await until_idle_is_known(peer, machine)
            assert await install(peer, bundle) == ("restart-needed", "")
            assert machine.starts_from() == "B"

    play(scenario(), 4 * LIMIT)


def test_a_daemon_that_was_away_finds_what_was_installed_meanwhile(machine):
    machine = machine(PATIENT)

    async def scenario():
        bundle = machine.bundle("2.0.0")
        async with machine.boot() as peer:
            await stand_still_in(peer, machine, bundle)
            peer.process.kill()
            peer.process.wait()
            again = subprocess.Popen(peer.process.args, env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": machine.bus})
            try:
                await until_named(peer.connection, "org.voltry.Update1", again, peer.log)
                # RAUC answers no question while it installs.
                (machine.folder / "hold").unlink()
                await until(peer, "RestartNeeded", bool)
            finally:
                again.kill()
                again.wait()

    play(scenario(), 4 * LIMIT)
