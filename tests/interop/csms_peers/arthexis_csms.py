"""PyPI's `arthexis` as a CSMS, with its database in a folder: arthexis_csms.py PORT IDENTITY PASSWORD FOLDER

Tells a line of JSON for each thing that happens, takes one for each call to make. Its own ASGI application and
server run here, so that its operations reach the connection; its URL ends with a slash, which this puts there.
"""

import asyncio
import json
import os
import sys
import threading

port, identity, password, folder = sys.argv[1:]
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "arthexis.settings",
    "ARTHEXIS_DATABASE_PATH": f"{folder}/arthexis.db",
    "ARTHEXIS_ALLOWED_HOSTS": "127.0.0.1",
}

from daphne.server import Server, twisted_loop  # noqa: E402 - it must be the first to choose a reactor

import django  # noqa: E402

django.setup()

from django.contrib.auth.hashers import make_password  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db.backends.signals import connection_created  # noqa: E402


def tell(**what):
    print(json.dumps(what), flush=True)


# Its database is made by hundreds of migrations; nothing here asks whether it outlives a power cut.
connection_created.connect(lambda connection, **_: connection.cursor().execute("PRAGMA synchronous=OFF"), weak=False)
call_command("migrate", verbosity=0, interactive=False)
from apps.ocpp.models import Charger, OcppTransaction  # noqa: E402
from apps.ocpp.transport.operations import emit_v16_operation, emit_v201_operation  # noqa: E402
from arthexis.asgi import application  # noqa: E402
from asgiref.sync import sync_to_async  # noqa: E402

charger, _ = Charger.objects.get_or_create(
    identity=identity, defaults={"connection_token_hash": make_password(password)}
)


async def watched(scope, receive, send):
    """The application, and what goes in and out of it."""
    actions = {}

    async def heard():
        event = await receive()
        if event["type"] == "websocket.receive":
            message = json.loads(event["text"])
            if message[0] == 2:
                actions[message[1]] = message[2:]
        return event

    async def said(event):
        await send(event)
        if event["type"] != "websocket.send":
            return
        kind, number, *rest = json.loads(event["text"])
        if kind == 4:
            tell(wrong=f"{actions.get(number)} was answered with {rest}")
        elif kind == 3 and number in actions:
            tell(told=[*actions.pop(number), rest[0]])

    if scope["type"] == "websocket":
        scope = {**scope, "path": scope["path"] + "/"}
    await application(scope, heard, said)


def transactions():
    """What its database has of them."""
    return [
        {
            "id": one.pk,
            "remote": one.remote_id,
            "over": one.recovery_state == "completed",
            "start": None if one.meter_start is None else float(one.meter_start),
            "stop": None if one.meter_stop is None else float(one.meter_stop),
        }
        for one in OcppTransaction.objects.filter(charger=charger).order_by("pk")
    ]


async def obey(order):
    if order == "transactions":
        return await sync_to_async(transactions)()
    version, action, payload = order["version"], *order["call"]
    emit = {"1.6": emit_v16_operation, "2.0.1": emit_v201_operation}[version]
    operation = await emit(charger=charger, action=action, payload=payload)
    return operation.response_payload or {"refused": f"{operation.error_code} {operation.error_description}"}


async def obey_lines():
    loop, lines = asyncio.get_running_loop(), asyncio.Queue()

    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)

    threading.Thread(target=read, daemon=True).start()
    while True:
        order = json.loads(await lines.get())
        try:
            tell(answer=await obey(order))
        except Exception as error:
            tell(answer={"refused": repr(error)})


twisted_loop.create_task(obey_lines())
endpoint = f"tcp:port={port}:interface=127.0.0.1"
Server(watched, endpoints=[endpoint], ready_callable=lambda: tell(listens=True), signal_handlers=False).run()
