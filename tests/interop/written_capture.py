"""Writes what vehicle and station said into a file of packets, in the ways that recorders and networks have.

The counterpart of packets.py and dissection.py, for their tests: `say` takes entries and gives packets, and
`pcap` and `pcapng` make a file of them.
"""

import dataclasses
import itertools
import struct

from dissection import COOKED, COOKED_2, ETHERNET, HOMEPLUG, IPV6

VEHICLE, STATION = bytes.fromhex("02564f4c5401"), bytes.fromhex("02564f4c5402")
VEHICLE_IP, STATION_IP, EVERYBODY = (bytes.fromhex("fe80" + "00" * 13 + last) for last in ("02", "01", "ff"))
VEHICLE_PORT, STATION_PORT, DISCOVERY_PORT = 49152, 61234, 15118
SYN, ACK, PUSH, FIN = 2, 16, 8, 1
RAW_IP = 101


@dataclasses.dataclass
class Network:
    """How it is written. `segment`: most octets of a TCP segment. `vlans`: the tags' EtherTypes. `extended`: with
    hop-by-hop and destination options. `fragment`: most octets of a fragment; 0: whole. `start`: the first
    sequence numbers. `handshake`: whether SYN is there."""

    link: int = ETHERNET
    segment: int = 1400
    vlans: tuple = ()
    extended: bool = False
    fragment: int = 0
    start: int = 1000
    handshake: bool = True
    vehicle: bytes = VEHICLE
    vehicle_ip: bytes = VEHICLE_IP
    port: int = VEHICLE_PORT

    def __post_init__(self):
        self.next = {"vehicle": self.start, "station": self.start + 77}
        self.opened, self.numbers = set(), itertools.count(1)

    def say(self, entries):
        """(time, octets)s."""
        found = []
        for entry in entries:
            if entry.layer == "slac":
                found.append((entry.at, self.linked(entry.octets[:6], entry.octets[6:12], HOMEPLUG, entry.octets[14:])))
            elif entry.layer == "sdp":
                found += self.datagram(entry)
            else:
                found += self.stream(entry)
        return found

    def datagram(self, entry):
        asks = entry.sender == "vehicle"
        ports = (self.port, DISCOVERY_PORT) if asks else (DISCOVERY_PORT, self.port)
        octets = struct.pack(">HHHH", *ports, 8 + len(entry.octets), 0xBEEF) + entry.octets
        receiver = EVERYBODY if asks else None
        return [(entry.at, one) for one in self.internet(entry.sender, 17, octets, receiver)]

    def stream(self, entry):
        found = []
        if self.handshake and entry.stream not in self.opened:
            for sender, flags in (("vehicle", SYN), ("station", SYN | ACK), ("vehicle", ACK)):
                found += self.segment_of(entry.at - 0.001, sender, flags, b"")
                self.next[sender] += bool(flags & SYN)
        self.opened.add(entry.stream)
        octets = entry.octets if entry.layer == "tls" else b"\x01\xfe" + struct.pack(
            ">HI", entry.payload_type, len(entry.octets)
        ) + entry.octets
        for at in range(0, len(octets), self.segment):
            part = octets[at : at + self.segment]
            found += self.segment_of(entry.at, entry.sender, ACK | PUSH, part)
            self.next[entry.sender] += len(part)
        return found

    def segment_of(self, at, sender, flags, data):
        other = "station" if sender == "vehicle" else "vehicle"
        ports = (self.port, STATION_PORT) if sender == "vehicle" else (STATION_PORT, self.port)
        numbers = self.next[sender] % (1 << 32), self.next[other] % (1 << 32)
        # With a time-stamp option, as Linux has it.
        header = struct.pack(">HHIIBBHHH", *ports, *numbers, 8 << 4, flags, 500, 0xBEEF, 0) + b"\x01\x01\x08\x0a" + bytes(8)
        return [(at, one) for one in self.internet(sender, 6, header + data)]

    def internet(self, sender, protocol, octets, receiver=None):
        """The frames of a packet."""
        asks = sender == "vehicle"
        source, target = (self.vehicle_ip, STATION_IP) if asks else (STATION_IP, self.vehicle_ip)
        macs = (STATION, self.vehicle) if asks else (self.vehicle, STATION)
        for following, octets in self.fragments(*self.extension(protocol, octets)):
            header = struct.pack(">IHBB", 6 << 28, len(octets), following, 64) + source + (receiver or target)
            yield self.linked(*macs, IPV6, header + octets)

    def extension(self, protocol, octets):
        if not self.extended:
            return protocol, octets
        padding = b"\x01\x04" + bytes(4)
        return 0, bytes([60, 0]) + padding + bytes([protocol, 0]) + padding + octets

    def fragments(self, following, octets):
        size = self.fragment & ~7
        if not size or len(octets) <= size:
            return [(following, octets)]
        number, found = struct.pack(">I", next(self.numbers)), []
        for at in range(0, len(octets), size):
            more = at + size < len(octets)
            found.append((44, bytes([following, 0]) + struct.pack(">H", at | more) + number + octets[at : at + size]))
        return found

    def linked(self, target, source, kind, octets):
        """At the link layer; the short are filled up, as Ethernet has it."""
        if self.link == RAW_IP:
            return octets
        if self.link == COOKED:
            return struct.pack(">HHH", 0, 1, 6) + source + bytes(2) + struct.pack(">H", kind) + octets
        if self.link == COOKED_2:
            return struct.pack(">HHIHBB", kind, 0, 2, 1, 0, 6) + source + bytes(2) + octets
        tags = b"".join(struct.pack(">HH", tag, 7) for tag in self.vlans)
        return (target + source + tags + struct.pack(">H", kind) + octets).ljust(60, b"\0")


def pcap(packets, link=ETHERNET, order="<", nanoseconds=False, keep=1 << 16):
    """A pcap file; of each packet the first `keep` octets."""
    magic, ticks = (0xA1B23C4D, 10**9) if nanoseconds else (0xA1B2C3D4, 10**6)
    octets = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, keep, link)
    for at, packet in packets:
        seconds, fraction = divmod(round(at * ticks), ticks)
        octets += struct.pack(f"{order}IIII", seconds, fraction, min(keep, len(packet)), len(packet)) + packet[:keep]
    return octets


def block(order, kind, body):
    body += bytes(-len(body) % 4)
    return struct.pack(f"{order}II", kind, len(body) + 12) + body + struct.pack(f"{order}I", len(body) + 12)


def pcapng(packets, links=(ETHERNET,), order="<", resolution=6):
    """A pcapng file of (time, octets, interface)s, of time stamps with so many decimal places."""
    octets = block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))
    for link in links:
        options = struct.pack(f"{order}HHB3x", 9, 1, resolution) + struct.pack(f"{order}HH", 0, 0)
        octets += block(order, 1, struct.pack(f"{order}HHI", link, 0, 0) + options)
    # Name resolution and statistics, which are nothing to us.
    octets += block(order, 4, bytes(4)) + block(order, 5, bytes(12))
    for at, packet, interface in packets:
        ticks = round(at * 10**resolution)
        head = struct.pack(f"{order}IIIII", interface, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), len(packet))
        octets += block(order, 6, head + packet)
    return octets
