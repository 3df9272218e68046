//! Which calls are open, in both directions.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use voltry_units::Timestamp;

use super::frame::{self, Frame, Malformed};
use super::{Dialect, ErrorCode, MessageId, OPEN_MAX};

/// Ids of our own calls that are remembered when they are closed, to tell a late answer from one
/// to a call that never was.
const CLOSED_MAX: usize = 16;

/// This side of one connection. `T` is what a call of ours was about; it comes back exactly once:
/// with its answer, when its time is up, or when the connection is lost.
#[derive(Debug)]
pub struct Endpoint<T> {
    dialect: Dialect,
    ours: Option<Open<T>>,
    /// The newest last.
    closed: VecDeque<(MessageId, Closed)>,
    theirs: Vec<MessageId>,
    counts: Counts,
}

#[derive(Debug)]
struct Open<T> {
    id: MessageId,
    about: T,
    sent_at: Timestamp,
    deadline: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    Answered,
    TimedOut,
}

/// What a text of the peer was.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a, T> {
    /// The peer asks: [`Endpoint::answer`] or [`Endpoint::refuse`] it.
    Call(Call<'a>),
    /// The answer to our call.
    Answer {
        /// The call's id.
        id: MessageId,
        /// What the call was about.
        about: T,
        /// How long the peer took.
        took: Duration,
        /// The payload, JSON, or why the peer refuses.
        outcome: Result<&'a str, CallError<'a>>,
    },
    /// It cannot be taken; `answer` goes to the peer.
    Refused {
        /// The CALLERROR, if the peer's version has one for this.
        answer: Option<String>,
        /// In words, without anything of the text.
        why: &'static str,
    },
    /// An answer that nobody waits for: late, a second one, or to a call that never was.
    Ignored(&'static str),
}

/// A call of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<'a> {
    /// What the answer must name.
    pub id: MessageId,
    /// What is asked for.
    pub action: Cow<'a, str>,
    /// An object, JSON.
    pub payload: &'a str,
}

/// A CALLERROR of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError<'a> {
    /// `None`: a code that no version has; `written` tells.
    pub code: Option<ErrorCode>,
    /// The code as the peer wrote it.
    pub written: Cow<'a, str>,
    /// In the peer's words; may be empty.
    pub description: Cow<'a, str>,
}

/// How often the peer strayed from the protocol, on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Answers after their call's time was up.
    pub late: u64,
    /// Second answers.
    pub repeated: u64,
    /// Answers to calls that never were.
    pub unknown: u64,
    /// Texts that are no message, and calls that could not be taken.
    pub refused: u64,
}

impl<T> Endpoint<T> {
    /// This side of a new connection.
    #[must_use]
    pub const fn new(dialect: Dialect) -> Self {
        let counts = Counts { late: 0, repeated: 0, unknown: 0, refused: 0 };
        Self { dialect, ours: None, closed: VecDeque::new(), theirs: Vec::new(), counts }
    }

    /// Whether a call may be made.
    #[must_use]
    pub const fn is_free(&self) -> bool {
        self.ours.is_none()
    }

    /// Opens a call, and returns its text for the peer. `payload` is JSON. The answer is waited
    /// for until `timeout` has passed.
    ///
    /// # Errors
    /// What the call is about, if another is open.
    pub fn call(
        &mut self,
        now: Timestamp,
        id: &MessageId,
        (action, payload): (&str, &str),
        timeout: Duration,
        about: T,
    ) -> Result<String, T> {
        if self.ours.is_some() {
            return Err(about);
        }
        self.ours = Some(Open { id: id.clone(), about, sent_at: now, deadline: now + timeout });
        Ok(frame::write_call(id, action, payload))
    }

    /// Takes a text of the peer.
    pub fn received<'a>(&mut self, now: Timestamp, text: &'a str) -> Received<'a, T> {
        match frame::parse(text, self.dialect) {
            Ok(Frame::Call { id, action, payload }) => self.asked(Call { id, action, payload }),
            Ok(Frame::Result { id, payload }) => self.answered(now, &id, Ok(payload)),
            Ok(Frame::Error { id, code, description }) => {
                let error = CallError { code: ErrorCode::parse(&code), written: code, description };
                self.answered(now, &id, Err(error))
            }
            Err(Malformed { why, answer }) => {
                self.counts.refused += 1;
                Received::Refused { answer, why }
            }
        }
    }

    fn asked<'a>(&mut self, call: Call<'a>) -> Received<'a, T> {
        // 1.6J 4.2.3: a call whose id is being handled already is an error.
        let (code, why) = if self.theirs.contains(&call.id) {
            (ErrorCode::RpcFrameworkError, "a call with this id is open already")
        } else if self.theirs.len() >= OPEN_MAX {
            (ErrorCode::InternalError, "too many calls are open")
        } else {
            self.theirs.push(call.id.clone());
            return Received::Call(call);
        };
        self.counts.refused += 1;
        let answer = Some(frame::refusal(self.dialect, Some(call.id.as_str()), code, why));
        Received::Refused { answer, why }
    }

    fn answered<'a>(
        &mut self,
        now: Timestamp,
        id: &str,
        outcome: Result<&'a str, CallError<'a>>,
    ) -> Received<'a, T> {
        if let Some(open) = self.ours.take_if(|open| open.id.as_str() == id) {
            self.close(open.id.clone(), Closed::Answered);
            let took = now.since(open.sent_at);
            return Received::Answer { id: open.id, about: open.about, took, outcome };
        }
        let closed = self.closed.iter().rev().find(|(closed, _)| closed.as_str() == id);
        match closed.map(|(_, how)| *how) {
            Some(Closed::TimedOut) => {
                self.counts.late += 1;
                Received::Ignored("an answer after its time")
            }
            Some(Closed::Answered) => {
                self.counts.repeated += 1;
                Received::Ignored("a second answer")
            }
            None => {
                self.counts.unknown += 1;
                Received::Ignored("an answer to no call")
            }
        }
    }

    fn close(&mut self, id: MessageId, how: Closed) {
        if self.closed.len() >= CLOSED_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back((id, how));
    }

    /// The text that answers a call of the peer. `payload` is JSON. `None`: no call with this id
    /// is open here.
    #[must_use]
    pub fn answer(&mut self, id: &MessageId, payload: &str) -> Option<String> {
        self.settle(id).then(|| frame::write_result(id, payload))
    }

    /// The text that refuses a call of the peer. `None`: no call with this id is open here.
    #[must_use]
    pub fn refuse(&mut self, id: &MessageId, code: ErrorCode, description: &str) -> Option<String> {
        let dialect = self.dialect;
        self.settle(id).then(|| frame::refusal(dialect, Some(id.as_str()), code, description))
    }

    fn settle(&mut self, id: &MessageId) -> bool {
        let place = self.theirs.iter().position(|open| open == id);
        place.map(|place| self.theirs.swap_remove(place)).is_some()
    }

    /// When [`Self::expire`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.ours.as_ref().map(|open| open.deadline)
    }

    /// What our call was about, if its time is up. Its id must not be used again on this
    /// connection.
    pub fn expire(&mut self, now: Timestamp) -> Option<T> {
        let open = self.ours.take_if(|open| open.deadline <= now)?;
        self.close(open.id, Closed::TimedOut);
        Some(open.about)
    }

    /// The connection is gone: what our call was about, if one was open.
    #[must_use]
    pub fn lost(self) -> Option<T> {
        self.ours.map(|open| open.about)
    }

    /// How often the peer strayed from the protocol.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn id(text: &str) -> MessageId {
        MessageId::try_from(text.to_owned()).unwrap()
    }

    fn opened(about: &'static str) -> Endpoint<&'static str> {
        let mut endpoint = Endpoint::new(Dialect::V16);
        let text = endpoint.call(at(1), &id("1"), ("Heartbeat", "{}"), TIMEOUT, about).unwrap();
        assert_eq!(text, r#"[2,"1","Heartbeat",{}]"#);
        endpoint
    }

    #[test]
    fn an_answer_finds_its_call() {
        let mut endpoint = opened("first");
        let answer = Received::Answer {
            id: id("1"),
            about: "first",
            took: Duration::from_secs(2),
            outcome: Ok(r#"{"a":1}"#),
        };
        assert_eq!(endpoint.received(at(3), r#"[3,"1",{"a":1}]"#), answer);
        assert!(endpoint.is_free() && endpoint.lost().is_none());
    }

    #[test]
    fn a_refusal_finds_its_call_in_either_spelling() {
        let mut endpoint = opened("first");
        let text = r#"[4,"1","FormationViolation","bad",{}]"#;
        let Received::Answer { outcome: Err(error), .. } = endpoint.received(at(2), text) else { panic!() };
        assert_eq!((error.code, &*error.description), (Some(ErrorCode::FormatViolation), "bad"));
    }

    #[test]
    fn one_call_is_open_at_a_time() {
        let mut endpoint = opened("first");
        assert_eq!(endpoint.call(at(2), &id("2"), ("A", "{}"), TIMEOUT, "second"), Err("second"));
        let _ = endpoint.received(at(2), r#"[3,"1",{}]"#);
        assert!(endpoint.call(at(2), &id("2"), ("A", "{}"), TIMEOUT, "second").is_ok());
    }

    #[test]
    fn answers_late_twice_and_to_nothing_are_counted_and_ignored() {
        let mut endpoint = opened("first");
        assert_eq!(endpoint.expire(at(30)), None);
        assert_eq!(endpoint.deadline(), Some(at(31)));
        assert_eq!(endpoint.expire(at(31)), Some("first"));
        assert_eq!(endpoint.expire(at(99)), None);
        let late = endpoint.received(at(32), r#"[3,"1",{}]"#);
        assert_eq!(late, Received::Ignored("an answer after its time"));

        let _ = endpoint.call(at(33), &id("2"), ("A", "{}"), TIMEOUT, "second");
        let other = endpoint.received(at(34), r#"[3,"7",{}]"#);
        assert_eq!(other, Received::Ignored("an answer to no call"));
        assert!(!endpoint.is_free(), "the answer to another call does not close this one");
        let _ = endpoint.received(at(34), r#"[3,"2",{}]"#);
        let again = endpoint.received(at(35), r#"[4,"2","GenericError","",{}]"#);
        assert_eq!(again, Received::Ignored("a second answer"));
        assert_eq!(endpoint.counts(), Counts { late: 1, repeated: 1, unknown: 1, refused: 0 });
    }

    #[test]
    fn what_was_open_when_the_connection_was_lost_goes_out_again_with_its_id() {
        assert_eq!(opened("first").lost(), Some("first"));
        let mut next = Endpoint::new(Dialect::V16);
        let text = next.call(at(90), &id("1"), ("Heartbeat", "{}"), TIMEOUT, "first").unwrap();
        assert_eq!(text, r#"[2,"1","Heartbeat",{}]"#);
    }

    #[test]
    fn a_call_of_the_peer_is_answered_once() {
        let mut endpoint: Endpoint<()> = Endpoint::new(Dialect::V2);
        let text = r#"[2,"a","Reset",{"type":"Hard"}]"#;
        let Received::Call(call) = endpoint.received(at(1), text) else { panic!() };
        assert_eq!((&*call.action, call.payload), ("Reset", r#"{"type":"Hard"}"#));
        let Received::Refused { answer, .. } = endpoint.received(at(1), text) else { panic!() };
        assert!(answer.unwrap().starts_with(r#"[4,"a","RpcFrameworkError","#), "the id is open already");
        assert_eq!(endpoint.answer(&call.id, "{}").unwrap(), r#"[3,"a",{}]"#);
        assert_eq!(endpoint.answer(&call.id, "{}"), None);
        assert_eq!(endpoint.refuse(&call.id, ErrorCode::InternalError, ""), None);
    }

    #[test]
    fn calls_of_the_peer_do_not_pile_up() {
        let mut endpoint: Endpoint<()> = Endpoint::new(Dialect::V16);
        for number in 0..10_000 {
            let text = format!(r#"[2,"{number}","Reset",{{}}]"#);
            match endpoint.received(at(1), &text) {
                Received::Call(_) => assert!(number < OPEN_MAX),
                Received::Refused { answer, .. } => {
                    assert!(number >= OPEN_MAX);
                    assert!(answer.unwrap().contains(r#","InternalError","too many"#));
                }
                Received::Answer { .. } | Received::Ignored(_) => panic!(),
            }
        }
        assert_eq!(endpoint.theirs.len(), OPEN_MAX);
        assert!(endpoint.refuse(&id("3"), ErrorCode::NotSupported, "").is_some());
        assert!(matches!(endpoint.received(at(1), r#"[2,"x","Reset",{}]"#), Received::Call(_)));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Call,
        Answer(usize),
        Refusal(usize),
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Call),
            (0_usize..4).prop_map(Step::Answer),
            (0_usize..4).prop_map(Step::Refusal),
            (0_u64..40).prop_map(Step::Wait),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn whatever_the_peer_answers_each_call_comes_back_once(steps in steps()) {
            let mut endpoint = Endpoint::new(Dialect::V2);
            let (mut now, mut made, mut back) = (at(0), Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Call => {
                        let number = made.len();
                        let id = id(&number.to_string());
                        let free = endpoint.is_free();
                        let sent = endpoint.call(now, &id, ("A", "{}"), TIMEOUT, number);
                        prop_assert_eq!(sent.is_ok(), free);
                        if free { made.push(number); }
                    }
                    // Of the newest calls, answered or not, and of one that never was.
                    Step::Answer(ago) | Step::Refusal(ago) => {
                        let id = (made.len() + 1).saturating_sub(ago);
                        let text = if matches!(step, Step::Answer(_)) {
                            format!("[3,\"{id}\",{{}}]")
                        } else {
                            format!("[4,\"{id}\",\"GenericError\",\"\",{{}}]")
                        };
                        if let Received::Answer { about, .. } = endpoint.received(now, &text) {
                            prop_assert_eq!(about, id);
                            back.push(about);
                        }
                    }
                    Step::Wait(seconds) => {
                        now = now + Duration::from_secs(seconds);
                        let due = endpoint.deadline().is_some_and(|deadline| deadline <= now);
                        let expired = endpoint.expire(now);
                        prop_assert_eq!(expired.is_some(), due);
                        back.extend(expired);
                    }
                }
            }
            back.extend(endpoint.lost());
            prop_assert_eq!(back, made);
        }
    }
}
