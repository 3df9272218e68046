//! Which question an answer belongs to.
//!
//! Frames carry no number, so an answer that comes late looks like the answer to the question
//! asked last. But a module answers in order. So an answer belongs to the *oldest* open question
//! of its kind, and questions before that one are lost. What a module measured is therefore never
//! taken for younger than it is.
//!
//! While the oldest question is open for long, no more are asked: either its answer comes late,
//! and then all come in order, or it never comes. In that case everything is forgotten and a
//! barrier is asked: nothing counts until its answer shows that all older ones are through. A
//! barrier not answered in a second is followed by one of another kind, so that answers seconds
//! late are not taken for the answer to the last one. A family that answers no questions has no
//! barriers; its orders are forgotten after their second.

use std::collections::VecDeque;
use std::time::Duration;

use voltry_power_module::{Order, Reply, Request};
use voltry_units::Timestamp;

/// Open questions kept for one module.
const MOST: usize = 16;
/// No more is asked while a question is open for longer than this.
const PATIENCE: Duration = Duration::from_millis(250);
/// After this, an answer is not expected any more.
const LOST: Duration = Duration::from_secs(1);
/// A question, or an order, and when it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) at: Timestamp,
}

/// The open questions of one module, oldest first.
#[derive(Debug)]
pub(super) struct Answers {
    open: VecDeque<Asked>,
    /// Taken in turn; at least two of them are not asked often otherwise.
    kinds: &'static [Request],
    /// The kind of the barrier that is waited for.
    barrier: Option<Request>,
    barriers: usize,
}

impl Answers {
    /// Nothing asked yet.
    pub(super) fn new(kinds: &'static [Request]) -> Self {
        Self { open: VecDeque::new(), kinds, barrier: None, barriers: 0 }
    }

    /// A question was sent.
    pub(super) fn ask(&mut self, request: Request, now: Timestamp) {
        if self.open.len() == MOST {
            self.open.pop_front();
        }
        self.open.push_back(Asked { request, at: now });
    }

    /// The question that `reply` answers; `None` for an answer nobody waits for.
    pub(super) fn answered(&mut self, reply: &Reply) -> Option<Asked> {
        let counts = |asked: &Asked| match self.barrier {
            Some(barrier) => asked.request == barrier && !matches!(reply, Reply::Refused { .. }),
            None => true,
        };
        let place = self.open.iter().position(|asked| counts(asked) && answers(&asked.request, reply))?;
        self.barrier = None;
        self.open.drain(..=place).next_back()
    }

    /// Time passed: gives up what is not answered any more.
    pub(super) fn age(&mut self, now: Timestamp) {
        if self.open.front().is_some_and(|oldest| now.since(oldest.at) > LOST) {
            self.open.clear();
            self.barrier = self.kinds.get(self.barriers).copied();
            self.barriers = (self.barriers + 1) % self.kinds.len().max(1);
        }
    }

    /// Whether a mere question may be sent now. Orders always may.
    pub(super) fn may_ask(&self, now: Timestamp) -> bool {
        self.barrier.is_none() && self.open.front().is_none_or(|oldest| now.since(oldest.at) <= PATIENCE)
    }

    /// The barrier to ask now, if one is wanted.
    pub(super) fn barrier(&self) -> Option<Request> {
        self.barrier.filter(|barrier| !self.open.iter().any(|asked| asked.request == *barrier))
    }

    /// The orders that are not confirmed yet.
    pub(super) fn open(&self) -> impl Iterator<Item = &Asked> {
        self.open.iter()
    }
}

fn answers(request: &Request, reply: &Reply) -> bool {
    let read = match request {
        Request::ReadOutput => matches!(reply, Reply::Output(_) | Reply::Report(_)),
        Request::ReadVoltage => matches!(reply, Reply::Voltage(_)),
        Request::ReadCurrent => matches!(reply, Reply::Current(_)),
        Request::ReadTemperature => matches!(reply, Reply::Temperature(_)),
        Request::ReadSerialRest => matches!(reply, Reply::SerialRest(_)),
        Request::ReadHours => matches!(reply, Reply::Hours(_)),
        Request::ReadDirection => matches!(reply, Reply::Direction { .. }),
        Request::ReadRange => matches!(reply, Reply::Range(_)),
        Request::ReadOutputFixed => matches!(reply, Reply::OutputFixed(_)),
        Request::ReadSystemOutput | Request::ReadSystemOutputFixed => matches!(reply, Reply::SystemOutput(_)),
        Request::ReadCount => matches!(reply, Reply::Count(_)),
        Request::ReadStatus => matches!(reply, Reply::Status(_)),
        Request::ReadInput => matches!(reply, Reply::Input(_)),
        Request::ReadCapability => matches!(reply, Reply::Capability(_)),
        Request::ReadSerial => matches!(reply, Reply::Serial(_)),
        Request::ReadAvailable => matches!(reply, Reply::Available { .. }),
        Request::Switch { .. } => {
            return confirms(Order::Switch, reply) || confirms(Order::Deliver, reply);
        }
        Request::SetVoltage { .. } => return confirms(Order::SetVoltage, reply),
        Request::SetCurrent { .. } => return confirms(Order::SetCurrent, reply),
        Request::Deliver { .. } => return confirms(Order::Deliver, reply),
        Request::SetRange { .. } => return confirms(Order::SetRange, reply),
        Request::SetDirection { .. } => return confirms(Order::SetDirection, reply),
        Request::SetCutOff { .. } => return confirms(Order::SetCutOff, reply),
        Request::SetSilenceLimit { .. } => return confirms(Order::SetSilenceLimit, reply),
        Request::KeepAlive => return false,
        Request::SetOutput { .. } => return confirms(Order::SetOutput, reply),
        Request::SetSystemOutput { .. } => return confirms(Order::SetSystemOutput, reply),
        Request::WalkIn { .. } => return confirms(Order::WalkIn, reply),
        Request::Sleep { .. } => return confirms(Order::Sleep, reply),
        Request::Identify { .. } => return confirms(Order::Identify, reply),
        Request::SetGroup { .. } => return confirms(Order::SetGroup, reply),
        Request::AddressMode { .. } => return confirms(Order::AddressMode, reply),
    };
    // A refused question does not say which it was.
    read || matches!(reply, Reply::Refused { order: None, .. })
}

fn confirms(order: Order, reply: &Reply) -> bool {
    matches!(reply, Reply::Done(done) if *done == order)
        || matches!(reply, Reply::Refused { order: Some(refused), .. } if *refused == order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use voltry_power_module::Output;
    use voltry_units::{Amps, Volts};

    const KINDS: &[Request] = &[Request::ReadCapability, Request::ReadSerial];

    fn ms(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1000)
    }

    fn output() -> Reply {
        Reply::Output(Output { voltage: Volts::ZERO, current: Amps::ZERO })
    }

    #[test]
    fn a_late_answer_is_dated_by_the_question_it_belongs_to() {
        let mut answers = Answers::new(KINDS);
        answers.ask(Request::ReadOutput, ms(0));
        answers.ask(Request::ReadOutput, ms(100));
        assert_eq!(answers.answered(&output()).unwrap().at, ms(0));
        assert_eq!(answers.answered(&output()).unwrap().at, ms(100));
        assert_eq!(answers.answered(&output()), None, "nobody asked");
    }

    #[test]
    fn an_answer_to_a_later_question_tells_that_earlier_ones_are_lost() {
        let mut answers = Answers::new(KINDS);
        answers.ask(Request::ReadOutput, ms(0));
        answers.ask(Request::ReadSerial, ms(50));
        assert_eq!(answers.answered(&Reply::Serial(String::new())).unwrap().at, ms(50));
        answers.ask(Request::ReadOutput, ms(100));
        assert_eq!(answers.answered(&output()).unwrap().at, ms(100));
    }

    #[test]
    fn after_a_second_of_silence_nothing_counts_until_the_barrier_is_through() {
        let mut answers = Answers::new(KINDS);
        answers.ask(Request::ReadOutput, ms(0));
        assert!(answers.may_ask(ms(250)));
        assert!(!answers.may_ask(ms(251)));
        answers.age(ms(1001));
        assert!(!answers.may_ask(ms(1001)));
        assert_eq!(answers.barrier(), Some(Request::ReadCapability));
        answers.ask(Request::ReadCapability, ms(1001));
        assert_eq!(answers.barrier(), None, "it is under way");
        assert_eq!(answers.answered(&output()), None, "the first question's answer, very late");
        answers.age(ms(2100));
        assert_eq!(answers.barrier(), Some(Request::ReadSerial), "of another kind");
        answers.ask(Request::ReadSerial, ms(2100));
        assert!(answers.answered(&Reply::Serial(String::new())).is_some());
        assert!(answers.may_ask(ms(2110)));
    }

    #[test]
    fn orders_of_a_family_without_questions_are_forgotten_and_need_no_barrier() {
        let mut answers = Answers::new(&[]);
        answers.ask(Request::Switch { on: false }, ms(0));
        answers.age(ms(1001));
        assert_eq!(answers.answered(&Reply::Done(Order::Deliver)), None, "too late");
        answers.ask(Request::Switch { on: false }, ms(1002));
        assert_eq!(answers.answered(&Reply::Done(Order::Deliver)).unwrap().at, ms(1002));
    }

    #[test]
    fn open_questions_are_bounded() {
        let mut answers = Answers::new(KINDS);
        (0..1000).for_each(|n| answers.ask(Request::Switch { on: false }, ms(n)));
        assert_eq!(answers.open.len(), MOST);
    }
}
