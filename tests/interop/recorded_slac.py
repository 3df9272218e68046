"""A vehicle's side of SLAC (ISO 15118-3) as a real one did it: its recorded frames, sent again.

Usage: recorded_slac.py INTERFACE CAPTURE

Sends what the capture's vehicle sent in the run that ended in its first match, to whatever station answers on
INTERFACE, and gives the network key that it is matched with to the vehicle's own modem. In two messages the
recorded station's address is replaced by the one that answered. Ends with 0 once the modem has the key.
"""

import socket
import struct
import sys
import time

import capture

HOMEPLUG = 0x88E1
LOCAL_MODEM = bytes.fromhex("00b052000001")
PARM_REQ, PARM_CNF, START_ATTEN, SOUND = 0x6064, 0x6065, 0x606A, 0x6076
ATTEN_IND, ATTEN_RSP, MATCH_REQ, MATCH_CNF = 0x606E, 0x606F, 0x607C, 0x607D
SET_KEY_REQ, SET_KEY_CNF = 0x6008, 0x6009
# Times of ISO 15118-3 table A.1: how long a vehicle waits for an answer, for the attenuation, how often it tries.
RESPONSE_S, ATTENUATION_S, TRIES = 0.2, 1.2, 3
# Between two frames of the announcement and the sounds (TP_EV_batch_msg_interval).
BATCH_S = 0.02
# A station may still be setting its modem up.
PATIENCE_S = 10
PAYLOAD = 19
EVSE_MAC = slice(PAYLOAD + 44, PAYLOAD + 50)


class NotMatched(Exception):
    """The station did not answer as a vehicle needs it."""


def mmtype(frame):
    return struct.unpack("<H", frame[15:17])[0] if frame[12:14] == HOMEPLUG.to_bytes(2) and len(frame) >= 60 else None


def sender(frame):
    return frame[6:12]


def run_of(frames):
    """The vehicle's frames of the run that ended in the first match: from its last request to be matched on."""
    end = next((at for at, frame in enumerate(frames) if mmtype(frame) == MATCH_REQ), None)
    if end is None:
        return None
    vehicle = sender(frames[end])
    own = [frame for frame in frames[: end + 1] if sender(frame) == vehicle]
    starts = [at for at, frame in enumerate(own) if mmtype(frame) == PARM_REQ]
    return own[starts[-1] :] if starts else None


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
    header = LOCAL_MODEM + vehicle + struct.pack(">HB", HOMEPLUG, 1) + struct.pack("<H", SET_KEY_REQ) + bytes(2)
    return (header + payload).ljust(60, b"\0")


class Vehicle:
    def __init__(self, interface, frames):
        self.link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(HOMEPLUG))
        self.link.bind((interface, 0))
        self.frames, self.address = frames, sender(frames[0])
        self.run_id = self.frames[0][PAYLOAD + 2 : PAYLOAD + 10]

    def of(self, *kinds):
        return [frame for frame in self.frames if mmtype(frame) in kinds]

    def await_(self, kind, limit, run_id_at=None):
        """The next frame of this kind for this vehicle and, if it names one, this run; None: in time there was none."""
        deadline = time.monotonic() + limit
        while (rest := deadline - time.monotonic()) > 0:
            self.link.settimeout(rest)
            try:
                frame, (_, _, direction, _, _) = self.link.recvfrom(2048)
            except TimeoutError:
                return None
            if direction == socket.PACKET_OUTGOING or mmtype(frame) != kind or frame[:6] != self.address:
                continue
            at = run_id_at and PAYLOAD + run_id_at
            if at is None or frame[at : at + 8] == self.run_id:
                return frame
        return None

    def ask(self, frame, kind, limit, tries=TRIES, run_id_at=None):
        for _ in range(tries):
            self.link.send(frame)
            if answer := self.await_(kind, limit, run_id_at):
                return answer
        raise NotMatched(f"no {kind:#06x} in {tries} times {limit} s")

    def match(self):
        self.ask(self.frames[0], PARM_CNF, RESPONSE_S, round(PATIENCE_S / RESPONSE_S), run_id_at=17)
        for frame in self.of(START_ATTEN, SOUND):
            self.link.send(frame)
            time.sleep(BATCH_S)
        report = self.await_(ATTEN_IND, ATTENUATION_S, run_id_at=8)
        if report is None:
            raise NotMatched(f"no attenuation within {ATTENUATION_S} s")
        station = sender(report)
        for frame in self.of(ATTEN_RSP)[-1:]:
            self.link.send(to(station, frame))
        matched = self.ask(to(station, self.of(MATCH_REQ)[-1]), MATCH_CNF, RESPONSE_S, run_id_at=50)
        nid, nmk = matched[PAYLOAD + 66 : PAYLOAD + 73], matched[PAYLOAD + 74 : PAYLOAD + 90]
        self.ask(set_key(self.address, nid, nmk), SET_KEY_CNF, RESPONSE_S)


def main(interface, file):
    runs = [run for visit in capture.Reader(file).visits if (run := run_of(visit.frames))]
    if not runs:
        raise NotMatched("the recording has no match")
    Vehicle(interface, runs[0]).match()
    print("matched", sender(runs[0][0]).hex(":"), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
