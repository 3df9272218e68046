"""voltry-ocpp's connection against Python's `websockets` and `ocpp`: versions, compression, TLS, passwords,
certificates of the station, a proxy, and a CSMS that goes and comes back.

Each case ends with a message of the station that the CSMS understood and one of the CSMS that the station answered.
"""

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import ssl

import ocpp.v16
import ocpp.v201
import pytest
import websockets
from conftest import play
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from csms import now
from ocpp.routing import after, on
from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

IDENTITY = "DE*VOL|1"  # needs percent-encoding


class Csms16(ocpp.v16.ChargePoint):
    boots = 0

    @on("BootNotification")
    def boot(self, charge_point_vendor, charge_point_model, **_):
        return ocpp.v16.call_result.BootNotification(current_time=now(), interval=300, status="Accepted")

    # Asked before the answer is on its way, the station may rightly refuse.
    @after("BootNotification")
    def booted(self, **_):
        self.boots += 1

    @on("StatusNotification")
    def status(self, **_):
        return ocpp.v16.call_result.StatusNotification()

    @on("Heartbeat")
    def heartbeat(self):
        return ocpp.v16.call_result.Heartbeat(current_time=now())

    async def ask(self):
        reply = await self.call(ocpp.v16.call.GetConfiguration(key=["HeartbeatInterval"]))
        return [key["key"] for key in reply.configuration_key]


class Csms201(ocpp.v201.ChargePoint):
    boots = 0

    @on("BootNotification")
    def boot(self, charging_station, reason, **_):
        return ocpp.v201.call_result.BootNotification(current_time=now(), interval=300, status="Accepted")

    @after("BootNotification")
    def booted(self, **_):
        self.boots += 1

    @on("StatusNotification")
    def status(self, **_):
        return ocpp.v201.call_result.StatusNotification()

    @on("NotifyEvent")
    def event(self, **_):
        return ocpp.v201.call_result.NotifyEvent()

    @on("SecurityEventNotification")
    def security_event(self, **_):
        return ocpp.v201.call_result.SecurityEventNotification()

    @on("Heartbeat")
    def heartbeat(self):
        return ocpp.v201.call_result.Heartbeat(current_time=now())

    async def ask(self):
        wanted = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
        reply = await self.call(ocpp.v201.call.GetVariables(get_variable_data=[wanted]))
        return [result["variable"]["name"] for result in reply.get_variable_result]


CSMS = {"ocpp1.6": Csms16, "ocpp2.0.1": Csms201}


class Served:
    """A CSMS that serves one station, and keeps what was seen of it."""

    def __init__(self, kinds):
        self.kinds = kinds
        self.connections = asyncio.Queue()

    async def handle(self, socket):
        station = self.kinds[socket.subprotocol](IDENTITY, socket)
        self.connections.put_nowait((socket, station))
        with contextlib.suppress(websockets.ConnectionClosed):
            await station.start()

    async def booted(self, boots=1):
        """The next connection, once it has booted so often and answers."""
        async with asyncio.timeout(10):
            socket, station = await self.connections.get()
            while station.boots < boots:
                await asyncio.sleep(0.01)
            assert await station.ask() == ["HeartbeatInterval"]
        return socket, station


@contextlib.asynccontextmanager
async def csms(subprotocols=("ocpp1.6",), kinds=None, **options):
    served = Served(kinds or CSMS)
    host = options.pop("host", "127.0.0.1")
    async with serve(served.handle, host, 0, subprotocols=subprotocols, **options) as server:
        served.port = server.sockets[0].getsockname()[1]
        yield served


def configuration(tmp_path, url, *lines, version="1.6", security=0):
    return "\n".join(
        [
            "[ocpp]",
            f'identity = "{IDENTITY}"',
            f"database = '{tmp_path}/ocpp.db'",
            "retry_back_off_wait_minimum_s = 0",
            "retry_back_off_random_range_s = 0",
            "[ocpp.profile.1]",
            f'url = "{url}"',
            f"version = {version!r}",
            f"security_profile = {security}",
            *lines,
        ]
    )


def station(daemon, text):
    return daemon("voltry-ocpp", "org.voltry.Ocpp1", text)


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_boots_in_each_version_by_each_family_of_addresses(daemon, tmp_path, version, host):
    async def scenario():
        async with csms([f"ocpp{version}"], host=host, compression=None) as served:
            url = f"ws://[{host}]:{served.port}/csms" if ":" in host else f"ws://{host}:{served.port}/csms"
            async with station(daemon, configuration(tmp_path, url, version=version)):
                socket, _ = await served.booted()
                assert socket.request.path == "/csms/DE%2AVOL%7C1"
                assert socket.protocol.extensions == []

    play(scenario())


def test_the_csms_chooses_among_the_versions_that_are_offered(daemon, tmp_path):
    async def scenario():
        async with csms(["ocpp1.6"]) as served:
            url = f"ws://127.0.0.1:{served.port}"
            async with station(daemon, configuration(tmp_path, url, version=["2.0.1", "1.6"])):
                socket, _ = await served.booted()
                assert socket.request.headers["Sec-WebSocket-Protocol"] == "ocpp2.0.1, ocpp1.6"
                assert socket.subprotocol == "ocpp1.6"

    play(scenario())


@pytest.mark.parametrize(
    "deflate",
    [
        {},
        {"server_no_context_takeover": True, "client_no_context_takeover": True},
        # A window of the station's that the CSMS would bound was not offered; that of the CSMS may be smaller.
        {"server_max_window_bits": 12, "client_max_window_bits": 12},
    ],
)
def test_messages_are_compressed_when_the_csms_agrees(daemon, tmp_path, deflate):
    async def scenario():
        factory = ServerPerMessageDeflateFactory(**deflate)
        async with csms(["ocpp1.6"], compression=None, extensions=[factory]) as served:
            async with station(daemon, configuration(tmp_path, f"ws://127.0.0.1:{served.port}")):
                socket, peer = await served.booted()
                names = [extension.name for extension in socket.protocol.extensions]
                assert names == ["permessage-deflate"]
                for _ in range(50):
                    assert await peer.ask() == ["HeartbeatInterval"]

    play(scenario())


def test_a_csms_that_goes_is_dialled_again_and_no_second_boot_is_sent(daemon, tmp_path):
    async def scenario():
        async with csms() as served:
            async with station(daemon, configuration(tmp_path, f"ws://127.0.0.1:{served.port}")):
                socket, _ = await served.booted()
                await socket.close(1012)
                socket, station_again = await served.booted(0)
                # Once more without a word: the connection just breaks.
                socket.transport.abort()
                await served.booted(0)
                assert station_again.boots == 0

    play(scenario())


def user_and_password(request):
    kind, _, value = request.headers["Authorization"].partition(" ")
    assert kind == "Basic"
    return base64.b64decode(value).partition(b":")[::2]


@pytest.mark.parametrize(
    ("version", "written", "sent"),
    [
        ("1.6", "0123456789abcdef00ff0123456789abcdef00ff", bytes.fromhex("0123456789abcdef00ff0123456789abcdef00ff")),
        ("2.0.1", "sixteen.letters!", b"sixteen.letters!"),
    ],
)
def test_a_password_is_sent_as_its_version_has_it(daemon, tmp_path, version, written, sent):
    seen = []

    def check(connection, request):
        seen.append(user_and_password(request))
        return None if seen[-1] == (IDENTITY.encode(), sent) else connection.respond(401, "")

    async def scenario():
        async with csms([f"ocpp{version}"], process_request=check) as served:
            url = f"ws://127.0.0.1:{served.port}"
            text = configuration(tmp_path, url, f'password = "{written}"', version=version, security=1)
            async with station(daemon, text):
                await served.booted()

    play(scenario())
    assert seen == [(IDENTITY.encode(), sent)]


class Authority:
    """A root that makes certificates."""

    def __init__(self, name):
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self.sign(self.name, self.key.public_key(), x509.BasicConstraints(ca=True, path_length=None))

    def sign(self, subject, key, *extensions, days=1):
        today = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(self.name, subject, key, x509.random_serial_number())
        builder = builder.not_valid_before(today - datetime.timedelta(days=1))
        builder = builder.not_valid_after(today + datetime.timedelta(days=days))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def write(self, folder, name, *extensions):
        """A certificate and its key, as files."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self.sign(subject, key.public_key(), *extensions)
        chain, private = folder / f"{name}.pem", folder / f"{name}.key"
        chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + self.pem())
        encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        private.write_bytes(key.private_bytes(*encoding))
        return chain, private


def server_context(folder, authority, tls, *extensions, clients=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = tls
    context.load_cert_chain(*authority.write(folder, "csms.example", *extensions))
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.pem().decode())
    (folder / "roots.pem").write_bytes(authority.pem())
    return context


LOOPBACK = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
TLS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("tls", TLS)
def test_security_profile_2_is_tls_and_a_password(daemon, tmp_path, tls):
    async def scenario():
        context = server_context(tmp_path, Authority("root"), tls, LOOPBACK)
        async with csms(["ocpp2.0.1"], ssl=context) as served:
            lines = [f"root_certificates = '{tmp_path}/roots.pem'", 'password = "sixteen.letters!"']
            url = f"wss://127.0.0.1:{served.port}/a"
            async with station(daemon, configuration(tmp_path, url, *lines, version="2.0.1", security=2)):
                socket, _ = await served.booted()
                assert user_and_password(socket.request) == (IDENTITY.encode(), b"sixteen.letters!")
                assert socket.transport.get_extra_info("ssl_object").version() == tls.name.replace("_", ".")

    play(scenario())


@pytest.mark.parametrize("tls", TLS)
def test_security_profile_3_is_tls_with_a_certificate_of_the_station(daemon, tmp_path, tls):
    async def scenario():
        stations = Authority("stations")
        chain, key = stations.write(tmp_path, "station")
        # By the common name alone, which the station was told to take, and another name than the URL's.
        context = server_context(tmp_path, Authority("root"), tls, clients=stations)
        async with csms(["ocpp1.6"], ssl=context) as served:
            lines = [
                f"root_certificates = '{tmp_path}/roots.pem'",
                f"client_certificate = '{chain}'",
                f"client_key = '{key}'",
                'server_name = "csms.example"',
                "accept_common_name = true",
            ]
            url = f"wss://127.0.0.1:{served.port}"
            async with station(daemon, configuration(tmp_path, url, *lines, security=3)) as ours:
                socket, _ = await served.booted()
                peer = socket.transport.get_extra_info("ssl_object").getpeercert()
                assert ((("commonName", "station"),),) == peer["subject"]
                assert "Authorization" not in socket.request.headers
                async with asyncio.timeout(10):
                    while "common name alone" not in ours.log.read_text():
                        await asyncio.sleep(0.02)

    play(scenario())


def test_a_csms_that_is_not_believed_is_not_spoken_to(daemon, tmp_path):
    async def scenario():
        context = server_context(tmp_path, Authority("root"), TLS[1], LOOPBACK)
        (tmp_path / "roots.pem").write_bytes(Authority("another root").pem())
        async with csms(["ocpp2.0.1"], ssl=context) as served:
            lines = [f"root_certificates = '{tmp_path}/roots.pem'", 'password = "sixteen.letters!"']
            url = f"wss://127.0.0.1:{served.port}/a"
            async with station(daemon, configuration(tmp_path, url, *lines, version="2.0.1", security=2)) as ours:
                async with asyncio.timeout(10):
                    while "UnknownIssuer" not in ours.log.read_text():
                        await asyncio.sleep(0.02)
                assert served.connections.empty()
                assert "sixteen" not in ours.log.read_text()

    play(scenario())


def test_a_proxy_is_gone_through(daemon, tmp_path):
    asked = []

    async def tunnel(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        host, port = asked[-1].split()[1].decode().rsplit(":", 1)
        to_reader, to_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(source, sink):
            while data := await source.read(4096):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, to_writer), pump(to_reader, writer))

    async def scenario():
        async with csms() as served, await asyncio.start_server(tunnel, "127.0.0.1", 0) as proxy:
            port = proxy.sockets[0].getsockname()[1]
            line = f'proxy = "http://station:secret@127.0.0.1:{port}"'
            async with station(daemon, configuration(tmp_path, f"ws://127.0.0.1:{served.port}", line)):
                await served.booted()

    play(scenario())
    wanted = base64.b64encode(b"station:secret")
    assert [b"Proxy-Authorization: Basic " + wanted in request for request in asked] == [True]
