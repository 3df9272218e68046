//! One question at a time to a device on CAN, asked again when no answer comes.

use std::time::Duration;

use voltry_canlink::CanFrame;
use voltry_units::Timestamp;

/// How long a device may take to answer.
const PATIENCE: Duration = Duration::from_millis(200);
/// How often it is asked.
const TRIES: u8 = 3;

/// The question that is open, if any; `Q` says what was asked.
#[derive(Debug)]
pub(super) struct Conversation<Q> {
    open: Option<Open<Q>>,
}

#[derive(Debug)]
struct Open<Q> {
    question: Q,
    frame: CanFrame,
    sent: Timestamp,
    tries: u8,
}

/// What an open question needs.
#[derive(Debug)]
pub(super) enum Needs {
    /// Nothing yet, or nothing is open.
    Patience,
    /// To be sent again.
    Again(CanFrame),
    /// Nobody answers.
    GivingUp,
}

impl<Q: Copy> Conversation<Q> {
    pub(super) const fn new() -> Self {
        Self { open: None }
    }

    /// Opens a question; the frame is to be sent.
    pub(super) fn ask(&mut self, now: Timestamp, question: Q, frame: CanFrame) -> CanFrame {
        self.open = Some(Open { question, frame, sent: now, tries: 1 });
        frame
    }

    /// What was asked, and when it was last sent; the question stays open.
    pub(super) fn question(&self) -> Option<(Q, Timestamp)> {
        self.open.as_ref().map(|open| (open.question, open.sent))
    }

    /// The answer has come, or is of no use any more.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    pub(super) fn needs(&mut self, now: Timestamp) -> Needs {
        match &mut self.open {
            Some(open) if now.since(open.sent) >= PATIENCE => {
                if open.tries >= TRIES {
                    return Needs::GivingUp;
                }
                open.tries += 1;
                open.sent = now;
                Needs::Again(open.frame)
            }
            Some(_) | None => Needs::Patience,
        }
    }

    /// When an open question will need something.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|open| open.sent + PATIENCE)
    }
}
