"""Two powerline modems and the cable between them, for programs that speak SLAC over Ethernet.

Usage: powerline.py [--attenuation DB] [--silent] COMMAND...

Makes two veth pairs in the network namespace it is started in: `evse1`, on which COMMAND (the
station) is started, and `ev1` for the vehicle. Between them it is what two QCA7000 and a cable are:

    station ── evse1 | [modem] ~~~ cable ~~~ [modem] | ev1 ── vehicle

A modem keeps what is sent to its own address and takes its key. Frames for others cross the cable:
management messages always, all else only while both modems have one key. The station's modem
measures each sound of the vehicle. Standard input takes lines: `run PROGRAM ARGUMENTS` starts the
vehicle's program, `quit` ends all. What happens is told on standard output.
"""

import argparse
import os
import selectors
import shlex
import signal
import socket
import struct
import subprocess
import sys

LOCAL_MODEM = bytes.fromhex("00b052000001")
BROADCAST = b"\xff" * 6
MANAGEMENT = 0x88E1
SET_KEY_REQ, SET_KEY_CNF = 0x6008, 0x6009
MNBC_SOUND, ATTEN_PROFILE = 0x6076, 0x6086
LINK_STATUS_REQ, LINK_STATUS_CNF = 0xA0B8, 0xA0B9
QUALCOMM = bytes.fromhex("00b052")
GROUPS = 58
ETH_P_ALL = 3


def tell(*words):
    # In one piece: voltry-secc writes into the same file.
    os.write(1, f"powerline: {' '.join(map(str, words))}\n".encode())


class Modem:
    """The host's side is a packet socket on the far end of the host's veth pair."""

    def __init__(self, interface, address):
        self.address, self.key = address, None
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.bind((interface, 0))
        self.name = interface

    def receive(self):
        frame, (_, _, kind, _, _) = self.socket.recvfrom(2048)
        return None if kind == socket.PACKET_OUTGOING else frame

    def send(self, to, mmtype, payload, version=1):
        fragmentation = b"\0\0" if version else b""
        frame = to + self.address + struct.pack(">HB", MANAGEMENT, version) + struct.pack("<H", mmtype)
        self.pass_on((frame + fragmentation + payload).ljust(60, b"\0"))

    def pass_on(self, frame):
        try:
            self.socket.send(frame)
        except OSError as error:
            tell(self.name, "lost a frame:", error)


class Cable:
    def __init__(self, station, vehicle, attenuation, silent):
        self.station, self.vehicle = station, vehicle
        self.attenuation, self.silent = attenuation, silent

    def joined(self):
        return self.station.key is not None and self.station.key == self.vehicle.key

    def carry(self, sender, receiver, frame):
        destination, source = frame[:6], frame[6:12]
        [ethertype] = struct.unpack(">H", frame[12:14])
        if ethertype != MANAGEMENT:
            if self.joined():
                receiver.pass_on(frame)
            return
        version, [mmtype] = frame[14], struct.unpack("<H", frame[15:17])
        payload = frame[19:] if version else frame[17:]
        if destination == LOCAL_MODEM or destination == sender.address:
            if not (self.silent and sender is self.station):
                self.answer(sender, source, mmtype, payload)
            return
        receiver.pass_on(frame)
        if mmtype == MNBC_SOUND and receiver is self.station:
            profile = source + bytes([GROUPS, 0]) + bytes([self.attenuation]) * GROUPS
            receiver.send(BROADCAST, ATTEN_PROFILE, profile)

    def answer(self, modem, host, mmtype, payload):
        if mmtype == SET_KEY_REQ:
            nonce, modem.key = payload[1:5], payload[22:38]
            tell(modem.name, "key", modem.key.hex())
            if self.joined():
                tell("joined")
            # As every QCA7000 in recorded sessions: result 1, the host's nonce given back.
            modem.send(host, SET_KEY_CNF, b"\x01" + b"\x12\x34\x56\x78" + nonce + b"\x04\0\0\xff\0")
        elif mmtype == LINK_STATUS_REQ and payload[:3] == QUALCOMM:
            modem.send(host, LINK_STATUS_CNF, QUALCOMM + bytes([0, self.joined()]), version=0)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def make_network():
    ip("link", "set", "lo", "up")
    for host, modem, address in [("evse1", "modem1", "fe80::1/64"), ("ev1", "modem2", "fe80::2/64")]:
        ip("link", "add", host, "type", "veth", "peer", "name", modem)
        ip("link", "set", modem, "addrgenmode", "none")
        ip("link", "set", host, "addrgenmode", "none")
        ip("addr", "add", address, "dev", host, "nodad")
        ip("link", "set", host, "up")
        ip("link", "set", modem, "up")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--attenuation", type=int, default=30)
    parser.add_argument("--silent", action="store_true", help="the station's modem does not answer")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    make_network()
    station = Modem("modem1", bytes.fromhex("000187000001"))
    vehicle = Modem("modem2", bytes.fromhex("000187000002"))
    cable = Cable(station, vehicle, options.attenuation, options.silent)
    children = [subprocess.Popen(options.command)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with selectors.DefaultSelector() as selector:
        selector.register(station.socket, selectors.EVENT_READ, (station, vehicle))
        selector.register(vehicle.socket, selectors.EVENT_READ, (vehicle, station))
        selector.register(sys.stdin, selectors.EVENT_READ, None)
        try:
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        line = sys.stdin.readline().strip()
                        if line in ("", "quit"):
                            return
                        children.append(subprocess.Popen(shlex.split(line.removeprefix("run "))))
                    elif frame := key.data[0].receive():
                        cable.carry(*key.data, frame)
        finally:
            for child in children:
                child.terminate()
            for child in children:
                tell(child.args[0], "ended with", child.wait())


if __name__ == "__main__":
    main()
