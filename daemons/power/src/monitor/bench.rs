//! A monitor as a table of what it answers, and its driver, in virtual time.

use std::time::Duration;

use voltry_canlink::{CanFrame, CanId};

use super::*;

pub(super) const MS: fn(u64) -> Duration = Duration::from_millis;

pub(super) struct Bench<D> {
    pub(super) driver: Driver,
    /// The device's own state, which its answers come from.
    pub(super) device: D,
    answer: fn(&mut D, &CanFrame) -> Vec<CanFrame>,
    pub(super) silent: bool,
    pub(super) sent: Vec<String>,
    pub(super) now: Timestamp,
}

impl<D> Bench<D> {
    pub(super) fn new(driver: Driver, device: D, answer: fn(&mut D, &CanFrame) -> Vec<CanFrame>) -> Self {
        let now = Timestamp::from_micros(1_000_000);
        Self { driver, device, answer, silent: false, sent: Vec::new(), now }
    }

    /// One turn of the task: what is due, and what the device answers 5 ms later.
    pub(super) fn turn(&mut self) -> Vec<Event> {
        // A millisecond at least: nothing may be due for ever at the same instant.
        self.now = self.driver.due().max(self.now + MS(1));
        let (frame, mut events) = self.driver.step(self.now);
        let Some(frame) = frame else { return events };
        self.sent.push(format!("{frame:?}"));
        if !self.silent {
            let answers = (self.answer)(&mut self.device, &frame);
            self.now = self.now + MS(5);
            for answer in answers {
                events.extend(self.driver.hear(self.now, &answer));
            }
        }
        events
    }

    /// A frame that nobody asked for.
    pub(super) fn say(&mut self, text: &str) -> Vec<Event> {
        self.driver.hear(self.now, &frame(text))
    }

    pub(super) fn order(&mut self, order: Order) -> Vec<Event> {
        self.driver.order(self.now, Ticket(7), order)
    }

    #[track_caller]
    pub(super) fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in 0..5_000 {
            let found = self.turn();
            let done = found.iter().any(&wanted);
            events.extend(found);
            if done {
                return events;
            }
        }
        panic!("not within 5000 turns; last were {:?}", &events[events.len().saturating_sub(5)..]);
    }

    pub(super) fn run(&mut self, time: Duration) -> Vec<Event> {
        let end = self.now + time;
        let mut events = Vec::new();
        while self.now < end {
            events.extend(self.turn());
        }
        events
    }
}

/// As candump writes it; three digits for eleven bits.
pub(super) fn frame(text: &str) -> CanFrame {
    let (id, data) = text.split_once('#').unwrap();
    let bits = u32::from_str_radix(id, 16).unwrap();
    let id = if id.len() == 3 { CanId::standard(bits) } else { CanId::extended(bits) }.unwrap();
    let data: Vec<u8> =
        (0..data.len()).step_by(2).map(|at| u8::from_str_radix(&data[at..at + 2], 16).unwrap()).collect();
    CanFrame::new(id, &data).unwrap()
}

pub(super) fn insulations(events: &[Event]) -> Vec<(f64, bool)> {
    let told = events.iter().filter_map(|event| match event {
        Event::Insulation { resistance, valid, .. } => Some((resistance.as_si(), *valid)),
        _ => None,
    });
    told.collect()
}

pub(super) fn voltages(events: &[Event]) -> Vec<f64> {
    let told = events.iter().filter_map(|event| match event {
        Event::Voltage(volts, _) => Some(volts.as_si()),
        _ => None,
    });
    told.collect()
}

pub(super) fn settled(events: &[Event]) -> Option<Result<(), Denied>> {
    events.iter().find_map(|event| match event {
        Event::Settled(_, result) => Some(result.clone()),
        _ => None,
    })
}

pub(super) fn test_result(events: &[Event]) -> Option<(bool, String)> {
    events.iter().find_map(|event| match event {
        Event::SelfTestFinished { passed, detail, .. } => Some((*passed, detail.clone())),
        _ => None,
    })
}

pub(super) fn fault(events: &[Event], wanted: &str) -> Option<String> {
    events.iter().find_map(|event| match event {
        Event::Fault { code, cause } if *code == wanted => Some(cause.clone()),
        _ => None,
    })
}
