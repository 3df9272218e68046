//! A lease as a device keeps it, by itself.

use std::time::Duration;

use voltry_service::Stamp;
use voltry_units::Timestamp;

pub const LEASE: Duration = Duration::from_millis(500);
const TOO_OLD: Duration = Duration::from_millis(100);

#[derive(Clone, Default)]
pub struct Lease {
    epoch: u64,
    sequence: u64,
    pub until: Option<Timestamp>,
    /// The last message was refused for its age alone.
    pub too_old: bool,
}

impl Lease {
    pub fn enable(&mut self, epoch: u64, now: Timestamp) -> bool {
        let newer = epoch > self.epoch;
        if newer {
            *self = Self { epoch, sequence: 0, until: Some(now + LEASE), too_old: false };
        }
        newer
    }

    pub fn accepts(&mut self, message: Stamp, now: Timestamp) -> bool {
        let current = self.until.is_some_and(|until| now <= until)
            && message.epoch == self.epoch
            && message.sequence > self.sequence
            && message.sent_at <= now;
        self.too_old = current && now.since(message.sent_at) > TOO_OLD;
        let good = current && !self.too_old;
        if good {
            self.sequence = message.sequence;
        }
        good
    }
}
