//! What each module shall do, so that all together give what was asked.

use std::collections::BTreeMap;

use voltry_power_module::Output;
use voltry_units::{Amps, Timestamp, Volts, Watts};

use super::module::{Aim, Module, Switch};
use super::{Goal, Rack, share, takes_part};

impl Rack {
    /// By address.
    pub(super) fn aims(&self, now: Timestamp) -> BTreeMap<u8, Aim> {
        let idle = match self.goal {
            Goal::Off { since, .. } => {
                !self.supply.sleep_after.is_zero() && now.since(since) > self.supply.sleep_after
            }
            Goal::Armed | Goal::On { .. } => false,
        };
        let of = |address: &u8| Aim {
            asleep: idle,
            walk_in: self.supply.walk_in,
            blink: self.blink.get(address).copied(),
            ..Aim::OFF
        };
        let mut aims: BTreeMap<u8, Aim> =
            self.modules.keys().map(|address| (*address, of(address))).collect();
        let Goal::On { voltage, current, inverting, .. } = self.goal else { return aims };
        if voltage <= Volts::ZERO {
            return aims;
        }
        let at = self.power_counts_at(voltage, inverting);
        let total = self.bounded(at, current.abs(), inverting);
        let mut takers: Vec<_> = self.modules.iter().filter(|(_, module)| takes_part(module)).collect();
        let others = self.modules.values().filter(|module| !takes_part(module));
        let reserved: Amps = others.map(|module| module.reserve(now)).sum();
        self.spare(&mut takers, total - reserved);
        let limits: Vec<Amps> = takers.iter().map(|(_, module)| module.limit(at, now)).collect();
        let all: Amps = self.modules.values().map(|module| module.reserve(now)).sum();
        for ((address, module), share) in takers.iter().zip(share::shares(total - reserved, &limits)) {
            let own = module.reserve(now);
            let room = (total - (all - own)).max(Amps::ZERO);
            let current = if share > own { share.min(room.max(own)) } else { share };
            if let Some(aim) = aims.get_mut(address) {
                aim.output = Some(Output { voltage, current });
                aim.inverting = inverting;
                aim.held_back = current < share;
                aim.may_start = module.ceiling() <= room;
            }
        }
        aims
    }

    /// Leaves off those that would give their least though their share is less. One that is on stays
    /// on while it can, so that a current that changes a little switches nothing.
    fn spare(&self, takers: &mut Vec<(&u8, &Module)>, pool: Amps) {
        let least = self.ways.family.current_least;
        if least <= Amps::ZERO {
            return;
        }
        let is_on = |module: &Module| matches!(module.switch, Switch::On { .. });
        takers.sort_by_key(|(address, module)| (!is_on(module), **address));
        let mut needed = Amps::ZERO;
        takers.retain(|(_, module)| {
            let comfortable = if is_on(module) || needed == Amps::ZERO { least } else { least + least };
            let more = needed + comfortable;
            let taken = more <= pool;
            needed = if taken { more } else { needed };
            taken
        });
    }

    /// The highest voltage that the output may have, as far as that is known: forwards its set-point, and from
    /// a vehicle, whose battery is above that, what was measured.
    fn power_counts_at(&self, voltage: Volts, inverting: bool) -> Volts {
        if !inverting {
            return voltage;
        }
        let takers = self.modules.values().filter(|module| takes_part(module));
        takers.filter_map(Module::output).map(|output| output.value.voltage).fold(voltage, Volts::max)
    }

    /// A total current within the configured limits; those of power at `voltage`.
    fn bounded(&self, voltage: Volts, current: Amps, inverting: bool) -> Amps {
        let discharge = self.supply.discharge.filter(|_| inverting);
        let power = [self.supply.power_max, discharge.map(|limits| limits.power_max)];
        let by_power = power.into_iter().flatten().filter_map(|power: Watts| power.at(voltage));
        let by_current = [self.supply.current_max, discharge.map(|limits| limits.current_max)];
        by_power.chain(by_current.into_iter().flatten()).fold(current, Amps::min)
    }

    /// Whether every module that takes part is on and has confirmed its whole share.
    pub(super) fn all_follow(&self, now: Timestamp) -> bool {
        let aims = self.aims(now);
        let mut takers = self.modules.iter().filter(|(_, module)| takes_part(module)).peekable();
        takers.peek().is_some()
            && takers.all(|(address, module)| {
                let Some(aim) = aims.get(address) else { return false };
                match (aim.output, module.switch) {
                    (Some(_), Switch::On { .. }) => !aim.held_back && aim.output == module.confirmed(),
                    (None, Switch::Off) => true,
                    (Some(_) | None, _) => false,
                }
            })
    }
}
