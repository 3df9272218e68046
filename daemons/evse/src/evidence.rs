//! What the shell knows of how a session ended beyond the reason itself: what was measured, what the
//! vehicle said was wrong, what its conversation broke on.

use voltry_bus::{EvseEnding, EvseState, LinkEnd, VehicleState};

use zbus::Message;

use crate::energy_path::{EnergyPath, Fault, FaultCode, Session, StopReason};

/// The longest evidence that is told, bytes; the rest is cut off.
const EVIDENCE_MAX: usize = 200;

/// The evidence of one session.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    session: u64,
    /// The reason that `ending` explains.
    stop: Option<StopReason>,
    /// The vehicle's own error code, the newest that it named.
    said: String,
    /// What its newest conversation broke on.
    broke: String,
    ending: EvseEnding,
}

impl Evidence {
    /// Takes a signal of the link; whether what is told may be another. What is malformed is refused
    /// as an input.
    pub(crate) fn hear(&mut self, member: &str, message: &Message, state: EvseState) -> bool {
        match member {
            "Ended" => message.body().deserialize().is_ok_and(|end| {
                self.conversation(&end, state);
                true
            }),
            "Vehicle" => {
                if let Ok(state) = message.body().deserialize() {
                    self.vehicle(&state);
                }
                false
            }
            _ => false,
        }
    }

    /// The vehicle told of itself.
    fn vehicle(&mut self, state: &VehicleState) {
        if !state.error.is_empty() {
            self.said.clone_from(&state.error);
        }
    }

    /// The conversation ended while the EVSE stood here.
    fn conversation(&mut self, end: &LinkEnd, state: EvseState) {
        if end.detail.is_empty() {
            return;
        }
        self.broke = format!("the conversation ended: {}", end.detail);
        if self.stop.is_none() && self.session != 0 {
            self.ending = EvseEnding { phase: state.to_string(), evidence: cut(self.joined(None)) };
        }
    }

    /// What is told of this moment.
    pub(crate) fn ending(&mut self, path: &EnergyPath) -> EvseEnding {
        let Some(session) = path.session() else {
            *self = Self::default();
            return EvseEnding::default();
        };
        if self.session != session.id {
            *self = Self { session: session.id, ..Self::default() };
        }
        if self.stop != session.stop {
            self.stop = session.stop;
            if let Some(stop) = session.stop {
                self.ending = self.of(stop, session, path);
            }
        }
        self.ending.clone()
    }

    fn of(&self, stop: StopReason, session: &Session, path: &EnergyPath) -> EvseEnding {
        let evidence = match stop {
            StopReason::Fault(code) => {
                let fault = path.faults().iter().find(|fault| fault.code == code);
                self.joined(Some((code, fault.map_or_else(|| code.words().to_owned(), Fault::cause))))
            }
            StopReason::Vehicle
            | StopReason::Station
            | StopReason::NotAuthorized
            | StopReason::NoPermit
            | StopReason::Incompatible
            | StopReason::TimedOut
            | StopReason::Unmetered
            | StopReason::OutOfService => self.said(),
        };
        let phase = session.stopped_in.map_or_else(String::new, |state| state.to_string());
        EvseEnding { phase, evidence: cut(evidence) }
    }

    /// A fault, and what the conversation broke on where it says more of it.
    fn joined(&self, fault: Option<(FaultCode, String)>) -> String {
        let of_conversation = match &fault {
            None => true,
            Some((
                FaultCode::CommunicationLost | FaultCode::PreChargeFailure | FaultCode::CableCheckFailure,
                _,
            )) => true,
            Some(_) => false,
        };
        let broke = if of_conversation { self.broke.clone() } else { String::new() };
        [fault.map_or_else(String::new, |(_, cause)| cause), broke, self.said()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn said(&self) -> String {
        if self.said.is_empty() { String::new() } else { format!("the vehicle says {}", self.said) }
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(EVIDENCE_MAX));
    text
}

#[cfg(test)]
mod tests {
    use voltry_bus::LinkOutcome;

    use super::*;

    #[test]
    fn what_a_conversation_broke_on_is_told_with_where_the_evse_stood_and_cut_where_it_is_long() {
        let mut evidence = Evidence { session: 7, ..Evidence::default() };
        let end = |detail: String| LinkEnd { phase: 3, outcome: LinkOutcome::Failed, detail, at: 1 };
        evidence.conversation(&end(String::new()), EvseState::Parameters);
        assert_eq!(evidence.ending, EvseEnding::default(), "an end as agreed is no evidence");
        evidence.vehicle(&VehicleState {
            sequence: 1,
            soc: 1.0,
            ready: false,
            error: "FAILED_X".to_owned(),
            at: 1,
        });
        evidence.conversation(&end("it is out of order".to_owned()), EvseState::Parameters);
        assert_eq!(evidence.ending.phase, "parameters");
        assert_eq!(
            evidence.ending.evidence,
            "the conversation ended: it is out of order; the vehicle says FAILED_X"
        );
        evidence.conversation(&end("ü".repeat(300)), EvseState::Parameters);
        assert!(evidence.ending.evidence.len() <= EVIDENCE_MAX);
    }
}
