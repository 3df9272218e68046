//! The Bender iso165C and iso165C-1 insulation monitors.
//!
//! ```text
//!             script done            order: script confirmed
//!  Starting ──────────────▶ Measuring ──────────────────────▶ Testing
//!     ▲                      │     ▲                            │  │
//!     └───── no answer ──────┘     └──── test over, or 30 s ────┘  │
//!     └───── no answer ────────────────────────────────────────────┘
//! ```
//! Standard identifiers, little-endian: 0x22 asks with a command and two words, 0x23 answers with the
//! same command, or with 0xFF, an error and the command that failed. 0x37 comes each second by itself:
//! resistance and two status words.
//!
//! What is dangerous here:
//! - The resistance has a counter of measurements: only when it moved is there something to tell. The
//!   device's state comes in another frame; without a young one nothing is vouched for.
//! - It watches a circuit only while its coupling relays are closed: they follow whether it measures,
//!   and it counts as measuring when its own status says so.
//! - Thresholds are compared before they are written.
//!
//! From foxBMS's DBC and driver; no device was ever asked by this one. Which way the two relays must
//! be for a variant without them is not known: a refusal is a fault and the rest goes on.

mod frames;
mod reply;

use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;
use voltry_canlink::CanFrame;
use voltry_units::Timestamp;

use super::conversation::Needs;
use super::{Conversation, Denied, Event, FAULT_DEVICE, FAULT_SETTING, FAULT_STUCK, Order, Ticket};

use frames::{Command, Info};

/// A new value is looked for this often.
const INSULATION_PERIOD: Duration = Duration::from_millis(250);
/// Consumers miss the voltage on the cable after 300 ms.
const VOLTAGE_PERIOD: Duration = Duration::from_millis(80);
/// Often enough to see even a short test begin.
const TEST_PERIOD: Duration = Duration::from_millis(200);
/// A self-test takes at most this.
const TEST_LIMIT: Duration = Duration::from_secs(30);
/// The state comes each second; older than this it says nothing.
const INFO_LIMIT: Duration = Duration::from_millis(2_500);
/// With the counter still for this long, the consumer's 5 s have passed too.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// After nobody answered.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How an iso165C shall be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The device's own alarm, kΩ, 30 to 1000.
    pub alarm_kohm: u16,
    /// The device's own warning, kΩ, 40 to 2000; above `alarm_kohm`.
    pub warning_kohm: u16,
    /// Over how many measurements the device averages, 1 to 20; the maker recommends 10 for vehicles.
    pub mean_factor: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { alarm_kohm: 100, warning_kohm: 250, mean_factor: 10 }
    }
}

impl Settings {
    /// What is wrong with them, in words.
    ///
    /// # Errors
    /// Figures that the device would refuse, or that make no sense.
    pub fn check(&self) -> Result<(), String> {
        if !(30..=1_000).contains(&self.alarm_kohm)
            || !(40..=2_000).contains(&self.warning_kohm)
            || self.warning_kohm <= self.alarm_kohm
        {
            return Err("alarm_kohm is 30 to 1000, and less than warning_kohm, which is 40 to 2000".into());
        }
        if !(1..=20).contains(&self.mean_factor) {
            return Err("mean_factor is 1 to 20".into());
        }
        Ok(())
    }
}

/// The driver.
#[derive(Debug)]
pub(super) struct Iso165c {
    settings: Settings,
    conversation: Conversation<Asked>,
    state: State,
    script: VecDeque<Command>,
    purpose: Purpose,
    /// Nothing is asked before.
    not_before: Timestamp,
    online: bool,
    /// Whether the device shall measure, also after it was away.
    active: bool,
    info: Option<(Info, Timestamp)>,
    counter: u64,
}

#[derive(Debug)]
enum State {
    Starting,
    Measuring(Schedule),
    Testing { look_at: Timestamp, deadline: Timestamp, begun: bool },
}

/// What a script of commands is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Start,
    Nothing,
    Switch(Ticket, bool),
    Test(Ticket),
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Script(Command),
    Resistance,
    Voltage,
    Test,
}

/// When to ask what, and what is known of the counter of measurements.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    insulation: Timestamp,
    voltage: Timestamp,
    /// The newest count, and when that was first asked for which saw it first.
    newest: Option<(u8, Timestamp)>,
}

impl Schedule {
    const fn from(now: Timestamp) -> Self {
        Self { insulation: now, voltage: now, newest: None }
    }
}

impl Iso165c {
    /// A monitor that shall be set like this and measure.
    pub(super) fn new(settings: Settings) -> Self {
        let mut monitor = Self {
            settings,
            conversation: Conversation::new(),
            state: State::Starting,
            script: VecDeque::new(),
            purpose: Purpose::Start,
            not_before: Timestamp::BOOT,
            online: false,
            active: true,
            info: None,
            counter: 0,
        };
        monitor.start();
        monitor
    }

    fn start(&mut self) {
        self.state = State::Starting;
        self.purpose = Purpose::Start;
        self.script = VecDeque::from([
            Command::UNLOCK,
            Command::GET_VERSION,
            Command::GET_ALARM,
            Command::GET_WARNING,
            Command::GET_MEAN_FACTOR,
        ]);
        self.script.extend(frames::switching(self.active));
    }

    pub(super) fn due(&self) -> Timestamp {
        if let Some(due) = self.conversation.due() {
            return due;
        }
        let due = match &self.state {
            _ if !self.script.is_empty() => Timestamp::BOOT,
            State::Starting => Timestamp::BOOT,
            State::Measuring(schedule) if self.active => schedule.insulation.min(schedule.voltage),
            State::Measuring(schedule) => schedule.insulation,
            State::Testing { look_at, deadline, .. } => (*look_at).min(*deadline),
        };
        due.max(self.not_before)
    }

    pub(super) fn step(&mut self, now: Timestamp) -> (Option<CanFrame>, Vec<Event>) {
        let mut events = Vec::new();
        self.limit_test(now, &mut events);
        match self.conversation.needs(now) {
            Needs::Patience => {}
            Needs::Again(frame) => return (Some(frame), events),
            Needs::GivingUp => events.extend(self.lost(now, "the insulation monitor does not answer")),
        }
        if self.conversation.due().is_some() || now < self.due() {
            return (None, events);
        }
        let asked = self.next(now);
        let command = match asked {
            Asked::Script(command) => command,
            Asked::Resistance => Command::GET_RESISTANCE,
            Asked::Voltage => Command::GET_VOLTAGE,
            Asked::Test => Command::GET_STATUS,
        };
        (Some(self.conversation.ask(now, asked, command.frame())), events)
    }

    fn next(&mut self, now: Timestamp) -> Asked {
        if let Some(command) = self.script.front() {
            return Asked::Script(*command);
        }
        match &mut self.state {
            State::Measuring(schedule) if self.active && schedule.voltage <= schedule.insulation => {
                schedule.voltage = (schedule.voltage + VOLTAGE_PERIOD).max(now);
                Asked::Voltage
            }
            State::Starting => Asked::Resistance,
            State::Measuring(schedule) => {
                schedule.insulation = now + INSULATION_PERIOD;
                Asked::Resistance
            }
            State::Testing { look_at, .. } => {
                *look_at = now + TEST_PERIOD;
                Asked::Test
            }
        }
    }

    pub(super) fn order(&mut self, ticket: Ticket, order: Order) -> Vec<Event> {
        let refused = |text: &str| Err(Denied::Refused(text.into()));
        let denied = match (&self.state, order) {
            (State::Starting, _) => Err(Denied::Unavailable("the insulation monitor is not ready".into())),
            (State::Testing { .. }, _) => refused("a self-test runs"),
            (State::Measuring(_), _) if self.purpose != Purpose::Nothing => Err(Denied::Busy),
            (State::Measuring(_), Order::StartSelfTest) if !self.active => {
                refused("the insulation monitor is not active")
            }
            (State::Measuring(_), Order::StartSelfTest) => {
                self.purpose = Purpose::Test(ticket);
                self.script = VecDeque::from([Command::SELF_TEST]);
                return Vec::new();
            }
            (State::Measuring(_), Order::SetActive(active)) => {
                self.purpose = Purpose::Switch(ticket, active);
                self.script = frames::switching(active).into();
                return Vec::new();
            }
        };
        vec![Event::Settled(ticket, denied)]
    }
}

#[cfg(test)]
mod tests;
