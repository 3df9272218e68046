"""As josev_vehicle.py, in ISO 15118-20.

Usage: josev_iso20_vehicle.py FOLDER CHARGE_LOOPS SERVICE [tls|pause|gives]

SERVICE is DC or DC_BPT. With `tls` it speaks TLS 1.3, shows its certificate, and pays by contract where
the station offers that; what it trusts and what it holds are in FOLDER/vehicle. The station chooses scheduled or dynamic control: Josev takes the first
parameter set it is offered. With `gives` (DC_BPT under scheduled control) it wants the current the other way.
"""

import asyncio
import functools
import os
import sys

import josev_vehicle
from iso15118.evcc.states import iso15118_20_states
from iso15118.shared.messages.enums import Namespace
from iso15118.shared.messages.iso15118_20.common_messages import ChargingSession, SessionStopReq
from iso15118.shared.messages.iso15118_20.common_types import RationalNumber
from iso15118.shared.messages.iso15118_20.dc import (
    DCChargeParameterDiscoveryReqParams,
    DynamicDCChargeLoopReqParams,
    ScheduledDCChargeLoopReqParams,
)

VOLTAGE_MAX, CURRENT = 450, josev_vehicle.CURRENT_A
HEADER = {"SessionID": "0102030405060708", "TimeStamp": 1_800_000_000}


def number(value, exponent=0):
    return RationalNumber(exponent=exponent, value=value)


def session_stop(how, header, charging_session):
    return SessionStopReq(header=header, charging_session=how)


class Vehicle(josev_vehicle.Vehicle):
    way = 1

    async def welding_detection_has_finished(self):
        finished = await super().welding_detection_has_finished()
        if finished:
            # Josev's own always terminates.
            how = ChargingSession.PAUSE if self.pauses else ChargingSession.TERMINATE
            iso15118_20_states.SessionStopReq = functools.partial(session_stop, how)
        return finished

    async def get_charge_params_v20(self, selected_service):
        parameters = await super().get_charge_params_v20(selected_service)
        ours = DCChargeParameterDiscoveryReqParams(
            ev_max_charge_power=number(150, 3),
            ev_min_charge_power=number(0),
            ev_max_charge_current=number(CURRENT),
            ev_min_charge_current=number(0),
            ev_max_voltage=number(VOLTAGE_MAX),
            ev_min_voltage=number(300),
        )
        if self.way < 0:
            parameters = parameters.copy(
                update={
                    "ev_max_discharge_power": number(50, 3),
                    "ev_min_discharge_power": number(0),
                    "ev_max_discharge_current": number(CURRENT),
                }
            )
        return parameters.copy(update=dict(ours))

    async def get_present_voltage(self):
        return number(round(self.battery_voltage * 10), -1)

    async def get_target_voltage(self):
        return number(round(self.battery_voltage * 10), -1)

    async def get_scheduled_dc_charge_loop_params(self):
        # Above the battery's own: the current, not the voltage, shall limit.
        current = number(self.way * CURRENT)
        return ScheduledDCChargeLoopReqParams(ev_target_current=current, ev_target_voltage=number(440))

    async def get_dynamic_dc_charge_loop_params(self):
        return DynamicDCChargeLoopReqParams(
            ev_target_energy_request=number(20, 3),
            ev_max_energy_request=number(40, 3),
            ev_min_energy_request=number(0),
            ev_max_charge_power=number(150, 3),
            ev_min_charge_power=number(0),
            ev_max_charge_current=number(CURRENT),
            ev_max_voltage=number(440),
            ev_min_voltage=number(300),
        )


def rational(value):
    return {"Exponent": 0, "Value": value}


def charge_loop():
    control = {"EVTargetCurrent": rational(40), "EVTargetVoltage": rational(400)}
    request = {
        "Header": HEADER,
        "MeterInfoRequested": False,
        "EVPresentVoltage": rational(400),
        "Scheduled_DC_CLReqControlMode": control,
    }
    response = {
        "Header": HEADER,
        "ResponseCode": "OK",
        "EVSEPresentCurrent": rational(40),
        "EVSEPresentVoltage": rational(400),
        "EVSEPowerLimitAchieved": False,
        "EVSECurrentLimitAchieved": False,
        "EVSEVoltageLimitAchieved": False,
        "Scheduled_DC_CLResControlMode": {},
    }
    yield {"DC_ChargeLoopReq": request}, Namespace.ISO_V20_DC
    yield {"DC_ChargeLoopRes": response}, Namespace.ISO_V20_DC


CONFIGURATION = {
    "supportedProtocols": ["ISO_15118_20_DC"],
    "isCertInstallNeeded": False,
    "useTls": False,
}

if __name__ == "__main__":
    folder, loops, service, *options = sys.argv[1:]
    configuration = CONFIGURATION | {"supportedEnergyServices": [service]}
    if options == ["tls"]:
        configuration |= {"useTls": True, "enforceTls": True}
        os.environ |= {"PKI_PATH": f"{folder}/vehicle", "ENABLE_TLS_1_3": "true"}
    pauses = options == ["pause"]
    Vehicle.way = -1 if options == ["gives"] else 1
    asyncio.run(josev_vehicle.main(folder, int(loops), configuration, Vehicle, charge_loop, pauses))
