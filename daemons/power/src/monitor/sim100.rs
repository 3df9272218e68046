//! The Sendyne (Sensata) SIM100 insulation monitor.
//!
//! ```text
//!            answers            restart sent             error flags, new estimate
//!  Starting ────────▶ Measuring ────────────▶ Starting ─────────────────────────▶ Measuring
//!                         │       (again)                 (self-test only)
//!                         └──── no answer ──▶ Starting
//! ```
//! Extended identifiers, big-endian: 0x0A100101 asks with a number in byte 0, 0x0A100100 answers with
//! the same number; of measurements byte 1 is the status.
//!
//! What is dangerous here:
//! - It takes up to some 6 s for an estimate, and answers with the old one meanwhile; its status says
//!   so. Only a new one is told: a consumer that waits 5 s may miss it.
//! - It tells each value's uncertainty. The least resistance that this allows is what counts, and with
//!   its flag of high uncertainty it vouches for nothing.
//! - It has no self-test that could be started. It is restarted instead, which tests it as its start
//!   does, and passes with no hardware error, no error flag and a new estimate within 30 s.
//! - How its excitation is switched on again is not published: by a restart.
//! - How old the voltage is that it tells is not published: it is not used.
//!
//! From public drivers; no device was ever asked by this one.

mod frames;
mod reply;

use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;
use voltry_canlink::CanFrame;
use voltry_units::Timestamp;

use super::conversation::Needs;
use super::{Conversation, Denied, Event, FAULT_DEVICE, FAULT_SETTING, FAULT_STUCK, Order, Ticket};

use frames::Question;

/// A new estimate is looked for this often.
const PERIOD: Duration = Duration::from_millis(200);
/// After a restart it is given this long before it is asked.
const RESTARTS_IN: Duration = Duration::from_millis(500);
/// With no answer by then it has not restarted.
const RESTART_LIMIT: Duration = Duration::from_secs(10);
/// A self-test takes at most this.
const TEST_LIMIT: Duration = Duration::from_secs(30);
/// More than twice as long as an estimate takes.
const STUCK_AFTER: Duration = Duration::from_secs(15);
/// After nobody answered.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How a SIM100 shall be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The highest voltage of the circuit, volts, 15 to 1000.
    pub voltage_max: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { voltage_max: 1_000 }
    }
}

impl Settings {
    /// What is wrong with them, in words.
    ///
    /// # Errors
    /// A voltage that the device cannot measure.
    pub fn check(&self) -> Result<(), String> {
        if (15..=1_000).contains(&self.voltage_max) {
            Ok(())
        } else {
            Err("voltage_max is 15 to 1000".into())
        }
    }
}

/// The driver.
#[derive(Debug)]
pub(super) struct Sim100 {
    settings: Settings,
    conversation: Conversation<Question>,
    state: State,
    script: VecDeque<Question>,
    /// Its restart is to be sent.
    restart: bool,
    /// Nothing is asked before.
    not_before: Timestamp,
    online: bool,
    /// Whether the device shall measure, also after it was away.
    active: bool,
    name: String,
    version: String,
    counter: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Starting(Purpose),
    Measuring(Schedule),
    /// Its excitation is to be switched off.
    Stopping(Ticket),
    /// Restarted for a test, and there again.
    Testing {
        look_at: Timestamp,
        deadline: Timestamp,
        flags: bool,
    },
}

/// Why it starts.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Start,
    Activate { ticket: Ticket, deadline: Timestamp },
    Test { deadline: Timestamp },
}

/// When to look for an estimate, and when a new one was last seen.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    look_at: Timestamp,
    newest: Option<Timestamp>,
    since: Timestamp,
}

impl Schedule {
    const fn from(now: Timestamp) -> Self {
        Self { look_at: now, newest: None, since: now }
    }
}

impl Sim100 {
    /// A monitor that shall be set like this and measure.
    pub(super) fn new(settings: Settings) -> Self {
        let mut monitor = Self {
            settings,
            conversation: Conversation::new(),
            state: State::Starting(Purpose::Start),
            script: VecDeque::new(),
            restart: false,
            not_before: Timestamp::BOOT,
            online: false,
            active: true,
            name: String::new(),
            version: String::new(),
            counter: 0,
        };
        monitor.start(Purpose::Start);
        monitor
    }

    fn start(&mut self, purpose: Purpose) {
        self.state = State::Starting(purpose);
        self.name.clear();
        self.version.clear();
        let names = (0..4).map(Question::Name);
        let versions = (0..3).map(Question::Version);
        self.script = names.chain(versions).collect();
        self.script.push_back(Question::VoltageMax(self.settings.voltage_max));
        let measures = match purpose {
            Purpose::Start => self.active,
            Purpose::Activate { .. } | Purpose::Test { .. } => true,
        };
        if !measures {
            self.script.push_back(Question::ExcitationOff);
        }
    }

    pub(super) fn due(&self) -> Timestamp {
        if let Some(due) = self.conversation.due() {
            return due;
        }
        let due = match self.state {
            State::Starting(_) | State::Stopping(_) => Timestamp::BOOT,
            State::Measuring(schedule) => schedule.look_at,
            State::Testing { look_at, .. } => look_at,
        };
        due.max(self.not_before)
    }

    pub(super) fn step(&mut self, now: Timestamp) -> (Option<CanFrame>, Vec<Event>) {
        let mut events = Vec::new();
        match self.conversation.needs(now) {
            Needs::Patience => {}
            Needs::Again(frame) => return (Some(frame), events),
            Needs::GivingUp => self.give_up(now, &mut events),
        }
        self.limit(now, &mut events);
        if self.conversation.due().is_some() || now < self.due() {
            return (None, events);
        }
        if std::mem::replace(&mut self.restart, false) {
            self.not_before = now + RESTARTS_IN;
            return (Some(frames::restart()), events);
        }
        let question = self.next(now);
        (Some(self.conversation.ask(now, question, question.frame())), events)
    }

    /// Nobody answered. A device that was told to restart is given its time for that.
    fn give_up(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        match self.state {
            State::Starting(purpose @ (Purpose::Activate { deadline, .. } | Purpose::Test { deadline }))
                if now < deadline =>
            {
                self.conversation.close();
                self.start(purpose);
                self.not_before = now + RESTARTS_IN;
            }
            State::Starting(_) | State::Measuring(_) | State::Stopping(_) | State::Testing { .. } => {
                events.extend(self.lost(now, "the insulation monitor does not answer"));
            }
        }
    }

    fn next(&mut self, now: Timestamp) -> Question {
        if let Some(question) = self.script.front() {
            return *question;
        }
        match &mut self.state {
            State::Stopping(_) => Question::ExcitationOff,
            State::Starting(_) => Question::Resistances,
            State::Measuring(schedule) => {
                schedule.look_at = now + PERIOD;
                Question::Resistances
            }
            State::Testing { look_at, flags, .. } => {
                *look_at = now + PERIOD;
                if *flags { Question::Resistances } else { Question::ErrorFlags }
            }
        }
    }

    pub(super) fn order(&mut self, now: Timestamp, ticket: Ticket, order: Order) -> Vec<Event> {
        let refused = |text: &str| Err(Denied::Refused(text.into()));
        let denied = match (self.state, order) {
            (State::Starting(Purpose::Test { .. }) | State::Testing { .. }, _) => refused("a self-test runs"),
            (State::Starting(Purpose::Activate { .. }) | State::Stopping(_), _) => Err(Denied::Busy),
            (State::Starting(Purpose::Start), _) => {
                Err(Denied::Unavailable("the insulation monitor is not ready".into()))
            }
            (State::Measuring(_), Order::StartSelfTest) if !self.active => {
                refused("the insulation monitor is not active")
            }
            (State::Measuring(_), Order::StartSelfTest) => {
                self.restart_for(Purpose::Test { deadline: now + TEST_LIMIT });
                Ok(())
            }
            (State::Measuring(_), Order::SetActive(false)) => {
                self.conversation.close();
                self.state = State::Stopping(ticket);
                return Vec::new();
            }
            // It may have been switched off without our knowing: in either case it restarts.
            (State::Measuring(_), Order::SetActive(true)) => {
                self.restart_for(Purpose::Activate { ticket, deadline: now + RESTART_LIMIT });
                return Vec::new();
            }
        };
        vec![Event::Settled(ticket, denied)]
    }

    fn restart_for(&mut self, purpose: Purpose) {
        self.conversation.close();
        self.start(purpose);
        self.restart = true;
    }
}

#[cfg(test)]
mod tests;
