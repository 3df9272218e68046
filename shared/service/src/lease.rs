//! Who may energise, and for how long: the one place of the leasing rules.
//!
//! ```text
//!            enable                holder_lost             its time, or the lease, is up
//!   None ────────────▶ Live ───────────────────▶ HolderLost ───────────────▶ Lapsed
//!    ▲  ◀── release ────┘ └───── the lease is up, not renewed ────────────────▶ │
//!    └──────────────────────────────── a newer enable ─────────────────────────┘
//! ```
//!
//! [`Lease`] is the provider's side (a power supply, the contactors), [`LeaseHolder`] the side
//! of the energy path. Both are pure: time comes in, nothing is sent.
//!
//! A provider calls [`Lease::poll`] after every input and at [`Lease::deadline`], and keeps its
//! output energised only while that says [`LeaseState::Live`] or [`LeaseState::HolderLost`].
//! [`Lease::enable`] and [`Lease::release`] always mean: de-energised, until a command.

use std::time::Duration;

use voltry_units::Timestamp;

/// The times of a lease. All are configuration; the constants are the contract's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// How long a lease runs from its last renewal.
    pub lease: Duration,
    /// The oldest message taken. A process that was stopped and wakes up must not energise
    /// with its backlog.
    pub max_age: Duration,
    /// How long the output stays after its holder left the bus; never past the lease.
    pub after_holder_loss: Duration,
}

impl LeaseTimes {
    /// A power supply: off at once when its holder leaves.
    pub const POWER_SUPPLY: Self = Self {
        lease: Duration::from_millis(500),
        max_age: Duration::from_millis(100),
        after_holder_loss: Duration::ZERO,
    };
    /// Contactors: they outlast the power supply, so that they do not open under load.
    pub const CONTACTORS: Self = Self { after_holder_loss: Duration::from_millis(300), ..Self::POWER_SUPPLY };
    /// A matrix between modules and EVSEs: it outlasts the EVSE's contactors, which open within a second
    /// when their supply fails.
    pub const SWITCH_MATRIX: Self = Self {
        lease: Duration::from_secs(2),
        after_holder_loss: Duration::from_millis(1500),
        ..Self::POWER_SUPPLY
    };
}

/// Why a message may not energise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another connection holds the lease, or has just left and its output is being made safe.
    #[error("another connection holds the lease")]
    NotHolder,
    /// The epoch is not newer than one already seen, or not the open one.
    #[error("epoch {epoch} is stale, the newest is {newest}")]
    StaleEpoch {
        /// The message's epoch.
        epoch: u64,
        /// The newest epoch seen.
        newest: u64,
    },
    /// The sequence number is not above the last one of this epoch.
    #[error("sequence {sequence} is not above {last}")]
    StaleSequence {
        /// The message's sequence number.
        sequence: u64,
        /// The last one taken.
        last: u64,
    },
    /// The message lay about for too long.
    #[error("the message is {} ms old, at most {} ms are taken", age.as_millis(), max.as_millis())]
    TooOld {
        /// How old it is.
        age: Duration,
        /// How old it may be.
        max: Duration,
    },
    /// The message, or its epoch, is stamped later than now.
    #[error("the message is stamped {} µs later than now", by.as_micros())]
    FromTheFuture {
        /// By how much.
        by: Duration,
    },
    /// No epoch is open: it ran out, was ended, or none was opened yet.
    #[error("no epoch is open; only a new epoch energises")]
    Lapsed,
}

impl From<Refusal> for voltry_bus::Error {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::NotHolder => Self::NotHolder(text),
            Refusal::StaleEpoch { .. } => Self::StaleEpoch(text),
            Refusal::StaleSequence { .. } => Self::StaleSequence(text),
            Refusal::TooOld { .. } => Self::TooOld(text),
            Refusal::FromTheFuture { .. } => Self::FromTheFuture(text),
            Refusal::Lapsed => Self::Lapsed(text),
        }
    }
}

/// Where a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// No epoch was opened, or the last one was ended. De-energised.
    None,
    /// An epoch is open; its commands count.
    Live {
        /// The open epoch.
        epoch: u64,
    },
    /// The holder left the bus; commands no longer count, the output goes at the deadline.
    HolderLost {
        /// When it left.
        since: Timestamp,
    },
    /// The lease ran out. De-energised until a newer epoch.
    Lapsed,
}

impl LeaseState {
    /// Whether an output may still be energised.
    #[must_use]
    pub const fn may_energise(self) -> bool {
        match self {
            Self::Live { .. } | Self::HolderLost { .. } => true,
            Self::None | Self::Lapsed => false,
        }
    }
}

/// What a command carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The epoch it belongs to.
    pub epoch: u64,
    /// Rises by every message of the epoch, from 1.
    pub sequence: u64,
    /// When it was sent.
    pub sent_at: Timestamp,
}

impl Stamp {
    /// From the arguments of a method: epoch, sequence, `CLOCK_BOOTTIME` microseconds.
    #[must_use]
    pub const fn new(epoch: u64, sequence: u64, sent_at: u64) -> Self {
        Self { epoch, sequence, sent_at: Timestamp::from_micros(sent_at) }
    }
}

/// The provider's side of a lease.
#[derive(Debug)]
pub struct Lease {
    times: LeaseTimes,
    newest_epoch: u64,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    None,
    Live { holder: String, sequence: u64, ends: Timestamp },
    HolderLost { since: Timestamp, ends: Timestamp },
    Lapsed,
}

impl Lease {
    /// A lease that nobody holds.
    #[must_use]
    pub const fn new(times: LeaseTimes) -> Self {
        Self { times, newest_epoch: 0, inner: Inner::None }
    }

    /// Opens an epoch for `holder` (a unique bus name). The output is de-energised until a
    /// command of this epoch.
    ///
    /// # Errors
    /// An epoch that is not newer than every one seen, or stamped later than now (epochs are
    /// `CLOCK_BOOTTIME` microseconds, and one from the future would lock out all that follow);
    /// another holder whose lease is live or whose output is still being made safe.
    pub fn enable(&mut self, holder: &str, epoch: u64, now: Timestamp) -> Result<(), Refusal> {
        self.poll(now);
        match &self.inner {
            Inner::Live { holder: current, .. } if current != holder => return Err(Refusal::NotHolder),
            Inner::HolderLost { .. } => return Err(Refusal::NotHolder),
            Inner::None | Inner::Live { .. } | Inner::Lapsed => {}
        }
        if epoch <= self.newest_epoch {
            return Err(Refusal::StaleEpoch { epoch, newest: self.newest_epoch });
        }
        not_from_the_future(Timestamp::from_micros(epoch), now)?;
        self.newest_epoch = epoch;
        self.inner = Inner::Live { holder: holder.to_owned(), sequence: 0, ends: now + self.times.lease };
        Ok(())
    }

    /// Takes a command. It does not renew the lease.
    ///
    /// # Errors
    /// See [`Refusal`]. A refused message changes nothing.
    pub fn command(&mut self, holder: &str, stamp: Stamp, now: Timestamp) -> Result<(), Refusal> {
        self.accept(holder, stamp, now).map(|_ends| ())
    }

    /// Extends the lease to its full time from when the message was sent.
    ///
    /// # Errors
    /// See [`Refusal`]. A refused message changes nothing.
    pub fn renew(&mut self, holder: &str, stamp: Stamp, now: Timestamp) -> Result<(), Refusal> {
        let lease = self.times.lease;
        let ends = self.accept(holder, stamp, now)?;
        *ends = (*ends).max(stamp.sent_at + lease);
        Ok(())
    }

    fn accept(&mut self, from: &str, stamp: Stamp, now: Timestamp) -> Result<&mut Timestamp, Refusal> {
        self.poll(now);
        let newest = self.newest_epoch;
        let Inner::Live { holder, sequence, ends } = &mut self.inner else {
            return Err(Refusal::Lapsed);
        };
        if holder != from {
            return Err(Refusal::NotHolder);
        }
        if stamp.epoch != newest {
            return Err(Refusal::StaleEpoch { epoch: stamp.epoch, newest });
        }
        not_from_the_future(stamp.sent_at, now)?;
        let age = now.since(stamp.sent_at);
        if age > self.times.max_age {
            return Err(Refusal::TooOld { age, max: self.times.max_age });
        }
        if stamp.sequence <= *sequence {
            return Err(Refusal::StaleSequence { sequence: stamp.sequence, last: *sequence });
        }
        *sequence = stamp.sequence;
        Ok(ends)
    }

    /// A connection left the bus. Nothing happens unless it was the holder.
    pub fn holder_lost(&mut self, who: &str, now: Timestamp) {
        if matches!(&self.inner, Inner::Live { holder, .. } if holder == who) {
            self.bus_lost(now);
        }
    }

    /// The bus is gone, and with it whoever holds the lease.
    pub fn bus_lost(&mut self, now: Timestamp) {
        self.poll(now);
        if let Inner::Live { ends, .. } = self.inner {
            let ends = ends.min(now + self.times.after_holder_loss);
            self.inner = Inner::HolderLost { since: now, ends };
        }
    }

    /// Ends the epoch: switched off on request, or by a local fault.
    pub fn release(&mut self) {
        self.inner = Inner::None;
    }

    /// When [`Self::poll`] must be called next, even if nothing arrives.
    #[must_use]
    pub const fn deadline(&self) -> Option<Timestamp> {
        match &self.inner {
            Inner::Live { ends, .. } | Inner::HolderLost { ends, .. } => Some(*ends),
            Inner::None | Inner::Lapsed => None,
        }
    }

    /// Where the lease stands at `now`.
    pub fn poll(&mut self, now: Timestamp) -> LeaseState {
        if self.deadline().is_some_and(|ends| now >= ends) {
            self.inner = Inner::Lapsed;
        }
        match &self.inner {
            Inner::None => LeaseState::None,
            Inner::Live { .. } => LeaseState::Live { epoch: self.newest_epoch },
            Inner::HolderLost { since, .. } => LeaseState::HolderLost { since: *since },
            Inner::Lapsed => LeaseState::Lapsed,
        }
    }
}

fn not_from_the_future(stamp: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    if stamp > now { Err(Refusal::FromTheFuture { by: stamp.since(now) }) } else { Ok(()) }
}

/// The holder's side: numbers what it sends. One for each provider.
#[derive(Debug, Clone, Default)]
pub struct LeaseHolder {
    epoch: u64,
    sequence: u64,
}

impl LeaseHolder {
    /// No epoch yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { epoch: 0, sequence: 0 }
    }

    /// The next epoch, for `Enable`: newer than any before it, also across restarts.
    #[must_use]
    pub fn open(&mut self, now: Timestamp) -> u64 {
        self.epoch = now.as_micros().max(self.epoch + 1);
        self.sequence = 0;
        self.epoch
    }

    /// The epoch last opened; 0 before the first.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The stamp of the next message of this epoch.
    #[must_use]
    pub fn stamp(&mut self, now: Timestamp) -> Stamp {
        self.sequence += 1;
        Stamp { epoch: self.epoch, sequence: self.sequence, sent_at: now }
    }
}

#[cfg(test)]
mod tests;
