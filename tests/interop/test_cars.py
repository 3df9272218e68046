"""Recorded cars drive: the shortest complete recording of each protocol against a running station, and what
the player is made of against an independent codec's reading. `make cars` plays every recording.

The recordings are no part of this project; where they are not beside it, this says that it skipped.
"""

import asyncio
import json
import socket
import time
import types

import capture
import cars
import exi_fields
import pytest
import recorded_car
import recorded_slac
from conftest import ROOT
from exi_fields import ISO2

DATA = ROOT.parent / "shared" / "data"
recorded = pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings in {DATA}")
# A request of a VW ID.3 (EVerest/logfiles, Apache-2.0): SessionSetupReq with a session id of one octet.
SESSION_SETUP = bytes.fromhex("8098004011d01801f7e821f21400")
OURS = bytes.fromhex("a1b2c3d4e5f60718")


def read_by_another_codec(protocol):
    """Payloads and what the EXIficient codec read, where it read them."""
    with (DATA / "v2g-messages" / f"{protocol}.jsonl").open() as lines:
        entries = [json.loads(line) for line in lines]
    return [(bytes.fromhex(entry["hex"]), entry["decoded"]) for entry in entries if entry["decoded"]]


def disagreements(ours, theirs):
    """Fields that were read otherwise; numbers for what is not named here count as read."""
    if isinstance(ours, dict):
        return [wrong for name, value in ours.items() for wrong in disagreements(value, theirs.get(name, "absent"))]
    if isinstance(ours, bytes):
        return [] if ours.hex().upper() == theirs else [(ours, theirs)]
    named = isinstance(theirs, str) and not isinstance(ours, str) and theirs != "absent"
    return [] if ours == theirs or named else [(ours, theirs)]


@recorded
@pytest.mark.parametrize("protocol", ["din", "iso2"])
def test_what_is_read_of_a_message_is_what_another_codec_reads(protocol):
    read = 0
    for payload, theirs in read_by_another_codec(protocol):
        whole = theirs["V2G_Message"]
        try:
            ours = exi_fields.message(payload)
        except exi_fields.Unreadable as error:
            assert "signature" in str(error), (payload.hex(), error)
            continue
        [(name, body)] = whole["Body"].items()
        assert (ours.name, ours.session_id.hex().upper()) == (name, whole["Header"]["SessionID"])
        assert disagreements(ours.fields, body) == [], payload.hex()
        read += 1
    assert read > 2500


@recorded
def test_a_schedule_of_another_station_is_replaced_and_the_rest_is_as_it_was():
    plans = 0
    for payload, theirs in read_by_another_codec("iso2"):
        request = theirs["V2G_Message"]["Body"].get("PowerDeliveryReq")
        if not request:
            continue
        chosen = request["SAScheduleTupleID"]
        other = exi_fields.with_plan(payload, 77, 1000)
        assert exi_fields.message(other).fields == exi_fields.message(payload).fields | {"SAScheduleTupleID": 77}
        assert exi_fields.with_plan(payload, chosen, 10**6) == payload
        lowered = exi_fields.with_plan(other, chosen, 10**6) != payload
        profile = request.get("ChargingProfile", {"ProfileEntry": []})["ProfileEntry"]
        powers = [entry["ChargingProfileEntryMaxPower"] for entry in profile]
        assert lowered == any(power["Value"] * 10 ** power["Multiplier"] > 1000 for power in powers)
        plans += lowered
    assert plans > 10


@recorded
def test_what_is_read_of_a_handshake_is_what_another_codec_reads():
    for payload, theirs in read_by_another_codec("sap"):
        if request := theirs.get("supportedAppProtocolReq"):
            offered = {entry["SchemaID"]: entry["ProtocolNamespace"] for entry in request["AppProtocol"]}
            assert exi_fields.offered(payload) == offered
        else:
            response = theirs["supportedAppProtocolRes"]
            assert exi_fields.negotiated(payload) == (response["ResponseCode"], response.get("SchemaID"))


def test_a_session_id_of_another_length_leaves_the_rest_as_it_was():
    changed = exi_fields.with_session_id(SESSION_SETUP, OURS)
    before, after = exi_fields.message(SESSION_SETUP), exi_fields.message(changed)
    assert (before.session_id, after.session_id) == (b"\0", OURS)
    assert (after.name, after.fields) == (before.name, before.fields)
    for there in [b"", b"\7", OURS]:
        assert exi_fields.with_session_id(exi_fields.with_session_id(SESSION_SETUP, there), b"\0") == SESSION_SETUP


@recorded
@pytest.mark.parametrize("protocol", ["din", "iso2"])
def test_only_the_session_id_changes_in_a_recorded_message(protocol):
    for payload, theirs in read_by_another_codec(protocol):
        own = bytes.fromhex(theirs["V2G_Message"]["Header"]["SessionID"])
        changed = exi_fields.with_session_id(payload, OURS)
        assert changed != payload
        assert len(changed) - len(payload) == len(OURS) - len(own)
        assert exi_fields.with_session_id(changed, own) == payload


async def answered_while_the_player_is_away(answer):
    ours, theirs = socket.socketpair()
    link = recorded_car.Link()
    link.reader, link.writer = await asyncio.open_connection(sock=ours)

    def be_away():
        time.sleep(0.3)
        theirs.sendall(answer)

    asyncio.get_running_loop().call_soon(be_away)
    try:
        return await link.ask(b"?", 0.25)
    finally:
        await link.close()
        theirs.close()


def test_an_answer_that_came_while_the_player_was_away_counts_and_none_does_not():
    answer = recorded_car.EXI_PAYLOAD + (1).to_bytes(4) + b"!"
    assert asyncio.run(answered_while_the_player_is_away(answer)) == b"!"
    with pytest.raises(recorded_car.Ended, match="no answer in 0.25 s"):
        asyncio.run(answered_while_the_player_is_away(b""))


def conversation(*kinds, refusal=None):
    target = types.SimpleNamespace(fields={"EVTargetCurrent": {"Multiplier": 0, "Value": 25}})
    exchanges = [types.SimpleNamespace(kind=kind, asked=target) for kind in kinds]
    return types.SimpleNamespace(exchanges=exchanges, refusal=lambda _spoken: refusal, pauses=False)


WENT_WELL = {"refused": None, "ended": None, "stop_asked": False, "charge_loop_s": 0.5, "current_a": 0.0}
SAFE = {"state": "finished", "voltage": "0.0", "contactors": "open"}
AC = ("ChargeParameterDiscovery", "FAILED_WrongEnergyTransferMode")


@pytest.mark.parametrize(
    ("outcome", "after", "refusal", "words"),
    [
        ({}, {}, None, None),
        ({"refused": ["PreCharge", "FAILED"]}, {}, None, "FAILED at PreCharge"),
        ({"ended": "CableCheck: no answer in 2 s"}, {}, None, "no answer in 2 s"),
        ({"stop_asked": True}, {}, None, "asked to stop"),
        ({"charge_loop_s": 3.0}, {}, None, "no current flowed"),
        ({"charge_loop_s": 3.0, "current_a": 24.5}, {}, None, None),
        ({}, {"state": "faulted"}, None, "no clean end: faulted"),
        ({}, {"contactors": "closed"}, None, "not safe"),
        ({}, {"voltage": "61.0"}, None, "not safe"),
        ({"refused": list(AC)}, {"state": "connected"}, AC, None),
        ({}, {}, AC, "not refused instead of"),
        ({"refused": ["CableCheck", "FAILED"]}, {}, AC, "FAILED at CableCheck instead of"),
    ],
)
def test_a_session_that_falls_short_is_told_and_another_is_not(outcome, after, refusal, words):
    whole = conversation("SessionSetup", "CurrentDemand", "SessionStop", refusal=refusal)
    judgement = cars.judge(whole, ISO2, WENT_WELL | outcome, SAFE | after)
    assert judgement.short == (words is not None), judgement
    assert (words or "") in judgement.words


def test_a_session_that_pauses_must_leave_the_evse_paused():
    paused = conversation("SessionSetup", "CurrentDemand", "SessionStop")
    paused.pauses = True
    assert cars.judge(paused, ISO2, WENT_WELL, SAFE | {"state": "paused"}) == cars.Judgement(False, "to its pause")
    assert cars.judge(paused, ISO2, WENT_WELL, SAFE).short
    assert cars.judge(conversation("SessionStop"), ISO2, WENT_WELL, SAFE | {"state": "paused"}).short


@pytest.mark.parametrize(
    ("report", "after", "words"),
    [
        ({"reached": "SDP"}, {}, None),
        ({"ended": "no attenuation within 1.2 s"}, {}, "no attenuation"),
        ({"reached": "match"}, {"contactors": "closed"}, "not safe"),
    ],
)
def test_a_visit_without_a_conversation_is_judged_by_its_matching(report, after, words):
    silent = types.SimpleNamespace(secured=None)
    judgement = cars.judge_silence(silent, {"ended": None, "reached": "nothing"} | report, SAFE | after)
    assert judgement.short == (words is not None)
    assert (words or f"as far as recorded ({report.get('reached')}), then silence") in judgement.words


def test_the_matching_that_is_played_is_the_recorded_one_if_it_leads_to_the_conversation():
    whole = recorded_slac.made_up().frames
    talked = [capture.Conversation(b"", 0.0)]

    def played(frames, conversations):
        run, whose = recorded_car.run_to_play(capture.Visit(frames, conversations))
        return len(run.frames), whose

    assert played(whole, talked) == (len(whole), recorded_car.RECORDED)
    assert played(whole[:9], []) == (9, recorded_car.RECORDED)
    assert played(whole[:9], talked) == (len(whole), recorded_car.INCOMPLETE)
    assert played([], talked) == (len(whole), recorded_car.MADE_UP)


def test_what_is_kept_replaces_the_rows_of_the_same_captures(tmp_path):
    document, (begin, end) = tmp_path / "a.md", cars.MARKERS
    document.write_text(f"before\n{begin}{end}\nafter\n")
    rest = ["recorded", ISO2, "SessionStop", "SessionStop", "–", "to the end"]
    cars.keep([["b", "1", *rest], ["a", "1", *rest]], document)
    cars.keep([["b", "1", *rest[:-1], "falls short"]], document)
    lines = document.read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[3:7]] == ["| car", "| ---", "| a", "| b"]
    assert (lines[0], lines[-1], lines[6].endswith("| falls short |")) == ("before", "after", True)


def complete(file):
    """How many requests a capture has, if it is one direct-current session to its end."""
    visits = capture.visits(file)
    if len(visits) != 1 or len(visits[0].conversations) != 1:
        return None
    [whole] = visits[0].conversations
    ends = whole.exchanges and whole.exchanges[-1].kind == "SessionStop"
    return len(whole.exchanges) if ends and whole.refusal(visits[0].spoken) is None else None


def shortest(protocol):
    """A capture of this protocol, as car and file."""
    found = []
    for car, file in capture.captures(DATA / "cars"):
        if (requests := complete(file)) and capture.visits(file)[0].spoken == protocol:
            found.append((requests, car, file))
    return min(found)[1:]


@recorded
def test_the_shortest_complete_recording_of_each_protocol_drives_to_its_end(tmp_path):
    files = [shortest(protocol) for protocol in cars.SPOKEN]
    rows = asyncio.run(asyncio.wait_for(cars.drive(files, tmp_path, "fast"), 150))
    print(cars.table(row.cells() for row in rows), (tmp_path / "station.log").read_text(), sep="\n")
    assert [(row.matching, row.verdict) for row in rows] == [("recorded", "to the end")] * len(files)
    assert not any(row.short for row in rows)
