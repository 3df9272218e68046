//! The Bender isoCHA425HV insulation monitor with its coupler AGH, and its relatives with the
//! same registers.
//!
//! ```text
//!                      settings right           order, accepted
//!  Starting ────────────────────────▶ Measuring ───────────────▶ Testing
//!     ▲  name, firmware, settings      │     ▲                   │    │
//!     └──────── device lost ───────────┘     └─── test over, ────┘    │
//!     └──────── device lost ────────────────────── or 30 s ───────────┘
//! ```
//!
//! What is dangerous here:
//! - A monitor that hangs can be read for hours. A resistance is told only when the device's own
//!   update counter has moved.
//! - Measurements of a self-test, or from before its end, say nothing about the cable. After a
//!   test the counter must move once more than usual before anything is told.
//! - A device that says that it failed may have lost its wires to the cable: its voltage is not
//!   told. It knows only by a test that it is mended, and no vehicle asks for one that gets no
//!   voltage: it is tested anew every 10 s.
//! - Settings live in the device's EEPROM: written only if different.
//! - The device is easily overwhelmed: it wants 10 to 20 ms between requests (the line's `pause`),
//!   and U L1-E and U L2-E must not be read during a test (they are never read).
//!
//! All requests of the normal rhythm have different lengths (counter 2, voltage 3, insulation 4
//! registers), so that a late reply cannot pass for another register.

mod channel;
mod reply;
mod settings;

use std::time::Duration;

use voltry_units::Timestamp;

use crate::driver::{Denied, Event, Order, Ticket};
use crate::model::{Block, Function, Parity, SerialSettings};
use crate::presence::{Patience, Presence};
use crate::request::Request;

pub use channel::{Alarm, Channel, ChannelError, Test, Unit, Validity};
pub use settings::Settings;

/// As delivered (vendor document).
pub const SERIAL: SerialSettings = SerialSettings { baud: 9600, parity: Parity::Even, stop_bits: 1 };
/// Rest between requests (10 to 20 ms by observation in the field).
pub const PAUSE: Duration = Duration::from_millis(15);

/// The device has reported an error of its own, or of its connection.
pub const FAULT_DEVICE: &str = "InsulationMonitorError";
/// The device does not take a setting.
pub const FAULT_SETTING: &str = "InsulationMonitorSetting";
/// The device answers, but its update counter stands still.
pub const FAULT_STUCK: &str = "InsulationMonitorStuck";

/// Consumers miss the voltage on the cable after 300 ms. At 9600 bit/s an exchange takes 28 ms and
/// the rest after it 15 ms: more often is not possible.
const VOLTAGE_PERIOD: Duration = Duration::from_millis(50);
/// Often enough to see even a short test begin.
const TEST_PERIOD: Duration = Duration::from_millis(200);
/// A self-test takes at most this (about 20 s in practice).
const TEST_LIMIT: Duration = Duration::from_secs(30);
/// A device that says that it failed is tested anew after this.
const TEST_AGAIN: Duration = Duration::from_secs(10);
/// With the counter still for this long, the consumer's 5 s have passed too.
const STUCK_AFTER: Duration = Duration::from_secs(10);

const NAME: Block = registers(9800, 10);
const VERSIONS: Block = registers(9820, 6);
const COUNTER: Block = registers(1032, 2);
const VOLTAGE: Block = registers(1008, 3);
const INSULATION: Block = registers(1000, 4);

const fn registers(address: u16, count: u16) -> Block {
    Block { function: Function::HoldingRegisters, address, count }
}

/// The driver.
#[derive(Debug)]
pub struct IsoCha425Hv {
    settings: Settings,
    /// How often a new measurement is looked for; the device measures about once a second.
    period: Duration,
    presence: Presence,
    state: State,
    /// The outstanding request.
    asked: Option<Asked>,
    /// After a miss: nothing before.
    not_before: Timestamp,
    /// Whether the device shall measure, also after it was away.
    active: bool,
    pending: Option<Command>,
    /// Since when the device reports that it failed, or when it was last tested with that.
    failed: Option<Timestamp>,
    name: String,
    firmware: Option<u16>,
    /// Counts measurements where the device does not.
    own_counter: u64,
}

#[derive(Debug, Clone, Copy)]
enum Command {
    StartTest {
        /// None by the driver itself.
        ticket: Option<Ticket>,
        /// The device may have begun, and its answer was lost.
        again: bool,
    },
    WriteActive(Ticket, bool),
    VerifyActive(Ticket, bool),
}

#[derive(Debug)]
enum State {
    Starting(Start),
    Measuring(Schedule),
    Testing { schedule: Schedule, deadline: Timestamp, begun: bool },
}

#[derive(Debug, Clone, Copy)]
enum Start {
    Name,
    Versions,
    Setting { index: usize, step: SettingStep },
}

#[derive(Debug, Clone, Copy)]
enum SettingStep {
    Compare,
    Write,
    Verify,
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Start(Start),
    Command(Command),
    Counter,
    Insulation,
    Voltage,
}

/// When to read what, and what is known of the update counter.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    voltage: Timestamp,
    insulation: Timestamp,
    /// The counter was read: the insulation is next.
    counted: Option<Counted>,
    /// The newest counter, and when the request was sent that first saw it.
    newest: Option<(u32, Timestamp)>,
}

#[derive(Debug, Clone, Copy)]
struct Counted {
    moved: bool,
    at: Timestamp,
}

impl Schedule {
    const fn from(now: Timestamp) -> Self {
        Self { voltage: now, insulation: now, counted: None, newest: None }
    }

    fn counted(&mut self, raw: u32, sent: Timestamp, now: Timestamp) {
        // The first counter does not tell how old its measurement is.
        let moved = self.newest.is_some_and(|(newest, _)| newest != raw);
        self.counted = Some(Counted { moved, at: now });
        if moved || self.newest.is_none() {
            self.newest = Some((raw, sent));
        }
    }
}

impl IsoCha425Hv {
    /// A monitor that shall be set like this and measure; a new measurement is looked for every `period`.
    #[must_use]
    pub fn new(settings: Settings, period: Duration, patience: Patience) -> Self {
        Self {
            settings,
            period,
            presence: Presence::new(patience),
            state: State::Starting(Start::Name),
            asked: None,
            not_before: Timestamp::BOOT,
            active: true,
            pending: None,
            failed: None,
            name: String::new(),
            firmware: None,
            own_counter: 0,
        }
    }

    /// See [`crate::driver::Driver::due`].
    #[must_use]
    pub fn due(&self) -> Timestamp {
        let due = match &self.state {
            State::Starting(_) => Timestamp::BOOT,
            State::Measuring(_) | State::Testing { .. } if self.pending.is_some() => Timestamp::BOOT,
            State::Measuring(schedule) | State::Testing { schedule, .. } => match schedule.counted {
                Some(_) => Timestamp::BOOT,
                None if self.active => schedule.voltage.min(schedule.insulation),
                None => schedule.insulation,
            },
        };
        due.max(self.not_before)
    }

    /// See [`crate::driver::Driver::request`].
    #[must_use]
    pub fn request(&mut self, now: Timestamp) -> Request {
        let asked = self.next(now);
        self.asked = Some(asked);
        match asked {
            Asked::Start(Start::Name) => Request::Read(NAME),
            Asked::Start(Start::Versions) => Request::Read(VERSIONS),
            Asked::Start(Start::Setting { index, step }) => {
                let (address, wanted) = self.settings.registers(self.firmware, self.active)[index];
                match step {
                    SettingStep::Compare | SettingStep::Verify => Request::Read(registers(address, 1)),
                    SettingStep::Write => Request::Write { address, words: vec![wanted] },
                }
            }
            Asked::Command(Command::StartTest { .. }) => {
                Request::Write { address: settings::TEST, words: vec![settings::TEST_NOW] }
            }
            Asked::Command(Command::WriteActive(_, active)) => {
                Request::Write { address: settings::ACTIVE, words: vec![u16::from(active)] }
            }
            Asked::Command(Command::VerifyActive(..)) => Request::Read(registers(settings::ACTIVE, 1)),
            Asked::Counter => Request::Read(COUNTER),
            Asked::Insulation => Request::Read(INSULATION),
            Asked::Voltage => Request::Read(VOLTAGE),
        }
    }

    /// See [`crate::driver::Driver::order`].
    #[must_use]
    pub fn order(&mut self, ticket: Ticket, order: Order) -> Vec<Event> {
        let refused = |text: &str| Err(Denied::Refused(text.into()));
        let denied = match (&self.state, order) {
            (_, Order::ReadRegister) => refused("this is an insulation monitor"),
            (State::Starting(_), _) => Err(Denied::Unavailable("the insulation monitor is not ready".into())),
            (State::Testing { .. }, _) => refused("a self-test runs"),
            (State::Measuring(_), _) if self.pending.is_some() => Err(Denied::Busy),
            (State::Measuring(_), Order::StartSelfTest) if !self.active => {
                refused("the insulation monitor is not active")
            }
            (State::Measuring(_), Order::StartSelfTest) => {
                self.ordered(Command::StartTest { ticket: Some(ticket), again: false });
                return Vec::new();
            }
            (State::Measuring(_), Order::SetActive(active)) => {
                self.ordered(Command::WriteActive(ticket, active));
                return Vec::new();
            }
        };
        vec![Event::Settled(ticket, denied)]
    }

    fn ordered(&mut self, command: Command) {
        self.pending = Some(command);
        self.hurry();
    }

    /// Nothing is missed as soon as the voltage: it is next.
    fn hurry(&mut self) {
        match &mut self.state {
            State::Starting(_) => {}
            State::Measuring(schedule) | State::Testing { schedule, .. } => {
                schedule.voltage = Timestamp::BOOT;
            }
        }
    }

    fn next(&mut self, now: Timestamp) -> Asked {
        let (schedule, testing) = match &mut self.state {
            State::Starting(start) => return Asked::Start(*start),
            State::Measuring(schedule) => (schedule, false),
            State::Testing { schedule, .. } => (schedule, true),
        };
        let hurried = self.active && schedule.voltage == Timestamp::BOOT;
        if !hurried && let Some(command) = self.pending.take() {
            return Asked::Command(command);
        }
        // Whichever was due first: a voltage does not wait until counter and insulation are both
        // read, nor do these wait for more than one voltage where the line is slower than its period.
        let other = schedule.counted.map_or(schedule.insulation, |counted| counted.at);
        if self.active && schedule.voltage <= other {
            // Aligned to the first, unless the line is too slow for that.
            schedule.voltage = (schedule.voltage + VOLTAGE_PERIOD).max(now);
            return Asked::Voltage;
        }
        if schedule.counted.is_some() {
            return Asked::Insulation;
        }
        schedule.insulation = now + if testing { TEST_PERIOD.min(self.period) } else { self.period };
        if testing || !self.settings.update_counter { Asked::Insulation } else { Asked::Counter }
    }
}

#[cfg(test)]
mod tests;
