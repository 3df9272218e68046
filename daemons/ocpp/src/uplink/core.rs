//! What the versions' folders see of the uplink, and what they change.

use std::collections::{BTreeMap, VecDeque};

use super::{Charging, Command, Connectors, Delivery, Networks, Notice, Record, Tokens};
use voltry_units::Watts;

use crate::config::Version;
use crate::dialect::{Handled, Then};
use crate::files::Files;
use crate::model::{Definition, Variables, name};
use crate::security::Journal;
use crate::time::{Clock, Now, rfc3339};
use crate::transactions::{Event, Kind, Measurand, Sample, Told, TxPoint};

/// Variables that are times of the connection.
const TIMES: [&str; 5] =
    [name::PING_INTERVAL, name::WAIT_MINIMUM, name::REPEAT_TIMES, name::RANDOM_RANGE, name::CONNECT_ATTEMPTS];

/// What the versions' folders see and change.
#[derive(Debug)]
pub struct Core {
    /// The version spoken.
    pub version: Version,
    /// The CSMS's time.
    pub clock: Clock,
    /// Variables.
    pub variables: Variables,
    /// Local list and cache.
    pub tokens: Tokens,
    /// Connectors.
    pub connectors: Connectors,
    /// Transactions.
    pub delivery: Delivery,
    /// Charging profiles.
    pub charging: Charging,
    /// Logs and firmware that are under way.
    pub files: Files,
    /// What the whole station can give.
    pub station_power: Watts,
    /// The ways to the CSMS.
    pub networks: Networks,
    /// The security log.
    pub journal: Journal,
    /// Why it booted, in 2.0.1's word.
    pub boot_reason: String,
    /// Notices that wait.
    pub(super) notices: VecDeque<Notice>,
    /// Starts 2.0.1's transaction ids.
    pub(super) prefix: String,
    /// By EVSE: the transaction that runs (0: none) and the register at its start.
    pub(super) edges: BTreeMap<u32, (u64, Option<i64>)>,
}

impl Core {
    /// The value of a variable as it is told.
    #[must_use]
    pub fn value(&self, definition: &Definition, now: Now) -> String {
        match definition.name {
            name::DATE_TIME => rfc3339(self.clock.now(now)),
            name::NUMBER_OF_CONNECTORS => self.connectors.evses().count().to_string(),
            name::SECURITY_PROFILE => self.networks.security_profile().to_string(),
            name::ACTIVE_NETWORK => self.networks.active.to_string(),
            name::CERTIFICATE_ENTRIES => self.networks.certificates.entries.to_string(),
            variable => self.variables.get(variable).to_owned(),
        }
    }

    /// Takes a value that was checked: it is stored, and whoever it concerns hears of it.
    pub fn write(&mut self, definition: &'static Definition, value: String, handled: &mut Handled) {
        handled.store.push(Record::Variable(definition.name, value.clone()));
        if let Some(command) = for_the_station(definition.name, &value) {
            handled.also.push(command);
        }
        if TIMES.contains(&definition.name) {
            handled.then.push(Then::Times);
        }
        if definition.name == name::PASSWORD {
            self.networks.password = true;
            handled.then.push(Then::Networks);
        }
        self.variables.set(definition, value);
    }

    /// What the station must know of a variable.
    #[must_use]
    pub fn for_the_station(&self) -> Vec<Command> {
        let told = [name::READING_INTERVAL, name::CLOCK_READING_INTERVAL, name::CONNECT_TIMEOUT];
        told.iter().filter_map(|variable| for_the_station(variable, self.variables.get(variable))).collect()
    }

    pub(super) fn hear(&mut self, event: &Event) {
        self.charging.hear(event);
        let register = event.sample.register;
        match event.kind {
            Kind::Started => {
                self.edges.insert(event.evse, (event.transaction, register));
            }
            // Nothing is delivered, and the register does not move, until the next one.
            Kind::Ended => {
                self.edges.insert(event.evse, (0, register));
            }
            Kind::Plugged
            | Kind::Authorized
            | Kind::Charging
            | Kind::SuspendedEv
            | Kind::SuspendedEvse
            | Kind::Reading
            | Kind::Deauthorized
            | Kind::Unplugged
            | Kind::ConnectTimedOut
            | Kind::Other => {}
        }
    }

    /// Whether the book, as far as it was read, has a transaction open.
    pub(super) fn has_open_transaction(&self) -> bool {
        self.edges.values().any(|(transaction, _)| *transaction != 0)
    }

    /// What is measured at an EVSE now; `None`: there is no such EVSE, or its daemon is away.
    #[must_use]
    pub fn sample_now(&self, now: Now, evse: u32) -> Option<Sample> {
        let heard = self.connectors.get(evse)?.heard()?;
        let edge = self.edges.get(&evse).filter(|(transaction, _)| *transaction == heard.transaction);
        // A session's energy is far from where a double loses thousandths of a watt-hour.
        #[allow(clippy::cast_possible_truncation)]
        let energy = if heard.transaction == 0 { 0 } else { (heard.energy * 1000.0).round() as i64 };
        Some(Sample {
            unix: self.clock.now(now),
            register: edge.and_then(|(_, register)| register.map(|register| register + energy)),
            power: Some(heard.voltage * heard.current),
            current: Some(heard.current),
            voltage: Some(heard.voltage),
            offered: Some(heard.share),
            soc: (heard.soc >= 0.0).then_some(heard.soc),
        })
    }

    /// How transactions are told.
    #[must_use]
    pub fn told(&self) -> Told {
        let list = |variable| Measurand::parse_list(self.variables.get(variable));
        let ended = match self.version {
            Version::V16 => name::STOP_MEASURANDS,
            Version::V201 => name::ENDED_MEASURANDS,
        };
        Told {
            sampled: list(name::SAMPLED_MEASURANDS),
            aligned: list(name::ALIGNED_MEASURANDS),
            started: list(name::STARTED_MEASURANDS),
            ended: list(ended),
            start_points: TxPoint::parse_list(self.variables.get(name::START_POINTS)),
            stop_points: TxPoint::parse_list(self.variables.get(name::STOP_POINTS)),
            prefix: self.prefix.clone(),
        }
    }
}

fn for_the_station(variable: &str, value: &str) -> Option<Command> {
    let setting = match variable {
        name::READING_INTERVAL => "reading_interval",
        name::CLOCK_READING_INTERVAL => "clock_aligned_interval",
        name::CONNECT_TIMEOUT => "connection_timeout",
        _ => return None,
    };
    Some(Command::Set { setting, value: value.to_owned() })
}
