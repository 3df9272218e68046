//! What must hold at every moment, whatever broke: one table of rules, each a condition and the time for
//! which it may last. `docs/safety.md` names them as evidence.
//!
//! A condition is judged by what is physically so, and by what the energy path was told: nobody can know
//! better than the instruments. Its time is the rule's own, and what a reading every 100 ms and a step
//! every 100 ms add to it.
//!
//! # Exceptions
//! They are in the conditions themselves, and are these:
//! - CableCheck applies its test voltage before there is an insulation value, and tests above the vehicle's
//!   maximum: that is what it is for.
//! - Supply that does not obey (a module that ignores "off", a cut CAN cable): its output is nobody's to
//!   end; the contactors part it from the vehicle, and have a second more.
//! - A welded contactor is nobody's to open; the output ends.
//! - A sensor that lies is believed until a second source contradicts it: closing is judged as measured.
//! - A self-test raises modules behind open contactors, or closes contactors without voltage, with no vehicle
//!   there: it has rules of its own, and only those.
//! - While the process is stopped or dead its leases are what counts; the plant lets them lapse by itself,
//!   and each rule's time begins anew when it runs again.

mod limits;

use std::time::Duration;

use voltry_bus::{Alarm, EvseState, LinkPhase, Pilot, PilotFault, PilotOutput, Proximity};
use voltry_evse::energy_path::{
    Action, Capability, Check, Command, ConnectorIo, Discharge, EnergyPath, Input, OverVoltageReading,
    Permit, Reaction, Report, Role, SupplyReading, Target, class_over_voltage,
};
use voltry_units::{Amps, Measured, Timestamp, Volts};

use super::World;

/// What the energy path was told last.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told {
    supply: Option<SupplyReading>,
    cable: Option<Measured<Volts>>,
    io: Option<ConnectorIo>,
    guard: Option<OverVoltageReading>,
    meter: Option<(f64, Timestamp)>,
    meter_fell: bool,
    capability: Capability,
    discharge: Discharge,
    permit: Option<Permit>,
    target: Option<Target>,
}

impl Told {
    fn contradict(&self) -> bool {
        let guard = self.guard.filter(|guard| !guard.tripped).map(|guard| guard.voltage);
        let told = [self.supply.map(|told| told.voltage), self.cable.map(|told| told.value), guard];
        let (lowest, highest) = (told.iter().flatten().min(), told.iter().flatten().max());
        lowest.zip(highest).is_some_and(|(lowest, highest)| lowest.abs_diff(*highest) > Volts::new(51))
    }
}

/// One moment, as the rules look at it.
#[derive(Clone, Copy)]
struct Moment<'a> {
    world: &'a World,
    told: &'a Told,
    state: EvseState,
    entered: Timestamp,
    /// Modules that obey are commanded on.
    output: bool,
    /// Contactors that can open are closed.
    closed: bool,
    /// The same two of a self-test, for which they are not above.
    raised: bool,
    joined: bool,
    /// Within this step all voltages agreed.
    agreed: bool,
    /// The highest current that may flow, and what has flowed unregistered.
    ceiling: f64,
    /// And the highest from the vehicle, not above zero.
    floor: f64,
    unregistered: f64,
    /// Since when a fault has been latched; and whether one is an emergency.
    faulted: Option<Timestamp>,
    emergency: bool,
}

/// A condition that must not last longer than this.
struct Rule {
    name: &'static str,
    within_ms: u64,
    broken: fn(&Moment<'_>) -> bool,
}

/// From a condition to the end of the output: two tenths of a second for reading and step.
const SEEN: u64 = 220;
/// And to open contactors: an error shutdown gives the current a second to fall.
const OPENED: u64 = SEEN + 1_050;
/// What the energy path waits for while it tests into a load: all that holds for a charge holds there.
const LOADS: &str = "a test into a load";
/// A normal stop: the vehicle has 10 s to confirm, then the current 1 s and the contactors 1 s.
const STOPPED: u64 = SEEN + 12_100;

const fn rule(name: &'static str, within_ms: u64, broken: fn(&Moment<'_>) -> bool) -> Rule {
    Rule { name, within_ms, broken }
}

#[rustfmt::skip]
const RULES: [Rule; 60] = [
    rule("contactors never close into 20 V", 0, |m| m.world.devices.closed_into >= 20.0),
    rule("energised only with good insulation", 20, |m| m.energises() && m.world.devices.insulation_told < 100_000.0),
    rule("energised only with fresh insulation", 100 + SEEN, |m| m.energises() && m.insulation_age() > 5_000),
    rule("bad insulation opens", OPENED, |m| m.closed && !m.in_cable_check() && m.world.devices.insulation_told < 100_000.0),
    rule("stale insulation opens", OPENED, |m| m.closed && !m.in_cable_check() && m.insulation_age() > 5_000),
    rule("CableCheck energises for 38 s at most", 38_000 + SEEN, |m| m.output && m.in_cable_check()),
    rule("CableCheck holds contactors for 38 s, and a phase's gap of 60 s", 98_000 + OPENED, |m| m.closed && m.in_cable_check()),
    rule("PreCharge takes 10 s at most", 10_000 + OPENED, |m| m.closed && m.state == EvseState::PreCharge),
    rule("PreCharge and CableCheck give 2 A", 20, |m| m.output && m.trickles() && m.world.devices.set_current > 2.0),

    rule("no output without the supply's readings", 300 + SEEN, |m| m.output && m.world.is_older(m.told.supply.map(|told| told.at), 0)),
    rule("no output without the cable's voltage", SEEN, |m| m.output && m.world.is_older(m.told.cable.map(|told| told.at), 300)),
    rule("no output without the board", SEEN, |m| m.output && m.world.is_older(m.told.io.map(|told| told.at), 300)),
    rule("no output without the over-voltage monitor", SEEN, |m| m.output && m.world.guarded && m.world.is_older(m.told.guard.map(|told| told.at), 300)),
    rule("silence of the supply opens", OPENED, |m| m.closed && m.world.is_older(m.told.supply.map(|told| told.at), 300)),
    rule("silence of the cable's voltage opens", OPENED, |m| m.closed && m.world.is_older(m.told.cable.map(|told| told.at), 300)),
    rule("silence of the board opens", OPENED, |m| m.closed && m.world.is_older(m.told.io.map(|told| told.at), 300)),
    rule("silence of the over-voltage monitor opens", OPENED, |m| m.closed && m.world.guarded && m.world.is_older(m.told.guard.map(|told| told.at), 300)),

    rule("over-current ends the output", 300 + SEEN, |m| m.output && m.is_over_current()),
    rule("over-current opens", 300 + OPENED, |m| m.closed && m.is_over_current()),
    rule("a current from the vehicle that nobody asked for ends the output", 300 + SEEN, |m| m.output && m.is_reversed()),
    rule("a current from the vehicle that nobody asked for opens", 300 + OPENED, |m| m.closed && m.is_reversed()),
    rule("above the vehicle's maximum ends the output", 400 + SEEN, |m| m.output && m.is_over_vehicle()),
    rule("above the vehicle's maximum opens", 400 + OPENED, |m| m.closed && m.is_over_vehicle()),
    rule("above the class ends the output", SEEN, |m| m.output && m.is_over_class()),
    rule("above the class opens", SEEN, |m| m.closed && m.world.devices.supply_obeys() && m.is_over_class()),
    rule("nobody watches for over-voltage: no output", 300 + SEEN, |m| m.output && m.closed && m.is_unguarded()),
    rule("nobody watches for over-voltage: open", 300 + OPENED, |m| m.closed && m.state != EvseState::CableCheck && m.is_unguarded()),
    rule("no output into open contactors", 300 + SEEN, |m| m.output && !m.world.devices.contactors),
    rule("voltages that contradict each other end the output", 5_000 + SEEN, |m| m.output && m.contradict()),
    rule("voltages that contradict each other open", 5_000 + OPENED, |m| m.closed && m.contradict()),
    rule("a collapsed voltage ends the charge loop", 500 + SEEN, |m| m.output && m.state == EvseState::Charging && m.is_flat()),
    rule("a short circuit ends the output", 3_000 + SEEN, |m| m.output && m.world.devices.short && m.world.devices.current > 0.1 && m.closed && !m.world.devices.modules_lie),

    rule("a lost pilot or plug ends the output", 20, |m| m.output && m.is_unplugged()),
    rule("a lost pilot or plug opens", 20, |m| m.closed && m.is_unplugged()),
    rule("S2 opened under load opens", 20, |m| m.state == EvseState::Charging && m.pilot() == Some(Pilot::B)),
    rule("S2 opened to renegotiate opens", 20, |m| m.state == EvseState::Charging && m.is_renegotiating() && m.pilot() == Some(Pilot::B)),
    rule("S2 opened to renegotiate in a stop opens", OPENED, |m| m.closed && m.state == EvseState::Stopping && m.is_renegotiating() && m.pilot() == Some(Pilot::B)),
    rule("an emergency stop ends the output", 20, |m| m.output && m.told.io.is_some_and(|io| io.emergency_stop)),
    rule("an emergency stop opens", 20, |m| m.closed && m.world.devices.emergency_stop),
    rule("an open door, a tilt or water ends the output", 20, |m| m.output && m.is_cabinet_unsafe()),
    rule("an open door, a tilt or water opens", 20, |m| m.closed && m.is_cabinet_unsafe()),
    rule("a cooling that failed ends the output", 20, |m| m.output && m.is_uncooled()),
    rule("a cooling that failed opens", OPENED, |m| m.closed && m.is_uncooled()),
    rule("a hot connector ends the output", 20, |m| m.output && m.hottest() >= 90.0),
    rule("a hot connector opens", OPENED, |m| m.closed && m.hottest() >= 90.0),
    rule("a warm connector derates", SEEN, |m| m.output && m.state == EvseState::Charging && m.world.devices.set_current > m.derated()),

    rule("a silent vehicle gets nothing", SEEN, |m| m.output && m.wants_power() && m.is_vehicle_silent(1_000) && m.world.devices.set_current.abs() > 0.0),
    rule("a silent vehicle is left", SEEN, |m| m.output && m.state == EvseState::Charging && m.is_vehicle_silent(3_000)),
    rule("nothing is delivered unmetered", STOPPED, |m| (m.output || m.closed) && m.world.is_older(m.told.meter.map(|told| told.1), 3_000)),
    rule("a register that stands still ends the sale", SEEN, |m| m.output && m.unregistered > 560.0),
    rule("a register that falls ends the sale", SEEN, |m| m.output && m.told.meter_fell),
    rule("a permit that ran out ends it", STOPPED, |m| (m.output || m.closed) && m.told.permit.is_none_or(|permit| m.world.now >= permit.until)),
    rule("a supply that can give nothing ends it", 1_000 + SEEN, |m| m.output && m.told.capability.current_max <= Amps::ZERO),

    rule("a self-test never connects modules and cable", 0, |m| m.raised && m.joined),
    rule("a self-test keeps the cable dead", SEEN, |m| m.raised && m.world.devices.cable >= 60.0),
    rule("a self-test closes without voltage", SEEN, |m| m.joined && m.voltage() >= 60.0),

    rule("a fault: no output", 10, |m| m.output && m.faulted.is_some()),
    rule("a fault: open", 1_000 + SEEN, |m| m.closed && m.faulted.is_some()),
    rule("an emergency: open", 20, |m| m.closed && m.emergency),
    rule("a fault: the pilot says so", 2_500 + SEEN, |m| m.faulted.is_some() && m.is_pilot_driven()),
];

impl Moment<'_> {
    fn in_cable_check(&self) -> bool {
        self.state == EvseState::CableCheck
    }

    fn trickles(&self) -> bool {
        matches!(self.state, EvseState::CableCheck | EvseState::PreCharge)
    }

    fn wants_power(&self) -> bool {
        matches!(self.state, EvseState::PreCharge | EvseState::Charging)
    }

    fn energises(&self) -> bool {
        self.output && self.closed && !self.in_cable_check()
    }

    fn insulation_age(&self) -> u128 {
        self.world.now.since(self.world.devices.insulation_at).as_millis()
    }

    /// A second of settling is in the ceiling already. Only the modules measure the current: where they lie,
    /// nobody knows.
    fn is_over_current(&self) -> bool {
        !self.world.devices.modules_lie && self.world.devices.current > self.ceiling * 1.1 + 5.0
    }

    fn is_reversed(&self) -> bool {
        !self.world.devices.modules_lie && self.world.devices.current < self.floor * 1.1 - 5.0
    }

    /// The higher of both sides; as measured, where the cable's sensor lies low, by the other.
    fn voltage(&self) -> f64 {
        self.world.devices.module.max(self.world.devices.cable)
    }

    fn sees_voltage(&self) -> bool {
        !(self.world.devices.modules_lie && self.world.devices.cable_lies < 0.0)
    }

    fn is_over_vehicle(&self) -> bool {
        let limit = (self.world.vehicle.voltage_max * 1.02).max(60.0);
        !self.in_cable_check() && self.sees_voltage() && self.voltage() > limit + 1.0
    }

    fn class(&self) -> f64 {
        class_over_voltage(Volts::from_si(self.world.vehicle.voltage_max).unwrap()).as_si()
    }

    fn is_over_class(&self) -> bool {
        self.sees_voltage() && self.voltage() > self.class() + 1.0
    }

    fn is_unguarded(&self) -> bool {
        let guard = &self.world.devices.guard;
        self.world.guarded && !(guard.armed && !guard.tripped && guard.limit.as_si() <= self.class())
    }

    /// All the time: readings that come one after the other may agree for a moment.
    fn contradict(&self) -> bool {
        !self.agreed && self.told.contradict()
    }

    fn is_flat(&self) -> bool {
        self.told.cable.is_some_and(|cable| cable.value < Volts::new(59))
    }

    fn pilot(&self) -> Option<Pilot> {
        self.told.io.map(|io| io.pilot)
    }

    fn is_renegotiating(&self) -> bool {
        self.world.vehicle.phase == LinkPhase::Renegotiating
    }

    fn is_unplugged(&self) -> bool {
        self.told.io.is_some_and(|io| {
            // In a shutdown F is what this side drives.
            let driven = self.state == EvseState::ErrorShutdown && io.pilot == Pilot::F;
            !(driven || matches!(io.pilot, Pilot::B | Pilot::C | Pilot::D))
                || io.pilot_fault != PilotFault::None
                || !matches!(io.proximity, Proximity::NotUsed | Proximity::Latched)
        })
    }

    fn has_alarm(&self, alarms: &[Alarm]) -> bool {
        self.told.io.is_some_and(|io| alarms.iter().any(|alarm| io.alarms.contains(*alarm)))
    }

    fn is_cabinet_unsafe(&self) -> bool {
        self.has_alarm(&[Alarm::EnclosureOpen, Alarm::Tilted, Alarm::Water])
    }

    fn is_uncooled(&self) -> bool {
        self.has_alarm(&[Alarm::CoolingFailed])
    }

    fn hottest(&self) -> f64 {
        self.told.io.and_then(|io| io.hottest).map_or(0.0, voltry_units::Celsius::as_si)
    }

    fn derated(&self) -> f64 {
        200.0 * ((90.0 - self.hottest()) / 20.0).clamp(0.0, 1.0) + 0.1
    }

    fn is_vehicle_silent(&self, ms: u64) -> bool {
        // A new phase gives it a new second.
        self.told.target.is_some_and(|target| self.world.is_older(Some(target.at.max(self.entered)), ms))
    }

    fn is_pilot_driven(&self) -> bool {
        let board = !self.world.gone.contains(&Role::ConnectorIo) && self.world.devices.pilot_refusals == 0;
        board && !matches!(self.world.devices.pilot_output, PilotOutput::X1 | PilotOutput::F)
    }
}

impl World {
    /// Whether there is nothing of this age or younger.
    fn is_older(&self, at: Option<Timestamp>, ms: u64) -> bool {
        at.is_none_or(|at| self.now.since(at) > Duration::from_millis(ms))
    }
}

/// Holds a world to the rules, and panics with the one that is broken.
#[derive(Debug, Clone, Default)]
pub struct Checker {
    told: Told,
    /// Since when each rule's condition has held.
    since: Vec<Option<Timestamp>>,
    /// The state, and since when.
    entered: Option<(EvseState, Timestamp)>,
    /// Set currents of the last second, each with when it was replaced.
    sets: Vec<(Timestamp, f64)>,
    set: f64,
    agreed: bool,
    /// Watt-hours since the register last moved.
    unregistered: f64,
    delivered: f64,
    register: f64,
    /// The last latched fault is as old as that.
    faulted: Option<Timestamp>,
    emergency: bool,
    /// Volts and amperes of the load that was named last.
    load: Option<(f64, f64)>,
}

impl Checker {
    pub fn hears(&mut self, now: Timestamp, input: &Input) {
        let told = &mut self.told;
        match *input {
            // What is older than what is known tells nothing.
            Input::Supply(reading) if told.supply.is_some_and(|known| known.at > reading.at) => {}
            Input::Supply(reading) => told.supply = Some(reading),
            Input::Capability(capability) => told.capability = capability,
            Input::Discharge(discharge) => told.discharge = discharge,
            Input::CableVoltage(voltage) => told.cable = Some(voltage),
            Input::OverVoltage(reading) => told.guard = Some(reading),
            Input::Io(io) => told.io = Some(io),
            Input::Meter(reading) => {
                let register = reading.energy.as_si();
                told.meter_fell = told.meter.is_some_and(|(before, _)| register < before);
                told.meter = Some((register, reading.at));
            }
            Input::Permit(permit) => told.permit = Some(permit),
            Input::Check(Check::Load(load)) => self.load = Some(load.named()),
            Input::Target(target) if target.at <= now => told.target = Some(target),
            _ => {}
        }
        self.agreed |= !self.told.contradict();
    }

    /// What no step may ask for.
    pub fn acts(&mut self, world: &World, before: EvseState, input: &Input, actions: &[Action]) {
        let World { now, path, devices, .. } = world;
        let (now, state) = (*now, path.state());
        let fresh = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) <= Duration::from_millis(300));
        for action in actions {
            match action {
                Action::Do(Command::SetOutput { voltage, current, .. }) => {
                    self.within_limits(*voltage, *current, state, path);
                }
                Action::Do(Command::CloseContactors(_)) => {
                    let cable = self.told.cable.map_or(f64::MAX, |cable| cable.value.as_si());
                    let module = self.told.supply.map_or(f64::MAX, |supply| supply.voltage.as_si());
                    assert!(cable.abs() < 60.0 && module.abs() < 60.0, "closing at {module} and {cable} V");
                    assert!((module - cable).abs() < 20.0, "closing into {module} and {cable} V");
                    let armed = devices.guard.armed && !devices.guard.tripped;
                    assert!(!world.guarded || armed, "closing unguarded");
                    // A self-test has no vehicle whose plug could be pulled, but where a load is in its place.
                    let empty = path.session().is_none() && path.waits_for() != LOADS;
                    let locked = !devices.has_lock || devices.locked || empty;
                    assert!(locked, "closing unlocked");
                }
                Action::Do(Command::RenewSupply(_) | Command::RenewContactors(_)) => {
                    assert!(*input == Input::Tick, "renewed by {input:?}");
                    let told = &self.told;
                    let supply = told.supply.map(|told| told.at);
                    let (cable, io) = (told.cable.map(|told| told.at), told.io.map(|told| told.at));
                    assert!(
                        fresh(supply) && fresh(cable) && fresh(io),
                        "renewed on stale inputs in {state}: {told:?}"
                    );
                }
                Action::Do(Command::Present(present)) => {
                    assert!(fresh(Some(present.at)), "the vehicle is told what is stale");
                }
                Action::Do(Command::DisarmOverVoltage) => {
                    let told = self.told.cable.map_or(f64::MAX, |cable| cable.value.as_si());
                    assert!(
                        !devices.contactors && told.abs() < 60.0 && self.told_module() < 60.0,
                        "disarmed in {state}: {told:.0} V"
                    );
                }
                Action::Report(Report::Fault(fault)) if fault.code.reaction() == Reaction::Emergency => {
                    let off = [Command::SupplyOff, Command::OpenContactors, Command::Pilot(PilotOutput::X1)];
                    let first = actions.len() >= 3 && actions[..3] == off.map(Action::Do);
                    let live = matches!(
                        before,
                        EvseState::CableCheck
                            | EvseState::PreCharge
                            | EvseState::Charging
                            | EvseState::Stopping
                            | EvseState::ErrorShutdown
                    );
                    assert!(first || !live || self.emergency, "not first in {before}: {actions:?}");
                }
                _ => {}
            }
        }
        self.emergency = path.faults().iter().any(|fault| fault.code.reaction() == Reaction::Emergency);
        let latched = path.faults().first().map(|_| self.faulted.unwrap_or(now));
        self.faulted = latched;
    }

    fn told_module(&self) -> f64 {
        self.told.supply.map_or(f64::MAX, |supply| supply.voltage.as_si().abs())
    }

    /// What must be true of the circuit at every moment.
    pub fn looks(&mut self, world: &World) {
        let devices = &world.devices;
        self.reckons(world);
        if self.entered.is_none_or(|(state, _)| state != world.path.state()) {
            self.entered = Some((world.path.state(), world.now));
        }
        let tests = world.path.waits_for() == "a check of the self-test";
        let output = devices.supply_on && devices.supply_obeys() && world.runs();
        let closed = devices.contactors && !devices.welded && world.runs();
        let moment = Moment {
            world,
            told: &self.told,
            state: world.path.state(),
            entered: self.entered.map_or(world.now, |(_, at)| at),
            output: output && !tests,
            closed: closed && !tests,
            raised: output && tests,
            joined: closed && tests,
            agreed: std::mem::take(&mut self.agreed),
            ceiling: self.sets.iter().fold(self.set, |highest, (_, set)| highest.max(*set)).max(0.0),
            floor: self.sets.iter().fold(self.set, |lowest, (_, set)| lowest.min(*set)).min(0.0),
            unregistered: self.unregistered,
            faulted: self.faulted,
            emergency: self.emergency,
        };
        if !world.runs() {
            self.since.clear();
            return;
        }
        self.since.resize(RULES.len(), None);
        for (rule, since) in RULES.iter().zip(&mut self.since) {
            if !(rule.broken)(&moment) {
                *since = None;
                continue;
            }
            let lasted = world.now.since(*since.get_or_insert(world.now));
            assert!(
                lasted <= Duration::from_millis(rule.within_ms),
                "{:?} broken for {lasted:?} in {} ({}), link {:?}: {:.0}/{:.0} V {:.1} A, {:.0} ohms; faults {:?}",
                rule.name,
                world.path.state(),
                world.path.waits_for(),
                world.vehicle.phase,
                devices.module,
                devices.cable,
                devices.current,
                devices.insulation,
                world.path.faults(),
            );
        }
    }

    /// The highest current of the last second, and what the register missed.
    fn reckons(&mut self, world: &World) {
        let devices = &world.devices;
        if (devices.set_current - self.set).abs() > 0.0 {
            self.sets.push((world.now, self.set));
        }
        self.set = devices.set_current;
        self.sets.retain(|(at, _)| world.now.since(*at) <= Duration::from_millis(1_200));
        let register = self.told.meter.map_or(0.0, |(register, _)| register);
        if register != self.register || !devices.contactors {
            (self.register, self.unregistered) = (register, 0.0);
        }
        self.unregistered += devices.delivered - self.delivered;
        self.delivered = devices.delivered;
    }
}
