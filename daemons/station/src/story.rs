//! What was heard of one session besides what its control needs: the evidence of why it ended.

use std::collections::BTreeMap;

use voltry_bus::{EvseEnding, EvseState, Fault};

use crate::session::Ending;
use crate::why::{Known, Reported};

/// Faults that a session may have had; more are not kept.
const REPORTED_MAX: usize = 32;

/// The devices of an EVSE and what is wrong with them now, and the evidence of its present session.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// By the device's path below `/org/voltry`.
    devices: BTreeMap<String, Vec<Fault>>,
    session: u64,
    state: Option<EvseState>,
    ending: EvseEnding,
    reported: Vec<Reported>,
    /// Why it ended.
    explained: String,
    /// A transaction has that in the book.
    billed: bool,
    /// It was told to the recorder that it began, and not yet that it is over.
    recorded: bool,
    /// The phase that the recorder was told last; `None`: absent, or nothing yet.
    phase: Option<EvseState>,
}

/// A fault that came, or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) came: bool,
    pub(crate) fault: Reported,
}

impl Story {
    /// The EVSE told where it stands. What it tells of no session says nothing of the last one.
    pub(crate) fn hear(&mut self, session: u64, state: EvseState, ending: EvseEnding) {
        if session == 0 {
            return;
        }
        if session != self.session {
            let reported = self.present().collect();
            let devices = std::mem::take(&mut self.devices);
            *self = Self { devices, session, reported, ..Self::default() };
        }
        let over = matches!(state, EvseState::Finished | EvseState::Faulted | EvseState::Unavailable);
        if !over || self.state.is_none() {
            self.state = Some(state);
        }
        if ending != EvseEnding::default() {
            self.ending = ending;
        }
    }

    /// Whether what an EVSE tells of this session belongs to what is known so far.
    pub(crate) fn is_of(&self, session: u64) -> bool {
        self.session == 0 || self.session == session
    }

    /// The session; 0: none was told of yet.
    pub(crate) const fn session(&self) -> u64 {
        self.session
    }

    /// Whether the recorder is to be told that it begins.
    pub(crate) fn begins(&mut self) -> bool {
        !std::mem::replace(&mut self.recorded, true)
    }

    /// Whether the recorder is to be told that it is over.
    pub(crate) fn is_told_over(&mut self) -> bool {
        self.phase = None;
        std::mem::replace(&mut self.recorded, false)
    }

    /// Whether this is another phase than the recorder was told last; `None`: absent.
    pub(crate) fn is_another_phase(&mut self, phase: Option<EvseState>) -> bool {
        self.recorded && std::mem::replace(&mut self.phase, phase) != phase
    }

    /// Why it ended, if that was said.
    pub(crate) fn explained(&self) -> Option<&str> {
        Some(self.explained.as_str()).filter(|text| !text.is_empty())
    }

    /// The same, if no transaction has it.
    pub(crate) fn explained_alone(&self) -> Option<&str> {
        self.explained().filter(|_| !self.billed)
    }

    pub(crate) fn explain(&mut self, sentence: String, billed: bool) {
        (self.explained, self.billed) = (sentence, billed);
    }

    /// What is wrong with a device now; returns what is new of it.
    pub(crate) fn report(&mut self, device: String, faults: Vec<Fault>) -> Vec<Turn> {
        let before = self.devices.get(&device).cloned().unwrap_or_default();
        let has = |list: &[Fault], code: &str| list.iter().any(|fault| fault.code == code);
        let turn = |came: bool, fault: &Fault| Turn { came, fault: reported(&device, fault) };
        let came = faults.iter().filter(|fault| !has(&before, &fault.code)).map(|fault| turn(true, fault));
        let went = before.iter().filter(|fault| !has(&faults, &fault.code)).map(|fault| turn(false, fault));
        let turns: Vec<_> = came.chain(went).collect();
        for Turn { fault, .. } in turns.iter().filter(|turn| turn.came) {
            if self.reported.len() < REPORTED_MAX {
                self.reported.push(fault.clone());
            }
        }
        self.devices.insert(device, faults);
        turns
    }

    /// What is wrong now.
    pub(crate) fn present(&self) -> impl Iterator<Item = Reported> {
        self.devices
            .iter()
            .flat_map(|(device, faults)| faults.iter().map(move |fault| reported(device, fault)))
    }

    /// What is known of an end for this reason.
    pub(crate) fn known<'a>(&'a self, evse: u32, why: &'a Ending) -> Known<'a> {
        let told = self.ending.phase.as_str();
        let phase = if told.is_empty() { self.state.map_or("", EvseState::as_str) } else { told };
        let Ending { reason, words, .. } = why;
        Known {
            evse,
            reason: *reason,
            words,
            phase,
            evidence: &self.ending.evidence,
            reported: &self.reported,
        }
    }
}

fn reported(device: &str, fault: &Fault) -> Reported {
    Reported { device: device.to_owned(), code: fault.code.clone(), cause: fault.cause.clone() }
}

#[cfg(test)]
mod tests {
    use voltry_bus::EndReason;

    use super::*;

    fn fault(code: &str) -> Fault {
        Fault { code: code.to_owned(), cause: "measured".to_owned(), at: 1 }
    }

    #[test]
    fn a_session_keeps_what_was_wrong_in_it_and_none_of_what_went_before() {
        let mut story = Story::default();
        assert_eq!(story.report("ev_link/1".to_owned(), vec![fault("ModemSilent")]).len(), 1);
        story.report("power_supply/1".to_owned(), vec![fault("PowerModuleFan")]);
        let went = story.report("power_supply/1".to_owned(), Vec::new());
        assert!(went.len() == 1 && !went[0].came);
        story.hear(5, EvseState::Connected, EvseEnding::default());
        let gone = Ending::new(EndReason::EvDisconnected, "unplugged");
        let codes = |story: &Story| {
            let known = story.known(1, &gone);
            known.reported.iter().map(|one| one.code.clone()).collect::<Vec<_>>()
        };
        assert_eq!(codes(&story), ["ModemSilent"]);
        story.report("ev_link/1".to_owned(), Vec::new());
        story.report("evse/1".to_owned(), vec![fault("MeterStuck")]);
        assert_eq!(codes(&story), ["ModemSilent", "MeterStuck"]);
        story.hear(0, EvseState::Available, EvseEnding::default());
        assert_eq!(story.known(1, &gone).phase, "connected", "what is told of no session changes nothing");
        story.hear(6, EvseState::Connected, EvseEnding::default());
        assert_eq!(codes(&story), ["MeterStuck"]);
    }

    #[test]
    fn the_evse_says_in_which_phase_and_else_the_last_one_seen_counts() {
        let mut story = Story::default();
        let why = Ending::new(EndReason::Other, "MeterStuck");
        story.hear(5, EvseState::Charging, EvseEnding::default());
        story.hear(5, EvseState::Faulted, EvseEnding::default());
        assert_eq!(story.known(1, &why).phase, "charging");
        let ending = EvseEnding { phase: "pre-charge".to_owned(), evidence: "measured".to_owned() };
        story.hear(5, EvseState::Faulted, ending);
        let known = story.known(1, &why);
        assert_eq!((known.phase, known.evidence), ("pre-charge", "measured"));
    }
}
