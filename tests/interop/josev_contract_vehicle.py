"""As josev_vehicle.py, over TLS 1.2. It pays by contract where the station offers that.

Usage: josev_contract_vehicle.py FOLDER CHARGE_LOOPS [install]

What it trusts and what it holds are in FOLDER/vehicle. With `install` it has no contract, asks for
one over the charging cable, and pays with what it is sent.
"""

import asyncio
import os
import sys
from pathlib import Path

import josev_vehicle
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from iso15118.shared.security import CertPath, KeyPasswordPath, KeyPath, load_priv_key_pass


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
