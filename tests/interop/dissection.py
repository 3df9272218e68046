"""What vehicle and station said in a file of packets: HomePlug frames, SDP datagrams, V2GTP payloads, in order.

From the link layer (Ethernet with VLAN tags, Linux cooked captures, plain IP) over IPv6 with its extension
headers and fragments to UDP and reassembled TCP. Packets that were recorded twice count once.
"""

import dataclasses
import itertools

import exi_fields

HOMEPLUG, IPV4, IPV6 = 0x88E1, 0x0800, 0x86DD
VLANS = {0x8100, 0x88A8, 0x9100}
NULL, ETHERNET, RAW, LOOP, COOKED, IPV4_LINK, IPV6_LINK, COOKED_2 = 0, 1, {12, 14, 101}, 108, 113, 228, 229, 276
TCP, UDP, FRAGMENT = 6, 17, 44
# Hop-by-hop, routing, destination options, mobility, shim.
EXTENSIONS, AUTHENTICATION = {0, 43, 60, 135, 140}, 51
DISCOVERY_PORT = 15118
V2GTP = b"\x01\xfe"
SDP_REQUESTS, SDP_RESPONSES = (0x9000, 0x9002), (0x9001, 0x9003)
MESSAGES = range(0x8001, 0x8200)
LONGEST_MESSAGE = 1 << 20
# The same frame again within this is one that was recorded twice, seconds.
TWICE = 0.01
SYN, FIN, RST, ACK = 2, 1, 4, 16
TLS_HANDSHAKE, TLS_ALERT, TLS_DATA = 22, 21, 23
TLS_VERSION = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
SUPPORTED_VERSIONS = 43
# Requests of HomePlug's that go to everybody: SLAC_PARM, START_ATTEN_CHAR, MNBC_SOUND, ATTEN_PROFILE.
TO_EVERYBODY = {0x6064, 0x606A, 0x6076, 0x6086}


@dataclasses.dataclass
class Entry:
    """One thing that was said: `layer` is slac, sdp, v2g or tls, `sender` vehicle, station or nothing."""

    at: float
    layer: str
    octets: bytes
    sender: str | None = None
    stream: int | None = None
    vehicle: object = None
    payload_type: int = 0x8001


@dataclasses.dataclass
class Segment:
    at: float
    sequence: int
    octets: bytes


@dataclasses.dataclass
class Direction:
    """One side's half of a connection."""

    segments: list[Segment] = dataclasses.field(default_factory=list)
    first: int | None = None  # the sequence number of its first octet, where SYN was recorded

    def assembled(self):
        """(octets, the time of each piece's last octet by its end, octets that are lost before it)s: one for each
        stretch without a gap. Octets that came again are taken as they came first."""
        if not self.segments:
            return []
        base = self.segments[0].sequence if self.first is None else self.first
        # Sequence numbers wrap around.
        ordered = sorted((near(one.sequence - base), one.at, one.octets) for one in self.segments)
        runs, expected = [], 0 if self.first is not None else ordered[0][0]
        latest = 0.0
        for offset, at, octets in ordered:
            fresh = octets[max(0, expected - offset) :] if offset < expected else octets
            if not fresh:
                continue
            gap = max(0, offset - expected)
            if gap or not runs:
                runs.append(Run(gap))
            latest = max(latest, at) if runs[-1].octets else at
            runs[-1].octets += fresh
            runs[-1].times.append((len(runs[-1].octets), latest))
            expected = max(expected, offset + len(octets))
        return runs


@dataclasses.dataclass
class Run:
    lost: int
    octets: bytearray = dataclasses.field(default_factory=bytearray)
    times: list[tuple[int, float]] = dataclasses.field(default_factory=list)

    def at(self, end):
        """When the octet before `end` had come, with all before it."""
        return next(at for reached, at in self.times if reached >= end)


def near(difference):
    """A difference of sequence numbers, the shorter way around."""
    return (difference + (1 << 31)) % (1 << 32) - (1 << 31)


class Dissection:
    """`entries` in the order of time; `notes`: what could not be read, a sentence each."""

    def __init__(self, packets):
        self.entries, self.notes = [], []
        self.connections, self.newest = {}, {}
        self.fragments, self.last_seen = {}, {}
        self.links, self.cut = {}, 0
        for packet in packets:
            self.cut += packet.cut
            self.packet(packet)
        self.read_connections()
        self.entries.sort(key=lambda entry: entry.at)
        if self.cut:
            self.notes.append(f"{self.cut} packets were cut short by the recorder")
        if self.links:
            kinds = ", ".join(f"{count} of link type {link}" for link, count in self.links.items())
            self.notes.append(f"packets of an unknown kind: {kinds}")
        if self.fragments:
            self.notes.append(f"{len(self.fragments)} fragmented packets lack a part")

    def again(self, key, at):
        """Whether the same was heard just before."""
        before, self.last_seen[key] = self.last_seen.get(key), at
        return before is not None and abs(at - before) < TWICE

    def packet(self, packet):
        octets, at = packet.octets, packet.at
        if packet.link == ETHERNET and len(octets) >= 14:
            self.network(at, int.from_bytes(octets[12:14]), octets[14:], octets[:6], octets[6:12])
        elif packet.link == COOKED and len(octets) >= 16:
            self.network(at, int.from_bytes(octets[14:16]), octets[16:], None, octets[6:12])
        elif packet.link == COOKED_2 and len(octets) >= 20:
            self.network(at, int.from_bytes(octets[:2]), octets[20:], None, octets[12:18])
        elif packet.link in RAW or packet.link in (IPV4_LINK, IPV6_LINK):
            self.internet(at, octets, None)
        elif packet.link in (NULL, LOOP) and len(octets) >= 4:
            self.internet(at, octets[4:], None)
        else:
            self.links[packet.link] = self.links.get(packet.link, 0) + 1

    def network(self, at, kind, octets, destination, source):
        while kind in VLANS and len(octets) >= 4:
            kind, octets = int.from_bytes(octets[2:4]), octets[4:]
        if kind == HOMEPLUG and len(octets) >= 3:
            if destination is None:
                # A cooked capture does not say to whom; what goes to one is addressed anew when it is played.
                everybody = int.from_bytes(octets[1:3], "little") in TO_EVERYBODY
                destination = b"\xff" * 6 if everybody else bytes(6)
            frame = destination + source + HOMEPLUG.to_bytes(2) + octets
            if not self.again(source + octets, at):
                self.entries.append(Entry(at, "slac", frame.ljust(60, b"\0")))
        elif kind in (IPV4, IPV6):
            self.internet(at, octets, source)

    def internet(self, at, octets, source):
        version = octets[0] >> 4 if octets else 0
        if version == 6 and len(octets) >= 40:
            length, following = int.from_bytes(octets[4:6]), octets[6]
            self.sixth(at, following, octets[40 : 40 + length], (octets[8:24], octets[24:40]), source)
        elif version == 4 and len(octets) >= 20:
            header, length = 4 * (octets[0] & 15), int.from_bytes(octets[2:4])
            if not int.from_bytes(octets[6:8]) & 0x3FFF:  # fragments of the old protocol carry no V2G
                addresses = octets[12:16], octets[16:20]
                self.transport(at, octets[9], octets[header:length], addresses, source)

    def sixth(self, at, following, octets, addresses, source):
        """IPv6 behind its header."""
        while following in EXTENSIONS or following in (AUTHENTICATION, FRAGMENT):
            if len(octets) < 8:
                return
            if following == FRAGMENT:
                whole = self.fragment(octets, addresses)
                if whole is None:
                    return
                following, octets = whole
                continue
            length = 4 * (octets[1] + 2) if following == AUTHENTICATION else 8 * (octets[1] + 1)
            following, octets = octets[0], octets[length:]
        self.transport(at, following, octets, addresses, source)

    def fragment(self, octets, addresses):
        """What all fragments of a packet make together, once the last of them is there."""
        place, key = int.from_bytes(octets[2:4]), (addresses, octets[4:8])
        offset, more = place & ~7, place & 1
        parts = self.fragments.setdefault(key, {})
        parts[offset] = (octets[8:], more, octets[0])
        whole, end = b"", None
        for offset in sorted(parts):
            part, more, _ = parts[offset]
            if offset > len(whole):
                return None
            whole = whole[:offset] + part
            end = None if more else len(whole)
        if end is None or 0 not in parts:
            return None
        following = parts[0][2]
        del self.fragments[key]
        return following, whole[:end]

    def transport(self, at, protocol, octets, addresses, source):
        if protocol == UDP and len(octets) >= 8:
            self.datagram(at, octets, addresses, source)
        elif protocol == TCP and len(octets) >= 20:
            self.segment(at, octets, addresses, source)

    def datagram(self, at, octets, addresses, source):
        data = octets[8 : int.from_bytes(octets[4:6]) or None]
        kind = int.from_bytes(data[2:4])
        if not data.startswith(V2GTP) or DISCOVERY_PORT not in (int.from_bytes(octets[:2]), int.from_bytes(octets[2:4])):
            return
        if self.again((addresses, octets), at):
            return
        if kind in SDP_REQUESTS:
            self.entries.append(Entry(at, "sdp", data, "vehicle", vehicle=source or addresses[0]))
        elif kind in SDP_RESPONSES:
            self.entries.append(Entry(at, "sdp", data, "station"))

    def segment(self, at, octets, addresses, source):
        ports, sequence = (int.from_bytes(octets[:2]), int.from_bytes(octets[2:4])), int.from_bytes(octets[4:8])
        flags, data = octets[13], octets[4 * (octets[12] >> 4) :]
        sender, receiver = (addresses[0], ports[0]), (addresses[1], ports[1])
        pair = frozenset((sender, receiver))
        if flags & SYN and not flags & ACK:
            known = self.newest.get(pair)
            if known is None or known.halves[sender].first not in (None, (sequence + 1) % (1 << 32)):
                # A port that is used again is another connection.
                self.newest[pair] = Connection(sender, receiver)
                self.connections[len(self.connections)] = self.newest[pair]
            self.newest[pair].client = sender
        elif pair not in self.newest:
            self.newest[pair] = Connection(sender, receiver)
            self.connections[len(self.connections)] = self.newest[pair]
        connection = self.newest[pair]
        connection.sources.setdefault(sender, source or addresses[0])
        half = connection.halves[sender]
        if flags & SYN:
            half.first = (sequence + 1) % (1 << 32)
        elif data:
            half.segments.append(Segment(at, sequence, data))

    def read_connections(self):
        for number, connection in self.connections.items():
            self.read_connection(number, connection)

    def read_connection(self, number, connection):
        halves = {sender: half.assembled() for sender, half in connection.halves.items()}
        if any(is_tls(runs) for runs in halves.values()):
            return self.tls(number, connection, halves)
        said = {sender: list(itertools.chain(*map(messages, runs))) for sender, runs in halves.items()}
        if not any(said.values()):
            return None
        vehicle = connection.client or asking(said)
        if vehicle is None:
            self.notes.append("a connection in which nothing could be read is left out")
            return None
        for sender, runs in halves.items():
            who = "vehicle" if sender == vehicle else "station"
            lost = sum(run.lost for run in runs)
            if lost:
                self.notes.append(f"{lost} octets of the {who}'s are missing in the recording")
            for at, kind, payload in said[sender]:
                self.entries.append(Entry(at, "v2g", payload, who, number, connection.sources.get(vehicle), kind))
        return None

    def tls(self, number, connection, halves):
        """What a connection over TLS shows of itself."""
        words, first, vehicle = [], None, connection.client
        for sender, runs in halves.items():
            for run in runs:
                for at, kind, version, record in records(run):
                    first = at if first is None else min(first, at)
                    if kind == TLS_HANDSHAKE and record[:1] == b"\x01":
                        vehicle = vehicle or sender
                    elif kind == TLS_HANDSHAKE and record[:1] == b"\x02":
                        words.append(agreed(version, record))
        sent = [len(run.octets) for runs in halves.values() for run in runs]
        if first is not None:
            text = f"{words[0] if words else 'TLS'}, {sum(sent)} octets"
            self.entries.append(
                Entry(first, "tls", text.encode(), "vehicle", number, connection.sources.get(vehicle))
            )


class Connection:
    def __init__(self, one, other):
        self.halves = {one: Direction(), other: Direction()}
        self.client, self.sources = None, {}


def is_tls(runs):
    """Whether a side begins with a handshake record of TLS, whatever version it names."""
    return bool(runs) and runs[0].octets[:2] == b"\x16\x03"


def records(run):
    """(time, kind, version, content) of each whole record of TLS."""
    at = 0
    while at + 5 <= len(run.octets):
        kind, version, length = run.octets[at], *(int.from_bytes(run.octets[at + n : at + n + 2]) for n in (1, 3))
        if not 20 <= kind <= 24 or at + 5 + length > len(run.octets):
            return
        yield run.at(at + 5 + length), kind, version, bytes(run.octets[at + 5 : at + 5 + length])
        at += 5 + length


def agreed(version, hello):
    """What a ServerHello agrees to, in words."""
    version = int.from_bytes(hello[4:6]) or version
    after = 39 + hello[38]
    suite, at = int.from_bytes(hello[after : after + 2]), after + 5
    while at + 4 <= len(hello):
        kind, length = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
        if kind == SUPPORTED_VERSIONS and length == 2:
            version = int.from_bytes(hello[at + 4 : at + 6])
        at += 4 + length
    return f"{TLS_VERSION.get(version, hex(version))} with suite {suite:#06x}"


def messages(run):
    """(time, type, payload) of each V2GTP message in a stretch, which may begin within one."""
    octets, at = run.octets, 0
    while True:
        at = octets.find(V2GTP, at)
        if at < 0 or at + 8 > len(octets):
            return
        kind, length = int.from_bytes(octets[at + 2 : at + 4]), int.from_bytes(octets[at + 4 : at + 8])
        if kind not in MESSAGES or length > LONGEST_MESSAGE:
            at += 1
        elif at + 8 + length > len(octets):
            return
        else:
            yield run.at(at + 8 + length), kind, bytes(octets[at + 8 : at + 8 + length])
            at += 8 + length


def asking(said):
    """Which of both sides asks: by what can be read, else who spoke first."""
    for sender, spoken in said.items():
        for _, _, payload in spoken:
            try:
                name = exi_fields.message(payload).name
            except exi_fields.Unreadable:
                name = {b"\x80\x00": "Req", b"\x80\x40": "Res"}.get(payload[:2], "")
            if name.endswith(("Req", "Res")):
                return sender if name.endswith("Req") else next(other for other in said if other != sender)
    return min((spoken[0][0], sender) for sender, spoken in said.items() if spoken)[1]
