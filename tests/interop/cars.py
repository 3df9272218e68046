"""Recorded cars drive again: each capture below a folder is played against a running station.

Usage: cars.py FOLDER [--pace fast|recorded] [--only TEXT] [--keep FILE] [--state FOLDER]

Prints a table, and why each capture that fell short did; ends with 1 if one fell short. --keep writes its rows
into the table of a Markdown file, between its markers. See recorded_car.py for how a car is played.
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import json
import re
import sys
import tempfile
from pathlib import Path

import capture
from capture import HANDSHAKE
from exi_fields import DIN, ISO2
from station import AFTERWARDS, station_of

PLAYER = Path(__file__).with_name("recorded_car.py")
# One EVSE for each protocol, since a recorded conversation is in the one that its station spoke.
SPOKEN = {DIN: "din70121", ISO2: "iso15118-2"}
# How long a played visit may take beyond what was recorded, seconds.
VISIT_LIMIT = 240
SETTLED_LIMIT = 20
# A charge loop this long has current, however slowly it rises.
CURRENT_AFTER_S = 2
AT_REST = {"finished", "paused", "faulted", "connected", "available"}
COLUMNS = ["car", "capture", "SLAC", "protocol", "recorded to", "played to", "current", "verdict"]
MARKERS = "<!-- cars: begin -->\n", "<!-- cars: end -->"


@dataclasses.dataclass
class Row:
    car: str
    capture: str
    matching: str = "–"
    protocol: str = "–"
    recorded: str = "–"
    played: str = "–"
    current: str = "–"
    verdict: str = "not played"
    short: bool = False
    # What of the capture was not played, and why.
    notes: list[str] = dataclasses.field(default_factory=list)
    log: list[str] = dataclasses.field(default_factory=list)

    def cells(self):
        left_out = f"; {'; '.join(self.notes)}" if self.notes else ""
        texts = [self.matching, self.protocol, self.recorded, self.played, self.current, self.verdict + left_out]
        return [self.car, self.capture, *texts]


@dataclasses.dataclass
class Judgement:
    short: bool
    words: str


def judge(conversation, spoken, outcome, after):
    """Whether it went as far as it should: `outcome` of recorded_car.py, `after` the EVSE's status."""
    expected, refused = conversation.refusal(spoken), outcome["refused"] and tuple(outcome["refused"])
    if outcome["ended"]:
        return Judgement(True, f"falls short: {outcome['ended']}")
    if float(after["voltage"]) >= 60 or after["contactors"] != "open":
        return Judgement(True, f"not safe afterwards: {after['voltage']} V, contactors {after['contactors']}")
    if expected:
        said = "refused: {1} at {0}".format(*refused) if refused else "not refused"
        wanted = "" if refused == expected else " instead of {1} at {0}".format(*expected)
        return Judgement(refused != expected, said + wanted)
    if refused:
        return Judgement(True, "falls short: {1} at {0}".format(*refused))
    if outcome["stop_asked"]:
        return Judgement(True, "falls short: the station asked to stop")
    if outcome["charge_loop_s"] > CURRENT_AFTER_S and wanted_current(conversation) > 2 and outcome["current_a"] < 1:
        return Judgement(True, "falls short: no current flowed")
    stopped = bool(conversation.exchanges) and conversation.exchanges[-1].kind == "SessionStop"
    end = "paused" if conversation.pauses else "finished"
    if stopped and after["state"] != end:
        return Judgement(True, f"no clean end: {after['state']}, not {end}")
    words = "to its pause" if conversation.pauses else "to the end"
    return Judgement(False, words if stopped else "as far as recorded, then silence")


def judge_silence(visit, report, after):
    """Whether a visit in which nothing readable was said went as far as it should."""
    if report["ended"]:
        return Judgement(True, f"falls short: {report['ended']}")
    if float(after["voltage"]) >= 60 or after["contactors"] != "open":
        return Judgement(True, f"not safe afterwards: {after['voltage']} V, contactors {after['contactors']}")
    rest = "what was said over TLS not played" if visit.secured else "then silence"
    return Judgement(False, f"as far as recorded ({report['reached']}), {rest}")


def wanted_current(conversation):
    """The most that the vehicle asked for, amperes."""
    asked = (one.asked for one in conversation.exchanges if one.kind == "CurrentDemand" and one.asked)
    return max((capture.physical(message.fields["EVTargetCurrent"]) for message in asked), default=0)


def reached(phases):
    """The last phase of (name, count)s, and how many requests it had if that tells something."""
    if not phases:
        return "–"
    name, count = phases[-1]
    return f"{name} ×{count}" if count > 1 else name


class Gate:
    """One EVSE at which the captures of one protocol are played, one after another."""

    def __init__(self, station, evse, folder, pace):
        self.station, self.evse, self.folder, self.pace = station, evse, folder, pace

    async def play(self, row, file, number, visit):
        """Plays a visit and adds to its capture's row."""
        (self.folder / "visit.json").write_text(json.dumps({"file": str(file), "visit": number, "pace": self.pace}))
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        start = len(self.station.lines)
        await self.station.say(f"plug {self.evse}")
        async with asyncio.timeout(VISIT_LIMIT + (recorded_time(visit) if self.pace == "recorded" else 0)):
            await self.station.until(f'vehicle\'s session ended: .* vehicle="ev{self.evse}"', start)
        after = await self.rest(AT_REST if visit.conversations else None)
        self.enter(row, visit, json.loads(report.read_text()) if report.is_file() else None, after)
        await self.station.say(f"unplug {self.evse}")
        free = await self.rest({"available"})
        if free["state"] != "available":
            row.short, row.verdict = True, f"{row.verdict}; then not available again: {free['state']}"
        if row.short:
            row.log += [line for line in self.station.lines[start:] if "WARN" in line or "ERROR" in line]

    async def rest(self, states):
        """The status once the EVSE is in one of these states (None: any) with nothing on its cable; else as it is at
        last."""
        status = await self.station.status(self.evse)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_LIMIT):
                while (states and status["state"] not in states) or float(status["voltage"]) >= 60:
                    await asyncio.sleep(0.05)
                    status = await self.station.status(self.evse)
        return status

    def enter(self, row, visit, report, after):
        if report is None:
            row.short, row.verdict = True, "the player failed"
            return
        row.matching = report["matching"]
        if not report["outcomes"]:
            row.protocol = visit.spoken if visit.conversations else "–"
            row.recorded = reached([(name, len(run)) for name, run in phases(visit)]) if visit.conversations else "–"
            row.played = report["reached"]
            self.tell(row, judge_silence(visit, report, after))
        for conversation, outcome in zip(visit.conversations, report["outcomes"]):
            self.tell(row, judge(conversation, visit.spoken, outcome, after))
            row.protocol = visit.spoken
            recorded = [(HANDSHAKE, 1)] + [(name, len(run)) for name, run in conversation.phases]
            row.recorded = reached(recorded)
            row.played = reached([(phase["name"], phase["asked"]) for phase in outcome["phases"]])
            if outcome["charge_loop_s"]:
                row.current = f"{outcome['current_a']:.0f} A"

    def tell(self, row, judgement):
        if not row.short:
            row.verdict = judgement.words
        row.short |= judgement.short


def phases(visit):
    return [phase for conversation in visit.conversations for phase in conversation.phases]


def recorded_time(visit):
    """Seconds, as far as they are played in the vehicle's own time."""
    if not visit.conversations:
        return 0
    ends = [one.exchanges[-1].at if one.exchanges else one.offered_at for one in visit.conversations]
    return ends[-1] - visit.conversations[0].offered_at


def topology(folders):
    """A station with an EVSE for each protocol, whose vehicle is played."""
    text = f"evses = {len(SPOKEN)}\n"
    for evse, (protocol, name) in enumerate(SPOKEN.items(), 1):
        program = [*AFTERWARDS, sys.executable, str(PLAYER), str(folders[protocol])]
        text += f"[[evse]]\nvehicle.program = {program}\nvehicle.matches = true\n"
        text += f'[config.secc.{evse}]\nprotocols = ["{name}"]\n'
    return text


async def drive(files, folder, pace, tell=lambda row: None):
    """Plays the captures ((car, file) each) on a station of its own below `folder`; their rows."""
    folders = {protocol: folder / name for protocol, name in SPOKEN.items()}
    for one in folders.values():
        one.mkdir(parents=True, exist_ok=True)
    rows, queues = [], collections.defaultdict(list)
    for car, file in files:
        reader = capture.Reader(file)
        rows.append(Row(car, file.stem, notes=reader.notes))
        visits = reader.visits
        for number, visit in enumerate(visits):
            if visit.spoken in SPOKEN:
                queues[visit.spoken].append((rows[-1], file.resolve(), number, visit, number == len(visits) - 1))
            else:
                rows[-1].protocol, rows[-1].verdict = visit.spoken, "not played: not spoken here"
        if not visits:
            tell(rows[-1])

    async def one_by_one(gate, queue):
        for row, file, number, visit, last in queue:
            await gate.play(row, file, number, visit)
            if last:
                tell(row)

    if queues:
        async with station_of(folder, topology(folders)) as station, asyncio.TaskGroup() as playing:
            for evse, protocol in enumerate(SPOKEN, 1):
                gate = Gate(station, evse, folders[protocol], pace)
                playing.create_task(one_by_one(gate, queues[protocol]))
    return rows


def table(rows):
    """Markdown of rows of cells."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [COLUMNS, ["---"] * len(COLUMNS), *rows])


def keep(rows, file):
    """Puts the rows into a document's table, between its markers, in place of those of the same captures."""
    begin, end = MARKERS
    before, rest = file.read_text().split(begin)
    old, after = rest.split(end)
    kept = {tuple(cells[:2]): cells for line in old.splitlines() if len(cells := split(line)) == len(COLUMNS)}
    kept.pop(tuple(COLUMNS[:2]), None)
    kept.pop(("---", "---"), None)
    kept.update((tuple(row[:2]), row) for row in rows)
    file.write_text(f"{before}{begin}\n{table(kept[key] for key in sorted(kept))}\n{end}{after}")


def split(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pace", choices=["fast", "recorded"], default="fast")
    parser.add_argument("--only", default="", metavar="PATTERN", help="captures whose path this pattern fits")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="put the table into this document")
    parser.add_argument("--state", type=Path, metavar="FOLDER", help="where the station keeps its state and log")
    options = parser.parse_args()
    files = [(car, file) for car, file in capture.captures(options.folder) if re.search(options.only, str(file))]
    if not files:
        print(f"cars: there are no captures in {options.folder}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        state = options.state or Path(temporary)
        rows = asyncio.run(drive(files, state, options.pace, lambda row: print(*row.cells(), sep=" | ", flush=True)))
    cells = [row.cells() for row in rows]
    print(f"\n{table(cells)}")
    short = [row for row in rows if row.short]
    for row in short:
        print(f"{row.car} {row.capture}: {row.verdict}", *row.log, sep="\n    ")
    unplayed = sum(row.verdict.startswith("not played") for row in rows)
    whole = len(rows) - len(short) - unplayed
    print(f"{whole} captures went as far as they should, {len(short)} fell short, {unplayed} cannot be played")
    if options.keep:
        keep(cells, options.keep)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
