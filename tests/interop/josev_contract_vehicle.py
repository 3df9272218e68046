"""As josev_vehicle.py, over TLS 1.2. It pays by contract where the station offers that, and signs what was
metered where it is asked for: Josev has the message and its signature, and sends it in AC sessions alone.

Usage: josev_contract_vehicle.py FOLDER CHARGE_LOOPS [install]

What it trusts and what it holds are in FOLDER/vehicle. With `install` it has no contract, asks for
one over the charging cable, and pays with what it is sent.
"""

import asyncio
import os
import sys
from pathlib import Path

import josev_vehicle
from iso15118.evcc.states.iso15118_2_states import CurrentDemand, MeteringReceipt
from iso15118.shared.exi_codec import EXI
from iso15118.shared.messages.enums import Namespace
from iso15118.shared.messages.iso15118_2.body import MeteringReceiptReq
from iso15118.shared.messages.iso15118_2.timeouts import Timeouts
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from iso15118.shared.security import (
    CertPath,
    KeyEncoding,
    KeyPasswordPath,
    KeyPath,
    create_signature,
    load_priv_key,
    load_priv_key_pass,
)


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
    fragment = EXI().to_exi(receipt, Namespace.ISO_V2_MSG_DEF)
    key = load_priv_key(KeyPath.CONTRACT_LEAF_PEM, KeyEncoding.PEM, KeyPasswordPath.CONTRACT_LEAF_KEY_PASSWORD)
    signature = create_signature([(receipt.id, fragment)], key)
    namespace, limit = Namespace.ISO_V2_MSG_DEF, Timeouts.METERING_RECEIPT_REQ
    state.create_next_message(MeteringReceipt, receipt, limit, namespace, signature=signature)


CurrentDemand.process_message = on_current_demand


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
    folder, loops, *install = sys.argv[1:]
    os.environ["PKI_PATH"] = f"{folder}/vehicle"
    configuration = josev_vehicle.CONFIGURATION | {
        "useTls": True,
        "enforceTls": True,
        "isCertInstallNeeded": install == ["install"],
    }
    asyncio.run(josev_vehicle.main(folder, int(loops), configuration, Vehicle))
