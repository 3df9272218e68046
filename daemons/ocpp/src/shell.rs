//! Joins the bus, the uplink and the connection.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};
use voltry_bus::{CsmsState, TokenAnswer, TransferStatus};
use voltry_service::clock::now;
use voltry_service::{Daemon, RateLimit, Watchdog};
use voltry_units::Timestamp;

use crate::certificates::Folder;
use crate::config::{Settings, Version};
use crate::connection::redial::Slot;
use crate::connection::{self, Connection, Encoding, Event, Profile};
use crate::csms::{self, Csms1, Question, Standing};
use crate::csms_log::CsmsLog1;
use crate::data_transfer::{self, DataTransfer1, Letter};
use crate::devices::Devices;
use crate::display::{self, Display1, Shown};
use crate::files::{Log, News, Order, Upload};
use crate::model::{self, Variables, name};
use crate::networks::{self, LAST_GOOD, Ways};
use crate::random;
use crate::rpc::{Endpoint, MessageId, Received};
use crate::said::Said;
use crate::secc::Links;
use crate::security::{Entry, SecurityEvent};
use crate::station::{Station, ocpp_kind};
use crate::store::Store;
use crate::time::Now;
use crate::transactions::Token;
use crate::transfer::{self, Installer, Place, Snapshot};
use crate::uplink::{Action, Command, Input, Known, Networks, Outcome, Registration, Uplink};

/// Inputs, events, orders that may wait.
const WAITING: usize = 64;
/// Orders to the connection for which there is room before the CSMS is listened to: one call of ours,
/// the answers to those of its calls that the station is about, and some.
const ROOM: usize = 32;
/// How long the last words to the CSMS may take.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// This software is younger: an earlier time of day is none.
const EARLIEST: i64 = 1_767_225_600_000_000; // 2026-01-01
/// Where systemd-timesyncd runs, and what it makes there once the clock is right.
const TIMESYNC: &str = "/run/systemd/timesync";
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
/// How often that is looked at.
const CLOCK_LOOK: Duration = Duration::from_secs(1);

/// How long whoever installs firmware may take to be there after a restart for an update.
const AFTER_UPDATE: Duration = Duration::from_secs(20);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Why the shell ended.
pub(crate) enum End {
    /// The daemon is to end.
    Stop,
    /// The CSMS wants the station to start anew.
    Reset,
}

/// This instant on both clocks.
pub(crate) fn instant() -> Now {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| i64::try_from(time.as_micros()).unwrap_or(i64::MAX));
    let now = now();
    // Two questions to the kernel for each message would be a tenth of what it takes to answer it.
    thread_local!(static LOOKED: Cell<Option<(Timestamp, bool)>> = const { Cell::new(None) });
    let looked = LOOKED.get().filter(|(at, _)| now.since(*at) < CLOCK_LOOK);
    let (_, synchronized) = looked.unwrap_or_else(|| {
        let synchronized = Path::new(SYNCHRONIZED).exists() || !Path::new(TIMESYNC).exists();
        LOOKED.set(Some((now, synchronized)));
        (now, synchronized)
    });
    Now { at: now, unix, set: unix >= EARLIEST && synchronized }
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
    let store = Store::open(&settings.database)
        .with_context(|| format!("opening the store {}", settings.database.display()))?;
    let (inputs, mut heard) = mpsc::channel(WAITING);
    let (questions, mut asked) = mpsc::channel(WAITING);
    let (curious, mut wondered) = mpsc::channel(WAITING);
    let (to_connection, commands) = mpsc::channel(WAITING);
    let (events_in, mut events) = mpsc::channel(WAITING);
    let station = Station::new(daemon.connection(), inputs.clone()).await?;
    let folder = settings.certificates();
    let ways = Ways::new(settings, &store, &folder)?;
    let (profiles, good) = profiles(settings, &ways, &folder)?;
    let version =
        profiles.first().and_then(|profile| profile.versions.first().copied()).unwrap_or(Version::V201);
    let (acknowledged, to_acknowledge) = watch::channel(0);
    let standing = Standing::at_start(&settings.identity, instant().unix);
    let (show, shown) = watch::channel(standing.clone());
    let server = daemon.connection().object_server();
    // Of before a reset.
    let again = server.remove::<Csms1, _>(csms::PATH).await.unwrap_or(false);
    server.at(csms::PATH, Csms1 { standing, questions }).await?;
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
    parts.spawn(links.clone().listen());
    parts.spawn(links.clone().welcome(folder.clone()));
    parts.spawn(station.clone().acknowledge(to_acknowledge));
    parts.spawn(show_on_display(daemon.connection().clone(), displayed));
    parts.spawn(show_standing(daemon.connection().clone(), shown));
    // Not among the parts: it ends by itself when nobody orders any more, and tells the CSMS so.
    let mut connecting = tokio::spawn(connection.run());

    let installer = Installer::new(daemon.connection(), &settings.update).await?;
    let firmware = firmware(&installer, store.files()?.is_restarting()).await;
    let mut shell = Shell {
        uplink: uplink(&store, settings, version, &firmware, &station, &folder).await?,
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
    for (event, info) in since_last_start(&shell.store, &shell.station, &shell.firmware).await? {
        shell.step(Input::Security(event, info)).await?;
    }
    daemon.ready();
    info!(identity = settings.identity, profiles = settings.profile.len(), "the uplink is up");
    let mut watchdog = Watchdog::from_environment();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = loop {
        if shell.reset {
            break End::Reset;
        }
        let due = shell.deadline().map_or(Duration::from_secs(3600), |due| due.since(now()));
        let (orders, has_room) = (shell.to_connection.clone(), shell.to_connection.capacity() > ROOM);
        tokio::select! {
            _ = daemon.stop() => break End::Stop,
            // A CSMS that asks and takes no answers is not listened to, and holds nobody else up.
            Some(event) = events.recv(), if has_room => shell.hear(event).await?,
            _ = orders.reserve_many(ROOM + 1), if !has_room => {}
            Some(input) = heard.recv() => shell.step(input).await?,
            Some(question) = asked.recv() => shell.ask(question).await?,
            Some(letter) = posted.recv() => shell.post(letter).await?,
            Some(curious) = wondered.recv() => curious.answer(&shell.said, &shell.uplink, instant()),
            () = tokio::time::sleep(due) => shell.tick().await?,
            _ = tick.tick() => shell.publish(),
            Some(_) = shell.tasks.join_next() => {}
            Some(_) = shell.uploading.join_next() => {}
            Some(_) = shell.updating.join_next() => {}
            ended = &mut connecting => {
                ended.context("the connection panicked")?;
                anyhow::bail!("the connection ended");
            }
            Some(part) = parts.join_next() => {
                part.context("a part of the uplink panicked")?.context("a part of the uplink ended")?;
                anyhow::bail!("a part of the uplink ended");
            }
        }
        watchdog.beat(now());
    };
    // What was said last gets its time to leave.
    drop(shell);
    if tokio::time::timeout(LAST_WORDS, connecting).await.is_err() {
        debug!("the CSMS takes no last words");
    }
    Ok(end)
}

/// The version of the firmware that runs: the image's, or where nobody knows of one, ours.
async fn firmware(installer: &Installer, restarting: bool) -> String {
    let patience = if restarting { AFTER_UPDATE } else { Duration::from_secs(1) };
    let asked = async {
        loop {
            match installer.version().await {
                Some(version) => return version,
                // The CSMS is to hear of the version that was installed, not of the one before.
                None if restarting => tokio::time::sleep(ASK_AGAIN).await,
                None => return env!("CARGO_PKG_VERSION").to_owned(),
            }
        }
    };
    let version = tokio::time::timeout(patience, asked).await;
    version.unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned())
}

async fn uplink(
    store: &Store,
    settings: &Settings,
    version: Version,
    firmware: &str,
    station: &Station,
    folder: &Folder,
) -> anyhow::Result<Uplink> {
    let progress = match store.progress()? {
        Some(progress) => progress,
        // A store that was lost: the book remembers how far the CSMS had it.
        None => crate::uplink::Progress {
            acknowledged: station.acknowledged().await.unwrap_or(0),
            ..crate::uplink::Progress::default()
        },
    };
    let transactions_prefix = match store.kept("transactions_prefix")? {
        Some(prefix) => prefix,
        None => {
            let prefix = random(4);
            store.keep("transactions_prefix", &prefix)?;
            prefix
        }
    };
    let mut variables = Variables::new(store.variables()?);
    for (variable, value) in &settings.variables {
        if let Some(definition) = model::find_named(variable) {
            variables.make(definition.name, value.clone());
        }
    }
    for (variable, value) in [
        (name::PING_INTERVAL, settings.web_socket_ping_interval_s),
        (name::WAIT_MINIMUM, settings.retry_back_off_wait_minimum_s),
        (name::RANDOM_RANGE, settings.retry_back_off_random_range_s),
        (name::REPEAT_TIMES, settings.retry_back_off_repeat_times),
        (name::CONNECT_ATTEMPTS, settings.network_profile_connection_attempts),
    ] {
        variables.make(variable, value.to_string());
    }
    variables.make(name::VENDOR, settings.vendor.clone());
    variables.make(name::MODEL, settings.model.clone());
    variables.make(name::SERIAL, settings.serial_number.clone());
    variables.make(name::FIRMWARE, firmware.to_owned());
    variables.make(name::IDENTITY, settings.identity.clone());
    let slots: Vec<String> = settings.networks().keys().map(ToString::to_string).collect();
    variables.make(name::NETWORK_PRIORITY, slots.join(","));
    variables.make(name::ADDITIONAL_ROOT_CHECK, settings.additional_root_certificate_check.to_string());
    let networks = Networks {
        known: networks::known(settings, store)?,
        active: LAST_GOOD,
        connected: None,
        password: !variables.get(name::PASSWORD).is_empty() || settings.has_password(),
        hexadecimal: settings.encoding() == Encoding::Hex,
        certificates: folder.summary(),
    };
    let (events, event_number) = store.events()?;
    Ok(Uplink::new(Known {
        version,
        progress,
        variables,
        tokens: store.tokens()?,
        profiles: store.profiles()?,
        files: store.files()?,
        display: store.display()?,
        monitors: store.monitors()?,
        events,
        event_number,
        // Checked when the configuration was read.
        supply: settings.amperes.supply().unwrap_or_default(),
        networks,
        journal: store.journal()?,
        boot_reason: store.kept("boot_reason")?.unwrap_or_else(|| "PowerUp".to_owned()),
        prefix: random(8),
        transactions_prefix,
    }))
}

/// What concerns security and happened while this daemon did not run.
async fn since_last_start(
    store: &Store,
    station: &Station,
    firmware: &str,
) -> anyhow::Result<Vec<(SecurityEvent, String)>> {
    let mut events = Vec::new();
    let mut differs = |key: &str, value: &str, event| -> anyhow::Result<()> {
        let last = store.kept(key)?;
        if last.as_deref() != Some(value) {
            store.keep(key, value)?;
            // A store that is new knows of no version before.
            if event != SecurityEvent::FirmwareUpdated || last.is_some() {
                events.push((event, format!("{}{value}", last.map_or(String::new(), |last| last + " to "))));
            }
        }
        Ok(())
    };
    let boot = differs("boot", station.boot(), SecurityEvent::StartupOfTheDevice);
    boot.and_then(|()| differs("firmware", firmware, SecurityEvent::FirmwareUpdated))?;
    for (event, info) in &mut events {
        if *event == SecurityEvent::StartupOfTheDevice {
            *info = format!("voltry {}", env!("CARGO_PKG_VERSION"));
        }
    }
    // The store is where the log is; the book remembers that there was one.
    if store.progress()?.is_none() && station.acknowledged().await.is_some_and(|number| number > 0) {
        let info = "the uplink's store is new, although the CSMS has a part of the book".to_owned();
        events.push((SecurityEvent::SecurityLogWasCleared, info));
    }
    Ok(events)
}

/// The ways to the CSMS as the connection goes them, and which is good. Where the CSMS left none that
/// can be gone, those that are configured.
fn profiles(
    settings: &Settings,
    ways: &Ways,
    folder: &Folder,
) -> anyhow::Result<(Vec<Profile>, Option<Profile>)> {
    let (profiles, good) = ways.profiles(settings, folder);
    if profiles.is_empty() {
        warn!("what the CSMS set leads nowhere; as it is configured, then");
        let configured = settings.profiles().map_err(|_| anyhow::anyhow!("the profiles were checked"))?;
        return Ok((configured, good));
    }
    Ok((profiles, good))
}

/// Publishes where the connection stands, in a task of its own.
async fn show_standing(
    connection: zbus::Connection,
    mut shown: watch::Receiver<Standing>,
) -> anyhow::Result<()> {
    while shown.changed().await.is_ok() {
        let standing = shown.borrow_and_update().clone();
        csms::show(&connection, standing).await?;
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

    async fn hear(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Opened { connection, slot, version, address, .. } => {
                self.stand(|standing| {
                    standing.state = CsmsState::Booting;
                    standing.protocol = version.subprotocol().to_owned();
                    standing.last_error.clear();
                });
                let network = self.ways.of(slot).map(|way| way.network.clone());
                let url = network.as_ref().map(|network| network.url.clone());
                self.stand(|standing| standing.url = url.unwrap_or_else(|| address.to_string()));
                if version != self.version {
                    self.version = version;
                    let (store, settings) = (&self.store, &self.settings);
                    self.uplink =
                        uplink(store, settings, version, &self.firmware, &self.station, &self.folder).await?;
                    let station = self.station.clone();
                    self.tasks.spawn(async move { station.look_again().await });
                    self.anew.notify_one();
                }
                self.endpoint = Some((connection, Endpoint::new(version.dialect())));
                self.proven = false;
                self.slot = slot;
                if let Some(network) = network {
                    self.step(Input::Network(slot, network)).await?;
                }
                self.step(Input::Connected).await?;
            }
            Event::Closed { why } => {
                self.endpoint = None;
                self.stand(|standing| {
                    standing.state = CsmsState::Disconnected;
                    standing.last_error = why;
                });
                self.step(Input::Disconnected).await?;
            }
            Event::Failed { slot, why, event } => {
                if let Some(event) = event {
                    self.step(Input::Security(event, format!("profile {slot}: {why}"))).await?;
                }
                self.stand(|standing| {
                    standing.state = CsmsState::Disconnected;
                    standing.last_error = why;
                });
            }
            Event::Text(text) => self.receive(&text).await?,
        }
        Ok(())
    }

    async fn receive(&mut self, text: &str) -> anyhow::Result<()> {
        let Some((connection, endpoint)) = &mut self.endpoint else { return Ok(()) };
        let connection = *connection;
        debug!(text, "from the CSMS");
        self.said.note(instant().unix, true, text);
        let again = endpoint.counts().repeated;
        let received = endpoint.received(now(), text);
        let replayed = endpoint.counts().repeated > again;
        match received {
            Received::Call(call) => {
                let (id, action) = (call.id.to_string(), call.action.into_owned());
                let payload = call.payload.to_owned();
                self.step(Input::Called { id, action, payload }).await
            }
            Received::Answer { id, outcome, .. } => {
                let answer = match outcome {
                    Ok(payload) => Ok(payload.to_owned()),
                    Err(error) => Err((error.written.into_owned(), error.description.into_owned())),
                };
                self.step(Input::Answered { id: id.to_string(), answer }).await
            }
            Received::Refused { answer, why } => {
                if let Some(count) = self.strays.count(now()) {
                    warn!(why, count, "a message of the CSMS cannot be taken");
                }
                self.step(Input::Security(SecurityEvent::InvalidMessages, why.to_owned())).await?;
                match answer {
                    Some(text) => self.send(connection, text).await,
                    None => Ok(()),
                }
            }
            Received::Ignored(why) => {
                if let Some(count) = self.strays.count(now()) {
                    warn!(why, count, "the CSMS strays");
                }
                if replayed {
                    self.step(Input::Security(SecurityEvent::AttemptedReplayAttacks, why.to_owned())).await?;
                }
                Ok(())
            }
        }
    }

    async fn post(&mut self, letter: Letter) -> anyhow::Result<()> {
        self.next_question += 1;
        let ticket = self.next_question;
        let Letter { vendor, message, data, answer } = letter;
        self.letters.retain(|_, answer| !answer.is_closed());
        self.letters.insert(ticket, answer);
        self.step(Input::Letter { ticket, vendor, message, data }).await
    }

    async fn ask(&mut self, question: Question) -> anyhow::Result<()> {
        self.next_question += 1;
        let ticket = self.next_question;
        self.questions.retain(|_, answer| !answer.is_closed());
        self.questions.insert(ticket, question.answer);
        let token = Token { id: question.token, kind: ocpp_kind(question.kind) };
        self.step(Input::Authorize { ticket, token }).await
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

    #[allow(clippy::too_many_lines, reason = "a table of what each action is")]
    async fn perform(&mut self, action: Action) -> anyhow::Result<()> {
        match action {
            Action::Store(record) => {
                // Without its disk the uplink cannot keep its promise: it starts anew, and tries again.
                self.store.write(&record).context("what must last could not be stored")
            }
            Action::Call { id, action, payload } => {
                let timeout = Duration::from_secs(self.uplink.message_timeout_s());
                let Some((connection, endpoint)) = &mut self.endpoint else { return Ok(()) };
                let connection = *connection;
                let id = MessageId::try_from(id).context("ids of ours are short")?;
                debug!(action, payload, "to the CSMS");
                match endpoint.call(now(), &id, (action, &payload), timeout, ()) {
                    Ok(text) => self.send(connection, text).await,
                    Err(()) => anyhow::bail!("two calls at a time"),
                }
            }
            Action::Reply { id, answer } => {
                let Some((connection, endpoint)) = &mut self.endpoint else { return Ok(()) };
                let connection = *connection;
                let Ok(id) = MessageId::try_from(id) else { return Ok(()) };
                let text = match answer {
                    Ok(payload) => endpoint.answer(&id, &payload.to_string()),
                    Err(refusal) => endpoint.refuse(&id, refusal.code, &refusal.text),
                };
                match text {
                    Some(text) => {
                        debug!(text, "to the CSMS");
                        self.send(connection, text).await
                    }
                    None => Ok(()),
                }
            }
            Action::Command { ticket, command: Command::CheckUpdate { certificate, at } } => {
                let (place, installer) = (self.place.clone(), self.installer.clone());
                let inputs = self.inputs.clone();
                self.tasks.spawn(async move {
                    let outcome = transfer::check_update(place, installer, certificate, at).await;
                    // The daemon is ending if nobody listens.
                    let _ = inputs.send(Input::Done { ticket, outcome }).await;
                });
                Ok(())
            }
            Action::Command { ticket, command: Command::HandOn { vendor, message, data } } => {
                let (connection, makers) = (self.bus.clone(), self.settings.data_transfer.clone());
                let inputs = self.inputs.clone();
                self.tasks.spawn(async move {
                    let (status, answer) =
                        data_transfer::hand_on(connection, makers, (vendor, message, data)).await;
                    let outcome = Outcome::Transferred(status, answer);
                    let _ = inputs.send(Input::Done { ticket, outcome }).await;
                });
                Ok(())
            }
            Action::Command { ticket, command } => {
                let station = self.station.clone();
                self.tasks.spawn(station.command(ticket, command));
                Ok(())
            }
            Action::Authorized { ticket, answer } => {
                if let Some(asker) = self.questions.remove(&ticket) {
                    // The station may not have waited.
                    let _ = asker.send(answer);
                }
                Ok(())
            }
            Action::ReadBook(after) => {
                self.tasks.spawn(self.station.clone().read(after));
                Ok(())
            }
            Action::Acknowledge(number) => {
                self.acknowledged.send_replace(number);
                Ok(())
            }
            Action::Reconnect(why) => {
                info!(why, "connecting anew");
                self.order(connection::Command::Restart).await
            }
            Action::Networks(why) => {
                info!(why, "connecting anew");
                self.take(Ways::new(&self.settings, &self.store, &self.folder)?).await?;
                self.order(connection::Command::Restart).await
            }
            Action::LetterAnswered { ticket, answer } => {
                if let Some(asker) = self.letters.remove(&ticket) {
                    // The maker's daemon may not have waited.
                    let _ = asker.send(answer);
                }
                Ok(())
            }
            Action::Show(shown) => {
                self.show.send_replace(shown);
                Ok(())
            }
            Action::Files(order) => {
                self.carry(order);
                Ok(())
            }
            Action::ContractAnswer { ticket, message } => {
                self.tasks.spawn(self.links.clone().answer(ticket, message));
                Ok(())
            }
            Action::Certificates { ticket, request } => {
                let (links, folder, inputs) = (self.links.clone(), self.folder.clone(), self.inputs.clone());
                let now = instant();
                let time = now.set.then_some(now.unix / 1_000_000);
                self.tasks.spawn(async move {
                    let (outcome, summary) = links.certify(folder, request, time).await;
                    // The daemon is ending if nobody listens.
                    let _ = inputs.send(Input::Certified { ticket, outcome, summary }).await;
                });
                Ok(())
            }
            Action::Times => self.order(connection::Command::Times(self.times())).await,
            Action::StartAnew => {
                self.reset = true;
                Ok(())
            }
        }
    }

    /// Has a file carried, instead of whatever of its kind is carried now.
    fn carry(&mut self, order: Order) {
        let (place, inputs) = (self.place.clone(), self.inputs.clone());
        match order {
            Order::Upload { attempt, upload } => {
                let (snapshot, station) = (self.snapshot(&upload), self.station.clone());
                self.uploading.abort_all();
                self.uploading.spawn(async move {
                    let result = transfer::upload(place, upload, snapshot, Some(station)).await;
                    // The daemon is ending if nobody listens.
                    let _ = inputs.send(Input::Files(News::Uploaded { attempt, result })).await;
                });
            }
            Order::Download { .. }
            | Order::Verify { .. }
            | Order::Install { .. }
            | Order::AskVersion { .. }
            | Order::Restart => {
                let installer = self.installer.clone();
                self.updating.abort_all();
                self.updating.spawn(async move {
                    if let Some((number, progress)) = transfer::update(place, installer, order).await {
                        let _ = inputs.send(Input::Files(News::Firmware { number, progress })).await;
                    }
                });
            }
        }
    }

    fn snapshot(&self, upload: &Upload) -> Snapshot {
        let span = upload.oldest.unwrap_or(i64::MIN)..=upload.latest.unwrap_or(i64::MAX);
        let security = match upload.log {
            Log::Security => self.store.security_log(span).unwrap_or_else(|error| {
                warn!(%error, "the security log cannot be read");
                Vec::new()
            }),
            Log::Diagnostics => Vec::new(),
        };
        Snapshot {
            now: instant().unix,
            identity: self.settings.identity.clone(),
            variables: self.uplink.shown_variables(instant()),
            configuration: self.settings.shown.clone(),
            said: self.said.lines(),
            security: security.iter().map(Entry::line).collect(),
        }
    }

    /// Takes other ways to the CSMS; an open connection stays.
    async fn take(&mut self, ways: Ways) -> anyhow::Result<()> {
        self.ways = ways;
        let (profiles, good) = profiles(&self.settings, &self.ways, &self.folder)?;
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
