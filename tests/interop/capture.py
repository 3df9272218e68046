"""Reads a recorded car: what it said and was answered, as conversations, and these as visits to a station.

One JSON object a line: `t` (seconds), `layer` (slac, sdp, v2g), `sender` (vehicle, station; absent for slac),
`stream` (one TCP connection), `hex`. Who speaks is taken from the message itself where it can be read.
"""

import dataclasses
import itertools
import json
from pathlib import Path

import exi_fields
from exi_fields import DIN, ISO2, Unreadable

# Below this no traction battery is; what a station measured with nothing at its end is no battery's voltage.
BATTERY_LEAST_V = 60
SLAC_PARM_REQ = 0x6064
HOMEPLUG = 0x88E1
# Requests that are repeated while the answer says Ongoing, and how long a vehicle repeats them (seconds).
ONGOING_LIMIT = {
    "ContractAuthentication": 60,
    "Authorization": 60,
    "ChargeParameterDiscovery": 60,
    "CableCheck": 40,
}
HANDSHAKE = "supportedAppProtocol"
WRONG_MODE = {DIN: "FAILED_WrongEnergyTransferType", ISO2: "FAILED_WrongEnergyTransferMode"}


@dataclasses.dataclass
class Exchange:
    """A request as it was, when it came, and the answer of the recorded station, if there was one."""

    at: float
    request: bytes
    asked: exi_fields.Message | None
    answered_at: float | None = None
    answer: exi_fields.Message | None = None

    @property
    def kind(self):
        return self.asked.kind if self.asked else "unreadable"

    @property
    def starts(self):
        """Whether it is PowerDelivery that starts, or renegotiates."""
        fields = self.asked.fields if self.asked else {}
        return fields.get("ReadyToChargeState", fields.get("ChargeProgress", "Stop") != "Stop")

    @property
    def phase(self):
        """The kind; PowerDelivery by what it wants."""
        return f"{self.kind}({'Start' if self.starts else 'Stop'})" if self.kind == "PowerDelivery" else self.kind

    def answered(self, name):
        """A field of the recorded answer."""
        return self.answer.fields.get(name) if self.answer else None

    @property
    def finished(self):
        """Whether the recorded station had nothing more to do."""
        return self.answered("EVSEProcessing") == "Finished"

    @property
    def battery(self):
        """Volts and amperes that the recorded station measured, if that can have been a battery."""
        volts, amperes = physical(self.answered("EVSEPresentVoltage")), physical(self.answered("EVSEPresentCurrent"))
        return (volts, amperes or 0.0) if volts is not None and volts >= BATTERY_LEAST_V else None


@dataclasses.dataclass
class Conversation:
    """One connection: the handshake and what followed."""

    offer: bytes
    offered_at: float
    verdict: bytes | None = None
    discovery: bytes | None = None
    exchanges: list[Exchange] = dataclasses.field(default_factory=list)

    @property
    def offered(self):
        """Which protocols it offers, those that no station of ours speaks too."""
        return exi_fields.offered(self.offer)

    @property
    def protocol(self):
        """What the recorded station chose; None: nothing."""
        read = (exchange.asked.protocol for exchange in self.exchanges if exchange.asked)
        return next(read, None) or self.negotiated

    @property
    def negotiated(self):
        try:
            _, chosen = exi_fields.negotiated(self.verdict or b"")
        except Unreadable:
            return None
        return exi_fields.NAMESPACES.get(self.offered.get(chosen))

    @property
    def phases(self):
        """The exchanges, in runs of the same phase."""
        return [(phase, list(run)) for phase, run in itertools.groupby(self.exchanges, lambda one: one.phase)]

    @property
    def pauses(self):
        return bool(self.exchanges) and (self.exchanges[-1].asked or NOTHING).fields.get("ChargingSession") == "Pause"

    def refusal(self, spoken):
        """Where the standard wants a DC station that speaks this protocol, without Plug & Charge, to refuse
        this vehicle, and by which ResponseCode; None: nowhere."""
        if spoken not in {exi_fields.NAMESPACES.get(name) for name in self.offered.values()}:
            return HANDSHAKE, "Failed_NoNegotiation"
        for exchange in self.exchanges:
            fields = exchange.asked.fields if exchange.asked else {}
            if fields.get("SelectedPaymentOption") == "Contract":
                return exchange.kind, "FAILED_PaymentSelectionInvalid"
            mode = fields.get("RequestedEnergyTransferMode") or fields.get("EVRequestedEnergyTransferType", "DC")
            if mode.startswith("AC"):
                return exchange.kind, WRONG_MODE[spoken]
        return None


NOTHING = exi_fields.Message("", b"", "", {})


@dataclasses.dataclass
class Visit:
    """What happened between plugging in and out: the matching's frames and conversations."""

    frames: list[bytes] = dataclasses.field(default_factory=list)
    conversations: list[Conversation] = dataclasses.field(default_factory=list)

    @property
    def spoken(self):
        """The protocol of the station that it goes to: the recorded one's; where nothing was agreed, one that
        the vehicle does not offer."""
        agreed = next((one.protocol for one in self.conversations if one.protocol), None)
        if agreed:
            return agreed
        offered = {exi_fields.NAMESPACES.get(name) for one in self.conversations for name in one.offered.values()}
        return next((protocol for protocol in (ISO2, DIN) if protocol not in offered), ISO2)


def physical(value):
    """The number of a PhysicalValue."""
    return None if value is None else value["Value"] * 10.0 ** value["Multiplier"]


def visits(file):
    """The visits of a capture, each with at least one conversation."""
    return [visit for visit in Reader(file).visits if visit.conversations]


def captures(folder):
    """Every capture below a folder, as car and file."""
    return [(file.parent.name, file) for file in sorted(Path(folder).rglob("*.jsonl"))]


class Reader:
    def __init__(self, file):
        self.visits, self.streams, self.discovery = [Visit()], {}, None
        with Path(file).open() as lines:
            for line in lines:
                entry = json.loads(line)
                getattr(self, entry["layer"], lambda *_: None)(entry, bytes.fromhex(entry["hex"]))

    @property
    def visit(self):
        return self.visits[-1]

    def slac(self, _entry, frame):
        # EtherType, version, type in little-endian order.
        request = int.from_bytes(frame[12:14]) == HOMEPLUG and int.from_bytes(frame[15:17], "little") == SLAC_PARM_REQ
        if request and self.visit.conversations and not self.visit.conversations[-1].pauses:
            self.visits.append(Visit())
        self.visit.frames.append(frame)

    def sdp(self, entry, datagram):
        if entry["sender"] == "vehicle":
            self.discovery = datagram

    def v2g(self, entry, payload):
        stream = entry["stream"]
        if stream not in self.streams:
            self.open(entry, payload)
        elif (conversation := self.streams[stream]) is not None:
            self.go_on(conversation, entry, payload)

    def open(self, entry, payload):
        """A connection whose beginning was not recorded can't be played."""
        try:
            exi_fields.offered(payload)
        except Unreadable:
            self.streams[entry["stream"]] = None
            return
        conversation = Conversation(payload, entry["t"], discovery=self.discovery)
        self.streams[entry["stream"]] = conversation
        if self.visit.conversations and clashes(self.visit, conversation):
            self.visits.append(Visit())
        self.visit.conversations.append(conversation)

    def go_on(self, conversation, entry, payload):
        if not conversation.exchanges and conversation.verdict is None and entry["sender"] == "station":
            conversation.verdict = payload
            return
        try:
            message = exi_fields.message(payload)
        except Unreadable:
            message = None
        asks = message.name.endswith("Req") if message else entry["sender"] == "vehicle"
        if asks:
            conversation.exchanges.append(Exchange(entry["t"], payload, message))
            return
        # A vehicle that does not wait for its answer gets them in order.
        open_one = next((one for one in conversation.exchanges if one.answered_at is None), None)
        if open_one:
            open_one.answered_at, open_one.answer = entry["t"], message


def clashes(visit, conversation):
    """Whether it can't be another conversation at the same plug: the one before it ended for good."""
    last = visit.conversations[-1]
    return bool(last.exchanges) and not last.pauses and last.exchanges[-1].kind == "SessionStop"
