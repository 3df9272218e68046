//! What meters read and what flows, on its way into the book.

use std::time::Duration;

use tracing::{debug, warn};
use voltry_bus::EventKind;
use voltry_service::clock::now;
use voltry_units::{Timestamp, WattHours};

use super::Control;
use crate::book::{Measured, TransactionId};
use crate::clock::{Stamp, unix_now};
use crate::evse::Evse;
use crate::session::Input;

/// The newest reading of an open transaction is written this often.
const READING_INTERVAL: Duration = Duration::from_secs(10);
/// The book is looked through for what is too old this often.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);

impl Control {
    pub(super) fn note_flow(&mut self, number: u32) {
        let Some(evse) = self.evses.get_mut(&number) else { return };
        if evse.control.transaction().is_none() {
            return;
        }
        if let Some(news) = evse.seen().and_then(|seen| evse.flow.step(now(), seen)) {
            self.step(number, Input::Flow(news));
        }
    }

    /// The energy shown is of the session: what the one before got is in the book.
    pub(super) fn forget_energy(&mut self, number: u32) {
        if let Some(evse) = self.evses.get_mut(&number)
            && evse.control.transaction().is_none()
        {
            evse.register_start = None;
        }
    }

    /// Takes a reading of the meter and writes it when it is due. Before one that contradicts it,
    /// the last that is believed is written at once: it may be all that can be billed.
    pub(super) fn read(&mut self, number: u32, reads: WattHours) {
        let Some(evse) = self.evses.get_mut(&number) else { return };
        let now = now();
        let Some(transaction) = evse.control.transaction() else { return evse.register.set(now, reads) };
        let believed = evse.register.advance(now, reads, self.power_limit);
        let (Some(register), Some(heard_at)) = (evse.register.value(), evse.register.heard_at()) else {
            return;
        };
        if !believed && let Some(count) = evse.contradictions.count(now) {
            warn!(evse = number, transaction, count, %reads, before = %register, "the meter contradicts itself");
        }
        let interval = self.variables.reading_interval;
        let as_event = !interval.is_zero() && now.since(evse.event_at) >= interval;
        let at_once = !believed && heard_at > evse.booked_at;
        if !as_event && !at_once && now.since(evse.booked_at) < READING_INTERVAL {
            return;
        }
        evse.booked_at = now;
        if as_event {
            // From one due time to the next: the meter's pace must not add up.
            let due = evse.event_at + interval;
            evse.event_at = if now.since(due) < interval { due } else { now };
        }
        let measured = evse.measured();
        let event = as_event.then_some(EventKind::Reading);
        self.write_reading(transaction, self.clock.stamp(), measured, event);
    }

    /// Writes what the meter said last, if the book does not have it: should the meter be out of reach,
    /// that is what is billed.
    pub(super) fn keep_last(&self, evse: &Evse, transaction: TransactionId) {
        if let Some(heard_at) = evse.register.heard_at().filter(|heard_at| *heard_at > evse.booked_at) {
            let stamp = self.clock.stamp().earlier(now().since(heard_at));
            self.write_reading(transaction, stamp, evse.measured(), None);
        }
    }

    fn write_reading(&self, transaction: u64, stamp: Stamp, measured: Measured, event: Option<EventKind>) {
        let written = self.book.reading(transaction, stamp, measured, event);
        tokio::spawn(async move {
            if let Err(error) = written.await {
                warn!(transaction, %error, "a reading was not written");
            }
        });
    }

    /// How long it is to the next mark of the clock; for ever where there is none.
    pub(crate) fn next_mark(&self) -> Duration {
        self.marks.next(unix_now()).unwrap_or(Duration::MAX)
    }

    /// Reads the meters of transactions if a mark of the clock is reached: in its name, to the microsecond.
    pub(crate) fn mark(&mut self) {
        let stamp = self.clock.stamp();
        let Some(mark) = self.marks.step(stamp.unix) else { return };
        let late = Duration::from_micros(u64::try_from(stamp.unix - mark).unwrap_or(0));
        let stamp = stamp.earlier(late);
        for evse in self.evses.values() {
            if let Some(transaction) = evse.control.transaction() {
                let event = Some(EventKind::ClockReading);
                self.write_reading(transaction, stamp.clone(), evse.measured(), event);
            }
        }
    }

    /// Deletes what is too old, if it is time to. A clock that is not set knows no age.
    pub(super) fn prune(&mut self, now: Timestamp) {
        let stamp = self.clock.stamp();
        if now.since(self.pruned_at) < PRUNE_INTERVAL || !stamp.clock_set {
            return;
        }
        self.pruned_at = now;
        let before = stamp.unix.saturating_sub(i64::try_from(self.keep.as_micros()).unwrap_or(i64::MAX));
        let (book, uplink) = (self.book.clone(), self.back_end.is_some());
        tokio::spawn(async move {
            match book.prune(before, uplink).await {
                Ok(0) => {}
                Ok(events) => debug!(events, "what is too old is deleted from the book"),
                Err(error) => warn!(%error, "what is too old stays in the book"),
            }
        });
    }
}
