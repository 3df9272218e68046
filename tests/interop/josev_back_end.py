"""A back end for contract certificates: Josev's own provisioning, asked and answered over D-Bus.

Usage: josev_back_end.py BUS_SOCKET PKI

PKI holds the contract, its key and those of the provisioning service. Says `ready`, then a line for each request.
"""

import asyncio
import logging
import os
import sys

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from iso15118.secc.states.iso15118_2_states import CertificateInstallation
from iso15118.shared.exi_codec import EXI
from iso15118.shared.exificient_exi_codec import ExificientEXICodec
from iso15118.shared.messages.enums import Namespace
from iso15118.shared.messages.iso15118_2.body import Body
from iso15118.shared.messages.iso15118_2.header import MessageHeader
from iso15118.shared.messages.iso15118_2.msgdef import V2GMessage
from iso15118.shared.settings import load_shared_settings
from josev_vehicle import JAVA_OPTIONS

INTERFACE = "org.voltry.ContractCertificates1"
# As OCPP would carry it; the station puts the session's own in its place.
NO_SESSION = "0000000000000000"


def certificate_for(request):
    """The answer to a CertificateInstallationReq, both in EXI."""
    decoded = EXI().from_exi(request, Namespace.ISO_V2_MSG_DEF)
    asking = CertificateInstallation.__new__(CertificateInstallation)
    assert asking.validate_message_signature(decoded), "the vehicle did not sign its request"
    return certificate(asking)


def certificate(asking):
    """The CertificateInstallationRes, in EXI."""
    answer, signature = asking.generate_certificate_installation_res()
    header = MessageHeader(session_id=NO_SESSION, signature=signature)
    body = Body.parse_obj({"CertificateInstallationRes": answer.dict()})
    return EXI().to_exi(V2GMessage(header=header, body=body), Namespace.ISO_V2_MSG_DEF)


async def main(socket):
    bus = await MessageBus(bus_address=f"unix:path={socket}", bus_type=BusType.SYSTEM).connect()
    requests = asyncio.Queue()

    def on_message(message):
        asked = (message.message_type, message.interface, message.member)
        if asked == (MessageType.SIGNAL, INTERFACE, "Requested"):
            requests.put_nowait(message)

    bus.add_message_handler(on_message)
    rule = f"type='signal',interface='{INTERFACE}'"
    broker = "org.freedesktop.DBus"
    await bus.call(
        Message(broker, "/org/freedesktop/DBus", broker, "AddMatch", signature="s", body=[rule]),
    )
    print("ready", flush=True)
    while True:
        request = await requests.get()
        number, kind, schema, message = request.body[0]
        answer = certificate_for(bytes(message))
        reply = await bus.call(
            Message(request.sender, request.path, INTERFACE, "Answer", signature="(tay)", body=[[number, answer]])
        )
        print(kind, schema, "answered" if reply.error_name is None else reply.body, flush=True)


if __name__ == "__main__":
    socket, os.environ["PKI_PATH"] = sys.argv[1:]
    # Josev logs to standard output.
    logging.disable(logging.WARNING)
    load_shared_settings()
    os.environ["JAVA_TOOL_OPTIONS"] = JAVA_OPTIONS
    EXI().set_exi_codec(ExificientEXICodec())
    # The first message through Java takes seconds, and a vehicle waits for 5 s.
    EXI().from_exi(certificate(CertificateInstallation.__new__(CertificateInstallation)), Namespace.ISO_V2_MSG_DEF)
    asyncio.run(main(socket))
