//! `EvLink1` on the bus: its methods fill the cell of newest values, its signals tell evse what
//! the vehicle does.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use voltry_bus::{
    Authorization, ChargeLimits, DcDischarge, Error, EvseLimits, LinkEnd, LinkPhase, MeterRegister,
    PhaseAnswer, PhaseEntry, PilotOutput, Powerline, PowerlineState, ScheduleChoice, ScheduleRequest,
    VehicleDischarge, VehicleLimits, VehicleNeeds, VehicleState,
};
use voltry_service::{Refusals, clock};
use voltry_units::{Amps, Measured, Percent, Timestamp, Volts, WattHours, Watts};
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};

use crate::certificates::Certificates;
use crate::message::{EvLimits, Limited, Limits, Needs, Plan, PowerPoint, Wanted};
use crate::peer_text;
use crate::pushed::{Present, Pushed};
use crate::schedules::Schedules;
use crate::session::Event;

/// A bus that takes no signal for so long is lost.
const BUS_LOST: Duration = Duration::from_secs(1);

/// Longest reason taken, in bytes; the rest is cut off.
const REASON_MAX: usize = 200;

/// What the properties say.
#[derive(Debug, Clone)]
struct Told {
    phase: LinkPhase,
    protocol: &'static str,
    limits: ChargeLimits,
    needs: VehicleNeeds,
    vehicle_id: Arc<str>,
    contract: Arc<str>,
    powerline: Powerline,
}

const NO_MODEM: Powerline = Powerline {
    state: PowerlineState::NoModem,
    vehicle: String::new(),
    attenuation: 0.0,
    matched_at: 0,
    retries: 0,
};

/// The served object.
#[derive(Debug, Clone)]
struct EvLink1 {
    pushed: Arc<watch::Sender<Pushed>>,
    told: watch::Receiver<Told>,
    refusals: Arc<Refusals>,
}

/// Tells evse what happens.
#[derive(Debug)]
pub struct Publisher {
    emitter: SignalEmitter<'static>,
    /// The object itself, to announce its properties without the object server's lock.
    object: EvLink1,
    certificates: Certificates,
    schedules: Schedules,
    told: watch::Sender<Told>,
    counter: u64,
    states: u64,
}

/// Serves `EvLink1`, `ContractCertificates1` and `ChargingSchedules1` at `path`. The newest pushes come out of the returned channel.
///
/// # Errors
/// If the path is none.
pub async fn serve(
    connection: &Connection,
    path: &str,
) -> zbus::Result<(Publisher, Arc<watch::Sender<Pushed>>)> {
    let pushed = Arc::new(watch::Sender::new(Pushed::default()));
    let (told, receiver) = watch::channel(Told {
        phase: LinkPhase::Detached,
        protocol: "",
        limits: ChargeLimits::default(),
        needs: VehicleNeeds::UNTOLD,
        vehicle_id: Arc::from(""),
        contract: Arc::from(""),
        powerline: NO_MODEM,
    });
    let object = EvLink1 { pushed: Arc::clone(&pushed), told: receiver, refusals: Arc::new(Refusals::new()) };
    connection.object_server().at(path, object.clone()).await?;
    let certificates = Certificates::serve(connection, path, Arc::clone(&pushed)).await?;
    let schedules = Schedules::serve(connection, path, Arc::clone(&pushed)).await?;
    let emitter = SignalEmitter::new(connection, path.to_owned())?;
    Ok((Publisher { emitter, object, certificates, schedules, told, counter: 0, states: 0 }, pushed))
}

// Not spawned: what evse pushes is taken in the order in which it was sent.
#[interface(name = "org.voltry.EvLink1", spawn = false)]
impl EvLink1 {
    fn attach(&self) {
        self.pushed.send_modify(|pushed| {
            if pushed.attached.is_none() {
                pushed.plugs += 1;
                pushed.attached = Some(pushed.plugs);
            }
        });
    }

    fn detach(&self) {
        self.pushed.send_modify(Pushed::detach);
    }

    fn set_limits(&self, limits: EvseLimits) -> Result<(), Error> {
        let limits = self.refusals.note("SetLimits", checked_limits(limits))?;
        self.pushed.send_modify(|pushed| pushed.limits = Some(limits));
        Ok(())
    }

    fn set_discharge(&self, limits: DcDischarge) -> Result<(), Error> {
        let discharge = self.refusals.note("SetDischarge", checked_discharge(&limits))?;
        self.pushed.send_modify(|pushed| pushed.discharge = discharge);
        Ok(())
    }

    fn set_authorization(&self, authorization: Authorization) {
        self.pushed.send_modify(|pushed| pushed.authorization = authorization);
    }

    fn answer(&self, phase: u64, answer: PhaseAnswer) {
        self.pushed.send_modify(|pushed| pushed.answer = Some((phase, answer)));
    }

    fn set_present(&self, present: voltry_bus::Present) -> Result<(), Error> {
        let present = self.refusals.note("SetPresent", checked_present(&present))?;
        self.pushed.send_modify(|pushed| pushed.present = Some(present));
        Ok(())
    }

    fn set_meter(&self, meter: MeterRegister) -> Result<(), Error> {
        let register = self.refusals.note("SetMeter", checked_register(&meter))?;
        self.pushed.send_modify(|pushed| pushed.meter = Some(register));
        Ok(())
    }

    fn request_stop(&self, reason: &str) {
        self.pushed.send_modify(|pushed| pushed.stop = Some(cut(reason)));
    }

    fn abort(&self, reason: &str) {
        self.pushed.send_modify(|pushed| pushed.abort = Some(cut(reason)));
    }

    #[zbus(signal)]
    async fn phase_entered(emitter: &SignalEmitter<'_>, entry: PhaseEntry) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn target(emitter: &SignalEmitter<'_>, target: voltry_bus::Target) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn limits(emitter: &SignalEmitter<'_>, limits: VehicleLimits) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn discharge_limits(emitter: &SignalEmitter<'_>, limits: VehicleDischarge) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn vehicle(emitter: &SignalEmitter<'_>, state: VehicleState) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn pilot_request(emitter: &SignalEmitter<'_>, phase: u64, output: PilotOutput) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn ended(emitter: &SignalEmitter<'_>, end: LinkEnd) -> zbus::Result<()>;

    #[zbus(property)]
    fn phase(&self) -> LinkPhase {
        self.told.borrow().phase
    }

    #[zbus(property)]
    fn protocol(&self) -> &str {
        self.told.borrow().protocol
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn charge_limits(&self) -> ChargeLimits {
        self.told.borrow().limits
    }

    #[zbus(property)]
    fn needs(&self) -> VehicleNeeds {
        self.told.borrow().needs
    }

    #[zbus(property)]
    fn vehicle_id(&self) -> String {
        self.told.borrow().vehicle_id.to_string()
    }

    #[zbus(property)]
    fn contract(&self) -> String {
        self.told.borrow().contract.to_string()
    }

    #[zbus(property)]
    fn powerline(&self) -> Powerline {
        self.told.borrow().powerline.clone()
    }
}

/// What is stamped later than now would stay fresh until then.
fn past(micros: u64) -> Result<Timestamp, Error> {
    let (at, now) = (Timestamp::from_micros(micros), clock::now());
    if at > now {
        let by = at.since(now).as_micros();
        return Err(Error::FromTheFuture(format!("stamped {by} µs later than now")));
    }
    Ok(at)
}

fn checked_limits(limits: EvseLimits) -> Result<Limits, Error> {
    let limits = Limits {
        voltage_min: Volts::from_si(limits.voltage_min)?,
        voltage_max: Volts::from_si(limits.voltage_max)?,
        current_min: Amps::from_si(limits.current_min)?,
        current_max: Amps::from_si(limits.current_max)?,
        power_max: Watts::from_si(limits.power_max)?,
        ..Limits::default()
    };
    let sane = limits.voltage_min >= Volts::ZERO
        && limits.voltage_min <= limits.voltage_max
        && limits.current_min >= Amps::ZERO
        && limits.current_min <= limits.current_max
        && limits.power_max >= Watts::ZERO;
    if !sane {
        return Err(Error::OutOfRange("a limit below zero, or a minimum above its maximum".to_owned()));
    }
    Ok(limits)
}

/// What its battery may fall to is evse's to keep.
fn checked_discharge(limits: &DcDischarge) -> Result<(Amps, Watts), Error> {
    Volts::from_si(limits.voltage_min)?;
    let (current, power) = (Amps::from_si(limits.current_max)?, Watts::from_si(limits.power_max)?);
    if limits.voltage_min < 0.0 || current < Amps::ZERO || power < Watts::ZERO {
        return Err(Error::OutOfRange("a limit below zero".to_owned()));
    }
    Ok((current, power))
}

fn checked_present(present: &voltry_bus::Present) -> Result<Measured<Present>, Error> {
    let at = past(present.at)?;
    let present = Present {
        phase: present.phase,
        voltage: Volts::from_si(present.voltage)?,
        current: Amps::from_si(present.current)?,
        isolation: present.isolation,
        status: present.status,
        limited: Limited {
            voltage: present.voltage_limited,
            current: present.current_limited,
            power: present.power_limited,
        },
    };
    Ok(Measured::new(present, at))
}

fn checked_register(meter: &MeterRegister) -> Result<Measured<WattHours>, Error> {
    let at = past(meter.at)?;
    let energy = WattHours::from_si(meter.energy)?;
    if energy < WattHours::ZERO {
        return Err(Error::OutOfRange("a register below zero".to_owned()));
    }
    Ok(Measured::new(energy, at))
}

fn cut(reason: &str) -> Arc<str> {
    peer_text::for_bus(&reason[..reason.floor_char_boundary(REASON_MAX)]).into()
}

impl Publisher {
    /// Tells one event, which happened `now`. Writes to the bus's socket and waits for nobody.
    ///
    /// # Errors
    /// The bus is lost.
    pub async fn publish(&mut self, now: Timestamp, event: Event) -> anyhow::Result<()> {
        tokio::time::timeout(BUS_LOST, self.emit(now.as_micros(), event))
            .await
            .context("the bus takes no signals")?
            .context("telling evse")
    }

    /// Asks evse for a pilot state.
    ///
    /// # Errors
    /// The bus is lost.
    pub async fn request_pilot(&mut self, output: PilotOutput) -> anyhow::Result<()> {
        tokio::time::timeout(BUS_LOST, EvLink1::pilot_request(&self.emitter, self.counter, output))
            .await
            .context("the bus takes no signals")?
            .context("asking evse for a pilot state")
    }

    /// Shows the powerline link, if it is another than was shown.
    ///
    /// # Errors
    /// The bus is lost.
    pub async fn show_powerline(&mut self, powerline: Powerline) -> anyhow::Result<()> {
        let changed = self.told.send_if_modified(|told| is_news(&mut told.powerline, powerline));
        if !changed {
            return Ok(());
        }
        tokio::time::timeout(BUS_LOST, self.object.powerline_changed(&self.emitter))
            .await
            .context("the bus takes no signals")?
            .context("showing the powerline link")
    }

    /// The conversation is over: what its vehicle said of itself is no longer so.
    ///
    /// # Errors
    /// The bus is lost.
    pub async fn forget_vehicle(&mut self) -> anyhow::Result<()> {
        self.told.send_modify(|told| told.limits = ChargeLimits::default());
        for forgotten in [Event::Needs(Needs::default()), Event::VehicleId("".into())] {
            tokio::time::timeout(BUS_LOST, self.emit(0, forgotten))
                .await
                .context("the bus takes no signals")?
                .context("forgetting the vehicle")?;
        }
        Ok(())
    }

    async fn emit(&mut self, at: u64, event: Event) -> zbus::Result<()> {
        let emitter = &self.emitter;
        match event {
            Event::Target(target) => {
                let (voltage, current) = (target.voltage.as_si(), target.current.as_si());
                EvLink1::target(emitter, voltry_bus::Target { phase: self.counter, voltage, current, at })
                    .await
            }
            Event::Phase { counter, phase } => {
                self.counter = counter;
                self.told.send_modify(|told| told.phase = phase);
                EvLink1::phase_entered(emitter, PhaseEntry { counter, phase, at }).await?;
                self.object.phase_changed(emitter).await
            }
            Event::Protocol(title) => {
                self.told.send_modify(|told| told.protocol = title);
                self.object.protocol_changed(emitter).await
            }
            Event::VehicleId(token) => {
                let changed = self.told.send_if_modified(|told| is_news(&mut told.vehicle_id, token));
                if changed { self.object.vehicle_id_changed(emitter).await } else { Ok(()) }
            }
            Event::Contract(proven) => {
                let emaid = peer_text::for_bus(&proven.emaid).into();
                if !self.told.send_if_modified(|told| is_news(&mut told.contract, emaid)) {
                    return Ok(());
                }
                if !proven.chain.is_empty() {
                    self.certificates.show(&proven).await?;
                }
                self.object.contract_changed(emitter).await
            }
            Event::ContractDoubted { id, contract } => self.certificates.doubt(id, &contract).await,
            Event::CertificateRequest { id, protocol, update, message } => {
                self.certificates.ask(id, protocol, update, &message).await
            }
            Event::SchedulesWanted(wanted) => self.schedules.ask(schedule_request(&wanted, at)).await,
            Event::ScheduleChosen { id, plan } => self.schedules.tell(schedule_choice(id, &plan)).await,
            Event::Limits(limits) => {
                self.told.send_modify(|told| told.limits = charge_limits(&limits));
                EvLink1::limits(emitter, vehicle_limits(&limits, self.counter, at)).await?;
                match vehicle_discharge(&limits, self.counter, at) {
                    Some(discharge) => EvLink1::discharge_limits(emitter, discharge).await,
                    None => Ok(()),
                }
            }
            Event::Needs(needs) => {
                let needs = vehicle_needs(&needs, at);
                let changed = self.told.send_if_modified(|told| is_news(&mut told.needs, needs));
                if changed { self.object.needs_changed(emitter).await } else { Ok(()) }
            }
            Event::Status(status) => {
                self.states += 1;
                let state = VehicleState {
                    sequence: self.states,
                    soc: status.soc.as_si(),
                    ready: status.ready,
                    error: status.error.to_owned(),
                    at,
                };
                EvLink1::vehicle(emitter, state).await
            }
            Event::Ended(outcome, cause) => {
                self.certificates.close();
                self.schedules.close();
                let detail = cause.map(|cause| peer_text::for_bus(&cause.to_string())).unwrap_or_default();
                EvLink1::ended(emitter, LinkEnd { phase: self.counter, outcome, detail, at }).await
            }
        }
    }
}

/// Takes a value; whether it is another one.
fn is_news<T: PartialEq>(told: &mut T, news: T) -> bool {
    let changed = *told != news;
    *told = news;
    changed
}

fn charge_limits(limits: &EvLimits) -> ChargeLimits {
    ChargeLimits {
        voltage_min: limits.voltage_min.map_or(0.0, Volts::as_si),
        voltage_max: limits.voltage.map_or(0.0, Volts::as_si),
        current_min: limits.current_min.map_or(0.0, Amps::as_si),
        current_max: limits.current.map_or(0.0, Amps::as_si),
        power_min: limits.power_min.map_or(0.0, Watts::as_si),
        power_max: limits.power.map_or(0.0, Watts::as_si),
        discharge_current_max: limits.discharge_current.map_or(0.0, Amps::as_si),
        discharge_power_max: limits.discharge_power.map_or(0.0, Watts::as_si),
        energy_capacity: limits.capacity.map_or(0.0, WattHours::as_si),
    }
}

fn vehicle_limits(limits: &EvLimits, phase: u64, at: u64) -> VehicleLimits {
    VehicleLimits {
        phase,
        voltage_max: limits.voltage.map_or(0.0, Volts::as_si),
        current_max: limits.current.map_or(0.0, Amps::as_si),
        power_max: limits.power.map_or(0.0, Watts::as_si),
        energy_capacity: limits.capacity.map_or(0.0, WattHours::as_si),
        at,
    }
}

/// What can be taken from it; `None`: it named nothing of the kind.
fn vehicle_discharge(limits: &EvLimits, phase: u64, at: u64) -> Option<VehicleDischarge> {
    let (current, power) = (limits.discharge_current?, limits.discharge_power?);
    let voltage_min = limits.voltage_min.map_or(0.0, Volts::as_si);
    let (current_max, power_max) = (current.as_si(), power.as_si());
    Some(VehicleDischarge { phase, voltage_min, current_max, power_max, at })
}

fn schedule_request(wanted: &Wanted, at: u64) -> ScheduleRequest {
    let (needs, limits) = (vehicle_needs(&wanted.needs, at), charge_limits(&wanted.limits));
    ScheduleRequest {
        id: wanted.id,
        protocol: wanted.protocol.title().to_owned(),
        dynamic: wanted.dynamic,
        entries_max: wanted.entries_max.into(),
        departure_at: needs.departure_at,
        energy: needs.energy,
        energy_capacity: limits.energy_capacity,
        voltage_max: limits.voltage_max,
        current_max: limits.current_max,
        power_max: limits.power_max,
        soc: wanted.soc.map_or(-1.0, Percent::as_si),
        soc_target: needs.soc,
    }
}

fn schedule_choice(id: u64, plan: &Plan) -> ScheduleChoice {
    let point =
        |point: &PowerPoint| voltry_bus::PowerPoint { start: point.start, power: point.power.as_si() };
    ScheduleChoice { id, schedule: plan.schedule, profile: plan.profile.iter().map(point).collect() }
}

/// `at`: when the vehicle said so, from which its departure counts.
fn vehicle_needs(needs: &Needs, at: u64) -> VehicleNeeds {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2);
    VehicleNeeds {
        departure_at: needs.departure.map_or(0, |departure| at + micros(departure)),
        energy: needs.energy.map_or(-1.0, WattHours::as_si),
        energy_min: needs.energy_min.map_or(-1.0, WattHours::as_si),
        energy_max: needs.energy_max.map_or(-1.0, WattHours::as_si),
        soc_min: needs.soc_min.map_or(-1.0, Percent::as_si),
        soc: needs.soc.map_or(-1.0, Percent::as_si),
    }
}
