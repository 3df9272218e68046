"""Reads a recorded car: what it said and was answered, as conversations, and these as visits to a station.

A capture is a file of packets (packets.py, dissection.py), or has one JSON object a line: `t` (seconds), `layer`
(slac, sdp, v2g), `sender` (vehicle, station; absent for slac), `stream` (one TCP connection), `hex`. Who speaks is
taken from the message itself where it can be read.
"""

import dataclasses
import itertools
import json
from pathlib import Path

import dissection
import exi_fields
import packets
from dissection import HOMEPLUG, Entry
from exi_fields import DIN, ISO2, Unreadable

# Below this no traction battery is; what a station measured with nothing at its end is no battery's voltage.
BATTERY_LEAST_V = 60
SLAC_PARM_REQ = 0x6064
# Requests that are repeated while the answer says Ongoing, and how long a vehicle repeats them (seconds).
ONGOING_LIMIT = {
    "ContractAuthentication": 60,
    "Authorization": 60,
    "ChargeParameterDiscovery": 60,
    "CableCheck": 40,
}
HANDSHAKE_ANSWER = b"\x80\x40"
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
    """What happened between plugging in and out: the matching's frames, as (time, frame), and conversations."""

    frames: list[tuple[float, bytes]] = dataclasses.field(default_factory=list)
    conversations: list[Conversation] = dataclasses.field(default_factory=list)
    # What is known of a conversation over TLS, and the vehicle's request for it by SDP.
    secured: str | None = None
    discovery: bytes | None = None
    vehicle: object = None

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
    """What can be played of a capture."""
    return Reader(file).visits


def captures(folder):
    """Every capture that this path is or has below it, as car and file."""
    files = [folder] if folder.is_file() else sorted(Path(folder).rglob("*"))
    return [(file.parent.name, file) for file in files if file.is_file() and is_capture(file)]


def is_capture(file):
    with file.open("rb") as octets:
        return file.suffix == ".jsonl" or packets.is_capture(octets.read(4))


def entries(file):
    """What was said, in order, and what is to be said of the file."""
    if file.suffix != ".jsonl":
        found, notes = packets.packets(packets.content(file))
        read = dissection.Dissection(found)
        return read.entries, notes + read.notes
    found, unread = [], []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        try:
            entry = json.loads(line)
            octets = bytes.fromhex(entry["hex"])
            found.append(Entry(entry["t"], entry["layer"], octets, entry.get("sender"), entry.get("stream")))
        except (ValueError, KeyError, TypeError) as error:
            unread.append(f"line {number} can't be read: {error!r}")
    # A file of something else has thousands.
    more = [f"nor can {len(unread) - 1} more"] if len(unread) > 1 else []
    return found, unread[:1] + more


class Reader:
    """`visits`: what can be played; `notes`: what can't, and why, a sentence each."""

    def __init__(self, file):
        self.visits, self.notes, self.streams = [], [], {}
        # The vehicle's request by SDP: the newest, and each vehicle's newest.
        self.matching, self.discovery = [], {}
        try:
            read, self.notes = entries(Path(file))
        except packets.NoCapture as error:
            read, self.notes = [], [str(error)]
        for entry in read:
            getattr(self, entry.layer, lambda _entry: None)(entry)
        for stream in self.streams.values():
            if isinstance(stream, Torso) and (words := stream.words()):
                self.notes.append(words)
        if not self.visits and self.matching:
            self.visits.append(Visit(self.matching, discovery=self.discovery.get(None)))
        if not read and not self.notes:
            self.notes.append("there is neither SLAC, SDP nor V2G in it")
        elif not self.visits and not self.notes:
            self.notes.append("no conversation from its start")

    def slac(self, entry):
        self.matching.append((entry.at, entry.octets))

    def sdp(self, entry):
        if entry.sender == "vehicle":
            self.discovery[None] = self.discovery[entry.vehicle] = entry.octets

    def tls(self, entry):
        visit = self.visit_of(entry, None)
        visit.secured = entry.octets.decode()
        self.notes.append(f"what was said over {visit.secured} can't be read")

    def v2g(self, entry):
        stream = entry.stream
        if stream not in self.streams and entry.octets.startswith(HANDSHAKE_ANSWER):
            return  # its request was not recorded, and is not needed
        if stream not in self.streams:
            self.streams[stream] = self.open(entry)
        elif isinstance(self.streams[stream], Conversation):
            self.go_on(self.streams[stream], entry)
        else:
            self.streams[stream].kinds.append(entry)

    def open(self, entry):
        """A connection whose beginning was not recorded can only be played if nothing but the handshake is missing."""
        try:
            exi_fields.offered(entry.octets)
            conversation = Conversation(entry.octets, entry.at)
        except Unreadable:
            conversation = without_handshake(entry)
        if conversation is None:
            return Torso([entry])
        self.visit_of(entry, conversation).conversations.append(conversation)
        conversation.discovery = self.discovery.get(entry.vehicle, self.discovery.get(None))
        if conversation.offer != entry.octets:
            self.notes.append("the handshake was not recorded: one that offers what is spoken is played")
            self.go_on(conversation, entry)
        return conversation

    def visit_of(self, entry, conversation):
        """The visit that a connection belongs to: the same vehicle's last one, unless that ended, or began anew
        with its matching."""
        mine = [visit for visit in self.visits if entry.vehicle is None or visit.vehicle in (None, entry.vehicle)]
        last = mine[-1] if mine else None
        anew = last is None or (conversation and last.conversations and clashes(last))
        if anew or self.matched_anew(last, entry):
            last = Visit(self.matching_of(entry), vehicle=entry.vehicle)
            last.discovery = self.discovery.get(entry.vehicle, self.discovery.get(None))
            self.visits.append(last)
        return last

    def matched_anew(self, visit, entry):
        """Whether a vehicle asked to be matched since the visit's last conversation began, which it did not pause."""
        if visit.conversations and visit.conversations[-1].pauses:
            return False
        began = [one.offered_at for one in visit.conversations] or [entry.at]
        return any(began[-1] < at < entry.at and mmtype(frame) == SLAC_PARM_REQ for at, frame in self.of(entry))

    def of(self, entry):
        """The matching's frames, without those of another vehicle, if which is which can be told."""
        vehicles = {frame[6:12] for _, frame in self.matching if mmtype(frame) == SLAC_PARM_REQ}
        if entry.vehicle not in vehicles:
            return self.matching
        others = vehicles - {entry.vehicle}
        return [(at, frame) for at, frame in self.matching if not {frame[:6], frame[6:12]} & others]

    def matching_of(self, entry):
        """The frames up to the start of a connection."""
        return [(at, frame) for at, frame in self.of(entry) if at <= entry.at]

    def go_on(self, conversation, entry):
        payload = entry.octets
        if not conversation.exchanges and conversation.verdict is None and entry.sender == "station":
            conversation.verdict = payload
            return
        try:
            message = exi_fields.message(payload)
        except Unreadable:
            message = None
        asks = message.name.endswith("Req") if message else entry.sender == "vehicle"
        if asks:
            conversation.exchanges.append(Exchange(entry.at, payload, message))
            return
        # A vehicle that does not wait for its answer gets them in order.
        open_one = next((one for one in conversation.exchanges if one.answered_at is None), None)
        if open_one:
            open_one.answered_at, open_one.answer = entry.at, message


@dataclasses.dataclass
class Torso:
    """A connection whose beginning was not recorded."""

    kinds: list[Entry]

    def words(self):
        return f"a connection begins in the middle, at {kind_of(self.kinds[0].octets)}, and can't be played"


def kind_of(payload):
    try:
        return exi_fields.message(payload).name
    except Unreadable:
        return "an unreadable message"


def without_handshake(entry):
    """A conversation whose first recorded message is SessionSetupReq: all but the handshake is there."""
    try:
        message = exi_fields.message(entry.octets)
    except Unreadable:
        return None
    if message.name != "SessionSetupReq":
        return None
    return Conversation(exi_fields.offer_of(message.protocol), entry.at, exi_fields.AGREED)


def mmtype(frame):
    """The type of a HomePlug management message."""
    return int.from_bytes(frame[15:17], "little") if frame[12:14] == HOMEPLUG.to_bytes(2) else None


def clashes(visit):
    """Whether there can't be another conversation at the same plug: the one before it ended for good."""
    last = visit.conversations[-1]
    return bool(last.exchanges) and not last.pauses and last.exchanges[-1].kind == "SessionStop"
