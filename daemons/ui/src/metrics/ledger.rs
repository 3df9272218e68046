//! What was counted since this process began. Pure; time comes in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use voltry_bus::{EvseState, EvseStatus};
use voltry_units::Timestamp;

use super::cause::{Cause, Condition, Uplink};
use crate::bus::{Histogram, Seen};

/// EVSEs that are counted.
const EVSES_MAX: usize = 64;
/// Codes that are counted by name; a station that meets more counts the others as one.
const CODES_MAX: usize = 128;
/// The code of all others.
const OTHER: &str = "other";
/// Longer than this nobody looked: the machine or this process stood still, and nobody knows.
const LOOKED: Duration = Duration::from_secs(10);

/// In which condition an EVSE was.
pub(super) type Standing = (Condition, Uplink);

/// Counters of all EVSEs.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    looked: Option<Timestamp>,
    evses: BTreeMap<u32, Account>,
    codes: BTreeSet<String>,
    /// From the authorization to the first current.
    pub(super) setup: Histogram,
    /// For which nobody looked.
    pub(super) unknown: Duration,
}

/// Counters of one EVSE.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) times: BTreeMap<Standing, Duration>,
    /// Watt-hours delivered.
    pub(super) energy: f64,
    /// By code.
    pub(super) faults: BTreeMap<String, u64>,
    standing: Option<Standing>,
    metered: Option<Metered>,
    latched: Option<BTreeSet<(String, u64)>>,
    authorized: Option<Timestamp>,
    charging: bool,
}

/// The most that an EVSE told of a transaction.
#[derive(Debug)]
struct Metered {
    transaction: u64,
    energy: f64,
}

impl Ledger {
    /// Of these EVSEs, of which nobody has told anything yet; of others from when the station tells of them.
    pub(super) fn of(evses: impl IntoIterator<Item = u32>) -> Self {
        let evses = evses.into_iter().take(EVSES_MAX).map(|evse| (evse, Account::default()));
        Self { evses: evses.collect(), ..Self::default() }
    }

    /// The EVSEs with their counters.
    pub(super) fn accounts(&self) -> impl Iterator<Item = (u32, &Account)> {
        self.evses.iter().map(|(evse, account)| (*evse, account))
    }

    /// Takes what is seen now: until now it was as it was seen before.
    pub(super) fn note(&mut self, now: Timestamp, seen: &Seen) {
        let passed = self.looked.map_or(Duration::ZERO, |before| now.since(before));
        self.looked = Some(now);
        if passed > LOOKED {
            self.unknown += passed;
        } else {
            self.evses.values_mut().for_each(|account| account.pass(passed));
        }
        let uplink = Uplink::of(seen);
        let Some(station) = &seen.station else {
            for account in self.evses.values_mut() {
                account.standing = Some((Condition::Down(Cause::Daemon), uplink));
                account.authorized = None;
            }
            return;
        };
        for status in &station.evses {
            if self.evses.len() >= EVSES_MAX && !self.evses.contains_key(&status.evse) {
                continue;
            }
            let account = self.evses.entry(status.evse).or_default();
            account.standing = Some((Condition::of(status), uplink));
            account.count_energy(status);
            account.count_faults(status, &mut self.codes);
            if let Some(took) = account.begins(now, status) {
                self.setup.count(took);
            }
        }
    }
}

impl Account {
    fn pass(&mut self, passed: Duration) {
        if let Some(standing) = self.standing {
            *self.times.entry(standing).or_default() += passed;
        }
    }

    /// What an EVSE tells begins anew with each transaction. Within one a station that crashed goes on from what was
    /// written last, which is less than it told before. What it told first was delivered before.
    fn count_energy(&mut self, status: &EvseStatus) {
        let EvseStatus { transaction, energy, .. } = *status;
        if !energy.is_finite() || energy < 0.0 {
            return;
        }
        let metered = self.metered.get_or_insert(Metered { transaction, energy });
        // Without an open one it is still that of the last.
        if transaction != 0 && transaction != metered.transaction {
            *metered = Metered { transaction, energy: 0.0 };
        }
        self.energy += (energy - metered.energy).max(0.0);
        metered.energy = metered.energy.max(energy);
    }

    /// What was latched before anybody looked is not counted.
    fn count_faults(&mut self, status: &EvseStatus, codes: &mut BTreeSet<String>) {
        let now: BTreeSet<_> = status.faults.iter().map(|fault| (fault.code.clone(), fault.at)).collect();
        if let Some(before) = self.latched.replace(now.clone()) {
            for (code, _) in now.difference(&before) {
                if codes.len() < CODES_MAX {
                    codes.insert(code.clone());
                }
                let code = if codes.contains(code) { code } else { OTHER };
                *self.faults.entry(code.to_owned()).or_default() += 1;
            }
        }
    }

    /// How long the first current took, if it flows now.
    fn begins(&mut self, now: Timestamp, status: &EvseStatus) -> Option<Duration> {
        let charging = status.state == EvseState::Charging.as_str();
        let began = charging && !std::mem::replace(&mut self.charging, charging);
        if !status.authorized || status.state == EvseState::Available.as_str() {
            self.authorized = None;
            return None;
        }
        if charging {
            return self.authorized.take().filter(|_| began).map(|since| now.since(since));
        }
        let under_way = [EvseState::Parameters, EvseState::CableCheck, EvseState::PreCharge];
        if under_way.iter().any(|state| status.state == state.as_str()) {
            self.authorized.get_or_insert(now);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use voltry_bus::{CsmsState, Fault};

    use super::*;
    use crate::bus::Station;

    fn status(state: &str) -> EvseStatus {
        EvseStatus {
            evse: 1,
            state: state.to_owned(),
            available: true,
            authorized: true,
            voltage: 400.0,
            current: 100.0,
            share: 0.0,
            energy: 0.0,
            soc: -1.0,
            transaction: 0,
            faults: Vec::new(),
        }
    }

    fn seen(status: EvseStatus) -> Seen {
        let station = Station { evses: vec![status], ..Station::default() };
        Seen { station: Some(station), ..Seen::default() }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(1 + seconds * 1_000_000)
    }

    fn times(ledger: &Ledger) -> Vec<(&'static str, &'static str, &'static str, u64)> {
        let times = &ledger.evses[&1].times;
        let row = |((condition, uplink), time): (&Standing, &Duration)| {
            let (condition, cause) = condition.words();
            (condition, cause, uplink.word(), time.as_secs())
        };
        times.iter().map(row).collect()
    }

    #[test]
    fn time_is_counted_by_condition_cause_and_uplink_and_to_nobody_while_nobody_looked() {
        let mut ledger = Ledger::default();
        ledger.note(at(0), &seen(status("available")));
        ledger.note(at(5), &seen(status("charging")));
        let stopped = Fault { code: "MREC8EmergencyStop".to_owned(), cause: String::new(), at: 1 };
        ledger.note(at(8), &seen(EvseStatus { faults: vec![stopped], ..status("emergency") }));
        let offline =
            Seen { has_uplink: true, csms: Some(CsmsState::Connecting), ..seen(status("available")) };
        ledger.note(at(9), &offline);
        ledger.note(at(11), &Seen::default());
        ledger.note(at(12), &seen(EvseStatus { available: false, ..status("available") }));
        ledger.note(at(13), &seen(status("available")));
        ledger.note(at(113), &seen(status("available")));
        let told = times(&ledger);
        for row in [
            ("free", "", "none", 5),
            ("in-use", "", "none", 3),
            ("down", "emergency-stop", "none", 1),
            ("free", "", "offline", 2),
            ("down", "daemon", "none", 1),
            ("down", "out-of-service", "none", 1),
        ] {
            assert!(told.contains(&row), "{row:?} is not in {told:?}");
        }
        assert_eq!(told.len(), 6);
        assert_eq!(ledger.unknown, Duration::from_secs(100));
    }

    #[test]
    fn an_evse_of_a_station_that_never_came_is_down() {
        let mut ledger = Ledger::of([1]);
        ledger.note(at(0), &Seen::default());
        ledger.note(at(5), &Seen::default());
        assert_eq!(times(&ledger), [("down", "daemon", "none", 5)]);
        assert_eq!(Ledger::of(1..=100).evses.len(), EVSES_MAX);
    }

    #[test]
    fn energy_rises_with_each_session_and_by_nothing_that_was_before() {
        let mut ledger = Ledger::default();
        let mut told = |transaction: u64, energy: f64| {
            ledger.note(at(0), &seen(EvseStatus { transaction, energy, ..status("charging") }));
            ledger.evses[&1].energy
        };
        assert_eq!(told(7, 500.0), 0.0);
        assert_eq!(told(7, 700.0), 200.0);
        assert_eq!(told(0, 710.0), 210.0, "read for the closing");
        assert_eq!(told(0, 0.0), 210.0);
        assert_eq!(told(8, 30.0), 240.0);
        assert_eq!(told(8, f64::NAN), 240.0);
    }

    #[test]
    fn energy_that_a_station_tells_again_after_a_crash_is_counted_once() {
        let mut ledger = Ledger::default();
        let mut told = |transaction: u64, energy: f64| {
            ledger.note(at(0), &seen(EvseStatus { transaction, energy, ..status("charging") }));
            ledger.evses[&1].energy
        };
        told(7, 0.0);
        assert_eq!(told(7, 700.0), 700.0);
        for (transaction, energy) in [(0, 0.0), (7, 690.0), (7, 700.0)] {
            assert_eq!(told(transaction, energy), 700.0);
        }
        assert_eq!(told(7, 720.0), 720.0);
    }

    #[test]
    fn a_fault_counts_when_it_comes_and_codes_are_bounded() {
        let mut ledger = Ledger::default();
        let with = |faults: &[(&str, u64)]| {
            let fault =
                |(code, at): &(&str, u64)| Fault { code: (*code).to_owned(), cause: String::new(), at: *at };
            seen(EvseStatus { faults: faults.iter().map(fault).collect(), ..status("faulted") })
        };
        ledger.note(at(0), &with(&[("MeterStuck", 1)]));
        ledger.note(at(1), &with(&[("MeterStuck", 1), ("DiodeFault", 2)]));
        ledger.note(at(2), &with(&[]));
        ledger.note(at(3), &with(&[("MeterStuck", 3)]));
        let told = &ledger.evses[&1].faults;
        assert_eq!(
            told.iter().map(|(code, n)| (code.as_str(), *n)).collect::<Vec<_>>(),
            [("DiodeFault", 1), ("MeterStuck", 1)]
        );
        for number in 0..1000 {
            let code = format!("Mad{number}");
            ledger.note(at(4), &with(&[(&code, 4)]));
        }
        let told = &ledger.evses[&1].faults;
        assert_eq!((told.len(), told[OTHER]), (CODES_MAX + 1, 1000 - (CODES_MAX as u64 - 2)));
    }

    #[test]
    fn the_way_from_authorization_to_current_is_counted_once_a_session() {
        let mut ledger = Ledger::default();
        let states =
            ["authorizing", "parameters", "cable-check", "pre-charge", "charging", "paused", "charging"];
        for (second, state) in states.iter().enumerate() {
            ledger.note(at(second as u64), &seen(status(state)));
        }
        assert_eq!((ledger.setup.total(), ledger.setup.seconds()), (1, 3.0));
    }
}
