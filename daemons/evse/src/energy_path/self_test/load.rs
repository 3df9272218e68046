//! The modules into a load that stands at the plug in a vehicle's place: all of the energy path but the vehicle.
//!
//! ```text
//! pilot C ▶ Permitted ▶ Locking ▶ monitor's self-test, insulation good ▶ Proven ▶ Closing ▶ Ramping ▶ Standing
//!                                       everything off and open ◀ Unloading ◀────────────────────────────┘
//! ```
//! The pilot is at +12 V without pulses, to which a vehicle does not answer with state C: a resistor does. The
//! person at the site says what the load takes. As before a charge nothing closes without a good insulation value,
//! and into a voltage; as in one everything that is measured ends it ([`EnergyPath::energised_by_load`]).

use std::time::Duration;

use voltry_bus::{Contactors, Lock, SelfTestOutcome};
use voltry_units::{Amps, Timestamp, Volts, Watts};

use super::{
    Checking, LOCK_TIME, MODULES_READY, MODULES_SHARED, MONITOR_TIME, NOTHING_TO_GIVE, READING_TIME, Seen,
    Turn, Verdict,
};
use crate::energy_path::outputs::Setpoint;
use crate::energy_path::state::State;
use crate::energy_path::supervision::{Finding, UNABLE};
use crate::energy_path::{EnergyPath, Evidence, FaultCode};

/// Station gives the EVSE a share for it within this time.
const SHARE_TIME: Duration = Duration::from_secs(5);
/// The current rises to the whole in this time: by 100 A/s at most.
const RISES_IN: Duration = Duration::from_secs(10);
/// In steps no closer to each other than this.
const RISES_EVERY: Duration = Duration::from_millis(100);
/// The whole current must stand this long.
const STANDS: Duration = Duration::from_secs(5);
/// Below a load's first volts nothing is a sign of a short circuit: a source may be off by as much.
const TELLS: Volts = Volts::new(5);
/// What a load is tested with: no less is worth it, no plug of any class has more volts, and no more is ramped.
const VOLTAGES: [Volts; 2] = [Volts::new(60), Volts::new(1250)];
const CURRENTS: [Amps; 2] = [Amps::new(1), Amps::new(1000)];

/// What a load takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    pub(in crate::energy_path) voltage: Volts,
    current: Amps,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// A permit gives the power for it.
    Permitted,
    Locking,
    /// Both sides without voltage, whoever watches for over-voltage does.
    Proven,
    /// An epoch without a set-point: a supply that shares modules gets some by it.
    AwaitingModules,
    Closing,
    Ramping,
    Standing,
    /// The output is off; the contactors wait for the current.
    Unloading(Verdict),
}

impl Load {
    /// A load that takes this current at this voltage, or less; none if no load could.
    #[must_use]
    pub fn new(voltage: Volts, current: Amps) -> Option<Self> {
        let possible =
            (VOLTAGES[0]..=VOLTAGES[1]).contains(&voltage) && (CURRENTS[0]..=CURRENTS[1]).contains(&current);
        possible.then_some(Self { voltage, current })
    }

    /// Its volts and amperes.
    #[must_use]
    pub fn named(self) -> (f64, f64) {
        (self.voltage.as_si(), self.current.as_si())
    }

    fn power(self) -> Watts {
        self.voltage * self.current
    }

    /// What stands across it as this current flows, if it takes its current at its voltage.
    fn voltage_at(self, current: Amps) -> Volts {
        self.voltage.scaled(current.as_milli(), self.current.as_milli())
    }
}

impl EnergyPath {
    /// The load that is being tested with.
    pub(in crate::energy_path) fn load(&self) -> Option<Load> {
        match self.state {
            State::Checking(checking) => checking.load(),
            State::Starting(_)
            | State::Available
            | State::Connected(_)
            | State::Parameters(_)
            | State::CableCheck(_)
            | State::PreCharge(_)
            | State::Charging(_)
            | State::Stopping(_)
            | State::Finished(_)
            | State::Paused
            | State::Shutdown(_)
            | State::Faulted(_)
            | State::Unavailable => None,
        }
    }

    fn is_at(&self, stage: Stage) -> bool {
        matches!(
            self.state,
            State::Checking(Checking { stage: super::Stage::Load(at), .. }) if at == stage
        )
    }

    pub(super) const fn first_stage_of_load() -> (super::Stage, Duration) {
        (super::Stage::Load(Stage::Permitted), SHARE_TIME)
    }

    pub(super) fn check_load(&mut self, now: Timestamp, checking: Checking, stage: Stage) -> Turn {
        let Some(load) = checking.load() else { return Ok(None) };
        if stage == Stage::Standing {
            self.load_with(now, load, RISES_IN);
        }
        let profile = &self.installation.profile;
        let io = self.observed.io(now, profile).filter(|io| io.at > checking.since);
        let contactor_time = profile.contactor_time;
        let go = |stage, time| Ok(Some((super::Stage::Load(stage), time)));
        if let Some(why) = self.is_too_much(load) {
            return Err((SelfTestOutcome::Refused, Seen::NotNow(why)));
        }
        if stage != Stage::Permitted && !self.is_permitted(now, load) {
            return Err((SelfTestOutcome::Aborted, Seen::NotNow("the station took the power for it away")));
        }
        match stage {
            Stage::Permitted if self.is_permitted(now, load) => {
                self.outputs.set_lock_if(self.installation.has_lock, true);
                go(Stage::Locking, LOCK_TIME)
            }
            Stage::Locking if !self.installation.has_lock || io.is_some_and(|io| io.lock == Lock::Locked) => {
                self.outputs.set_insulation_active(true);
                Ok(Some((super::Stage::MonitorWaking, MONITOR_TIME)))
            }
            Stage::Proven
                if self.observed.confirmed_safe(now, profile)
                    && self.sides_meet(now)
                    && self.is_check_guarded(now) =>
            {
                if self.is_supply_unable() {
                    self.outputs.enable_supply(now);
                    return go(Stage::AwaitingModules, MODULES_SHARED);
                }
                self.outputs.close_contactors(now);
                go(Stage::Closing, contactor_time)
            }
            Stage::AwaitingModules if !self.is_supply_unable() => go(Stage::Proven, READING_TIME),
            Stage::Closing if io.is_some_and(|io| io.contactors == Contactors::Closed) => {
                if !self.outputs.supply_enabled() {
                    self.outputs.enable_supply(now);
                }
                self.load_with(now, load, Duration::ZERO);
                go(Stage::Ramping, RISES_IN + MODULES_READY)
            }
            Stage::Ramping => {
                let ramped = now.since(checking.since);
                self.load_with(now, load, ramped);
                let whole = ramped >= RISES_IN && self.is_loaded(now, load);
                if whole { go(Stage::Standing, STANDS + READING_TIME) } else { Ok(None) }
            }
            Stage::Standing if !self.is_loaded(now, load) => {
                Err((SelfTestOutcome::Failed, self.loaded_with(now)))
            }
            Stage::Standing if now.since(checking.since) >= STANDS => {
                Err((SelfTestOutcome::Passed, self.loaded_with(now)))
            }
            Stage::Permitted
            | Stage::Locking
            | Stage::Proven
            | Stage::AwaitingModules
            | Stage::Closing
            | Stage::Standing
            | Stage::Unloading(_) => Ok(None),
        }
    }

    fn is_too_much(&self, load: Load) -> Option<&'static str> {
        let able = self.capability();
        if self.has_supply_failed() {
            Some(NOTHING_TO_GIVE)
        } else if load.voltage > able.voltage_max || load.voltage < able.voltage_min {
            Some("the EVSE does not give these volts")
        } else if load.current > self.installation.current_max {
            Some("it is more than the EVSE is made for")
        } else if self.is_supply_unable() || self.outputs.supply_enabled() {
            // A supply that shares modules has none yet, and gets more as more flows. What does not come is seen.
            None
        } else if load.current > able.current_max || load.power() > able.power_max {
            Some("it is more than the EVSE can give")
        } else {
            None
        }
    }

    fn is_permitted(&self, now: Timestamp, load: Load) -> bool {
        self.observed.permit(now).is_some_and(|permit| permit.power >= load.power())
    }

    /// The set-point after so long; no more than a warm connector carries.
    fn load_with(&mut self, now: Timestamp, load: Load, ramped: Duration) {
        let of_all = i64::try_from(RISES_IN.as_millis() / RISES_EVERY.as_millis()).unwrap_or(1);
        let risen = i64::try_from(ramped.as_millis() / RISES_EVERY.as_millis()).unwrap_or(of_all).min(of_all);
        let trickle = self.installation.profile.cable_check_current.min(load.current);
        let current = load.current.scaled(risen, of_all).max(trickle).min(self.carried(now));
        self.outputs.set_output(now, Setpoint { voltage: load.voltage, current });
    }

    fn is_loaded(&self, now: Timestamp, load: Load) -> bool {
        let supply = self.observed.supply(now, &self.installation.profile);
        supply.is_some_and(|supply| supply.current >= load.current.scaled(9, 10))
    }

    fn loaded_with(&self, now: Timestamp) -> Seen {
        let supply = self.observed.supply(now, &self.installation.profile);
        supply.map_or(Seen::Loaded(Volts::ZERO, Amps::ZERO), |supply| {
            Seen::Loaded(supply.voltage, supply.current)
        })
    }

    pub(super) fn load_seen_instead(&self, now: Timestamp, stage: Stage) -> Option<Seen> {
        let io = self.observed.io(now, &self.installation.profile)?;
        match stage {
            Stage::Permitted => Some(Seen::NotNow("the station has no power to spare for it")),
            Stage::Locking => Some(Seen::Lock(io.lock)),
            Stage::AwaitingModules => Some(Seen::NotNow(NOTHING_TO_GIVE)),
            Stage::Closing => Some(Seen::Contactors(io.contactors)),
            Stage::Ramping | Stage::Standing | Stage::Unloading(_) => Some(self.loaded_with(now)),
            Stage::Proven => {
                let cable = self.observed.cable(now, &self.installation.profile)?;
                Some(Seen::Voltages(self.module_side(now), cable))
            }
        }
    }

    /// The output goes; the contactors do not break a current.
    pub(super) fn unload(&mut self, now: Timestamp, checking: Checking, verdict: Verdict) -> State {
        let stage = super::Stage::Load(Stage::Unloading(verdict));
        let until = now + self.installation.profile.current_fall;
        State::Checking(Checking { stage, since: now, until, ..checking })
    }

    /// One turn of that.
    pub(super) fn unloading(&mut self, now: Timestamp, checking: Checking, verdict: Verdict) -> State {
        let profile = &self.installation.profile;
        let supply = self.observed.supply(now, profile).filter(|supply| supply.at > checking.since);
        let current = supply.map(|supply| supply.current.abs());
        if current.is_some_and(|current| current < profile.open_current) {
            return self.open_check(now, checking, verdict);
        }
        if now >= checking.until {
            let evidence = Evidence::Current(current.unwrap_or(Amps::ZERO), profile.open_current);
            self.fail(now, FaultCode::OutputNotOff, evidence);
            return self.state;
        }
        State::Checking(checking)
    }

    /// No vehicle is there, and contactors and modules are never on at once.
    pub(in crate::energy_path) fn energised_by_check(&mut self, now: Timestamp) -> Finding {
        self.cable_is_dead(now)?;
        self.over_current(now)?;
        self.over_voltage(now)?;
        self.inputs_are_fresh(now)?;
        self.guard_holds(now)?;
        self.is_cooled(now)
    }

    /// As in the charge loop, but for what only a vehicle says and what only a sale needs.
    pub(in crate::energy_path) fn energised_by_load(&mut self, now: Timestamp, load: Load) -> Finding {
        self.pilot_and_plug(now)?;
        // A supply that shares modules is enabled before they close, which has a time of its own.
        if !self.is_at(Stage::Closing) {
            self.contactors_follow(now)?;
        }
        self.over_current(now)?;
        self.over_voltage(now)?;
        self.inputs_are_fresh(now)?;
        self.guard_holds(now)?;
        self.load_stands(now, load)?;
        if !self.is_at(Stage::AwaitingModules) {
            self.supply_is_able(now, UNABLE)?;
        }
        self.insulation_holds(now)?;
        self.voltages_agree(now)?;
        self.not_too_hot(now)?;
        self.is_cooled(now)
    }

    /// A load of so many ohms as was said; at less than a quarter of them something else is in the cable.
    fn load_stands(&mut self, now: Timestamp, load: Load) -> Finding {
        let profile = &self.installation.profile;
        let (supply, lower) = (self.observed.supply(now, profile), self.observed.lower_voltage(now, profile));
        let (Some(supply), Some(lower)) = (supply, lower) else { return Ok(()) };
        let least = load.voltage_at(supply.current).scaled(1, 4);
        let flat = self.outputs.supply_enabled() && least >= TELLS && lower < least;
        if self.supervision.collapsed.for_at_least(profile.short_circuit_time, flat, now) {
            return Err((FaultCode::ShortCircuit, Evidence::Voltage(lower, least)));
        }
        Ok(())
    }
}
