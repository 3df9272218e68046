//! The control loop: messages in, steps of the energy path, messages out. No answer is waited
//! for anywhere in it.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use voltry_bus::{CheckResult, Component, DcCapability, DeviceVariable, Part, names};
use voltry_service::{Binding, Daemon, Device, FaultLog, Identity, RateLimit, Stop, Watchdog, clock};
use voltry_units::Timestamp;
use zbus::message::{Flags, Type};
use zbus::{Connection, Message, MessageStream, OwnedVariant};

use crate::commands::{self, Asked, Unanswered};
use crate::config::Settings;
use crate::energy_path::{Action, EnergyPath, Input, Refusal, Report, Role, StopReason};
use crate::evse1::{self, Order, Published};
use crate::readings::{self, Refused, Sequences};
use crate::roles::{Roles, changed_properties, interface};
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
        vehicle_id: String::new(),
        contract: String::new(),
        bad_input: [const { RateLimit::new() }; Role::ALL.len()],
        refusals: RateLimit::new(),
        lines: RateLimit::allowing(LINES_A_MINUTE),
        checking: None,
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
    vehicle_id: String,
    contract: String,
    /// By role, so that one that talks nonsense does not hide another.
    bad_input: [RateLimit; Role::ALL.len()],
    refusals: RateLimit,
    /// Lines of log about what is ordinary, however often peers make it happen.
    lines: RateLimit,
    /// Who waits for the result of a check.
    checking: Option<oneshot::Sender<CheckResult>>,
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
                    let (step, answer) = asked.expect("the served object keeps the other end");
                    self.checking = Some(answer);
                    self.take(Input::Check(step)).await?;
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
            self.ask(Role::PowerSupply, "Capability", Asked::Capability, now).await?;
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
            self.ask(Role::PowerSupply, "Capability", Asked::Capability, now).await?;
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

    async fn hear(&mut self, message: &Message) -> anyhow::Result<()> {
        match message.message_type() {
            Type::Signal => self.hear_signal(message).await,
            Type::MethodReturn | Type::Error => self.hear_answer(message).await,
            // Nobody calls this connection.
            Type::MethodCall => Ok(()),
        }
    }

    async fn hear_signal(&mut self, message: &Message) -> anyhow::Result<()> {
        let header = message.header();
        let Some(member) = header.member() else { return Ok(()) };
        let by_bus = header.sender().is_some_and(|sender| sender.as_str() == "org.freedesktop.DBus");
        if by_bus && member.as_str() == "NameOwnerChanged" {
            let (name, _, owner): (String, String, String) = message.body().deserialize()?;
            for input in self.roles.owner_changed(&name, &owner) {
                self.take(input).await?;
            }
            return Ok(());
        }
        let Some(role) = self.roles.sender_of(message) else { return Ok(()) };
        if member.as_str() == "PropertiesChanged" {
            let Some((_, changed)) = changed_properties(message) else { return Ok(()) };
            for (property, value) in changed {
                match (role, property.as_str()) {
                    (Role::PowerSupply, "Capability") => self.take_capability(value).await?,
                    (Role::EvLink, "Protocol") => self.take_protocol(value),
                    (Role::EvLink, "Contract") => self.take_contract(value),
                    (Role::EvLink, "VehicleId") => self.take_vehicle_id(value),
                    _ => {}
                }
            }
            return Ok(());
        }
        let now = clock::now();
        match readings::input(role, member.as_str(), message, &mut self.sequences, now) {
            Ok(Some(input)) => self.take(input).await,
            Ok(None) => Ok(()),
            Err(error) => {
                self.refuse(role, member.as_str(), &error);
                Ok(())
            }
        }
    }

    fn refuse(&mut self, role: Role, member: &str, error: &Refused) {
        if let Some(count) = self.bad_input[role as usize].count(clock::now()) {
            tracing::warn!(count, role = role.words(), member, %error, "input refused");
        }
    }

    async fn hear_answer(&mut self, message: &Message) -> anyhow::Result<()> {
        let header = message.header();
        let Some(asked) = header.reply_serial().and_then(|serial| self.unanswered.answered(serial)) else {
            return Ok(());
        };
        if message.message_type() == Type::Error {
            let name = header.error_name().map(ToString::to_string).unwrap_or_default();
            let text: String = message.body().deserialize().unwrap_or_default();
            if let Asked::Command(command) = asked {
                if let Some(count) = self.refusals.count(clock::now()) {
                    tracing::warn!(count, ?command, error = name, text, "command refused");
                }
                return self.take(Input::Refused(command, commands::refusal(&name))).await;
            }
            return Ok(());
        }
        match asked {
            Asked::Command(_) => Ok(()),
            Asked::Capability => match message.body().deserialize() {
                Ok(value) => self.take_capability(value).await,
                Err(error) => {
                    self.refuse(Role::PowerSupply, "Capability", &error.into());
                    Ok(())
                }
            },
            Asked::Protocol => {
                match message.body().deserialize() {
                    Ok(value) => self.take_protocol(value),
                    Err(error) => self.refuse(Role::EvLink, "Protocol", &error.into()),
                }
                Ok(())
            }
            Asked::VehicleId => {
                match message.body().deserialize() {
                    Ok(value) => self.take_vehicle_id(value),
                    Err(error) => self.refuse(Role::EvLink, "VehicleId", &error.into()),
                }
                Ok(())
            }
            Asked::Contract => {
                match message.body().deserialize() {
                    Ok(value) => self.take_contract(value),
                    Err(error) => self.refuse(Role::EvLink, "Contract", &error.into()),
                }
                Ok(())
            }
        }
    }

    async fn take_capability(&mut self, value: OwnedVariant) -> anyhow::Result<()> {
        match readings::capability(value) {
            Ok(capability) => self.take(Input::Capability(capability)).await,
            Err(error) => {
                self.refuse(Role::PowerSupply, "Capability", &error);
                Ok(())
            }
        }
    }

    fn take_protocol(&mut self, value: OwnedVariant) {
        match String::try_from(value) {
            Ok(protocol) => {
                self.protocol = protocol;
                self.tell(clock::now());
            }
            Err(error) => self.refuse(Role::EvLink, "Protocol", &error.into()),
        }
    }

    fn take_vehicle_id(&mut self, value: OwnedVariant) {
        match String::try_from(value) {
            Ok(vehicle_id) => {
                self.vehicle_id = vehicle_id;
                self.tell(clock::now());
            }
            Err(error) => self.refuse(Role::EvLink, "VehicleId", &error.into()),
        }
    }

    fn take_contract(&mut self, value: OwnedVariant) {
        match String::try_from(value) {
            Ok(contract) => {
                self.contract = contract;
                self.tell(clock::now());
            }
            Err(error) => self.refuse(Role::EvLink, "Contract", &error.into()),
        }
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
        }
    }

    fn report(&mut self, report: &Report) {
        if let Some(count) = self.lines.count(clock::now()) {
            self.log(report, count);
        }
        match report {
            Report::Fault(_) | Report::FaultsCleared => self.device.set_faults(&self.fault_log()),
            Report::Session if self.path.session().is_none() => self.station_words = None,
            Report::Checked(checked) => {
                if let Some(answer) = self.checking.take() {
                    // Whoever asked may have left.
                    let _ =
                        answer.send(CheckResult { outcome: checked.outcome, seen: checked.seen.to_string() });
                }
            }
            Report::Session | Report::State(_) | Report::CableCheckSlow => {}
        }
    }

    /// `count`: of how many reports this is the one that is told.
    fn log(&self, report: &Report, count: u64) {
        match report {
            Report::State(state) => tracing::info!(%state, count, "state"),
            Report::Fault(fault) => {
                tracing::error!(code = fault.code.name(), cause = fault.cause(), count, "fault");
            }
            Report::FaultsCleared => {
                tracing::info!(remaining = self.path.faults().len(), count, "faults cleared");
            }
            Report::Session => {
                if let Some(session) = self.path.session() {
                    tracing::info!(
                        session = session.id,
                        authorization = %session.authorization,
                        end = session.stop.map(StopReason::words),
                        count,
                        "session"
                    );
                }
            }
            Report::Checked(checked) => {
                tracing::info!(check = %checked.step, outcome = %checked.outcome, seen = %checked.seen, count, "self-test");
            }
            Report::CableCheckSlow => tracing::warn!(count, "CableCheck takes longer than 20 s"),
        }
    }

    fn fault_log(&self) -> FaultLog {
        let mut log = FaultLog::new();
        for fault in self.path.faults() {
            log.raise(fault.code.name(), fault.cause(), fault.at);
        }
        log
    }

    /// Properties, and the live values with them.
    fn tell(&mut self, now: Timestamp) {
        let micros = |at: Option<Timestamp>| at.map_or(0, Timestamp::as_micros);
        self.published.state = self.path.state();
        self.published.capability = self.capability();
        if self.path.session().is_none() {
            self.vehicle_id.clear();
            self.contract.clear();
        }
        self.published.vehicle_id.clone_from(&self.vehicle_id);
        self.published.contract.clone_from(&self.contract);
        self.published.session = match self.path.session() {
            None => voltry_bus::EvseSession::default(),
            Some(session) => voltry_bus::EvseSession {
                id: session.id,
                plugged_at: session.plugged_at.as_micros(),
                energised_at: micros(session.energised_at),
                ended_at: micros(session.ended_at),
                protocol: self.protocol.clone(),
                end_reason: match (session.stop, &self.station_words) {
                    (Some(StopReason::Station), Some(words)) => words.clone(),
                    (stop, _) => stop.map(StopReason::words).unwrap_or_default().to_owned(),
                },
                at: now.as_micros(),
            },
        };
        self.tell_live(now);
    }

    /// What can be given, when it is another: station shares its power by it.
    fn tell_capability(&mut self) {
        let capability = self.capability();
        if self.published.capability != capability {
            self.published.capability = capability;
            self.publish.send_replace(self.published.clone());
        }
    }

    fn capability(&self) -> DcCapability {
        let capability = self.path.capability();
        DcCapability {
            voltage_min: capability.voltage_min.as_si(),
            voltage_max: capability.voltage_max.as_si(),
            current_max: capability.current_max.as_si(),
            power_max: capability.power_max.as_si(),
        }
    }

    /// Of the EVSE and of the vehicle at it, in OCPP's words.
    fn variables(&self) -> Vec<DeviceVariable> {
        let evse = Component::new("EVSE").of_evse(self.number);
        let vehicle = Component::new("ConnectedEV").of_evse(self.number);
        let Published { live, capability, session, .. } = &self.published;
        let known = |value: f64, known: bool| known.then_some(value);
        let there = session.id != 0;
        vec![
            DeviceVariable::decimal(&evse, "Power", "W", Some(live.voltage * live.current))
                .within(0.0, if capability.power_max > 0.0 { capability.power_max } else { self.power_max }),
            DeviceVariable::decimal(&evse, "DCVoltage", "V", Some(live.voltage)),
            DeviceVariable::decimal(&evse, "DCCurrent", "A", Some(live.current)),
            // There is nothing to reset in one EVSE alone.
            DeviceVariable::boolean(&evse, "AllowReset", false),
            // OCPP 2.0.1 part 2, EVSE: 0 is DC.
            DeviceVariable::integer(&evse, "SupplyPhases", 0),
            DeviceVariable::boolean(&vehicle, "Connected", there),
            DeviceVariable::text(&vehicle, "ProtocolAgreed", if there { &self.protocol } else { "" }),
            DeviceVariable::decimal(
                &vehicle,
                "StateOfCharge",
                "Percent",
                known(live.soc, there && live.soc >= 0.0),
            ),
        ]
    }

    fn tell_live(&mut self, now: Timestamp) {
        self.live_told = now;
        let (cable, supply) = self.path.measured(now);
        let session = self.path.session();
        let target = session.and_then(|session| session.target);
        let live = &mut self.published.live;
        live.sequence += 1;
        live.voltage = cable.map_or(0.0, voltry_units::Volts::as_si);
        live.current = supply.map_or(0.0, |supply| supply.current.as_si());
        live.target_voltage = target.map_or(0.0, |target| target.voltage.as_si());
        live.target_current = target.map_or(0.0, |target| target.current.as_si());
        live.soc = session.and_then(|session| session.soc).map_or(-1.0, voltry_units::Percent::as_si);
        live.energy = session.map_or(0.0, |session| session.energy().as_si());
        live.at = supply.map_or(now, |supply| supply.at).as_micros();
        self.publish.send_replace(self.published.clone());
    }
}
