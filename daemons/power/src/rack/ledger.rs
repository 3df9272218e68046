//! Whether what comes from a module's address is one module's, and as much as was asked for.
//!
//! A module answers once. Where more comes, or two serial numbers, two modules have the address, or one
//! answers for another, or speaks by itself: what is true of the module then cannot be known. An answer that
//! comes late, or not at all, is none too many.

use std::collections::VecDeque;
use std::time::Duration;

use voltry_power_module::{Order, Reply, Request};
use voltry_units::Timestamp;

/// So many, each within [`WINDOW`], are no noise: a frame comes twice where its last bit was disturbed. A
/// module on a full bus is asked some 39 times meanwhile.
const TOO_MANY: usize = 10;
const WINDOW: Duration = Duration::from_secs(5);
/// An answer may come as late as this, and so many may be outstanding.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const OUTSTANDING: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    asked: VecDeque<Timestamp>,
    unasked: VecDeque<Timestamp>,
    stranger: Option<(Timestamp, String)>,
}

impl Ledger {
    /// Something was sent to the module.
    pub(super) fn sent(&mut self, request: Request, now: Timestamp) {
        if is_answered_once(request) {
            push(&mut self.asked, now, OUTSTANDING);
        }
    }

    /// Something came from its address.
    pub(super) fn heard(&mut self, reply: &Reply, now: Timestamp) {
        if !answers_such(reply) {
            return;
        }
        while self.asked.front().is_some_and(|asked| now.since(*asked) > ANSWERED_WITHIN) {
            self.asked.pop_front();
        }
        if self.asked.pop_front().is_none() {
            push(&mut self.unasked, now, TOO_MANY);
        }
    }

    /// A module that never fell silent said who it is.
    pub(super) fn introduced(&mut self, known: &str, told: &str, now: Timestamp) {
        if known != told {
            self.stranger = Some((now, format!("it said to be {known}, and then to be {told}")));
        }
    }

    /// What of late cannot be one module's answers.
    pub(super) fn evidence(&self, now: Timestamp) -> Option<String> {
        if let Some((at, text)) = &self.stranger
            && now.since(*at) <= WINDOW
        {
            return Some(text.clone());
        }
        let first = self.unasked.front().filter(|_| self.unasked.len() == TOO_MANY)?;
        let time = self.unasked.back()?.since(*first).as_secs_f64();
        let text = format!("{TOO_MANY} answers in {time:.1} s that were not asked for");
        (now.since(*first) <= WINDOW).then_some(text)
    }
}

fn push(times: &mut VecDeque<Timestamp>, now: Timestamp, most: usize) {
    if times.len() == most {
        times.pop_front();
    }
    times.push_back(now);
}

/// What is for one module alone, and answered by one frame in all families.
fn is_answered_once(request: Request) -> bool {
    matches!(
        request,
        Request::ReadOutput
            | Request::ReadOutputFixed
            | Request::ReadVoltage
            | Request::ReadCurrent
            | Request::ReadAvailable
            | Request::ReadInput
            | Request::SetOutput { .. }
            | Request::SetVoltage { .. }
            | Request::SetCurrent { .. }
    )
}

fn answers_such(reply: &Reply) -> bool {
    matches!(
        reply,
        Reply::Output(_)
            | Reply::OutputFixed(_)
            | Reply::Voltage(_)
            | Reply::Current(_)
            | Reply::Report(_)
            | Reply::Available { .. }
            | Reply::Input(_)
            | Reply::Done(Order::SetOutput | Order::SetVoltage | Order::SetCurrent)
    )
}
