"""As josev_vehicle.py, in DIN 70121.

Usage: josev_din_vehicle.py FOLDER CHARGE_LOOPS
"""

import asyncio
import sys

import josev_vehicle
from iso15118.shared.messages.enums import Namespace

CONFIGURATION = josev_vehicle.CONFIGURATION | {"supportedProtocols": ["DIN_SPEC_70121"]}
STATUS = {
    "EVSEIsolationStatus": "Valid",
    "EVSEStatusCode": "EVSE_Ready",
    "NotificationMaxDelay": 0,
    "EVSENotification": "None",
}
BODIES = {
    "CurrentDemandReq": josev_vehicle.WARM_UP["CurrentDemandReq"],
    "CurrentDemandRes": {
        "ResponseCode": "OK",
        "DC_EVSEStatus": STATUS,
        "EVSEPresentVoltage": josev_vehicle.VOLTAGE,
        "EVSEPresentCurrent": josev_vehicle.CURRENT,
        "EVSECurrentLimitAchieved": False,
        "EVSEVoltageLimitAchieved": False,
        "EVSEPowerLimitAchieved": False,
        "EVSEMaximumVoltageLimit": josev_vehicle.VOLTAGE,
        "EVSEMaximumCurrentLimit": josev_vehicle.CURRENT,
        "EVSEMaximumPowerLimit": josev_vehicle.physical(20000, "W"),
    },
}


def charge_loop():
    for name, body in BODIES.items():
        message = {"V2G_Message": {"Header": {"SessionID": "0102030405060708"}, "Body": {name: body}}}
        yield message, Namespace.DIN_MSG_DEF


if __name__ == "__main__":
    folder, loops = sys.argv[1:]
    asyncio.run(josev_vehicle.main(folder, int(loops), CONFIGURATION, messages=charge_loop))
