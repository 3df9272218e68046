//! `voltry-station`: authorization, power shares, transactions, and the station's one book.
//!
//! [`session`] decides for each EVSE what to do about its session; [`authorization`] who may
//! charge; [`energy`] how the power is shared. All three are pure. The control loop feeds them
//! from the bus, and asks the meter and the [`book`] before anything counts as happened.
//!
//! Charging does not need this daemon: each EVSE goes on within its permit (30 s) while it is
//! away, and an open transaction is resumed or closed when it is back.

pub mod authorization;
mod billing;
pub mod book;
mod clock;
pub mod clock_marks;
mod config;
mod control;
mod device_watch;
pub mod energy;
mod energy_watch;
mod evse;
mod evse_watch;
pub mod flow;
pub mod guesses;
pub mod limits;
pub mod master_pass;
mod reader_watch;
pub mod reasons;
mod recorder;
mod register;
pub mod reservations;
mod serve;
pub mod session;
mod start;
mod story;
mod variables;
pub mod why;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};
use tracing::info;
use voltry_bus::{Component, names};
use voltry_service::clock::now;
use voltry_service::{Daemon, Device, Identity, Watchdog};
use voltry_units::Timestamp;
use zbus::Connection;
use zbus::Variant;
use zbus::fdo::Properties;
use zbus::names::InterfaceName;

use crate::book::Book;
use crate::clock::Clock;
use crate::control::{Control, News, Shown};
use crate::recorder::{Recorder, Recorder1};
use crate::serve::{Book1, Calls, Session1, Station1};
use crate::variables::Variables;

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
    let (shown_to, shown) = watch::channel(Shown::default());
    let (news_to, news) = mpsc::channel(WAITING);

    let clock = Clock::new()?;
    let mut changeable = voltry_service::Settings::serve(
        daemon.connection(),
        names::STATION_PATH,
        &settings.database.with_file_name("settings.toml"),
        variables::specs(settings.remember_token()),
    )
    .await?;
    let _device = serve_device(daemon.connection(), &settings, &changeable).await?;
    let recorder = Recorder::start(&settings.database.with_file_name("recorder")).context("the recorder")?;
    let tell = start::Channels { answers, shown: shown_to, news: news_to, recorder: recorder.clone() };
    let variables = Variables::of(&changeable);
    let mut control = start::control(daemon.connection(), &settings, &book, &clock, tell, variables).await?;
    let proxies = control.proxies();
    let station = Station1 {
        name: settings.name.clone(),
        power_limit: settings.power_limit.as_si(),
        key_pad: settings.key_pad,
        book: book.clone(),
        evses: proxies.clone(),
        requests: requests.clone(),
        clock,
        shown: shown.clone(),
        calls: Calls::new(),
    };
    let newest = book.newest_event();
    serve_objects(daemon.connection(), station, book, recorder).await?;
    daemon.claim(names::STATION).await?;

    let mut parts = tokio::task::JoinSet::new();
    evse_watch::listen_to_all(proxies, &heard_to, &mut parts);
    let mut energy = energy_watch::listen(daemon.connection(), &settings, &mut parts).await?;
    reader_watch::listen(daemon.connection(), &settings, &requests, &mut parts).await?;
    parts.spawn(publish(daemon.connection().clone(), shown, news, newest));

    let mut watchdog = Watchdog::from_environment();
    let mut tick = every_second();
    daemon.ready();
    info!(station = settings.name, evses = control.evses.len(), "the station is up");
    loop {
        tokio::select! {
            stop = daemon.stop() => {
                control.end(stop).await;
                return Ok(());
            }
            Some((number, news)) = heard.recv() => control.hear(number, news),
            Some(news) = energy.recv() => control.hear_energy(news),
            () = tokio::time::sleep(control.next_share()) => control.share(),
            Some(answer) = answered.recv() => control.answered(answer),
            Some(request) = requested.recv() => control.ask(request),
            () = changeable.changed() => control.set(Variables::of(&changeable)),
            () = tokio::time::sleep(control.next_mark()) => control.mark(),
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

fn every_second() -> Interval {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

/// Serves the station, its book and its sessions.
async fn serve_objects(
    connection: &Connection,
    station: Station1,
    book: Book,
    recorder: Recorder,
) -> zbus::Result<()> {
    let server = connection.object_server();
    server.at(names::STATION_PATH, station).await?;
    server.at(names::STATION_PATH, Book1 { book, calls: Calls::new() }).await?;
    server.at(names::STATION_PATH, Recorder1 { recorder, calls: Calls::new() }).await?;
    server.at(names::SESSIONS_PATH, zbus::fdo::ObjectManager).await?;
    Ok(())
}

/// Serves the station as a device, for as long as what this returns lives.
async fn serve_device(
    connection: &Connection,
    settings: &Settings,
    changeable: &voltry_service::Settings,
) -> zbus::Result<Device> {
    let identity = Identity {
        vendor: "Voltry".to_owned(),
        model: settings.name.clone(),
        serial: String::new(),
        firmware: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let device = Device::serve(connection, names::STATION_PATH, identity).await?;
    device.set_component(Component::new("ChargingStation"));
    device.set_online(true);
    device.show_settings(changeable.clone());
    Ok(device)
}

/// Tells the bus what changed, in a task of its own: a slow listener must not slow the loop.
async fn publish(
    connection: Connection,
    mut shown: watch::Receiver<Shown>,
    mut news: mpsc::Receiver<News>,
    mut newest: watch::Receiver<u64>,
) -> anyhow::Result<()> {
    let station = connection.object_server().interface::<_, Station1>(names::STATION_PATH).await?;
    let emitter = station.signal_emitter();
    let mut told = Shown::default();
    loop {
        tokio::select! {
            changed = shown.changed() => {
                changed.context("the control loop ended")?;
                let now = shown.borrow_and_update().clone();
                // To read only: zbus has every call wait behind whoever wants to write, and he waits for each call
                // that waits for a back end or a self-test.
                let served = station.get().await;
                let before = std::mem::replace(&mut told, now.clone());
                // In one signal: a fault and what becomes of its EVSE are of one instant.
                let mut changed = HashMap::new();
                if before.evses != now.evses {
                    changed.insert("Evses", Variant::new(now.evses));
                }
                if before.connectors != now.connectors {
                    changed.insert("Connectors", Variant::new(now.connectors));
                }
                if !changed.is_empty() {
                    let interface = InterfaceName::from_static_str_unchecked("org.voltry.Station1");
                    Properties::properties_changed(emitter, interface, changed, (&[]).into()).await?;
                }
                if before.limits != now.limits {
                    served.limits_changed(emitter).await?;
                }
                if before.sources != now.sources {
                    served.sources_changed(emitter).await?;
                }
                if before.shares != now.shares {
                    served.shares_changed(emitter).await?;
                }
                if before.reservations != now.reservations {
                    served.reservations_changed(emitter).await?;
                }
                if before.master_pass != now.master_pass {
                    served.master_pass_asked_changed(emitter).await?;
                }
            }
            one = news.recv() => match one.context("the control loop ended")? {
                News::TransactionEnded(transaction) => Station1::transaction_ended(emitter, transaction).await?,
                News::ReservationEnded { id, evse, why } => {
                    Station1::reservation_ended(emitter, &id, evse, why).await?;
                }
                News::TokenRefused { evse, why } => Station1::token_refused(emitter, evse, why).await?,
            },
            changed = newest.changed() => {
                changed.context("the book ended")?;
                let number = *newest.borrow_and_update();
                Book1::booked(emitter, number).await?;
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
