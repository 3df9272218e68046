"""A vehicle that says again what a real one said, for voltry-sim's `vehicle.program`.

Usage: recorded_car.py FOLDER

FOLDER/visit.json says what to play: {"file": a capture, "visit": which of its visits, "pace": "recorded" or
"fast"}. What came of it is written to FOLDER/report.json. It is matched by the frames that were recorded, or, where
there are none that lead to a match, by made-up ones (recorded_slac.py). Each request goes out as it was recorded but for
the session id, which is the one this station gave, and the schedule chosen, which is one that it offers. Where the vehicle asked again because it was not yet
answered Finished, it now asks as often as this station makes it. Its battery has the voltage that the
recorded station measured.
"""

import asyncio
import dataclasses
import json
import os
import socket
import sys
import time
from pathlib import Path

import capture
import exi_fields
import recorded_slac
from capture import HANDSHAKE, ONGOING_LIMIT
from exi_fields import ISO2

DISCOVERY_PORT = 15118
DISCOVERY_TRIES, DISCOVERY_LIMIT = 50, 0.25
# SECC discovery request: unsecured, TCP.
DISCOVERY_REQUEST = bytes.fromhex("01fe9000000000021000")
DISCOVERY_RESPONSE = bytes.fromhex("01fe9001")
EXI_PAYLOAD = bytes.fromhex("01fe8001")
# How long vehicles wait for an answer, seconds (DIN SPEC 70121 and ISO 15118-2, message timers).
ANSWER_LIMIT = {
    "CurrentDemand": 0.25,
    "ServiceDetail": 5,
    "PaymentDetails": 5,
    "PowerDelivery": 5,
    "CertificateInstallation": 5,
    "CertificateUpdate": 5,
}
USUAL_ANSWER_LIMIT = 2
PRE_CHARGE_LIMIT = 7
# Within this of its battery a vehicle closes its contactors.
CLOSING_DIFFERENCE_V = 20
# Between two requests that were not recorded, because the recorded station was done earlier.
ASKING_AGAIN_S = 0.1
# A station of ours that nobody plans for offers one schedule, and a simulated one more power than this.
SCHEDULE, OFFERED_W = 1, 40_000
# What the vehicle's battery and cables have in the simulation.
BATTERY_OHMS = 0.08
# A battery's voltage moves no faster, however fast a session is played.
BATTERY_V_PER_S = 20
# Which frames the matching was played with.
RECORDED, INCOMPLETE, MADE_UP = "recorded", "made up: incomplete in the recording", "made up"
# How far a visit without a conversation went.
SOUNDED, MATCHED, DISCOVERY = "sounds", "match", "SDP"
ENERGISED = {"CableCheck", "PreCharge", "PowerDelivery(Start)", "CurrentDemand"}


def switch(what):
    """Tells the simulator what the vehicle switches."""
    print(what, flush=True)


class Ended(Exception):
    """The conversation can't go on: the answer did not come, or the connection is gone."""


@dataclasses.dataclass
class Phase:
    """How a phase of the recording went: how many requests there were, how many this station got."""

    name: str
    recorded: int
    asked: int = 0
    slowest_s: float = 0.0


@dataclasses.dataclass
class Outcome:
    """What came of a conversation."""

    phases: list[Phase] = dataclasses.field(default_factory=list)
    # The kind of request and the ResponseCode that ended it.
    refused: tuple[str, str] | None = None
    # Why it ended early, if not by a refusal.
    ended: str | None = None
    stop_asked: bool = False
    charge_loop_s: float = 0.0
    current_a: float = 0.0


@dataclasses.dataclass
class Report:
    """What came of a visit: which frames the matching was played with, how far it went, and why no farther."""

    matching: str = ""
    reached: str = "nothing"
    ended: str | None = None
    outcomes: list[Outcome] = dataclasses.field(default_factory=list)


def run_to_play(visit):
    """The matching's run, and whose it is."""
    run = recorded_slac.run_of(visit.frames)
    whole = run and run.of(recorded_slac.SOUND) and run.of(recorded_slac.MATCH_REQ)
    if run and (whole or not (visit.conversations or visit.secured)):
        return run, RECORDED
    return recorded_slac.made_up(), INCOMPLETE if visit.frames else MADE_UP


class Battery:
    """The battery of the simulated vehicle: it follows what was measured, at a battery's pace."""

    def __init__(self):
        self.volts, self.told, self.at = None, None, 0.0

    def become(self, volts):
        """At once: nothing is connected to it."""
        self.volts, self.at = volts, time.monotonic()
        self.tell()

    def follow(self, volts, amperes):
        """What was measured while `amperes` flowed, at most."""
        goal = volts - amperes * BATTERY_OHMS
        if self.volts is None:
            return self.become(goal)
        now = time.monotonic()
        step = BATTERY_V_PER_S * min(now - self.at, 1.0)
        self.volts, self.at = self.volts + max(-step, min(step, goal - self.volts)), now
        self.tell()

    def tell(self):
        if self.told is None or abs(self.volts - self.told) >= 0.2:
            self.told = self.volts
            switch(f"battery {self.volts:.1f}")


class Vehicle:
    def __init__(self, interface, pace):
        self.interface, self.recorded_pace = interface, pace == "recorded"
        self.battery = Battery()
        self.session_ids = {}

    async def play(self, visit):
        """The matching, then the visit's conversations up to the first that this station ended."""
        report = Report()
        try:
            linked = await self.match(visit, report)
            if linked and not visit.conversations and visit.discovery:
                await self.discover(visit.discovery)
                report.reached = DISCOVERY
        except (Ended, recorded_slac.NotMatched) as ended:
            report.ended = str(ended)
        if report.ended or not linked:
            return report
        for conversation in visit.conversations:
            outcome = Outcome()
            report.outcomes.append(outcome)
            try:
                await self.converse(conversation, outcome)
            except Ended as ended:
                outcome.ended = str(ended)
            refused = outcome.refused or (HANDSHAKE, "")
            if outcome.ended or refused[0] != HANDSHAKE:
                break
        return report

    async def match(self, visit, report):
        """Whether the vehicle is in the station's network: by its own recorded frames, if they lead there."""
        run, report.matching = run_to_play(visit)
        if run.attenuation:
            switch("attenuation " + " ".join(map(str, run.attenuation)))
        vehicle = recorded_slac.Vehicle(self.interface, run, self.recorded_pace)
        matched = await asyncio.to_thread(vehicle.match)
        report.reached = MATCHED if matched else SOUNDED
        return matched

    async def converse(self, conversation, outcome):
        address = await self.discover(conversation.discovery or DISCOVERY_REQUEST)
        link = await Link.open(address)
        try:
            answer = await link.ask(conversation.offer, USUAL_ANSWER_LIMIT)
            code, schema = exi_fields.negotiated(answer)
            outcome.phases.append(Phase(HANDSHAKE, 1, 1))
            if not code.startswith("OK"):
                outcome.refused = HANDSHAKE, code
                return
            if schema not in conversation.offered:
                raise Ended(f"SchemaID {schema} was not offered")
            await Session(self, link, conversation, outcome).play()
        finally:
            await link.close()

    async def discover(self, request):
        """The station's address, by SDP."""
        loop = asyncio.get_running_loop()
        scope = socket.if_nametoindex(self.interface)
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as link:
            link.setblocking(False)
            link.bind(("::", 0))
            link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, scope)
            for _ in range(DISCOVERY_TRIES):
                await loop.sock_sendto(link, request, ("ff02::1", DISCOVERY_PORT, 0, scope))
                try:
                    answer = await asyncio.wait_for(loop.sock_recv(link, 64), DISCOVERY_LIMIT)
                except TimeoutError:
                    continue
                if answer.startswith(DISCOVERY_RESPONSE) and len(answer) == 28:
                    port = int.from_bytes(answer[24:26])
                    return socket.inet_ntop(socket.AF_INET6, answer[8:24]), port, 0, scope
        raise Ended("no answer to discovery")


class Link:
    """V2GTP over one connection."""

    @classmethod
    async def open(cls, address):
        link = cls()
        try:
            end = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(end, address), 2)
            link.reader, link.writer = await asyncio.open_connection(sock=end)
        except (OSError, TimeoutError) as error:
            raise Ended(f"no connection: {error}") from error
        return link

    async def ask(self, payload, limit):
        reading = asyncio.create_task(self.read())
        try:
            self.writer.write(EXI_PAYLOAD + len(payload).to_bytes(4) + payload)
            await asyncio.wait([reading], timeout=limit)
            # This program may have been away itself: an answer that lies here already counts.
            await asyncio.wait([reading], timeout=0)
            if not reading.done():
                raise Ended(f"no answer in {limit} s")
            return reading.result()
        except (asyncio.IncompleteReadError, OSError) as error:
            raise Ended("the station closed the connection") from error
        finally:
            reading.cancel()

    async def read(self):
        header = await self.reader.readexactly(8)
        if not header.startswith(EXI_PAYLOAD):
            raise Ended(f"no V2GTP header: {header.hex()}")
        return await self.reader.readexactly(int.from_bytes(header[4:]))

    async def close(self):
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass  # the station was first


class Session:
    """What follows the handshake."""

    def __init__(self, vehicle, link, conversation, outcome):
        self.vehicle, self.link, self.conversation, self.outcome = vehicle, link, conversation, outcome
        self.session_id = None
        self.closed = False
        self.last_recorded = conversation.offered_at

    async def play(self):
        for name, exchanges in self.conversation.phases:
            await self.prepare(name, exchanges)
            phase = Phase(name, len(exchanges))
            self.outcome.phases.append(phase)
            await self.play_phase(phase, exchanges)
            # What this station made needless took no time here.
            self.last_recorded = exchanges[-1].answered_at or exchanges[-1].at
            if self.outcome.refused:
                return await self.say_goodbye()
            self.afterwards(name)
        if self.closed:
            self.let_go()

    async def prepare(self, name, exchanges):
        """What a vehicle switches before it asks so."""
        if name in ENERGISED:
            switch("s2 closed")
        if name == "PreCharge":
            self.vehicle.battery.become(self.battery_before_charging(exchanges[-1]))
        if name == "PowerDelivery(Start)" and not self.closed:
            self.closed = True
            switch("contactors closed")
            await asyncio.sleep(ASKING_AGAIN_S)

    def battery_before_charging(self, exchange):
        """Volts. A vehicle asks PreCharge for its battery's voltage; else it is the first that was measured."""
        target = capture.physical(exchange.asked.fields.get("EVTargetVoltage")) or 0.0
        loop = (one for one in self.conversation.exchanges if one.kind == "CurrentDemand")
        measured = (one.battery[0] for one in loop if one.battery)
        return target if target >= capture.BATTERY_LEAST_V else next(measured, target)

    def afterwards(self, name):
        """What it switches once it is answered."""
        if name in {"PowerDelivery(Stop)", "SessionStop"}:
            self.let_go()

    def let_go(self):
        self.closed = False
        switch("s2 open")
        switch("contactors open")

    async def play_phase(self, phase, exchanges):
        began = None
        while True:
            exchange = exchanges[min(phase.asked, len(exchanges) - 1)]
            await self.wait(exchange, phase.asked >= len(exchanges))
            asked_at = time.monotonic()
            began = began or asked_at
            answer = await self.ask(exchange)
            phase.asked += 1
            phase.slowest_s = max(phase.slowest_s, time.monotonic() - asked_at)
            code = answer.fields.get("ResponseCode", "no ResponseCode")
            if not code.startswith("OK"):
                self.outcome.refused = exchange.kind, code
                return
            if self.goes_on(phase, exchanges, answer, time.monotonic() - began):
                continue
            if phase.name == "CurrentDemand":
                self.outcome.charge_loop_s += time.monotonic() - began
            return

    def goes_on(self, phase, exchanges, answer, elapsed):
        """Whether the vehicle asks the same again."""
        more = phase.asked < len(exchanges)
        if phase.name in ONGOING_LIMIT:
            if answer.fields.get("EVSEProcessing") == "Finished":
                return False
            if more or not exchanges[-1].finished:
                return more  # where the recorded vehicle gave up, this one does
            return self.within(phase, elapsed, ONGOING_LIMIT[phase.name])
        if phase.name == "PreCharge":
            volts = capture.physical(answer.fields["EVSEPresentVoltage"])
            if abs(volts - self.vehicle.battery.volts) <= CLOSING_DIFFERENCE_V:
                return False
            if more or not self.started:
                return more
            return self.within(phase, elapsed, PRE_CHARGE_LIMIT)
        if phase.name == "CurrentDemand":
            self.measure(answer)
            if "StopCharging" in str(answer.fields):
                self.outcome.stop_asked = True
                return False
        return more

    @property
    def started(self):
        return any(name == "PowerDelivery(Start)" for name, _ in self.conversation.phases)

    def within(self, phase, elapsed, limit):
        if elapsed > limit:
            raise Ended(f"not finished within {limit} s")
        return True

    def measure(self, answer):
        amperes = capture.physical(answer.fields["EVSEPresentCurrent"])
        self.outcome.current_a = max(self.outcome.current_a, abs(amperes))

    async def wait(self, exchange, again):
        """A vehicle's own time between an answer and its next request."""
        if again:
            await asyncio.sleep(ASKING_AGAIN_S)
        elif self.vehicle.recorded_pace:
            await asyncio.sleep(max(0.0, exchange.at - self.last_recorded))
        self.last_recorded = exchange.answered_at or exchange.at

    async def ask(self, exchange):
        if exchange.kind == "CurrentDemand" and exchange.battery:
            # A recorded station's amperes may be out by a power of ten; it gives no more than it is asked.
            volts, amperes = exchange.battery
            wanted = capture.physical(exchange.asked.fields["EVTargetCurrent"]) if exchange.asked else amperes
            self.vehicle.battery.follow(volts, min(amperes, wanted))
        limit = ANSWER_LIMIT.get(exchange.kind, USUAL_ANSWER_LIMIT)
        try:
            payload = await self.link.ask(self.dressed(exchange), limit)
            answer = exi_fields.message(payload)
        except exi_fields.Unreadable as error:
            raise Ended(f"{exchange.kind}: unreadable answer {payload.hex()}: {error}") from error
        except Ended as ended:
            raise Ended(f"{exchange.phase}: {ended}") from ended
        if exchange.kind == "SessionSetup":
            self.session_id = answer.session_id
            if recorded := exchange.answer:
                self.vehicle.session_ids[recorded.session_id] = answer.session_id
        return answer

    def dressed(self, exchange):
        """The request, with what it has of this station in place of what it had of the recorded one: the session id,
        and, in ISO 15118-2, the schedule chosen and its power."""
        if self.session_id is not None:
            request = exi_fields.with_session_id(exchange.request, self.session_id)
            if exchange.kind == "PowerDelivery" and exchange.asked.protocol == ISO2:
                return exi_fields.with_plan(request, SCHEDULE, OFFERED_W)
            return request
        # A vehicle that comes back names the session that it paused.
        known = exchange.asked and self.vehicle.session_ids.get(exchange.asked.session_id)
        return exi_fields.with_session_id(exchange.request, known) if known else exchange.request

    async def say_goodbye(self):
        """A vehicle that is refused stops the session, with the request it has for that."""
        self.let_go()
        last = self.conversation.exchanges[-1]
        if last.kind == "SessionStop":
            await self.ask(last)


async def main(folder):
    what = json.loads((folder / "visit.json").read_text())
    visit = capture.visits(what["file"])[what["visit"]]
    report = await Vehicle(os.environ["NETWORK_INTERFACE"], what["pace"]).play(visit)
    (folder / "report.json").write_text(json.dumps(dataclasses.asdict(report)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
