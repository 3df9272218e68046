"""Captures as strangers bring them: in every format and layout the same is read as was said.

The files are written by written_capture.py, from a made-up visit and, where they are, from the recordings.
"""

import dataclasses
import gzip
import random
import subprocess
import sys
from pathlib import Path

import capture
import exi_fields
import pytest
import recorded_slac
from conftest import ROOT
from dissection import COOKED, COOKED_2, ETHERNET, Entry
from exi_fields import ISO2
from written_capture import RAW_IP, VEHICLE, Network, pcap, pcapng

CARS = ROOT.parent / "shared" / "data" / "cars"
recorded = pytest.mark.skipif(not CARS.is_dir(), reason=f"no recordings in {CARS}")
DISCOVERY = bytes.fromhex("01fe9000000000021000")
DISCOVERED = bytes.fromhex("01fe900100000014fe800000000000000000000000000001ef321000")
# Of a VW ID.3 (EVerest/logfiles, Apache-2.0): SessionSetup and its answer, ServiceDiscovery and its.
SESSION = [
    ("vehicle", "8098004011d01801f7e821f21400"),
    ("station", "80980204f67eafbe7e6ddd11e020451114a94139"),
    ("vehicle", "80980204f67eafbe7e6ddd11b8"),
    ("station", "80980204f67eafbe7e6ddd11c0010000482032400000"),
]


def visit(begin=100.0, stream=0, address=VEHICLE):
    """A visit that was matched and discovered, agreed to a protocol and asked for services."""
    run = recorded_slac.made_up(address)
    entries = [Entry(begin + at, "slac", frame) for at, frame in run.frames]
    begin += 2
    entries.append(Entry(begin, "sdp", DISCOVERY, "vehicle"))
    entries.append(Entry(begin + 0.1, "sdp", DISCOVERED, "station"))
    said = [("vehicle", exi_fields.offer_of(ISO2).hex()), ("station", exi_fields.AGREED.hex()), *SESSION]
    for number, (sender, payload) in enumerate(said):
        entries.append(Entry(begin + 0.2 + number / 10, "v2g", bytes.fromhex(payload), sender, stream))
    return entries


def read(tmp_path, octets, name="a.pcap"):
    file = tmp_path / name
    file.write_bytes(octets)
    assert capture.captures(tmp_path) == [(tmp_path.name, file)]
    return capture.Reader(file)


def told(reader):
    """What the visits consist of."""
    return [
        (
            [frame for _, frame in visit.frames],
            [
                (one.offer, one.verdict, one.discovery, [(each.request, each.answer) for each in one.exchanges])
                for one in visit.conversations
            ],
        )
        for visit in reader.visits
    ]


def expected(*visits):
    """The same, from the entries of visits."""
    found = []
    for entries in visits:
        frames = [entry.octets for entry in entries if entry.layer == "slac"]
        said = [entry.octets for entry in entries if entry.layer == "v2g"]
        answers = [exi_fields.message(payload) for payload in said[3::2]]
        found.append((frames, [(said[0], said[1], DISCOVERY, list(zip(said[2::2], answers)))]))
    return found


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_a_pcap_of_either_byte_order_and_resolution(tmp_path, order, nanoseconds):
    reader = read(tmp_path, pcap(Network().say(visit()), order=order, nanoseconds=nanoseconds))
    assert (told(reader), reader.notes) == (expected(visit()), [])
    assert reader.visits[0].conversations[0].offered_at == pytest.approx(102.2, abs=1e-6)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("resolution", [3, 6, 9])
def test_a_pcapng_of_either_byte_order_and_any_resolution(tmp_path, order, resolution):
    packets = [(at, packet, 0) for at, packet in Network().say(visit())]
    reader = read(tmp_path, pcapng(packets, order=order, resolution=resolution))
    assert (told(reader), reader.notes) == (expected(visit()), [])
    assert reader.visits[0].conversations[0].offered_at == pytest.approx(102.2, abs=1e-3)


@pytest.mark.parametrize(
    "network",
    [
        {"segment": 1},
        {"segment": 9},
        {"vlans": (0x8100,)},
        {"vlans": (0x88A8, 0x8100)},
        {"extended": True},
        {"fragment": 16},
        {"fragment": 8, "extended": True, "segment": 30},
        {"start": (1 << 32) - 20},
        {"handshake": False},
        {"handshake": False, "start": (1 << 32) - 20, "segment": 7},
    ],
)
def test_a_network_with_its_ways(tmp_path, network):
    reader = read(tmp_path, pcap(Network(**network).say(visit())))
    assert (told(reader), reader.notes) == (expected(visit()), [])


@pytest.mark.parametrize("link", [COOKED, COOKED_2])
def test_a_cooked_capture_says_not_to_whom_a_frame_went(tmp_path, link):
    reader = read(tmp_path, pcap(Network(link).say(visit()), link=link))
    [[frames, conversations]] = told(reader)
    [[whole, whole_conversations]] = expected(visit())
    assert [frame[6:] for frame in frames] == [frame[6:] for frame in whole]
    assert (conversations, reader.notes) == (whole_conversations, [])
    # What goes to everybody does again; the rest is addressed when it is played.
    assert {frame[:6] for frame in frames if recorded_slac.mmtype(frame) == recorded_slac.SOUND} == {b"\xff" * 6}
    assert len(recorded_slac.run_of(reader.visits[0].frames).frames) == 16


def test_plain_ip_has_no_matching(tmp_path):
    packets = [entry for entry in visit() if entry.layer != "slac"]
    reader = read(tmp_path, pcap(Network(RAW_IP).say(packets), link=RAW_IP))
    assert told(reader) == [([], expected(visit())[0][1])]


def test_segments_that_come_twice_late_and_overlapping(tmp_path):
    network = Network(segment=5)
    frames = Network(segment=5)
    once = network.say(visit())
    disturbed = random.Random(4711)
    # Every third again, some much later; neighbours swapped; and in another cut.
    again = [(at + disturbed.choice([0.0, 0.002, 0.4]), packet) for at, packet in once[::3]]
    recut = [one for one in Network(segment=11).say(visit()) if one not in once]
    packets = once + again + recut
    for place in range(20, len(packets) - 1, 2):
        packets[place], packets[place + 1] = packets[place + 1], packets[place]
    reader = read(tmp_path, pcap(packets))
    assert (told(reader)[0][1], reader.notes) == (expected(visit())[0][1], [])
    assert frames.say(visit()) == once


def test_two_interfaces_that_hear_the_same_or_one_direction_each(tmp_path):
    packets = Network().say(visit())
    same = [(at, packet, interface) for at, packet in packets for interface in (0, 1)]
    assert told(read(tmp_path, pcapng(same, links=(ETHERNET, ETHERNET)))) == expected(visit())
    halves = [(at, packet, int(packet[6:12] == VEHICLE)) for at, packet in packets]
    assert told(read(tmp_path, pcapng(halves, links=(ETHERNET, ETHERNET)))) == expected(visit())


def test_interfaces_of_different_kinds_in_one_file(tmp_path):
    matching = [(at, packet, 0) for at, packet in Network().say(visit()) if packet[12:14] == b"\x88\xe1"]
    rest = [entry for entry in visit() if entry.layer != "slac"]
    cooked = [(at, packet, 1) for at, packet in Network(COOKED_2).say(rest)]
    reader = read(tmp_path, pcapng(matching + cooked, links=(ETHERNET, COOKED_2)))
    assert (told(reader), reader.notes) == (expected(visit()), [])


def test_several_sessions_in_one_file_one_after_another(tmp_path):
    first, second = visit(), visit(begin=400.0, stream=1)
    network = Network()
    packets = network.say(first)
    network.port, network.next = 50001, {"vehicle": 1, "station": 2}
    reader = read(tmp_path, pcap(packets + network.say(second)))
    assert [len(one.conversations) for one in reader.visits] == [1, 1]
    assert [one.conversations[0].exchanges[0].request for one in reader.visits] == [bytes.fromhex(SESSION[0][1])] * 2
    assert recorded_slac.run_of(reader.visits[1].frames).frames[0][0] == pytest.approx(400.0)


def test_a_port_that_is_used_again_is_another_connection(tmp_path):
    network = Network()
    packets = network.say(visit())
    network.next = {"vehicle": 70_000, "station": 90_000}
    reader = read(tmp_path, pcap(packets + network.say(visit(begin=400.0, stream=1))))
    assert [len(one.conversations) for one in reader.visits] == [1, 1]


def test_two_vehicles_at_once_are_kept_apart(tmp_path):
    other = bytes.fromhex("0a0b0c0d0e0f")
    neighbour = Network(vehicle=other, vehicle_ip=bytes(15) + b"\x09", port=50002)
    packets = Network().say(visit()) + neighbour.say(visit(begin=100.05, stream=1, address=other))
    reader = read(tmp_path, pcap(sorted(packets, key=lambda packet: packet[0])))
    assert [visit.vehicle for visit in reader.visits] == [VEHICLE, other]
    for one, address in zip(reader.visits, [VEHICLE, other]):
        assert recorded_slac.run_of(one.frames).address == address
        assert len(recorded_slac.run_of(one.frames).frames) == 16
        assert len(one.conversations[0].exchanges) == 2


def test_a_recording_that_begins_after_the_handshake_is_played_with_one(tmp_path):
    entries = [entry for entry in visit() if entry.octets not in (exi_fields.offer_of(ISO2), exi_fields.AGREED)]
    reader = read(tmp_path, pcap(Network(handshake=False).say(entries)))
    [one] = reader.visits
    assert (one.spoken, len(one.conversations[0].exchanges)) == (ISO2, 2)
    assert reader.notes == ["the handshake was not recorded: one that offers what is spoken is played"]


def test_a_recording_that_begins_within_a_session_is_told(tmp_path):
    entries = [entry for entry in visit() if entry.layer == "v2g"][4:]
    reader = read(tmp_path, pcap(Network(handshake=False).say(entries)))
    assert reader.visits == []
    assert reader.notes == ["a connection begins in the middle, at ServiceDiscoveryReq, and can't be played"]


def test_a_recording_that_begins_within_a_message_is_read_from_the_next(tmp_path):
    packets = Network(handshake=False, segment=6).say([entry for entry in visit() if entry.layer == "v2g"])
    reader = read(tmp_path, pcap(packets[2:]))
    assert [len(one.conversations[0].exchanges) for one in reader.visits] == [2]


def test_only_the_matching(tmp_path):
    entries = [entry for entry in visit() if entry.layer == "slac"]
    reader = read(tmp_path, pcap(Network().say(entries)))
    [one] = reader.visits
    assert (one.conversations, one.discovery) == ([], None)
    assert len(recorded_slac.run_of(one.frames).frames) == 16


def test_lost_octets_are_told_and_the_rest_is_read(tmp_path):
    entries = visit()
    packets = Network().say(entries)
    lost = packets.pop(len(packets) - 3)  # SessionSetupRes
    reader = read(tmp_path, pcap(packets))
    assert len(reader.visits[0].conversations[0].exchanges) == 2
    assert reader.notes == [f"{len(lost[1]) - 86} octets of the station's are missing in the recording"]


# A ServerHello of TLS 1.2 that takes ECDHE-ECDSA-AES128-CBC-SHA256 (RFC 5246 7.4.1.3), and a ClientHello's start.
SERVER_HELLO = bytes.fromhex("1603030031" "0200002d" "0303" + "11" * 32 + "00" "c023" "00" "0005" "ff01000100")
CLIENT_HELLO = bytes.fromhex("1603010005" "01000001" "03")


def test_a_session_over_tls_is_matched_and_discovered_and_told(tmp_path):
    entries = [entry for entry in visit() if entry.layer != "v2g"]
    for number, (sender, octets) in enumerate(
        [("vehicle", CLIENT_HELLO), ("station", SERVER_HELLO), ("vehicle", b"\x17\x03\x03\x00\x04abcd")]
    ):
        entries.append(Entry(103 + number / 10, "tls", octets, sender, 0))
    reader = read(tmp_path, pcap(Network().say(entries)))
    [one] = reader.visits
    assert (one.conversations, one.discovery) == ([], DISCOVERY)
    assert len(recorded_slac.run_of(one.frames).frames) == 16
    size = len(CLIENT_HELLO + SERVER_HELLO) + 9
    assert reader.notes == [f"what was said over TLS 1.2 with suite 0xc023, {size} octets can't be read"]


def test_lines_that_are_no_recording_are_told_once_and_counted(tmp_path):
    reader = read(tmp_path, b'{"hex": "00"}\n' * 4000, "a.jsonl")
    assert reader.visits == []
    first, more, *others = reader.notes
    assert (first, more) == ("line 1 can't be read: KeyError('t')", "nor can 3999 more")
    assert len(others) <= 1


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (pcap([]), "there is neither SLAC, SDP nor V2G in it"),
        (pcap([(1.0, b"\x12" * 80)], link=147), "packets of an unknown kind: 1 of link type 147"),
        (pcap(Network().say(visit()), keep=40), "packets were cut short by the recorder"),
        (pcap(Network().say(visit()))[:-5], "the file ends within a packet"),
        (pcap([])[:20], "it ends within its header"),
        (gzip.compress(b"no packets at all", mtime=0), "it is neither pcap nor pcapng"),
        (gzip.compress(pcap([]), mtime=0)[:-9], "its compression is damaged"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(tmp_path, octets, words):
    notes = read(tmp_path, octets).notes
    assert any(words in note for note in notes), notes
    assert not any("\n" in note for note in notes)


def test_a_compressed_capture(tmp_path):
    assert told(read(tmp_path, gzip.compress(pcap(Network().say(visit()))), "a.pcapng.gz")) == expected(visit())


def test_any_damage_is_survived(tmp_path):
    whole = pcapng([(at, packet, 0) for at, packet in Network(extended=True, fragment=16).say(visit())])
    plain = pcap(Network(vlans=(0x8100,), segment=7).say(visit()))
    damage = random.Random(1)
    for _ in range(300):
        octets = bytearray(damage.choice([whole, plain]))
        for _ in range(damage.randrange(1, 20)):
            octets[damage.randrange(4, len(octets))] = damage.randrange(256)
        file = tmp_path / "damaged.pcap"
        file.write_bytes(octets[: damage.randrange(len(octets) // 2, len(octets))])
        for one in capture.Reader(file).visits:
            recorded_slac.run_of(one.frames)


@recorded
def test_every_recording_reads_the_same_as_packets(tmp_path):
    files = capture.captures(CARS)
    for _, file in files:
        entries, _ = capture.entries(file)
        entries = [dataclasses.replace(entry, at=entry.at + 1_700_000_000) for entry in entries]
        # Two recordings begin and end with an answer of another connection; its request is not there.
        starts = {entry.stream for entry in entries if entry.layer == "v2g" and entry.sender == "vehicle"}
        entries = [entry for entry in entries if entry.layer != "v2g" or entry.stream in starts]
        networks, packets = {}, []
        for entry in entries:
            port = 49152 + (entry.stream or 0)
            network = networks.setdefault(port, Network(port=port, segment=100))
            packets += network.say([entry])
        written = capture.Reader(write(tmp_path / "same.pcap", pcap(packets)))
        plain = capture.Reader(file)
        assert [len(visit.conversations) for visit in written.visits] == [
            len(visit.conversations) for visit in plain.visits
        ], file
        for ours, theirs in zip(written.visits, plain.visits):
            assert [(one.offer, one.verdict, [each.request for each in one.exchanges]) for one in ours.conversations] == [
                (one.offer, one.verdict, [each.request for each in one.exchanges]) for one in theirs.conversations
            ], file
            assert [frame for _, frame in recorded_slac.run_of(ours.frames).frames] == [
                frame for _, frame in recorded_slac.run_of(theirs.frames).frames
            ], file
    assert len(files) > 50


def write(file, octets):
    file.write_bytes(octets)
    return file


def test_a_folder_without_captures_is_an_error(tmp_path):
    player = Path(__file__).with_name("cars.py")
    ended = subprocess.run([sys.executable, player, tmp_path], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "there are no captures" in ended.stderr
