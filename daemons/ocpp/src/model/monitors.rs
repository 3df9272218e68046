//! Monitors of variables (N02 to N08). Pure: values and time in, what has to be told out.
//!
//! ```text
//! threshold   within ──beyond──▶ told ──within again──▶ cleared, within
//! delta       reference ──differs by more than the value──▶ told, that is the reference
//! periodic    due ──time──▶ told, due again
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use voltry_units::Timestamp;

use super::events::Trigger;
use super::{Address, Place};
use crate::time::Now;

/// Monitors at the most.
pub const MONITORS_MAX: usize = 64;

/// What a monitor watches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MonitorKind {
    /// The value is above the monitor's.
    UpperThreshold,
    /// The value is below it.
    LowerThreshold,
    /// It differs by more than that from the value told last; of what is no number, it changed.
    Delta,
    /// So many seconds passed.
    Periodic,
    /// The same, on the marks that it makes from midnight, UTC.
    PeriodicClockAligned,
}

impl MonitorKind {
    /// 2.0.1's MonitorEnumType.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UpperThreshold => "UpperThreshold",
            Self::LowerThreshold => "LowerThreshold",
            Self::Delta => "Delta",
            Self::Periodic => "Periodic",
            Self::PeriodicClockAligned => "PeriodicClockAligned",
        }
    }
}

/// A monitor that the CSMS set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Monitor {
    /// Its number.
    pub id: i64,
    /// What it watches.
    pub address: Address,
    /// What for.
    pub kind: MonitorKind,
    /// The threshold, the difference, or seconds.
    pub value: f64,
    /// 0 (danger) to 9 of what it tells.
    pub severity: u8,
    /// Only while a transaction runs there.
    pub transaction: bool,
}

/// Which monitors are at work (N03).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Base {
    /// All.
    #[default]
    All,
    /// Those of the maker; ours are all hard-wired.
    FactoryDefault,
    /// The hard-wired ones alone.
    HardWiredOnly,
}

impl Base {
    /// 2.0.1's MonitoringBaseEnumType.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::FactoryDefault => "FactoryDefault",
            Self::HardWiredOnly => "HardWiredOnly",
        }
    }
}

/// A problem that the CSMS was told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldProblem {
    /// With which component.
    pub place: Place,
    /// The industry's code.
    pub code: String,
    /// The event that told it.
    pub event: i64,
}

/// What must outlive the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    next_id: i64,
    monitors: Vec<Monitor>,
    /// Which monitors are at work.
    pub base: Base,
    /// Severities above it are not told (N05).
    pub level: u8,
    /// The problems that the CSMS was told of.
    pub problems: Vec<ToldProblem>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { next_id: 1, monitors: Vec::new(), base: Base::All, level: 9, problems: Vec::new() }
    }
}

/// Why a monitor was not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSet {
    /// There is one of this kind and severity for this variable (N04.FR.15).
    Duplicate,
    /// No monitor has this number, or it watches another variable (N04.FR.12, N04.FR.16).
    NoSuchMonitor,
    /// There are too many.
    TooMany,
}

/// What a monitor wants told.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The monitor.
    pub monitor: i64,
    /// Which variable.
    pub address: Address,
    /// Its value.
    pub value: String,
    /// What led to it.
    pub trigger: Trigger,
    /// 0 (danger) to 9.
    pub severity: u8,
    /// A threshold is kept again.
    pub cleared: bool,
    /// The transaction that runs there.
    pub transaction: Option<String>,
}

/// What is known of a variable now.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its value.
    pub value: String,
    /// Whether its values are numbers.
    pub number: bool,
    /// The transaction that runs at its EVSE, or, of the station's variables, anywhere.
    pub transaction: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Threshold {
        beyond: bool,
    },
    /// `None`: the value was not known yet.
    Delta {
        reference: Option<String>,
    },
    Periodic {
        due: Timestamp,
    },
}

/// All monitors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Monitors {
    /// What must outlive the machine.
    pub kept: Kept,
    states: BTreeMap<i64, State>,
}

impl Monitors {
    /// With what the store kept.
    #[must_use]
    pub fn new(kept: Kept) -> Self {
        Self { kept, states: BTreeMap::new() }
    }

    /// The monitors, in the order of their numbers.
    #[must_use]
    pub fn set_by_the_csms(&self) -> &[Monitor] {
        &self.kept.monitors
    }

    /// Sets one. A number replaces the monitor of that number.
    ///
    /// # Errors
    /// [`NotSet`]; nothing changes.
    pub fn set(&mut self, wanted: Monitor, id: Option<i64>) -> Result<i64, NotSet> {
        if let Some(id) = id {
            let known = self.kept.monitors.iter_mut().find(|known| known.id == id);
            let known =
                known.filter(|known| known.address.is(&wanted.address)).ok_or(NotSet::NoSuchMonitor)?;
            *known = Monitor { id, ..wanted };
            self.states.remove(&id);
            return Ok(id);
        }
        let same = |known: &Monitor| {
            known.address.is(&wanted.address)
                && known.kind == wanted.kind
                && known.severity == wanted.severity
        };
        if self.kept.monitors.iter().any(same) {
            return Err(NotSet::Duplicate);
        }
        if self.kept.monitors.len() >= MONITORS_MAX {
            return Err(NotSet::TooMany);
        }
        let id = self.kept.next_id;
        self.kept.next_id += 1;
        self.kept.monitors.push(Monitor { id, ..wanted });
        Ok(id)
    }

    /// Removes one; whether it was there.
    pub fn clear(&mut self, id: i64) -> bool {
        let before = self.kept.monitors.len();
        self.kept.monitors.retain(|monitor| monitor.id != id);
        self.states.remove(&id);
        self.kept.monitors.len() != before
    }

    /// Another base: all but `All` removes what the CSMS set (N03.FR.04, N03.FR.05).
    pub fn rebase(&mut self, base: Base) {
        self.kept.base = base;
        if base != Base::All {
            self.kept.monitors.clear();
            self.states.clear();
        }
    }

    /// When [`Self::look`] has something to do although nothing changed. `offset`: what has to be added
    /// to the machine's time of day.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        let due = |state: &State| match state {
            State::Periodic { due } => Some(*due),
            State::Threshold { .. } | State::Delta { .. } => None,
        };
        self.states.values().filter_map(due).min()
    }

    /// Looks at every monitored variable. `unix`: the time of day, microseconds.
    pub fn look(&mut self, now: Now, unix: i64, see: impl Fn(&Address) -> Option<Seen>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for monitor in &self.kept.monitors {
            let seen = see(&monitor.address);
            let state =
                self.states.entry(monitor.id).or_insert_with(|| start(monitor, now, unix, seen.as_ref()));
            let Some((trigger, cleared)) = judge(monitor, state, now, unix, seen.as_ref()) else { continue };
            let Some(seen) = seen else { continue };
            if monitor.transaction && seen.transaction.is_none() {
                continue;
            }
            findings.push(Finding {
                monitor: monitor.id,
                address: monitor.address.clone(),
                value: seen.value,
                trigger,
                severity: monitor.severity,
                cleared,
                transaction: seen.transaction,
            });
        }
        findings
    }
}

fn start(monitor: &Monitor, now: Now, unix: i64, seen: Option<&Seen>) -> State {
    match monitor.kind {
        MonitorKind::UpperThreshold | MonitorKind::LowerThreshold => State::Threshold { beyond: false },
        MonitorKind::Delta => State::Delta { reference: seen.map(|seen| seen.value.clone()) },
        MonitorKind::Periodic | MonitorKind::PeriodicClockAligned => {
            State::Periodic { due: next(monitor, now, unix) }
        }
    }
}

/// When a periodic monitor is due after now.
fn next(monitor: &Monitor, now: Now, unix: i64) -> Timestamp {
    // Checked when it was set: at least a second, at most a year.
    #[allow(clippy::cast_possible_truncation)]
    let interval = ((monitor.value * 1e6) as i64).max(1_000_000);
    let wait = match monitor.kind {
        MonitorKind::PeriodicClockAligned => {
            const DAY: i64 = 86_400_000_000;
            let of_day = unix.rem_euclid(DAY);
            // Midnight is a mark, whatever the interval.
            (interval - of_day % interval).min(DAY - of_day)
        }
        MonitorKind::UpperThreshold
        | MonitorKind::LowerThreshold
        | MonitorKind::Delta
        | MonitorKind::Periodic => interval,
    };
    now.at + Duration::from_micros(wait.unsigned_abs())
}

/// What a monitor finds; whether it is told that all is well again.
fn judge(
    monitor: &Monitor,
    state: &mut State,
    now: Now,
    unix: i64,
    seen: Option<&Seen>,
) -> Option<(Trigger, bool)> {
    match state {
        State::Threshold { beyond } => {
            let value: f64 = seen?.value.parse().ok()?;
            let is_beyond = match monitor.kind {
                MonitorKind::UpperThreshold => value > monitor.value,
                MonitorKind::LowerThreshold => value < monitor.value,
                MonitorKind::Delta | MonitorKind::Periodic | MonitorKind::PeriodicClockAligned => false,
            };
            // What is not told for want of a transaction is not beyond either: it may be told in the next.
            if monitor.transaction && seen?.transaction.is_none() {
                *beyond = false;
                return None;
            }
            let changed = is_beyond != *beyond;
            *beyond = is_beyond;
            changed.then_some((Trigger::Alerting, !is_beyond))
        }
        State::Delta { reference } => {
            let seen = seen?;
            let Some(before) = reference.as_ref() else {
                *reference = Some(seen.value.clone());
                return None;
            };
            let differs = match (seen.number, before.parse::<f64>(), seen.value.parse::<f64>()) {
                (true, Ok(before), Ok(value)) => (value - before).abs() > monitor.value,
                (true | false, _, _) => *before != seen.value,
            };
            if differs {
                *reference = Some(seen.value.clone());
            }
            differs.then_some((Trigger::Delta, false))
        }
        State::Periodic { due } => {
            if now.at < *due {
                return None;
            }
            *due = next(monitor, now, unix);
            Some((Trigger::Periodic, false))
        }
    }
}
