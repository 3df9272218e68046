//! The limits that follow from the profiles at an instant.

use voltry_units::Watts;

use super::convert::Supply;
use super::installed::ChargingProfiles;
use super::profile::{Purpose, UnixSeconds};
use super::rate::{Rate, RateUnit};
use super::timeline::{Holding, Installed};
use super::validate::Edition;

/// The limits of the whole station at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// What the EVSEs may take together; `None`: nothing limits them.
    pub station: Option<Watts>,
    /// What each EVSE may take, from 1.
    pub evses: Vec<EvseLimit>,
    /// When some of it changes next, by the time of day, unless a profile is set or a transaction
    /// starts or ends before; `None`: never.
    pub until: Option<UnixSeconds>,
}

/// The limit of an EVSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvseLimit {
    /// The EVSE.
    pub evse: u32,
    /// What it may take; `None`: nothing limits it.
    pub limit: Option<Watts>,
}

/// The profiles of one purpose, by rank.
type Ranked<'a> = Vec<&'a Installed>;

/// What bears on one EVSE, and from when its relative schedules count.
struct Bearing<'a> {
    evse: u32,
    tx: Ranked<'a>,
    tx_default: Ranked<'a>,
    external: Ranked<'a>,
    started: UnixSeconds,
    /// No transaction runs: one that would start at any instant would find relative schedules at
    /// their beginning.
    assumed: bool,
}

/// All profiles, sorted once for many instants.
pub(super) struct View<'a> {
    profiles: &'a ChargingProfiles,
    station_max: Ranked<'a>,
    external: Ranked<'a>,
    evses: Vec<Bearing<'a>>,
}

impl ChargingProfiles {
    /// What holds at `now` of all limits. `None`: the time of day is not known, after a start without
    /// a clock. Then each profile counts with its lowest limit: none is exceeded that might hold.
    ///
    /// An EVSE without a transaction gets what one that started now would get.
    #[must_use]
    pub fn limits(&self, edition: Edition, now: Option<UnixSeconds>) -> Limits {
        self.limits_of(&self.view(edition, None, now.unwrap_or(UnixSeconds(0))), now)
    }

    /// The same of the CSMS's profiles alone: whoever sets other limits sees to them.
    #[must_use]
    pub fn csms_limits(&self, edition: Edition, now: Option<UnixSeconds>) -> Limits {
        let mut view = self.view(edition, None, now.unwrap_or(UnixSeconds(0)));
        view.external.clear();
        for bearing in &mut view.evses {
            bearing.external.clear();
        }
        self.limits_of(&view, now)
    }

    fn limits_of(&self, view: &View<'_>, now: Option<UnixSeconds>) -> Limits {
        let mut until = None;
        let mut take = |holding: Holding<Option<Rate>>| {
            until = super::timeline::earlier(until, holding.until);
            holding.value.map(|rate| Watts::from_milli(self.supply.milliwatts(rate)).min(Watts::MAX))
        };
        let station = take(view.station(now));
        let evses = view
            .evses
            .iter()
            .map(|bearing| EvseLimit { evse: bearing.evse, limit: take(view.of_evse(bearing, now)) })
            .collect();
        Limits { station, evses, until }
    }

    /// The profiles by rank. Only `evse`'s, if one is named. EVSEs without a transaction count as if
    /// one started at `assumed_start`.
    pub(super) fn view(&self, edition: Edition, evse: Option<u32>, assumed_start: UnixSeconds) -> View<'_> {
        let evses = match evse {
            Some(evse) => evse..=evse,
            None => 1..=self.rules.evses,
        };
        View {
            profiles: self,
            station_max: self.ranked(edition, Purpose::StationMax, 0),
            external: self.external(0),
            evses: evses
                .map(|evse| {
                    let transaction = self.stored.transactions.get(&evse);
                    let number = transaction.map(|transaction| transaction.number);
                    let mut tx = self.ranked(edition, Purpose::Tx, evse);
                    tx.retain(|one| one.transaction == number);
                    Bearing {
                        evse,
                        tx,
                        tx_default: self.ranked(edition, Purpose::TxDefault, evse),
                        external: self.external(evse),
                        started: transaction.map_or(assumed_start, |transaction| transaction.started),
                        assumed: transaction.is_none(),
                    }
                })
                .collect(),
        }
    }

    /// The profiles of a purpose that bear on an EVSE, the one that rules first.
    fn ranked(&self, edition: Edition, purpose: Purpose, evse: u32) -> Ranked<'_> {
        let mut ranked: Ranked<'_> = self
            .stored
            .installed
            .iter()
            .filter(|one| one.profile.purpose == purpose)
            .filter(|one| one.evse == evse || (one.evse == 0 && purpose == Purpose::TxDefault))
            .collect();
        // Profiles of one level whose validity does not overlap never meet; newer ones are behind
        // older ones in the list, and would win if they did.
        ranked.reverse();
        ranked.sort_by_key(|one| {
            let level = std::cmp::Reverse(one.profile.stack_level);
            match edition {
                // 1.6, 3.13.1: a TxDefaultProfile of a connector overrules those of connector 0.
                Edition::V16 => (one.evse == 0, level, false),
                // K01.FR.52 and .53 keep their levels apart, so that levels alone decide.
                Edition::V201 => (false, level, one.evse == 0),
            }
        });
        ranked
    }

    fn external(&self, evse: u32) -> Ranked<'_> {
        let external =
            |one: &&Installed| one.evse == evse && one.profile.purpose == Purpose::StationExternalConstraints;
        self.stored.installed.iter().filter(external).collect()
    }
}

impl View<'_> {
    /// From here on EVSEs without a transaction are those whose transaction started at the assumed
    /// instant, and time runs on for them.
    pub(super) fn start_assumed(&mut self) {
        for bearing in &mut self.evses {
            bearing.assumed = false;
        }
    }

    fn supply(&self) -> &Supply {
        &self.profiles.supply
    }

    fn capability(&self, evse: u32) -> Rate {
        let index = usize::try_from(evse).unwrap_or(usize::MAX);
        self.profiles.capability.get(index).copied().unwrap_or(Rate::ZERO)
    }

    /// What limits the EVSEs together, without their own limits.
    fn station(&self, now: Option<UnixSeconds>) -> Holding<Option<Rate>> {
        let max = self.ruling(&self.station_max, now, now.unwrap_or(UnixSeconds(0)), false);
        self.lowest(&self.external, now, max)
    }

    /// What limits one EVSE, without what limits the station.
    fn of_evse(&self, bearing: &Bearing<'_>, now: Option<UnixSeconds>) -> Holding<Option<Rate>> {
        let tx = self.ruling(&bearing.tx, now, bearing.started, bearing.assumed);
        let transaction = if tx.value.is_some() {
            tx
        } else {
            let default = self.ruling(&bearing.tx_default, now, bearing.started, bearing.assumed);
            tx.and(&default, default.value)
        };
        self.lowest(&bearing.external, now, transaction)
    }

    /// The limit of the first profile that says one.
    fn ruling(
        &self,
        ranked: &[&Installed],
        now: Option<UnixSeconds>,
        started: UnixSeconds,
        assumed: bool,
    ) -> Holding<Option<Rate>> {
        let mut result = Holding { value: None, until: None };
        let Some(now) = now else {
            let limits = ranked.iter().flat_map(|one| one.limits());
            result.value = limits.reduce(|lowest, limit| self.supply().lower(lowest, limit));
            return result;
        };
        for one in ranked {
            let mut holding = one.at(now, started);
            // A start that moves along with the time never gets past the first period.
            if assumed && one.anchor == super::timeline::Anchor::Transaction {
                holding.until = match (one.profile.valid_from, one.profile.valid_to) {
                    (Some(from), _) if now < from => Some(from),
                    (_, Some(to)) if now < to => Some(to),
                    _ => None,
                };
            }
            result = result.and(&holding, holding.value);
            if result.value.is_some() {
                break;
            }
        }
        result
    }

    /// The lowest of `first` and what each of these says.
    fn lowest(
        &self,
        external: &[&Installed],
        now: Option<UnixSeconds>,
        first: Holding<Option<Rate>>,
    ) -> Holding<Option<Rate>> {
        external.iter().fold(first, |so_far, one| {
            let at = now.unwrap_or(UnixSeconds(i64::MAX));
            let holding = one.at(at, at);
            let value = match (so_far.value, holding.value) {
                (Some(lowest), Some(limit)) => Some(self.supply().lower(lowest, limit)),
                (lowest, limit) => lowest.or(limit),
            };
            so_far.and(&holding, value)
        })
    }

    /// What the composite schedule of the viewed EVSE says at `now`, in `unit`: the lowest of all
    /// that bears on it, the hardware included.
    pub(super) fn composite_of_evse(&self, now: UnixSeconds, unit: RateUnit) -> Holding<Rate> {
        let own = self.evses.first().map(|bearing| self.capped_evse(bearing, now));
        let own = own.unwrap_or(Holding { value: self.capability(0), until: None });
        self.under_station(own, now, unit)
    }

    /// The same for EVSE 0: the sum of the EVSEs, held below what is set for the whole.
    pub(super) fn composite_of_station(&self, now: UnixSeconds, unit: RateUnit) -> Holding<Rate> {
        let each: Vec<Holding<Rate>> =
            self.evses.iter().map(|bearing| self.capped_evse(bearing, now)).collect();
        let rates: Vec<Rate> = each.iter().map(|holding| holding.value).collect();
        let sum = self.supply().sum(&rates, unit);
        let until = each.iter().fold(None, |until, one| super::timeline::earlier(until, one.until));
        self.under_station(Holding { value: sum, until }, now, unit)
    }

    fn capped_evse(&self, bearing: &Bearing<'_>, now: UnixSeconds) -> Holding<Rate> {
        let holding = self.of_evse(bearing, Some(now));
        let value = self.capped(holding.value, self.capability(bearing.evse));
        holding.and(&holding, value)
    }

    fn under_station(&self, own: Holding<Rate>, now: UnixSeconds, unit: RateUnit) -> Holding<Rate> {
        let station = self.station(Some(now));
        let ceiling = self.capped(station.value, self.capability(0));
        let value = self.supply().lower(own.value, ceiling);
        own.and(&station, self.supply().in_unit(value, unit))
    }

    /// A limit, or what the hardware can give, if that is lower.
    fn capped(&self, limit: Option<Rate>, capability: Rate) -> Rate {
        limit.map_or(capability, |limit| self.supply().lower(limit, capability))
    }
}
