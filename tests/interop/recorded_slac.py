"""A vehicle's side of SLAC (ISO 15118-3) as a real one did it: its recorded frames, sent again.

Usage: recorded_slac.py INTERFACE CAPTURE

Sends what the capture's vehicle sent in the run that ended in its last match, to whatever station answers on
INTERFACE, and gives the network key that it is matched with to the vehicle's own modem. In what goes to one
station the recorded station's address is replaced by the one that answered. Ends with 0 once the modem has the key.
"""

import dataclasses
import os
import socket
import struct
import sys
import time
from pathlib import Path

import capture
from capture import HOMEPLUG, mmtype

LOCAL_MODEM = bytes.fromhex("00b052000001")
BROADCAST = b"\xff" * 6
PARM_REQ, PARM_CNF, START_ATTEN, SOUND, PROFILE = 0x6064, 0x6065, 0x606A, 0x6076, 0x6086
ATTEN_IND, ATTEN_RSP, VALIDATE_REQ, VALIDATE_CNF = 0x606E, 0x606F, 0x6078, 0x6079
MATCH_REQ, MATCH_CNF, SET_KEY_REQ, SET_KEY_CNF = 0x607C, 0x607D, 0x6008, 0x6009
# Times of ISO 15118-3 table A.1: how long a vehicle waits for an answer, for the attenuation, how often it tries.
RESPONSE_S, ATTENUATION_S, TRIES = 0.2, 1.2, 3
# Between two frames of the announcement and the sounds (TP_EV_batch_msg_interval), and how many there are.
BATCH_S, ANNOUNCEMENTS, SOUNDS = 0.02, 3, 10
# A vehicle that was slower than this between two frames had another reason.
SLOWEST_S = 3.0
# A station may still be setting its modem up.
PATIENCE_S = 10
PAYLOAD = 19
EVSE_MAC = slice(PAYLOAD + 44, PAYLOAD + 50)
GROUPS = 58


class NotMatched(Exception):
    """The station did not answer as a vehicle needs it."""


def sender(frame):
    return frame[6:12]


@dataclasses.dataclass
class Run:
    """A vehicle's frames of one run, with their times, and how weakly the recorded station heard it: dB for each
    group of carriers, or nothing. `recorded` says which run it is, in words."""

    frames: list[tuple[float, bytes]]
    attenuation: bytes = b""
    recorded: str = "as recorded"

    @property
    def address(self):
        return sender(self.frames[0][1])

    @property
    def run_id(self):
        return self.frames[0][1][PAYLOAD + 2 : PAYLOAD + 10]

    def of(self, *kinds):
        return [(at, frame) for at, frame in self.frames if mmtype(frame) in kinds]


def run_of(heard):
    """The run that ended in the last match: from the vehicle's last request to be matched on. Where none did, the
    last one as far as it went. None: there is none with its beginning."""
    ends = [at for at, (_, frame) in enumerate(heard) if mmtype(frame) == MATCH_REQ]
    starts = [at for at, (_, frame) in enumerate(heard) if mmtype(frame) == PARM_REQ]
    last = ends[-1] if ends else len(heard) - 1
    # A vehicle that asked to be matched, and was not recorded to ask for parameters, is another one's neighbour.
    vehicle = sender(heard[ends[-1] if ends else starts[-1]][1]) if ends or starts else None
    starts = [at for at in starts if at <= last and sender(heard[at][1]) == vehicle]
    if not starts:
        return None
    start = beginning(heard, starts, vehicle, last)
    own = [(at, frame) for at, frame in heard[start : last + 1] if sender(frame) == vehicle]
    profiles = [frame for _, frame in heard[start : last + 1] if is_profile_of(frame, vehicle)]
    return Run(own, profiles[-1][PAYLOAD + 8 : PAYLOAD + 8 + GROUPS] if profiles else b"")


def beginning(heard, starts, vehicle, last):
    """Where the run begins. Some vehicles ask for parameters again while they sound: those are not another run's."""

    def sounded(start):
        own = (frame for _, frame in heard[start : last + 1] if sender(frame) == vehicle)
        return sum(mmtype(frame) == SOUND for frame in own)

    whole = [start for start in starts if sounded(start) >= SOUNDS // 2]
    return whole[-1] if whole and sounded(starts[-1]) < SOUNDS // 2 else starts[-1]


def is_profile_of(frame, vehicle):
    return mmtype(frame) == PROFILE and frame[PAYLOAD : PAYLOAD + 6] == vehicle and frame[PAYLOAD + 6] == GROUPS


def made_up(address=bytes.fromhex("02564f4c5401")):
    """A run as the standard has it (ISO 15118-3 annex A), for a vehicle whose own was not recorded."""
    run_id, no_id = b"made-up.", bytes(17)
    announced = bytes(2) + bytes([SOUNDS, 6, 1]) + address + run_id
    frames = [message(BROADCAST, address, PARM_REQ, bytes(2) + run_id)]
    frames += [message(BROADCAST, address, START_ATTEN, announced)] * ANNOUNCEMENTS
    for left in range(SOUNDS - 1, -1, -1):
        sound = bytes(2) + no_id + bytes([left]) + run_id + bytes(8) + b"\xff" * 16
        frames.append(message(BROADCAST, address, SOUND, sound))
    accepted = bytes(2) + address + run_id + no_id + no_id + bytes(1)
    frames.append(message(BROADCAST, address, ATTEN_RSP, accepted))
    wanted = bytes(2) + bytes([0x3E, 0]) + no_id + address + no_id + bytes(6) + run_id + bytes(8)
    frames.append(message(BROADCAST, address, MATCH_REQ, wanted))
    return Run([(BATCH_S * number, frame) for number, frame in enumerate(frames)], recorded="made up")


def message(to, source, kind, payload):
    header = to + source + struct.pack(">HB", HOMEPLUG, 1) + struct.pack("<H", kind) + bytes(2)
    return (header + payload).ljust(60, b"\0")


def to(station, frame):
    """The frame, addressed to this station, which it also names where it names one."""
    frame = bytearray(frame)
    frame[:6] = station
    if mmtype(frame) == MATCH_REQ:
        frame[EVSE_MAC] = station
    return bytes(frame)


def set_key(vehicle, nid, nmk):
    """CM_SET_KEY.REQ: a network membership key, from the higher layers."""
    payload = b"\x01" + b"\xaa" * 4 + bytes(4) + b"\x04" + bytes(4) + nid + b"\x01" + nmk
    return message(LOCAL_MODEM, vehicle, SET_KEY_REQ, payload)


class Vehicle:
    def __init__(self, interface, run, recorded_pace=False):
        self.link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(HOMEPLUG))
        self.link.bind((interface, 0))
        self.run, self.recorded_pace = run, recorded_pace

    def await_(self, kind, limit, run_id_at=None):
        """The next frame of this kind for this vehicle and, if it names one, this run; None: in time there was none."""
        deadline = time.monotonic() + limit
        while (rest := deadline - time.monotonic()) > 0:
            self.link.settimeout(rest)
            try:
                frame, (_, _, direction, _, _) = self.link.recvfrom(2048)
            except TimeoutError:
                return None
            if direction == socket.PACKET_OUTGOING or mmtype(frame) != kind or frame[:6] != self.run.address:
                continue
            at = run_id_at and PAYLOAD + run_id_at
            if at is None or frame[at : at + 8] == self.run.run_id:
                return frame
        return None

    def ask(self, frame, kind, limit, tries=TRIES, run_id_at=None):
        for _ in range(tries):
            self.link.send(frame)
            if answer := self.await_(kind, limit, run_id_at):
                return answer
        raise NotMatched(f"no {kind:#06x} in {tries} times {limit} s")

    def match(self):
        """Whether it was matched; else the recording ends before."""
        run = self.run
        self.ask(run.frames[0][1], PARM_CNF, RESPONSE_S, round(PATIENCE_S / RESPONSE_S), run_id_at=17)
        self.sound()
        if not run.of(SOUND):
            return False
        report = self.await_(ATTEN_IND, ATTENUATION_S, run_id_at=8)
        if report is None:
            raise NotMatched(f"no attenuation within {ATTENUATION_S} s")
        station = sender(report)
        for _, frame in run.of(ATTEN_RSP)[-1:]:
            self.link.send(to(station, frame))
        for _, frame in run.of(VALIDATE_REQ)[-1:]:
            self.ask(to(station, frame), VALIDATE_CNF, RESPONSE_S)
        if not run.of(MATCH_REQ):
            return False
        matched = self.ask(to(station, run.of(MATCH_REQ)[-1][1]), MATCH_CNF, RESPONSE_S, run_id_at=50)
        nid, nmk = matched[PAYLOAD + 66 : PAYLOAD + 73], matched[PAYLOAD + 74 : PAYLOAD + 90]
        self.ask(set_key(run.address, nid, nmk), SET_KEY_CNF, RESPONSE_S)
        return True

    def sound(self):
        """The announcement and the sounds, with the vehicle's own time between them or the least."""
        before = None
        for at, frame in self.run.of(START_ATTEN, SOUND):
            if before is not None:
                time.sleep(min(max(at - before, 0.0), SLOWEST_S) if self.recorded_pace else BATCH_S)
            self.link.send(frame)
            before = at


def main(interface, file):
    runs = [run for visit in capture.visits(Path(file)) if (run := run_of(visit.frames))]
    if not runs:
        raise NotMatched("the recording has no match")
    Vehicle(interface, runs[0], os.environ.get("PACE") == "recorded").match()
    print("matched", runs[0].address.hex(":"), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
