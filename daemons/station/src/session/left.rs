//! What an earlier run of the station, or an earlier boot, left open.

use voltry_bus::EndReason;

/// What a session of the book is when the station starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// One of this boot: it may go on.
    OfThisBoot(u64),
    /// The machine was booted since, for this reason: its session ids mean nothing any more.
    OfAnother(EndReason),
}

impl Left {
    /// The session, if it may go on; else 0.
    pub(super) const fn session(self) -> u64 {
        match self {
            Self::OfThisBoot(session) => session,
            Self::OfAnother(_) => 0,
        }
    }

    /// Why it ended, where nobody saw it end.
    pub(super) const fn reason(self) -> EndReason {
        match self {
            Self::OfThisBoot(_) => EndReason::Other,
            Self::OfAnother(reason) => reason,
        }
    }
}
