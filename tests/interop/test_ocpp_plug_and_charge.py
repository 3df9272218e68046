"""Plug & Charge between PyPI `ocpp` as the CSMS and a stand-in for voltry-secc on the bus: roots and the certificate
towards vehicles, a contract that a vehicle asks for, a contract that it shows. voltry-ocpp is the real one."""

import asyncio
import base64
import datetime
import json

import ocpp.v16
import ocpp.v201
import pytest
from conftest import bus_call, play
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from csms import Station201, csms_of
from dbus_fast import Message, MessageType
from ocpp.routing import on
from station import station_of
from test_ocpp import states, topology
from test_ocpp_connection import Authority, Csms16, Csms201, configuration, csms, station

VENDOR = "org.openchargealliance.iso15118pnc"
PATH = "/org/voltry/ev_link/1"
EMAID = "DEABCC00000001"
ASKED, GRANTED = b"a vehicle asks", b"the back end grants"
STATUS = b"what OCSP says"
RESPONDER = x509.AuthorityInformationAccess(
    [x509.AccessDescription(x509.AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://ocsp"))]
)


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


class Kept:
    """What the CSMS was asked, as 2.0.1 has it."""

    def __init__(self):
        self.asked = asyncio.Queue()

    def answer(self, message, payload):
        self.asked.put_nowait((message, payload))
        if message == "Get15118EVCertificate":
            return {"status": "Accepted", "exiResponse": base64.b64encode(GRANTED).decode()}
        if message == "GetCertificateStatus":
            return {"status": "Accepted", "ocspResult": base64.b64encode(STATUS).decode()}
        if message == "Authorize":
            return {"idTokenInfo": {"status": "Accepted"}, "certificateStatus": "Accepted"}
        return {"status": "Accepted"}

    async def next(self):
        return await asyncio.wait_for(self.asked.get(), 10)

    def kinds(self):
        kept = self

        class Pnc16(Csms16):
            @on("DataTransfer")
            def transfer(self, vendor_id, message_id=None, data=None, **_):
                assert vendor_id == VENDOR
                answer = kept.answer(message_id, json.loads(data))
                return ocpp.v16.call_result.DataTransfer(status="Accepted", data=json.dumps(answer))

        class Pnc201(Csms201):
            @on("Get15118EVCertificate")
            def get(self, iso15118_schema_version, action, exi_request, **_):
                asked = {"iso15118SchemaVersion": iso15118_schema_version, "action": action, "exiRequest": exi_request}
                answer = kept.answer("Get15118EVCertificate", asked)
                return ocpp.v201.call_result.Get15118EVCertificate(
                    status=answer["status"], exi_response=answer["exiResponse"]
                )

            @on("GetCertificateStatus")
            def status(self, ocsp_request_data, **_):
                asked = {"responderURL": ocsp_request_data["responder_url"]}
                answer = kept.answer("GetCertificateStatus", {"ocspRequestData": asked})
                return ocpp.v201.call_result.GetCertificateStatus(
                    status=answer["status"], ocsp_result=answer["ocspResult"]
                )

            @on("SignCertificate")
            def sign(self, csr, certificate_type, **_):
                kept.answer("SignCertificate", {"csr": csr, "certificateType": certificate_type})
                return ocpp.v201.call_result.SignCertificate(status="Accepted")

            @on("Authorize")
            def authorize(self, id_token, iso15118_certificate_hash_data=None, **_):
                hashed = [
                    {"issuerNameHash": one["issuer_name_hash"], "responderURL": one["responder_url"]}
                    for one in iso15118_certificate_hash_data or []
                ]
                token = {"idToken": id_token["id_token"], "type": id_token["type"]}
                kept.answer("Authorize", {"idToken": token, "iso15118CertificateHashData": hashed})
                return ocpp.v201.call_result.Authorize(
                    id_token_info={"status": "Accepted"}, certificate_status="Accepted"
                )

        return {"ocpp1.6": Pnc16, "ocpp2.0.1": Pnc201}


class Link:
    """A stand-in for voltry-secc: its names and members, and a key of its own."""

    def __init__(self, connection):
        self.connection, self.called, self.chain = connection, asyncio.Queue(), ""
        self.key = ec.generate_private_key(ec.SECP256R1())
        connection.add_message_handler(self.on_message)

    def on_message(self, message):
        if message.message_type != MessageType.METHOD_CALL or message.path != PATH:
            return None
        self.called.put_nowait((message.member, *message.body))
        if message.member == "Request":
            name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, message.body[0])])
            request = x509.CertificateSigningRequestBuilder(name).sign(self.key, hashes.SHA256())
            return Message.new_method_return(message, "s", [pem(request)])
        if message.member == "Install":
            self.chain = message.body[0]
        if message.member == "Chain":
            return Message.new_method_return(message, "s", [self.chain])
        if message.member == "Chains":
            return Message.new_method_return(message, "as", [[self.chain] if self.chain else []])
        return Message.new_method_return(message)

    async def until_called(self, *wanted):
        """The arguments of the next such call."""
        async with asyncio.timeout(10):
            while True:
                member, *arguments = await self.called.get()
                if (member, *arguments)[: len(wanted)] == wanted:
                    return arguments

    async def say(self, member, signature, body):
        await self.connection.send(
            Message.new_signal(PATH, "org.voltry.ContractCertificates1", member, signature, body)
        )


async def ask(connection, version, message, payload):
    """The CSMS asks; the answer as 2.0.1 has it."""
    if version == "1.6":
        call = ocpp.v16.call.DataTransfer(vendor_id=VENDOR, message_id=message, data=json.dumps(payload))
        answer = await connection[1].call(call)
        assert answer.status == "Accepted"
        return json.loads(answer.data)
    snake = {"".join("_" + c.lower() if c.isupper() else c for c in key): value for key, value in payload.items()}
    answer = await connection[1].call(getattr(ocpp.v201.call, message)(**snake))
    chains = getattr(answer, "certificate_hash_data_chain", None)
    kinds = [{"certificateType": chain["certificate_type"]} for chain in chains or []]
    return {"status": answer.status, "certificateHashDataChain": kinds}


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_certificates_and_contracts_go_between_the_csms_and_whoever_speaks_with_vehicles(daemon, tmp_path, version):
    async def scenario():
        kept = Kept()
        async with csms([f"ocpp{version}"], kept.kinds()) as served:
            text = configuration(tmp_path, f"ws://127.0.0.1:{served.port}", version=version)
            async with station(daemon, text) as ours:
                connection = await served.booted()
                link = Link(ours.connection)
                await bus_call(ours.connection, "RequestName", "su", "org.voltry.Secc.N1", 0)
                assert await link.until_called("SetRoots", "mo") == ["mo", ""], "who comes is told at once"
                assert await link.until_called("SetCentralValidation") == [False]

                root = Authority("MO root")
                install = {"certificateType": "MORootCertificate", "certificate": root.pem().decode()}
                assert (await ask(connection, version, "InstallCertificate", install))["status"] == "Accepted"
                [_, roots] = await link.until_called("SetRoots", "mo")
                assert x509.load_pem_x509_certificate(roots.encode()) == root.certificate

                trigger = {"requestedMessage": "SignV2GCertificate"}
                assert (await ask(connection, version, "TriggerMessage", trigger))["status"] == "Accepted"
                message, payload = await kept.next()
                assert (message, payload["certificateType"]) == ("SignCertificate", "V2GCertificate")
                request = x509.load_pem_x509_csr(payload["csr"].encode())
                assert request.public_key() == link.key.public_key(), "the key is the link's"
                chain = pem(root.sign(request.subject, request.public_key(), RESPONDER)) + root.pem().decode()
                signed = {"certificateChain": chain, "certificateType": "V2GCertificate"}
                assert (await ask(connection, version, "CertificateSigned", signed))["status"] == "Accepted"
                assert await link.until_called("Install") == [chain]
                message, payload = await kept.next()
                assert (message, payload["ocspRequestData"]["responderURL"]) == ("GetCertificateStatus", "http://ocsp")
                [stapled] = await link.until_called("SetStatus")
                assert bytes(stapled) == STATUS
                told = await ask(
                    connection, version, "GetInstalledCertificateIds", {"certificateType": ["V2GCertificateChain"]}
                )
                assert [one["certificateType"] for one in told["certificateHashDataChain"]] == ["V2GCertificateChain"]

                schema = "urn:iso:15118:2:2013:MsgDef"
                await link.say("Requested", "(tssay)", [[42, "update", schema, ASKED]])
                message, payload = await kept.next()
                exi = base64.b64encode(ASKED).decode()
                assert message == "Get15118EVCertificate"
                assert payload == {"iso15118SchemaVersion": schema, "action": "Update", "exiRequest": exi}
                [[number, answer]] = await link.until_called("Answer")
                assert (number, bytes(answer)) == (42, GRANTED)

                name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, EMAID)])
                contract = root.sign(name, link.key.public_key(), RESPONDER)
                shown = [
                    certificate.public_bytes(serialization.Encoding.DER) for certificate in [contract, root.certificate]
                ]
                await link.say("Shown", "(saay)", [[EMAID, shown]])
                hashed = None
                while not hashed:  # station and link speak apart: which is heard first is not said
                    [answer] = await ours.call(
                        "/org/voltry/csms", "org.voltry.Csms1", "Authorize", "ssu", EMAID, "emaid", 1
                    )
                    assert answer[0] == "accepted"
                    message, payload = await kept.next()
                    assert (message, payload["idToken"]) == ("Authorize", {"idToken": EMAID, "type": "eMAID"})
                    hashed = payload.get("iso15118CertificateHashData")
                [hashed] = hashed
                judge = ocsp.OCSPRequestBuilder().add_certificate(contract, root.certificate, hashes.SHA256())
                assert hashed["issuerNameHash"] == judge.build().issuer_name_hash.hex()
                assert hashed["responderURL"] == "http://ocsp"
                assert EMAID not in ours.log.read_text()

    play(scenario(), 60)


def good_status(certificate, authority):
    """What the authority's own OCSP responder says of a certificate, for a day (DER)."""
    now = datetime.datetime.now(datetime.UTC)
    builder = ocsp.OCSPResponseBuilder().add_response(
        certificate,
        authority.certificate,
        hashes.SHA256(),
        ocsp.OCSPCertStatus.GOOD,
        now - datetime.timedelta(minutes=1),
        now + datetime.timedelta(days=1),
        None,
        None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, authority.certificate)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_what_the_csms_installs_is_where_vehicles_are_spoken_with(tmp_path):
    """The same with the real voltry-secc: roots, a certificate for its key, and what OCSP says of it and of another
    that is configured."""
    folder, root, made = tmp_path / "secc", Authority("V2G root"), {}
    chain, key = root.write(tmp_path, "configured", RESPONDER)
    configured, _ = x509.load_pem_x509_certificates(chain.read_bytes())
    installs = f'[config.secc.1.tls]\ninstalled = "{folder}"\n'
    installs += f'certificates = [{{ chain = "{chain}", key = "{key}" }}]\n'

    class Planned(Station201):
        @on("SignCertificate")
        async def sign(self, **message):
            await self.book.note("SignCertificate", message)
            return ocpp.v201.call_result.SignCertificate(status="Accepted")

        @on("GetCertificateStatus")
        async def status(self, **message):
            await self.book.note("GetCertificateStatus", message)
            serial = int(message["ocsp_request_data"]["serial_number"], 16)
            asked = configured if serial == configured.serial_number else made["leaf"]
            told = base64.b64encode(good_status(asked, root)).decode()
            return ocpp.v201.call_result.GetCertificateStatus(status="Accepted", ocsp_result=told)

    async def until_file(name):
        async with asyncio.timeout(20):
            while not (folder / name).is_file():
                await asyncio.sleep(0.1)
        return (folder / name).read_bytes()

    async def scenario():
        async with csms_of("2.0.1") as csms:
            csms.kind = Planned
            async with station_of(tmp_path, topology(csms) + installs):
                book = csms.book
                await book.until(lambda book: "Available" in states(book, 1))
                digest = configured.fingerprint(hashes.SHA256()).hex()
                status = ocsp.load_der_ocsp_response(await until_file(f"status/{digest}.ocsp"))
                assert status.serial_number == configured.serial_number
                for kind, file in (("V2GRootCertificate", "v2g-roots.pem"), ("MORootCertificate", "mo-roots.pem")):
                    text = root.pem().decode()
                    answer = await csms.ask("InstallCertificate", certificate_type=kind, certificate=text)
                    assert answer.status == "Accepted"
                    assert x509.load_pem_x509_certificate(await until_file(file)) == root.certificate

                answer = await csms.ask("TriggerMessage", requested_message="SignV2GCertificate")
                assert answer.status == "Accepted"
                [asked] = await book.until(lambda book: book.of("SignCertificate"))
                assert asked["certificate_type"] == "V2GCertificate"
                request = x509.load_pem_x509_csr(asked["csr"].encode())
                made["leaf"] = root.sign(request.subject, request.public_key(), RESPONDER)
                chain = pem(made["leaf"]) + root.pem().decode()
                signed = {"certificate_chain": chain, "certificate_type": "V2GCertificate"}
                assert (await csms.ask("CertificateSigned", **signed)).status == "Accepted"
                assert (await until_file("station/1.pem")).decode() == chain
                status = ocsp.load_der_ocsp_response(await until_file("station/1.ocsp"))
                assert status.serial_number == made["leaf"].serial_number

                kinds = ["V2GRootCertificate", "MORootCertificate", "V2GCertificateChain"]
                answer = await csms.ask("GetInstalledCertificateIds", certificate_type=kinds)
                told = answer.certificate_hash_data_chain
                assert sorted(one["certificate_type"] for one in told) == sorted(kinds)
                [ours] = [one for one in told if one["certificate_type"] == "MORootCertificate"]
                data = ours["certificate_hash_data"]
                assert (await csms.ask("DeleteCertificate", certificate_hash_data=data)).status == "Accepted"

    play(scenario(), 60)
