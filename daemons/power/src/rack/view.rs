//! What a rack shows of itself.

use std::time::Duration;

use voltry_bus::{DcCapability, DcDischarge, SupplyState};
use voltry_power_module::{Condition, Kind, Output};
use voltry_service::FaultLog;
use voltry_units::{Amps, Celsius, Measured, Timestamp, Volts, Watts};

use super::group::{Group, Member};
use super::module::{Module, Phase, Switch};
use super::{Goal, Rack};

/// Readings further apart are not of one round: each module is read every 50 ms, and on a full
/// bus every 128 ms.
const ROUND: Duration = Duration::from_millis(150);

impl Rack {
    /// What the modules that answer give together: the highest voltage, the sum of currents, and
    /// the time of the oldest reading. A module whose reading is old, or of an earlier round than
    /// the others', is left out, not guessed: one that falls silent must not make all stale.
    pub(crate) fn output(&self, now: Timestamp) -> Option<Measured<Output>> {
        let all = || self.modules.values().filter_map(|module| module.fresh_output(now));
        let newest = all().map(|output| output.at).max()?;
        let round = self.ways.family.reports.map_or(ROUND, |reports| reports.every + ROUND);
        let fresh = || all().filter(|output| newest.since(output.at) <= round);
        let at = fresh().map(|output| output.at).min()?;
        let voltage = fresh().map(|output| output.value.voltage).max()?;
        let current: Amps = fresh().map(|output| output.value.current).sum();
        let inverting = self.modules.values().any(Module::inverts);
        let current = if inverting { Amps::ZERO - current } else { current };
        Some(Measured::new(Output { voltage, current }, at))
    }

    /// When the youngest reading of any module was asked for.
    pub(crate) fn newest_reading(&self) -> Option<Timestamp> {
        self.modules.values().filter_map(Module::output).map(|output| output.at).max()
    }

    /// What can be asked of the modules that can deliver; zero while nothing may flow.
    pub(crate) fn capability(&self, now: Timestamp) -> DcCapability {
        let ready: Vec<&Module> =
            self.modules.values().filter(|module| module.phase == Phase::Ready).collect();
        let capabilities = || ready.iter().filter_map(|module| module.capability());
        let (Some(voltage_min), Some(voltage_max)) = (
            capabilities().map(|capability| capability.voltage_min).max(),
            capabilities().map(|capability| capability.voltage_max).min(),
        ) else {
            return DcCapability::default();
        };
        if self.blocked() || self.link.is_none() || self.may_deliver_anything(now) {
            return DcCapability::default();
        }
        let voltage_max = self.supply.voltage_max.map_or(voltage_max, |limit| limit.min(voltage_max));
        // At the lowest voltage power limits least: what follows is current alone.
        let current: Amps = ready.iter().map(|module| module.limit(Volts::ZERO, now)).sum();
        let current_max = self.supply.current_max.map_or(current, |limit| limit.min(current));
        if current_max <= Amps::ZERO {
            // Voltages without a current are what a supply says that shares its modules.
            return DcCapability::default();
        }
        let power: Watts = capabilities().map(|capability| capability.power_max).sum();
        let power = self.supply.power_max.map_or(power, |limit| limit.min(power));
        DcCapability {
            voltage_min: voltage_min.as_si(),
            voltage_max: voltage_max.as_si(),
            current_max: current_max.as_si(),
            power_max: power.as_si(),
        }
    }

    /// What can be taken from the vehicle; zero while nothing may flow.
    pub(crate) fn discharge(&self, now: Timestamp) -> DcDischarge {
        let able = self.capability(now);
        let Some(limits) = self.supply.discharge.filter(|_| able.current_max > 0.0) else {
            return DcDischarge::default();
        };
        DcDischarge {
            voltage_min: limits.voltage_min.as_si().max(able.voltage_min),
            current_max: limits.current_max.as_si().min(able.current_max),
            power_max: limits.power_max.as_si().min(able.power_max),
        }
    }

    /// What may be taken from the vehicle while the modules can; zero where nothing.
    pub(crate) fn discharge_rated(&self) -> DcDischarge {
        let Some(limits) = self.supply.discharge else { return DcDischarge::default() };
        DcDischarge {
            voltage_min: limits.voltage_min.as_si(),
            current_max: limits.current_max.as_si(),
            power_max: limits.power_max.as_si(),
        }
    }

    /// What all modules that were ever heard are rated for, within the configured limit. Of a group that is
    /// spoken to as one, also of those members that cannot deliver now.
    pub(crate) fn current_rated(&self) -> Amps {
        let members = self.group.as_ref().map_or(1, |group| group.members.len());
        let members = i64::try_from(members).unwrap_or(i64::MAX);
        let rated = self.modules.values().filter_map(Module::rated);
        let rated = rated.map(|one| one.current_max.scaled(members, 1)).sum::<Amps>();
        self.supply.current_max.map_or(rated, |limit| limit.min(rated))
    }

    /// Whether a module is not known to be off, nor with which set-point: right after a start.
    fn may_deliver_anything(&self, now: Timestamp) -> bool {
        self.modules.values().any(|module| module.reserve(now) >= Amps::MAX)
    }

    pub(crate) fn state(&self) -> SupplyState {
        let mut answering = self.modules.values().filter(|module| module.answers()).peekable();
        if self.link.is_none() || answering.peek().is_none() {
            return SupplyState::Absent;
        }
        if matches!(self.goal, Goal::On { .. })
            && self.modules.values().any(|module| matches!(module.switch, Switch::On { .. }))
        {
            return SupplyState::On;
        }
        let asleep = answering.all(|module| module.conditions().has(Condition::Asleep));
        if asleep { SupplyState::Asleep } else { SupplyState::Off }
    }

    pub(crate) fn faults(&self) -> &FaultLog {
        &self.faults
    }

    /// For how long the module has worked that has worked longest.
    pub(crate) fn hours(&self) -> u32 {
        self.modules.values().filter_map(|module| module.hours).max().unwrap_or_default()
    }

    /// The serial number of the first module that told one.
    pub(crate) fn serial(&self) -> String {
        self.modules.values().find_map(Module::whole_serial).unwrap_or_default()
    }

    /// Every module seen, or configured, for a technician.
    pub(crate) fn modules(&self, now: Timestamp) -> Vec<voltry_bus::Module> {
        match (&self.group, self.modules.iter().next()) {
            (Some(group), Some((address, unit))) => {
                let whole = self.shown(*address, unit, now);
                group
                    .members
                    .iter()
                    .map(|(address, member)| of_group(&whole, group, *address, member, now))
                    .collect()
            }
            (Some(_) | None, _) => {
                self.modules.iter().map(|(address, module)| self.shown(*address, module, now)).collect()
            }
        }
    }

    /// What each of them is used for.
    pub(crate) fn uses(&self) -> Vec<voltry_bus::ModuleUse> {
        let of = |address: u8, module: &Module| {
            let share = module.share().scaled(1, module.members.max(1).into());
            let share = if module.inverts() { Amps::ZERO - share } else { share };
            voltry_bus::ModuleUse {
                bus: self.supply.bus.clone(),
                address: address.into(),
                share: share.as_si(),
                hours: module.hours.unwrap_or_default(),
            }
        };
        match (&self.group, self.modules.values().next()) {
            (Some(group), Some(unit)) => group.members.keys().map(|address| of(*address, unit)).collect(),
            (Some(_) | None, _) => {
                self.modules.iter().map(|(address, module)| of(*address, module)).collect()
            }
        }
    }

    fn shown(&self, address: u8, module: &Module, now: Timestamp) -> voltry_bus::Module {
        let output = module.fresh_output(now).map(|output| output.value);
        let answers = module.answers();
        let notes = module.conditions().iter().filter(|_| answers);
        let alarms = notes.filter(|condition| condition.kind() != Kind::State);
        let barred = module.barred.iter().cloned();
        let mut alarms: Vec<String> = alarms.map(|condition| condition.text().to_owned()).collect();
        alarms.extend(barred);
        alarms.dedup();
        voltry_bus::Module {
            bus: self.supply.bus.clone(),
            address: address.into(),
            group: module.group.filter(|_| answers).unwrap_or_default().into(),
            serial: module.whole_serial().unwrap_or_default(),
            state: word(module).to_owned(),
            online: answers,
            voltage: output.map_or(Volts::ZERO, |output| output.voltage).as_si(),
            current: output.map_or(Amps::ZERO, |output| output.current).as_si(),
            available: if module.phase == Phase::Ready { module.limit(Volts::ZERO, now) } else { Amps::ZERO }
                .as_si(),
            temperature: module.temperature.filter(|_| answers).unwrap_or(Celsius::ZERO).as_si(),
            alarms,
            at: module.heard.unwrap_or_default().as_micros(),
        }
    }
}

/// A member, of whose output only its part of the whole is known.
fn of_group(
    whole: &voltry_bus::Module,
    group: &Group,
    address: u8,
    member: &Member,
    now: Timestamp,
) -> voltry_bus::Module {
    let present = group.present(now).count();
    let online = group.present(now).any(|(other, _)| other == address);
    // At most 60.
    let part = |value: f64| if online { value / f64::from(u32::try_from(present).unwrap_or(1)) } else { 0.0 };
    let alarms = member.conditions.iter().filter(|condition| online && condition.kind() != Kind::State);
    voltry_bus::Module {
        address: address.into(),
        group: whole.address,
        online,
        current: part(whole.current),
        available: part(whole.available),
        alarms: alarms.map(|condition| condition.text().to_owned()).collect(),
        at: member.heard.as_micros(),
        ..whole.clone()
    }
}

fn word(module: &Module) -> &'static str {
    match (module.phase, module.switch) {
        (Phase::Absent, _) => "absent",
        (Phase::Silent { .. }, _) => "silent",
        (Phase::Qualifying | Phase::Ready, _) if module.barred.is_some() => "barred",
        (Phase::Qualifying, _) => "starting",
        (Phase::Ready, Switch::On { .. }) => "on",
        (Phase::Ready, _) if module.conditions().has(Condition::Asleep) => "asleep",
        (Phase::Ready, Switch::Off | Switch::TurningOff { .. } | Switch::TurningOn { .. }) => "off",
    }
}
