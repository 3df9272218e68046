"""Josev's certificates, and a CSMS with its provisioning of contracts behind it."""

import asyncio
import contextlib
import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import iso15118
from cryptography import x509
from csms import Station201, csms_of
from ocpp.routing import on
from ocpp.v201 import call_result

BACK_END = Path(__file__).with_name("josev_back_end.py")


class Certificates:
    """Josev's own certificates, made for one test."""

    def __init__(self, folder):
        self.folder = folder / "pki"
        shutil.copytree(Path(iso15118.__file__).parent / "shared/pki", self.folder)
        command = ["bash", "create_certs.sh", "-v", "iso-2"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        self.certificates = self.folder / "iso15118_2/certs"
        self.keys = self.folder / "iso15118_2/private_keys"
        # What the vehicle holds. The private keys of the others would do it no good, nor harm.
        shutil.copytree(self.folder, folder / "vehicle")

    def contract(self):
        """The eMAID that Josev's contract is for."""
        certificate = x509.load_der_x509_certificate((self.certificates / "contractLeafCert.der").read_bytes())
        [name] = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return name.value

    def serials(self):
        """Serial numbers of the contract's certificate and of those above it."""
        files = [self.certificates / f"{name}Cert.der" for name in ["contractLeaf", "moSubCA2", "moSubCA1"]]
        return [x509.load_der_x509_certificate(file.read_bytes()).serial_number for file in files]

    def root(self):
        """The mobility operator's, PEM."""
        return (self.certificates / "moRootCACert.pem").read_bytes()

    def take_the_contract_from_the_vehicle(self):
        vehicle = self.folder.with_name("vehicle") / "iso15118_2"
        (vehicle / "certs/contractLeafCert.der").unlink()
        (vehicle / "private_keys/contractLeaf.key").unlink()

    def configuration(self, contracts):
        """secc's, with its key as OpenSSL wants it: without a passphrase."""
        key = self.folder / "secc.key"
        encrypted, password = self.keys / "seccLeaf.key", self.keys / "seccLeafPassword.txt"
        command = ["openssl", "ec", "-in", encrypted, "-passin", f"file:{password}", "-out", key]
        subprocess.run(command, check=True, capture_output=True)
        # The second root is the right one.
        roots = [str(self.certificates / f"{name}RootCACert.pem") for name in ["v2g", "mo"]]
        chain = self.certificates / "cpoCertChain.pem"
        return (
            f'[config.secc.1.tls]\nmode = "required"\ncertificates = [{{ chain = "{chain}", key = "{key}" }}]\n'
            f"contract_roots = {roots if contracts else []}\n"
            f'vehicle_roots = ["{self.certificates}/oemRootCACert.pem"]\n'
        )


@contextlib.asynccontextmanager
async def back_end(certificates):
    """A CSMS with Josev's provisioning behind it; what is added to a station's configuration to have it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, BACK_END, certificates.folder, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )

    class Provisioning(Station201):
        @on("Get15118EVCertificate")
        async def get(self, exi_request, **message):
            await self.book.note("Get15118EVCertificate", message)
            process.stdin.write(f"{exi_request}\n".encode())
            answer = (await process.stdout.readline()).decode().strip()
            return call_result.Get15118EVCertificate(status="Accepted" if answer else "Failed", exi_response=answer)

        @on("Authorize")
        async def on_authorize(self, **message):
            await self.book.note("Authorize", message)
            chain = x509.load_pem_x509_certificates(message.get("certificate", "").encode() or certificates.root())
            for below, above in itertools.pairwise([*chain, *x509.load_pem_x509_certificates(certificates.root())]):
                below.verify_directly_issued_by(above)
            info = {"status": "Accepted"}
            return call_result.Authorize(id_token_info=info, certificate_status="Accepted")

    try:
        async with csms_of("2.0.1") as csms:
            csms.kind, csms.back_end_said = Provisioning, asyncio.create_task(process.stdout.readline())
            url = f"ws://127.0.0.1:{csms.port}/ocpp"
            yield csms, f'[uplink]\ncsms = "{url}"\nidentity = "VOLTRY-1"\nversion = "2.0.1"\n'
    finally:
        process.terminate()
        await process.wait()
