"""What concerns people and makers' own messages, with PyPI `ocpp` as the CSMS of the simulated station."""

import asyncio
import re
import urllib.request

from conftest import free_port, play
from csms import csms_of
from dbus_fast import BusType, Message
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_method
from station import station_of
from test_ocpp import VERSIONS, started_number, starts, states, stops, topology

import pytest


class Lamp(ServiceInterface):
    """A maker's daemon."""

    @dbus_method()
    def Transfer(self, vendor: "s", message: "s", data: "s") -> "ss":  # noqa: F722, F821
        return ["accepted", data] if message == "Echo" else ["unknown-message", ""]


async def on_the_bus(station):
    address = f"unix:path={station.state}/bus"
    return await MessageBus(bus_address=address, bus_type=BusType.SYSTEM).connect()


async def shown(bus, name):
    reply = await bus.call(
        Message(
            destination="org.voltry.Ocpp1",
            path="/org/voltry/display",
            interface="org.freedesktop.DBus.Properties",
            member="Get",
            signature="ss",
            body=["org.voltry.Display1", name],
        )
    )
    return reply.body[0].value


async def until_shown(bus, name, condition):
    """The answer to the CSMS goes out before the screen is told."""
    async with asyncio.timeout(10):
        while not condition(await shown(bus, name)):
            await asyncio.sleep(0.05)


def test_what_concerns_people_is_told_shown_and_forgotten(tmp_path):
    async def scenario():
        async with csms_of("2.0.1") as csms, station_of(tmp_path, topology(csms)) as station:
            book, bus = csms.book, await on_the_bus(station)
            await book.until(lambda book: "Available" in states(book, 1))
            await station.swipe("04A1B2C3")
            await station.say("plug 1")
            await book.until(starts)
            number = started_number(book, "2.0.1")
            answer = await csms.ask("GetTransactionStatus", transaction_id=number)
            assert answer.ongoing_indicator is True

            text = {"format": "UTF8", "content": "Grüß Gott"}
            message = {"id": 1, "priority": "InFront", "message": text, "transaction_id": number}
            assert (await csms.ask("SetDisplayMessage", message=message)).status == "Accepted"
            greeting = (1, "in-front", "", "UTF8", "", "Grüß Gott", 1)
            await until_shown(bus, "Messages", lambda messages: messages == [greeting])
            answer = await csms.ask("GetDisplayMessages", request_id=3)
            assert answer.status == "Accepted"
            [told] = await book.until(lambda book: book.of("NotifyDisplayMessages"))
            assert told["message_info"][0]["message"]["content"] == "Grüß Gott"
            await csms.ask("CostUpdated", total_cost=1.25, transaction_id=number)
            await until_shown(bus, "Drivers", lambda drivers: (1, 1.25, "") in drivers)
            assert (await csms.ask("ClearDisplayMessage", id=1)).status == "Accepted"
            await until_shown(bus, "Messages", lambda messages: messages == [])

            token = {"id_token": "04A1B2C3", "type": "ISO14443"}
            who = {"request_id": 5, "report": True, "clear": True, "id_token": token}
            assert (await csms.ask("CustomerInformation", **who)).status == "Accepted"
            [told] = await book.until(lambda book: book.of("NotifyCustomerInformation"))
            assert "Cache: accepted" in told["data"] and "forgotten" in told["data"]
            # Of the station's own book.
            assert "Transaction: 1 at EVSE 1" in told["data"] and "The transactions stay" in told["data"]
            by_name = {"request_id": 6, "report": True, "clear": False, "customer_identifier": "somebody"}
            assert (await csms.ask("CustomerInformation", **by_name)).status == "Accepted"
            [_, told] = await book.until(lambda book: len(told := book.of("NotifyCustomerInformation")) == 2 and told)
            assert told["data"] == "Nothing is known."
            assert (await csms.ask("ClearCache")).status == "Accepted"
            bus.disconnect()

    play(scenario(), 90)


def test_what_the_csms_says_to_drivers_is_on_the_screen(tmp_path):
    port = free_port()

    def page():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/en", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            # voltry-ui may still be starting.
            return ""

    async def until_page(condition):
        async with asyncio.timeout(30):
            while not condition(await asyncio.to_thread(page)):
                await asyncio.sleep(0.1)

    async def scenario():
        async with csms_of("2.0.1") as csms:
            screen = f'screen = "127.0.0.1:{port}"\n'
            async with station_of(tmp_path, screen + topology(csms)) as station:
                book = csms.book
                book.greeting, book.total_cost = "39 ct/kWh, for you", 7.5
                await book.until(lambda book: "Available" in states(book, 1))

                async def message(number, content, **more):
                    text = {"format": "UTF8", "content": content, "language": "en"}
                    wanted = {"id": number, "priority": "NormalCycle", "message": text, **more}
                    assert (await csms.ask("SetDisplayMessage", message=wanted)).status == "Accepted"

                await message(1, "Parking is free")
                await message(2, "Charging is half price", state="Charging")
                await until_page(lambda page: "Parking is free" in page and "half price" not in page)
                await message(1, "Parking costs")
                await until_page(lambda page: "Parking costs" in page and "Parking is free" not in page)

                await station.swipe("04A1B2C3")
                await until_page(lambda page: "39 ct/kWh, for you" in page)
                await station.say("plug 1")
                await book.until(starts)
                await until_page(lambda page: "Charging is half price" in page)
                number = started_number(book, "2.0.1")
                await message(3, "Your coffee is ready", priority="AlwaysFront", transaction_id=number)
                await until_page(lambda page: "coffee" in page and "Parking costs" not in page)
                answer = await csms.ask("GetDisplayMessages", request_id=3, id=[3, 9])
                assert answer.status == "Accepted"
                [told] = await book.until(lambda book: book.of("NotifyDisplayMessages"))
                assert [it["id"] for it in told["message_info"]] == [3]
                answer = await csms.ask("GetDisplayMessages", request_id=4, id=[9])
                assert answer.status == "Unknown"
                await csms.ask("CostUpdated", total_cost=1.25, transaction_id=number)
                await until_page(lambda page: re.search(r"1[.,]25", page))
                book.new_tariff = "29 ct/kWh from now on"
                await until_page(lambda page: book.new_tariff in page and book.greeting not in page)

                # By his own card he ends it, and reads what it costs while he is there.
                await station.swipe("04A1B2C3")
                await book.until(stops)
                await until_page(lambda page: re.search(r"7[.,]50", page) and "coffee" not in page)
                assert (await csms.ask("ClearDisplayMessage", id=1)).status == "Accepted"
                assert (await csms.ask("ClearDisplayMessage", id=3)).status == "Unknown", "gone with its transaction"
                await until_page(lambda page: "Parking costs" not in page)
                await station.say("unplug 1")
                await book.until(lambda book: states(book, 1)[-1] == "Available")

                # Where the CSMS says nothing, and where nobody can be asked.
                book.greeting, book.new_tariff = None, None
                for name, text in (("Tariff", "49 ct/kWh"), ("TotalCost", "See your bill")):
                    place = {"component": {"name": "TariffCostCtrlr"}, "variable": {"name": f"{name}FallbackMessage"}}
                    wanted = [{**place, "attribute_value": text}]
                    [answer] = (await csms.ask("SetVariables", set_variable_data=wanted)).set_variable_result
                    assert answer["attribute_status"] == "Accepted", answer
                await station.swipe("04A1B2C3")
                await until_page(lambda page: "49 ct/kWh" in page)
                await station.say("plug 1")
                await until_page(lambda page: "Charging is half price" in page)
                await csms.close()
                await station.swipe("04A1B2C3")
                await until_page(lambda page: "See your bill" in page)

    play(scenario(), 150)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_makers_messages_go_both_ways(version, tmp_path):
    (tmp_path / "state/voltry.d").mkdir(parents=True)
    (tmp_path / "state/voltry.d/lamp.toml").write_text(
        '[ocpp.data_transfer]\n"com.example" = { name = "com.example.Lamp1", path = "/lamp" }\n'
    )

    async def scenario():
        async with csms_of(version) as csms, station_of(tmp_path, topology(csms)) as station:
            await csms.book.until(lambda book: "Available" in states(book, 1))
            bus = await on_the_bus(station)
            bus.export("/lamp", Lamp("org.voltry.DataTransfer1"))
            await bus.request_name("com.example.Lamp1")
            data = '{"on": true}' if version == "1.6" else {"on": True}
            answer = await csms.ask("DataTransfer", vendor_id="com.example", message_id="Echo", data=data)
            assert (answer.status, answer.data) == ("Accepted", data)
            answer = await csms.ask("DataTransfer", vendor_id="com.example", message_id="Dance")
            assert answer.status == "UnknownMessageId"
            answer = await csms.ask("DataTransfer", vendor_id="com.stranger")
            assert answer.status == "UnknownVendorId"
            reply = await bus.call(
                Message(
                    destination="org.voltry.Ocpp1",
                    path="/org/voltry/csms",
                    interface="org.voltry.DataTransfer1",
                    member="Transfer",
                    signature="sss",
                    body=["com.example", "Hello", "text"],
                )
            )
            assert reply.body == ["accepted", "text back"]
            [told] = csms.book.of("DataTransfer")
            assert (told["vendor_id"], told["message_id"], told["data"]) == ("com.example", "Hello", "text")
            bus.disconnect()

    play(scenario(), 60)
