//! A master pass that was shown where several charge, until its holder says which is meant (OCPP 2.0.1 C16). Pure;
//! time comes in. A restart forgets it.

use std::time::Duration;

use voltry_units::Timestamp;

use crate::authorization::Payer;

/// For so long an answer is waited for (d). After that nothing ends: whoever comes next to the screen has no pass.
const WAITS: Duration = Duration::from_secs(30);

/// The pass that waits.
#[derive(Debug, Clone, Default)]
pub struct MasterPass {
    asked: Option<(Payer, Timestamp)>,
}

impl MasterPass {
    /// Its holder is asked.
    pub fn ask(&mut self, holder: Payer, now: Timestamp) {
        self.asked = Some((holder, now + WAITS));
    }

    /// Whether he is.
    #[must_use]
    pub const fn waits(&self) -> bool {
        self.asked.is_some()
    }

    /// He may have left.
    pub fn expire(&mut self, now: Timestamp) {
        self.asked.take_if(|(_, until)| *until <= now);
    }

    /// Whose answer this is, if one is waited for: one pass has one.
    pub fn answered(&mut self, now: Timestamp) -> Option<Payer> {
        self.expire(now);
        self.asked.take().map(|(holder, _)| holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_has_one_answer_and_that_within_its_time() {
        let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        let mut pass = MasterPass::default();
        assert_eq!(pass.answered(at(1)), None);
        pass.ask(Payer::anyone(), at(100));
        assert!(pass.waits());
        assert_eq!(pass.answered(at(129)), Some(Payer::anyone()));
        assert_eq!(pass.answered(at(129)), None);
        pass.ask(Payer::anyone(), at(200));
        pass.expire(at(229));
        assert!(pass.waits());
        assert_eq!(pass.answered(at(230)), None);
        assert!(!pass.waits());
    }
}
