//! Joins the bus, the uplink and the connection.

mod clock;
mod files;
mod hear;
mod perform;
mod start;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tracing::{debug, info};
use voltry_bus::{CsmsState, TokenAnswer, TransferStatus};
use voltry_service::clock::now;
use voltry_service::{Daemon, RateLimit, Watchdog};
use voltry_units::Timestamp;

use crate::certificates::Folder;
use crate::config::{Settings, Version};
use crate::connection::redial::Slot;
use crate::connection::{self, Connection};
use crate::csms::{self, Csms1, Standing};
use crate::csms_log::CsmsLog1;
use crate::data_transfer::DataTransfer1;
use crate::devices::Devices;
use crate::display::{self, Display1, Shown};
use crate::model::name;
use crate::networks::{LAST_GOOD, Ways};
use crate::rpc::Endpoint;
use crate::said::Said;
use crate::secc::Links;
use crate::station::Station;
use crate::store::Store;
use crate::transfer::{Installer, Place};
use crate::uplink::{Input, Registration, Uplink};

pub(crate) use clock::instant;

/// Inputs, events, orders that may wait.
const WAITING: usize = 64;
/// Orders to the connection for which there is room before the CSMS is listened to: one call of ours,
/// the answers to those of its calls that the station is about, and some.
const ROOM: usize = 32;
/// How long the last words to the CSMS may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why the shell ended.
pub(crate) enum End {
    /// The daemon is to end.
    Stop,
    /// The CSMS wants the station to start anew.
    Reset,
}

struct Shell {
    uplink: Uplink,
    version: Version,
    store: Store,
    settings: Settings,
    ways: Ways,
    folder: Folder,
    links: Links,
    inputs: mpsc::Sender<Input>,
    station: Station,
    /// The uplink is another: the devices tell all again.
    anew: Arc<Notify>,
    to_connection: mpsc::Sender<connection::Command>,
    endpoint: Option<(u64, Endpoint<()>)>,
    questions: BTreeMap<u64, oneshot::Sender<TokenAnswer>>,
    next_question: u64,
    acknowledged: watch::Sender<u64>,
    standing: watch::Sender<Standing>,
    tasks: JoinSet<()>,
    strays: RateLimit,
    reset: bool,
    proven: bool,
    /// The profile that is connected.
    slot: Slot,
    said: Said,
    place: Place,
    bus: zbus::Connection,
    letters: BTreeMap<u64, oneshot::Sender<Option<(TransferStatus, String)>>>,
    show: watch::Sender<Shown>,
    installer: Installer,
    /// The version of the firmware that runs.
    firmware: String,
    /// What carries a log: one at a time.
    uploading: JoinSet<()>,
    /// What updates the firmware: likewise.
    updating: JoinSet<()>,
}

/// Runs the uplink until the daemon is to end, or the station is reset.
///
/// # Errors
/// The store cannot be used, the bus is lost, or a part ended.
#[allow(clippy::too_many_lines, reason = "wiring reads best as one list of parts")]
pub(crate) async fn run(settings: &Settings, daemon: &Daemon) -> anyhow::Result<End> {
    let mut store = Store::open(&settings.database)
        .with_context(|| format!("opening the store {}", settings.database.display()))?;
    let (inputs, mut heard) = mpsc::channel(WAITING);
    let (questions, mut asked) = mpsc::channel(WAITING);
    let (curious, mut wondered) = mpsc::channel(WAITING);
    let (to_connection, commands) = mpsc::channel(WAITING);
    let (events_in, mut events) = mpsc::channel(WAITING);
    let station = Station::new(daemon.connection(), inputs.clone()).await?;
    let folder = settings.certificates();
    let ways = Ways::new(settings, &store, &folder)?;
    let (profiles, good) = start::profiles(settings, &ways, &folder)?;
    let version =
        profiles.first().and_then(|profile| profile.versions.first().copied()).unwrap_or(Version::V201);
    let (acknowledged, to_acknowledge) = watch::channel(0);
    let standing = Standing::at_start(&settings.identity, instant().unix);
    let (show, shown) = watch::channel(standing);
    let server = daemon.connection().object_server();
    // Of before a reset.
    let again = server.remove::<Csms1, _>(csms::PATH).await.unwrap_or(false);
    let csms = Csms1 { standing: shown.clone(), questions, inputs: inputs.clone() };
    server.at(csms::PATH, csms).await?;
    let (letters, mut posted) = mpsc::channel(WAITING);
    let _ = server.remove::<DataTransfer1, _>(csms::PATH).await;
    server.at(csms::PATH, DataTransfer1 { letters }).await?;
    let _ = server.remove::<Display1, _>(display::PATH).await;
    server.at(display::PATH, Display1::default()).await?;
    let (show_display, displayed) = watch::channel(Shown::default());
    server.remove::<CsmsLog1, _>(csms::PATH).await.unwrap_or(false);
    server.at(csms::PATH, CsmsLog1(curious)).await?;
    if !again {
        daemon.claim(voltry_bus::names::OCPP).await?;
    }

    let ends = (commands, events_in);
    let connection = Connection::new(settings.identity.clone(), profiles, good, settings.times(), ends)
        .context("the configuration was checked: there is a profile")?;
    let mut parts: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let links = Links::new(daemon.connection(), inputs.clone());
    parts.spawn(station.clone().listen());
    let anew = Arc::new(Notify::new());
    parts.spawn(Devices::new(daemon.connection(), inputs.clone(), Arc::clone(&anew)).follow());
    parts.spawn(crate::security::watch_memory(inputs.clone()));
    parts.spawn(links.clone().listen());
    parts.spawn(links.clone().welcome(folder.clone()));
    parts.spawn(station.clone().acknowledge(to_acknowledge));
    parts.spawn(show_on_display(daemon.connection().clone(), displayed));
    parts.spawn(show_standing(daemon.connection().clone(), shown));
    // Not among the parts: it ends by itself when nobody orders any more, and tells the CSMS so.
    let mut connecting = tokio::spawn(connection.run());

    let installer = Installer::new(daemon.connection(), &settings.update).await?;
    let firmware = start::firmware(&installer, store.files()?.is_restarting()).await;
    let mut shell = Shell {
        uplink: start::uplink(&mut store, settings, version, &firmware, &station, &folder).await?,
        version,
        store,
        settings: settings.clone(),
        ways,
        folder,
        links,
        inputs,
        station,
        anew,
        to_connection,
        endpoint: None,
        questions: BTreeMap::new(),
        next_question: 0,
        acknowledged,
        standing: show,
        tasks: JoinSet::new(),
        strays: RateLimit::new(),
        reset: false,
        proven: false,
        slot: LAST_GOOD,
        said: Said::default(),
        place: settings.place(),
        bus: daemon.connection().clone(),
        letters: BTreeMap::new(),
        show: show_display,
        installer,
        firmware,
        uploading: JoinSet::new(),
        updating: JoinSet::new(),
    };
    for (event, info) in start::since_last_start(&mut shell.store, &shell.station, &shell.firmware).await? {
        shell.step(Input::Security(event, info)).await?;
    }
    daemon.ready();
    info!(identity = settings.identity, profiles = settings.profile.len(), "the uplink is up");
    let mut watchdog = Watchdog::from_environment();
    let mut stopped = std::pin::pin!(daemon.stop());
    // Set anew, not made anew: what is made anew is taken from the runtime's timers and put back at each turn.
    let mut due = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = loop {
        if shell.reset {
            break End::Reset;
        }
        let looked = now();
        watchdog.beat(looked);
        let at = shell.deadline().map_or(Duration::from_secs(3600), |at| at.since(looked));
        due.as_mut().reset(tokio::time::Instant::now() + at);
        let (orders, has_room) = (shell.to_connection.clone(), shell.to_connection.capacity() > ROOM);
        tokio::select! {
            _ = &mut stopped => break End::Stop,
            // A CSMS that asks and takes no answers is not listened to, and holds nobody else up.
            Some(event) = events.recv(), if has_room => shell.hear(event).await?,
            _ = orders.reserve_many(ROOM + 1), if !has_room => {}
            Some(input) = heard.recv() => shell.step(input).await?,
            Some(question) = asked.recv() => shell.ask(question).await?,
            Some(letter) = posted.recv() => shell.post(letter).await?,
            Some(curious) = wondered.recv() => curious.answer(&shell.said, &shell.uplink, instant()),
            () = &mut due => shell.tick().await?,
            _ = tick.tick() => shell.publish(),
            Some(_) = shell.tasks.join_next(), if !shell.tasks.is_empty() => {}
            Some(_) = shell.uploading.join_next(), if !shell.uploading.is_empty() => {}
            Some(_) = shell.updating.join_next(), if !shell.updating.is_empty() => {}
            ended = &mut connecting => {
                ended.context("the connection panicked")?;
                anyhow::bail!("the connection ended");
            }
            Some(part) = parts.join_next() => {
                part.context("a part of the uplink panicked")?.context("a part of the uplink ended")?;
                anyhow::bail!("a part of the uplink ended");
            }
        }
    };
    // What was said last gets its time to leave.
    drop(shell);
    if tokio::time::timeout(LAST_WORDS, connecting).await.is_err() {
        debug!("the CSMS takes no last words");
    }
    Ok(end)
}

/// Publishes where the connection stands, in a task of its own.
async fn show_standing(
    connection: zbus::Connection,
    mut shown: watch::Receiver<Standing>,
) -> anyhow::Result<()> {
    let mut told = shown.borrow_and_update().clone();
    while shown.changed().await.is_ok() {
        let standing = shown.borrow_and_update().clone();
        csms::tell(&connection, &told, &standing).await?;
        told = standing;
    }
    Ok(())
}

/// Shows people at the station what they are to read, at most 10 times a second.
async fn show_on_display(
    connection: zbus::Connection,
    mut displayed: watch::Receiver<Shown>,
) -> anyhow::Result<()> {
    while displayed.changed().await.is_ok() {
        let shown = displayed.borrow_and_update().clone();
        display::show(&connection, shown).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

impl Shell {
    fn deadline(&self) -> Option<Timestamp> {
        let call = self.endpoint.as_ref().and_then(|(_, endpoint)| endpoint.deadline());
        [call, self.uplink.deadline()].into_iter().flatten().min()
    }

    async fn tick(&mut self) -> anyhow::Result<()> {
        let expired = self.endpoint.as_mut().and_then(|(_, endpoint)| endpoint.expire(now()));
        match expired {
            Some(()) => {
                let id = self.uplink.out_id().unwrap_or_default().to_owned();
                self.step(Input::Unanswered { id }).await
            }
            None => self.step(Input::Tick).await,
        }
    }

    async fn step(&mut self, input: Input) -> anyhow::Result<()> {
        for action in self.uplink.step(instant(), input) {
            self.perform(action).await?;
        }
        if self.uplink.registration() == Registration::Accepted && !self.proven && self.endpoint.is_some() {
            self.proven = true;
            self.order(connection::Command::Proven).await?;
            self.ways.prove(self.slot, &self.store)?;
            let ways = Ways::new(&self.settings, &self.store, &self.folder)?;
            if ways.all != self.ways.all {
                self.take(ways).await?;
            }
        }
        self.publish();
        Ok(())
    }

    /// Takes other ways to the CSMS; an open connection stays.
    async fn take(&mut self, ways: Ways) -> anyhow::Result<()> {
        self.ways = ways;
        let (profiles, good) = start::profiles(&self.settings, &self.ways, &self.folder)?;
        self.order(connection::Command::Profiles(profiles, good)).await
    }

    /// The connection's times, as the CSMS wants them.
    fn times(&self) -> connection::Times {
        let seconds = |variable| Duration::from_secs(self.uplink.number(variable));
        let count = |variable| u32::try_from(self.uplink.number(variable)).unwrap_or(u32::MAX);
        let ping = seconds(name::PING_INTERVAL);
        let mut times = self.settings.times();
        times.keepalive.interval = (!ping.is_zero()).then_some(ping);
        times.redial.wait_minimum = seconds(name::WAIT_MINIMUM);
        times.redial.random_range = seconds(name::RANDOM_RANGE);
        times.redial.repeat_times = count(name::REPEAT_TIMES);
        times.redial.attempts = count(name::CONNECT_ATTEMPTS);
        times
    }

    async fn send(&mut self, connection: u64, text: String) -> anyhow::Result<()> {
        self.said.note(instant().unix, false, &text);
        self.order(connection::Command::Send { connection, text }).await
    }

    async fn order(&mut self, command: connection::Command) -> anyhow::Result<()> {
        self.to_connection.send(command).await.context("the connection's task ended")
    }

    fn publish(&self) {
        let state = match self.uplink.registration() {
            Registration::Offline => return,
            Registration::Booting => CsmsState::Booting,
            Registration::Pending { .. } => CsmsState::Pending,
            Registration::Rejected { .. } => CsmsState::Rejected,
            Registration::Accepted => CsmsState::Accepted,
        };
        self.stand(|standing| standing.state = state);
    }

    fn stand(&self, change: impl FnOnce(&mut Standing)) {
        let (acknowledged, waiting) = self.uplink.told();
        self.standing.send_if_modified(|standing| {
            let before = standing.clone();
            change(standing);
            (standing.acknowledged, standing.waiting) = (acknowledged, waiting);
            if standing.state != before.state {
                standing.since = instant().unix;
            }
            *standing != before
        });
    }
}
