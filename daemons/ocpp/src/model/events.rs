//! What is told by NotifyEvent (N07, N08, G05): a queue that outlives the machine, bounded, the
//! important kept longest. Pure.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use voltry_units::Timestamp;

use super::Address;

/// Events that may wait; beyond, the oldest of the least important goes.
pub const EVENTS_MAX: usize = 128;
/// Events in one message.
pub const EVENTS_A_MESSAGE: usize = 10;

/// What led to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// A threshold was passed, or a problem came or went.
    Alerting,
    /// A value changed.
    Delta,
    /// It was time.
    Periodic,
}

impl Trigger {
    /// 2.0.1's EventTriggerEnumType.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alerting => "Alerting",
            Self::Delta => "Delta",
            Self::Periodic => "Periodic",
        }
    }
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number, never the same twice.
    pub id: i64,
    /// When, by the machine's clock, microseconds of Unix time.
    pub unix: i64,
    /// That clock was set.
    pub set: bool,
    /// The same by `CLOCK_BOOTTIME`; none of an earlier boot.
    #[serde(skip)]
    pub at: Option<Timestamp>,
    /// What led to it.
    pub trigger: Trigger,
    /// 0 (danger) to 9.
    pub severity: u8,
    /// The variable.
    pub address: Address,
    /// Its value.
    pub value: String,
    /// What was told before is over.
    pub cleared: bool,
    /// The monitor that led to it; none: it is always told.
    pub monitor: Option<i64>,
    /// The industry's code of a problem.
    pub code: Option<String>,
    /// In words.
    pub words: Option<String>,
    /// The event that caused this one.
    pub cause: Option<i64>,
    /// The transaction that runs there.
    pub transaction: Option<String>,
}

/// What became of an event that was queued.
#[derive(Debug, PartialEq)]
pub enum Queued {
    /// It waits, and this one goes instead, if any.
    Waits(Option<i64>),
    /// It is less important than whatever waits.
    LeftOut,
}

/// The events that wait for the CSMS.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Events {
    waiting: VecDeque<Event>,
}

impl Events {
    /// With what the store kept.
    #[must_use]
    pub fn new(kept: Vec<Event>) -> Self {
        Self { waiting: kept.into() }
    }

    /// Queues one.
    pub fn push(&mut self, event: Event) -> Queued {
        let mut gone = None;
        if self.waiting.len() >= EVENTS_MAX {
            let worst = self.waiting.iter().map(|event| event.severity).max().unwrap_or(0);
            if event.severity > worst {
                return Queued::LeftOut;
            }
            let place = self.waiting.iter().position(|event| event.severity == worst);
            gone = place.and_then(|place| self.waiting.remove(place)).map(|event| event.id);
        }
        self.waiting.push_back(event);
        Queued::Waits(gone)
    }

    /// What the next message tells.
    #[must_use]
    pub fn next(&self) -> Vec<&Event> {
        self.waiting.iter().take(EVENTS_A_MESSAGE).collect()
    }

    /// These were told.
    pub fn told(&mut self, ids: &[i64]) {
        self.waiting.retain(|event| !ids.contains(&event.id));
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: i64, severity: u8) -> Event {
        Event {
            id,
            unix: 0,
            set: false,
            at: None,
            trigger: Trigger::Alerting,
            severity,
            address: Address::default(),
            value: "true".to_owned(),
            cleared: false,
            monitor: None,
            code: None,
            words: None,
            cause: None,
            transaction: None,
        }
    }

    #[test]
    fn the_queue_is_bounded_and_what_matters_most_stays() {
        let mut events = Events::default();
        for id in 0..i64::try_from(EVENTS_MAX).unwrap() {
            assert_eq!(events.push(event(id, if id == 3 { 1 } else { 8 })), Queued::Waits(None));
        }
        assert_eq!(events.push(event(900, 9)), Queued::LeftOut);
        assert_eq!(events.push(event(901, 2)), Queued::Waits(Some(0)));
        for id in 0..1000 {
            let _ = events.push(event(1000 + id, 1));
        }
        let ids: Vec<i64> = events.next().iter().map(|event| event.id).collect();
        assert_eq!((ids.len(), events.waiting.len()), (EVENTS_A_MESSAGE, EVENTS_MAX));
        assert!(events.waiting.iter().all(|event| event.severity <= 1));
        events.told(&ids);
        assert_eq!(events.waiting.len(), EVENTS_MAX - EVENTS_A_MESSAGE);
    }
}
