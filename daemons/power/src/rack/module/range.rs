//! What a module changes only while it is off: its output range (its halves in series or in
//! parallel), and the way that power flows.
//!
//! Its relays move for seconds: it must have been off for a while before, and stay so after. Old
//! firmware of bidirectional modules damages itself where the way is changed under load.

use std::time::Duration;

use voltry_power_module::{Output, Range, Request};
use voltry_units::{Timestamp, Volts};

use super::asking::{Candidate, Urgency};
use super::{Module, Switch};

/// Off before the range is changed, and after (as a public driver of such modules waits).
const SETTLES_IN: Duration = Duration::from_secs(2);
const ASK_EVERY: Duration = Duration::from_millis(300);
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Module {
    /// The range that it shall have before it is asked for anything; none if any will do.
    pub(super) fn range_at_rest(&self) -> Option<Range> {
        self.ways.range_for(Volts::ZERO, self.range)
    }

    /// Whether it delivers in a range that does not reach `voltage`.
    pub(super) fn must_leave_range(&self, voltage: Volts) -> bool {
        let wanted = self.ways.range_for(voltage, self.range);
        wanted.is_some() && self.range.is_some() && wanted != self.range
    }

    /// Whether it has the range, and its relays rest.
    pub(super) fn range_fits(&self, wanted: Option<Range>, now: Timestamp) -> bool {
        wanted.is_none() || self.range == wanted && now.since(self.range_changed) >= SETTLES_IN
    }

    /// The range for its next start.
    pub(super) fn range_for_start(&self, output: Output) -> Option<Range> {
        self.ways.range_at_start(output.voltage)
    }

    /// Whether power flows that way in it, and its relays rest.
    pub(super) fn direction_fits(&self, inverting: bool, now: Timestamp) -> bool {
        !self.ways.can(Request::ReadDirection)
            || self.direction == Some(inverting)
                && now.since(self.range_changed) >= SETTLES_IN
                && (!inverting || self.cut_off_set)
    }

    /// What to ask or order about the way that power flows.
    pub(super) fn direction_candidates(&self, inverting: bool, candidates: &mut Vec<Candidate>) {
        if !self.ways.can(Request::ReadDirection) {
            return;
        }
        let Some(direction) = self.direction else {
            candidates.push(self.every(ASK_EVERY, Request::ReadDirection));
            return;
        };
        let cut_off = self.ways.cut_off.filter(|_| inverting && !self.cut_off_set);
        candidates.extend(cut_off.map(|voltage| self.every(ASK_EVERY, Request::SetCutOff { voltage })));
        if direction != inverting {
            candidates.extend(self.while_off(Request::SetDirection { inverting }));
        }
    }

    /// An order that only a module takes which is off.
    fn while_off(&self, request: Request) -> Option<Candidate> {
        match self.switch {
            Switch::Off | Switch::TurningOn { sent: None } => {
                let again = self.every(RETRY_AFTER, request);
                let due = again.due.max(self.off_since + SETTLES_IN);
                Some(Candidate { urgency: Urgency::Raise, due, ..again })
            }
            Switch::TurningOn { .. } | Switch::TurningOff { .. } | Switch::On { .. } => None,
        }
    }

    /// It confirmed the order. What it really has is asked where it can be; a module that chooses by
    /// itself would answer what it has chosen.
    pub(super) fn take_range(&mut self, range: Range, now: Timestamp) {
        self.range = if self.tells_range(range) { None } else { Some(range) };
        self.range_changed = now;
    }

    fn tells_range(&self, wanted: Range) -> bool {
        wanted != Range::Automatic && self.ways.can(Request::ReadRange)
    }

    /// What to ask or order about the range.
    pub(super) fn range_candidates(&self, output: Option<Output>, candidates: &mut Vec<Candidate>) {
        let wanted = match output {
            Some(output) => self.range_for_start(output),
            None => self.range_at_rest(),
        };
        let Some(range) = wanted.filter(|wanted| self.range != Some(*wanted)) else { return };
        if self.range.is_none() && self.tells_range(range) {
            candidates.push(self.every(ASK_EVERY, Request::ReadRange));
            return;
        }
        candidates.extend(self.while_off(Request::SetRange { range }));
    }
}
