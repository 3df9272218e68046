"""PyPI's `ocpp` as a station, for comparison: python_station.py ADDRESS"""

import asyncio
import sys

import websockets
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result


class Station(ChargePoint):
    @on("GetConfiguration")
    def get_configuration(self, key):
        known = [{"key": name, "readonly": False, "value": "300"} for name in key]
        return call_result.GetConfiguration(configuration_key=known)


async def main():
    async with websockets.connect(f"ws://{sys.argv[1]}/P", subprotocols=["ocpp1.6"], compression=None) as socket:
        await Station("P", socket).start()


try:
    asyncio.run(main())
except websockets.ConnectionClosed:
    pass
