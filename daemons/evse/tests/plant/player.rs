//! Every provider of one EVSE on a real bus, played in real time: what evse commands goes to the
//! plant, what happens there comes back as signals.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream::SelectAll;
use voltry_bus as bus;
use voltry_bus::{Evse1Proxy, EvseState, names};
use voltry_evse::energy_path::{Command, FaultCode, Input, MeterReading, Present, Role, StopReason};
use voltry_service::{Stamp, clock};
use voltry_units::{Amps, Timestamp, Volts, WattHours};
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream};

use super::{Devices, Vehicle};

/// One step of the plant, and of real time.
pub const STEP: Duration = Duration::from_millis(10);
/// Steps from one measurement to the next.
const MEASURED_EVERY: u64 = 5;
/// In a hurry the plant does so many steps, and measures, in this real time.
const HURRIED_STEPS: u32 = 10;
const HURRIED_STEP: Duration = Duration::from_millis(2);
/// Steps from one permit to the next.
const PERMITTED_EVERY: u64 = 100;

/// The players of all roles.
pub struct Player {
    pub devices: Devices,
    pub vehicle: Vehicle,
    /// Roles whose streams have stopped.
    pub silent: Vec<Role>,
    /// Roles that answer no call, and do nothing.
    pub deaf: Vec<Role>,
    /// Roles that refuse every call.
    pub refusing: Vec<Role>,
    /// What the supply says that it can give.
    pub capability: bus::DcCapability,
    /// The plant and the vehicle run faster than real time; evse does not.
    pub hurry: bool,
    /// A station is on the bus: it authorizes and permits.
    pub station_beside: bool,
    seats: Vec<(Role, Connection)>,
    calls: SelectAll<MessageStream>,
    sequence: u64,
    counter: u64,
    insulation_active: bool,
    ticks: u64,
    /// The vehicle's own clock.
    vehicle_time: Timestamp,
}

/// The object that plays a role.
pub fn path(role: Role) -> String {
    let name = match role {
        Role::PowerSupply => "power_supply",
        Role::VoltageMonitor => "voltage_monitor",
        Role::OverVoltageMonitor => "over_voltage_monitor",
        Role::InsulationMonitor => "insulation_monitor",
        Role::ConnectorIo => "connector",
        Role::EnergyMeter => "energy_meter",
        Role::EvLink => "ev_link",
    };
    names::path(name, "1")
}

fn interface(role: Role) -> &'static str {
    match role {
        Role::PowerSupply => "org.voltry.PowerSupply1",
        Role::VoltageMonitor => "org.voltry.VoltageMonitor1",
        Role::OverVoltageMonitor => "org.voltry.OverVoltageMonitor1",
        Role::InsulationMonitor => "org.voltry.InsulationMonitor1",
        Role::ConnectorIo => "org.voltry.ConnectorIo1",
        Role::EnergyMeter => "org.voltry.EnergyMeter1",
        Role::EvLink => "org.voltry.EvLink1",
    }
}

/// `[evse.1]`, with each role bound to the bus name that plays it.
pub fn configuration(name: impl Fn(Role) -> String) -> String {
    let mut text =
        "[evse.1]\nprofile = \"iec61851-23-2023\"\nvoltage_max = 1000\ncurrent_max = 200\n".to_owned();
    for role in Role::ALL {
        let key = match role {
            Role::PowerSupply => "power_supply",
            Role::VoltageMonitor => "voltage_monitor",
            Role::OverVoltageMonitor => "over_voltage_monitor",
            Role::InsulationMonitor => "insulation_monitor",
            Role::ConnectorIo => "connector_io",
            Role::EnergyMeter => "energy_meter",
            Role::EvLink => "ev_link",
        };
        text += &format!("{key} = {{ name = {:?}, path = {:?} }}\n", name(role), path(role));
    }
    text
}

impl Player {
    /// Nobody plays yet.
    pub fn new() -> Self {
        let mut vehicle = Vehicle::default();
        vehicle.unplug_when_done = false;
        Self {
            devices: Devices::default(),
            vehicle,
            silent: Vec::new(),
            deaf: Vec::new(),
            refusing: Vec::new(),
            capability: bus::DcCapability {
                voltage_min: 150.0,
                voltage_max: 1000.0,
                current_max: 150.0,
                power_max: 60_000.0,
            },
            hurry: false,
            station_beside: false,
            seats: Vec::new(),
            calls: SelectAll::new(),
            sequence: 0,
            counter: 0,
            insulation_active: false,
            ticks: 0,
            vehicle_time: clock::now(),
        }
    }

    /// From now on this connection plays these roles. Before it owns their name: nothing that is
    /// called gets lost.
    pub fn join(&mut self, roles: &[Role], connection: &Connection) {
        self.calls.push(MessageStream::from(connection));
        self.seats.extend(roles.iter().map(|role| (*role, connection.clone())));
    }

    /// Takes a role away from who plays it.
    pub fn leave(&mut self, role: Role) -> Option<Connection> {
        let at = self.seats.iter().position(|(played, _)| *played == role)?;
        Some(self.seats.remove(at).1)
    }

    /// Plays until the EVSE is in this state; whoever asks is authorized, and permitted.
    pub async fn until(&mut self, station: &Evse1Proxy<'_>, wanted: EvseState) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let state = station.state().await?;
            if state == wanted {
                return Ok(());
            }
            if begin.elapsed() > Duration::from_secs(30) {
                anyhow::bail!("{state}, and never {wanted}; the vehicle is at {:?}", self.vehicle.step);
            }
            if state == EvseState::Authorizing && !self.station_beside {
                let session = station.session().await?.id;
                station.set_authorization(session, bus::Authorization::Granted).await?;
            }
            for _ in 0..if self.hurry { 1 } else { MEASURED_EVERY } {
                self.play(station).await?;
            }
        }
    }

    /// One step: hears what was commanded, then tells what is so.
    pub async fn play(&mut self, station: &Evse1Proxy<'_>) -> anyhow::Result<()> {
        if self.ticks.is_multiple_of(PERMITTED_EVERY) && !self.station_beside {
            station.set_permit(permit()).await?;
        }
        self.play_unattended().await
    }

    /// As [`Self::play`], without a station.
    pub async fn play_unattended(&mut self) -> anyhow::Result<()> {
        let (time, steps) = if self.hurry { (HURRIED_STEP, HURRIED_STEPS) } else { (STEP, 1) };
        let end = tokio::time::Instant::now() + time;
        while let Ok((_, call)) = tokio::time::timeout_at(end, self.call()).await {
            self.answer(&call).await?;
        }
        let now = clock::now();
        self.ticks += 1;
        let mut inbox = Vec::new();
        let was_tripped = self.devices.guard.tripped;
        for _ in 0..steps {
            self.devices.flow(STEP, now, &self.vehicle);
            self.vehicle_time = self.vehicle_time + STEP;
            self.vehicle.act(self.vehicle_time, &self.devices, &mut inbox);
        }
        if self.devices.guard.tripped && !was_tripped {
            // A trip is told at once, before the supply that it cut can refuse anything.
            self.tell_guard().await?;
        }
        for input in inbox {
            self.tell_link(input, now).await?;
        }
        if self.hurry || self.ticks.is_multiple_of(MEASURED_EVERY) {
            self.measure(now).await?;
        }
        Ok(())
    }

    /// The next command, done and answered; with the moment at which it came in.
    pub async fn hear(&mut self) -> anyhow::Result<(Instant, Option<Command>)> {
        let (came, call) = self.call().await;
        Ok((came, self.answer(&call).await?))
    }

    /// The next call. Can be dropped and called again without loss.
    async fn call(&mut self) -> (Instant, Message) {
        loop {
            match self.calls.next().await {
                Some(Ok(message)) if message.message_type() == Type::MethodCall => {
                    return (Instant::now(), message);
                }
                // A connection that ends is one that left.
                Some(Ok(_) | Err(_)) => {}
                // Everybody has left: nothing is commanded any more.
                None => return std::future::pending().await,
            }
        }
    }

    async fn answer(&mut self, message: &Message) -> anyhow::Result<Option<Command>> {
        let header = message.header();
        let (member, named) = (header.member().context("a call")?, header.interface().context("a call")?);
        let played = |role: &Role| header.path().is_some_and(|at| at.as_str() == path(*role));
        let Some(role) = Role::ALL.into_iter().find(played) else { return Ok(None) };
        let Some(connection) = self.seat(role) else { return Ok(None) };
        if self.deaf.contains(&role) {
            return Ok(None);
        }
        if named.as_str() == "org.freedesktop.DBus.Properties" {
            let answer = Message::method_return(&header).build(&(self.property(message)?,))?;
            connection.send(&answer).await?;
            return Ok(None);
        }
        if role == Role::EnergyMeter && matches!(member.as_str(), "Start" | "Stop") {
            // For who bills: it begins nothing without a reading.
            let (energy, at) = (self.devices.register, clock::now().as_micros());
            let [format, data, public_key] = ["none", "", ""].map(str::to_owned);
            let reading = bus::SignedReading { energy, format, data, public_key, unix_time: 0, at };
            connection.send(&Message::method_return(&header).build(&(reading,))?).await?;
            return Ok(None);
        }
        let command = command(named.as_str(), member.as_str(), message)?;
        if self.refusing.contains(&role) || !self.obey(command).await? {
            let why = if self.devices.was_too_old() { "TooOld" } else { "Refused" };
            let refused = Message::error(&header, format!("org.voltry.Error.{why}")).build(&("no",))?;
            connection.send(&refused).await?;
            return Ok(command);
        }
        connection.send(&Message::method_return(&header).build(&())?).await?;
        Ok(command)
    }

    fn property(&self, message: &Message) -> anyhow::Result<zbus::Variant<'static>> {
        let (_, property): (String, String) = message.body().deserialize()?;
        Ok(match property.as_str() {
            "Capability" => self.capability.into(),
            _ => "ISO 15118-2:2014".into(),
        })
    }

    /// False if the device refuses.
    async fn obey(&mut self, command: Option<Command>) -> anyhow::Result<bool> {
        let now = clock::now();
        let Some(command) = command else { return Ok(true) };
        if command == Command::StartSelfTest {
            // At once: what a device's own test takes is no part of what is tested with this.
            let at = now.as_micros();
            let passed = !self.devices.self_test_fails;
            let result = bus::SelfTestResult { passed, detail: String::new(), at };
            self.signal(Role::InsulationMonitor, "SelfTestFinished", &(result,)).await?;
            return Ok(true);
        }
        if let Command::InsulationActive(active) = command {
            self.insulation_active = active;
            return Ok(true);
        }
        let obeyed = self.devices.obey(command, now);
        if obeyed {
            self.vehicle.hear(command);
        }
        Ok(obeyed)
    }

    async fn measure(&mut self, now: Timestamp) -> anyhow::Result<()> {
        // Its hardware is faster than any sampled voltage.
        self.tell_guard().await?;
        let at = now.as_micros();
        let sequence = self.next();
        let (voltage, current) = (self.devices.module, self.devices.current);
        let output = bus::DcOutput { sequence, voltage, current, at };
        self.stream(Role::PowerSupply, "Output", &(output,)).await?;
        let cable = bus::VoltageReading { sequence, voltage: self.devices.cable, at };
        self.stream(Role::VoltageMonitor, "Voltage", &(cable,)).await?;
        self.tell_io().await?;
        if self.insulation_active {
            self.counter += 1;
            let (counter, resistance) = (self.counter, self.devices.insulation);
            let reading = bus::InsulationReading { sequence, resistance, valid: true, counter, at };
            self.stream(Role::InsulationMonitor, "Insulation", &(reading,)).await?;
        }
        let energy_import = self.devices.register;
        let reading = bus::MeterReading {
            sequence,
            voltage,
            current,
            power: 0.0,
            energy_import,
            energy_export: 0.0,
            at,
        };
        self.stream(Role::EnergyMeter, "Reading", &(reading,)).await
    }

    /// The connector's wires, as they are now.
    pub async fn tell_io(&mut self) -> anyhow::Result<()> {
        let now = clock::now();
        let io = self.devices.io(&self.vehicle, now);
        let state = bus::ConnectorState {
            sequence: self.next(),
            pilot: io.pilot,
            pilot_fault: io.pilot_fault,
            proximity: io.proximity,
            contactors: io.contactors,
            lock: io.lock,
            emergency_stop: io.emergency_stop,
            alarms: io.alarms,
            safe_state: io.safe_state.map(|code| format!("{}: latched", code.name())).unwrap_or_default(),
            temperatures: vec![self.devices.hottest],
            at: now.as_micros(),
        };
        self.stream(Role::ConnectorIo, "Io", &(state,)).await
    }

    /// What the over-voltage monitor does now.
    async fn tell_guard(&mut self) -> anyhow::Result<()> {
        let now = clock::now();
        let told = self.devices.guard.reading(self.devices.cable, now);
        let state = bus::OverVoltageState {
            sequence: self.next(),
            armed: told.armed,
            limit: told.limit.as_si(),
            tripped: told.tripped,
            voltage: told.voltage.as_si(),
            at: now.as_micros(),
        };
        self.stream(Role::OverVoltageMonitor, "State", &(state,)).await
    }

    async fn tell_link(&self, input: Input, now: Timestamp) -> anyhow::Result<()> {
        let at = now.as_micros();
        if let Input::Phase { counter, phase } = input {
            let entry = bus::PhaseEntry { counter, phase, at };
            self.stream(Role::EvLink, "PhaseEntered", &(entry,)).await?;
        } else if let Input::Target(target) = input {
            let (voltage, current) = (target.voltage.as_si(), target.current.as_si());
            let target = bus::Target { phase: target.counter, voltage, current, at };
            self.stream(Role::EvLink, "Target", &(target,)).await?;
        } else if let Input::VehicleLimits(limits) = input {
            let limits = bus::VehicleLimits {
                phase: 0,
                voltage_max: limits.voltage_max.map_or(0.0, Volts::as_si),
                current_max: limits.current_max.map_or(0.0, Amps::as_si),
                power_max: 0.0,
                energy_capacity: 0.0,
                at,
            };
            self.stream(Role::EvLink, "Limits", &(limits,)).await?;
        } else if let Input::LinkEnded(outcome) = input {
            let end = bus::LinkEnd { phase: 0, outcome, detail: String::new(), at };
            self.stream(Role::EvLink, "Ended", &(end,)).await?;
        }
        Ok(())
    }

    /// A sequence number above all that were sent.
    pub const fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn seat(&self, role: Role) -> Option<Connection> {
        self.seats.iter().find(|(played, _)| *played == role).map(|(_, connection)| connection.clone())
    }

    async fn stream<B>(&self, role: Role, member: &str, body: &B) -> anyhow::Result<()>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        if self.silent.contains(&role) { Ok(()) } else { self.signal(role, member, body).await }
    }

    /// A signal of who plays this role; none if nobody does.
    pub async fn signal<B>(&self, role: Role, member: &str, body: &B) -> anyhow::Result<()>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        match self.seat(role) {
            Some(connection) => signal(&connection, role, member, body).await,
            None => Ok(()),
        }
    }

    /// Tells a property's new value.
    pub async fn changed(&self, role: Role, property: &str, value: zbus::Variant<'_>) -> anyhow::Result<()> {
        let Some(connection) = self.seat(role) else { return Ok(()) };
        let body = (interface(role), HashMap::from([(property, value)]), Vec::<String>::new());
        let message = Message::signal(path(role), "org.freedesktop.DBus.Properties", "PropertiesChanged")
            .build(&body)?;
        Ok(connection.send(&message).await?)
    }
}

/// A signal under the role's path, whoever sends it.
pub async fn signal<B>(sender: &Connection, role: Role, member: &str, body: &B) -> anyhow::Result<()>
where
    B: serde::Serialize + zbus::DynamicType,
{
    let message = Message::signal(path(role), interface(role), member).build(body)?;
    Ok(sender.send(&message).await?)
}

/// Leave to deliver for the usual time.
pub fn permit() -> bus::Permit {
    bus::Permit { allowed: true, power: 60_000.0, valid_for: 30.0, sent_at: clock::now().as_micros() }
}

/// The method call, as the command that it was; none for what the plant does not act on.
fn command(interface: &str, member: &str, message: &Message) -> anyhow::Result<Option<Command>> {
    let body = message.body();
    let supply = interface == "org.voltry.PowerSupply1";
    let stamp = |(epoch, sequence, sent_at): (u64, u64, u64)| Stamp {
        epoch,
        sequence,
        sent_at: Timestamp::from_micros(sent_at),
    };
    Ok(Some(match member {
        "Enable" if supply => Command::EnableSupply(body.deserialize()?),
        "Enable" => Command::EnableContactors(body.deserialize()?),
        "SetOutput" => {
            let (epoch, sequence, sent_at, voltage, current) = body.deserialize()?;
            Command::SetOutput {
                lease: stamp((epoch, sequence, sent_at)),
                voltage: Volts::from_si(voltage)?,
                current: Amps::from_si(current)?,
            }
        }
        "CloseContactors" => Command::CloseContactors(stamp(body.deserialize()?)),
        "RenewLease" if supply => Command::RenewSupply(stamp(body.deserialize()?)),
        "RenewLease" => Command::RenewContactors(stamp(body.deserialize()?)),
        "Off" => Command::SupplyOff,
        "OpenContactors" => Command::OpenContactors,
        "SetPilot" => Command::Pilot(body.deserialize()?),
        "Arm" => {
            let (limit,) = body.deserialize()?;
            Command::ArmOverVoltage(Volts::from_si(limit)?)
        }
        "Disarm" => Command::DisarmOverVoltage,
        "Reset" if interface == "org.voltry.OverVoltageMonitor1" => Command::ResetOverVoltage,
        "Reset" => Command::ResetBoard,
        "SetActive" => Command::InsulationActive(body.deserialize()?),
        "StartSelfTest" => Command::StartSelfTest,
        "Attach" => Command::Attach,
        "Detach" => Command::Detach,
        "SetAuthorization" => Command::Authorize(body.deserialize()?),
        "Answer" => {
            let (counter, answer) = body.deserialize()?;
            Command::Answer { counter, answer }
        }
        "SetPresent" => {
            let (told,): (bus::Present,) = body.deserialize()?;
            Command::Present(Present {
                counter: told.phase,
                voltage: Volts::from_si(told.voltage)?,
                current: Amps::from_si(told.current)?,
                isolation: told.isolation,
                status: told.status,
                voltage_limited: told.voltage_limited,
                current_limited: told.current_limited,
                power_limited: told.power_limited,
                at: Timestamp::from_micros(told.at),
            })
        }
        "SetMeter" => {
            let (told,): (bus::MeterRegister,) = body.deserialize()?;
            let energy = WattHours::from_si(told.energy)?;
            Command::Meter(MeterReading {
                energy,
                export: WattHours::ZERO,
                at: Timestamp::from_micros(told.at),
            })
        }
        "RequestStop" => Command::RequestStop(StopReason::Station),
        "Abort" => Command::Abort(FaultCode::EmergencyStop),
        _ => return Ok(None),
    }))
}
