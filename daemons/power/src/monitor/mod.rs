//! Insulation monitors on a CAN bus of their own.
//!
//! ```text
//!  D-Bus ── orders ──▶ task ── frames ──▶ CAN ⇄ monitor
//!        ◀─ events ───      ◀─ frames ───
//!                       driver
//! ```
//! A driver does no I/O and reads no clock: orders and frames in, frames and events out. A monitor
//! shares no bus with power modules: these are asked up to two hundred times a second at 125 kbit/s,
//! and a value of insulation must not wait for that.

// A test looks for one event among many.
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm))]

pub(crate) mod config;
mod conversation;
mod iso165c;
mod served;
mod sim100;
mod task;

use voltry_canlink::CanFrame;
use voltry_units::{Ohms, Timestamp, Volts};

pub use config::Monitor;
pub(crate) use task::MonitorBus;

use conversation::Conversation;
use iso165c::Iso165c;
use sim100::Sim100;

/// The device has reported an error of its own, or of its connection.
const FAULT_DEVICE: &str = "InsulationMonitorError";
/// The device does not take a setting.
const FAULT_SETTING: &str = "InsulationMonitorSetting";
/// The device answers, but measures nothing new.
const FAULT_STUCK: &str = "InsulationMonitorStuck";

/// Names an order until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket(u64);

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    SetActive(bool),
    StartSelfTest,
}

/// An order not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Denied {
    /// The device does not answer.
    #[error("{0}")]
    Unavailable(String),
    /// The device, or the state it is in, does not allow it.
    #[error("{0}")]
    Refused(String),
    /// Another order is not done yet.
    #[error("another request is not done yet")]
    Busy,
}

/// What a driver has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Online(bool),
    Identified {
        model: String,
        firmware: String,
    },
    /// A finished measurement: the least resistance that the device's answer allows, whether the
    /// device vouches for it, its update counter, and when that was first asked for which saw it first.
    Insulation {
        resistance: Ohms,
        valid: bool,
        counter: u64,
        at: Timestamp,
    },
    /// And when it was first asked for.
    Voltage(Volts, Timestamp),
    Active(bool),
    SelfTestFinished {
        passed: bool,
        detail: String,
        at: Timestamp,
    },
    Fault {
        code: &'static str,
        cause: String,
    },
    FaultGone(&'static str),
    BadInput(String),
    Settled(Ticket, Result<(), Denied>),
}

/// A device's driver.
#[derive(Debug)]
enum Driver {
    Iso165c(Box<Iso165c>),
    Sim100(Box<Sim100>),
}

impl Driver {
    /// When [`Self::step`] has something to do.
    fn due(&self) -> Timestamp {
        match self {
            Self::Iso165c(monitor) => monitor.due(),
            Self::Sim100(monitor) => monitor.due(),
        }
    }

    /// Lets time pass: the frame to send now, and what is to tell.
    #[must_use]
    fn step(&mut self, now: Timestamp) -> (Option<CanFrame>, Vec<Event>) {
        match self {
            Self::Iso165c(monitor) => monitor.step(now),
            Self::Sim100(monitor) => monitor.step(now),
        }
    }

    /// Takes a frame of the bus, whoever it is from.
    #[must_use]
    fn hear(&mut self, now: Timestamp, frame: &CanFrame) -> Vec<Event> {
        match self {
            Self::Iso165c(monitor) => monitor.hear(now, frame),
            Self::Sim100(monitor) => monitor.hear(now, frame),
        }
    }

    /// Takes an order; [`Event::Settled`] answers it, now or later, once.
    #[must_use]
    fn order(&mut self, now: Timestamp, ticket: Ticket, order: Order) -> Vec<Event> {
        match self {
            Self::Iso165c(monitor) => monitor.order(ticket, order),
            Self::Sim100(monitor) => monitor.order(now, ticket, order),
        }
    }

    /// The bus is gone: what was asked will not be answered.
    #[must_use]
    fn link_lost(&mut self, now: Timestamp) -> Vec<Event> {
        match self {
            Self::Iso165c(monitor) => monitor.lost(now, "the CAN link is lost"),
            Self::Sim100(monitor) => monitor.lost(now, "the CAN link is lost"),
        }
    }
}

#[cfg(test)]
mod bench;
