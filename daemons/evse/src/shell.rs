//! The control loop: messages in, steps of the energy path, messages out. No answer is waited
//! for anywhere in it.

mod hearing;
mod telling;

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use voltry_bus::{CheckResult, Component, Error, Part, names};
use voltry_service::{Binding, Daemon, Device, Identity, RateLimit, Stop, Watchdog, clock};
use voltry_units::Timestamp;
use zbus::message::Flags;
use zbus::{Connection, Message, MessageStream};

use crate::commands::{self, Asked, Unanswered};
use crate::config::Settings;
use crate::energy_path::{Action, EnergyPath, Input, Refusal, Role};
use crate::evidence::Evidence;
use crate::evse1::{self, Order, Published};
use crate::readings::Sequences;
use crate::roles::{Roles, interface};
use crate::self_test;

/// The control step.
const TICK: Duration = Duration::from_millis(100);
/// What flows is told so often: station moves power that is not used within two seconds of it.
const LIVE_EVERY: Duration = Duration::from_millis(500);
/// The bus takes what is written within this time, or is as good as gone.
const BUS_STUCK: Duration = Duration::from_millis(200);
/// After SIGTERM everything is off within this time, or the leases' lapse does it.
const SAFE_WITHIN: Duration = Duration::from_secs(4);
/// Messages that may wait for one turn of the loop.
const MAX_WAITING: std::num::NonZeroUsize = std::num::NonZeroUsize::new(1024).expect("not zero");

/// Runs one EVSE until the daemon has to stop.
///
/// # Errors
/// If the bus refuses the objects or the name, or no longer takes what is written.
pub async fn run(settings: Settings, daemon: Daemon) -> anyhow::Result<()> {
    let served = daemon.connection();
    // Readings and commands have a connection of their own: whoever asks this daemon, however often, is not in
    // their way.
    let mut connection = daemon.connect_apart().await?;
    connection.set_max_queued(MAX_WAITING);
    let messages = MessageStream::from(&connection);
    let object = names::path("evse", &settings.number.to_string());
    let device = Device::serve(served, &object, identity()).await.context("serving Device1")?;
    device.set_online(true);
    device.set_component(Component::new("EVSE").of_evse(settings.number));
    device.set_parts(parts(&settings.roles));
    let (orders, publish) = evse1::serve(served, &object).await.context("serving Evse1")?;
    let checks = self_test::serve(served, &object).await.context("serving SelfTest1")?;
    let mut roles = Roles::watch(&connection, settings.roles).await?;
    let present = roles.first_look(&connection).await?;
    let made_for = &settings.installation;
    let mut shell = Shell {
        connection,
        number: settings.number,
        power_max: made_for.voltage_max.as_si() * made_for.current_max.as_si(),
        discharge: made_for.discharge,
        path: EnergyPath::new(settings.installation),
        roles,
        unanswered: Unanswered::default(),
        sequences: Sequences::default(),
        device,
        publish,
        published: Published::default(),
        live_told: Timestamp::BOOT,
        station_words: None,
        protocol: String::new(),
        evidence: Evidence::default(),
        vehicle_id: String::new(),
        contract: String::new(),
        bad_input: [const { RateLimit::new() }; Role::ALL.len()],
        refusals: RateLimit::new(),
        lines: RateLimit::allowing(LINES_A_MINUTE),
        checking: None,
        unlocking: None,
    };
    for input in present {
        shell.take(input).await?;
    }
    daemon.claim(&names::evse(settings.number)).await?;
    daemon.ready();
    shell.control(messages, orders, checks, &daemon).await
}

/// The objects that the EVSE is made of.
fn parts(roles: &[(Role, Binding)]) -> Vec<Part> {
    let part = |binding: &Binding| Part { name: binding.name.to_string(), path: binding.path.to_string() };
    let mut parts: Vec<Part> = roles.iter().map(|(_, binding)| part(binding)).collect();
    parts.sort();
    parts.dedup();
    parts
}

fn identity() -> Identity {
    Identity {
        vendor: "Voltry".to_owned(),
        model: "EVSE".to_owned(),
        serial: String::new(),
        firmware: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

struct Shell {
    connection: Connection,
    number: u32,
    /// Watts that contactors, cable and connector are made for.
    power_max: f64,
    /// Energy may be taken from a vehicle.
    discharge: bool,
    path: EnergyPath,
    roles: Roles,
    unanswered: Unanswered,
    sequences: Sequences,
    device: Device,
    publish: watch::Sender<Published>,
    published: Published,
    live_told: Timestamp,
    /// Why station asked for the stop, in its words.
    station_words: Option<String>,
    protocol: String,
    evidence: Evidence,
    vehicle_id: String,
    contract: String,
    /// By role, so that one that talks nonsense does not hide another.
    bad_input: [RateLimit; Role::ALL.len()],
    refusals: RateLimit,
    /// Lines of log about what is ordinary, however often peers make it happen.
    lines: RateLimit,
    /// Who waits for the result of a check.
    checking: Option<oneshot::Sender<CheckResult>>,
    /// Who waits for an open lock.
    unlocking: Option<oneshot::Sender<Result<(), Error>>>,
}

/// Those a minute: a whole session has some thirty.
const LINES_A_MINUTE: u32 = 120;

impl Shell {
    async fn control(
        &mut self,
        mut messages: MessageStream,
        mut orders: mpsc::Receiver<Order>,
        mut checks: mpsc::Receiver<self_test::Asked>,
        daemon: &Daemon,
    ) -> anyhow::Result<()> {
        let mut watchdog = Watchdog::from_environment();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ending: Option<Timestamp> = None;
        loop {
            let deadline = self.until_deadline();
            tokio::select! {
                stop = daemon.stop(), if ending.is_none() => match stop {
                    Stop::BusLost => return Ok(()),
                    Stop::Asked => {
                        ending = Some(clock::now() + SAFE_WITHIN);
                        self.take(Input::Terminate).await?;
                    }
                },
                message = messages.next() => match message {
                    Some(Ok(message)) => self.hear(&message).await?,
                    Some(Err(_)) | None => bail!("the bus tells nothing any more"),
                },
                order = orders.recv() => {
                    let order = order.expect("the served object keeps the other end");
                    self.obey(order).await?;
                }
                asked = checks.recv() => {
                    let (check, answer) = asked.expect("the served object keeps the other end");
                    self.checking = Some(answer);
                    self.take(Input::Check(check)).await?;
                }
                _ = tick.tick() => {
                    self.beat().await?;
                    watchdog.beat(clock::now());
                }
                () = tokio::time::sleep(deadline) => self.take(Input::Tick).await?,
            }
            let now = clock::now();
            if ending.is_some_and(|end| self.path.is_confirmed_safe(now) || now >= end) {
                return Ok(());
            }
        }
    }

    /// The next deadline of the energy path, if it is before the next tick.
    fn until_deadline(&self) -> Duration {
        let far = Duration::from_secs(3600);
        self.path.deadline().map_or(far, |(at, _)| at.since(clock::now()).max(Duration::from_millis(1)))
    }

    /// One tenth of a second.
    async fn beat(&mut self) -> anyhow::Result<()> {
        let now = clock::now();
        for asked in self.unanswered.expired(now) {
            if let Asked::Command(command) = asked {
                if let Some(count) = self.refusals.count(now) {
                    tracing::warn!(count, ?command, "command not answered within a second");
                }
                self.take(Input::Refused(command, Refusal::Unanswered)).await?;
            }
        }
        self.take(Input::Tick).await?;
        if now.since(self.live_told) >= LIVE_EVERY {
            self.tell_live(now);
            self.device.set_variables(self.variables());
            self.ask_supply(now).await?;
        }
        Ok(())
    }

    /// One step, and everything that it wants done.
    async fn take(&mut self, input: Input) -> anyhow::Result<()> {
        if let Input::Found(role) = input {
            self.sequences.forget(role);
            if let Some(count) = self.lines.count(clock::now()) {
                tracing::info!(role = role.words(), count, "found");
            }
        } else if let Input::Lost(role) = input {
            if role == Role::EvLink {
                self.vehicle_id.clear();
                self.contract.clear();
            }
            if let Some(count) = self.lines.count(clock::now()) {
                tracing::warn!(role = role.words(), count, "lost");
            }
        }
        let now = clock::now();
        let mut messages = Vec::new();
        let mut reports = Vec::new();
        for action in self.path.step(now, input) {
            match action {
                Action::Do(command) => {
                    let message = commands::message(command, self.roles.bindings())?;
                    self.unanswered.sent(&message, Asked::Command(*command), now);
                    messages.push(message);
                }
                Action::Report(report) => reports.push(*report),
            }
        }
        self.send(&messages).await?;
        for report in &reports {
            self.report(report);
        }
        if let Input::Found(Role::PowerSupply) = input {
            self.ask_supply(now).await?;
        }
        if let Input::Found(Role::EvLink) = input {
            self.ask(Role::EvLink, "Protocol", Asked::Protocol, now).await?;
            self.ask(Role::EvLink, "Contract", Asked::Contract, now).await?;
            self.ask(Role::EvLink, "VehicleId", Asked::VehicleId, now).await?;
        }
        if reports.is_empty() {
            self.tell_capability();
        } else {
            self.tell(now);
        }
        Ok(())
    }

    /// In order and without waiting for answers. A bus that does not take them leaves this
    /// process without hands: it ends, and the leases lapse.
    async fn send(&self, messages: &[Message]) -> anyhow::Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        match tokio::time::timeout(BUS_STUCK, self.connection.send_all(messages)).await {
            Ok(sent) => sent.context("writing to the bus"),
            Err(_) => bail!("the bus takes nothing any more"),
        }
    }

    /// What it can give, and where that is wanted what it can take.
    async fn ask_supply(&mut self, now: Timestamp) -> anyhow::Result<()> {
        self.ask(Role::PowerSupply, "Capability", Asked::Capability, now).await?;
        if self.discharge {
            self.ask(Role::PowerSupply, "Discharge", Asked::Discharge, now).await?;
        }
        Ok(())
    }

    async fn ask(&mut self, role: Role, property: &str, asked: Asked, now: Timestamp) -> anyhow::Result<()> {
        let Some(binding) = self.roles.binding(role).filter(|_| self.roles.is_present(role)) else {
            return Ok(());
        };
        let message = Message::method_call(&binding.path, "Get")
            .destination(&binding.name)
            .interface("org.freedesktop.DBus.Properties")
            .with_flags(Flags::NO_AUTO_START)
            .build(&(interface(role), property))?;
        self.unanswered.sent(&message, asked, now);
        self.send(&[message]).await
    }

    async fn obey(&mut self, order: Order) -> anyhow::Result<()> {
        match order {
            Order::Permit(permit) => self.take(Input::Permit(permit)).await,
            Order::Authorization { session, authorization } => {
                self.take(Input::Authorization { session, authorization }).await
            }
            Order::Stop(words) => {
                self.station_words = Some(words).filter(|words| !words.is_empty());
                self.take(Input::Stop).await
            }
            Order::ClearFaults(answer) => {
                self.take(Input::ClearFaults).await?;
                // Whoever asked may have left.
                let _ = answer.send(self.fault_log().to_wire());
                Ok(())
            }
            Order::Available(available) => self.take(Input::Available(available)).await,
            Order::Unlock(answer) => {
                if self.unlocking.as_ref().is_some_and(|waits| !waits.is_closed()) {
                    // Whoever asked may have left.
                    let _ = answer.send(Err(Error::Busy("somebody waits for it already".to_owned())));
                    return Ok(());
                }
                self.unlocking = Some(answer);
                self.take(Input::Unlock).await
            }
        }
    }
}
