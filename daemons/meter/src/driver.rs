//! What drivers of devices have in common: orders in, requests out, events out.
//!
//! A driver does no I/O and reads no clock. The line's task asks [`Driver::due`] when to call
//! [`Driver::request`], carries the request out, and hands the outcome to [`Driver::reply`],
//! always one after the other. Orders come between two requests, never during one.

use voltry_units::{Amps, Ohms, Timestamp, Volts, WattHours, Watts};

use crate::decode::{Phase, Values};
use crate::isocha425hv::IsoCha425Hv;
use crate::meter::ModbusMeter;
use crate::request::{Failure, Request};
use crate::rn5893::Rn5893;

/// Names an order until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What a client of the device wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Read all registers of a meter now.
    ReadRegister,
    /// Start or pause measuring.
    SetActive(bool),
    /// Start a self-test.
    StartSelfTest,
}

/// An order carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// The registers, read after the order came.
    Registers(Reading),
    /// The device has confirmed.
    Confirmed,
}

/// An order not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The device does not answer, or not with anything that can be used.
    #[error("{0}")]
    Unavailable(String),
    /// The device, or the state it is in, does not allow it.
    #[error("{0}")]
    Refused(String),
    /// Too many orders wait already.
    #[error("too many requests are waiting for this device")]
    Busy,
}

/// A meter's reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// See [`Values::voltage`].
    pub voltage: Volts,
    /// See [`Values::current`].
    pub current: Amps,
    /// See [`Values::power`].
    pub power: Watts,
    /// The import register.
    pub energy_import: WattHours,
    /// The export register.
    pub energy_export: WattHours,
    /// See [`Values::phases`].
    pub phases: Option<[Phase; 3]>,
    /// When the first request of the reading was sent: nothing in it is older.
    pub at: Timestamp,
}

impl Reading {
    /// These values, asked for at `at`.
    #[must_use]
    pub const fn new(values: Values, at: Timestamp) -> Self {
        let Values { voltage, current, power, energy_import, energy_export, phases } = values;
        Self { voltage, current, power, energy_import, energy_export, phases, at }
    }
}

/// What a driver has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The device answers again, or no more.
    Online(bool),
    /// What the device says it is.
    Identified {
        /// Its name.
        model: String,
        /// Its firmware.
        firmware: String,
    },
    /// A meter's reading.
    Reading(Reading),
    /// A finished insulation measurement.
    Insulation {
        /// The least resistance that the device's answer allows.
        resistance: Ohms,
        /// Whether the device vouches for it.
        valid: bool,
        /// The device's update counter.
        counter: u64,
        /// When the request was sent that first saw this counter.
        at: Timestamp,
    },
    /// A voltage on the cable side.
    Voltage(Volts, Timestamp),
    /// Whether an insulation monitor measures.
    Active(bool),
    /// A self-test is over.
    SelfTestFinished {
        /// Whether the device passed.
        passed: bool,
        /// In words, if not.
        detail: String,
        /// When this was seen.
        at: Timestamp,
    },
    /// Something is wrong with the device, and stays so until [`Event::FaultGone`].
    Fault {
        /// Which fault.
        code: &'static str,
        /// In words.
        cause: String,
    },
    /// It is not wrong any more.
    FaultGone(&'static str),
    /// The device answered with something that means nothing.
    BadInput(String),
    /// An order is settled.
    Settled(Ticket, Result<Done, Denied>),
}

/// A device's driver.
#[derive(Debug)]
pub enum Driver {
    /// An energy meter with a register map.
    Meter(ModbusMeter),
    /// A Bender insulation monitor.
    IsoCha425Hv(IsoCha425Hv),
    /// A Dold insulation monitor.
    Rn5893(Rn5893),
}

impl Driver {
    /// When there is something to ask.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        match self {
            Self::Meter(meter) => meter.due(),
            Self::IsoCha425Hv(monitor) => monitor.due(),
            Self::Rn5893(monitor) => monitor.due(),
        }
    }

    /// The next request. It is sent at once, and [`Self::reply`] follows.
    #[must_use]
    pub fn request(&mut self, now: Timestamp) -> Request {
        match self {
            Self::Meter(meter) => meter.request(),
            Self::IsoCha425Hv(monitor) => monitor.request(now),
            Self::Rn5893(monitor) => monitor.request(now),
        }
    }

    /// What came of the request that was sent at `sent`.
    #[must_use]
    pub fn reply(
        &mut self,
        sent: Timestamp,
        now: Timestamp,
        outcome: Result<Vec<u16>, Failure>,
    ) -> Vec<Event> {
        match self {
            Self::Meter(meter) => meter.reply(sent, now, outcome),
            Self::IsoCha425Hv(monitor) => monitor.reply(sent, now, outcome),
            Self::Rn5893(monitor) => monitor.reply(sent, now, outcome),
        }
    }

    /// Takes an order; [`Event::Settled`] answers it, now or later, once.
    #[must_use]
    pub fn order(&mut self, now: Timestamp, ticket: Ticket, order: Order) -> Vec<Event> {
        match self {
            Self::Meter(meter) => meter.order(now, ticket, order),
            Self::IsoCha425Hv(monitor) => monitor.order(ticket, order),
            Self::Rn5893(monitor) => monitor.order(ticket, order),
        }
    }
}
