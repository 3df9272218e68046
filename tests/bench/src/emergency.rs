//! Emergency stop: from just before this process sends the signal that says so to the entry of
//! the later of `Off` and `OpenContactors`, with the real `voltry-evse` on a busy machine.
//!
//! This process plays every provider with the plant of the energy path's own tests. Before each
//! run the EVSE has gone the whole way to a charge: contactors closed, output on, current
//! flowing. On that way the plant hurries (evse's own times are real), so that 2,000 runs take
//! minutes; before each emergency stop it plays in real time again for a moment, a longer or
//! shorter one, so that the stop comes at any point between two control steps.
//!
//! All of it again while the book's disk takes nothing, while nobody takes evse's log, and while
//! others flood the bus.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;
use tokio::task::JoinHandle;
use voltry_bus::{Evse1Proxy, EvseState, names};
use voltry_evse::energy_path::{Command, Role};
use zbus::Message;

use crate::bus_flood::Flood;
use crate::energy_path::plant::player::{Player, configuration, path};
use crate::machine::{Ahead, Bus, Busy, scheduled};
use crate::report::{Report, percentile};

/// As in the unit of evse.
const PRIORITY: u8 = 20;
/// Who plays: one connection, as one provider of everything.
const PLAYER: &str = "org.voltry.Bench";
/// Steps in real time before a stop: up to a control step of evse, and some more.
const CALM: u32 = 13;
/// Messages after which a flood has risen: more than evse has in one turn of its loop.
const RISEN: u64 = 5_000;

/// What is slow around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Around {
    /// Nothing but that each core computes, as with all others.
    Busy,
    /// The disk of the book of the station takes nothing.
    SlowBook,
    /// Nobody takes the log of evse.
    FullJournal,
    /// A client calls evse as fast as the bus takes it, another signals.
    FloodedBus,
}

impl Around {
    const fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::SlowBook => "slow_book",
            Self::FullJournal => "full_journal",
            Self::FloodedBus => "flooded_bus",
        }
    }
}

pub(crate) async fn measure(report: &mut Report, around: Around, runs: u32) -> anyhow::Result<()> {
    let name = around.name();
    let mut samples = samples(around, runs).await.with_context(|| format!("emergency, {name}"))?;
    for (figure, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        report.add(format!("emergency_{figure}_{name}_ms"), percentile(&mut samples, share));
    }
    report.note(format!("emergency, {name}: {runs} runs, each out of a charge"));
    Ok(())
}

/// Milliseconds from the stop to the later of the commands.
async fn samples(around: Around, runs: u32) -> anyhow::Result<Vec<f64>> {
    let bus = Bus::start().await?;
    let connection = bus.connect().await?;
    let mut player = Player::new();
    player.join(&Role::ALL, &connection);
    connection.request_name(PLAYER).await?;
    let config = configuration(|_| PLAYER.to_owned());
    let unread = (around == Around::FullJournal).then(Unread::new).transpose()?;
    let log = unread.as_ref().map(Unread::full).transpose()?;
    let _evse = bus.daemon_logging("voltry-evse", PRIORITY, &config, &names::evse(1), log).await?;
    let book = bus.folder.path().join("book.db");
    player.station_beside = around == Around::SlowBook;
    let _station = if player.station_beside { Some(bills(&bus, &book).await?) } else { None };
    let station = Evse1Proxy::builder(&bus.connect().await?)
        .destination(names::evse(1))
        .path(names::path("evse", "1"))
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await?;
    let _busy = Busy::every_core().await?;
    let _ahead = Ahead::of_all();
    let mut samples = Vec::new();
    for run in 0..runs {
        player.hurry = true;
        charge(&mut player, &station).await.with_context(|| format!("run {run}"))?;
        player.hurry = false;
        let slow = (around == Around::SlowBook).then(|| nobody_writes(&book)).transpose()?;
        let flood = if around == Around::FloodedBus { Some(flood(&bus).await?) } else { None };
        if let Some((_, rises)) = &flood {
            while !rises.is_finished() {
                player.play(&station).await?;
            }
        }
        for _ in 0..run % CALM {
            player.play(&station).await?;
        }
        samples.push(emergency(&mut player).await?.as_secs_f64() * 1e3);
        drop((slow, flood));
        player.hurry = true;
        recover(&mut player, &station).await.with_context(|| format!("run {run}"))?;
    }
    Ok(samples)
}

/// The station's daemon, with a book of its own.
async fn bills(bus: &Bus, book: &Path) -> anyhow::Result<Child> {
    let meter = path(Role::EnergyMeter);
    let config = format!(
        "[station]\nname = 'Bench'\ndatabase = {book:?}\npower_limit_w = 200000\nfree_vending = true\n\
         [station.evse.1]\nenergy_meter = {{ name = '{PLAYER}', path = '{meter}' }}\n"
    );
    bus.daemon_logging("voltry-station", 0, &config, names::STATION, None).await
}

/// As long as it is held, nobody else writes into the book.
fn nobody_writes(book: &Path) -> anyhow::Result<rusqlite::Connection> {
    let connection = rusqlite::Connection::open(book)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    Ok(connection)
}

/// A process that floods the bus with ordinary priority, and what ends when it does.
async fn flood(bus: &Bus) -> anyhow::Result<(Child, JoinHandle<()>)> {
    let mut command = scheduled(&std::env::current_exe()?, 0).await;
    let mut child = command.arg("--flood").arg(bus.socket()).stdout(Stdio::piped()).spawn()?;
    let mut told = child.stdout.take().context("it was piped")?;
    let rises = tokio::spawn(async move {
        // A flood that ended is seen by its figures: they are those of a quiet bus.
        let _ = told.read_u8().await;
    });
    Ok((child, rises))
}

/// That process: one connection calls evse 1, the other signals in its name. It tells when it has risen.
pub(crate) fn be_flood(socket: &str) -> anyhow::Result<()> {
    let path = names::path("evse", "1");
    let get = Message::method_call(path.as_str(), "Get").destination(names::evse(1));
    let get = get.interface("org.freedesktop.DBus.Properties").build(&("org.voltry.Evse1", "State"))?;
    let signal = Message::signal(path.as_str(), "org.voltry.Evse1", "Live").build(&("nonsense",))?;
    let flood = Flood::begin(socket, &[get, signal])?;
    while flood.sent() < RISEN {
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("risen");
    loop {
        std::thread::park();
    }
}

/// A log that nobody reads.
struct Unread {
    #[allow(dead_code, reason = "held, so that it is full and not broken")]
    end: std::io::PipeReader,
    write: std::io::PipeWriter,
}

impl Unread {
    fn new() -> anyhow::Result<Self> {
        let (end, write) = std::io::pipe()?;
        Ok(Self { end, write })
    }

    /// Its other end, into which nothing goes any more.
    fn full(&self) -> anyhow::Result<Stdio> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        let mut write = &self.write;
        fcntl(write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        for block in [[b'.'; 4096].as_slice(), b"."] {
            while write.write(block).is_ok() {}
        }
        fcntl(write, FcntlArg::F_SETFL(OFlag::empty()))?;
        Ok(self.write.try_clone()?.into())
    }
}

/// To a charge: the way there is the whole one.
async fn charge(player: &mut Player, station: &Evse1Proxy<'_>) -> anyhow::Result<()> {
    player.until(station, EvseState::Available).await?;
    player.vehicle.soc = 20.0;
    player.vehicle.plug();
    player.until(station, EvseState::Charging).await?;
    let begin = Instant::now();
    while player.devices.current < 1.0 {
        if begin.elapsed() > Duration::from_secs(5) {
            bail!("it charges with {} A", player.devices.current);
        }
        player.play(station).await?;
    }
    if !player.devices.contactors || !player.devices.supply_on {
        bail!("it charges without contactors or without a supply");
    }
    Ok(())
}

/// The emergency stop, and how long the later of the two commands took.
async fn emergency(player: &mut Player) -> anyhow::Result<Duration> {
    player.devices.emergency_stop = true;
    let sent = Instant::now();
    player.tell_io().await?;
    let (mut off, mut open) = (None, None);
    loop {
        let heard = tokio::time::timeout(Duration::from_secs(2), player.hear());
        let (came, command) = heard.await.context("no reaction to the emergency stop")??;
        match command {
            Some(Command::SupplyOff) => off = off.or(Some(came)),
            Some(Command::OpenContactors) => open = open.or(Some(came)),
            _ => {}
        }
        if let (Some(off), Some(open)) = (off, open) {
            return Ok(off.max(open).duration_since(sent));
        }
    }
}

/// Waits until nothing is live any more, unplugs, releases the emergency stop, clears.
async fn recover(player: &mut Player, station: &Evse1Proxy<'_>) -> anyhow::Result<()> {
    player.until(station, EvseState::Faulted).await?;
    player.devices.emergency_stop = false;
    player.vehicle.unplug();
    let begin = Instant::now();
    loop {
        player.play(station).await?;
        let remaining = station.clear_faults().await?;
        if remaining.is_empty() {
            return Ok(());
        }
        if begin.elapsed() > Duration::from_secs(30) {
            bail!("the faults stay: {remaining:?}");
        }
    }
}
