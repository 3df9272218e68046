//! What to send to a module next.

use std::time::Duration;

use voltry_power_module::{Condition, Output, Request};
use voltry_units::Timestamp;

use super::{Aim, Module, Phase, REFRESH_EVERY, Switch};

/// As often as consumers can use it, who miss a reading after 300 ms.
const OUTPUT_EVERY: Duration = Duration::from_millis(50);
/// With many modules on a bus each is read less often, so that readings take five of eight frames
/// at most: a fuller bus would only make a round longer, and the readings older.
const OUTPUT_EVERY_OF_EACH: Duration = Duration::from_millis(8);
const OUTPUT_LATE: Duration = Duration::from_millis(25);
const STATUS_EVERY: Duration = Duration::from_millis(250);
const AVAILABLE_EVERY: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_millis(100);
const SEARCH_EVERY: Duration = Duration::from_millis(500);
const ASK_IDENTITY_EVERY: Duration = Duration::from_millis(300);

/// A request that could be sent, when, and before which others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rack) struct Candidate {
    pub(in crate::rack) urgency: Urgency,
    pub(in crate::rack) due: Timestamp,
    pub(in crate::rack) request: Request,
}

/// In the order in which they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::rack) enum Urgency {
    Off,
    /// A reading that is late: set-points that change faster than the bus carries them would keep
    /// it away for ever, and what flows would no longer be known.
    Overdue,
    Lower,
    Raise,
    Poll,
}

impl Module {
    /// What could be sent to it, at the earliest; `on_bus` modules answer on its bus.
    pub(in crate::rack) fn next(&mut self, aim: Aim, on_bus: u32, now: Timestamp) -> Option<Candidate> {
        let mut candidates = Vec::with_capacity(8);
        self.orders(aim, &mut candidates);
        match self.phase {
            Phase::Absent | Phase::Silent { .. } => {
                candidates.push(self.every(SEARCH_EVERY, Request::ReadStatus));
            }
            Phase::Qualifying | Phase::Ready => self.questions(on_bus, now, &mut candidates),
        }
        self.answers.age(now);
        if !self.answers.may_ask(now) {
            candidates.retain(|candidate| !is_question(candidate.request));
        }
        candidates.extend(self.answers.barrier().map(|barrier| self.every(RETRY_AFTER, barrier)));
        let ready = candidates.iter().filter(|candidate| candidate.due <= now);
        let first = ready.min_by_key(|candidate| (candidate.urgency, candidate.due));
        first.or_else(|| candidates.iter().min_by_key(|candidate| candidate.due)).copied()
    }

    fn orders(&self, aim: Aim, candidates: &mut Vec<Candidate>) {
        let answering = self.answers();
        match self.switch {
            Switch::TurningOff { sent } => {
                let retry = if answering { RETRY_AFTER } else { SEARCH_EVERY };
                let again = self.every(retry, Request::Switch { on: false });
                let due = if sent.is_some() { again.due } else { Timestamp::BOOT };
                candidates.push(Candidate { urgency: Urgency::Off, due, ..again });
            }
            Switch::TurningOn { sent } => {
                if aim.may_start && self.confirmed.is_some() && self.confirmed == aim.output {
                    let due = sent.map_or(Timestamp::BOOT, |sent| sent + RETRY_AFTER);
                    let request = Request::Switch { on: true };
                    candidates.push(Candidate { urgency: Urgency::Raise, due, request });
                }
            }
            Switch::Off | Switch::On { .. } => {}
        }
        if !answering {
            return;
        }
        if let (Some(output), Switch::TurningOn { .. } | Switch::On { .. }) = (aim.output, self.switch) {
            candidates.push(self.set_point(output));
        }
        if !self.walk_in_set {
            candidates.push(self.every(ASK_IDENTITY_EVERY, Request::WalkIn { on: aim.walk_in }));
        }
        if self.status.is_some() && self.conditions().has(Condition::Asleep) != aim.asleep {
            candidates.push(self.every(ASK_IDENTITY_EVERY, Request::Sleep { on: aim.asleep }));
        }
        if let Some(on) = aim.blink.filter(|on| *on != self.blinking) {
            candidates.push(self.every(ASK_IDENTITY_EVERY, Request::Identify { on }));
        }
    }

    fn set_point(&self, output: Output) -> Candidate {
        let Output { voltage, current } = output;
        let request = Request::SetOutput { voltage, current };
        let lower = current < self.ceiling || self.sent.is_some_and(|sent| voltage < sent.voltage);
        let urgency = match (self.sent == Some(output), lower) {
            (true, _) => Urgency::Poll,
            (false, true) => Urgency::Lower,
            (false, false) => Urgency::Raise,
        };
        let wait = match (self.sent == Some(output), self.confirmed == Some(output)) {
            (false, _) if self.refusals == 0 => Duration::ZERO,
            (true, true) => REFRESH_EVERY,
            (false, _) | (true, false) => RETRY_AFTER,
        };
        Candidate { urgency, ..self.every(wait, request) }
    }

    fn questions(&self, on_bus: u32, now: Timestamp, candidates: &mut Vec<Candidate>) {
        let output = self.every(OUTPUT_EVERY.max(OUTPUT_EVERY_OF_EACH * on_bus), Request::ReadOutput);
        let overdue = now >= output.due + OUTPUT_LATE;
        candidates.push(if overdue { Candidate { urgency: Urgency::Overdue, ..output } } else { output });
        candidates.push(self.every(STATUS_EVERY, Request::ReadStatus));
        candidates.push(self.every(AVAILABLE_EVERY, Request::ReadAvailable));
        if self.capability.is_none() {
            candidates.push(self.every(ASK_IDENTITY_EVERY, Request::ReadCapability));
        }
        if self.serial.is_none() {
            candidates.push(self.every(ASK_IDENTITY_EVERY, Request::ReadSerial));
        }
    }

    fn every(&self, period: Duration, request: Request) -> Candidate {
        let last = self.last.get(&std::mem::discriminant(&request));
        let due = last.map_or(Timestamp::BOOT, |last| *last + period);
        Candidate { urgency: Urgency::Poll, due, request }
    }

    /// The request goes out now.
    pub(in crate::rack) fn sent(&mut self, request: Request, now: Timestamp) {
        self.last.insert(std::mem::discriminant(&request), now);
        self.answers.ask(request, now);
        match (request, &mut self.switch) {
            (Request::Switch { on: false }, Switch::TurningOff { sent }) => *sent = sent.or(Some(now)),
            (Request::Switch { on: true }, Switch::TurningOn { sent }) => *sent = Some(now),
            _ => {}
        }
        if let Request::SetOutput { voltage, current } = request {
            self.sent = Some(Output { voltage, current });
            self.ceiling = self.ceiling.max(current);
        }
    }
}

fn is_question(request: Request) -> bool {
    matches!(
        request,
        Request::ReadOutput
            | Request::ReadOutputFixed
            | Request::ReadStatus
            | Request::ReadAvailable
            | Request::ReadCapability
            | Request::ReadSerial
            | Request::ReadInput
            | Request::ReadCount
            | Request::ReadSystemOutput
            | Request::ReadSystemOutputFixed
    )
}
