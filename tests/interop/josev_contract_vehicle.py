"""As josev_vehicle.py, over TLS 1.2. It pays by contract where the station offers that, and signs what was
metered where it is asked for: Josev has the message and its signature, and sends it in AC sessions alone.

Usage: josev_contract_vehicle.py FOLDER CHARGE_LOOPS [install | update]

What it trusts and what it holds are in FOLDER/vehicle. With `install` it has no contract, asks for
one over the charging cable, and pays with what it is sent. With `update` it has one, asks for another certificate
of it, and pays with that: Josev has the messages, and no state for them.
"""

import asyncio
import os
import sys
from pathlib import Path

import josev_vehicle
from iso15118.evcc.states.iso15118_2_states import (
    CertificateInstallation,
    CurrentDemand,
    MeteringReceipt,
    PaymentServiceSelection,
)
from iso15118.shared.messages.enums import Namespace
from iso15118.shared.messages.iso15118_2.body import Body, CertificateInstallationRes, MeteringReceiptReq
from iso15118.shared.messages.iso15118_2.timeouts import Timeouts
from josev_update import signed_by_the_contract, update_of_the_contract
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from iso15118.shared.security import CertPath, KeyPasswordPath, KeyPath, load_priv_key_pass


async def on_current_demand(state, message, message_exi=None, otherwise=CurrentDemand.process_message):
    """As Josev's ChargingStatus does."""
    answer = message.body.current_demand_res
    if answer is None or not answer.receipt_required:
        return await otherwise(state, message, message_exi)
    receipt = MeteringReceiptReq(
        id="id1",
        session_id=state.comm_session.session_id,
        sa_schedule_tuple_id=answer.sa_schedule_tuple_id,
        meter_info=answer.meter_info,
    )
    say_signed(state, MeteringReceipt, receipt, Timeouts.METERING_RECEIPT_REQ)


def say_signed(state, then, request, limit):
    """The contract signs the request."""
    signature = signed_by_the_contract(request)
    state.create_next_message(then, request, limit, Namespace.ISO_V2_MSG_DEF, signature=signature)


CurrentDemand.process_message = on_current_demand


async def asks_for_an_update(state, message, message_exi=None):
    """As Josev's PaymentServiceSelection does for an installation."""
    say_signed(state, CertificateUpdate, update_of_the_contract(), Timeouts.CERTIFICATE_UPDATE_REQ)


class CertificateUpdate(CertificateInstallation):
    """What an answer brings is what one to an installation does."""

    async def process_message(self, message, message_exi=None):
        update = message.body.certificate_update_res
        as_installation = CertificateInstallationRes.parse_obj(update.dict(by_alias=True, exclude={"retry_counter"}))
        message.body = Body(CertificateInstallationRes=as_installation)
        await super().process_message(message, message_exi)


class Vehicle(josev_vehicle.Vehicle):
    async def store_contract_cert_and_priv_key(self, contract_cert, priv_key):
        """As Josev's own would, had it one."""
        key = ec.derive_private_key(int.from_bytes(priv_key, "big"), ec.SECP256R1())
        password = load_priv_key_pass(KeyPasswordPath.CONTRACT_LEAF_KEY_PASSWORD)
        encryption = BestAvailableEncryption(password)
        Path(CertPath.CONTRACT_LEAF_DER).write_bytes(contract_cert)
        Path(KeyPath.CONTRACT_LEAF_PEM).write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, encryption)
        )
        print("contract installed", flush=True)


if __name__ == "__main__":
    folder, loops, *wish = sys.argv[1:]
    if wish == ["update"]:
        PaymentServiceSelection.process_message = asks_for_an_update
    os.environ["PKI_PATH"] = f"{folder}/vehicle"
    configuration = josev_vehicle.CONFIGURATION | {
        "useTls": True,
        "enforceTls": True,
        "isCertInstallNeeded": bool(wish),
    }
    asyncio.run(josev_vehicle.main(folder, int(loops), configuration, Vehicle))
