//! The Dold RN5893 insulation monitor, with or without its coupling device RP5898.
//!
//! ```text
//!                   settings right         order, written
//!  Starting ─────────────────────▶ Measuring ───────────▶ Switching, Testing
//!     ▲  faults reset, settings     │      ▲                  │
//!     └──── lost, or fault 9 ───────┘      └── it did, or not ─┘
//! ```
//!
//! What is dangerous here:
//! - The device has no update counter: a value is believed because the device says with it that it
//!   measures and has no fault. One that hangs and still answers would be believed.
//! - Its voltage is what contactors are closed by: told only with a look at the state that is fresh
//!   and good. Nothing published says that a self-test disturbs it: it goes on in one.
//! - A fault that it remembers would leave it without a voltage for good: it is reset and tested
//!   anew every 10 s.
//! - Only the state register says whether it measures or tests: an order is confirmed by it, not by
//!   the echo of what was written.
//! - Its settings live in an EEPROM: written only if different. A write is one request for all of
//!   them, so that they are never half set.
//! - After its own Modbus time-out (fault 9) it takes nothing but a reset: that is written first.
//!
//! All requests of the rhythm have different lengths (state 2, values 3 registers), so that a late
//! reply cannot pass for another register.
//!
//! Registers and their meaning are from EVerest's driver; no device was ever asked by this one.

mod reply;
mod settings;

use std::time::Duration;

use voltry_units::Timestamp;

use crate::driver::{Denied, Event, Order, Ticket};
use crate::model::{Block, Function, Parity, SerialSettings};
use crate::presence::{Patience, Presence};
use crate::request::Request;

pub use settings::{BrokenWire, Coupling, Settings};

/// What the standard of Modbus has for a line; as delivered is not published.
pub const SERIAL: SerialSettings = SerialSettings { baud: 19_200, parity: Parity::Even, stop_bits: 1 };
/// Rest between requests.
pub const PAUSE: Duration = Duration::from_millis(15);

/// The device has reported a fault of its own, or of its connection.
pub const FAULT_DEVICE: &str = "InsulationMonitorError";
/// The device does not take its settings.
pub const FAULT_SETTING: &str = "InsulationMonitorSetting";

/// Consumers miss the voltage on the cable after 300 ms.
const VALUES_PERIOD: Duration = Duration::from_millis(60);
/// Often enough to see a short test begin, and a device that fails about as soon as one that is silent.
const LOOK_PERIOD: Duration = Duration::from_millis(200);
/// How long a look at the state says what a voltage is worth: its period, an order in between, and an answer lost.
const LOOK_COUNTS: Duration = Duration::from_millis(500);
/// A device that says that it failed is tested anew after this.
const TEST_AGAIN: Duration = Duration::from_secs(10);
/// A self-test takes at most this.
const TEST_LIMIT: Duration = Duration::from_secs(30);
/// A device that has not begun or stopped measuring after this will not.
const SWITCH_LIMIT: Duration = Duration::from_secs(3);

const STATE: Block = Block { function: Function::InputRegisters, address: 0, count: 2 };
const VALUES: Block = Block { function: Function::InputRegisters, address: 2_000, count: 3 };
const TIME_OUT: Block = Block { function: Function::HoldingRegisters, address: 1, count: 1 };
const SETTINGS: Block =
    Block { function: Function::HoldingRegisters, address: 2_000, count: settings::COUNT };

const CONTROL: u16 = 0;
const RESET_FAULTS: u16 = 1;
const START_TEST: u16 = 1 << 4;
const MEASUREMENT_OFF: u16 = 1 << 8;

/// The driver.
#[derive(Debug)]
pub struct Rn5893 {
    settings: Settings,
    /// How often the insulation is told.
    period: Duration,
    presence: Presence,
    state: State,
    asked: Option<Asked>,
    /// After a miss: nothing before.
    not_before: Timestamp,
    /// Whether the device shall measure, also after it was away.
    active: bool,
    /// The settings as they are to be written, with what the device holds where nobody minds.
    to_write: Vec<u16>,
    /// Since when it reports a fault, or when it was last tested with one.
    failed: Option<Timestamp>,
    /// When the last look was sent, if that said that its voltage is good.
    vouched: Option<Timestamp>,
    /// The voltage goes before everything else: an answer was lost, or an order would be in its way.
    overdue: bool,
    counter: u64,
}

#[derive(Debug)]
enum State {
    Starting(Start),
    Measuring(Schedule),
    /// The control word is to be written.
    Ordered {
        command: Command,
        reset: bool,
        /// The device may have carried it out, and its answer was lost.
        again: bool,
    },
    Switching {
        ticket: Ticket,
        active: bool,
        look_at: Timestamp,
        deadline: Timestamp,
    },
    Testing {
        schedule: Schedule,
        deadline: Timestamp,
        begun: bool,
    },
    /// A test is over: the control word is to be put back.
    Tested,
}

#[derive(Debug, Clone, Copy)]
enum Start {
    Reset,
    TimeOut,
    TimeOutOff,
    Compare,
    Write,
    Verify,
    Control,
}

#[derive(Debug, Clone, Copy)]
enum Command {
    /// Without a ticket by the driver itself.
    Test(Option<Ticket>),
    Active(Ticket, bool),
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Start(Start),
    Reset(Command),
    Command(Command),
    /// What it does.
    Look,
    /// The same; the insulation is told with the values that follow.
    State,
    Values,
    PutBack,
}

/// When to read what.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    values: Timestamp,
    look: Timestamp,
    insulation: Timestamp,
    /// The device has said that it measures, and whether without a fault; the values are next.
    measures: Option<bool>,
}

impl Schedule {
    const fn from(now: Timestamp) -> Self {
        Self { values: now, look: now, insulation: now, measures: None }
    }

    fn read_values(&mut self, now: Timestamp) -> Asked {
        // Aligned to the first, unless the line is too slow for that.
        self.values = (self.values + VALUES_PERIOD).max(now);
        Asked::Values
    }

    fn read_state(&mut self, now: Timestamp) -> Asked {
        self.look = now + LOOK_PERIOD;
        Asked::Look
    }
}

impl Command {
    const fn ticket(self) -> Option<Ticket> {
        match self {
            Self::Test(ticket) => ticket,
            Self::Active(ticket, _) => Some(ticket),
        }
    }
}

impl Rn5893 {
    /// A monitor that shall be set like this and measure; its insulation is told every `period`.
    #[must_use]
    pub fn new(settings: Settings, period: Duration, patience: Patience) -> Self {
        Self {
            settings,
            period,
            presence: Presence::new(patience),
            state: State::Starting(Start::Reset),
            asked: None,
            not_before: Timestamp::BOOT,
            active: true,
            to_write: Vec::new(),
            failed: None,
            vouched: None,
            overdue: false,
            counter: 0,
        }
    }

    /// See [`crate::driver::Driver::due`].
    #[must_use]
    pub fn due(&self) -> Timestamp {
        if self.overdue {
            return self.not_before;
        }
        let due = match &self.state {
            State::Starting(_) | State::Ordered { .. } | State::Tested => Timestamp::BOOT,
            State::Measuring(Schedule { measures: Some(_), .. }) => Timestamp::BOOT,
            State::Measuring(schedule) if !self.active => schedule.insulation,
            State::Measuring(schedule) => self.values_or(schedule, schedule.look.min(schedule.insulation)),
            State::Testing { schedule, .. } => self.values_or(schedule, schedule.look),
            State::Switching { look_at, .. } => *look_at,
        };
        due.max(self.not_before)
    }

    /// When the voltage is due, or something else before it. Without a good look no voltage would be
    /// told: there is no hurry to read it.
    fn values_or(&self, schedule: &Schedule, other: Timestamp) -> Timestamp {
        if self.vouched.is_some() { schedule.values.min(other) } else { other }
    }

    /// See [`crate::driver::Driver::request`].
    #[must_use]
    pub fn request(&mut self, now: Timestamp) -> Request {
        let asked = self.next(now);
        self.asked = Some(asked);
        let control = |word| Request::Write { address: CONTROL, words: vec![word] };
        match asked {
            Asked::Start(Start::TimeOut) => Request::Read(TIME_OUT),
            Asked::Start(Start::TimeOutOff) => Request::Write { address: TIME_OUT.address, words: vec![0] },
            Asked::Start(Start::Compare | Start::Verify) => Request::Read(SETTINGS),
            Asked::Start(Start::Write) => {
                Request::Write { address: SETTINGS.address, words: self.to_write.clone() }
            }
            Asked::Start(Start::Reset) | Asked::Reset(_) => control(RESET_FAULTS),
            Asked::Start(Start::Control) | Asked::PutBack => control(measuring(self.active)),
            Asked::Command(Command::Test(_)) => control(START_TEST),
            Asked::Command(Command::Active(_, active)) => control(measuring(active)),
            Asked::Look | Asked::State => Request::Read(STATE),
            Asked::Values => Request::Read(VALUES),
        }
    }

    /// See [`crate::driver::Driver::order`].
    #[must_use]
    pub fn order(&mut self, ticket: Ticket, order: Order) -> Vec<Event> {
        let refused = |text: &str| Err(Denied::Refused(text.into()));
        let denied = match (&self.state, order) {
            (_, Order::ReadRegister) => refused("this is an insulation monitor"),
            (State::Starting(_), _) => Err(Denied::Unavailable("the insulation monitor is not ready".into())),
            (State::Testing { .. } | State::Tested, _) => refused("a self-test runs"),
            (State::Ordered { .. } | State::Switching { .. }, _) => Err(Denied::Busy),
            (State::Measuring(_), Order::StartSelfTest) if !self.active => {
                refused("the insulation monitor is not active")
            }
            (State::Measuring(_), Order::StartSelfTest) => {
                // A fault that is only remembered must not fail the test; one that is there will.
                self.ordered(Command::Test(Some(ticket)), self.failed.is_some());
                return Vec::new();
            }
            (State::Measuring(_), Order::SetActive(active)) => {
                self.ordered(Command::Active(ticket, active), false);
                return Vec::new();
            }
        };
        vec![Event::Settled(ticket, denied)]
    }

    fn ordered(&mut self, command: Command, reset: bool) {
        self.state = State::Ordered { command, reset, again: false };
        self.overdue = self.active && self.vouched.is_some();
    }

    fn next(&mut self, now: Timestamp) -> Asked {
        if std::mem::take(&mut self.overdue) {
            return Asked::Values;
        }
        let tells = self.active && self.vouched.is_some();
        match &mut self.state {
            State::Starting(start) => Asked::Start(*start),
            State::Ordered { command, reset: true, .. } => Asked::Reset(*command),
            State::Ordered { command, reset: false, .. } => Asked::Command(*command),
            State::Tested => Asked::PutBack,
            State::Switching { look_at, .. } => {
                *look_at = now + LOOK_PERIOD;
                Asked::Look
            }
            State::Testing { schedule, .. } if tells && schedule.values <= schedule.look => {
                schedule.read_values(now)
            }
            State::Testing { schedule, .. } => schedule.read_state(now),
            State::Measuring(schedule) => {
                let look = schedule.look.min(schedule.insulation);
                if schedule.measures.is_some() || (tells && schedule.values <= look) {
                    return schedule.read_values(now);
                }
                let look = schedule.read_state(now);
                if schedule.insulation > now {
                    return look;
                }
                schedule.insulation = now + self.period;
                Asked::State
            }
        }
    }
}

/// The control word of a device that measures, or does not.
const fn measuring(active: bool) -> u16 {
    if active { 0 } else { MEASUREMENT_OFF }
}

#[cfg(test)]
mod tests;
