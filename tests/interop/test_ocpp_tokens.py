"""Who may charge, by the lists and groups that PyPI `ocpp` gives the simulated station as its CSMS."""

import pytest
from conftest import play
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
