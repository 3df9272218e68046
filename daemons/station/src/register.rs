//! The meter's register of one EVSE, as far as it is believed.

use std::time::Duration;

use voltry_units::{Timestamp, WattHours, Watts};

/// A register may be late by this much of what flows: a coarse one counts in steps of 100 Wh.
const LATE: Duration = Duration::from_mins(1);

/// The newest reading that is believed, and when it was heard.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Register(Option<(WattHours, Timestamp)>);

impl Register {
    /// As it is written: what follows must not contradict it.
    pub(crate) const fn written(now: Timestamp, register: WattHours) -> Self {
        Self(Some((register, now)))
    }

    pub(crate) fn value(self) -> Option<WattHours> {
        self.0.map(|(register, _)| register)
    }

    pub(crate) fn heard_at(self) -> Option<Timestamp> {
        self.0.map(|(_, at)| at)
    }

    /// Takes a reading outside of a transaction: it may be another meter's.
    pub(crate) fn set(&mut self, now: Timestamp, reads: WattHours) {
        self.0 = Some((reads, now));
    }

    /// Takes a reading within a transaction. False if it contradicts the one before, being less or
    /// more than can have flowed since: then that one stands.
    #[must_use]
    pub(crate) fn advance(&mut self, now: Timestamp, reads: WattHours, power_limit: Watts) -> bool {
        if let Some((before, at)) = self.0 {
            let possible = power_limit.over(now.since(at) + LATE);
            if reads < before || reads > before + possible {
                return false;
            }
        }
        self.set(now, reads);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Watts = Watts::new(150_000);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_register_only_rises_and_by_no_more_than_can_have_flowed() {
        let mut register = Register::default();
        let mut reads = |second, wh| {
            let believed = register.advance(at(second), WattHours::new(wh), LIMIT);
            (believed, register.value())
        };
        assert_eq!(reads(0, 1_000), (true, Some(WattHours::new(1_000))));
        assert_eq!(reads(1, 1_000), (true, Some(WattHours::new(1_000))));
        assert_eq!(reads(2, 1_041), (true, Some(WattHours::new(1_041))));
        assert_eq!(reads(3, 1_040), (false, Some(WattHours::new(1_041))));
        assert_eq!(reads(4, 66_577), (false, Some(WattHours::new(1_041))));
        assert_eq!(reads(5, 1_166), (true, Some(WattHours::new(1_166))));
        // A meter that was away for ten minutes.
        assert_eq!(reads(605, 26_000), (true, Some(WattHours::new(26_000))));
    }

    #[test]
    fn between_transactions_the_meter_may_be_replaced() {
        let mut register = Register::default();
        register.set(at(0), WattHours::new(1_000));
        register.set(at(1), WattHours::ZERO);
        assert_eq!((register.value(), register.heard_at()), (Some(WattHours::ZERO), Some(at(1))));
    }
}
