//! A supply that will not believe its modules any more.

use std::time::Duration;

/// Most is found within half a second, a flood at the end of one.
const FOUND: Duration = Duration::from_secs(1);

/// An address with two voices, a bus that somebody floods, a controller that is bus-off: the modules' daemon finds
/// it, ends the output, and gives none until it is gone and cleared.
#[derive(Clone, Default)]
pub struct Misled {
    pub present: bool,
    lasted: Duration,
    pub blocked: bool,
}

impl Misled {
    /// Time passed; whether the output ends now.
    pub fn blocks(&mut self, time: Duration) -> bool {
        self.lasted = if self.present { self.lasted + time } else { Duration::ZERO };
        let found = self.lasted > FOUND && !self.blocked;
        self.blocked |= found;
        found
    }

    /// What is still there stays.
    pub fn clear(&mut self) {
        self.blocked &= self.present;
    }
}
