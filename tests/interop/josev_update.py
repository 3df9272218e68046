"""CertificateUpdateReq, which Josev has and neither sends nor answers; its eMAID is a plain string, as in the schema."""

from iso15118.shared.exi_codec import EXI
from iso15118.shared.messages.enums import Namespace, Protocol
from iso15118.shared.messages.iso15118_2 import body
from iso15118.shared.messages.iso15118_2.datatypes import RootCertificateIDList
from iso15118.shared.messages.xmldsig import X509IssuerSerial
from iso15118.shared.security import (
    CertPath,
    KeyEncoding,
    KeyPasswordPath,
    KeyPath,
    create_signature,
    get_cert_cn,
    get_cert_issuer_serial,
    load_cert,
    load_cert_chain,
    load_priv_key,
)
from pydantic import Field


class CertificateUpdateReq(body.CertificateUpdateReq):
    emaid: str = Field(..., alias="eMAID")


# Josev's Body reads it by these.
body.CertificateUpdateReq.__fields__["emaid"] = CertificateUpdateReq.__fields__["emaid"]


def update_of_the_contract():
    """A request for another certificate of the contract that is held."""
    chain = [CertPath.CONTRACT_LEAF_DER, CertPath.MO_SUB_CA2_DER, CertPath.MO_SUB_CA1_DER]
    issuer, serial = get_cert_issuer_serial(CertPath.V2G_ROOT_DER)
    root = X509IssuerSerial(x509_issuer_name=issuer, x509_serial_number=serial)
    return CertificateUpdateReq(
        id="id1",
        contract_cert_chain=load_cert_chain(Protocol.ISO_15118_2, *chain),
        emaid=get_cert_cn(load_cert(CertPath.CONTRACT_LEAF_DER)),
        list_of_root_cert_ids=RootCertificateIDList(x509_issuer_serials=[root]),
    )


def signed_by_the_contract(request):
    key = load_priv_key(KeyPath.CONTRACT_LEAF_PEM, KeyEncoding.PEM, KeyPasswordPath.CONTRACT_LEAF_KEY_PASSWORD)
    return create_signature([(request.id, EXI().to_exi(request, Namespace.ISO_V2_MSG_DEF))], key)
