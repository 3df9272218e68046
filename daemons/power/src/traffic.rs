//! How full a bus is of what is really on it.

use std::time::Duration;

use voltry_units::Timestamp;

use crate::load::{BIT_RATE, FRAME_BITS_LEAST};

const WINDOW: Duration = Duration::from_secs(1);
/// No configuration that is accepted fills a bus to the half.
const TOO_FULL_PER_MILLE: u64 = 750;

/// Frames of the second that runs, and what the last one came to.
#[derive(Debug)]
pub(crate) struct Traffic {
    since: Timestamp,
    /// What had to wait while we were held up comes in a heap then.
    catches_up: bool,
    bits: u64,
    /// Of the identifiers heard, one that makes up more than half, if one does (a majority vote).
    candidate: (u32, u64),
}

/// What a second came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Second {
    /// As it should be.
    Calm,
    /// Fuller than any configuration, and why that may be.
    Flooded(String),
}

impl Traffic {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self { since: now, catches_up: false, bits: 0, candidate: (0, 0) }
    }

    /// A frame was sent by us.
    pub(crate) fn sent(&mut self) {
        self.bits += FRAME_BITS_LEAST;
    }

    /// A frame was heard.
    pub(crate) fn heard(&mut self, identifier: u32) {
        self.bits += FRAME_BITS_LEAST;
        self.candidate = match self.candidate {
            (_, 0) => (identifier, 1),
            (known, votes) if known == identifier => (known, votes + 1),
            (known, votes) => (known, votes - 1),
        };
    }

    /// At the end of a second: what it was.
    pub(crate) fn second(&mut self, now: Timestamp) -> Option<Second> {
        let time = now.since(self.since);
        if time < WINDOW {
            return None;
        }
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let per_mille = self.bits.saturating_mul(1_000_000_000) / u64::from(BIT_RATE) / micros;
        let (identifier, votes) = self.candidate;
        let most = if votes > 0 { format!(", most of it frames 0x{identifier:08X}") } else { String::new() };
        let catches_up = self.catches_up;
        *self = Self { catches_up: time >= WINDOW * 3 / 2, ..Self::new(now) };
        Some(if per_mille < TOO_FULL_PER_MILLE || catches_up {
            Second::Calm
        } else {
            Second::Flooded(format!("the bus is {} % full{most}", per_mille / 10))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    /// A frame each so many milliseconds for some seconds; what each second was.
    fn seconds(every: u64, identifier: impl Fn(u64) -> u32) -> Vec<Second> {
        let mut traffic = Traffic::new(ms(0));
        let mut seconds = Vec::new();
        for now in 1..=4_000 {
            if now % every == 0 {
                traffic.heard(identifier(now));
            }
            seconds.extend(traffic.second(ms(now)));
        }
        seconds
    }

    #[test]
    fn a_bus_that_is_half_full_is_calm() {
        assert_eq!(seconds(3, |_| 7), vec![Second::Calm; 4]);
    }

    #[test]
    fn a_bus_that_somebody_floods_is_told_each_second_and_with_the_frame() {
        // A frame a millisecond is 104.8 %: the least bits of a frame, of a bus that has more.
        let told = seconds(1, |now| if now % 3 == 0 { 5 } else { 0x0283_F001 });
        let flooded = Second::Flooded("the bus is 104 % full, most of it frames 0x0283F001".into());
        assert_eq!(told, vec![flooded; 4]);
    }

    #[test]
    fn a_long_pause_is_no_flood() {
        let mut traffic = Traffic::new(ms(0));
        (0..900).for_each(|_| traffic.heard(1));
        assert_eq!(traffic.second(ms(10_000)), Some(Second::Calm));
        (0..900).for_each(|_| traffic.heard(1));
        assert_eq!(traffic.second(ms(11_000)), Some(Second::Calm), "it had to wait");
        (0..900).for_each(|_| traffic.heard(1));
        assert!(matches!(traffic.second(ms(12_000)), Some(Second::Flooded(_))));
    }
}
