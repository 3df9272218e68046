//! The daemon's one task: sockets, time and pushes go in, answers and signals come out.
//!
//! ```text
//! no interface ─▶ bound ─▶ (attached, matched) answering discovery ─▶ connected ─▶ listening again
//! ```
//! The vehicle's answer is written before anything is told to evse, both in the same wake-up.
//! Nothing here waits for the vehicle to read: an answer that does not fit into the socket's
//! buffer ends the connection.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use voltry_bus::{LinkOutcome, LinkPhase};
use voltry_service::clock::now;
use voltry_service::{Daemon, Device, FaultLog, Identity, RateLimit, Watchdog};
use voltry_units::Timestamp;

use crate::bus::{self, Publisher};
use crate::config::{Settings, Timing};
use crate::decide;
use crate::net::{LinkLocal, Ports, Throttle};
use crate::pushed::Pushed;
use crate::session::{Event, Session};
use crate::slac::shell::Powerline;
use crate::slac::{self, wire};
use crate::tls::{self, Acceptor, Mode};
use crate::transport::{Arrival, Transport};
use crate::v2g::{self, Contracts, sdp};
use crate::v2g_log::V2gLog;

/// How often the interface is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Discovery answers a second; a vehicle asks four times.
const DISCOVERY_RATE: u32 = 20;
/// Connections a second.
const CONNECTION_RATE: u32 = 5;
/// The fault while there is nothing to listen on.
const NO_LINK: &str = "NoVehicleLink";
/// The fault while the modem does not answer.
const MODEM_SILENT: &str = "ModemSilent";
/// The fault from a vehicle that could not be matched until the next one whose link is up.
const UNMATCHED: &str = "VehicleUnmatched";
/// The fault while TLS is configured and there can be none.
const NO_CERTIFICATE: &str = "StationCertificateUnusable";

/// Serves the vehicle's communication until the daemon has to end.
///
/// # Errors
/// The bus is lost.
pub async fn run(settings: Settings, daemon: Daemon) -> anyhow::Result<()> {
    let path = voltry_bus::names::path("ev_link", daemon.instance());
    let device = Device::serve(daemon.connection(), &path, modem(&settings, None)).await?;
    let (publisher, pushed) = bus::serve(daemon.connection(), &path).await?;
    let log = V2gLog::serve(daemon.connection(), &path).await?;
    // None of systemd's making: kept in memory alone.
    if let Some(state) = std::env::var_os("STATE_DIRECTORY") {
        let folder = PathBuf::from(state).join("v2g").join(daemon.instance());
        if let Err(error) = log.keep_in(&folder) {
            tracing::warn!(%error, folder = %folder.display(), "conversations are not kept on disk");
        }
    }
    let number = daemon.instance().parse().context("the instance is an EVSE's number")?;
    let mut link = Link::new(settings, device, publisher, pushed, log);
    link.load_certificates(now());
    link.look(now());
    daemon.claim(&voltry_bus::names::secc(number)).await?;
    daemon.ready();
    tokio::select! {
        served = link.serve() => served?,
        _ = daemon.stop() => {}
    }
    link.disconnect("the station's software stopped").await
}

/// One vehicle's connection.
#[derive(Debug)]
struct Conversation {
    transport: Transport,
    session: Session,
}

/// The modem as a device, once it has said its address.
fn modem(settings: &Settings, address: Option<wire::Mac>) -> Identity {
    let Some(matching) = &settings.slac else { return Identity::default() };
    let (vendor, model) = matching.modem.maker_and_model();
    Identity {
        vendor: vendor.to_owned(),
        model: model.to_owned(),
        serial: address.map(|address| wire::spelled(address).to_string()).unwrap_or_default(),
        ..Identity::default()
    }
}

impl Conversation {
    fn deadline(&self) -> Option<Timestamp> {
        self.transport.deadline().into_iter().chain(self.session.deadline()).min()
    }

    fn timeout(&mut self, now: Timestamp, pushed: &Pushed, timing: &Timing) {
        if self.transport.deadline().is_some_and(|until| now >= until) {
            let seconds = timing.tls_handshake.as_secs_f64();
            self.session.refused(now, format!("the TLS handshake was not done within {seconds} s"));
        } else {
            self.session.timeout(now, pushed);
        }
    }
}

/// What woke the task.
#[derive(Debug)]
enum Wake {
    Look,
    Powerline(io::Result<()>),
    Datagram(usize, SocketAddr),
    Connection(TcpStream),
    Arrival(Arrival),
    Pushed,
    Deadline,
    /// An error of a listening socket, as from a datagram that could not be delivered.
    Trouble(&'static str, io::Error),
}

/// The link to the vehicles of one EVSE.
#[derive(Debug)]
pub struct Link {
    settings: Settings,
    device: Device,
    faults: FaultLog,
    publisher: Publisher,
    log: V2gLog,
    /// The phase of the conversation before it stops; none before its session.
    phase: Option<LinkPhase>,
    /// EVErrorCode of the conversation's vehicle; empty for none.
    error: &'static str,
    cell: Arc<watch::Sender<Pushed>>,
    pushed: watch::Receiver<Pushed>,
    attached: Option<u64>,
    powerline: Option<Powerline>,
    acceptor: Option<Acceptor>,
    /// `None`: no Plug & Charge.
    contracts: Option<Arc<Contracts>>,
    ports: Option<Ports>,
    conversation: Option<Conversation>,
    counter: u64,
    paused: Option<[u8; 8]>,
    looks: Interval,
    discoveries: Throttle,
    connections: Throttle,
    complaints: HashMap<&'static str, RateLimit>,
    watchdog: Watchdog,
    buffer: Box<[u8; 2048]>,
}

impl Link {
    /// Nothing bound, nobody attached.
    #[must_use]
    pub fn new(
        settings: Settings,
        device: Device,
        publisher: Publisher,
        cell: Arc<watch::Sender<Pushed>>,
        log: V2gLog,
    ) -> Self {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            settings,
            device,
            faults: FaultLog::new(),
            publisher,
            log,
            phase: None,
            error: "",
            pushed: cell.subscribe(),
            cell,
            attached: None,
            powerline: None,
            acceptor: None,
            contracts: None,
            ports: None,
            conversation: None,
            // Rises across restarts of this daemon too, so that no old push fits a new phase.
            counter: now().as_micros(),
            paused: None,
            looks,
            discoveries: Throttle::new(DISCOVERY_RATE),
            connections: Throttle::new(CONNECTION_RATE),
            complaints: HashMap::new(),
            watchdog: Watchdog::from_environment(),
            buffer: Box::new([0; 2048]),
        }
    }

    /// Serves for ever.
    ///
    /// # Errors
    /// The bus is lost.
    pub async fn serve(&mut self) -> anyhow::Result<()> {
        loop {
            let wake = self.wake().await;
            let now = now();
            self.watchdog.beat(now);
            self.handle(now, wake).await?;
        }
    }

    /// Waits for whatever comes first. Each branch can be dropped without loss.
    async fn wake(&mut self) -> Wake {
        let ports = self.ports.as_ref();
        let powerline = self.powerline.as_mut();
        let deadline = self.conversation.as_ref().and_then(Conversation::deadline);
        let deadline = deadline.map(|at| Instant::now() + at.since(now()));
        let (stream_buffer, datagram_buffer) = self.buffer.split_at_mut(1984);
        tokio::select! {
            _ = self.looks.tick() => Wake::Look,
            turned = async { match powerline {
                Some(powerline) => powerline.turn().await,
                None => std::future::pending().await,
            } } => Wake::Powerline(turned),
            changed = self.pushed.changed() => match changed {
                Ok(()) => Wake::Pushed,
                // The cell lives as long as this link.
                Err(_) => std::future::pending().await,
            },
            arrival = async { match &mut self.conversation {
                Some(conversation) => conversation.transport.next(stream_buffer).await,
                None => std::future::pending().await,
            } } => Wake::Arrival(arrival),
            () = async { match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            } } => Wake::Deadline,
            received = async { match ports {
                Some(ports) => ports.discovery.recv_from(datagram_buffer).await,
                None => std::future::pending().await,
            } } => match received {
                Ok((length, from)) => Wake::Datagram(length, from),
                Err(error) => Wake::Trouble("discovery socket", error),
            },
            accepted = async { match ports {
                Some(ports) => ports.listener.accept().await,
                None => std::future::pending().await,
            } } => match accepted {
                Ok((stream, _)) => Wake::Connection(stream),
                Err(error) => Wake::Trouble("listening socket", error),
            },
        }
    }

    async fn handle(&mut self, now: Timestamp, wake: Wake) -> anyhow::Result<()> {
        match wake {
            Wake::Look => {
                self.look(now);
                return self.matching(now).await;
            }
            Wake::Powerline(Ok(())) => return self.matching(now).await,
            Wake::Powerline(Err(error)) => self.powerline_broke(now, &error),
            // What a vehicle sends may be the proof that its link is up.
            Wake::Datagram(length, from) => {
                self.discovered(now, length, from);
                return self.matching(now).await;
            }
            Wake::Connection(stream) => {
                self.connected(now, stream).await?;
                return self.matching(now).await;
            }
            Wake::Trouble(what, error) => {
                self.complain(now, what, &error.to_string());
                // A broken listener would wake us without end; the next look binds anew.
                self.ports = None;
            }
            Wake::Pushed => return self.pushed(now).await,
            Wake::Arrival(arrival) => {
                self.arrived(now, arrival);
                return self.flush(now).await;
            }
            Wake::Deadline => {
                if let Some(conversation) = &mut self.conversation {
                    conversation.timeout(now, &self.pushed.borrow(), &self.settings.timing);
                }
                return self.flush(now).await;
            }
        }
        Ok(())
    }

    fn arrived(&mut self, now: Timestamp, arrival: Arrival) {
        let Some(Conversation { session, .. }) = &mut self.conversation else { return };
        match arrival {
            Arrival::Bytes(length) => session.receive(now, &self.buffer[..length], &self.pushed.borrow()),
            Arrival::Secured(secured) => {
                let version = if secured.tls13 { "1.3" } else { "1.2" };
                tracing::info!(version, suite = secured.suite, vehicle = secured.vehicle, "TLS");
                // -20 is for TLS 1.3 with a vehicle that showed who it is.
                let iso20 = secured.tls13 && secured.vehicle.is_some() && self.settings.protocols.is_none();
                session.secured(now, iso20, self.contracts.clone());
            }
            Arrival::Refused(why) => session.refused(now, why),
            Arrival::Gone(why) => session.disconnected(now, why),
        }
    }

    /// Reads the station's certificates, now and for each vehicle that is plugged in: renewed ones
    /// are used from then on. Those that cannot be read leave the ones in use.
    pub fn load_certificates(&mut self, now: Timestamp) {
        if self.settings.tls.mode == Mode::Off {
            return;
        }
        let mut unusable = None;
        for finding in tls::check(&self.settings.tls) {
            let kind = if finding.warning { "a certificate expires soon" } else { "unusable certificate" };
            self.complain(now, kind, &finding.problem);
            if !finding.warning {
                unusable.get_or_insert(finding.problem);
            }
        }
        match Acceptor::load(&self.settings.tls) {
            Ok(acceptor) => self.acceptor = Some(acceptor),
            Err(problem) => {
                unusable.get_or_insert(problem);
            }
        }
        if !self.settings.tls.contract_roots.is_empty() {
            match Contracts::load(&self.settings.tls.contract_roots) {
                Ok(contracts) => self.contracts = Some(Arc::new(contracts)),
                Err(problem) => {
                    unusable.get_or_insert(problem);
                }
            }
        }
        match unusable {
            Some(problem) => self.faults.raise(NO_CERTIFICATE, problem, now),
            None => self.faults.remove(NO_CERTIFICATE),
        };
        self.device.set_faults(&self.faults);
    }

    /// What vehicles are told of TLS: as configured, as far as there are certificates.
    const fn tls(&self) -> Mode {
        match (self.settings.tls.mode, &self.acceptor) {
            (Mode::Allowed, None) => Mode::Off,
            (mode, _) => mode,
        }
    }

    /// Opens the sockets once the interface is there and has an address, and again when that
    /// changes.
    pub fn look(&mut self, now: Timestamp) {
        match self.open(now) {
            Ok(()) => {
                self.faults.remove(NO_LINK);
                self.device.set_faults(&self.faults);
                self.device.set_online(!self.faults.contains(MODEM_SILENT));
            }
            Err(cause) => self.lose_link(now, &cause),
        }
    }

    fn open(&mut self, now: Timestamp) -> Result<(), String> {
        let interface = &self.settings.interface;
        if let Some(matching) = self.settings.slac.clone().filter(|_| self.powerline.is_none()) {
            let mut powerline = Powerline::open(interface, matching)
                .and_then(|mut powerline| {
                    self.attached.map_or(Ok(()), |_| powerline.attach(now)).map(|()| powerline)
                })
                .map_err(|error| format!("matching on {interface}: {error}"))?;
            powerline.set_engaged(self.conversation.is_some());
            self.powerline = Some(powerline);
        }
        let bound = self.ports.as_ref().map(|ports| ports.link);
        let link = LinkLocal::of(interface, bound);
        if bound != link {
            self.ports = None;
        }
        let link = link.ok_or_else(|| format!("interface {interface} has no link-local address"))?;
        if self.ports.is_none() {
            let ports = Ports::open(interface, link, self.settings.port)
                .map_err(|error| format!("binding to {interface}: {error}"))?;
            tracing::info!(interface, address = %ports.address, "listening for vehicles");
            self.ports = Some(ports);
        }
        Ok(())
    }

    /// The next look opens it anew.
    fn powerline_broke(&mut self, now: Timestamp, error: &io::Error) {
        self.powerline = None;
        let cause = format!("matching on {}: {error}", self.settings.interface);
        self.lose_link(now, &cause);
    }

    /// Heeds what the matching came to.
    async fn matching(&mut self, now: Timestamp) -> anyhow::Result<()> {
        while let Some(event) = self.powerline.as_mut().and_then(Powerline::poll_event) {
            match event {
                slac::Event::Pilot(output) => self.publisher.request_pilot(output).await?,
                slac::Event::LinkLost(_) => self.disconnect("the powerline link was lost").await?,
                slac::Event::LinkUp(..) => self.mended(UNMATCHED),
                slac::Event::ModemReady(address) => {
                    self.device.set_identity(modem(&self.settings, Some(address)));
                    self.mended(MODEM_SILENT);
                }
                slac::Event::ModemSilent => {
                    let cause = format!("the modem at {} does not answer", self.settings.interface);
                    self.broken(now, MODEM_SILENT, &cause);
                }
                slac::Event::Unmatched(cause, None) => self.broken(now, UNMATCHED, &cause.to_string()),
                slac::Event::Unmatched(_, Some(_))
                | slac::Event::LinkNotTold
                | slac::Event::Measured { .. }
                | slac::Event::NotMeasured(_)
                | slac::Event::Farther { .. }
                | slac::Event::Busy(_)
                | slac::Event::Matched { .. } => {}
            }
        }
        match self.powerline.as_ref().map(Powerline::shown) {
            Some(shown) => self.publisher.show_powerline(shown).await,
            None => Ok(()),
        }
    }

    fn broken(&mut self, now: Timestamp, code: &'static str, cause: &str) {
        self.faults.remove(code);
        self.faults.raise(code, cause, now);
        self.device.set_faults(&self.faults);
        self.device.set_online(!self.faults.contains(MODEM_SILENT));
        self.complain(now, code, cause);
    }

    fn mended(&mut self, code: &'static str) {
        if self.faults.remove(code) {
            self.device.set_faults(&self.faults);
            self.device.set_online(!self.faults.contains(MODEM_SILENT) && !self.faults.contains(NO_LINK));
        }
    }

    fn lose_link(&mut self, now: Timestamp, cause: &str) {
        if self.faults.raise(NO_LINK, cause, now) {
            self.device.set_faults(&self.faults);
            self.device.set_online(false);
        }
        self.complain(now, "no link to vehicles", cause);
    }

    /// Answers a discovery request, if a vehicle is attached and this one is on its link.
    fn discovered(&mut self, now: Timestamp, length: usize, from: SocketAddr) {
        let Some(ports) = &self.ports else { return };
        let SocketAddr::V6(vehicle) = from else { return };
        let on_link = vehicle.scope_id() == ports.link.index || vehicle.ip().is_loopback();
        let refusal = if self.attached.is_none() {
            Some("no vehicle is attached")
        } else if !on_link {
            Some("it came from another link")
        } else if self.powerline.as_mut().is_some_and(|powerline| !powerline.heard_data(now)) {
            Some("no vehicle is matched")
        } else {
            (!self.discoveries.pass(now)).then_some("there are too many")
        };
        if let Some(refusal) = refusal {
            return self.complain(now, "discovery refused", refusal);
        }
        // A longer datagram than any request was cut to the buffer, and is refused.
        let datagram = &self.buffer[1984..1984 + length];
        match sdp::answer(datagram, ports.address, self.tls()) {
            Ok(answer) => {
                tracing::debug!(%from, "discovery answered");
                if let Err(error) = ports.discovery.try_send_to(&answer, from) {
                    self.complain(now, "discovery", &error.to_string());
                }
            }
            Err(error) => self.complain(now, "discovery refused", &error),
        }
    }

    /// Takes a vehicle's connection, if none lives.
    async fn connected(&mut self, now: Timestamp, stream: TcpStream) -> anyhow::Result<()> {
        let busy = self.conversation.as_ref().is_some_and(|one| !one.session.is_replaceable(now));
        let refusal = if self.attached.is_none() {
            Some("no vehicle is attached")
        } else if busy {
            Some("another one is alive")
        } else if self.powerline.as_mut().is_some_and(|powerline| !powerline.heard_data(now)) {
            Some("no vehicle is matched")
        } else {
            (!self.connections.pass(now)).then_some("there are too many")
        };
        if let Some(refusal) = refusal {
            self.complain(now, "connection refused", refusal);
            return Ok(());
        }
        // Answers are small and awaited: none may wait for the vehicle's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            self.complain(now, "connection refused", &error.to_string());
            return Ok(());
        }
        self.disconnect("the vehicle connected anew").await?;
        let id = session_id().context("drawing a session id")?;
        let identity = v2g::Identity {
            evse_id: self.settings.evse_id.clone(),
            peak_current_ripple: self.settings.peak_current_ripple,
            protocols: self.settings.unconditional_protocols(),
            control_modes: self.settings.control_modes.clone(),
            services: self.settings.services.clone(),
        };
        // What was meant for a conversation that is over is not meant for this one.
        self.cell.send_modify(Pushed::session_over);
        tracing::info!("vehicle connected");
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.log.begin(now, i64::try_from(unix.as_micros()).unwrap_or(i64::MAX));
        self.phase = None;
        self.error = "";
        let timing = self.settings.timing.clone();
        let session = Session::open(now, unix.as_secs(), identity, timing, id, self.paused, self.counter);
        let handshake_until = now + self.settings.timing.tls_handshake;
        let required = self.tls() == Mode::Required;
        let transport = Transport::new(stream, self.acceptor.clone(), required, handshake_until);
        self.conversation = Some(Conversation { transport, session });
        self.engage(true);
        Ok(())
    }

    /// evse pushed something: perhaps the answer to the open request.
    async fn pushed(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let attached = self.pushed.borrow_and_update().attached;
        if attached != self.attached {
            self.disconnect("evse detached the vehicle").await?;
            self.paused = None;
            let before = std::mem::replace(&mut self.attached, attached);
            if attached.is_some() {
                self.load_certificates(now);
            }
            self.at_rest(now).await?;
            if let Some(powerline) = &mut self.powerline {
                // Also between two vehicles: each has a key of its own.
                let detached = before.map_or(Ok(()), |_| powerline.detach(now));
                if let Err(error) = detached.and_then(|()| attached.map_or(Ok(()), |_| powerline.attach(now)))
                {
                    self.powerline_broke(now, &error);
                }
            }
            return self.matching(now).await;
        }
        if let Some(conversation) = &mut self.conversation {
            conversation.session.update(now, &self.pushed.borrow());
        }
        self.flush(now).await
    }

    async fn disconnect(&mut self, why: &'static str) -> anyhow::Result<()> {
        let now = now();
        if let Some(conversation) = &mut self.conversation {
            conversation.session.disconnected(now, why);
        }
        self.flush(now).await
    }

    /// Writes what the session wants written, then tells what it wants told.
    async fn flush(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let Some(conversation) = &mut self.conversation else { return Ok(()) };
        let bytes = conversation.session.take_transmit();
        if !bytes.is_empty() && conversation.transport.write_now(&bytes).is_err() {
            conversation.session.disconnected(now, "the vehicle does not read its answers");
        }
        let said = conversation.session.take_said();
        self.log.note(now, said).await.context("telling who follows")?;
        while let Some(event) = self.conversation.as_mut().and_then(|talk| talk.session.poll_event()) {
            self.tell(now, event).await?;
        }
        if let Some(mut conversation) = self.conversation.take_if(|one| one.session.is_closed()) {
            conversation.transport.close();
            self.log.closed();
            self.engage(false);
        }
        Ok(())
    }

    async fn tell(&mut self, now: Timestamp, event: Event) -> anyhow::Result<()> {
        let Some(conversation) = &self.conversation else { return Ok(()) };
        match &event {
            Event::Phase { phase, .. } => {
                // Where it came from tells more than that it stops.
                self.phase = Some(*phase).filter(|phase| *phase != LinkPhase::Stopping).or(self.phase);
                tracing::info!(%phase, "entered");
            }
            Event::Protocol(title) => {
                self.log.agreed(title);
                tracing::info!(protocol = title, "agreed");
            }
            // Without AutoCharge it is nobody's business.
            Event::VehicleId(_) if !self.settings.autocharge => return Ok(()),
            Event::VehicleId(_) => tracing::info!("the vehicle names itself"),
            Event::Contract(_) => tracing::info!("the vehicle holds a contract that we believe"),
            Event::CertificateRequest { update, .. } => {
                tracing::info!(update, "the vehicle asks for a contract certificate");
            }
            Event::Status(status) => self.error = status.error,
            Event::Target(_) | Event::Limits(_) | Event::Needs(_) => {}
            Event::Ended(outcome, cause) => {
                self.counter = conversation.session.counter();
                self.paused =
                    (*outcome == LinkOutcome::Paused).then(|| conversation.session.id()).or(self.paused);
                match cause {
                    None => {
                        let asked = self.pushed.borrow().stop.clone();
                        let paused = *outcome == LinkOutcome::Paused;
                        self.log.ended(decide::goodbye(paused, self.phase, self.error, asked.as_deref()));
                        tracing::info!(%outcome, "conversation ended");
                    }
                    Some(cause) => {
                        let (kind, sentence) = (cause.kind(), cause.sentence(self.phase));
                        self.complain(now, kind, &sentence);
                        self.log.ended(sentence);
                    }
                }
                self.publisher.publish(now, event).await?;
                self.cell.send_modify(Pushed::session_over);
                return self.at_rest(now).await;
            }
        }
        self.publisher.publish(now, event).await
    }

    /// No conversation runs: listening, or detached.
    async fn at_rest(&mut self, now: Timestamp) -> anyhow::Result<()> {
        self.counter += 1;
        let phase = if self.attached.is_some() { LinkPhase::Listening } else { LinkPhase::Detached };
        tracing::info!(%phase, "entered");
        self.publisher.publish(now, Event::Phase { counter: self.counter, phase }).await?;
        self.publisher.forget_vehicle().await?;
        self.publisher.publish(now, Event::Contract("".into())).await?;
        self.publisher.publish(now, Event::Protocol("")).await
    }

    fn engage(&mut self, engaged: bool) {
        if let Some(powerline) = &mut self.powerline {
            powerline.set_engaged(engaged);
        }
    }

    /// Counts what went wrong, and logs each kind once a minute.
    fn complain(&mut self, now: Timestamp, kind: &'static str, cause: &str) {
        if let Some(count) = self.complaints.entry(kind).or_default().count(now) {
            tracing::warn!(count, cause, "{kind}");
        }
    }
}

/// Eight bytes that nobody can guess.
fn session_id() -> io::Result<[u8; 8]> {
    let mut id: [u8; 8] = crate::random()?;
    // [V2G2-750]: never zero.
    id[0] |= 1;
    Ok(id)
}
