//! One group of modules on its way between EVSEs.

use std::time::Duration;

use voltry_units::{Amps, Timestamp, Volts};

/// What was last heard of the modules of a group. Which way their current flows is their EVSE's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// At their output.
    pub voltage: Volts,
    /// What they give to a vehicle, or take from it.
    pub current: Amps,
    /// What they could give now, at this voltage; zero: they cannot deliver.
    pub available: Amps,
    /// What they could take from a vehicle now, at this voltage.
    pub takes: Amps,
    /// Every one of them confirmed that it is off.
    pub is_off: bool,
    /// For how long they have worked.
    pub hours: u32,
}

/// Where a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// After a start: everything is told to be off and open, and nothing is known yet.
    Starting,
    /// Off, and joined to nobody.
    Free,
    /// Its voltage comes to that of the EVSE.
    Matching {
        /// Whom it is to join.
        evse: usize,
        /// By then it has matched, or does not.
        until: Timestamp,
    },
    /// Its contactor is told to close.
    Closing {
        /// Whom it is to join.
        evse: usize,
        /// By then it is closed, or does not close.
        until: Timestamp,
    },
    /// Joined; its modules are told `current`.
    Serving {
        /// Whom.
        evse: usize,
        /// What its modules are told to give.
        current: Amps,
        /// It has not had its part of the current yet: it rises by the ramp.
        rising: bool,
    },
    /// It leaves: its current falls by the ramp.
    Ramping {
        /// Whom it leaves.
        evse: usize,
        /// What its modules are told to give.
        current: Amps,
    },
    /// Told to be off; its contactor stays until no current flows.
    SwitchingOff {
        /// Whom it leaves.
        evse: usize,
    },
    /// Its contactor is told to open.
    Opening {
        /// Whom it leaves.
        evse: usize,
        /// By then it is open, or is stuck.
        until: Timestamp,
    },
    /// Its modules do not answer: told to be off, and joined until that is certain.
    Lost {
        /// To whom.
        evse: Option<usize>,
        /// Since when.
        since: Timestamp,
        /// What its modules may give at most until they stop by themselves.
        current: Amps,
    },
    /// Its contactor did not do as told; it stays where it is, off, until somebody clears it.
    Barred {
        /// Whom it may be joined to.
        evse: Option<usize>,
        /// What its contactor did.
        why: Why,
    },
}

/// Why a group is barred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its contactor stayed closed.
    DidNotOpen,
    /// Its contactor opened though nobody wanted it to.
    FellOpen,
    /// A contactor towards this EVSE closed though nobody wanted it to.
    ClosedByItself(usize),
}

impl State {
    /// Whom it is joined to, or on its way to or from.
    #[must_use]
    pub const fn evse(self) -> Option<usize> {
        match self {
            Self::Starting | Self::Free => None,
            Self::Matching { evse, .. }
            | Self::Closing { evse, .. }
            | Self::Serving { evse, .. }
            | Self::Ramping { evse, .. }
            | Self::SwitchingOff { evse }
            | Self::Opening { evse, .. } => Some(evse),
            Self::Lost { evse, .. } | Self::Barred { evse, .. } => evse,
        }
    }

    /// Whether it is on its way to or from an EVSE.
    #[must_use]
    pub const fn moves(self, of: usize) -> bool {
        match self {
            Self::Matching { evse, .. }
            | Self::Closing { evse, .. }
            | Self::Ramping { evse, .. }
            | Self::SwitchingOff { evse }
            | Self::Opening { evse, .. } => evse == of,
            Self::Serving { .. } | Self::Starting | Self::Free | Self::Lost { .. } | Self::Barred { .. } => {
                false
            }
        }
    }
}

/// A group.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Where it is.
    pub state: State,
    /// What was last heard of it.
    pub seen: Option<Seen>,
    /// After a try that failed it is left alone until then.
    pub rests_until: Timestamp,
}

impl Group {
    /// One of which nothing is known.
    pub(super) const UNKNOWN: Self =
        Self { state: State::Starting, seen: None, rests_until: Timestamp::BOOT };

    /// What was heard of it no longer ago than `within`.
    #[must_use]
    pub fn fresh(&self, now: Timestamp, within: Duration) -> Option<Seen> {
        self.seen.filter(|seen| now.since(seen.at) <= within)
    }

    /// What it may give at most: what it was measured to give, or was told to where that is more, for the
    /// measurement may be older. Modules that fell silent give nothing after `lost_after`.
    #[must_use]
    pub fn may_give(&self, now: Timestamp, lost_after: Duration) -> Amps {
        let measured = self.seen.map_or(Amps::ZERO, |seen| seen.current);
        match self.state {
            State::Lost { since, .. } if now.since(since) >= lost_after => Amps::ZERO,
            State::Lost { current, .. } => current,
            State::Serving { current, .. } | State::Ramping { current, .. } => measured.max(current),
            State::Starting
            | State::Free
            | State::Matching { .. }
            | State::Closing { .. }
            | State::SwitchingOff { .. }
            | State::Opening { .. } => measured,
            State::Barred { .. } if self.is_lost(now, lost_after) => Amps::ZERO,
            State::Barred { .. } => measured,
        }
    }

    /// Whether nothing was heard of it for so long.
    #[must_use]
    pub fn is_lost(&self, now: Timestamp, time: Duration) -> bool {
        self.seen.is_none_or(|seen| now.since(seen.at) > time)
    }

    /// For how long its modules have worked.
    #[must_use]
    pub fn hours(&self) -> u32 {
        self.seen.map_or(0, |seen| seen.hours)
    }
}
