"""Reads what a network was heard to say from a capture file: pcap or pcapng, plain or compressed by gzip.

Written from the formats' descriptions (draft-ietf-opsawg-pcap and -pcapng; link types of tcpdump.org) and of
no library, so that a file that ends in the middle, or was cut by the recorder, still gives what is in it.
"""

import dataclasses
import gzip
import struct

PCAP_MAGIC = {0xA1B2C3D4: 1e-6, 0xA1B23C4D: 1e-9, 0xA1B2CD34: 1e-6}
# The third of them puts eight octets more before each packet.
LONGER_HEADERS = 0xA1B2CD34
SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, PACKET = 0x0A0D0D0A, 1, 2, 3, 6
BYTE_ORDER = 0x1A2B3C4D
TIME_RESOLUTION, TIME_OFFSET = 9, 14
GZIP = b"\x1f\x8b"
# More than any vehicle says in a day; a file that says otherwise is damaged.
LARGEST_PACKET = 1 << 20


class NoCapture(Exception):
    """Not a file of packets."""


@dataclasses.dataclass(frozen=True)
class Packet:
    """`at` in seconds, `link` the link type's number, `cut` whether the recorder kept only its beginning."""

    at: float
    link: int
    octets: bytes
    interface: int = 0
    cut: bool = False


def content(file):
    """The file's octets, uncompressed."""
    octets = file.read_bytes()
    if not octets.startswith(GZIP):
        return octets
    try:
        return gzip.decompress(octets)
    except (OSError, EOFError) as error:
        raise NoCapture(f"its compression is damaged: {error}") from error


def is_capture(start):
    """Whether a file that begins so is one of packets, or may be once it is uncompressed."""
    if start.startswith(GZIP) or len(start) < 4:
        return start.startswith(GZIP)
    both = {int.from_bytes(start[:4], order) for order in ("little", "big")}
    return bool(both & {*PCAP_MAGIC, SECTION})


def packets(octets):
    """The packets in the octets of a file, and what is to be said of the file."""
    if len(octets) < 4 or not is_capture(octets):
        raise NoCapture("it is neither pcap nor pcapng")
    if int.from_bytes(octets[:4]) == SECTION:
        return read_pcapng(octets)
    return read_pcap(octets)


def read_pcap(octets):
    order = next(order for order in "<>" if struct.unpack(f"{order}I", octets[:4])[0] in PCAP_MAGIC)
    if len(octets) < 24:
        raise NoCapture("it ends within its header")
    magic, *_, link = struct.unpack(f"{order}IHHiIII", octets[:24])
    found, at, header = [], 24, 24 if magic == LONGER_HEADERS else 16
    while at + header <= len(octets):
        seconds, fraction, length, original = struct.unpack(f"{order}IIII", octets[at : at + 16])
        at += header
        if length > LARGEST_PACKET:
            return found, ["the file is damaged behind its packet %d" % len(found)]
        if at + length > len(octets):
            return found, ["the file ends within a packet"]
        moment = seconds + fraction * PCAP_MAGIC[magic]
        # The upper bits of the link type tell of frame check sequences.
        found.append(Packet(moment, link & 0xFFFF, octets[at : at + length], cut=length < original))
        at += length
    return found, [] if at == len(octets) else ["the file ends within a packet's header"]


@dataclasses.dataclass
class Interface:
    link: int
    ticks_per_second: float = 1e6
    offset: int = 0
    snap_length: int = 0


def read_pcapng(octets):
    found, interfaces, at, order, sections = [], [], 0, "<", 0
    while at + 12 <= len(octets):
        kind = int.from_bytes(octets[at : at + 4], "little" if order == "<" else "big")
        if int.from_bytes(octets[at : at + 4]) == SECTION:
            order = "<" if int.from_bytes(octets[at + 8 : at + 12], "little") == BYTE_ORDER else ">"
            kind, interfaces, sections = SECTION, [], sections + 1
        [length] = struct.unpack(f"{order}I", octets[at + 4 : at + 8])
        if length < 12 or length % 4 or at + length > len(octets):
            return found, ["the file ends, or is damaged, behind its packet %d" % len(found)]
        body = octets[at + 8 : at + length - 4]
        at += length
        try:
            if kind == INTERFACE:
                interfaces.append(interface(body, order))
            elif kind in (PACKET, OLD_PACKET, SIMPLE_PACKET):
                found.append(packet(kind, body, order, interfaces, found, sections))
        except (struct.error, IndexError):
            return found, ["the file is damaged behind its packet %d" % len(found)]
    return found, [] if at == len(octets) else ["the file ends within a block"]


def interface(body, order):
    link, _, snap_length = struct.unpack(f"{order}HHI", body[:8])
    made, at = Interface(link, snap_length=snap_length), 8
    while at + 4 <= len(body):
        code, length = struct.unpack(f"{order}HH", body[at : at + 4])
        value = body[at + 4 : at + 4 + length]
        if code == TIME_RESOLUTION and value:
            made.ticks_per_second = float(2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0])
        elif code == TIME_OFFSET and length == 8:
            [made.offset] = struct.unpack(f"{order}q", value)
        at += 4 + length + -length % 4
    return made


def packet(kind, body, order, interfaces, before, section):
    if kind == SIMPLE_PACKET:
        # It has neither interface nor time.
        [original] = struct.unpack(f"{order}I", body[:4])
        source, limit = interfaces[0], interfaces[0].snap_length or original
        length = min(original, limit, len(body) - 4)
        return Packet(before[-1].at if before else 0.0, source.link, body[4 : 4 + length], 0, length < original)
    if kind == PACKET:
        number, high, low, length, original = struct.unpack(f"{order}IIIII", body[:20])
    else:
        number, _, high, low, length, original = struct.unpack(f"{order}HHIIII", body[:20])
    source = interfaces[number]
    moment = (high << 32 | low) / source.ticks_per_second + source.offset
    return Packet(moment, source.link, body[20 : 20 + length], section * 1000 + number, length < original)
