//! What the versions' folders see of the uplink, and what they change.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::{Charging, Connector, Connectors, Delivery, Display, Inquiry, Networks, Notice, Record, Tokens};
use voltry_units::Watts;

use crate::config::Version;
use crate::dialect::{Handled, Then};
use crate::files::Files;
use crate::model::events::Events;
use crate::model::monitors::Monitors;
use crate::model::{Definition, Devices, Variables, name};
use crate::plug_and_charge::Contracts;
use crate::security::Journal;
use crate::time::{Clock, Now, rfc3339};
use crate::transactions::{Event, Kind, Measurand, PublicKey, Sample, Token, Told, TxPoint};

/// Reservations of the CSMS that are remembered; the station keeps as many.
const HELD_MAX: usize = 64;

/// For whom, and whose group (empty: none), the CSMS asked for reservations, by their numbers.
pub type Held = BTreeMap<i64, (Token, String)>;

/// Variables that are times of the connection.
const TIMES: [&str; 5] =
    [name::PING_INTERVAL, name::WAIT_MINIMUM, name::REPEAT_TIMES, name::RANDOM_RANGE, name::CONNECT_ATTEMPTS];

/// What the versions' folders see and change.
#[derive(Debug)]
pub struct Core {
    /// The version spoken.
    pub version: Version,
    /// The CSMS answered the last BootNotification so.
    pub accepted: bool,
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
    /// What people at the station are to read.
    pub display: Display,
    /// What the whole station can give.
    pub station_power: Watts,
    /// The contracts that vehicles have shown.
    pub contracts: Contracts,
    /// The CSMS of 1.6 knows no Plug & Charge.
    pub(super) plug_and_charge_unknown: bool,
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
    /// By EVSE: the transaction that runs and the register at its start, or 0 and the register since the last one.
    pub(super) edges: BTreeMap<u32, (u64, Option<i64>)>,
    /// What the daemons tell of themselves.
    pub devices: Devices,
    /// The CSMS's monitors, and the problems that it was told of.
    pub monitors: Monitors,
    /// Events that wait for the CSMS.
    pub events: Events,
    /// Of the last event.
    pub(super) event_number: i64,
    /// Variables of daemons that were given what the configuration says.
    pub(super) configured: BTreeSet<&'static str>,
    /// The CSMS's reservations.
    pub(super) held: Held,
    /// Customers that are looked for in the station's book, by ticket.
    pub inquiries: BTreeMap<u64, Inquiry>,
}

impl Core {
    /// What the daemon says that has a variable; none if it is to be told what the configuration says.
    fn told_by_daemon(&self, definition: &Definition) -> Option<String> {
        let of_daemon = definition.of_daemon && self.variables.configured(definition).is_none();
        let item = of_daemon.then(|| self.devices.find(&definition.address())).flatten();
        item.and_then(|item| item.value.clone())
    }

    /// The value of a variable as it is told.
    #[must_use]
    pub fn value(&self, definition: &Definition, now: Now) -> String {
        match definition.name {
            name::DATE_TIME => rfc3339(self.clock.now(now)),
            name::NUMBER_OF_CONNECTORS => self.connectors.evses().count().to_string(),
            name::SECURITY_PROFILE => self.networks.security_profile().to_string(),
            name::ACTIVE_NETWORK => self.networks.active.to_string(),
            name::CERTIFICATE_ENTRIES => self.networks.certificates.entries.to_string(),
            name::MONITORING_BASE => self.monitors.kept.base.as_str().to_owned(),
            name::MONITORING_LEVEL => self.monitors.kept.level.to_string(),
            variable => {
                self.told_by_daemon(definition).unwrap_or_else(|| self.variables.get(variable).to_owned())
            }
        }
    }

    /// Takes a value that was checked: it is stored, and whoever it concerns hears of it.
    pub fn write(&mut self, definition: &'static Definition, value: String, handled: &mut Handled) {
        handled.store.push(Record::Variable(definition.name, value.clone()));
        if TIMES.contains(&definition.name) {
            handled.then.push(Then::Times);
        }
        if definition.name == name::PASSWORD {
            self.networks.password = true;
            handled.then.push(Then::Networks);
        }
        self.variables.set(definition, value);
    }

    /// Whether the CSMS is asked about contracts as Plug & Charge has it.
    #[must_use]
    pub const fn knows_plug_and_charge(&self) -> bool {
        !self.plug_and_charge_unknown
    }

    /// How long a connector must be what it is before that is told: 2.0.1 has nothing of the kind.
    pub(super) fn status_duration(&self) -> Duration {
        match self.version {
            Version::V16 => Duration::from_secs(self.variables.number(name::STATUS_DURATION)),
            Version::V201 => Duration::ZERO,
        }
    }

    /// The CSMS asks for a reservation: what must be stored before it has its answer.
    pub fn hold(&mut self, id: i64, token: Token, group: String) -> Record {
        self.held.insert(id, (token, group));
        if self.held.len() > HELD_MAX {
            self.held.pop_first();
        }
        Record::Held(self.held.clone())
    }

    /// The CSMS's reservations for a token.
    pub fn held_for(&self, token: &Token) -> impl Iterator<Item = i64> {
        let of_it = |(id, (whose, _)): (&i64, &(Token, String))| {
            whose.id.eq_ignore_ascii_case(&token.id).then_some(*id)
        };
        self.held.iter().filter_map(of_it)
    }

    /// A reservation is over; if it was the CSMS's, what must be stored.
    pub(super) fn let_go(&mut self, id: i64) -> Option<Record> {
        self.held.remove(&id).map(|_| Record::Held(self.held.clone()))
    }

    /// Whether an EVSE is known to be reserved for somebody else. `group`: of whom asks; empty: not known,
    /// and it may be that of the reservation.
    #[must_use]
    pub fn is_held_for_another(&self, evse: u32, token: &Token, group: &str) -> bool {
        let id = self.connectors.get(evse).and_then(Connector::reservation);
        let held = id.and_then(|id| self.held.get(&id));
        held.is_some_and(|(whose, of)| {
            let may_be_of_it = !of.is_empty() && (group.is_empty() || of.eq_ignore_ascii_case(group));
            !whose.id.eq_ignore_ascii_case(&token.id) && !may_be_of_it
        })
    }

    /// Whether this is the group of master passes (C16).
    #[must_use]
    pub fn is_master_pass(&self, group: &str) -> bool {
        let passes = self.variables.get(name::MASTER_PASS_GROUP);
        !passes.is_empty() && passes.eq_ignore_ascii_case(group)
    }

    /// Reports that wait to be sent.
    #[must_use]
    pub fn reports_waiting(&self) -> usize {
        self.notices.iter().filter(|notice| matches!(notice, Notice::Report(_))).count()
    }

    pub(super) fn hear(&mut self, event: &Event) {
        self.charging.hear(event);
        if event.kind == Kind::Authorized {
            self.display.let_in(event.evse);
        }
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

    /// Whether the station or its book has a transaction open, of which either may tell the end before the
    /// other, or the CSMS of 2.0.1 has one, which may begin before the book's and end after it.
    #[must_use]
    pub fn has_transaction(&self) -> bool {
        if self.connectors.is_charging() {
            return true;
        }
        if self.delivery.has_unread() {
            // What was read of the book is of the past, maybe of days ago: the station knows who is there.
            return self.version == Version::V201 && !self.connectors.taken().is_empty();
        }
        self.edges.values().any(|(transaction, _)| *transaction != 0)
            || self.delivery.by_book(&self.told()).plugged.values().any(|plug| plug.running.is_some())
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
            export: None,
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
            ended_aligned: list(name::STOP_ALIGNED),
            signs: self.variables.is(name::SIGN_READINGS),
            public_key: PublicKey::named(self.variables.get(name::PUBLIC_KEY)),
            start_points: TxPoint::parse_list(self.variables.get(name::START_POINTS)),
            stop_points: TxPoint::parse_list(self.variables.get(name::STOP_POINTS)),
            prefix: self.prefix.clone(),
        }
    }
}
