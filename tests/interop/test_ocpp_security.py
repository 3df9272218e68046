"""What a CSMS changes of how it is reached: certificates, passwords, security profiles, other CSMSs; and what it
hears of security. voltry-ocpp alone, against PyPI `ocpp` over TLS; `cryptography` is the authority and the judge.
"""

import asyncio
import ssl

import ocpp.v16
import ocpp.v201
import pytest
from conftest import play
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from ocpp.routing import on
from test_ocpp_connection import (
    IDENTITY,
    LOOPBACK,
    Authority,
    Csms16,
    Csms201,
    configuration,
    csms,
    server_context,
    station,
    user_and_password,
)

VERSIONS = ["1.6", "2.0.1"]
KEY = "00112233445566778899aabbccddeeff"
OTHER_KEY = "ffeeddccbbaa99887766554433221100"
QUICKLY = "network_profile_connection_attempts = 1\n[ocpp.profile.1]"


class Kept:
    """What the stations of one test told, whichever their connection."""

    def __init__(self):
        self.events, self.requests = asyncio.Queue(), asyncio.Queue()

    def kinds(self):
        kept = self

        class Secure16(Csms16):
            @on("SecurityEventNotification")
            def security_event(self, **event):
                kept.events.put_nowait(event)
                return ocpp.v16.call_result.SecurityEventNotification()

            @on("SignCertificate")
            def sign(self, **request):
                kept.requests.put_nowait(request["csr"])
                return ocpp.v16.call_result.SignCertificate(status="Accepted")

        class Secure201(Csms201):
            @on("SecurityEventNotification")
            def security_event(self, **event):
                kept.events.put_nowait(event)
                return ocpp.v201.call_result.SecurityEventNotification()

            @on("SignCertificate")
            def sign(self, **request):
                assert request["certificate_type"] == "ChargingStationCertificate"
                kept.requests.put_nowait(request["csr"])
                return ocpp.v201.call_result.SignCertificate(status="Accepted")

        return {"ocpp1.6": Secure16, "ocpp2.0.1": Secure201}


def calls(version):
    return ocpp.v16.call if version == "1.6" else ocpp.v201.call


async def ask(socket_and_station, version, action, **payload):
    return await socket_and_station[1].call(getattr(calls(version), action)(**payload))


async def write(csms, version, key, variable, value):
    if version == "1.6":
        return (await ask(csms, version, "ChangeConfiguration", key=key, value=value)).status
    component, name = variable.split(".")
    data = {"component": {"name": component}, "variable": {"name": name}, "attribute_value": value}
    answer = await ask(csms, version, "SetVariables", set_variable_data=[data])
    return answer.set_variable_result[0]["attribute_status"]


async def installed(csms, version):
    if version == "1.6":
        answer = await ask(csms, version, "GetInstalledCertificateIds", certificate_type="CentralSystemRootCertificate")
        return answer.certificate_hash_data or []
    answer = await ask(csms, version, "GetInstalledCertificateIds", certificate_type=["CSMSRootCertificate"])
    return [chain["certificate_hash_data"] for chain in answer.certificate_hash_data_chain or []]


def hash_data(root):
    """As `cryptography` makes OCSP's CertID of a root."""
    request = ocsp.OCSPRequestBuilder().add_certificate(root, root, hashes.SHA256()).build()
    return {
        "hash_algorithm": "SHA256",
        "issuer_name_hash": request.issuer_name_hash.hex(),
        "issuer_key_hash": request.issuer_key_hash.hex(),
        "serial_number": f"{root.serial_number:x}",
    }


def root_kind(version):
    return "CentralSystemRootCertificate" if version == "1.6" else "CSMSRootCertificate"


def shown(connection):
    """The certificate that the station shows."""
    return connection[0].transport.get_extra_info("ssl_object").getpeercert()


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_csms_installs_lists_and_deletes_roots(daemon, tmp_path, version):
    async def scenario():
        async with csms([f"ocpp{version}"], Kept().kinds()) as served:
            text = configuration(tmp_path, f"ws://127.0.0.1:{served.port}", version=version)
            async with station(daemon, text):
                connection = await served.booted()
                roots = [Authority("one").certificate, Authority("two").certificate]
                kind = root_kind(version)
                for root in roots:
                    answer = await ask(
                        connection, version, "InstallCertificate", certificate_type=kind, certificate=pem(root)
                    )
                    assert answer.status == "Accepted"
                answer = await ask(connection, version, "InstallCertificate", certificate_type=kind, certificate="none")
                assert answer.status == "Rejected"
                told = await installed(connection, version)
                assert told == [hash_data(root) for root in roots], "as another maker of OCSP names them"
                answer = await ask(connection, version, "DeleteCertificate", certificate_hash_data=told[0])
                assert answer.status == "Accepted"
                assert await installed(connection, version) == told[1:]

    play(scenario())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_station_gets_its_certificate_and_goes_up_to_security_profile_3(daemon, tmp_path, version):
    async def scenario():
        stations, kept = Authority("stations"), Kept()
        context = server_context(tmp_path, Authority("root"), ssl.TLSVersion.TLSv1_3, LOOPBACK, clients=stations)
        context.verify_mode = ssl.CERT_OPTIONAL
        async with csms([f"ocpp{version}"], kept.kinds(), ssl=context) as served:
            url = f"wss://127.0.0.1:{served.port}"
            lines = [f"root_certificates = '{tmp_path}/roots.pem'", f'password = "{KEY}"']
            text = configuration(tmp_path, url, *lines, version=version, security=2)
            async with station(daemon, text) as ours:
                connection = await served.booted()
                event = await asyncio.wait_for(kept.events.get(), 10)
                assert event["type"] == "StartupOfTheDevice"
                assert shown(connection) in (None, {})
                if version == "1.6":
                    trigger = "ExtendedTriggerMessage", "SignChargePointCertificate"
                else:
                    trigger = "TriggerMessage", "SignChargingStationCertificate"
                answer = await ask(connection, version, trigger[0], requested_message=trigger[1])
                assert answer.status == "Accepted"
                csr = x509.load_pem_x509_csr((await asyncio.wait_for(kept.requests.get(), 10)).encode())
                assert csr.is_signature_valid
                stranger = Authority("stranger")
                for authority, key, wanted in [
                    (stations, stranger.key.public_key(), "Rejected"),
                    (stations, csr.public_key(), "Accepted"),
                ]:
                    chain = pem(authority.sign(csr.subject, key)) + stations.pem().decode()
                    answer = await ask(connection, version, "CertificateSigned", certificate_chain=chain)
                    assert answer.status == wanted
                # With a new certificate there is a new connection, and no boot.
                connection = await served.booted(0)
                if version == "1.6":
                    assert await write(connection, version, "SecurityProfile", "", "1") == "Rejected"
                    assert await write(connection, version, "SecurityProfile", "", "3") == "Accepted"
                    connection = await served.booted(0)
                else:
                    data = {
                        "ocpp_version": "OCPP20",
                        "ocpp_transport": "JSON",
                        "ocpp_csms_url": url,
                        "message_timeout": 30,
                        "security_profile": 3,
                        "ocpp_interface": "Wired0",
                    }
                    answer = await ask(
                        connection, version, "SetNetworkProfile", configuration_slot=2, connection_data=data
                    )
                    assert answer.status == "Accepted"
                    order = "OCPPCommCtrlr.NetworkConfigurationPriority"
                    assert await write(connection, version, "", order, "2") == "RebootRequired"
                    await ask(connection, version, "Reset", type="OnIdle")
                    connection = await served.booted(1)
                    event = await asyncio.wait_for(kept.events.get(), 10)
                    assert event["type"] == "ResetOrReboot"
                assert ((("commonName", IDENTITY),),) == shown(connection)["subject"]
                assert "Authorization" not in connection[0].request.headers
                # It ends within a day: the station asks for the next one by itself (A03).
                csr = x509.load_pem_x509_csr((await asyncio.wait_for(kept.requests.get(), 10)).encode())
                renewed = stations.sign(csr.subject, csr.public_key(), days=60)
                assert int(shown(connection)["serialNumber"], 16) != renewed.serial_number
                chain = pem(renewed) + stations.pem().decode()
                answer = await ask(connection, version, "CertificateSigned", certificate_chain=chain)
                assert answer.status == "Accepted"
                connection = await served.booted(0)
                assert int(shown(connection)["serialNumber"], 16) == renewed.serial_number
                assert kept.requests.empty(), "that one lasts"
                log = ours.log.read_text()
                assert "PRIVATE" not in log
                assert KEY not in log
                keys = list((tmp_path / "certificates/keys").iterdir())
                # The one in use, and the one before.
                assert len(keys) == 2
                assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}

    play(scenario(), 60)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_password_that_the_csms_does_not_know_itself_is_given_up(daemon, tmp_path, version):
    sent = {"1.6": bytes.fromhex, "2.0.1": str.encode}[version]
    known = {sent(KEY)}
    seen = []

    def check(connection, request):
        seen.append(user_and_password(request)[1])
        return None if seen[-1] in known else connection.respond(401, "")

    async def scenario():
        async with csms([f"ocpp{version}"], Kept().kinds(), process_request=check) as served:
            url = f"ws://127.0.0.1:{served.port}"
            text = configuration(tmp_path, url, f'password = "{KEY}"', version=version, security=1)
            async with station(daemon, text.replace("[ocpp.profile.1]", QUICKLY)) as ours:
                connection = await served.booted()
                variable = "SecurityCtrlr.BasicAuthPassword"
                assert await write(connection, version, "AuthorizationKey", variable, "short") == "Rejected"
                assert await write(connection, version, "AuthorizationKey", variable, OTHER_KEY) == "Accepted"
                connection = await served.booted(0)
                assert seen == [sent(KEY), sent(OTHER_KEY), sent(KEY)]
                async with asyncio.timeout(10):
                    while "FailedToAuthenticateAtCsms" not in ours.log.read_text():
                        await asyncio.sleep(0.02)
                known.add(sent(OTHER_KEY))
                assert await write(connection, version, "AuthorizationKey", variable, OTHER_KEY) == "Accepted"
                await served.booted(0)
                assert seen[3:] == [sent(OTHER_KEY)]
                assert OTHER_KEY not in ours.log.read_text()

    play(scenario(), 60)


def test_a_csms_that_is_not_there_is_given_up_and_one_that_is_is_moved_to(daemon, tmp_path):
    async def scenario():
        async with csms(["ocpp2.0.1"], Kept().kinds()) as here, csms(["ocpp2.0.1"], Kept().kinds()) as there:
            text = configuration(tmp_path, f"ws://127.0.0.1:{here.port}", version="2.0.1")
            async with station(daemon, text.replace("[ocpp.profile.1]", QUICKLY)):
                connection = await here.booted()
                for url in ["ws://127.0.0.1:9", f"ws://127.0.0.1:{there.port}"]:
                    data = {
                        "ocpp_version": "OCPP20",
                        "ocpp_transport": "JSON",
                        "ocpp_csms_url": url,
                        "message_timeout": 30,
                        "security_profile": 0,
                        "ocpp_interface": "Wired0",
                    }
                    answer = await ask(
                        connection, "2.0.1", "SetNetworkProfile", configuration_slot=2, connection_data=data
                    )
                    assert answer.status == "Accepted"
                    order = "OCPPCommCtrlr.NetworkConfigurationPriority"
                    assert await write(connection, "2.0.1", "", order, "2") == "RebootRequired"
                    await ask(connection, "2.0.1", "Reset", type="OnIdle")
                    # The first leads nowhere: back to where it came from, by the way that was good.
                    connection = await (here if url.endswith(":9") else there).booted()
                wanted = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "ActiveNetworkProfile"}}
                answer = await ask(connection, "2.0.1", "GetVariables", get_variable_data=[wanted])
                assert answer.get_variable_result[0]["attribute_value"] == "2"
                assert here.connections.empty()

    play(scenario(), 60)
