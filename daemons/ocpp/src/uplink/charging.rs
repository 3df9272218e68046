//! From charging profiles to limits of the station: told when a profile, a transaction or the time of
//! day changes them, whether the CSMS is there or not.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::{info, warn};
use voltry_bus::{CsmsProfile, Error, SchedulePeriod};
use voltry_units::{Timestamp, Watts};

use super::{Action, Command, Core, Notice, Outcome, Record, Registration, Uplink};
use crate::config::Version;
use crate::profiles::{
    ChargingProfiles, Edition, LimitSource, Query, Rate, RateUnit, Rules, Stored, Supply, Transaction,
    UnixSeconds,
};
use crate::time::Now;
use crate::transactions::{Event, Kind, Occasion};

/// How soon a limit that the station did not take is told again.
const RETRY: Duration = Duration::from_secs(5);
/// By how much the time of day must jump to count as set anew.
const JUMP_US: i64 = 2_000_000;

/// A limit that somebody but the CSMS set, as the station tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherLimit {
    /// The EVSE; 0: the station.
    pub evse: u32,
    /// Who, in the station's word.
    pub origin: String,
    /// How much.
    pub power: Watts,
}

/// The profiles, and what the station knows of them.
#[derive(Debug)]
pub struct Charging {
    /// The profiles.
    pub profiles: ChargingProfiles,
    /// What the station was told, by EVSE. A place that is not there was told nothing yet, or did
    /// not take it.
    told: BTreeMap<u32, Option<Watts>>,
    /// Limits under way, by ticket.
    tickets: BTreeMap<u64, u32>,
    /// When limits are to be looked at again.
    due: Option<Timestamp>,
    /// Both clocks as they were last, and whether the time of day was known.
    clocks: Option<(Timestamp, i64, bool)>,
    /// The EVSEs and what the station can give, that the profiles were fitted to.
    fitted: (u32, Vec<Watts>),
    /// What the hardware of each EVSE can give, where the station told.
    hardware: BTreeMap<u32, Watts>,
    /// Transactions that the book opened, with what started them.
    opened: BTreeMap<u32, (u64, Option<i64>)>,
    /// What is on the disk.
    saved: Stored,
    /// What others limit, as it was last told.
    others: Vec<OtherLimit>,
}

impl Charging {
    pub(super) fn new(stored: Stored, supply: Supply) -> Self {
        // No EVSE is known before the station has told of them.
        let rules = Rules { evses: 0, ..Rules::default() };
        Self {
            profiles: ChargingProfiles::new(rules, supply, &[], stored.clone()),
            told: BTreeMap::new(),
            tickets: BTreeMap::new(),
            due: Some(Timestamp::BOOT),
            clocks: None,
            fitted: (0, Vec::new()),
            hardware: BTreeMap::new(),
            opened: BTreeMap::new(),
            saved: stored,
            others: Vec::new(),
        }
    }

    /// The profiles changed: what must be stored before the CSMS hears of it.
    pub fn changed(&mut self) -> Record {
        self.due = Some(Timestamp::BOOT);
        self.saved = self.profiles.stored().clone();
        Record::Profiles(self.saved.clone())
    }

    /// When the limits are to be looked at; never, before the station has told of its EVSEs.
    pub(super) const fn due(&self) -> Option<Timestamp> {
        if self.fitted.0 == 0 { None } else { self.due }
    }

    /// What the EVSEs' hardware can give, where nothing else limits them more: then it is not told.
    pub(super) fn hear_hardware(&mut self, connectors: &[voltry_bus::Connector]) {
        for connector in connectors {
            let Ok(power) = Watts::from_si(connector.limit) else { continue };
            if connector.limit_origin == "hardware" {
                self.hardware.insert(connector.evse, power);
            } else if self.hardware.get(&connector.evse).is_some_and(|known| *known < power) {
                // It can give more than it could, as after its start.
                self.hardware.remove(&connector.evse);
            }
        }
    }

    /// The station started anew: it is told every limit once more.
    pub(super) fn forget_told(&mut self) {
        self.told.clear();
        self.due = Some(Timestamp::BOOT);
    }

    /// The book opened a transaction.
    pub(super) fn hear(&mut self, event: &Event) {
        if event.kind == Kind::Started {
            self.opened.insert(event.evse, (event.transaction, event.remote_start));
        }
    }
}

/// By whose rules profiles are judged.
#[must_use]
pub(super) const fn edition(version: Version) -> Edition {
    match version {
        Version::V16 => Edition::V16,
        Version::V201 => Edition::V201,
    }
}

impl Core {
    /// The time of day for profiles; `None`: nobody knows it.
    #[must_use]
    pub fn profile_time(&self, now: Now) -> Option<UnixSeconds> {
        self.clock.known(now).map(|unix| UnixSeconds(unix.div_euclid(1_000_000)))
    }

    /// Tells the profiles what the CSMS calls the transactions.
    pub fn name_transactions(&mut self) {
        let known = self.delivery.known();
        let names: Vec<(u64, String)> = match self.version {
            Version::V16 => {
                let named = |(number, charge): (&u64, &crate::transactions::Charging)| {
                    charge.csms.map(|csms| (*number, csms.to_string()))
                };
                known.charges.iter().filter_map(named).collect()
            }
            Version::V201 => known
                .plugged
                .values()
                .filter_map(|plug| {
                    plug.running.as_ref().map(|running| (plug.transaction, running.id.clone()))
                })
                .collect(),
        };
        for (number, id) in names {
            self.charging.profiles.transaction_named(number, &id);
        }
    }

    /// The time of day, or what the machine takes for it: what counts from it follows when it is set.
    fn running_time(&self, now: Now) -> i64 {
        self.clock.known(now).unwrap_or(now.unix)
    }

    /// Brings the profiles' transactions to what the station says: the book may be read late. The EVSEs
    /// whose transaction has ended, and those whose transaction got the profile that waited for it.
    fn follow_transactions(&mut self, now: Now) -> (Vec<u32>, Vec<u32>) {
        let unix = UnixSeconds(self.running_time(now).div_euclid(1_000_000));
        let evses: Vec<u32> = self.connectors.evses().collect();
        let mut ended = Vec::new();
        for evse in evses {
            let Some(heard) = self.connectors.get(evse).and_then(super::Connector::heard) else { continue };
            let number = heard.transaction;
            let profiles = &mut self.charging.profiles;
            match (profiles.transaction(evse).map(|running| running.number), number) {
                (Some(earlier), 0) => {
                    profiles.transaction_ended(earlier);
                    ended.push(evse);
                }
                (_, 0) => {}
                (_, number) => {
                    let transaction = Transaction { number, protocol_id: None, started: unix };
                    profiles.transaction_started(evse, transaction);
                }
            }
        }
        self.name_transactions();
        let edition = edition(self.version);
        let profiles = &mut self.charging.profiles;
        let mut profiled = Vec::new();
        self.charging.opened.retain(|&evse, &mut (number, remote_start)| {
            let running = profiles.transaction(evse).filter(|running| running.number == number);
            // What the CSMS calls it is known when its turn has come to be told.
            if running.is_none_or(|running| running.protocol_id.is_none() && profiles.waits_by_id(evse)) {
                return true;
            }
            match profiles.transaction_started_by(edition, evse, remote_start, unix) {
                Ok(true) => profiled.push(evse),
                Ok(false) => {}
                Err(rejection) => warn!(evse, %rejection, "the profile that waited has no place any more"),
            }
            false
        });
        (ended, profiled)
    }
}

impl Uplink {
    /// The charging profiles, for a person.
    pub(crate) fn profiles(&self) -> Vec<CsmsProfile> {
        let reports = self.core.charging.profiles.report(&Query::default(), usize::MAX);
        let each = reports.iter().flat_map(|report| {
            report.profiles.iter().map(move |profile| CsmsProfile {
                evse: report.evse,
                source: report.source.word().to_owned(),
                profile: crate::v201::profile_written(profile).to_string(),
            })
        });
        each.collect()
    }

    /// What all profiles together let an EVSE take in the next so many seconds.
    ///
    /// # Errors
    /// There is no such EVSE, or nobody knows the time of day.
    pub(crate) fn schedule(&self, now: Now, evse: u32, seconds: u32) -> Result<Vec<SchedulePeriod>, Error> {
        let unknown = || Error::Unavailable("nobody has told the time of day yet".to_owned());
        let now = self.core.profile_time(now).ok_or_else(unknown)?;
        let edition = edition(self.core.version);
        let profiles = &self.core.charging.profiles;
        let composite = profiles
            .composite(edition, evse, now, seconds.into(), RateUnit::Watts)
            .map_err(|rejection| Error::OutOfRange(rejection.to_string()))?;
        let periods = composite.periods.into_iter();
        Ok(periods.map(|(from, rate)| SchedulePeriod { from, power: rate.reported() }).collect())
    }

    /// Fits the profiles to the EVSEs, and to what they and the station can give.
    pub(super) fn fit_profiles(&mut self) {
        let evses = self.core.connectors.evses().max().unwrap_or(0);
        let station = self.core.station_power;
        let charging = &mut self.core.charging;
        let each = (1..=evses).map(|evse| charging.hardware.get(&evse).copied().unwrap_or(station));
        let powers: Vec<Watts> = std::iter::once(station).chain(each).collect();
        if charging.fitted.0 == evses && charging.fitted.1 == powers {
            return;
        }
        let rates = powers.iter().map(|power| Rate::from_milli(power.as_milli(), RateUnit::Watts));
        charging.profiles.fit(evses, &rates.collect::<Vec<_>>());
        charging.fitted = (evses, powers);
        charging.due = Some(Timestamp::BOOT);
    }

    /// What others limit: it counts in what is told to the CSMS, and 2.0.1's CSMS hears of it (K11 to
    /// K13). The station itself sees to it that it holds.
    pub(super) fn others_limit(&mut self, now: Now, limits: Vec<OtherLimit>) {
        let unix = UnixSeconds(self.core.running_time(now).div_euclid(1_000_000));
        let mut wanted: BTreeMap<(u32, LimitSource), Watts> = BTreeMap::new();
        for limit in limits.iter().filter(|limit| limit.origin != "csms") {
            let lowest = wanted.entry((limit.evse, source(&limit.origin))).or_insert(limit.power);
            *lowest = (*lowest).min(limit.power);
        }
        let gone = self.core.charging.others.iter().map(|limit| (limit.evse, source(&limit.origin)));
        let gone: Vec<_> = gone.filter(|place| !wanted.contains_key(place)).collect();
        let all = wanted.into_iter().map(|(place, power)| (place, Some(power)));
        let all: Vec<_> = all.chain(gone.into_iter().map(|place| (place, None))).collect();
        self.core.charging.others = limits;
        for ((evse, source), power) in all {
            let rate = power.map(|power| Rate::from_milli(power.as_milli(), RateUnit::Watts));
            match self.core.charging.profiles.constrain(evse, source, rate, unix) {
                Ok(true) => {
                    self.tell(Notice::OtherLimit { evse, source, set: power.is_some() });
                    self.rate_changed(now, evse);
                }
                Ok(false) => {}
                Err(rejection) => warn!(evse, %rejection, "a limit of the station is not taken over"),
            }
        }
    }

    /// Whoever charges there may take more or less from now on, and the CSMS of 2.0.1 hears of it.
    fn rate_changed(&mut self, now: Now, place: u32) {
        if self.core.version == Version::V16 || self.registration != Registration::Accepted {
            return;
        }
        let evses: Vec<u32> =
            self.core.connectors.evses().filter(|evse| place == 0 || *evse == place).collect();
        let told = self.core.told();
        for evse in evses {
            if let Some(sample) = self.core.sample_now(now, evse) {
                self.core.delivery.trigger(&told, evse, sample, Occasion::RateChanged);
            }
        }
    }

    /// The station or its book told of something that transactions may be about.
    pub(super) fn follow_transactions(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.watch_clock(now);
        let (ended, profiled) = self.core.follow_transactions(now);
        // Nobody will say soon what it cost.
        if self.registration != Registration::Accepted {
            ended.into_iter().for_each(|evse| self.cost_unknown(evse));
        }
        if self.core.charging.profiles.stored() != &self.core.charging.saved {
            let record = self.core.charging.changed();
            actions.push(Action::Store(record));
        }
        for evse in profiled {
            self.plan(now, evse, actions);
        }
    }

    /// Looks at the limits, if it is time to, and tells the station what is new.
    pub(super) fn limit_power(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.watch_clock(now);
        if self.core.charging.due().is_none_or(|due| now.at < due) {
            return;
        }
        let unix = self.core.profile_time(now);
        let limits = self.core.charging.profiles.csms_limits(edition(self.core.version), unix);
        // To the microsecond: a second late would be a second above the limit.
        self.core.charging.due = limits.until.zip(self.core.clock.known(now)).map(|(until, unix)| {
            let micros = until.0.saturating_mul(1_000_000).saturating_sub(unix);
            now.at + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
        });
        let places = limits.evses.iter().map(|limit| (limit.evse, limit.limit));
        for (evse, limit) in std::iter::once((0, limits.station)).chain(places) {
            if self.core.charging.told.get(&evse) == Some(&limit) {
                continue;
            }
            match limit {
                Some(limit) => info!(evse, power_w = limit.as_si(), "charging profiles limit the power"),
                None => info!(evse, "no charging profile limits the power"),
            }
            self.core.charging.told.insert(evse, limit);
            let ticket = self.order(Command::Limit { evse, limit }, actions);
            self.core.charging.tickets.insert(ticket, evse);
        }
    }

    /// What came of telling the station a limit; whether it was one.
    pub(super) fn limit_told(&mut self, now: Now, ticket: u64, outcome: &Outcome) -> bool {
        let Some(evse) = self.core.charging.tickets.remove(&ticket) else { return false };
        if *outcome != Outcome::Done {
            warn!(evse, ?outcome, "the station did not take a limit; it is told again");
            self.core.charging.told.remove(&evse);
            let again = now.at + RETRY;
            let due = self.core.charging.due.get_or_insert(again);
            *due = again.min(*due);
        }
        true
    }

    /// A jump of the time of day moves what counts from a start along.
    fn watch_clock(&mut self, now: Now) {
        let (unix, known) = (self.core.running_time(now), self.core.clock.known(now).is_some());
        if let Some((at, before, was_known)) = self.core.charging.clocks {
            if known != was_known {
                self.core.charging.due = Some(Timestamp::BOOT);
            }
            let passed = i64::try_from(now.at.since(at).as_micros()).unwrap_or(i64::MAX);
            let jump = unix.saturating_sub(before).saturating_sub(passed);
            if jump.abs() < JUMP_US {
                // Small corrections add up to nothing: each step counts from the last.
                self.core.charging.clocks = Some((now.at, unix, known));
                return;
            }
            info!(seconds = jump / 1_000_000, "the time of day was set");
            self.core.charging.profiles.clock_moved(jump / 1_000_000);
            self.core.charging.due = Some(Timestamp::BOOT);
        }
        self.core.charging.clocks = Some((now.at, unix, known));
    }
}

/// OCPP's word for who limits.
fn source(origin: &str) -> LimitSource {
    match origin {
        "ems" => LimitSource::Ems,
        "so" => LimitSource::So,
        _ => LimitSource::Other,
    }
}
