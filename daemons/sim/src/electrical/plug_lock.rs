//! The lock of a plug that is not fixed to the station: a bolt, its motor, and the contact that says where it is.

use std::time::Duration;

/// How long the motor runs, whether the bolt moves or not; an actuator of the usual kind takes as long.
const RUN: Duration = Duration::from_millis(600);

/// What the station sees of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bolt {
    /// The plug can be pulled.
    Out,
    /// It cannot.
    In,
    /// The motor runs.
    Moving,
    /// The motor has run, and the bolt is where it was.
    Stuck,
}

/// The lock. At rest, and open.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlugLock {
    holds: bool,
    wanted: bool,
    /// For how long the motor still runs.
    left: Duration,
}

impl PlugLock {
    /// The motor runs, either way, as often as it is told.
    pub const fn drive(&mut self, holds: bool) {
        (self.wanted, self.left) = (holds, RUN);
    }

    /// Time passes. `stuck`: the bolt does not move.
    pub fn step(&mut self, time: Duration, stuck: bool) {
        let ran = !self.left.is_zero();
        self.left = self.left.saturating_sub(time);
        if ran && self.left.is_zero() && !stuck {
            self.holds = self.wanted;
        }
    }

    /// Whether the plug cannot be pulled.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.holds
    }

    /// What the station sees.
    #[must_use]
    pub const fn bolt(&self) -> Bolt {
        match (self.left.is_zero(), self.wanted == self.holds, self.holds) {
            (false, ..) => Bolt::Moving,
            (true, false, _) => Bolt::Stuck,
            (true, true, true) => Bolt::In,
            (true, true, false) => Bolt::Out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bolt_that_is_stuck_is_driven_again_and_not_by_itself() {
        let mut lock = PlugLock::default();
        lock.drive(true);
        assert_eq!(lock.bolt(), Bolt::Moving);
        lock.step(RUN, true);
        assert_eq!((lock.bolt(), lock.holds()), (Bolt::Stuck, false));
        lock.step(RUN, false);
        assert_eq!(lock.bolt(), Bolt::Stuck);
        lock.drive(true);
        lock.step(RUN, false);
        assert_eq!((lock.bolt(), lock.holds()), (Bolt::In, true));
        lock.drive(false);
        lock.step(RUN, false);
        assert_eq!((lock.bolt(), lock.holds()), (Bolt::Out, false));
    }
}
