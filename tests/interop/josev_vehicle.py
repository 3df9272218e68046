"""A vehicle whose conversation is Josev's EVCC, for voltry-sim's `vehicle.program`.

Usage: josev_vehicle.py FOLDER CHARGE_LOOPS [pause]

With `pause` it pauses its session after that, sleeps until the file FOLDER/wake is there, and resumes it, for as
many loops again. Where the station asks it to renegotiate it does: Josev has the messages, and heeds the wish in
AC sessions alone.

Josev's stack is as published. What is set here is what a car maker sets: the battery's voltage, the
current wanted, how long to charge, when S2 and the contactors switch. Its Java codec is warmed
before the first message, because a CurrentDemandRes must be decoded within 250 ms.

Java compiles at once and lightly: that is quick after a few messages, where its default takes tens.
It writes no performance data: their file is named by the process id, which is the same in two
stations' namespaces, and one that finds it locked says so where Josev reads a port number.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from iso15118.evcc import Config, EVCCHandler
from iso15118.evcc.controller.simulator import SimEVController
from iso15118.evcc.evcc_config import load_from_file
from iso15118.evcc import evcc_settings
from iso15118.evcc.states.iso15118_2_states import CurrentDemand, PowerDelivery
from iso15118.shared.exceptions import SDPFailedError
from iso15118.shared.exificient_exi_codec import ExificientEXICodec
from iso15118.shared.messages.datatypes import (
    EVSENotification,
    PVEVMaxCurrentLimit,
    PVEVMaxVoltageLimit,
    PVEVTargetCurrent,
    PVEVTargetVoltage,
)
from iso15118.shared.messages.enums import Namespace
from iso15118.shared.messages.iso15118_2.body import PowerDeliveryReq
from iso15118.shared.messages.iso15118_2.datatypes import ChargeProgress, ChargingSession
from iso15118.shared.messages.iso15118_2.timeouts import Timeouts
from iso15118.shared.states import State

CONFIGURATION = {
    "supportedProtocols": ["ISO_15118_2"],
    "supportedEnergyServices": ["DC"],
    "energyTransferMode": "DC_extended",
    "isCertInstallNeeded": False,
    "useTls": False,
}
CURRENT_A = 40
WARM_UP_ROUNDS = 10
# Josev waits 250 ms for a CurrentDemandRes, and gives up on one that lies there if it was itself kept from the
# processor so long. How soon we answer is measured elsewhere (`make bench`).
PATIENCE_S = 30.0
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"


def switch(what):
    print(what, flush=True)


class Vehicle(SimEVController):
    def __init__(self, config, voltage, soc, loops):
        super().__init__(config)
        self.charging_loop_cycles = loops
        self.loops = 0
        self.increment = 0.0  # its end is the number of loops, not the state of charge
        self._soc = soc
        # Whether it pauses next, and the session that it talks in.
        self.pauses, self.handler = False, None
        self.battery_voltage = voltage
        self.rest()
        parameters = self.dc_ev_charge_params
        parameters.dc_max_voltage_limit = PVEVMaxVoltageLimit(multiplier=0, value=450, unit="V")
        parameters.dc_max_current_limit = PVEVMaxCurrentLimit(multiplier=0, value=CURRENT_A, unit="A")

    def rest(self):
        """As before PreCharge."""
        parameters = self.dc_ev_charge_params
        tenths = round(self.battery_voltage * 10)
        parameters.dc_target_voltage = PVEVTargetVoltage(multiplier=-1, value=tenths, unit="V")
        self.want(1)

    def want(self, amperes):
        current = PVEVTargetCurrent(multiplier=0, value=amperes, unit="A")
        self.dc_ev_charge_params.dc_target_current = current

    async def enable_charging(self, enabled):
        # Enabled it is before each CableCheck, also that of a renegotiation.
        switch("contactors open")
        switch("s2 closed" if enabled else "s2 open")

    async def is_precharged(self, present_voltage_evse):
        # Between two PreChargeReq, as real vehicles take.
        await asyncio.sleep(0.1)
        difference = abs(float(present_voltage_evse.get_decimal_value()) - self.battery_voltage)
        if difference > 10:
            return False
        switch("contactors closed")
        # Above the battery's own: the current, not the voltage, shall limit.
        self.dc_ev_charge_params.dc_target_voltage = PVEVTargetVoltage(multiplier=0, value=440, unit="V")
        self.want(CURRENT_A)
        return True

    async def continue_charging(self):
        if self.loops:
            await asyncio.sleep(0.05)
        self.loops += 1
        if self.loops % 20 == 0:
            print(f"charge loop {self.loops}", flush=True)
        return await super().continue_charging()

    async def welding_detection_has_finished(self):
        await asyncio.sleep(0.2)
        finished = await super().welding_detection_has_finished()
        session, _ = self.handler.comm_session
        if finished and self.pauses:
            # Josev pauses when it is told to, and nothing of its own tells it.
            session.charging_session_stop_v2 = ChargingSession.PAUSE
            # It keeps this for its owner, who gives it back.
            self.handler.paused = session.session_id
        return finished


async def on_current_demand(state, message, message_exi=None, otherwise=CurrentDemand.process_message):
    """As Josev's ChargingStatus does, once there is no current to open contactors under."""
    answer, vehicle = message.body.current_demand_res, state.comm_session.ev_controller
    asked = answer and answer.dc_evse_status.evse_notification == EVSENotification.RE_NEGOTIATION
    if asked:
        vehicle.want(0)
    if not asked or answer.evse_present_current.get_decimal_value() > 2:
        return await otherwise(state, message, message_exi)
    vehicle.rest()
    state.comm_session.renegotiation_requested = True
    schedule = state.comm_session.selected_schedule
    request = PowerDeliveryReq(charge_progress=ChargeProgress.RENEGOTIATE, sa_schedule_tuple_id=schedule)
    limit, namespace = Timeouts.POWER_DELIVERY_REQ, Namespace.ISO_V2_MSG_DEF
    state.create_next_message(PowerDelivery, request, limit, namespace)


CurrentDemand.process_message = on_current_demand


def patiently(state, next_state, message, limit, *more, otherwise=State.create_next_message, **named):
    return otherwise(state, next_state, message, max(limit, PATIENCE_S), *more, **named)


State.create_next_message = patiently


class Handler(EVCCHandler):
    """Tells when its session ended as it should, and when it has given up, which Josev's own only logs."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.ended, self.gave_up, self.paused = asyncio.Event(), asyncio.Event(), None

    async def get_from_rcv_queue(self, queue):
        await super().get_from_rcv_queue(queue)
        self.ended.set()

    async def restart_sdp(self, new_sdp_cycle):
        try:
            await super().restart_sdp(new_sdp_cycle)
        except SDPFailedError:
            self.gave_up.set()
            raise


def physical(value, unit):
    return {"Multiplier": 0, "Unit": unit, "Value": value}


STATUS = {"DC_EVSEStatus": {"NotificationMaxDelay": 0, "EVSENotification": "None", "EVSEStatusCode": "EVSE_Ready"}}
VOLTAGE, CURRENT = physical(400, "V"), physical(40, "A")
EV_STATUS = {"EVReady": True, "EVErrorCode": "NO_ERROR", "EVRESSSOC": 20}
WARM_UP = {
    "CurrentDemandReq": {
        "DC_EVStatus": EV_STATUS,
        "EVTargetCurrent": CURRENT,
        "ChargingComplete": False,
        "EVTargetVoltage": VOLTAGE,
    },
    "CurrentDemandRes": STATUS
    | {
        "ResponseCode": "OK",
        "EVSEPresentVoltage": VOLTAGE,
        "EVSEPresentCurrent": CURRENT,
        "EVSECurrentLimitAchieved": False,
        "EVSEVoltageLimitAchieved": False,
        "EVSEPowerLimitAchieved": False,
        "EVSEID": "ZZ00000",
        "SAScheduleTupleID": 1,
    },
}


def charge_loop():
    """The charge loop's messages, with the namespace of each."""
    for name, body in WARM_UP.items():
        message = {"V2G_Message": {"Header": {"SessionID": "0102030405060708"}, "Body": {name: body}}}
        yield message, Namespace.ISO_V2_MSG_DEF


def warm(codec, messages):
    """Runs messages through the codec, both ways, until Java has compiled it."""
    for _ in range(WARM_UP_ROUNDS):
        for message, namespace in messages():
            codec.decode(bytes(codec.encode(json.dumps(message), namespace)), namespace)


async def visit(vehicle, arguments):
    """A session; whether it ended as it should, and the id under which it is resumed."""
    vehicle.handler = handler = Handler(ev_controller=vehicle, **arguments)
    # The handler runs on after its session; a station that is silent would keep it for minutes.
    handling = asyncio.create_task(handler.start())
    ends = [asyncio.create_task(event.wait()) for event in [handler.ended, handler.gave_up]]
    await asyncio.wait([handling, *ends], timeout=240, return_when="FIRST_COMPLETED")
    for task in [handling, *ends]:
        task.cancel()
    return handler.ended.is_set(), handler.paused


async def main(folder, loops, configuration=CONFIGURATION, kind=Vehicle, messages=charge_loop, pauses=False):
    config = Config()
    config.load_envs()
    file = Path(folder) / "evcc.json"
    file.write_text(json.dumps(configuration))
    evcc = await load_from_file(str(file))
    os.environ["JAVA_TOOL_OPTIONS"] = JAVA_OPTIONS
    codec = ExificientEXICodec()
    warm(codec, messages)
    voltage, soc = float(os.environ["VOLTRY_BATTERY_VOLTAGE"]), int(os.environ["VOLTRY_BATTERY_SOC"])
    vehicle = kind(evcc, voltage, soc, loops)
    vehicle.pauses = pauses
    arguments = {"evcc_config": evcc, "iface": config.iface, "exi_codec": codec}
    ended, paused = await visit(vehicle, arguments)
    if ended and paused:
        print("sleeps", flush=True)
        while not (Path(folder) / "wake").exists():
            await asyncio.sleep(0.05)
        vehicle.rest()
        vehicle.pauses, vehicle.loops, vehicle.charging_loop_cycles = False, 0, loops
        evcc_settings.RESUME_SESSION_ID = paused
        ended, _ = await visit(vehicle, arguments)
    print("finished" if ended else "gave up", flush=True)
    codec.gateway.shutdown()
    os._exit(0 if ended else 1)


if __name__ == "__main__":
    folder, loops, *pause = sys.argv[1:]
    asyncio.run(main(folder, int(loops), pauses=pause == ["pause"]))
