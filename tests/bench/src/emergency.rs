//! Emergency stop: from just before this process sends the signal that says so to the entry of
//! the later of `Off` and `OpenContactors`, with the real `voltry-evse` on a busy machine.
//!
//! This process plays every provider with the plant of the energy path's own tests, in real
//! time: the EVSE charges before each run. A session from plug to charge takes its seconds, so
//! the number of runs is what the time allows; the report says how many there were.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use voltry_bus as bus;
use voltry_bus::{Evse1Proxy, EvseState, names};
use voltry_evse::energy_path::{Command, Input, Present, StopReason};
use voltry_service::{Stamp, clock};
use voltry_units::{Amps, Timestamp, Volts};
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream};

use crate::energy_path::plant::{Devices, Vehicle};
use crate::machine::{Ahead, Bus, Busy};
use crate::report::{Report, Target, percentile};

/// As in the unit of evse.
const PRIORITY: u8 = 20;
const STEP: Duration = Duration::from_millis(10);
/// Who plays: one connection, as one provider of everything.
const PLAYER: &str = "org.voltry.Bench";

const CONFIG: &str = r#"
[evse.1]
profile = "iec61851-23-2023"
voltage_max = 1000
current_max = 200
power_supply = { name = "org.voltry.Bench", path = "/org/voltry/power_supply/1" }
voltage_monitor = { name = "org.voltry.Bench", path = "/org/voltry/voltage_monitor/1" }
insulation_monitor = { name = "org.voltry.Bench", path = "/org/voltry/insulation_monitor/1" }
connector_io = { name = "org.voltry.Bench", path = "/org/voltry/connector/1" }
energy_meter = { name = "org.voltry.Bench", path = "/org/voltry/energy_meter/1" }
ev_link = { name = "org.voltry.Bench", path = "/org/voltry/ev_link/1" }
"#;

/// What one played device has to say, as a signal.
struct Player {
    connection: Connection,
    devices: Devices,
    vehicle: Vehicle,
    sequence: u64,
    counter: u64,
    insulation_active: bool,
    ticks: u64,
    /// The emergency's signal was sent, and the two commands it must bring.
    stopped: Option<Instant>,
    off: Option<Duration>,
    open: Option<Duration>,
}

pub(crate) async fn measure(report: &mut Report, runs: u32) -> anyhow::Result<()> {
    let bus = Bus::start().await?;
    let connection = bus.connect().await?;
    let mut calls = MessageStream::from(&connection);
    connection.request_name(PLAYER).await?;
    let _evse = bus.daemon("voltry-evse", PRIORITY, CONFIG, &names::evse(1)).await?;
    let station = Evse1Proxy::builder(&bus.connect().await?)
        .destination(names::evse(1))
        .path(names::path("evse", "1"))
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await?;
    let _busy = Busy::every_core().await?;
    let _ahead = Ahead::of_all();
    let mut player = Player::new(connection);
    let mut samples = Vec::new();
    for _ in 0..runs {
        player.charge(&mut calls, &station).await?;
        samples.push(player.emergency(&mut calls).await?.as_secs_f64() * 1e3);
        player.recover(&mut calls, &station).await?;
    }
    report.add("emergency_p99_busy_ms", percentile(&mut samples, 0.99), Target::AtMost(5.0));
    report.add("emergency_max_busy_ms", percentile(&mut samples, 1.0), Target::AtMost(20.0));
    report.note(format!(
        "Emergency: {runs} runs, each out of a charge (BENCH_RUNS=2000 for the issue's number)"
    ));
    Ok(())
}

impl Player {
    fn new(connection: Connection) -> Self {
        let devices = Devices::default();
        let mut vehicle = Vehicle::default();
        vehicle.unplug_when_done = false;
        Self {
            connection,
            devices,
            vehicle,
            sequence: 0,
            counter: 0,
            insulation_active: false,
            ticks: 0,
            stopped: None,
            off: None,
            open: None,
        }
    }

    /// From Available to a charge.
    async fn charge(&mut self, calls: &mut MessageStream, station: &Evse1Proxy<'_>) -> anyhow::Result<()> {
        self.until(calls, station, EvseState::Available).await?;
        self.vehicle.soc = 20.0;
        self.vehicle.plug();
        self.until(calls, station, EvseState::Charging).await?;
        for _ in 0..20 {
            self.play(calls).await?;
        }
        if self.devices.current < 5.0 {
            bail!("it charges with {} A", self.devices.current);
        }
        Ok(())
    }

    /// The emergency stop, and how long the later of the two commands took.
    async fn emergency(&mut self, calls: &mut MessageStream) -> anyhow::Result<Duration> {
        (self.off, self.open) = (None, None);
        self.devices.emergency_stop = true;
        let sent = Instant::now();
        self.stopped = Some(sent);
        self.tell_io(clock::now()).await?;
        loop {
            let call = tokio::time::timeout(Duration::from_secs(2), calls.next());
            let message =
                call.await.context("no reaction to the emergency stop")?.context("the bus ended")??;
            self.hear(&message).await?;
            if let (Some(off), Some(open)) = (self.off, self.open) {
                self.stopped = None;
                return Ok(off.max(open));
            }
        }
    }

    /// Unplugs, releases the emergency stop, clears.
    async fn recover(&mut self, calls: &mut MessageStream, station: &Evse1Proxy<'_>) -> anyhow::Result<()> {
        for _ in 0..20 {
            self.play(calls).await?;
        }
        self.devices.emergency_stop = false;
        self.vehicle.unplug();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(30) {
            for _ in 0..20 {
                self.play(calls).await?;
            }
            let remaining = station.clear_faults().await?;
            if remaining.is_empty() {
                return Ok(());
            }
        }
        bail!("the faults stay: {:?}", station.clear_faults().await?)
    }

    async fn until(
        &mut self,
        calls: &mut MessageStream,
        station: &Evse1Proxy<'_>,
        wanted: EvseState,
    ) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let state = station.state().await?;
            if state == wanted {
                return Ok(());
            }
            if begin.elapsed() > Duration::from_secs(60) {
                bail!("{state}, and never {wanted}; the vehicle is at {:?}", self.vehicle.step);
            }
            if self.ticks.is_multiple_of(100) {
                let sent_at = clock::now().as_micros();
                let permit = bus::Permit { allowed: true, power: 60_000.0, valid_for: 30.0, sent_at };
                station.set_permit(permit).await?;
            }
            if state == EvseState::Authorizing {
                let session = station.session().await?.id;
                station.set_authorization(session, bus::Authorization::Granted).await?;
            }
            for _ in 0..5 {
                self.play(calls).await?;
            }
        }
    }

    /// One hundredth of a second: hears what was commanded, then tells what is so.
    async fn play(&mut self, calls: &mut MessageStream) -> anyhow::Result<()> {
        let end = tokio::time::Instant::now() + STEP;
        while let Ok(message) = tokio::time::timeout_at(end, calls.next()).await {
            self.hear(&message.context("the bus ended")??).await?;
        }
        let now = clock::now();
        self.ticks += 1;
        self.devices.flow(STEP, now, &self.vehicle);
        let mut inbox = Vec::new();
        self.vehicle.act(now, &self.devices, &mut inbox);
        for input in inbox {
            self.tell_link(input, now).await?;
        }
        if self.ticks.is_multiple_of(5) {
            self.measure(now).await?;
        }
        Ok(())
    }

    async fn measure(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let at = now.as_micros();
        let sequence = self.next();
        let (voltage, current) = (self.devices.module, self.devices.current);
        let output = bus::DcOutput { sequence, voltage, current, at };
        self.signal("power_supply", "org.voltry.PowerSupply1", "Output", &(output,)).await?;
        let cable = bus::VoltageReading { sequence, voltage: self.devices.cable, at };
        self.signal("voltage_monitor", "org.voltry.VoltageMonitor1", "Voltage", &(cable,)).await?;
        self.tell_io(now).await?;
        if self.insulation_active {
            self.counter += 1;
            let counter = self.counter;
            let reading = bus::InsulationReading { sequence, resistance: 2e6, valid: true, counter, at };
            self.signal("insulation_monitor", "org.voltry.InsulationMonitor1", "Insulation", &(reading,))
                .await?;
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
        self.signal("energy_meter", "org.voltry.EnergyMeter1", "Reading", &(reading,)).await
    }

    async fn tell_io(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let io = self.devices.io(&self.vehicle, now);
        let state = bus::ConnectorState {
            sequence: self.next(),
            pilot: io.pilot,
            pilot_fault: io.pilot_fault,
            proximity: io.proximity,
            contactors: io.contactors,
            lock: io.lock,
            emergency_stop: io.emergency_stop,
            safe_state: String::new(),
            temperatures: vec![25.0],
            at: now.as_micros(),
        };
        self.signal("connector", "org.voltry.ConnectorIo1", "Io", &(state,)).await
    }

    async fn tell_link(&mut self, input: Input, now: Timestamp) -> anyhow::Result<()> {
        let at = now.as_micros();
        let link = "org.voltry.EvLink1";
        if let Input::Phase { counter, phase } = input {
            let entry = bus::PhaseEntry { counter, phase, at };
            self.signal("ev_link", link, "PhaseEntered", &(entry,)).await?;
        } else if let Input::Target(target) = input {
            let (voltage, current) = (target.voltage.as_si(), target.current.as_si());
            let target = bus::Target { phase: target.counter, voltage, current, at };
            self.signal("ev_link", link, "Target", &(target,)).await?;
        } else if let Input::VehicleLimits(limits) = input {
            let limits = bus::VehicleLimits {
                phase: 0,
                voltage_max: limits.voltage_max.map_or(0.0, Volts::as_si),
                current_max: limits.current_max.map_or(0.0, Amps::as_si),
                power_max: 0.0,
                energy_capacity: 0.0,
                at,
            };
            self.signal("ev_link", link, "Limits", &(limits,)).await?;
        } else if let Input::LinkEnded(outcome) = input {
            let end = bus::LinkEnd { phase: 0, outcome, detail: String::new(), at };
            self.signal("ev_link", link, "Ended", &(end,)).await?;
        }
        Ok(())
    }

    const fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    async fn signal<B: serde::Serialize + zbus::DynamicType>(
        &self,
        role: &str,
        interface: &str,
        member: &str,
        body: &B,
    ) -> anyhow::Result<()> {
        let message = Message::signal(names::path(role, "1"), interface, member).build(body)?;
        Ok(self.connection.send(&message).await?)
    }
}

impl Player {
    /// A command of evse: notes when it came in, does it, answers it.
    async fn hear(&mut self, message: &Message) -> anyhow::Result<()> {
        let header = message.header();
        if message.message_type() != Type::MethodCall {
            return Ok(());
        }
        let (Some(member), Some(interface)) = (header.member(), header.interface()) else { return Ok(()) };
        if let Some(sent) = self.stopped {
            match member.as_str() {
                "Off" => self.off = self.off.or(Some(sent.elapsed())),
                "OpenContactors" => self.open = self.open.or(Some(sent.elapsed())),
                _ => {}
            }
        }
        if interface.as_str() == "org.freedesktop.DBus.Properties" {
            let capability = bus::DcCapability {
                voltage_min: 150.0,
                voltage_max: 1000.0,
                current_max: 150.0,
                power_max: 60_000.0,
            };
            let (_, property): (String, String) = message.body().deserialize()?;
            let value = match property.as_str() {
                "Capability" => zbus::Variant::from(capability),
                _ => zbus::Variant::from("ISO 15118-2:2014"),
            };
            let answer = Message::method_return(&header).build(&(value,))?;
            return Ok(self.connection.send(&answer).await?);
        }
        self.connection.send(&Message::method_return(&header).build(&())?).await?;
        self.obey(interface.as_str(), member.as_str(), message).await
    }

    async fn obey(&mut self, interface: &str, member: &str, message: &Message) -> anyhow::Result<()> {
        let now = clock::now();
        let Some(command) = command(interface, member, message)? else { return Ok(()) };
        if command == Command::StartSelfTest {
            // At once: what a device's own test takes is no part of this measurement.
            let result = bus::SelfTestResult { passed: true, detail: String::new(), at: now.as_micros() };
            let monitor = "org.voltry.InsulationMonitor1";
            self.signal("insulation_monitor", monitor, "SelfTestFinished", &(result,)).await?;
        } else if let Command::InsulationActive(active) = command {
            self.insulation_active = active;
        } else if self.devices.obey(command, now) {
            self.vehicle.hear(command);
        }
        Ok(())
    }
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
        "RequestStop" => Command::RequestStop(StopReason::Station),
        "Abort" => Command::Abort(voltry_evse::energy_path::FaultCode::EmergencyStop),
        _ => return Ok(None),
    }))
}
