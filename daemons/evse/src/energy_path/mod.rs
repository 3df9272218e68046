//! The energy path of one EVSE: what closes contactors and raises voltage, and what ends both.
//!
//! # Electrical assumptions
//! - Power modules feed the *module side*; contactors on both poles part it from the *cable
//!   side*, which ends at the vehicle's inlet. The vehicle has contactors of its own.
//! - The supply measures the module side. The cable side is measured by something else. With
//!   closed contactors the two agree.
//! - The insulation monitor sees the cable side, and the module side through closed contactors.
//! - Contactors carry the full current but survive few openings under it, and weld if they
//!   close into a voltage difference.
//! - The supply and the board each open by themselves when their lease runs out (500 ms), when
//!   this process leaves the bus, and on their own faults. The hardware's safety chain
//!   (emergency stop, over-voltage within 10 ms, watchdog of the board) does not pass through
//!   here and is not replaced by anything here.
//! - After a crash nothing is known: the outputs may be energised, contactors may be closed
//!   until the leases of the last process lapse. [`EvseState::Starting`] commands everything
//!   off and leaves only when measurements say so.
//!
//! # States
//! ```text
//!              all confirmed off                plug                  limits named
//!   Starting ─────────────────────▶ Available ──────▶ Connected ─────────────────▶ Parameters
//!      ▲                             │    ▲                ▲  conversation ended       │
//!      │               out of service▼    │in service      └───────────────────────────┤ agreed
//!      │                         Unavailable                                           ▼
//!      │ no fault left                                                             CableCheck
//!   Faulted                  unplugged                  stop, at any step              │ passed
//!      ▲            Finished ─────────▶ Available    ┌─────────────────────────────────┤
//!      │ off           ▲                             │                                 ▼
//!   Shutdown           └── off, < 60 V ── Stopping ◀─┤                             PreCharge
//!      ▲                                     │       │                                 │ met
//!      │ a fault, anywhere                   │       │ stop, PowerOff                  ▼
//!      └─────────────────────────────────────┘       └───────────────────────────── Charging
//! ```
//! `Shutdown` is an error shutdown (current first, contactors after it) or an emergency
//! (output-off, contactors-open and pilot X1 are the first three actions of that step).
//!
//! # Calling it
//! [`EnergyPath::step`] takes one input and returns what to do, in order. It does no I/O and
//! reads no clock: `now` is the caller's and never goes backwards. Nothing it asks for is waited
//! for: what came of it arrives as inputs. Call it with [`Input::Tick`] every 100 ms, since only
//! that renews the leases, and at [`EnergyPath::deadline`].

mod action;
mod cable_check;
mod charging;
mod discharge;
mod fault;
mod guard;
mod input;
mod observed;
mod outputs;
mod pre_charge;
mod present;
mod profile;
mod safe;
mod self_test;
mod session;
mod state;
mod stopping;
mod supervision;
mod unlock;
mod waiting;

use std::time::Duration;

use voltry_bus::{EvseState, Isolation, LinkOutcome, LinkPhase, PhaseAnswer};
use voltry_units::{Amps, Timestamp, Volts};

pub use action::{Action, Command, Present, Report};
pub use fault::{ClearedBy, Evidence, Fault, FaultCode, Reaction, Refusal};
pub use input::{
    Capability, ConnectorIo, Discharge, Input, InsulationReading, MeterReading, OverVoltageReading, Permit,
    Role, SupplyReading, Target, VehicleLimits,
};
pub use profile::{NotSafer, Overrides, Profile, class_over_voltage};
pub use self_test::{Check, Checked, Load, Seen};
pub use session::{Session, StopReason};
pub use unlock::StaysLocked;

use fault::Latched;
use observed::Observed;
use outputs::Outputs;
use state::State;
use supervision::Supervision;
use unlock::Unlocking;

/// What this EVSE is built of, apart from what its devices tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Installation {
    /// The figures to hold to.
    pub profile: Profile,
    /// The highest voltage of contactors, cable and connector.
    pub voltage_max: Volts,
    /// The highest current of contactors, cable and connector.
    pub current_max: Amps,
    /// The plug has a lock of ours, which must be locked before contactors close.
    pub has_lock: bool,
    /// Without the meter nothing is delivered.
    pub meter_required: bool,
    /// The insulation monitor also measures the cable's voltage: it is never paused.
    pub monitor_measures_voltage: bool,
    /// An over-voltage monitor is bound: nothing is energised unless it is armed.
    pub over_voltage_monitor: bool,
    /// Energy may be taken from a vehicle.
    pub discharge: bool,
}

impl Installation {
    /// Whether this role is played here. All are but one, which may act by its hardware alone.
    fn has(&self, role: Role) -> bool {
        role != Role::OverVoltageMonitor || self.over_voltage_monitor
    }
}

/// The energy path of one EVSE. A copy is for trying what would become of it; only one may drive an EVSE.
#[derive(Debug, Clone)]
pub struct EnergyPath {
    installation: Installation,
    observed: Observed,
    outputs: Outputs,
    supervision: Supervision,
    faults: Latched,
    state: State,
    session: Option<Session>,
    last_session: u64,
    isolation: Isolation,
    available: bool,
    stop_asked: Option<StopReason>,
    terminating: bool,
    last_tick: Option<Timestamp>,
    presented: Option<Present>,
    unlocking: Option<Unlocking>,
}

impl EnergyPath {
    /// An energy path that knows nothing yet. The first step commands everything off.
    #[must_use]
    pub fn new(installation: Installation) -> Self {
        Self {
            installation,
            observed: Observed::default(),
            outputs: Outputs::default(),
            supervision: Supervision::default(),
            faults: Latched::default(),
            state: State::default(),
            session: None,
            last_session: 0,
            isolation: Isolation::Invalid,
            available: true,
            stop_asked: None,
            terminating: false,
            last_tick: None,
            presented: None,
            unlocking: None,
        }
    }

    /// Takes one input and says what to do, in order. `now` must not go backwards.
    #[must_use = "the actions are not done by themselves"]
    pub fn step(&mut self, now: Timestamp, input: Input) -> &[Action] {
        self.outputs.begin_step();
        let before = self.state.name();
        let session_before = self.session.as_ref().map(watched);
        let at_once = self.acts_at_once(&input);
        self.observe(now, input);
        if matches!(input, Input::Tick) {
            let speaks = self.observed.io(now, &self.installation.profile).is_some();
            self.outputs.order_again_what_the_board_refused(speaks);
        }
        if at_once {
            self.supervise(now);
            self.advance(now);
            self.release_guard(now);
        }
        if matches!(input, Input::Tick) {
            self.renew_leases(now);
            if self.session.is_some() && self.outputs.is_attached() {
                self.outputs.send_limits(self.offer(now));
                self.offer_discharge(now);
            }
            self.last_tick = Some(now);
        }
        self.watch_unlocking(now);
        self.note_end_of_delivery(now);
        if let Some(session) = self.session.as_mut() {
            session.stopped_in = session.stop.map(|_| session.stopped_in.unwrap_or(before));
        }
        self.present(now, &input);
        if self.state.name() != before {
            self.outputs.report(Report::State(self.state.name()));
        }
        if session_before != self.session.as_ref().map(watched) {
            self.outputs.report(Report::Session);
        }
        self.outputs.actions()
    }

    /// Where the EVSE stands.
    #[must_use]
    pub fn state(&self) -> EvseState {
        self.state.name()
    }

    /// What the state waits for until its deadline; empty where it has none. Tells its steps apart.
    #[must_use]
    pub fn waits_for(&self) -> &'static str {
        self.state.deadline().map_or("", |(_, reason)| reason)
    }

    /// The session, while a vehicle is plugged in.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The latched faults, oldest first.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        self.faults.as_slice()
    }

    /// The newest measured values: cable side, module side and current; for showing only.
    #[must_use]
    pub fn measured(&self, now: Timestamp) -> (Option<Volts>, Option<SupplyReading>) {
        let profile = &self.installation.profile;
        (self.observed.cable(now, profile), self.observed.supply(now, profile))
    }

    /// What this EVSE can give at this moment.
    #[must_use]
    pub fn capability(&self) -> Capability {
        let supply = self.observed.capability();
        Capability {
            voltage_min: supply.voltage_min,
            voltage_max: supply.voltage_max.min(self.installation.voltage_max),
            current_max: supply.current_max.min(self.installation.current_max),
            power_max: supply.power_max,
        }
    }

    /// Nothing is commanded that energises, and measurements agree.
    #[must_use]
    pub fn is_confirmed_safe(&self, now: Timestamp) -> bool {
        !self.outputs.is_live() && self.observed.confirmed_safe(now, &self.installation.profile)
    }

    /// When to step with [`Input::Tick`] even if nothing happens, and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Timestamp, &'static str)> {
        // Only where its end is acted on: a deadline that has passed is asked for again and again.
        let bound = matches!(self.state, State::CableCheck(_) | State::PreCharge(_) | State::Charging(_));
        let permit = self.observed.permit.filter(|_| bound && self.outputs.is_live());
        [self.state.deadline(), permit.map(|permit| (permit.until, "the permit ends"))]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    /// What changes slowly, or says nothing new, is acted on with the next tick.
    fn acts_at_once(&self, input: &Input) -> bool {
        if let Input::OverVoltage(reading) = input {
            return self.observed.is_news(*reading);
        }
        !matches!(
            input,
            Input::Capability(_) | Input::Discharge(_) | Input::Meter(_) | Input::Soc(_) | Input::Permit(_)
        )
    }

    fn observe(&mut self, now: Timestamp, input: Input) {
        match input {
            Input::Tick => {}
            Input::Supply(reading) => {
                self.observed.see_supply(reading, now);
                self.supervision.count_energy(reading, self.outputs.contactors_enabled());
            }
            Input::Capability(capability) => self.observed.see_capability(capability),
            Input::Discharge(discharge) => self.observed.discharge = discharge,
            Input::CableVoltage(voltage) => self.observed.see_cable(voltage, now),
            Input::OverVoltage(reading) => self.observed.see_over_voltage(reading, now),
            Input::Insulation(reading) => self.observed.see_insulation(reading, now),
            Input::SelfTest { passed, at } => self.observed.self_test = Some((passed, at)),
            Input::Io(io) => self.observed.see_io(io, now),
            Input::Meter(reading) => self.see_meter(reading, now),
            Input::Phase { counter, phase } => self.enter_phase(counter, phase),
            Input::Target(target) => {
                if let Some(session) = self.session.as_mut()
                    && target.counter == self.observed.link.counter
                    && target.at <= now
                {
                    session.target = Some(target);
                }
            }
            Input::VehicleLimits(limits) => {
                // From CableCheck on: it tests for the voltage that was named before it.
                let bound = self.outputs.is_live() || matches!(self.state, State::CableCheck(_));
                if let Some(session) = self.session.as_mut() {
                    session.limits.update(limits, bound);
                }
            }
            Input::VehicleDischarge(discharge) => {
                if let Some(session) = self.session.as_mut() {
                    session.discharge = discharge;
                }
            }
            Input::Soc(soc) => {
                if let Some(session) = self.session.as_mut() {
                    session.soc = Some(soc);
                }
            }
            Input::PilotRequest { counter, output } if counter == self.observed.link.counter => {
                self.grant_pilot(output);
            }
            Input::PilotRequest { .. } => {}
            Input::LinkEnded(outcome) => self.link_ended(now, outcome),
            Input::Permit(permit) => self.observed.permit = Some(permit),
            Input::Authorization { session, authorization } => self.authorize(session, authorization),
            Input::Stop => self.stop_asked = Some(StopReason::Station),
            Input::ClearFaults => self.clear_faults(now),
            Input::Available(available) => self.available = available,
            Input::Check(check) => self.begin_check(now, check),
            Input::Unlock => self.ask_to_unlock(now),
            Input::Terminate => self.terminate(now),
            Input::Refused(command, refusal) => {
                self.notice_stall(now);
                self.refused(now, command, refusal);
            }
            Input::Found(role) => {
                self.observed.found(role);
                self.outputs.forget_commanded();
                if role == Role::OverVoltageMonitor {
                    self.outputs.forget_guard();
                }
                if let State::Starting(starting) = &mut self.state {
                    starting.command_again();
                }
            }
            Input::Lost(role) => self.observed.lost(role),
        }
    }

    /// Quicker than a normal stop: whoever ends the process does not wait for a vehicle.
    fn terminate(&mut self, now: Timestamp) {
        self.terminating = true;
        self.end_delivery(StopReason::OutOfService);
        if self.outputs.is_attached() && self.session.is_some() {
            self.outputs.send(Command::RequestStop(StopReason::OutOfService));
        }
        if self.outputs.is_live() {
            self.shut_down(now, None, Reaction::ErrorShutdown);
        }
    }

    fn see_meter(&mut self, reading: MeterReading, now: Timestamp) {
        self.observed.see_meter(reading, now);
        self.supervision.see_registers(reading);
        if self.session.is_some() && self.outputs.is_attached() {
            self.outputs.send(Command::Meter(reading));
        }
        if let Some(session) = self.session.as_mut()
            && session.ended_at.is_none()
        {
            session.see_registers(reading);
        }
    }

    /// Entries are in order; one with an old counter is a late answer and means nothing.
    fn enter_phase(&mut self, counter: u64, phase: LinkPhase) {
        if counter <= self.observed.link.counter {
            return;
        }
        self.observed.link = observed::Link { phase, counter };
    }

    fn link_ended(&mut self, now: Timestamp, outcome: LinkOutcome) {
        self.notice_stall(now);
        if let Some(session) = self.session.as_mut() {
            session.paused = outcome == LinkOutcome::Paused;
        }
        let overdue = match outcome {
            LinkOutcome::Normal | LinkOutcome::Paused => {
                self.stop_asked = self.stop_asked.or(Some(StopReason::Vehicle));
                return;
            }
            LinkOutcome::Overdue => true,
            LinkOutcome::Failed | LinkOutcome::Lost => false,
        };
        if !self.outputs.is_live() || matches!(self.state, State::Stopping(_) | State::Shutdown(_)) {
            return;
        }
        let (code, evidence) = if let State::CableCheck(check) = self.state
            && overdue
        {
            (FaultCode::CableCheckFailure, Evidence::NotWithin(check.lasted(now)))
        } else if let State::PreCharge(pre_charge) = self.state
            && overdue
        {
            (FaultCode::PreChargeFailure, Evidence::NotWithin(pre_charge.lasted(now)))
        } else {
            (FaultCode::CommunicationLost, Evidence::Seen)
        };
        self.fail(now, code, evidence);
    }

    fn refused(&mut self, now: Timestamp, command: Command, refusal: Refusal) {
        if let Command::Pilot(output) = command {
            self.outputs.pilot_refused(output);
        }
        if let Command::Lock(locked) = command {
            self.outputs.lock_refused(locked);
        }
        // What is being switched off may say that it already is.
        let ending = matches!(self.state, State::Starting(_) | State::Shutdown(_) | State::Faulted(_));
        let self_test = command == Command::StartSelfTest
            && matches!(self.state, State::CableCheck(_) | State::Checking(_));
        let arming = matches!(command, Command::ArmOverVoltage(limit) if self.outputs.guard().is_some_and(|guard| guard.limit == limit));
        let concerns = self_test || arming || self.outputs.concerns_open_epoch(&command);
        let setpoint = matches!(command, Command::SetOutput { .. });
        let renewal = matches!(command, Command::RenewSupply(_) | Command::RenewContactors(_));
        let borne = (renewal || setpoint)
            && refusal == Refusal::TooOld
            && concerns
            && !self.outputs.is_late_again(now);
        if borne && setpoint {
            self.outputs.order_setpoint_again(now);
        }
        if !ending && concerns && !borne {
            if let State::Checking(checking) = self.state {
                return self.check_refused(now, checking, &command, refusal);
            }
            self.fail(now, FaultCode::Refused(command.role()), Evidence::Refused(command.member(), refusal));
        }
    }

    /// Only on fresh inputs; what is missing was made a fault just before.
    fn renew_leases(&mut self, now: Timestamp) {
        if !self.outputs.is_live() {
            return;
        }
        if self.observed.first_missing(now, &self.installation, false).is_none() {
            self.outputs.renew(now);
        }
    }

    /// Latches a fault and answers it.
    fn fail(&mut self, now: Timestamp, code: FaultCode, evidence: Evidence) {
        // Who has left the bus is not late.
        let gone = matches!(code, FaultCode::Missing(role) if !self.observed.is_present(role));
        let evidence = if gone { Evidence::DaemonGone } else { evidence };
        let fault = Fault { code, at: now, evidence };
        if self.faults.latch(fault) {
            self.explain_broken_conversation(code);
            self.shut_down(now, Some(code), code.reaction());
            if !self.is_cause_looked_for(code) {
                self.outputs.report(Report::Fault(fault));
            }
        }
    }

    /// Answers the vehicle's present phase, once.
    fn answer(&mut self, answer: PhaseAnswer) {
        let counter = self.observed.link.counter;
        if self.session.as_mut().is_some_and(|session| session.is_new_answer(counter, answer)) {
            self.outputs.send(Command::Answer { counter, answer });
        }
    }

    fn link_phase(&self) -> LinkPhase {
        self.observed.link.phase
    }
}

/// What watchers are told of at once.
type Watched = (u64, Option<Timestamp>, Option<Timestamp>, voltry_bus::Authorization, Option<StopReason>);

fn watched(session: &Session) -> Watched {
    (session.id, session.energised_at, session.ended_at, session.authorization, session.stop)
}

/// How long a condition has held without a break.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held(Option<Timestamp>);

impl Held {
    /// Whether the condition now holds, and has held for this long.
    fn for_at_least(&mut self, time: Duration, holds: bool, now: Timestamp) -> bool {
        if !holds {
            self.0 = None;
            return false;
        }
        now.since(*self.0.get_or_insert(now)) >= time
    }
}
