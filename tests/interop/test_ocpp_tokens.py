"""Who may charge, by the lists and groups that PyPI `ocpp` gives the simulated station as its CSMS."""

import asyncio
import json
import os
import urllib.request

import pytest
from conftest import free_port, play, program
from csms import csms_of
from station import station_of
from test_ocpp import VERSIONS, starts, states, stops, topology

CARD, OTHER, BLOCKED, STRANGER = "04A1B2C3", "04D4E5F6", "04B10C3D", "04FFFFFF"


async def send_list(csms, number, kind, entries):
    """(token, status) each; without a status it is taken off the list."""
    if csms.version == "1.6":
        listed = [{"id_tag": token, **({"id_tag_info": {"status": status}} if status else {})} for token, status in entries]
        answer = await csms.ask("SendLocalList", list_version=number, update_type=kind, local_authorization_list=listed)
    else:
        listed = [
            {
                "id_token": {"id_token": token, "type": "ISO14443"},
                **({"id_token_info": {"status": status}} if status else {}),
            }
            for token, status in entries
        ]
        answer = await csms.ask(
            "SendLocalList", version_number=number, update_type=kind, local_authorization_list=listed
        )
    return answer.status


async def list_version(csms):
    answer = await csms.ask("GetLocalListVersion")
    return answer.list_version if csms.version == "1.6" else answer.version_number


async def write(csms, key, component, variable, value):
    if csms.version == "1.6":
        return (await csms.ask("ChangeConfiguration", key=key, value=value)).status
    name = {"component": {"name": component}, "variable": {"name": variable}}
    answer = await csms.ask("SetVariables", set_variable_data=[{**name, "attribute_value": value}])
    return answer.set_variable_result[0]["attribute_status"]


async def free_again(station, book):
    await station.say("unplug 1")
    await book.until(lambda book: len(stops(book)) == len(starts(book)))
    await book.until(lambda book: states(book, 1)[-1] == "Available")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_local_list_rules_while_the_csms_is_away_and_at_once_where_that_is_wanted(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)) as station:
            book = csms.book
            await book.until(lambda book: "Available" in states(book, 1))
            assert await list_version(csms) == 0
            assert await send_list(csms, 4, "Full", [(CARD, "Accepted"), (STRANGER, "Accepted")]) == "Accepted"
            assert await send_list(csms, 5, "Differential", [(STRANGER, None), (BLOCKED, "Blocked")]) == "Accepted"
            assert await send_list(csms, 5, "Differential", [(STRANGER, "Accepted")]) == "VersionMismatch"
            assert await list_version(csms) == 5

            await csms.close()
            for token in (BLOCKED, STRANGER):
                assert "refused" in await station.say(f"swipe {token} 1"), token
            assert "refused" not in await station.say(f"swipe {CARD} 1")
            await station.say("plug 1")
            await csms.open()
            await book.until(starts)
            assert CARD in str(starts(book)[0]), starts(book)
            assert not book.of("Authorize"), "nobody could be asked"
            await free_again(station, book)

            wanted = ("LocalPreAuthorize", "AuthCtrlr", "LocalPreAuthorize", "true")
            assert await write(csms, *wanted) == "Accepted"
            await station.swipe(CARD)
            await station.say("plug 1")
            await book.until(lambda book: len(starts(book)) == 2)
            assert not book.of("Authorize"), "the list says enough"
            await free_again(station, book)
            book.tokens[STRANGER] = "Invalid"
            assert "refused" in await station.say(f"swipe {STRANGER} 1")
            assert len(book.of("Authorize")) == 1, "of whom the list says nothing"

    play(scenario(), 120)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_charge_is_ended_by_its_own_token_or_one_of_its_group(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)) as station:
            book = csms.book
            book.groups = {CARD: "FLEET", OTHER: "FLEET"}
            await book.until(lambda book: "Available" in states(book, 1))
            for number, ender in enumerate((CARD, OTHER), 1):
                await station.swipe(CARD)
                await station.say("plug 1")
                await book.until(lambda book, number=number: len(starts(book)) == number)
                assert "refused" in await station.say(f"swipe {STRANGER} 1"), "not his to end"
                await station.swipe(ender)
                await book.until(lambda book, number=number: len(stops(book)) == number)
                stop = stops(book)[-1]
                if version == "1.6":
                    # Local is what is meant where no reason stands there.
                    assert (stop["id_tag"], stop.get("reason", "Local")) == (ender, "Local")
                else:
                    assert stop["transaction_info"].get("stopped_reason", "Local") == "Local"
                    ended_by = [event["id_token"]["id_token"] for event in book.of("TransactionEvent") if "id_token" in event]
                    assert ended_by[-1] == ender
                    triggers = [event["trigger_reason"] for event in book.of("TransactionEvent")]
                    assert "StopAuthorized" in triggers
                await free_again(station, book)

    play(scenario(), 120)


def suspended(told):
    """It has said that it gives the vehicle nothing."""
    states = [message.get("status") or message.get("transaction_info", {}).get("charging_state") for _, message in told]
    return "SuspendedEVSE" in states


@pytest.mark.parametrize("version", VERSIONS)
def test_a_token_that_the_csms_refuses_at_the_start_ends_the_charge_or_costs_its_power(version, tmp_path):
    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)) as station:
            book = csms.book
            await book.until(lambda book: "Available" in states(book, 1))
            assert await write(csms, "LocalPreAuthorize", "AuthCtrlr", "LocalPreAuthorize", "true") == "Accepted"
            # One card is known by the cache, one by the list.
            await station.swipe(CARD)
            await station.say("plug 1")
            await book.until(starts)
            await free_again(station, book)
            assert await send_list(csms, 1, "Full", [(OTHER, "Accepted")]) == "Accepted"
            asked = len(book.of("Authorize"))
            for card, ends in ((CARD, "false"), (OTHER, "true")):
                wanted = ("StopTransactionOnInvalidId", "TxCtrlr", "StopTxOnInvalidId", ends)
                assert await write(csms, *wanted) == "Accepted"
                book.tokens[card] = "Blocked"
                begun, before = len(starts(book)), len(book.told)
                await station.swipe(card)
                await station.say("plug 1")
                await book.until(lambda book, begun=begun: len(starts(book)) == begun + 1)
                if ends == "true":
                    await book.until(lambda book, begun=begun: len(stops(book)) == begun + 1)
                    reason = stops(book)[-1].get("reason") or stops(book)[-1]["transaction_info"]["stopped_reason"]
                    assert reason == "DeAuthorized"
                    assert stops(book)[-1].get("trigger_reason", "Deauthorized") == "Deauthorized"
                else:
                    await book.until(lambda book, before=before: suspended(book.told[before:]))
                    assert len(stops(book)) == begun, "it goes on"
                await free_again(station, book)
            assert len(book.of("Authorize")) == asked, "what is known here says enough"

    play(scenario(), 120)


def token_of(message):
    """Of a message of either version: the token, and in 2.0.1 what kind it is."""
    token = message["id_token"] if "id_token" in message else message["id_tag"]
    return (token["id_token"], token["type"]) if isinstance(token, dict) else token


def told(version, token, kind):
    return token if version == "1.6" else (token, kind)


async def voltryctl(station, *words):
    """Its exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        *[program("voltryctl"), *words],
        env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={station.state / 'bus'}"},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


class Screen:
    """A driver's hands at the screen."""

    def __init__(self):
        self.host = f"127.0.0.1:{free_port()}"

    async def page(self):
        def read():
            try:
                with urllib.request.urlopen(f"http://{self.host}/en", timeout=15) as answer:
                    return answer.read().decode()
            except OSError:
                # voltry-ui may still be starting.
                return ""

        return await asyncio.to_thread(read)

    async def shows(self, words):
        async with asyncio.timeout(30):
            while words not in await self.page():
                await asyncio.sleep(0.1)

    async def send(self, path, body=""):
        def post():
            request = urllib.request.Request(f"http://{self.host}{path}", body.encode(), {"Origin": f"http://{self.host}"})
            urllib.request.urlopen(request, timeout=15).close()

        await asyncio.to_thread(post)


CODE, WRONG, TICKET = "47118151", "47118152", "BARRIER-17"


@pytest.mark.parametrize("version", VERSIONS)
def test_codes_local_tokens_and_a_start_button_let_in_and_are_told_as_what_they_are(version, tmp_path):
    screen = Screen()
    identification = "[config.station]\nkey_pad = true\nstart_button = true\n"

    async def scenario():
        async with csms_of(version) as csms:
            parts = f'screen = "{screen.host}"\n{topology(csms)}{identification}'
            async with station_of(tmp_path, parts) as station:
                book = csms.book
                book.tokens[WRONG] = "Invalid"
                await book.until(lambda book: "Available" in states(book, 1))
                await screen.shows("/en/code/1")

                await station.say("plug 1")
                await screen.shows("/en/start/1")
                await screen.send("/en/code/1", f"code={WRONG}")
                await screen.shows("Code refused.")
                await screen.send("/en/code/1", f"code={CODE}")
                await book.until(starts)
                assert token_of(starts(book)[0]) == told(version, CODE, "KeyCode")
                asked = [token_of(message) for message in book.of("Authorize")]
                assert asked == [told(version, code, "KeyCode") for code in (WRONG, CODE)]
                await free_again(station, book)

                code, said = await voltryctl(station, "authorize", TICKET, "--type", "local", "--evse", "1")
                assert code == 0, said
                await station.say("plug 1")
                await book.until(lambda book: len(starts(book)) == 2)
                assert token_of(starts(book)[1]) == told(version, TICKET, "Local")
                assert token_of(book.of("Authorize")[2]) == told(version, TICKET, "Local")
                await free_again(station, book)

                await station.say("plug 1")
                await screen.shows("/en/start/1")
                await screen.send("/en/start/1")
                await book.until(lambda book: len(starts(book)) == 3)
                free = "FREE" if version == "1.6" else ("", "NoAuthorization")
                assert token_of(starts(book)[2]) == free
                assert len(book.of("Authorize")) == 3, "nobody is asked for nobody"

                # The code is known to the CSMS again, and to nobody who reads along.
                _, log = await voltryctl(station, "--json", "ocpp", "log")
                _, sessions = await voltryctl(station, "--json", "sessions", "list")
                assert len(json.loads(log)) > 10 and len(json.loads(sessions)) == 3
                assert "471181" not in log + sessions + "".join(station.lines)

    play(scenario(), 120)


GUARD, PAID = "04607A2D", "PAID-42"


def test_a_master_pass_ends_what_runs_and_what_the_csms_has_made_it_is_not_asked_for(tmp_path):
    async def scenario():
        async with csms_of("2.0.1") as csms:
            parts = topology(csms).replace("[uplink]", "[[evse]]\nmonitor_pace = 10\n[uplink]")
            async with station_of(tmp_path, "evses = 2\n" + parts) as station:
                book = csms.book
                book.groups = {GUARD: "GUARDS"}
                await book.until(lambda book: all("Available" in states(book, evse) for evse in (1, 2)))
                assert await write(csms, "", "AuthCtrlr", "MasterPassGroupId", "GUARDS") == "Accepted"
                assert "refused" in await station.say(f"swipe {GUARD} 1"), "it begins nothing"
                for evse, card in ((1, CARD), (2, OTHER)):
                    await station.swipe(card, evse)
                    await station.say(f"plug {evse}")
                await book.until(lambda book: len(starts(book)) == 2)
                assert "stopped" in await station.say(f"swipe {GUARD} 0")
                await book.until(lambda book: len(stops(book)) == 2)
                for stop in stops(book):
                    assert stop["transaction_info"]["stopped_reason"] == "MasterPass", stop
                by_guard = [
                    event
                    for event in book.of("TransactionEvent")
                    if event.get("id_token", {}).get("id_token") == GUARD
                ]
                ended = {event["transaction_info"]["transaction_id"] for event in by_guard}
                assert ended == {stop["transaction_info"]["transaction_id"] for stop in stops(book)}
                assert {event["trigger_reason"] for event in by_guard} == {"StopAuthorized"}
                await station.say("unplug 2")
                await station.say("unplug 1")
                await book.until(lambda book: all(states(book, evse)[-1] == "Available" for evse in (1, 2)))

                # What is known of it here is enough.
                await csms.close()
                assert "refused" in await station.say(f"swipe {GUARD} 1")
                await station.swipe(CARD)
                await station.say("plug 1")
                async with asyncio.timeout(60):
                    while "stopped" not in await station.say(f"swipe {GUARD} 1"):
                        await asyncio.sleep(0.2)
                await csms.open()
                await book.until(lambda book: len(stops(book)) == 3)
                assert stops(book)[2]["transaction_info"]["stopped_reason"] == "MasterPass"
                await free_again(station, book)

                # A terminal's back end has let the CSMS know that somebody has paid.
                assert await write(csms, "", "AuthCtrlr", "AuthorizeRemoteStart", "true") == "Accepted"
                asked = len(book.of("Authorize"))
                paid = {"id_token": PAID, "type": "Central"}
                # The CSMS did not hear that the plug was in, so that its word for "free" may be of before that.
                async with asyncio.timeout(30):
                    start = {"id_token": paid, "remote_start_id": 9, "evse_id": 1}
                    while (await csms.ask("RequestStartTransaction", **start)).status != "Accepted":
                        await asyncio.sleep(0.2)
                await station.say("plug 1")
                await book.until(lambda book: len(starts(book)) == 4)
                assert token_of(starts(book)[3]) == (PAID, "Central")
                assert len(book.of("Authorize")) == asked
                code, _ = await voltryctl(station, "authorize", "PAID-43", "--type", "central", "--evse", "2")
                assert code == 1 and len(book.of("Authorize")) == asked, "nobody else may bring one"

    play(scenario(), 120)
