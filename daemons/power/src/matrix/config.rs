//! `[power.matrix]`: the EVSEs that share modules, and how groups move between them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use voltry_service::Binding;
use voltry_service::config::{duration_ms, quantity};
use voltry_units::{Amps, AmpsPerSecond, Volts};

use crate::Supply;
use crate::pool::{Contactor, Efficiency, POINTS_MAX, Rules};

/// `voltry-board` waits for feedback for up to 500 ms, and that twice: until the others of a group are proven
/// open, and until the contactor is closed. In less, no group would ever move.
const CONTACTOR_TIME_LEAST: Duration = Duration::from_millis(1_500);

/// `[power.matrix]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatrixSettings {
    /// Who drives the contactors, by `SwitchMatrix1`.
    pub switch: Binding,
    /// The EVSEs, by number; each has its supply at `/org/voltry/power_supply/N`.
    pub evses: BTreeSet<u32>,
    /// Amperes a second with which a current moves between groups. Default 20, the least that
    /// IEC 61851-23 has a vehicle bear.
    #[serde(default = "ramp", rename = "ramp_a_per_s", deserialize_with = "quantity")]
    pub ramp: AmpsPerSecond,
    /// Milliseconds for which an EVSE keeps its groups before it gives one back. Default 10 s.
    #[serde(default = "dwell", rename = "dwell_ms", deserialize_with = "duration_ms")]
    pub dwell: Duration,
    /// A group is changed for one that has worked so many hours less. Default 100.
    #[serde(default = "wear_hours")]
    pub wear_hours: u32,
    /// The modules' efficiency: percent of what they can give, rising, and percent of what they take that
    /// comes out. An EVSE has as many groups as lose least then, where nobody else waits for one.
    #[serde(default)]
    pub efficiency: Vec<(f64, f64)>,
    /// Milliseconds within which a contactor has moved, feedback and what proves the others open
    /// included. Default 2 s.
    #[serde(default = "contactor_time", rename = "contactor_ms", deserialize_with = "duration_ms")]
    pub contactor_time: Duration,
}

const fn ramp() -> AmpsPerSecond {
    AmpsPerSecond::new(20)
}

const fn dwell() -> Duration {
    Duration::from_secs(10)
}

const fn wear_hours() -> u32 {
    100
}

const fn contactor_time() -> Duration {
    Duration::from_secs(2)
}

impl MatrixSettings {
    pub(crate) fn rules(&self, groups: &BTreeMap<String, Supply>) -> Rules {
        // A group that never stops by itself is refused where the configuration is read.
        let lost_after = groups.values().filter_map(Supply::lost_after).max();
        Rules {
            difference_max: Volts::new(20),
            opens_below: Amps::new(1),
            ramp: self.ramp,
            matching_current: Amps::new(1),
            efficiency: Efficiency::through(&self.points()),
            load_high: 90,
            load_low: 80,
            dwell: self.dwell,
            wear_hours: self.wear_hours,
            contactor_time: self.contactor_time,
            matching_time: Duration::from_secs(10),
            fresh: Duration::from_millis(500),
            lost_after: lost_after.unwrap_or(Duration::MAX),
        }
    }

    /// Percent and thousandths.
    fn points(&self) -> Vec<(i64, i64)> {
        // Both are 0 to 100 where the configuration was taken.
        #[allow(clippy::cast_possible_truncation)]
        let point = |(load, out): &(f64, f64)| (load.round() as i64, (out * 10.0).round() as i64);
        self.efficiency.iter().map(point).collect()
    }

    fn has_a_curve(&self) -> bool {
        let possible =
            |(load, out): &(f64, f64)| (0.0..=100.0).contains(load) && (50.0..=100.0).contains(out);
        self.efficiency.len() <= POINTS_MAX
            && self.efficiency.iter().all(possible)
            && self.points().is_sorted_by(|(one, _), (next, _)| one < next)
    }

    /// Every contactor, by the places of its group and its EVSE.
    pub(crate) fn contactors(&self, groups: &BTreeMap<String, Supply>) -> Vec<Contactor> {
        let mut contactors = Vec::new();
        for (group, supply) in groups.values().enumerate() {
            for (evse, number) in self.evses.iter().enumerate() {
                if supply.evses.is_empty() || supply.evses.contains(number) {
                    contactors.push(Contactor { group, evse });
                }
            }
        }
        contactors
    }

    pub(crate) fn problems(&self, groups: &BTreeMap<String, Supply>) -> Vec<String> {
        let mut problems = Vec::new();
        if self.evses.is_empty() || groups.is_empty() {
            problems.push("a matrix joins groups ([power.group.NAME]) to `evses`: there are none".to_owned());
        }
        if self.ramp <= AmpsPerSecond::ZERO {
            problems.push("ramp_a_per_s: above 0".to_owned());
        }
        if !(CONTACTOR_TIME_LEAST..=Duration::from_secs(10)).contains(&self.contactor_time) {
            problems.push("contactor_ms: 1500 to 10000".to_owned());
        }
        if !self.has_a_curve() {
            problems.push(format!(
                "efficiency: at most {POINTS_MAX} points [load, efficiency] in percent, the loads rising"
            ));
        }
        for evse in &self.evses {
            let reach =
                || groups.values().filter(|group| group.evses.is_empty() || group.evses.contains(evse));
            if reach().any(|group| group.discharge.is_some())
                && !reach().all(|group| group.discharge.is_some())
            {
                problems.push(format!("EVSE {evse}: all groups that it can have have a discharge, or none"));
            }
        }
        for (name, group) in groups {
            if group.lost_after().is_none() {
                problems.push(format!(
                    "group {name}: modules that never stop by themselves can't be parted from an EVSE when \
                     they fall silent; behind a matrix they need a silence_limit_ms"
                ));
            }
            if let Some(unknown) = group.evses.iter().find(|evse| !self.evses.contains(evse)) {
                problems.push(format!("group {name}: evses: {unknown} is none of [power.matrix]"));
            }
        }
        problems
    }
}
