//! What to send to a module next.

use std::time::Duration;

use voltry_power_module::{Condition, Output, Request, SetPoint as How};
use voltry_units::Timestamp;

use super::{Aim, Module, Phase, SetPoint, Switch};
use crate::load;

const OUTPUT_LATE: Duration = Duration::from_millis(25);
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// How often a group that shall stop is asked whether it did, but for the time of its answers.
const OFF_ASKED_EVERY: Duration = Duration::from_millis(50);
const ANSWER: Duration = Duration::from_millis(3);
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
        self.orders(aim, now, &mut candidates);
        match self.phase {
            Phase::Absent | Phase::Silent { .. } => {
                let search = self.ways.family.questions.status.iter();
                candidates.extend(search.map(|question| self.every(SEARCH_EVERY, *question)));
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

    fn orders(&self, aim: Aim, now: Timestamp, candidates: &mut Vec<Candidate>) {
        let answering = self.answers();
        match self.switch {
            Switch::TurningOff { sent } => {
                let retry = if answering { RETRY_AFTER } else { SEARCH_EVERY };
                let again = self.every(retry, Request::Switch { on: false });
                let due = if sent.is_some() { again.due } else { Timestamp::BOOT };
                candidates.push(Candidate { urgency: Urgency::Off, due, ..again });
                // Only the conditions of all its members say that a group is off.
                if self.ways.family.grouped && sent.is_some() {
                    let every = OFF_ASKED_EVERY.max(ANSWER * self.members);
                    candidates.push(self.every(every, Request::ReadStatus));
                }
            }
            Switch::TurningOn { sent } => {
                let due = sent.map_or(Timestamp::BOOT, |sent| sent + RETRY_AFTER);
                if let Some(request) = aim.output.and_then(|output| self.start(output, aim, now)) {
                    candidates.push(Candidate { urgency: Urgency::Raise, due, request });
                }
            }
            Switch::Off | Switch::On { .. } => {}
        }
        if !answering {
            return;
        }
        if let (Some(output), Switch::TurningOn { .. } | Switch::On { .. }) = (aim.output, self.switch) {
            self.set_points(output, candidates);
        }
        self.range_candidates(aim.output, candidates);
        self.direction_candidates(aim.inverting, candidates);
        if self.wants_silence_limit()
            && let Some(limit) = self.ways.silence
        {
            candidates.push(self.every(ASK_IDENTITY_EVERY, Request::SetSilenceLimit { limit }));
        }
        if self.wants_walk_in() {
            candidates.push(self.every(ASK_IDENTITY_EVERY, Request::WalkIn { on: aim.walk_in }));
        }
        let sleep = Request::Sleep { on: aim.asleep };
        let sleeps = self.conditions().has(Condition::Asleep);
        if self.status.is_some() && sleeps != aim.asleep && self.ways.can(sleep) {
            candidates.push(self.every(ASK_IDENTITY_EVERY, sleep));
        }
        let blink =
            aim.blink.filter(|on| *on != self.blinking && self.ways.can(Request::Identify { on: *on }));
        if let Some(on) = blink {
            candidates.push(self.every(ASK_IDENTITY_EVERY, Request::Identify { on }));
        }
    }

    /// The order that switches it on, if it may be.
    fn start(&self, output: Output, aim: Aim, now: Timestamp) -> Option<Request> {
        let Output { voltage, current } = output;
        let ready =
            self.range_fits(self.range_for_start(output), now) && self.direction_fits(aim.inverting, now);
        match self.ways.family.set_point {
            How::Together | How::Apart => (ready && aim.may_start && self.confirmed() == aim.output)
                .then_some(Request::Switch { on: true }),
            // The current is within the room there is.
            How::WithSwitch => (ready && current >= self.ways.family.current_least)
                .then_some(Request::Deliver { voltage, current }),
        }
    }

    fn set_points(&self, Output { voltage, current }: Output, candidates: &mut Vec<Candidate>) {
        match self.ways.family.set_point {
            How::Together => candidates.push(self.set_point(Request::SetOutput { voltage, current })),
            How::Apart => {
                candidates.push(self.set_point(Request::SetVoltage { voltage }));
                candidates.push(self.set_point(Request::SetCurrent { current }));
            }
            How::WithSwitch => {
                if let Switch::On { .. } = self.switch {
                    candidates.push(self.set_point(Request::Deliver { voltage, current }));
                }
            }
        }
    }

    fn set_point(&self, request: Request) -> Candidate {
        let SetPoint { voltage, current } = SetPoint::of(request).unwrap_or_default();
        let has = |known: SetPoint| {
            (voltage.is_none() || known.voltage == voltage) && (current.is_none() || known.current == current)
        };
        let lower = current.is_some_and(|current| current < self.ceiling)
            || voltage.zip(self.sent.voltage).is_some_and(|(voltage, sent)| voltage < sent);
        let urgency = match (has(self.sent), lower) {
            (true, _) => Urgency::Poll,
            (false, true) => Urgency::Lower,
            (false, false) => Urgency::Raise,
        };
        let wait = match (has(self.sent), has(self.confirmed)) {
            (false, _) if self.refusals == 0 => Duration::ZERO,
            (true, true) => load::refresh_every(self.ways.family),
            (false, _) | (true, false) => RETRY_AFTER,
        };
        Candidate { urgency, ..self.every(wait, request) }
    }

    fn questions(&self, on_bus: u32, now: Timestamp, candidates: &mut Vec<Candidate>) {
        let questions = self.ways.family.questions;
        let every = load::output_every(self.ways.family, on_bus);
        for question in questions.output {
            let output = self.every(every, *question);
            let overdue = now >= output.due + OUTPUT_LATE;
            candidates.push(if overdue { Candidate { urgency: Urgency::Overdue, ..output } } else { output });
        }
        let status = questions.status.iter();
        candidates.extend(status.map(|question| self.every(load::status_every(on_bus), *question)));
        let details = questions.details.iter();
        candidates.extend(details.map(|question| self.every(load::DETAILS_EVERY, *question)));
        candidates.extend(self.unknown_identity().map(|question| self.every(ASK_IDENTITY_EVERY, question)));
        if self.phase == Phase::Qualifying {
            let unasked = |question: &&Request| !self.last.contains_key(&std::mem::discriminant(*question));
            let perhaps = questions.perhaps.iter().filter(unasked);
            candidates.extend(perhaps.map(|question| self.every(ASK_IDENTITY_EVERY, *question)));
        }
    }

    pub(super) fn every(&self, period: Duration, request: Request) -> Candidate {
        let last = self.last.get(&std::mem::discriminant(&request));
        let due = last.map_or(Timestamp::BOOT, |last| *last + period);
        Candidate { urgency: Urgency::Poll, due, request }
    }

    /// The request goes out now.
    pub(in crate::rack) fn sent(&mut self, request: Request, now: Timestamp) {
        self.last.insert(std::mem::discriminant(&request), now);
        self.spoken_to = now;
        self.answers.ask(request, now);
        self.ledger.sent(request, now);
        match (request, &mut self.switch) {
            (Request::Switch { on: false }, Switch::TurningOff { sent }) => *sent = sent.or(Some(now)),
            (Request::Switch { on: true }, Switch::TurningOn { sent }) => *sent = Some(now),
            (Request::Deliver { current, .. }, Switch::TurningOn { sent }) => {
                // Whatever it was told before it was off counts no more.
                if sent.is_none() {
                    self.ceiling = current;
                }
                *sent = Some(now);
            }
            _ => {}
        }
        self.sent.take(request);
        if let Some(current) = SetPoint::of(request).and_then(|part| part.current) {
            self.ceiling = self.ceiling.max(current);
        }
    }
}

fn is_question(request: Request) -> bool {
    matches!(
        request,
        Request::ReadOutput
            | Request::ReadOutputFixed
            | Request::ReadVoltage
            | Request::ReadCurrent
            | Request::ReadTemperature
            | Request::ReadSerialRest
            | Request::ReadHours
            | Request::ReadRange
            | Request::ReadDirection
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
