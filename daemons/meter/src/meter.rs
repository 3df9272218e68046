//! An energy meter with a register map: the same few reads once a second.
//!
//! ```text
//!            due                    answered, more to read
//!  Resting ───────▶ Reading block 0 ───────▶ Reading block 1 …
//!     ▲                  │                        │
//!     │   no answer:     │   answered, all read:  │
//!     └── back-off ──────┴── decode, tell ────────┘
//! ```
//!
//! A cycle is all or nothing: volts of this second are never told with energy of the last.

use std::time::Duration;

use voltry_units::Timestamp;

use crate::decode::decode;
use crate::driver::{Denied, Done, Event, Order, Reading, Ticket};
use crate::model::Model;
use crate::presence::{Patience, Presence};
use crate::request::{Failure, Request};

/// Orders that may wait for one cycle.
const WAITING_MAX: usize = 8;

/// The meter answers, but its registers make no reading.
pub const FAULT_READING: &str = "MeterReading";

/// The driver of one meter.
#[derive(Debug)]
pub struct ModbusMeter {
    model: Model,
    period: Duration,
    presence: Presence,
    cycle: Cycle,
    waiting: Vec<Ticket>,
}

#[derive(Debug)]
enum Cycle {
    Resting {
        until: Timestamp,
    },
    /// `blocks` have been read; the next one is due at once.
    Reading {
        since: Timestamp,
        blocks: Vec<Vec<u16>>,
    },
}

impl ModbusMeter {
    /// A meter that is read every `period`, for the first time at once.
    #[must_use]
    pub fn new(model: Model, period: Duration, patience: Patience) -> Self {
        Self {
            model,
            period,
            presence: Presence::new(patience),
            cycle: Cycle::Resting { until: Timestamp::BOOT },
            waiting: Vec::new(),
        }
    }

    /// See [`crate::driver::Driver::due`].
    #[must_use]
    pub fn due(&self) -> Timestamp {
        match self.cycle {
            Cycle::Resting { until } => until,
            Cycle::Reading { .. } => Timestamp::BOOT,
        }
    }

    /// See [`crate::driver::Driver::request`].
    #[must_use]
    pub fn request(&mut self) -> Request {
        let next = match &self.cycle {
            Cycle::Resting { .. } => 0,
            Cycle::Reading { blocks, .. } => blocks.len(),
        };
        Request::Read(self.model.blocks[next])
    }

    /// See [`crate::driver::Driver::reply`].
    #[must_use]
    pub fn reply(
        &mut self,
        sent: Timestamp,
        now: Timestamp,
        outcome: Result<Vec<u16>, Failure>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        match outcome {
            Ok(words) => {
                self.heard(&mut events);
                self.read(sent, now, words, &mut events);
            }
            Err(failure @ Failure::Refused(_)) => {
                self.heard(&mut events);
                self.cycle = Cycle::Resting { until: now + self.period };
                self.no_reading(&failure.to_string(), &mut events);
            }
            Err(failure) => {
                let missed = self.presence.missed(now);
                self.cycle = Cycle::Resting { until: missed.retry_at };
                if missed.lost {
                    events.push(Event::Online(false));
                }
                events.push(Event::BadInput(failure.to_string()));
                if self.presence.is_gone() {
                    self.settle(&Err(Denied::Unavailable(failure.to_string())), &mut events);
                }
            }
        }
        events
    }

    /// See [`crate::driver::Driver::order`].
    #[must_use]
    pub fn order(&mut self, now: Timestamp, ticket: Ticket, order: Order) -> Vec<Event> {
        match order {
            Order::ReadRegister if self.waiting.len() >= WAITING_MAX => {
                vec![Event::Settled(ticket, Err(Denied::Busy))]
            }
            Order::ReadRegister => {
                self.waiting.push(ticket);
                // A cycle that already runs may hold the energy register of before the order.
                self.cycle = Cycle::Resting { until: now };
                Vec::new()
            }
            Order::SetActive(_) | Order::StartSelfTest => {
                vec![Event::Settled(ticket, Err(Denied::Refused("this is an energy meter".into())))]
            }
        }
    }

    fn heard(&mut self, events: &mut Vec<Event>) {
        if self.presence.answered() {
            events.push(Event::Online(true));
        }
    }

    fn read(&mut self, sent: Timestamp, now: Timestamp, words: Vec<u16>, events: &mut Vec<Event>) {
        let resting = Cycle::Resting { until: now };
        let (since, mut blocks) = match std::mem::replace(&mut self.cycle, resting) {
            Cycle::Resting { .. } => (sent, Vec::with_capacity(self.model.blocks.len())),
            Cycle::Reading { since, blocks } => (since, blocks),
        };
        blocks.push(words);
        if blocks.len() < self.model.blocks.len() {
            self.cycle = Cycle::Reading { since, blocks };
            return;
        }
        // From the start of this cycle, so that a slow line does not make the period longer.
        self.cycle = Cycle::Resting { until: (since + self.period).max(now) };
        match decode(&self.model, &blocks) {
            Ok(values) => {
                let reading = Reading::new(values, since);
                events.push(Event::FaultGone(FAULT_READING));
                events.push(Event::Reading(reading));
                self.settle(&Ok(Done::Registers(reading)), events);
            }
            Err(error) => self.no_reading(&error.to_string(), events),
        }
    }

    fn no_reading(&mut self, cause: &str, events: &mut Vec<Event>) {
        events.push(Event::BadInput(cause.into()));
        events.push(Event::Fault { code: FAULT_READING, cause: cause.into() });
        self.settle(&Err(Denied::Unavailable(cause.into())), events);
    }

    fn settle(&mut self, result: &Result<Done, Denied>, events: &mut Vec<Event>) {
        events.extend(self.waiting.drain(..).map(|ticket| Event::Settled(ticket, result.clone())));
    }
}

#[cfg(test)]
mod tests;
