"""Logs from the simulated station, with PyPI `ocpp` as its CSMS and a file server beside it."""

import gzip

import pytest
from conftest import play
from csms import csms_of
from file_server import file_server
from station import station_of
from test_ocpp import VERSIONS, starts, states, stops, topology


def statuses(book, *actions):
    """(request, status) as told, in order."""
    return [(message.get("request_id"), message["status"]) for message in book.of(*actions)]


async def until_status(book, action, *wanted):
    await book.until(lambda book: statuses(book, action)[-len(wanted) :] == list(wanted))


async def charge(station, book):
    await station.say("swipe 04A1B2C3 1")
    await station.say("plug 1")
    await book.until(starts)
    await station.say("unplug 1")
    await book.until(stops)


@pytest.mark.parametrize("version", VERSIONS)
def test_logs_are_uploaded_tried_again_and_hold_no_id(version, tmp_path):
    async def scenario():
        with file_server() as server:
            async with csms_of(version) as csms, station_of(tmp_path, topology(csms)) as station:
                book = csms.book
                await book.until(lambda book: "Available" in states(book, 1))
                await charge(station, book)

                async def get_log(number, log_type, **more):
                    where = server.url.replace("//", "//user:p%20w@") + "/logs/"
                    log = {"remote_location": where, "oldest_timestamp": "2026-01-01T00:00:00Z"}
                    return await csms.ask("GetLog", log=log, log_type=log_type, request_id=number, **more)

                server.refusals = [503]
                answer = await get_log(7, "DiagnosticsLog", retries=2, retry_interval=1)
                assert answer.status == "Accepted"
                await until_status(book, "LogStatusNotification", (7, "Uploading"), (7, "Uploaded"))
                assert len(server.requests) == 2, "the first was refused"
                path, authorization, body = server.requests[-1]
                assert path == f"/logs/{answer.filename}"
                assert authorization == "Basic dXNlcjpwIHc="
                text = gzip.decompress(body).decode()
                for part in ("identity VOLTRY-1", "HeartbeatInterval = ", "kind: Unplugged", "BootNotification"):
                    assert part in text, part
                assert "04A1B2C3" not in text and "p%20w" not in text

                server.refusals = [403]
                assert (await get_log(8, "SecurityLog", retries=1)).status == "Accepted"
                await until_status(book, "LogStatusNotification", (8, "Uploading"), (8, "PermissionDenied"))

                assert (await get_log(80, "SecurityLog")).status == "Accepted"
                await until_status(book, "LogStatusNotification", (80, "Uploading"), (80, "Uploaded"))
                assert "StartupOfTheDevice" in gzip.decompress(server.requests[-1][2]).decode()

                # A request that another one ends, and one that an uplink which is killed takes up again.
                server.refusals = [503, 503]
                assert (await get_log(9, "DiagnosticsLog", retry_interval=60)).status == "Accepted"
                await until_status(book, "LogStatusNotification", (9, "Uploading"))
                answer = await get_log(10, "DiagnosticsLog", retries=3, retry_interval=2)
                assert answer.status == "AcceptedCanceled"
                await until_status(book, "LogStatusNotification", (10, "Uploading"))
                await station.say("kill ocpp")
                await until_status(book, "LogStatusNotification", (10, "Uploaded"))
                assert server.requests[-1][0] == f"/logs/{answer.filename}"

                location = {"remote_location": "ftp://127.0.0.1/logs"}
                answer = await csms.ask("GetLog", log=location, log_type="DiagnosticsLog", request_id=11)
                assert answer.status == "Rejected"
                if version == "1.6":
                    answer = await csms.ask("GetDiagnostics", location=f"{server.url}/diagnostics")
                    assert answer.file_name
                    await until_status(
                        book, "DiagnosticsStatusNotification", (None, "Uploading"), (None, "Uploaded")
                    )
                    assert server.requests[-1][0] == "/diagnostics"

    play(scenario(), 120)
