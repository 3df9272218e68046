//! The station on the bus: its book, its EVSEs, its orders.

mod words;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{debug, warn};
use voltry_bus::{
    Book1Proxy, EndReason, Error, PowerLimit, ReserveOutcome, SessionEvent, Settings1Proxy, Station1Proxy,
};
use voltry_units::{Timestamp, Watts};
use zbus::Variant;
use zbus::fdo::PropertiesProxy;
use zbus::proxy::CacheProperties;

use crate::model::Target;
use crate::transactions::Event;
use crate::uplink::{AHEAD, Command, Input, OtherLimit, Outcome, StopReason, Write, Written};
use words::{charged, event_of, kind_of, metered, outcome_of};

pub(crate) use words::ocpp_kind;

/// The station answers within this time, or hangs.
const ANSWER: Duration = Duration::from_secs(10);
/// A transaction that is ended for it is over, and the plug unlocked, within this time.
const UNLOCKED: Duration = Duration::from_secs(25);
/// A daemon has stored a setting within this time, or hangs.
const SETTING: Duration = Duration::from_secs(4);
/// Whose our limits are, in the station's word.
const ORIGIN: &str = "csms";
/// The origin of a limit that gives a transaction nothing, before its number.
const STARVED: &str = "token-refused-";
/// The book is asked again this long after it did not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// The book is told how far the CSMS has it at most this often.
const ACKNOWLEDGE: Duration = Duration::from_secs(1);

/// The station, as far as the uplink uses it.
#[derive(Debug, Clone)]
pub(crate) struct Station {
    station: Station1Proxy<'static>,
    book: Book1Proxy<'static>,
    properties: PropertiesProxy<'static>,
    inputs: mpsc::Sender<Input>,
    boot: String,
}

impl Station {
    /// Proxies without a cache.
    ///
    /// # Errors
    /// The bus is lost, or `/proc` is not mounted.
    pub(crate) async fn new(
        connection: &zbus::Connection,
        inputs: mpsc::Sender<Input>,
    ) -> anyhow::Result<Self> {
        let path = "/proc/sys/kernel/random/boot_id";
        let boot = std::fs::read_to_string(path).context("reading the boot id")?.trim().to_owned();
        Ok(Self {
            station: Station1Proxy::builder(connection)
                .destination(voltry_bus::names::STATION)
                .path(voltry_bus::names::STATION_PATH)
                .cache_properties(CacheProperties::No)
                .build()
                .await?,
            book: Book1Proxy::builder(connection)
                .destination(voltry_bus::names::STATION)
                .path(voltry_bus::names::STATION_PATH)
                .cache_properties(CacheProperties::No)
                .build()
                .await?,
            properties: PropertiesProxy::builder(connection)
                .destination(voltry_bus::names::STATION)
                .path(voltry_bus::names::STATION_PATH)
                .build()
                .await?,
            inputs,
            boot,
        })
    }

    /// The kernel's name of this boot.
    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// Up to which line of the book the CSMS has everything, as the book remembers it.
    pub(crate) async fn acknowledged(&self) -> Option<u64> {
        timeout(ANSWER, self.book.acknowledged()).await.ok()?.ok()
    }

    /// Listens for as long as the bus lasts.
    ///
    /// # Errors
    /// The bus is lost.
    pub(crate) async fn listen(self) -> anyhow::Result<()> {
        let mut owners = self.station.inner().receive_owner_changed().await?;
        let mut booked = self.book.receive_booked().await?;
        let mut reservations = self.station.receive_reservation_ended().await?;
        let mut changes = self.properties.receive_properties_changed().await?;
        self.look().await?;
        loop {
            tokio::select! {
                owner = owners.next() => {
                    if owner.context("bus lost")?.is_some() {
                        self.look().await?;
                    } else {
                        warn!("the station's daemon left the bus");
                    }
                }
                signal = booked.next() => {
                    let number = signal.context("bus lost")?.args()?.number;
                    self.inputs.send(Input::BookGrew(number)).await?;
                }
                signal = reservations.next() => {
                    let signal = signal.context("bus lost")?;
                    let args = signal.args()?;
                    if let Ok(id) = args.id.parse() {
                        let why = args.why.to_string();
                        self.inputs.send(Input::ReservationOver { id, why }).await?;
                    }
                }
                change = changes.next() => {
                    let change = change.context("bus lost")?;
                    for input in inputs_of(&change.args()?.changed_properties) {
                        self.inputs.send(input).await?;
                    }
                }
            }
        }
    }

    /// What changes are told of from here on.
    async fn look(&self) -> anyhow::Result<()> {
        // Before the EVSEs: what is asked about them is answered as soon as they are known.
        if let Ok(Ok(power)) = timeout(ANSWER, self.station.power_limit()).await
            && let Ok(power) = Watts::from_si(power)
        {
            self.inputs.send(Input::StationPower(power)).await?;
        }
        let connectors = timeout(ANSWER, self.station.connectors()).await;
        if let Ok(Ok(evses)) = timeout(ANSWER, self.station.evses()).await {
            let seen = match connectors {
                Ok(Ok(connectors)) => Input::Seen(evses, connectors),
                Ok(Err(_)) | Err(_) => Input::Evses(evses),
            };
            self.inputs.send(seen).await?;
            // It must hear its settings.
            self.inputs.send(Input::StationIsBack).await?;
        }
        if let Ok(Ok(limits)) = timeout(ANSWER, self.station.limits()).await {
            for input in inputs_of_limits(limits) {
                self.inputs.send(input).await?;
            }
        }
        if let Ok(Ok(newest)) = timeout(ANSWER, self.book.newest()).await {
            self.inputs.send(Input::BookGrew(newest)).await?;
        }
        Ok(())
    }

    /// Tells everything once more, to an uplink that is new.
    pub(crate) async fn look_again(self) {
        if let Err(error) = self.look().await {
            debug!(%error, "nobody listens");
        }
    }

    /// Reads the book after a line, and says what came of it.
    pub(crate) async fn read(self, after: u64) {
        let events = match timeout(ANSWER, self.lines_after(after)).await {
            Ok(Ok(events)) => events,
            Ok(Err(error)) => {
                warn!(%error, "the book could not be read");
                tokio::time::sleep(AGAIN).await;
                Vec::new()
            }
            Err(_) => {
                warn!("the station does not give its book");
                Vec::new()
            }
        };
        // The daemon is ending if nobody listens.
        let _ = self.inputs.send(Input::Book(events)).await;
    }

    /// The book's next events, each with what had come back from vehicles by then.
    async fn lines_after(&self, after: u64) -> Result<Vec<Event>, Error> {
        let events = self.book.events(after, AHEAD).await?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let exports = match self.book.exports(after, AHEAD).await {
            Err(error) if is_unknown_method(&error) => Vec::new(),
            answer => answer?,
        };
        let exports: HashMap<u64, f64> =
            exports.into_iter().map(|export| (export.number, export.register)).collect();
        Ok(events.into_iter().map(|event| self.event(exports.get(&event.number).copied(), event)).collect())
    }

    /// Tells the book how far the CSMS has it, not too often.
    pub(crate) async fn acknowledge(self, mut acknowledged: watch::Receiver<u64>) -> anyhow::Result<()> {
        while acknowledged.changed().await.is_ok() {
            let number = *acknowledged.borrow_and_update();
            if let Ok(Err(error)) = timeout(ANSWER, self.book.acknowledge(number)).await {
                debug!(%error, number, "the book does not take the acknowledgement");
            }
            tokio::time::sleep(ACKNOWLEDGE).await;
        }
        Ok(())
    }

    fn event(&self, export: Option<f64>, event: SessionEvent) -> Event {
        let at = (event.boot == self.boot).then(|| Timestamp::from_micros(event.at));
        event_of(event, export, at)
    }

    /// What a person wants to know of the station who was not there: titles and lines, without ids of
    /// tokens. A part that does not answer says so.
    pub(crate) async fn described(&self, book_lines: u32) -> Vec<(&'static str, Vec<String>)> {
        let since = match timeout(ANSWER, self.book.newest()).await {
            Ok(Ok(newest)) => newest.saturating_sub(book_lines.into()),
            Ok(Err(_)) | Err(_) => 0,
        };
        vec![
            ("EVSEs", lines(timeout(ANSWER, self.station.evses()).await)),
            ("connectors", lines(timeout(ANSWER, self.station.connectors()).await)),
            ("limits", lines(timeout(ANSWER, self.station.limits()).await)),
            ("reservations", lines(timeout(ANSWER, self.station.reservations()).await)),
            ("transactions, newest first", lines(timeout(ANSWER, self.station.transactions(200)).await)),
            (
                "the book",
                lines(timeout(ANSWER, self.book.events(since, book_lines)).await.map(|events| {
                    events.map(|mut events| {
                        for event in &mut events {
                            event.token.clear();
                            event.group.clear();
                            // Long, and it names who is billed.
                            event.signed.clear();
                        }
                        events
                    })
                })),
            ),
        ]
    }

    /// Has settings of daemons changed, in order. One that hangs is not asked a second time.
    async fn write(&self, writes: Vec<Write>) -> Vec<Written> {
        let mut hung = BTreeSet::new();
        let mut outcomes = Vec::with_capacity(writes.len());
        for Write { target, value } in writes {
            if hung.contains(&target.name) {
                outcomes.push(Written::Silent);
                continue;
            }
            let written = timeout(SETTING, write(self.station.inner().connection(), &target, &value)).await;
            outcomes.push(match written {
                Ok(Ok(true)) => Written::Restart,
                Ok(Ok(false)) => Written::Holds,
                Ok(Err(Error::ZBus(error))) => {
                    warn!(setting = target.setting, name = target.name, %error, "a setting cannot be written");
                    Written::Silent
                }
                Ok(Err(error)) => {
                    warn!(setting = target.setting, name = target.name, %error, "a setting is not taken");
                    Written::Refused(error.to_string())
                }
                Err(_) => {
                    warn!(setting = target.setting, name = target.name, "does not answer");
                    hung.insert(target.name);
                    Written::Silent
                }
            });
        }
        outcomes
    }

    /// Has a command done, and says what came of it.
    pub(crate) async fn command(self, ticket: u64, command: Command) {
        let patience = if matches!(command, Command::Unlock { .. }) { UNLOCKED } else { ANSWER };
        let outcome = match timeout(patience, self.perform(command)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => outcome_of(&error),
            Err(_) => Outcome::Silent,
        };
        let _ = self.inputs.send(Input::Done { ticket, outcome }).await;
    }

    async fn perform(&self, command: Command) -> Result<Outcome, Error> {
        match command {
            Command::RemoteStart { evse, token, group, id } => {
                let kind = kind_of(&token);
                let id = id.map_or_else(String::new, |id| id.to_string());
                let outcome =
                    self.station.remote_start(evse.unwrap_or(0), &token.id, kind, &group, &id).await?;
                Ok(if outcome.outcome == "refused" {
                    Outcome::Refused(outcome.detail)
                } else {
                    Outcome::Done
                })
            }
            Command::Stop { evse, transaction, session, why } => {
                let reason = match why {
                    StopReason::Remote => EndReason::Remote,
                    StopReason::Deauthorized => EndReason::Deauthorized,
                    StopReason::Reset => EndReason::ImmediateReset,
                    StopReason::SoftReset => EndReason::SoftReset,
                };
                if transaction != 0 {
                    self.station.stop_transaction(transaction, reason).await?;
                } else if session != 0 {
                    self.station.stop_session(session, reason).await?;
                } else {
                    self.station.stop(evse).await?;
                }
                Ok(Outcome::Done)
            }
            Command::SetAvailable { evse, available } => {
                let scheduled = self.station.change_availability(evse, available).await?;
                Ok(if scheduled { Outcome::Scheduled } else { Outcome::Done })
            }
            Command::Unlock { evse, ends } => self.unlock(evse, ends).await,
            Command::Reserve { id, evse, token, group, until } => {
                let kind = kind_of(&token);
                let outcome =
                    self.station.reserve(&id.to_string(), evse, &token.id, kind, &group, until).await?;
                Ok(match outcome {
                    ReserveOutcome::Accepted => Outcome::Done,
                    ReserveOutcome::Faulted => Outcome::Faulted,
                    ReserveOutcome::Occupied => Outcome::Occupied,
                    ReserveOutcome::Rejected => Outcome::Refused("too late, or too many".to_owned()),
                    ReserveOutcome::Unavailable => Outcome::Unavailable,
                })
            }
            Command::CancelReservation { id } => {
                let there = self.station.cancel_reservation(&id.to_string()).await?;
                Ok(if there { Outcome::Done } else { Outcome::Unknown })
            }
            Command::Limit { evse, limit: Some(power) } => {
                self.station.set_limit(evse, ORIGIN, power.as_si(), 0.0).await.map(|()| Outcome::Done)
            }
            Command::Limit { evse, limit: None } => {
                self.station.clear_limit(evse, ORIGIN).await.map(|()| Outcome::Done)
            }
            Command::ReadMeter { evse } => self.station.read_meter(evse).await.map(metered),
            Command::TransactionsOf { token, limit } => {
                let limit = u32::try_from(limit).unwrap_or(u32::MAX);
                self.book.transactions_of(&token.id, limit).await.map(charged)
            }
            Command::Starve { evse, transaction, starved } => {
                self.starve(evse, transaction, starved).await.map(|()| Outcome::Done)
            }
            // The shell's own.
            Command::CheckUpdate { .. } | Command::HandOn { .. } => Ok(Outcome::NotSupported),
            Command::Write(writes) => Ok(Outcome::Wrote(self.write(writes).await)),
        }
    }

    /// Has the plug unlocked; a transaction is ended for it only where there is a lock at all.
    async fn unlock(&self, evse: u32, ends: Option<u64>) -> Result<Outcome, Error> {
        let mut opened = self.station.unlock(evse).await;
        if let (Err(Error::Refused(_)), Some(transaction)) = (&opened, ends) {
            self.station.stop_transaction(transaction, EndReason::UnlockCommand).await?;
            while matches!(opened, Err(Error::Refused(_))) {
                tokio::time::sleep(AGAIN).await;
                opened = self.station.unlock(evse).await;
            }
        }
        match opened {
            Ok(()) => Ok(Outcome::Done),
            Err(Error::Invalid(_)) => Ok(Outcome::NotSupported),
            Err(error) => Err(error),
        }
    }

    async fn starve(&self, evse: u32, transaction: u64, starved: bool) -> Result<(), Error> {
        let origin = format!("{STARVED}{transaction}");
        if starved {
            self.station.set_limit(evse, &origin, 0.0, 0.0).await
        } else {
            self.station.clear_limit(evse, &origin).await
        }
    }
}

fn lines<T: Debug, E: Debug, L: Debug>(answer: Result<Result<Vec<T>, E>, L>) -> Vec<String> {
    match answer {
        Ok(Ok(items)) => items.iter().map(|item| format!("{item:?}")).collect(),
        Ok(Err(error)) => vec![format!("not known: {error:?}")],
        Err(_) => vec!["the station does not answer".to_owned()],
    }
}

async fn write(connection: &zbus::Connection, target: &Target, value: &str) -> Result<bool, Error> {
    let settings = Settings1Proxy::builder(connection)
        .destination(target.name.clone())
        .path(target.path.clone())
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    settings.write(&target.setting, value).await
}

/// A station from before exports were kept apart has none.
fn is_unknown_method(error: &Error) -> bool {
    matches!(error, Error::ZBus(zbus::Error::FDO(error)) if matches!(**error, zbus::fdo::Error::UnknownMethod(_)))
}

/// What of the station's properties the uplink wants to know.
fn inputs_of(changed: &HashMap<&str, Variant<'_>>) -> Vec<Input> {
    let value = |name| changed.get(name).and_then(|value: &Variant<'_>| value.try_to_owned().ok());
    let evses = value("Evses").and_then(|value| value.try_into().ok());
    let connectors = value("Connectors").and_then(|value| value.try_into().ok());
    let mut inputs = match (evses, connectors) {
        (Some(evses), Some(connectors)) => vec![Input::Seen(evses, connectors)],
        (Some(evses), None) => vec![Input::Evses(evses)],
        (None, Some(connectors)) => vec![Input::Connectors(connectors)],
        (None, None) => Vec::new(),
    };
    if let Some(limits) = value("Limits").and_then(|value| value.try_into().ok()) {
        inputs.extend(inputs_of_limits(limits));
    }
    inputs
}

/// Ours that give a transaction nothing, and those that others than the CSMS set.
fn inputs_of_limits(limits: Vec<PowerLimit>) -> [Input; 2] {
    let of_starved =
        |limit: &PowerLimit| Some((limit.evse, limit.origin.strip_prefix(STARVED)?.parse().ok()?));
    let starved = limits.iter().filter_map(of_starved).collect();
    let others = limits.into_iter().filter(|limit| limit.origin != ORIGIN && of_starved(limit).is_none());
    let others = others.filter_map(|limit| {
        let power = Watts::from_si(limit.power).ok()?;
        Some(OtherLimit { evse: limit.evse, origin: limit.origin, power })
    });
    [Input::Limits(others.collect()), Input::Starved(starved)]
}
