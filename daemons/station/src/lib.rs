//! `voltry-station`: authorization, power shares, transactions, and the station's one book.
//!
//! [`session`] decides for each EVSE what to do about its session; [`authorization`] who may
//! charge; [`shares`] how the power is divided. All three are pure. The control loop feeds them
//! from the bus, and asks the meter and the [`book`] before anything counts as happened.
//!
//! Charging does not need this daemon: each EVSE goes on within its permit (30 s) while it is
//! away, and an open transaction is resumed or closed when it is back.

pub mod authorization;
mod billing;
pub mod book;
mod clock;
mod config;
mod control;
mod evse;
mod evse_watch;
pub mod flow;
pub mod reasons;
mod register;
mod serve;
pub mod session;
pub mod shares;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tracing::info;
use voltry_bus::{EvseSession, names};
use voltry_service::clock::now;
use voltry_service::{Binding, Daemon, RateLimit, Watchdog};
use voltry_units::{Timestamp, Watts};
use zbus::Connection;

use crate::authorization::Authorizer;
use crate::book::{Book, OpenTransaction};
use crate::clock::Clock;
use crate::control::Control;
use crate::evse::Evse;
use crate::evse_watch::Proxies;
use crate::flow::FlowWatch;
use crate::register::Register;
use crate::serve::{Book1, Session1, Station1};
use crate::session::SessionControl;

pub use config::{Settings, configure};

/// News, requests and answers that may wait for the control loop.
const WAITING: usize = 256;

/// Runs the station until it is asked to stop, or the bus is lost.
///
/// # Errors
/// The book cannot be opened, the bus refuses the name, or a part of the daemon ended.
pub async fn run(settings: Settings, daemon: Daemon) -> anyhow::Result<()> {
    let book = Book::open(&settings.database)
        .with_context(|| format!("opening the book {}", settings.database.display()))?;
    let (answers, mut answered) = mpsc::channel(WAITING);
    let (heard_to, mut heard) = mpsc::channel(WAITING);
    let (requests, mut requested) = mpsc::channel(WAITING);
    let (statuses, status) = watch::channel(Vec::new());
    let (ended_to, ended) = mpsc::channel(WAITING);

    let clock = Clock::new()?;
    book.end_what_nobody_saw_end(clock.stamp(), "the station was down when the vehicle left").await?;
    let evses = evses(daemon.connection(), &settings, &book, &clock).await?;
    let proxies: BTreeMap<u32, Proxies> =
        evses.iter().map(|(number, evse)| (*number, evse.proxies.clone())).collect();
    let mut control = Control {
        evses,
        authorizer: Authorizer::new(
            settings.free_vending,
            settings.token_list().ok().context("tokens were checked")?,
            settings.remember_token(),
        ),
        book: book.clone(),
        clock,
        power_limit: settings.power_limit,
        answers,
        statuses,
        ended: ended_to,
        permitted_at: Timestamp::BOOT,
    };
    let station = Station1 {
        name: settings.name.clone(),
        power_limit: settings.power_limit.as_si(),
        book: book.clone(),
        evses: proxies.clone(),
        requests,
        statuses: Vec::new(),
    };
    daemon.connection().object_server().at(names::STATION_PATH, station).await?;
    let newest = book.newest_event();
    daemon.connection().object_server().at(names::STATION_PATH, Book1 { book }).await?;
    daemon.connection().object_server().at(names::SESSIONS_PATH, zbus::fdo::ObjectManager).await?;
    daemon.claim(names::STATION).await?;

    let mut parts = tokio::task::JoinSet::new();
    for (number, proxies) in proxies {
        parts.spawn(evse_watch::listen(number, proxies, heard_to.clone()));
    }
    parts.spawn(publish(daemon.connection().clone(), status, ended, newest));

    let mut watchdog = Watchdog::from_environment();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    daemon.ready();
    info!(station = settings.name, evses = control.evses.len(), "the station is up");
    loop {
        tokio::select! {
            _ = daemon.stop() => return Ok(()),
            Some((number, news)) = heard.recv() => control.hear(number, news),
            Some((number, answer)) = answered.recv() => control.answered(number, answer),
            Some(request) = requested.recv() => control.ask(request),
            _ = tick.tick() => {
                control.tick(now());
                tell_sessions(daemon.connection(), &control).await?;
            }
            Some(part) = parts.join_next() => {
                part.context("a part of the station panicked")?.context("a part of the station ended")?;
                anyhow::bail!("a part of the station ended");
            }
        }
        watchdog.beat(now());
    }
}

async fn evses(
    connection: &Connection,
    settings: &Settings,
    book: &Book,
    clock: &Clock,
) -> anyhow::Result<BTreeMap<u32, Evse>> {
    let plugged = book.open_plugs(Arc::clone(clock.boot())).await?;
    let mut open: Vec<OpenTransaction> = book.open_transactions().await?;
    let mut evses = BTreeMap::new();
    for (name, evse) in &settings.evse {
        let number: u32 = name.parse().context("EVSE numbers were checked")?;
        let binding = evse.evse.clone().map_or_else(
            || Binding::new(&names::evse(number), &names::path("evse", name)).map_err(anyhow::Error::msg),
            Ok,
        )?;
        let left =
            open.iter().position(|transaction| transaction.evse == number).map(|place| open.remove(place));
        let plug = plugged.iter().rfind(|(evse, _)| *evse == number).map(|(_, plug)| *plug);
        let mut control = SessionControl::plugged(plug);
        if let Some(left) = &left {
            info!(evse = number, transaction = left.id, "a transaction is still open in the book");
            let session = if *left.boot_id == **clock.boot() { left.session } else { 0 };
            control = control.recovering(now(), session, left.id, left.payer.clone());
        }
        evses.insert(
            number,
            Evse {
                number,
                proxies: Proxies::new(connection, &binding, &evse.energy_meter).await?,
                control,
                session: EvseSession::default(),
                vehicle_id: None,
                contract: None,
                capability: None,
                faults: Vec::new(),
                live: None,
                available: book.is_available(number).await?,
                share: Watts::ZERO,
                flow: FlowWatch::default(),
                metered: None,
                register: Register::default(),
                contradictions: RateLimit::default(),
                register_start: left.map(|left| left.register_start),
                booked_at: Timestamp::BOOT,
                event_at: now(),
            },
        );
    }
    billing::close_left_behind(book, clock, open).await?;
    Ok(evses)
}

/// Tells the bus what changed, in a task of its own: a slow listener must not slow the loop.
async fn publish(
    connection: Connection,
    mut status: watch::Receiver<Vec<voltry_bus::EvseStatus>>,
    mut ended: mpsc::Receiver<voltry_bus::Transaction>,
    mut newest: watch::Receiver<u64>,
) -> anyhow::Result<()> {
    let station = connection.object_server().interface::<_, Station1>(names::STATION_PATH).await?;
    loop {
        tokio::select! {
            changed = status.changed() => {
                changed.context("the control loop ended")?;
                let mut served = station.get_mut().await;
                served.statuses = status.borrow_and_update().clone();
                served.evses_changed(station.signal_emitter()).await?;
            }
            transaction = ended.recv() => {
                let transaction = transaction.context("the control loop ended")?;
                Station1::transaction_ended(station.signal_emitter(), transaction).await?;
            }
            changed = newest.changed() => {
                changed.context("the book ended")?;
                let number = *newest.borrow_and_update();
                Book1::booked(station.signal_emitter(), number).await?;
            }
        }
    }
}

/// Keeps a `Session1` object for each session.
async fn tell_sessions(connection: &Connection, control: &Control) -> anyhow::Result<()> {
    let server = connection.object_server();
    for evse in control.evses.values() {
        let path = format!("{}/evse{}", names::SESSIONS_PATH, evse.number);
        let served = server.interface::<_, Session1>(path.as_str()).await.ok();
        if evse.session.id == 0 || evse.control.evse().is_none() {
            if served.is_some() {
                server.remove::<Session1, _>(path.as_str()).await?;
            }
            continue;
        }
        let since_plugged = now().since(Timestamp::from_micros(evse.session.plugged_at));
        let session = Session1 {
            evse: evse.number,
            transaction: evse.control.transaction().unwrap_or(0),
            plugged_at: clock::unix_now() - i64::try_from(since_plugged.as_micros()).unwrap_or(0),
            energy: evse.energy().as_si(),
        };
        match served {
            None => {
                server.at(path.as_str(), session).await?;
            }
            Some(served) => {
                let mut current = served.get_mut().await;
                let transaction_changed = current.transaction != session.transaction;
                let energy_changed = current.energy.to_bits() != session.energy.to_bits();
                // The moment of plugging in does not move.
                *current = Session1 { plugged_at: current.plugged_at, ..session };
                if transaction_changed {
                    current.transaction_changed(served.signal_emitter()).await?;
                }
                if energy_changed {
                    current.energy_changed(served.signal_emitter()).await?;
                }
            }
        }
    }
    Ok(())
}
