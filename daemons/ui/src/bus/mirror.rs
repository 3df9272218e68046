//! Follows objects on the bus: all properties when their daemon comes, each change after that.
//!
//! Nothing is waited for where signals are read; questions are tasks of their own. One that hangs
//! costs its task a bounded wait, and nobody else anything. An object that does not answer is taken
//! out of what is seen: a page must not show what is no longer true.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream::select_all;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};
use voltry_bus::{ChargeLimits, CsmsState, Station1Proxy, Transaction, VehicleNeeds, names};
use voltry_service::clock::now;
use voltry_service::{Binding, Watchdog};
use zbus::fdo::{DBusProxy, PropertiesProxy};
use zbus::names::MemberName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedVariant};

use super::{Latencies, Refusal, Refused, Seen, Vehicle};
use crate::config::Sources;

/// A daemon answers within this time, or hangs.
const ANSWER: Duration = Duration::from_secs(2);
/// How often each object is asked again: one that hangs sends no signals.
const AGAIN: Duration = Duration::from_secs(3);
/// Signals that may wait to be read.
const SIGNALS: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");
/// How far back an ended transaction is looked for, after a start.
const TRANSACTIONS: u32 = 64;
/// EVSEs, messages and the like that are taken from one property.
const ENTRIES_MAX: usize = 64;

type Properties = HashMap<String, OwnedVariant>;

/// Which object it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Station,
    Csms,
    Display,
    Link(u32),
}

impl Role {
    const fn interface(self) -> &'static str {
        match self {
            Self::Station => "org.voltry.Station1",
            Self::Csms => "org.voltry.Csms1",
            Self::Display => "org.voltry.Display1",
            Self::Link(_) => "org.voltry.EvLink1",
        }
    }
}

/// An object that is followed.
#[derive(Debug)]
struct Followed {
    binding: Binding,
    /// The unique name of its daemon.
    owner: Option<String>,
    known: Properties,
    /// Whether all of it was told once.
    whole: bool,
    asking: bool,
    /// What changed while it was asked. Laid over the answer: what is newer still comes as a change too.
    meanwhile: Properties,
    silent: bool,
}

/// What a task came to.
enum Answer {
    /// Of an object under this owner; `None`: it does not answer.
    Properties(Role, Option<String>, Option<Properties>),
    Transactions(Vec<Transaction>),
}

/// Follows the objects that the pages show.
pub(crate) struct Mirror {
    connection: Connection,
    followed: BTreeMap<Role, Followed>,
    tasks: JoinSet<Answer>,
    seen: Seen,
    latencies: Latencies,
}

impl Mirror {
    pub(crate) fn new(connection: &Connection, sources: &Sources, latencies: Latencies) -> Self {
        let station = Binding::new(names::STATION, names::STATION_PATH).expect("constants");
        let mut roles = vec![(Role::Station, station)];
        roles.extend(sources.csms.iter().map(|binding| (Role::Csms, binding.clone())));
        roles.extend(sources.display.iter().map(|binding| (Role::Display, binding.clone())));
        roles.extend(sources.links.iter().map(|(evse, binding)| (Role::Link(*evse), binding.clone())));
        let followed = roles.into_iter().map(|(role, binding)| {
            let (known, meanwhile) = (Properties::new(), Properties::new());
            let (whole, asking, silent) = (false, false, false);
            (role, Followed { binding, owner: None, known, whole, asking, meanwhile, silent })
        });
        Self {
            connection: connection.clone(),
            followed: followed.collect(),
            tasks: JoinSet::new(),
            seen: Seen { has_uplink: sources.csms.is_some(), ..Seen::default() },
            latencies,
        }
    }

    /// Follows them for as long as the bus lasts.
    ///
    /// # Errors
    /// The bus is lost.
    pub(crate) async fn follow(mut self, told: watch::Sender<Seen>) -> anyhow::Result<()> {
        let bus = DBusProxy::new(&self.connection).await.context("the bus itself")?;
        let mut signals = Vec::new();
        for rule in self.rules()? {
            signals.push(MessageStream::for_match_rule(rule, &self.connection, Some(SIGNALS)).await?);
        }
        let mut signals = select_all(signals);
        let mut owners = bus.receive_name_owner_changed().await?;
        let names: Vec<_> = self.followed.values().map(|followed| followed.binding.name.clone()).collect();
        let present = tokio::spawn(async move {
            let mut present = Vec::new();
            for name in names {
                if let Ok(owner) = bus.get_name_owner(name.as_ref().into()).await {
                    present.push((name.to_string(), owner.to_string()));
                }
            }
            present
        });
        tokio::pin!(present);
        let (mut listed, mut watchdog) = (false, Watchdog::from_environment());
        let mut beat = tokio::time::interval(Duration::from_millis(500));
        let mut poll = tokio::time::interval(AGAIN);
        loop {
            tokio::select! {
                message = signals.next() => self.signal(&message.context("bus lost")??),
                owner = owners.next() => {
                    let owner = owner.context("bus lost")?;
                    let args = owner.args()?;
                    let new = args.new_owner.as_ref().map(ToString::to_string);
                    self.owner(args.name.as_str(), new.as_deref());
                }
                found = &mut present, if !listed => {
                    listed = true;
                    for (name, owner) in found.context("listing the names")? {
                        self.owner(&name, Some(&owner));
                    }
                }
                Some(answer) = self.tasks.join_next() => {
                    // A task of ours does not panic; if it did, the next poll asks again.
                    if let Ok(answer) = answer {
                        self.answered(answer);
                    }
                }
                _ = poll.tick() => {
                    let roles: Vec<Role> = self.followed.keys().copied().collect();
                    roles.into_iter().for_each(|role| self.ask(role));
                }
                _ = beat.tick() => watchdog.beat(now()),
            }
            self.forget_who_left();
            self.forget_refusals();
            told.send_if_modified(|told| {
                let news = *told != self.seen;
                if news {
                    told.clone_from(&self.seen);
                }
                news
            });
        }
    }

    /// Who has left leaves no receipt to whoever comes next.
    fn forget_who_left(&mut self) {
        let unix = jiff::Timestamp::now().as_microsecond();
        let (ended, station) = (&mut self.seen.ended, &self.seen.station);
        for status in station.iter().flat_map(|station| &station.evses) {
            let is_left = |it: &Transaction| super::has_left(&status.state, unix.saturating_sub(it.ended));
            if ended.get(&status.evse).is_some_and(is_left) {
                ended.remove(&status.evse);
            }
        }
    }

    /// Whoever showed a card that lets nobody in has read it.
    fn forget_refusals(&mut self) {
        let mut refused = std::mem::take(&mut self.seen.refused);
        refused.retain(|evse, refused| !refused.is_over(now(), self.let_in(*evse)));
        self.seen.refused = refused;
    }

    /// How many have let somebody in, of this EVSE alone, or with 0 of all.
    fn let_in(&self, evse: u32) -> usize {
        let evses = self.seen.station.iter().flat_map(|station| &station.evses);
        evses.filter(|status| status.authorized && (evse == 0 || status.evse == evse)).count()
    }

    /// Changes of the objects' properties, transactions that end, and cards that let nobody in.
    fn rules(&self) -> zbus::Result<Vec<MatchRule<'static>>> {
        let mut interfaces: Vec<_> = self.followed.keys().map(|role| role.interface()).collect();
        interfaces.dedup();
        let signal = || MatchRule::builder().msg_type(zbus::message::Type::Signal);
        let mut rules = Vec::new();
        for interface in interfaces {
            let rule = signal().interface("org.freedesktop.DBus.Properties").member("PropertiesChanged");
            rules.push(rule.arg(0, interface).build()?);
        }
        for member in ["TransactionEnded", "TokenRefused"] {
            rules.push(signal().interface("org.voltry.Station1").member(member).build()?);
        }
        Ok(rules)
    }

    fn signal(&mut self, message: &Message) {
        let header = message.header();
        let (Some(sender), Some(path)) = (header.sender(), header.path()) else { return };
        let body = message.body();
        if header.interface().is_some_and(|interface| interface.as_str() == Role::Station.interface()) {
            let station = self.followed.get(&Role::Station).and_then(|it| it.owner.as_deref());
            if station == Some(sender.as_str()) {
                self.told_by_station(message);
            }
            return;
        }
        let Ok((interface, changed, gone)) = body.deserialize::<(String, Properties, Vec<String>)>() else {
            return;
        };
        let found = self.followed.iter_mut().find(|(role, followed)| {
            role.interface() == interface
                && followed.owner.as_deref() == Some(sender.as_str())
                && followed.binding.path.as_str() == path.as_str()
        });
        let Some((&role, followed)) = found else { return };
        if followed.asking {
            followed.meanwhile.extend(changed.clone());
        }
        followed.known.extend(changed);
        if !gone.is_empty() {
            self.ask(role);
        }
        self.show(role);
    }

    fn told_by_station(&mut self, message: &Message) {
        let (header, body) = (message.header(), message.body());
        match header.member().map(MemberName::as_str) {
            Some("TransactionEnded") => {
                if let Ok(transaction) = body.deserialize::<Transaction>() {
                    self.tally(&transaction);
                    self.seen.ended.insert(transaction.evse, transaction);
                }
            }
            Some("TokenRefused") => {
                let refused = &mut self.seen.refused;
                if let Ok((evse, word)) = body.deserialize::<(u32, &str)>()
                    && (refused.len() < ENTRIES_MAX || refused.contains_key(&evse))
                {
                    let (why, let_in) = (Refusal::of(word), self.let_in(evse));
                    self.seen.refused.insert(evse, Refused { why, at: now(), let_in });
                }
            }
            _ => {}
        }
    }

    fn tally(&mut self, transaction: &Transaction) {
        let tally = &mut self.seen.tally;
        if tally.len() < ENTRIES_MAX || tally.contains_key(&transaction.evse) {
            let tally = tally.entry(transaction.evse).or_default();
            let count = if transaction.energy > 0.0 { &mut tally.delivered } else { &mut tally.without };
            *count += 1;
        }
    }

    fn owner(&mut self, name: &str, owner: Option<&str>) {
        let roles: Vec<Role> = self
            .followed
            .iter()
            .filter(|(_, followed)| {
                followed.binding.name.as_str() == name && followed.owner.as_deref() != owner
            })
            .map(|(role, _)| *role)
            .collect();
        for role in roles {
            let followed = self.followed.get_mut(&role).expect("of the same map");
            followed.owner = owner.map(str::to_owned);
            followed.known.clear();
            (followed.whole, followed.asking) = (false, false);
            self.show(role);
            self.ask(role);
            if role == Role::Station && owner.is_some() {
                self.ask_transactions();
            }
        }
    }

    fn ask(&mut self, role: Role) {
        let Some(followed) = self.followed.get_mut(&role) else { return };
        if followed.asking || followed.owner.is_none() {
            return;
        }
        followed.asking = true;
        followed.meanwhile.clear();
        let (connection, binding) = (self.connection.clone(), followed.binding.clone());
        let (owner, latencies) = (followed.owner.clone(), self.latencies.clone());
        self.tasks.spawn(async move {
            let asked = now();
            let answer = timeout(ANSWER, properties(&connection, &binding, role.interface())).await;
            if matches!(answer, Ok(Ok(_))) {
                latencies.count(role.interface(), now().since(asked));
            }
            Answer::Properties(role, owner, answer.ok().and_then(Result::ok))
        });
    }

    /// Whoever starts while a receipt is shown asks the book for it.
    fn ask_transactions(&mut self) {
        let connection = self.connection.clone();
        self.tasks.spawn(async move {
            let asked = async { station(&connection).await?.transactions(TRANSACTIONS).await };
            let answer = timeout(ANSWER, asked).await;
            Answer::Transactions(answer.ok().and_then(Result::ok).unwrap_or_default())
        });
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Transactions(newest_first) => {
                for transaction in newest_first.into_iter().rev().filter(|it| it.state == "closed") {
                    let known = self.seen.ended.get(&transaction.evse);
                    if known.is_none_or(|known| known.id < transaction.id) {
                        self.seen.ended.insert(transaction.evse, transaction);
                    }
                }
            }
            Answer::Properties(role, owner, properties) => {
                let followed = self.followed.get_mut(&role).expect("only these are asked");
                // The answer of a daemon that is gone: its successor is asked already.
                if followed.owner != owner {
                    return;
                }
                followed.asking = false;
                let silent = properties.is_none();
                if silent != followed.silent {
                    followed.silent = silent;
                    let name = followed.binding.name.as_str();
                    if silent {
                        warn!(name, "does not answer; it is shown as away");
                    } else {
                        info!(name, "answers again");
                    }
                }
                followed.whole = !silent;
                followed.known = properties.unwrap_or_default();
                followed.known.extend(std::mem::take(&mut followed.meanwhile));
                self.show(role);
            }
        }
    }

    /// Puts what an object tells into what is seen.
    fn show(&mut self, role: Role) {
        let followed = &self.followed[&role];
        // Of one that has not answered only single changes are known, which say too little.
        let nothing = Properties::new();
        let known = if followed.whole { &followed.known } else { &nothing };
        match role {
            Role::Station => {
                let evses = list(known, "Evses");
                self.seen.station = evses.map(|evses| super::Station {
                    name: read(known, "Name").unwrap_or_default(),
                    evses,
                    connectors: list(known, "Connectors").unwrap_or_default(),
                    shares: list(known, "Shares").unwrap_or_default(),
                    master_pass_asked: read(known, "MasterPassAsked").unwrap_or_default(),
                });
            }
            Role::Csms => {
                let state: Option<String> = read(known, "State");
                self.seen.waiting = read(known, "Waiting");
                self.seen.csms = state.and_then(|word| word.parse::<CsmsState>().ok());
            }
            Role::Display => {
                self.seen.messages = list(known, "Messages").unwrap_or_default();
                self.seen.drivers = list(known, "Drivers").unwrap_or_default();
            }
            Role::Link(evse) => {
                let limits: Option<ChargeLimits> = read(known, "ChargeLimits");
                let needs: Option<VehicleNeeds> = read(known, "Needs");
                let vehicle = Vehicle {
                    capacity: limits.map_or(0.0, |limits| limits.energy_capacity),
                    wanted: needs.map_or(-1.0, |needs| needs.soc),
                };
                self.seen.vehicles.insert(evse, vehicle);
            }
        }
    }
}

async fn properties(
    connection: &Connection,
    binding: &Binding,
    interface: &str,
) -> anyhow::Result<Properties> {
    let proxy = PropertiesProxy::builder(connection)
        .destination(binding.name.clone())
        .path(binding.path.clone())
        .build()
        .await?;
    Ok(proxy.get_all(interface.try_into()?).await?)
}

/// The station, for a question or a command: it keeps nothing.
///
/// # Errors
/// The bus is lost.
pub(crate) async fn station(connection: &Connection) -> zbus::Result<Station1Proxy<'static>> {
    Station1Proxy::builder(connection)
        .destination(names::STATION)
        .path(names::STATION_PATH)
        .cache_properties(CacheProperties::No)
        .build()
        .await
}

fn read<T: TryFrom<OwnedVariant>>(known: &Properties, name: &str) -> Option<T> {
    T::try_from(known.get(name)?.clone()).ok()
}

fn list<T>(known: &Properties, name: &str) -> Option<Vec<T>>
where
    Vec<T>: TryFrom<OwnedVariant>,
{
    let mut entries: Vec<T> = read(known, name)?;
    entries.truncate(ENTRIES_MAX);
    Some(entries)
}
