"""Logs from the simulated station and firmware to it, with PyPI `ocpp` as its CSMS and Python's file servers beside it."""

import base64
import contextlib
import gzip
import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from conftest import play
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from csms import csms_of, now
from file_server import file_server
from station import station_of
from test_ocpp import VERSIONS, register_now, starts, states, stops, topology, until_counted


def statuses(book, *actions):
    """(request, status) as told, in order."""
    return [(message.get("request_id"), message["status"]) for message in book.of(*actions)]


async def until_status(book, action, *wanted):
    await book.until(lambda book: statuses(book, action)[-len(wanted) :] == list(wanted))


async def charge(station, book):
    await station.swipe("04A1B2C3")
    await station.say("plug 1")
    await book.until(starts)
    await station.say("unplug 1")
    await book.until(stops)


@pytest.mark.parametrize("version", VERSIONS)
def test_logs_are_uploaded_tried_again_and_hold_no_id(version, tmp_path):
    async def scenario():
        with file_server() as server:
            async with csms_of(version) as csms, station_of(tmp_path, topology(csms)) as station:
                book = csms.book
                await book.until(lambda book: "Available" in states(book, 1))
                await charge(station, book)

                async def get_log(number, log_type, **more):
                    where = server.url.replace("//", "//user:p%20w@") + "/logs/"
                    log = {"remote_location": where, "oldest_timestamp": "2026-01-01T00:00:00Z"}
                    return await csms.ask("GetLog", log=log, log_type=log_type, request_id=number, **more)

                server.refusals = [503]
                answer = await get_log(7, "DiagnosticsLog", retries=2, retry_interval=1)
                assert answer.status == "Accepted"
                await until_status(book, "LogStatusNotification", (7, "Uploading"), (7, "Uploaded"))
                assert len(server.requests) == 2, "the first was refused"
                path, authorization, body = server.requests[-1]
                assert path == f"/logs/{answer.filename}"
                assert authorization == "Basic dXNlcjpwIHc="
                text = gzip.decompress(body).decode()
                for part in ("identity VOLTRY-1", "HeartbeatInterval = ", "kind: Unplugged", "BootNotification"):
                    assert part in text, part
                assert "04A1B2C3" not in text and "p%20w" not in text

                server.refusals = [403]
                assert (await get_log(8, "SecurityLog", retries=1)).status == "Accepted"
                await until_status(book, "LogStatusNotification", (8, "Uploading"), (8, "PermissionDenied"))

                assert (await get_log(80, "SecurityLog")).status == "Accepted"
                await until_status(book, "LogStatusNotification", (80, "Uploading"), (80, "Uploaded"))
                assert "StartupOfTheDevice" in gzip.decompress(server.requests[-1][2]).decode()

                # A request that another one ends, and one that an uplink which is killed takes up again.
                server.refusals = [503, 503]
                assert (await get_log(9, "DiagnosticsLog", retry_interval=60)).status == "Accepted"
                await until_status(book, "LogStatusNotification", (9, "Uploading"))
                answer = await get_log(10, "DiagnosticsLog", retries=3, retry_interval=2)
                assert answer.status == "AcceptedCanceled"
                await until_status(book, "LogStatusNotification", (10, "Uploading"))
                await station.say("kill ocpp")
                await until_status(book, "LogStatusNotification", (10, "Uploaded"))
                assert server.requests[-1][0] == f"/logs/{answer.filename}"

                location = {"remote_location": "ftp://127.0.0.1/logs"}
                answer = await csms.ask("GetLog", log=location, log_type="DiagnosticsLog", request_id=11)
                assert answer.status == "Rejected"
                if version == "1.6":
                    answer = await csms.ask("GetDiagnostics", location=f"{server.url}/diagnostics")
                    assert answer.file_name
                    await until_status(
                        book, "DiagnosticsStatusNotification", (None, "Uploading"), (None, "Uploaded")
                    )
                    assert server.requests[-1][0] == "/diagnostics"

    play(scenario(), 120)


def certificate_of(key, folder, name):
    """A certificate for 127.0.0.1 that is its own root: its file, and one of key and certificate."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
    )
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{name}.pem").write_bytes(certificate)
    (folder / f"{name}-server.pem").write_bytes(private + certificate)
    return folder / f"{name}.pem", folder / f"{name}-server.pem"


@pytest.mark.parametrize("version", VERSIONS)
def test_files_go_over_https_to_whom_a_configured_root_vouches_for_and_to_nobody_else(version, tmp_path):
    known, known_server = certificate_of(ec.generate_private_key(ec.SECP256R1()), tmp_path, "known")
    _, stranger_server = certificate_of(ec.generate_private_key(ec.SECP256R1()), tmp_path, "stranger")
    (tmp_path / "state/voltry.d").mkdir(parents=True)
    (tmp_path / "state/voltry.d/files.toml").write_text(f'[ocpp]\nfile_root_certificates = "{known}"\n')

    async def scenario():
        async with contextlib.AsyncExitStack() as open_until_the_end:
            server = open_until_the_end.enter_context(file_server(known_server))
            stranger = open_until_the_end.enter_context(file_server(stranger_server))
            csms = await open_until_the_end.enter_async_context(csms_of(version))
            await open_until_the_end.enter_async_context(station_of(tmp_path, topology(csms)))
            book = csms.book
            await book.until(lambda book: "Available" in states(book, 1))

            async def get_log(number, where):
                log = {"remote_location": f"{where.url}/logs/", "oldest_timestamp": "2026-01-01T00:00:00Z"}
                return await csms.ask("GetLog", log=log, log_type="DiagnosticsLog", request_id=number, retries=1)

            assert (await get_log(7, server)).status == "Accepted"
            await until_status(book, "LogStatusNotification", (7, "Uploading"), (7, "Uploaded"))
            assert "identity VOLTRY-1" in gzip.decompress(server.requests[-1][2]).decode()
            assert (await get_log(8, stranger)).status == "Accepted"
            await book.until(lambda book: statuses(book, "LogStatusNotification")[-1] == (8, "UploadFailure"))
            assert not stranger.requests, "nothing was said to whom nobody knows"

            image = b"voltry-sim firmware 3.0 live\n" + bytes(300_000)
            server.files["/3.0"] = stranger.files["/3.0"] = image
            told = "FirmwareStatusNotification"

            async def update(number, where):
                if version == "1.6":
                    await csms.ask("UpdateFirmware", location=f"{where.url}/3.0", retrieve_date=now(), retries=1)
                    return None
                firmware = {"location": f"{where.url}/3.0", "retrieve_date_time": now()}
                answer = await csms.ask("UpdateFirmware", request_id=number, firmware=firmware, retries=1)
                assert answer.status == "Accepted"
                return number

            number = await update(5, stranger)
            await until_status(book, told, (number, "Downloading"), (number, "DownloadFailed"))
            assert not stranger.requests
            number = await update(6, server)
            words = ("Downloading", "Downloaded", "Installing", "Installed")
            await until_status(book, told, *((number, word) for word in words))
            assert server.requests[-1][0] == "/3.0"

    play(scenario(), 120)


class Maker:
    """Who makes firmware: a root, and a signer with an RSA key."""

    def __init__(self):
        self.root_key, self.key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        self.root = self.certificate("Maker's root", self.root_key, "Maker's root", self.root_key, True)
        self.signer = self.certificate("Signer", self.key, "Maker's root", self.root_key, False)

    @staticmethod
    def certificate(name, key, issuer, issuer_key, authority):
        named = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        today = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - timedelta(days=1))
            .not_valid_after(today + timedelta(days=1))
            .add_extension(x509.BasicConstraints(authority, None), True)
        )
        if not authority:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False
            )
        certificate = builder.sign(issuer_key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, image, pss=True):
        pss_padding = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        scheme = pss_padding if pss else padding.PKCS1v15()
        return base64.b64encode(self.key.sign(image, scheme, hashes.SHA256())).decode()


@pytest.mark.parametrize("version", VERSIONS)
def test_firmware_is_verified_and_installed_when_nobody_charges(version, tmp_path):
    maker, stranger = Maker(), Maker()
    (tmp_path / "state/voltry.d").mkdir(parents=True)
    (tmp_path / "maker.pem").write_text(maker.root)
    (tmp_path / "state/voltry.d/maker.toml").write_text(
        f'[ocpp]\nmanufacturer_root_certificates = "{tmp_path}/maker.pem"\n'
    )
    told = "SignedFirmwareStatusNotification" if version == "1.6" else "FirmwareStatusNotification"

    async def scenario():
        with file_server() as server:
            async with csms_of(version) as csms, station_of(tmp_path, topology(csms)) as station:
                book = csms.book
                await book.until(lambda book: "Available" in states(book, 1))
                image = b"voltry-sim firmware 2.0\n" + bytes(300_000)
                server.files["/2.0"], server.files["/3.0"] = image, b"voltry-sim firmware 3.0 live"

                async def update(number, path, signature=None, signer=maker.signer):
                    firmware = {"location": server.url + path, "retrieve_date_time": now()}
                    if signature:
                        firmware |= {"signing_certificate": signer, "signature": signature}
                    action = "SignedUpdateFirmware" if version == "1.6" else "UpdateFirmware"
                    return (await csms.ask(action, request_id=number, firmware=firmware, retries=1)).status

                assert await update(1, "/2.0", stranger.sign(image), stranger.signer) == "InvalidCertificate"
                assert await update(2, "/nowhere", maker.sign(image)) == "Accepted"
                await until_status(book, told, (2, "Downloading"), (2, "DownloadFailed"))
                assert await update(3, "/2.0", maker.sign(image + b"!")) == "Accepted"
                await until_status(book, told, (3, "Downloading"), (3, "Downloaded"), (3, "InvalidSignature"))

                await station.swipe("04A1B2C3")
                await station.say("plug 1")
                await book.until(starts)
                assert await update(4, "/2.0", maker.sign(image)) == "Accepted"
                verified = [(4, word) for word in ("Downloading", "Downloaded", "SignatureVerified")]
                await until_status(book, told, *verified, (4, "InstallScheduled"))
                await until_counted(station, await register_now(station) + 5)
                assert statuses(book, told)[-1] == (4, "InstallScheduled"), "somebody charges"
                await station.say("unplug 1")
                rebooting = [(4, "InstallScheduled"), (4, "Installing"), (4, "InstallRebooting")]
                await until_status(book, told, *rebooting, (4, "Installed"))
                # Statuses and transactions are told by turns: which comes first is not said.
                await book.until(stops)
                assert len(starts(book)) == len(stops(book)) == 1
                boot = book.of("BootNotification")[-1]
                if version == "1.6":
                    assert boot["firmware_version"] == "2.0"
                else:
                    assert (boot["charging_station"]["firmware_version"], boot["reason"]) == (
                        "2.0",
                        "FirmwareUpdate",
                    )
                await book.until(lambda book: states(book, 1)[-1] == "Available")
                if version == "1.6":
                    location = f"{server.url}/3.0"
                    await csms.ask("UpdateFirmware", location=location, retrieve_date=now())
                    number = None
                else:
                    assert await update(5, "/3.0") == "Accepted"
                    number = 5
                words = ("Downloading", "Downloaded", "Installing", "Installed")
                await until_status(book, "FirmwareStatusNotification", *((number, word) for word in words))
                # That nobody comes meanwhile is held in virtual time: this one is installed in a moment, which is
                # sometimes shorter than a change of state takes to be told.
                await book.until(lambda book: states(book, 1)[-1] == "Available")

    play(scenario(), 150)
