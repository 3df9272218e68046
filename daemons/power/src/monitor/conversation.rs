//! One question at a time to a device on CAN, asked again when no answer comes.
//!
//! An answer does not say which of the tries it answers. While this process was held up, the answer to the
//! first may have waited in the socket all the time: so it is as old as the first.

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
    /// First.
    asked: Timestamp,
    /// Last.
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
        self.open = Some(Open { question, frame, asked: now, sent: now, tries: 1 });
        frame
    }

    /// What was asked, and when first: the time of its answer. The question stays open.
    pub(super) fn question(&self) -> Option<(Q, Timestamp)> {
        self.open.as_ref().map(|open| (open.question, open.asked))
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

#[cfg(test)]
mod tests {
    use voltry_canlink::CanId;

    use super::*;

    const fn ms(ms: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + ms * 1_000)
    }

    #[test]
    fn an_answer_after_a_repeat_is_as_old_as_the_first_try() {
        let frame = CanFrame::of_eight(CanId::standard(0x22).unwrap(), [0; 8]);
        let mut conversation = Conversation::new();
        let _ = conversation.ask(ms(0), 'v', frame);
        assert!(matches!(conversation.needs(ms(280)), Needs::Again(again) if again == frame));
        assert_eq!(conversation.question(), Some(('v', ms(0))));
        assert_eq!(conversation.due(), Some(ms(480)), "the repeat has its own time");
        conversation.close();
        let _ = conversation.ask(ms(290), 'v', frame);
        assert_eq!(conversation.question(), Some(('v', ms(290))));
    }

    #[test]
    fn a_device_is_asked_three_times() {
        let frame = CanFrame::of_eight(CanId::standard(0x22).unwrap(), [0; 8]);
        let mut conversation = Conversation::new();
        let _ = conversation.ask(ms(0), 'v', frame);
        assert!(matches!(conversation.needs(ms(199)), Needs::Patience));
        assert!(matches!(conversation.needs(ms(200)), Needs::Again(_)));
        assert!(matches!(conversation.needs(ms(399)), Needs::Patience));
        assert!(matches!(conversation.needs(ms(400)), Needs::Again(_)));
        assert!(matches!(conversation.needs(ms(600)), Needs::GivingUp));
    }
}
