//! What the bus asked of a supply, until its control loop takes it.
//!
//! Not a queue: the newest set-point replaces one not taken yet, and OFF discards both it and the
//! epoch. So nothing can fill up, and OFF waits behind nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use voltry_bus::Error;
use voltry_service::{Lease, LeaseState, LeaseTimes, Refusal, Stamp};
use voltry_units::{Amps, Timestamp, Volts};

/// A set-point, with the epoch and sequence that it is confirmed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SetPoint {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) voltage: Volts,
    pub(crate) current: Amps,
}

/// Everything not taken yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Must come first.
    pub(crate) off: bool,
    /// A new epoch, and its holder.
    pub(crate) enabled: Option<String>,
    /// Only of an epoch that is still open.
    pub(crate) set: Option<SetPoint>,
    pub(crate) clear_faults: bool,
    pub(crate) identify: Option<(u8, bool)>,
}

#[derive(Debug)]
struct Inner {
    lease: Lease,
    waiting: Taken,
    /// The daemon ends: nothing is energised any more.
    ending: bool,
}

/// Shared between a supply's D-Bus object and its control loop; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    inner: Arc<Mutex<Inner>>,
    wake: Arc<Notify>,
}

impl Orders {
    /// Nothing asked; `wake` is notified of whatever comes.
    pub(crate) fn new(wake: Arc<Notify>) -> Self {
        let inner =
            Inner { lease: Lease::new(LeaseTimes::POWER_SUPPLY), waiting: Taken::default(), ending: false };
        Self { inner: Arc::new(Mutex::new(inner)), wake }
    }

    // A panic aborts the process, so nobody sees a poisoned lock.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enable(&self, holder: &str, epoch: u64, now: Timestamp) -> Result<(), Error> {
        let mut inner = self.inner();
        if inner.ending {
            return Err(Error::Unavailable("the power modules' daemon is ending".into()));
        }
        inner.lease.enable(holder, epoch, now)?;
        inner.waiting.enabled = Some(holder.to_owned());
        inner.waiting.set = None;
        self.wake.notify_one();
        Ok(())
    }

    pub(crate) fn set(
        &self,
        holder: &str,
        stamp: Stamp,
        voltage: Volts,
        current: Amps,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let mut inner = self.inner();
        inner.lease.command(holder, stamp, now)?;
        inner.waiting.set = Some(SetPoint { epoch: stamp.epoch, sequence: stamp.sequence, voltage, current });
        self.wake.notify_one();
        Ok(())
    }

    pub(crate) fn renew(&self, holder: &str, stamp: Stamp, now: Timestamp) -> Result<(), Refusal> {
        self.inner().lease.renew(holder, stamp, now)
    }

    pub(crate) fn off(&self) {
        let mut inner = self.inner();
        inner.lease.release();
        inner.waiting.off = true;
        inner.waiting.enabled = None;
        inner.waiting.set = None;
        self.wake.notify_one();
    }

    /// Off, and for good.
    pub(crate) fn end(&self) {
        self.inner().ending = true;
        self.off();
    }

    pub(crate) fn clear_faults(&self) {
        self.inner().waiting.clear_faults = true;
        self.wake.notify_one();
    }

    pub(crate) fn identify(&self, address: u8, on: bool) {
        self.inner().waiting.identify = Some((address, on));
        self.wake.notify_one();
    }

    /// Whether anything was ordered that the control loop has not taken.
    pub(crate) fn is_waiting(&self) -> bool {
        self.inner().waiting != Taken::default()
    }

    pub(crate) fn holder_lost(&self, who: &str, now: Timestamp) {
        self.inner().lease.holder_lost(who, now);
    }

    /// The supply switched itself off.
    pub(crate) fn end_epoch(&self) {
        let mut inner = self.inner();
        inner.lease.release();
        inner.waiting.enabled = None;
        inner.waiting.set = None;
    }

    /// What waits, whether anything may flow now, and when that may change by itself.
    pub(crate) fn take(&self, now: Timestamp) -> (Taken, LeaseState, Option<Timestamp>) {
        let mut inner = self.inner();
        let state = inner.lease.poll(now);
        if !state.may_energise() {
            inner.waiting.set = None;
        }
        let deadline = inner.lease.deadline();
        (std::mem::take(&mut inner.waiting), state, deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn open() -> Orders {
        let orders = Orders::new(Arc::default());
        orders.enable(":1.7", 5, NOW).unwrap();
        orders
    }

    fn set(orders: &Orders, sequence: u64, current: i32) -> Result<(), Refusal> {
        let stamp = Stamp { epoch: 5, sequence, sent_at: NOW };
        orders.set(":1.7", stamp, Volts::new(400), Amps::new(current), NOW)
    }

    #[test]
    fn the_newest_set_point_replaces_one_not_taken() {
        let orders = open();
        set(&orders, 1, 10).unwrap();
        set(&orders, 2, 20).unwrap();
        let (taken, ..) = orders.take(NOW);
        assert_eq!(taken.set.map(|set| set.current), Some(Amps::new(20)));
        assert_eq!(orders.take(NOW).0, Taken::default());
    }

    #[test]
    fn off_discards_what_came_before_it() {
        let orders = open();
        set(&orders, 1, 10).unwrap();
        orders.off();
        let (taken, state, _) = orders.take(NOW);
        assert_eq!(taken, Taken { off: true, ..Taken::default() });
        assert!(!state.may_energise());
        assert_eq!(set(&orders, 2, 10), Err(Refusal::Lapsed));
    }

    /// Who ends waits until everything is off, and must not be kept on by a session that begins meanwhile.
    #[test]
    fn who_ends_takes_no_new_epoch() {
        let orders = open();
        set(&orders, 1, 10).unwrap();
        orders.end();
        assert_eq!(orders.take(NOW).0, Taken { off: true, ..Taken::default() });
        let later = NOW + Duration::from_millis(10);
        assert!(matches!(orders.enable(":1.7", 6, later), Err(Error::Unavailable(_))));
        assert!(!orders.take(later).1.may_energise());
    }

    #[test]
    fn a_set_point_taken_after_the_lapse_is_not_applied() {
        let orders = open();
        set(&orders, 1, 10).unwrap();
        let (taken, state, _) = orders.take(NOW + Duration::from_millis(501));
        assert_eq!((taken.set, state), (None, LeaseState::Lapsed));
    }
}
