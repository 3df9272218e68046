"""Reads the few fields of V2G messages that decide how a session goes on, and changes a session id.

Written from the schemas (DIN SPEC 70121, ISO 15118-2 and their SupportedAppProtocol) and the EXI rules for
schema-informed, bit-packed, non-strict streams. It is no codec: it reads a message's leading elements
as far as GRAMMARS go, and never writes one. test_cars.py holds it against an independent codec's reading.
"""

import dataclasses

DIN, ISO2 = "DIN 70121", "ISO 15118-2"
NAMESPACES = {"urn:din:70121:2012:MsgDef": DIN, "urn:iso:15118:2:2013:MsgDef": ISO2}
# The bits before a session id's length: EXI header, document, Header, SessionID, its characters.
DOCUMENT_BITS = 7
SESSION_ID_AT = 8 + DOCUMENT_BITS + 3
V2G_MESSAGE = {77: DIN, 76: ISO2}


class Unreadable(Exception):
    """Not a message of these schemas, or one that GRAMMARS do not reach."""


class Bits:
    def __init__(self, payload):
        self.bits, self.length, self.at = int.from_bytes(payload), 8 * len(payload), 0
        self.texts = []

    def take(self, count):
        self.at += count
        if self.at > self.length:
            raise Unreadable("it ends too early")
        return self.bits >> (self.length - self.at) & (1 << count) - 1

    def unsigned(self):
        value = shift = 0
        while True:
            octet = self.take(8)
            value |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                return value
            if shift > 63:
                raise Unreadable("a number without end")

    def octets(self):
        return bytes(self.take(8) for _ in range(self.unsigned()))


# Simple types: how a value is read.


def integer(bits):
    negative = bits.take(1)
    value = bits.unsigned()
    return -value - 1 if negative else value


def unsigned(bits):
    return bits.unsigned()


def boolean(bits):
    return bool(bits.take(1))


def octets(bits):
    return bits.octets()


def text(bits):
    length = bits.unsigned()
    if length < 2:  # one that was there before; only one element of ours is a text
        if not bits.texts:
            raise Unreadable("a text by reference")
        return bits.texts[bits.take((len(bits.texts) - 1).bit_length())]
    bits.texts.append("".join(chr(bits.unsigned()) for _ in range(length - 2)))
    return bits.texts[-1]


def within(lowest, highest):
    width = (highest - lowest).bit_length()
    return lambda bits: lowest + bits.take(width)


def one_of(*names):
    width = (len(names) - 1).bit_length()

    def read(bits):
        index = bits.take(width)
        if index >= len(names):
            raise Unreadable(f"no value {index} of {names}")
        return names[index]

    return read


# Complex types: particles in order. A particle is what may come at one place: alternatives by name,
# in the order of the names; a particle that may be absent is Optional.


class Optional(dict):
    pass


class Open(list):
    """Only these leading particles are described; the rest is left unread."""


def width(events):
    """Bits of an event code among this many, and one more: the streams are not strict."""
    return events.bit_length()


def read(bits, kind):
    if callable(kind):
        simple_event(bits)
        value = kind(bits)
        simple_event(bits)
        return value
    fields, at = {}, 0
    while at < len(kind):
        names = []
        for position in range(at, len(kind)):
            names += [(name, position) for name in kind[position]]
            if not isinstance(kind[position], Optional):
                break
        else:
            if isinstance(kind, Open):
                # How wide the next event is depends on what is not described.
                return fields
            names.append((None, len(kind)))
        event = bits.take(width(len(names)))
        if event >= len(names):
            raise Unreadable("a deviation from the schema")
        name, position = names[event]
        if name is None:
            return fields
        fields[name] = read(bits, kind[position][name])
        at = position + 1
    if not isinstance(kind, Open):
        simple_event(bits)
    return fields


def simple_event(bits):
    if bits.take(1):
        raise Unreadable("a deviation from the schema")


PHYSICAL_VALUE = {
    DIN: [{"Multiplier": within(-3, 3)}, Optional(Unit=within(0, 15)), {"Value": integer}],
    ISO2: [{"Multiplier": within(-3, 3)}, {"Unit": within(0, 7)}, {"Value": integer}],
}
EV_STATUS = {
    DIN: [
        {"EVReady": boolean},
        Optional(EVCabinConditioning=boolean),
        Optional(EVRESSConditioning=boolean),
        {"EVErrorCode": within(0, 15)},
        {"EVRESSSOC": within(0, 100)},
    ],
    ISO2: [{"EVReady": boolean}, {"EVErrorCode": within(0, 15)}, {"EVRESSSOC": within(0, 100)}],
}
NOTIFICATION = one_of("None", "StopCharging", "ReNegotiation")
EVSE_STATUS = {
    DIN: [
        Optional(EVSEIsolationStatus=within(0, 3)),
        {"EVSEStatusCode": within(0, 15)},
        {"NotificationMaxDelay": unsigned},
        {"EVSENotification": NOTIFICATION},
    ],
    ISO2: [
        {"NotificationMaxDelay": unsigned},
        {"EVSENotification": NOTIFICATION},
        Optional(EVSEIsolationStatus=within(0, 7)),
        {"EVSEStatusCode": within(0, 15)},
    ],
}
PROCESSING = {
    DIN: one_of("Finished", "Ongoing"),
    ISO2: one_of("Finished", "Ongoing", "Ongoing_WaitingForCustomerInteraction"),
}
COMMON_FAILURES = [
    "FAILED",
    "FAILED_SequenceError",
    "FAILED_ServiceIDInvalid",
    "FAILED_UnknownSession",
    "FAILED_ServiceSelectionInvalid",
    "FAILED_PaymentSelectionInvalid",
    "FAILED_CertificateExpired",
    "FAILED_SignatureError",
    "FAILED_NoCertificateAvailable",
    "FAILED_CertChainError",
    "FAILED_ChallengeInvalid",
    "FAILED_ContractCanceled",
    "FAILED_WrongChargeParameter",
    "FAILED_PowerDeliveryNotApplied",
    "FAILED_TariffSelectionInvalid",
    "FAILED_ChargingProfileInvalid",
]
RESPONSE_CODE = {
    DIN: one_of(
        "OK",
        "OK_NewSessionEstablished",
        "OK_OldSessionJoined",
        "OK_CertificateExpiresSoon",
        *COMMON_FAILURES,
        "FAILED_EVSEPresentVoltageToLow",
        "FAILED_MeteringSignatureNotValid",
        "FAILED_WrongEnergyTransferType",
    ),
    ISO2: one_of(
        "OK",
        "OK_NewSessionEstablished",
        "OK_OldSessionJoined",
        "OK_CertificateExpiresSoon",
        *COMMON_FAILURES,
        "FAILED_MeteringSignatureNotValid",
        "FAILED_NoChargeServiceSelected",
        "FAILED_WrongEnergyTransferMode",
        "FAILED_ContactorError",
        "FAILED_CertificateNotAllowedAtThisEVSE",
        "FAILED_CertificateRevoked",
    ),
}
ENERGY_TRANSFER = one_of(
    "AC_single_phase_core", "AC_three_phase_core", "DC_core", "DC_extended", "DC_combo_core", "DC_unique"
)
NEGOTIATION = one_of("OK_SuccessfulNegotiation", "OK_SuccessfulNegotiationWithMinorDeviation", "Failed_NoNegotiation")
APP_PROTOCOL = [
    {"ProtocolNamespace": text},
    {"VersionNumberMajor": unsigned},
    {"VersionNumberMinor": unsigned},
    {"SchemaID": within(0, 255)},
    {"Priority": within(1, 20)},
]
PAYMENT = one_of("Contract", "ExternalPayment")
EV_PARAMETERS = {"AC_EVChargeParameter": Open(), "DC_EVChargeParameter": Open(), "EVChargeParameter": Open()}


def requests(protocol):
    status, value = {"DC_EVStatus": EV_STATUS[protocol]}, PHYSICAL_VALUE[protocol]
    return {
        "SessionSetupReq": Open([{"EVCCID": octets}]),
        "ServiceDiscoveryReq": Open(),
        "ServiceDetailReq": Open([{"ServiceID": unsigned}]),
        "CableCheckReq": Open([status]),
        "PreChargeReq": Open([status, {"EVTargetVoltage": value}, {"EVTargetCurrent": value}]),
        "CurrentDemandReq": Open([status, {"EVTargetCurrent": value}]),
        "WeldingDetectionReq": Open([status]),
        "ContractAuthenticationReq": Open(),
        "AuthorizationReq": Open(),
        "ServicePaymentSelectionReq": Open([{"SelectedPaymentOption": PAYMENT}]),
        "PaymentServiceSelectionReq": Open([{"SelectedPaymentOption": PAYMENT}]),
    } | {
        DIN: {
            "ChargeParameterDiscoveryReq": Open([{"EVRequestedEnergyTransferType": ENERGY_TRANSFER}, EV_PARAMETERS]),
            "PowerDeliveryReq": Open([{"ReadyToChargeState": boolean}]),
            "SessionStopReq": Open(),
        },
        ISO2: {
            "ChargeParameterDiscoveryReq": Open(
                [
                    Optional(MaxEntriesSAScheduleTuple=unsigned),
                    {"RequestedEnergyTransferMode": ENERGY_TRANSFER},
                    EV_PARAMETERS,
                ]
            ),
            "PowerDeliveryReq": Open(
                [{"ChargeProgress": one_of("Start", "Stop", "Renegotiate")}, {"SAScheduleTupleID": within(1, 255)}]
            ),
            "SessionStopReq": Open([{"ChargingSession": one_of("Terminate", "Pause")}]),
        },
    }[protocol]


def responses(protocol):
    code, status = {"ResponseCode": RESPONSE_CODE[protocol]}, {"DC_EVSEStatus": EVSE_STATUS[protocol]}
    processing, value = {"EVSEProcessing": PROCESSING[protocol]}, PHYSICAL_VALUE[protocol]
    voltage = {"EVSEPresentVoltage": value}
    return {
        "ContractAuthenticationRes": Open([code, processing]),
        "AuthorizationRes": Open([code, processing]),
        "ChargeParameterDiscoveryRes": Open([code, processing]),
        "CableCheckRes": Open([code, status, processing]),
        "PreChargeRes": Open([code, status, voltage]),
        "CurrentDemandRes": Open([code, status, voltage, {"EVSEPresentCurrent": value}]),
        "WeldingDetectionRes": Open([code, status, voltage]),
    }, Open([code])


# The messages in the order of their names, which is that of their event codes.
SHARED = """CableCheck CertificateInstallation CertificateUpdate ChargeParameterDiscovery ChargingStatus CurrentDemand
    MeteringReceipt PaymentDetails PowerDelivery PreCharge ServiceDetail ServiceDiscovery SessionSetup SessionStop
    WeldingDetection""".split()
OWN = {DIN: ["ContractAuthentication", "ServicePaymentSelection"], ISO2: ["Authorization", "PaymentServiceSelection"]}
BODIES = {
    protocol: sorted([f"{name}{kind}" for name in SHARED + own for kind in ("Req", "Res")] + ["BodyElement"])
    for protocol, own in OWN.items()
}


def signature(_bits):
    raise Unreadable("a signature in the header")


HEADER = [
    {"SessionID": octets},
    Optional(Notification=[{"FaultCode": within(0, 3)}, Optional(FaultMsg=text)]),
    Optional(Signature=signature),
]
REQUESTS = {protocol: requests(protocol) for protocol in OWN}
RESPONSES = {protocol: responses(protocol) for protocol in OWN}


@dataclasses.dataclass(frozen=True)
class Message:
    """What was read of one: `kind` is its name without Req or Res."""

    protocol: str
    session_id: bytes
    name: str
    fields: dict

    @property
    def kind(self):
        return self.name.removesuffix("Req").removesuffix("Res")


def message(payload):
    """The message in a payload of DIN 70121 or ISO 15118-2."""
    return read_message(Bits(payload))


def read_message(bits):
    if bits.take(8) != 0x80:
        raise Unreadable("no EXI header")
    document = bits.take(DOCUMENT_BITS)
    if document not in V2G_MESSAGE:
        raise Unreadable(f"document {document}")
    protocol = V2G_MESSAGE[document]
    simple_event(bits)  # Header
    session_id = read(bits, HEADER)["SessionID"]
    simple_event(bits)  # Body
    names = BODIES[protocol]
    event = bits.take(6)
    if event >= len(names):
        raise Unreadable(f"body {event}")
    name = names[event]
    if name.endswith("Req"):
        grammar = REQUESTS[protocol].get(name, Open())
    else:
        described, otherwise = RESPONSES[protocol]
        grammar = described.get(name, otherwise)
    return Message(protocol, session_id, name, read(bits, grammar))


def with_session_id(payload, session_id):
    """The payload with another session id. All that follows keeps its place within the octets."""
    bits = Bits(payload)
    bits.take(SESSION_ID_AT)
    start, old = SESSION_ID_AT // 8, bits.octets()
    # Both ends of the id lie at the same bit of an octet: the id moves in whole octets.
    shift = 8 - SESSION_ID_AT % 8
    before = payload[start] >> shift
    after = payload[start + 1 + len(old)] & (1 << shift) - 1
    middle = bytes([len(session_id)]) + session_id
    packed = ((before << 8 * len(middle) | int.from_bytes(middle)) << shift | after).to_bytes(len(middle) + 1)
    return payload[:start] + packed + payload[start + 2 + len(old) :]


def with_plan(payload, schedule, most):
    """A PowerDeliveryReq of ISO 15118-2 with this SAScheduleTupleID, and a charging profile of no more than so many
    watts: of a power above that the multiplier is lowered. All that follows keeps its place."""
    bits = Bits(payload)
    read_message(bits)
    changed = [(bits.at - 9, 8, schedule - 1)]
    # ChargingProfile, or what follows it; its first entry has no other choice.
    entry = bits.take(3) == 0 and bits.take(1) == 0
    while entry:
        simple_event(bits)
        read(bits, unsigned)  # ChargingProfileEntryStart
        simple_event(bits)
        at = bits.at + 2
        power = read(bits, PHYSICAL_VALUE[ISO2])
        lowered = power["Multiplier"]
        while power["Value"] * 10.0**lowered > most and lowered > -3:
            lowered -= 1
        changed.append((at, 3, lowered + 3))
        if bits.take(2) == 0:  # ChargingProfileEntryMaxNumberOfPhasesInUse
            read(bits, within(1, 3))
            simple_event(bits)
        entry = bits.take(2) == 0
    whole = bits.bits
    for at, size, value in changed:
        shift = bits.length - at - size
        whole = whole & ~((1 << size) - 1 << shift) | value << shift
    return whole.to_bytes(len(payload))


def handshake(payload, document):
    bits = Bits(payload)
    if bits.take(8) != 0x80 or bits.take(2) != document:
        raise Unreadable("not this handshake")
    return bits


def offered(payload):
    """The namespaces that a supportedAppProtocolReq offers, by SchemaID."""
    bits, namespaces = handshake(payload, 0), {}
    event = bits.take(1)
    while event == 0:
        entry = read(bits, APP_PROTOCOL)
        namespaces[entry["SchemaID"]] = entry["ProtocolNamespace"]
        event = bits.take(2)
    return namespaces


class Writer:
    """The few bits of a handshake that was not recorded."""

    def __init__(self):
        self.bits = self.length = 0

    def put(self, value, count):
        self.bits, self.length = self.bits << count | value, self.length + count
        return self

    def octets(self):
        rest = -self.length % 8
        return (self.bits << rest).to_bytes((self.length + rest) // 8)


# A supportedAppProtocolRes with OK_SuccessfulNegotiation for SchemaID 1, as recorded stations wrote it.
AGREED = bytes.fromhex("80400040")


def offer_of(protocol):
    """A supportedAppProtocolReq that offers this protocol, version 2.0, under SchemaID 1 and priority 1."""
    namespace = next(name for name, known in NAMESPACES.items() if known == protocol)
    # EXI header, document, AppProtocol, its first element, the characters' event.
    offer = Writer().put(0x80, 8).put(0, 2).put(0, 1).put(0, 1).put(0, 1).put(len(namespace) + 2, 8)
    for letter in namespace.encode():
        offer.put(letter, 8)
    for value in (2, 0, 1):  # of 8 bits, each between the end of what was before, its own start and characters
        offer.put(0, 3).put(value, 8)
    # Priorities count from 1; AppProtocol ends, and no other follows.
    return offer.put(0, 3).put(0, 5).put(0, 2).put(1, 2).octets()


def negotiated(payload):
    """What a supportedAppProtocolRes says: its code, and the SchemaID or None."""
    fields = read(handshake(payload, 1), [{"ResponseCode": NEGOTIATION}, Optional(SchemaID=within(0, 255))])
    return fields["ResponseCode"], fields.get("SchemaID")
