//! What a vehicle that plans its charging is offered (2.0.1, K15 to K17).

use super::installed::ChargingProfiles;
use super::profile::{LimitSource, Purpose, UnixSeconds};
use super::rate::RateUnit;
use super::tariff::Tariff;
use super::validate::Edition;

/// How far ahead a vehicle is told, seconds.
const AHEAD_S: i64 = 86_400;

/// A schedule for a vehicle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// The CSMS's id of it; 0: it comes of several profiles, none of which is for this transaction.
    pub id: i32,
    /// From which second from now on how many milliwatts are allowed.
    pub points: Vec<(u32, i64)>,
    /// Seconds.
    pub duration_s: u32,
    /// What energy costs.
    pub tariff: Option<Tariff>,
}

impl ChargingProfiles {
    /// The schedules that a vehicle may choose from: each of those of its transaction's profile, under all
    /// that limits it besides; or the one that follows from other profiles; or none where the CSMS limits
    /// nothing. `entries_max`: how many points the vehicle takes; 0: it did not say.
    #[must_use]
    pub fn offers(&self, edition: Edition, evse: u32, now: UnixSeconds, entries_max: u32) -> Vec<Offered> {
        let bears = |place: u32| place == 0 || place == evse;
        let installed = &self.stored.installed;
        if !installed.iter().any(|one| one.source == LimitSource::Cso && bears(one.evse)) {
            return Vec::new();
        }
        let Some(own) = self.own(evse) else {
            return self.offered(edition, evse, now, entries_max).into_iter().collect();
        };
        let offered = |place| {
            let mut others = self.clone();
            others.put_first(own, place);
            let one = &others.stored.installed[own];
            let started = self.stored.transactions.get(&evse).map_or(now, |it| it.started);
            let schedule = one.profile.schedules.first()?;
            let tariff = schedule.tariff.as_ref().and_then(|it| it.left_at(one.begins(now, started).0, now));
            let offered = others.offered(edition, evse, now, entries_max)?;
            Some(Offered { id: schedule.id, tariff, ..offered })
        };
        (0..installed[own].profile.schedules.len()).filter_map(offered).collect()
    }

    /// The vehicle chose this one of its transaction's schedules: it rules from now on. Whether that is
    /// another than before.
    pub fn choose(&mut self, evse: u32, schedule: i32) -> bool {
        let Some(own) = self.own(evse) else { return false };
        let schedules = &self.stored.installed[own].profile.schedules;
        let place = schedules.iter().position(|one| one.id == schedule).filter(|place| *place > 0);
        if let Some(place) = place {
            self.put_first(own, place);
        }
        place.is_some()
    }

    fn put_first(&mut self, own: usize, place: usize) {
        let schedules = &mut self.stored.installed[own].profile.schedules;
        let chosen = schedules.remove(place);
        schedules.insert(0, chosen);
    }

    /// The profile of the transaction on an EVSE that ranks highest.
    fn own(&self, evse: u32) -> Option<usize> {
        let number = self.stored.transactions.get(&evse)?.number;
        let all = self.stored.installed.iter().enumerate();
        let own = all.filter(|(_, one)| {
            one.evse == evse && one.profile.purpose == Purpose::Tx && one.transaction == Some(number)
        });
        own.max_by_key(|(_, one)| one.profile.stack_level).map(|(place, _)| place)
    }

    fn offered(&self, edition: Edition, evse: u32, now: UnixSeconds, entries_max: u32) -> Option<Offered> {
        let composite = self.composite(edition, evse, now, AHEAD_S, RateUnit::Watts).ok()?;
        let mut duration_s = u32::try_from(composite.duration_s).ok().filter(|duration| *duration > 0)?;
        let periods = composite.periods.iter();
        let mut points: Vec<(u32, i64)> = periods
            .filter_map(|(start, rate)| Some((u32::try_from(*start).ok()?, rate.as_milli())))
            .collect();
        points.retain(|(start, _)| *start < duration_s);
        let count = usize::try_from(entries_max).unwrap_or(usize::MAX);
        if count > 0 && points.len() > count {
            duration_s = points[count].0;
            points.truncate(count);
        }
        Some(Offered { id: 0, points, duration_s, tariff: None })
    }
}
