//! What the safety controller said last, and what follows from it.

use std::time::Duration;

use voltry_bus::{Alarm, ConnectorState, Contactors, Pilot, PilotFault, Proximity};
use voltry_units::Timestamp;

use crate::message::{Channel, ChargeState, Contactor, ProximityCode, SafeState};

const COOLING_FAILED: &str = "CoolingFailed";

/// The newest state and temperatures. It is complete with both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) state: ChargeState,
    pub(super) state_at: Timestamp,
    pub(super) temperatures: Option<[Option<Channel>; 4]>,
    /// Before the first: when they began to be awaited.
    pub(super) temperatures_at: Timestamp,
}

impl Heard {
    /// A first state; the temperatures that belong to it are still to come.
    pub(super) const fn first(state: ChargeState, now: Timestamp) -> Self {
        Self { state, state_at: now, temperatures: None, temperatures_at: now }
    }

    pub(super) fn stale_at(&self, stale: Duration) -> Timestamp {
        self.state_at.min(self.temperatures_at) + stale
    }

    /// Each fault that the controller can tell, by its code, with its cause if it is present.
    pub(super) fn faults(&self) -> [(&'static str, Option<String>); 10] {
        let state = &self.state;
        let is = |present: bool, cause: &str| present.then(|| cause.to_owned());
        let alarm = |alarm| is(state.alarms.contains(alarm), cabinet(alarm));
        [
            ("MREC8EmergencyStop", is(state.emergency_stop, "emergency stop")),
            ("MREC14PilotFault", is(state.pilot_fault == PilotFault::Short, "pilot shorted")),
            ("DiodeFault", is(state.pilot_fault == PilotFault::Diode, "pilot diode fault")),
            (
                "MREC23ProximityFault",
                is(state.proximity == ProximityCode::Invalid, "no valid proximity level"),
            ),
            ("MREC19CableOverTempStop", self.temperature_fault()),
            ("EnclosureOpen", alarm(Alarm::EnclosureOpen)),
            ("TiltDetected", alarm(Alarm::Tilted)),
            ("WaterIngress", alarm(Alarm::Water)),
            (COOLING_FAILED, alarm(Alarm::CoolingFailed)),
            ("BoardSafeState", state.safe_state.map(|reason| format!("in its safe state: {reason}"))),
        ]
    }

    /// Why the contactors must not be closed. A bad proximity level is left to the energy path, and so is a
    /// cooling that failed: it lets the current fall first.
    pub(super) fn reason_to_open(&self) -> Option<String> {
        let opens = |code: &str| !["MREC23ProximityFault", COOLING_FAILED].contains(&code);
        let fault = self.faults().into_iter().filter(|(code, _)| opens(code)).find_map(|(_, cause)| cause);
        match self.state.pilot {
            Pilot::C | Pilot::D => fault,
            other @ (Pilot::A | Pilot::B | Pilot::E | Pilot::F | Pilot::Invalid | Pilot::Unknown) => {
                fault.or_else(|| Some(format!("the pilot is in state {other}")))
            }
        }
    }

    /// All fitted contactors closed, all open, or neither.
    pub(super) fn feedback(&self, fitted: u8) -> Option<bool> {
        let fitted = self.state.contactors.iter().take(usize::from(fitted));
        if fitted.clone().all(|contactor| *contactor == Contactor::Closed) {
            return Some(true);
        }
        fitted.into_iter().all(|contactor| *contactor == Contactor::Open).then_some(false)
    }

    pub(super) fn to_wire(self, contactors: Contactors, proximity_fitted: bool) -> Option<ConnectorState> {
        let state = self.state;
        let channels = self.temperatures?;
        let temperatures = channels.iter().flatten().filter_map(|channel| channel.temperature);
        Some(ConnectorState {
            sequence: 1,
            pilot: state.pilot,
            pilot_fault: state.pilot_fault,
            proximity: proximity(state.proximity, proximity_fitted),
            contactors,
            lock: state.lock,
            emergency_stop: state.emergency_stop,
            alarms: state.alarms,
            safe_state: state.safe_state.map(latched_for).unwrap_or_default(),
            temperatures: temperatures.map(f64::from).collect(),
            // Temperatures come in a message of their own, at most the stale time apart.
            at: self.state_at.as_micros(),
        })
    }

    fn temperature_fault(&self) -> Option<String> {
        self.temperatures?.iter().enumerate().find_map(|(index, channel)| {
            let channel = channel.as_ref()?;
            let number = index + 1;
            match (channel.failed, channel.stopped, channel.temperature) {
                (true, _, _) => Some(format!("temperature sensor {number} is broken")),
                (false, true, Some(at)) => Some(format!("temperature {number} stopped charging at {at}")),
                (false, true, None) => Some(format!("temperature {number} stopped charging")),
                (false, false, _) => None,
            }
        })
    }
}

const fn cabinet(alarm: Alarm) -> &'static str {
    match alarm {
        Alarm::EnclosureOpen => "a door or cover is open",
        Alarm::Tilted => "the cabinet was tilted",
        Alarm::Water => "water in the cabinet",
        Alarm::CoolingFailed => "the cooling does not run",
    }
}

/// Begins with the fault's code, where there is one.
fn latched_for(reason: SafeState) -> String {
    reason.fault_code().map_or_else(|| reason.to_string(), |code| format!("{code}: {reason}"))
}

const fn proximity(code: ProximityCode, fitted: bool) -> Proximity {
    match code {
        ProximityCode::None if fitted => Proximity::Absent,
        ProximityCode::None => Proximity::NotUsed,
        ProximityCode::Cable | ProximityCode::Latched => Proximity::Latched,
        ProximityCode::ButtonPressed => Proximity::Released,
        ProximityCode::Invalid => Proximity::Fault,
    }
}
