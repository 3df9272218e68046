"""What voltry-ocpp takes for a valid request of a CSMS, and how it refuses the others, against the JSON
schemas that PyPI's `ocpp` carries: thousands of payloads, each judged by both.

Departures by intent: unknown fields are passed over, whatever a schema says, since CSMSs send them; times
must be times, which the schemas' `format` alone does not say. Not by intent: where a schema bounds a string's
characters, `ocpp-types` bounds its bytes of UTF-8, so a text that fills its field with letters beyond ASCII is
refused.
"""

import json
import subprocess
from collections import Counter

import pytest
from conftest import PROGRAMS
from ocpp_payloads import BAD_TIME, PROPERTY, UMLAUTS, UNKNOWN_FIELD, Payloads

ACTIONS = {
    "1.6": """CancelReservation CertificateSigned ChangeAvailability ChangeConfiguration ClearCache
        ClearChargingProfile DataTransfer DeleteCertificate ExtendedTriggerMessage GetCompositeSchedule
        GetConfiguration GetDiagnostics GetInstalledCertificateIds GetLocalListVersion GetLog
        InstallCertificate RemoteStartTransaction RemoteStopTransaction ReserveNow Reset SendLocalList
        SetChargingProfile SignedUpdateFirmware TriggerMessage UnlockConnector UpdateFirmware""",
    "2.0.1": """CancelReservation CertificateSigned ChangeAvailability ClearCache ClearChargingProfile
        ClearDisplayMessage ClearVariableMonitoring CostUpdated CustomerInformation DataTransfer
        DeleteCertificate GetBaseReport GetChargingProfiles GetCompositeSchedule GetDisplayMessages
        GetInstalledCertificateIds GetLocalListVersion GetLog GetMonitoringReport GetReport
        GetTransactionStatus GetVariables InstallCertificate PublishFirmware RequestStartTransaction
        RequestStopTransaction ReserveNow Reset SendLocalList SetChargingProfile SetDisplayMessage
        SetMonitoringBase SetMonitoringLevel SetNetworkProfile SetVariableMonitoring SetVariables
        TriggerMessage UnlockConnector UnpublishFirmware UpdateFirmware""",
}


def judged_by_schema(payloads, what, payload, code):
    """The generator's claim must be the schema's own verdict."""
    if what == UNKNOWN_FIELD or f": {BAD_TIME}" in what:
        return True
    return payloads.conforms(payload) == (code is None)


@pytest.mark.parametrize("version", ACTIONS)
def test_requests_are_taken_and_refused_as_the_schemas_say(version):
    program = PROGRAMS / "examples" / "judge_ocpp_requests"
    assert program.is_file(), f"{program} is not built: run `make build` first"
    cases, wrong_claims = [], []
    for action in ACTIONS[version].split():
        payloads = Payloads(version, action)
        for what, payload, code in payloads.all():
            cases.append((action, what, payload, code))
            if not judged_by_schema(payloads, what, payload, code):
                wrong_claims.append((action, what, code))
    assert not wrong_claims, f"not what the schema says: {wrong_claims[:10]}"
    lines = "".join(f"{version}\t{action}\t{json.dumps(payload)}\n" for action, _, payload, _ in cases)
    judge = subprocess.run([program], input=lines, capture_output=True, text=True, timeout=60, check=True)
    verdicts = judge.stdout.splitlines()
    assert len(verdicts) == len(cases)
    departures, long_in_bytes = [], 0
    for (action, what, _, code), verdict in zip(cases, verdicts, strict=True):
        said, _, why = verdict.partition("\t")
        if UMLAUTS in what and said == PROPERTY:
            long_in_bytes += 1
        elif said != (code or "valid"):
            departures.append(f"{action}: {what}: {said} ({why}) instead of {code or 'valid'}")
    broken = Counter(code for *_, code in cases if code)
    print(f"OCPP {version}: {len(cases)} requests, {sum(broken.values())} of them broken: {dict(broken)}")
    print(f"{long_in_bytes} texts that are too long only in bytes were refused")
    assert not departures, "\n".join([f"{len(departures)} of {len(cases)} departures", *departures[:60]])
