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
#[derive(Debug, Default)]
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
mod tests {
    use super::*;

    const EVSE: &str = ":1.7";

    /// Milliseconds after an arbitrary instant well after boot.
    fn ms(ms: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + ms * 1_000)
    }

    fn stamp(epoch: u64, sequence: u64, sent_at: Timestamp) -> Stamp {
        Stamp { epoch, sequence, sent_at }
    }

    /// A lease held by `EVSE` since `ms(0)`, and its epoch.
    fn live(times: LeaseTimes) -> (Lease, u64) {
        let mut lease = Lease::new(times);
        let epoch = ms(0).as_micros();
        lease.enable(EVSE, epoch, ms(0)).unwrap();
        (lease, epoch)
    }

    #[test]
    fn nothing_is_energised_before_the_first_epoch() {
        let mut lease = Lease::new(LeaseTimes::POWER_SUPPLY);
        assert_eq!(lease.poll(ms(0)), LeaseState::None);
        assert!(!lease.poll(ms(0)).may_energise());
        assert_eq!(lease.command(EVSE, stamp(1, 1, ms(0)), ms(0)), Err(Refusal::Lapsed));
        assert_eq!(lease.deadline(), None);
    }

    #[test]
    fn a_lease_that_is_not_renewed_runs_out_after_500_ms() {
        let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
        assert_eq!(lease.deadline(), Some(ms(500)));
        assert_eq!(lease.poll(ms(499)), LeaseState::Live { epoch });
        assert_eq!(lease.poll(ms(500)), LeaseState::Lapsed);
    }

    #[test]
    fn a_lease_renewed_every_100_ms_goes_on() {
        let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
        for n in 1..=100 {
            lease.renew(EVSE, stamp(epoch, n, ms(n * 100)), ms(n * 100 + 3)).unwrap();
        }
        assert_eq!(lease.deadline(), Some(ms(10_500)), "it runs from when the last renewal was sent");
    }

    #[test]
    fn a_command_does_not_renew_the_lease() {
        let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
        lease.command(EVSE, stamp(epoch, 1, ms(400)), ms(400)).unwrap();
        assert_eq!(lease.poll(ms(500)), LeaseState::Lapsed);
    }

    #[test]
    fn after_a_lapse_only_a_new_epoch_energises() {
        let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
        let late = stamp(epoch, 1, ms(500));
        assert_eq!(lease.renew(EVSE, late, ms(500)), Err(Refusal::Lapsed), "also where nobody polled");
        assert_eq!(
            lease.enable(EVSE, epoch, ms(600)),
            Err(Refusal::StaleEpoch { epoch, newest: epoch }),
            "the old epoch does not come back"
        );
        let next = ms(600).as_micros();
        lease.enable(EVSE, next, ms(600)).unwrap();
        lease.command(EVSE, stamp(next, 1, ms(600)), ms(600)).unwrap();
    }

    #[test]
    fn a_stranger_can_neither_command_nor_renew_nor_take_over_a_live_lease() {
        let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
        let message = stamp(epoch, 1, ms(10));
        assert_eq!(lease.command(":1.8", message, ms(10)), Err(Refusal::NotHolder));
        assert_eq!(lease.renew(":1.8", message, ms(10)), Err(Refusal::NotHolder));
        assert_eq!(lease.enable(":1.8", ms(10).as_micros(), ms(10)), Err(Refusal::NotHolder));
        lease.command(EVSE, message, ms(10)).unwrap();
    }

    #[test]
    fn an_older_epoch_is_refused_and_so_is_one_never_opened() {
        let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
        for wrong in [epoch - 1, epoch + 1] {
            assert_eq!(
                lease.command(EVSE, stamp(wrong, 1, ms(1)), ms(1)),
                Err(Refusal::StaleEpoch { epoch: wrong, newest: epoch })
            );
        }
    }

    #[test]
    fn a_sequence_number_that_does_not_rise_is_refused() {
        let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
        lease.command(EVSE, stamp(epoch, 5, ms(1)), ms(1)).unwrap();
        for sequence in [0, 4, 5] {
            assert_eq!(
                lease.renew(EVSE, stamp(epoch, sequence, ms(2)), ms(2)),
                Err(Refusal::StaleSequence { sequence, last: 5 })
            );
        }
        lease.renew(EVSE, stamp(epoch, 6, ms(2)), ms(2)).unwrap();
    }

    #[test]
    fn a_stopped_process_that_wakes_cannot_energise_with_its_backlog() {
        let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
        lease.renew(EVSE, stamp(epoch, 1, ms(100)), ms(200)).unwrap();
        let refused = lease.renew(EVSE, stamp(epoch, 2, ms(100)), ms(201));
        let expected = Refusal::TooOld { age: Duration::from_millis(101), max: Duration::from_millis(100) };
        assert_eq!(refused, Err(expected));
        lease.renew(EVSE, stamp(epoch, 2, ms(201)), ms(201)).expect("a refused message uses up no number");
    }

    #[test]
    fn a_message_from_the_future_is_refused() {
        let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
        let early = lease.command(EVSE, stamp(epoch, 1, ms(11)), ms(10));
        assert_eq!(early, Err(Refusal::FromTheFuture { by: Duration::from_millis(1) }));
    }

    #[test]
    fn an_epoch_from_the_future_is_refused_lest_it_lock_out_all_others() {
        let mut lease = Lease::new(LeaseTimes::POWER_SUPPLY);
        assert!(matches!(lease.enable(EVSE, u64::MAX, ms(0)), Err(Refusal::FromTheFuture { .. })));
        lease.enable(EVSE, ms(0).as_micros(), ms(0)).unwrap();
    }

    #[test]
    fn a_power_supply_goes_off_at_once_when_its_holder_leaves() {
        let (mut lease, _) = live(LeaseTimes::POWER_SUPPLY);
        lease.holder_lost(EVSE, ms(100));
        assert_eq!(lease.poll(ms(100)), LeaseState::Lapsed);
    }

    #[test]
    fn contactors_open_300_ms_after_their_holder_left() {
        let (mut lease, _) = live(LeaseTimes::CONTACTORS);
        lease.holder_lost(EVSE, ms(100));
        assert_eq!(lease.deadline(), Some(ms(400)));
        assert_eq!(lease.poll(ms(399)), LeaseState::HolderLost { since: ms(100) });
        assert_eq!(lease.poll(ms(400)), LeaseState::Lapsed);
    }

    #[test]
    fn contactors_never_stay_closed_past_the_lease() {
        let (mut lease, _) = live(LeaseTimes::CONTACTORS);
        lease.holder_lost(EVSE, ms(350));
        assert_eq!(lease.poll(ms(499)), LeaseState::HolderLost { since: ms(350) });
        assert_eq!(lease.poll(ms(500)), LeaseState::Lapsed);
    }

    #[test]
    fn a_holder_that_left_commands_no_more_and_nobody_takes_over_before_the_output_is_safe() {
        let (mut lease, epoch) = live(LeaseTimes::CONTACTORS);
        lease.holder_lost(EVSE, ms(100));
        assert_eq!(lease.renew(EVSE, stamp(epoch, 1, ms(101)), ms(101)), Err(Refusal::Lapsed));
        assert_eq!(lease.enable(":1.9", ms(200).as_micros(), ms(200)), Err(Refusal::NotHolder));
        lease.enable(":1.9", ms(400).as_micros(), ms(400)).unwrap();
    }

    #[test]
    fn the_loss_of_somebody_else_changes_nothing() {
        let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
        lease.holder_lost(":1.8", ms(100));
        assert_eq!(lease.poll(ms(100)), LeaseState::Live { epoch });
    }

    #[test]
    fn a_released_lease_takes_no_command_until_a_newer_epoch() {
        let (mut lease, epoch) = live(LeaseTimes::CONTACTORS);
        lease.release();
        assert_eq!(lease.poll(ms(1)), LeaseState::None);
        assert_eq!(lease.command(EVSE, stamp(epoch, 1, ms(1)), ms(1)), Err(Refusal::Lapsed));
        assert!(matches!(lease.enable(EVSE, epoch, ms(1)), Err(Refusal::StaleEpoch { .. })));
        lease.enable(EVSE, epoch + 1, ms(1)).unwrap();
    }

    #[test]
    fn what_a_holder_sends_is_accepted_in_order_and_its_epochs_rise_within_a_microsecond() {
        let mut lease = Lease::new(LeaseTimes::POWER_SUPPLY);
        let mut holder = LeaseHolder::new();
        let first = holder.open(ms(0));
        let second = holder.open(ms(0));
        assert!(second > first);
        lease.enable(EVSE, first, ms(0)).unwrap();
        lease.enable(EVSE, second, ms(1)).unwrap();
        for n in 1..5 {
            lease.renew(EVSE, holder.stamp(ms(n)), ms(n)).unwrap();
        }
        assert_eq!(holder.stamp(ms(5)), Stamp { epoch: second, sequence: 5, sent_at: ms(5) });
    }

    #[test]
    fn each_refusal_has_its_own_error_on_the_bus() {
        let error: voltry_bus::Error = Refusal::StaleSequence { sequence: 3, last: 4 }.into();
        assert_eq!(error, voltry_bus::Error::StaleSequence("sequence 3 is not above 4".into()));
        assert!(matches!(Refusal::Lapsed.into(), voltry_bus::Error::Lapsed(_)));
    }
}
