"""A back end's provisioning of contract certificates: Josev's own, as a CSMS would ask it.

Usage: josev_back_end.py PKI

PKI holds the contract, its key and those of the provisioning service. Says `ready`; then reads what a vehicle wrote, a
line of base64 each, and answers each with a line of base64. Who asks for an update gets a new certificate of the same
contract for a new key, as does who asks here until Java has compiled what it takes: a vehicle waits for 5 s.
"""

import base64
import logging
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from iso15118.secc.states.iso15118_2_states import CertificateInstallation
from iso15118.shared.exi_codec import EXI
from iso15118.shared.exificient_exi_codec import ExificientEXICodec
from iso15118.shared.messages.enums import Namespace
from iso15118.shared.messages.iso15118_2.body import Body
from iso15118.shared.messages.iso15118_2.header import MessageHeader
from iso15118.shared.messages.iso15118_2.msgdef import V2GMessage
from iso15118.shared.security import (
    CertPath,
    KeyEncoding,
    KeyPasswordPath,
    KeyPath,
    load_priv_key,
    load_priv_key_pass,
    verify_signature,
)
from iso15118.shared.settings import load_shared_settings
from josev_update import signed_by_the_contract, update_of_the_contract
from josev_vehicle import JAVA_OPTIONS

# As OCPP would carry it; the station puts the session's own in its place.
NO_SESSION = "0000000000000000"
WARM_UP_ROUNDS = 3


def answer_to(request):
    """The answer to a vehicle's request for a contract certificate, both in EXI."""
    decoded = EXI().from_exi(request, Namespace.ISO_V2_MSG_DEF)
    asking = CertificateInstallation.__new__(CertificateInstallation)
    if update := decoded.body.certificate_update_req:
        signed = [(update.id, EXI().to_exi(update, Namespace.ISO_V2_MSG_DEF))]
        chain = update.contract_cert_chain
        assert verify_signature(
            decoded.header.signature, signed, chain.certificate, chain.sub_certificates.certificates, None
        ), "the contract did not sign the request"
        issue_anew()
    else:
        assert asking.validate_message_signature(decoded), "the vehicle did not sign its request"
    return certificate(asking, update is not None)


def issue_anew():
    """The mobility operator certifies another key for the contract."""
    old = x509.load_der_x509_certificate(Path(CertPath.CONTRACT_LEAF_DER).read_bytes())
    issuer = load_priv_key(KeyPath.MO_SUB_CA2_PEM, KeyEncoding.PEM, KeyPasswordPath.MO_SUB_CA2_PASSWORD)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    new = x509.CertificateBuilder(old.issuer, old.subject, key.public_key(), x509.random_serial_number())
    new = new.not_valid_before(now - timedelta(minutes=1)).not_valid_after(now + timedelta(days=1))
    for extension in old.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectKeyIdentifier):
            value = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        new = new.add_extension(value, extension.critical)
    signed = new.sign(issuer, hashes.SHA256())
    Path(CertPath.CONTRACT_LEAF_DER).write_bytes(signed.public_bytes(serialization.Encoding.DER))
    password = load_priv_key_pass(KeyPasswordPath.CONTRACT_LEAF_KEY_PASSWORD)
    Path(KeyPath.CONTRACT_LEAF_PEM).write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(password),
        )
    )


def certificate(asking, update=False):
    """The CertificateInstallationRes or CertificateUpdateRes, in EXI."""
    answer, signature = asking.generate_certificate_installation_res()
    # What is signed are the same elements.
    kind = "CertificateUpdateRes" if update else "CertificateInstallationRes"
    return message(kind, answer, signature)


def message(kind, element, signature):
    header = MessageHeader(session_id=NO_SESSION, signature=signature)
    body = Body.parse_obj({kind: element.dict()})
    return EXI().to_exi(V2GMessage(header=header, body=body), Namespace.ISO_V2_MSG_DEF)


if __name__ == "__main__":
    [os.environ["PKI_PATH"]] = sys.argv[1:]
    # Josev logs to standard output.
    logging.disable(logging.WARNING)
    load_shared_settings()
    os.environ["JAVA_TOOL_OPTIONS"] = JAVA_OPTIONS
    EXI().set_exi_codec(ExificientEXICodec())
    for _ in range(WARM_UP_ROUNDS):
        request = update_of_the_contract()
        answer_to(message("CertificateUpdateReq", request, signed_by_the_contract(request)))
    print("ready", flush=True)
    for line in sys.stdin:
        print(base64.b64encode(answer_to(base64.b64decode(line))).decode(), flush=True)
