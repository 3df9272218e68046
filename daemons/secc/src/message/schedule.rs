//! Charging schedules: what a vehicle may choose from, and what it makes of them.

use std::time::Duration;

use voltry_units::{Percent, Timestamp, Watts};

use super::{EvLimits, Needs, Protocol};

/// The schedule of a vehicle for which nobody plans: its id, and how long it goes, seconds.
pub const UNPLANNED: (u8, u32) = (1, 86_400);
/// How old a signed tariff may be told: its times count from when it is, and cannot be moved.
const SIGNED_WITHIN: Duration = Duration::from_secs(60);
/// Steps so near to each other are one: whole seconds of two clocks, and the bus's way. Seconds.
const SAME_WITHIN: u32 = 5;

/// So much power from so many seconds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PowerPoint {
    /// Seconds.
    pub start: u32,
    /// What is allowed, or meant to be taken.
    pub power: Watts,
}

/// SAScheduleTuple; in ISO 15118-20 ScheduleTuple.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Not 0.
    pub id: u8,
    /// At least one, the first at 0, in the order of their start.
    pub points: Vec<PowerPoint>,
    /// Seconds.
    pub duration: u32,
    /// What the energy costs when.
    pub tariff: Option<Tariff>,
}

/// SalesTariff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tariff {
    /// SalesTariffID.
    pub id: u8,
    /// At most 32 characters.
    pub description: Option<String>,
    /// NumEPriceLevels.
    pub price_levels: Option<u8>,
    /// At least one, the first at 0, in the order of their start.
    pub entries: Vec<TariffEntry>,
}

/// SalesTariffEntry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TariffEntry {
    /// Seconds.
    pub start: u32,
    /// Seconds; `None`: to the next.
    pub duration: Option<u32>,
    /// EPriceLevel.
    pub price_level: Option<u8>,
    /// At most three.
    pub costs: Vec<ConsumptionCost>,
}

/// ConsumptionCost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumptionCost {
    /// From this power on.
    pub start_value: Watts,
    /// One to three.
    pub costs: Vec<Cost>,
}

/// Cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Of what.
    pub kind: CostKind,
    /// In units of its kind.
    pub amount: u32,
    /// Power of ten.
    pub multiplier: i8,
}

/// costKind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the standard's own words")]
pub enum CostKind {
    CarbonDioxideEmission,
    RelativePricePercentage,
    RenewableGenerationPercentage,
}

/// What a vehicle says of itself that wants schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// What an offer must name.
    pub id: u64,
    /// In which protocol.
    pub protocol: Protocol,
    /// The station sets the power.
    pub dynamic: bool,
    /// How many entries it takes in each; 0: it did not say.
    pub entries_max: u16,
    /// What it can take.
    pub limits: EvLimits,
    /// What it needs by when.
    pub needs: Needs,
    /// Its state of charge.
    pub soc: Option<Percent>,
}

/// What a planner offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The request that it answers; 0: unasked.
    pub id: u64,
    /// When it came, from which its times count.
    pub at: Timestamp,
    /// At most three; none: nobody plans.
    pub schedules: Vec<Schedule>,
    /// The mobility operator's over the tariffs.
    pub signature: Option<Vec<u8>>,
}

/// What a vehicle chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Which schedule.
    pub schedule: u32,
    /// What it means to take; empty: it did not say.
    pub profile: Vec<PowerPoint>,
    /// When the last of it ends, seconds; `None`: it did not say.
    pub end: Option<u32>,
}

impl Tariff {
    /// What energy costs at a second.
    fn price(&self, second: u32) -> Option<(Option<u8>, &[ConsumptionCost])> {
        let begun = self.entries.partition_point(|entry| entry.start <= second);
        let entry = self.entries.get(begun.checked_sub(1)?)?;
        Some((entry.price_level, &entry.costs))
    }
}

impl Schedule {
    /// All that there is, for a day.
    #[must_use]
    pub fn unplanned(limit: Watts) -> Self {
        let (id, duration) = UNPLANNED;
        Self { id, points: vec![PowerPoint { start: 0, power: limit }], duration, tariff: None }
    }

    /// The least power that is allowed from one second to another.
    #[must_use]
    pub fn least(&self, from: u32, until: u32) -> Watts {
        let (from, until) = (from.min(u32::MAX - 1), until.max(from.saturating_add(1)));
        let ends = self.points.iter().skip(1).map(|point| point.start).chain([u32::MAX]);
        let over = |(point, end): &(&PowerPoint, u32)| point.start < until && *end > from;
        self.points.iter().zip(ends).filter(over).map(|(point, _)| point.power).min().unwrap_or(Watts::ZERO)
    }

    /// Whether a vehicle that takes what it means to stays within this schedule (ISO 15118-2
    /// \[V2G2-225\]). Volkswagen's send a single entry, of what is allowed at first, for any schedule: one
    /// whose end is not told says nothing of what comes after the limit under which it begins.
    #[must_use]
    pub fn allows(&self, plan: &Plan) -> bool {
        let profile = &plan.profile;
        let last = profile.last().map(|point| plan.end.unwrap_or(point.start));
        let ends = profile.iter().skip(1).map(|point| point.start).chain(last);
        profile.iter().zip(ends).all(|(point, end)| point.power <= self.least(point.start, end))
    }

    /// Whether a vehicle may take by this what it may by the other, as long as both last.
    fn allows_as(&self, other: &Self, limit: Watts) -> bool {
        let power = |schedule: &Self, second| {
            let begun = schedule.points.partition_point(|point| point.start <= second);
            begun
                .checked_sub(1)
                .and_then(|last| schedule.points.get(last))
                .map(|point| point.power.min(limit))
        };
        let starts = |schedule: &Self| schedule.points.iter().map(|point| point.start).collect();
        self.id == other.id
            && self.agrees(other, starts, |second| power(self, second) == power(other, second))
    }

    /// Whether the energy costs by this what it does by the other, likewise.
    fn costs_as(&self, other: &Self) -> bool {
        let (Some(tariff), Some(other_tariff)) = (&self.tariff, &other.tariff) else {
            return self.tariff == other.tariff;
        };
        let starts = |schedule: &Self| {
            let entries = schedule.tariff.iter().flat_map(|tariff| &tariff.entries);
            entries.map(|entry| entry.start).collect()
        };
        tariff.id == other_tariff.id
            && self.agrees(other, starts, |second| tariff.price(second) == other_tariff.price(second))
    }

    /// Whether two agree shortly after each step of either, as long as both last.
    fn agrees(&self, other: &Self, starts: fn(&Self) -> Vec<u32>, agrees: impl Fn(u32) -> bool) -> bool {
        let end = self.duration.min(other.duration);
        let steps = [starts(self), starts(other)].concat();
        let after = |start: &u32| start.saturating_add(SAME_WITHIN);
        steps.iter().map(after).filter(|second| *second < end).all(agrees)
    }

    /// What is left of it after so many seconds; `None`: nothing.
    fn after(&self, seconds: u32) -> Option<Self> {
        let duration = self.duration.checked_sub(seconds).filter(|left| *left > 0)?;
        let past =
            |starts: &mut dyn Iterator<Item = u32>| starts.filter(|start| *start <= seconds).count() - 1;
        let points = &self.points[past(&mut self.points.iter().map(|point| point.start))..];
        let moved = |start: u32| start.saturating_sub(seconds);
        let tariff = self.tariff.as_ref().map(|tariff| Tariff {
            entries: tariff.entries[past(&mut tariff.entries.iter().map(|entry| entry.start))..]
                .iter()
                .map(|entry| TariffEntry {
                    start: moved(entry.start),
                    duration: entry
                        .duration
                        .map(|duration| duration - seconds.saturating_sub(entry.start).min(duration)),
                    ..entry.clone()
                })
                .collect(),
            ..tariff.clone()
        });
        let points = points.iter().map(|point| PowerPoint { start: moved(point.start), ..*point }).collect();
        Some(Self { points, duration, tariff, ..*self })
    }

    /// With no more points or entries than a vehicle takes: the last goes on to the end, at the least
    /// power of those that it stands for.
    fn in_at_most(mut self, entries: usize) -> Self {
        if let Some(last) = entries.checked_sub(1) {
            if let Some(point) = self.points.get(last).copied() {
                let power = self.least(point.start, u32::MAX);
                self.points.truncate(last);
                self.points.push(PowerPoint { power, ..point });
            }
            if let Some(tariff) = &mut self.tariff {
                tariff.entries.truncate(entries);
            }
        }
        self
    }
}

impl Offer {
    /// What a vehicle is told at `now`, of which it takes so many entries in each schedule (0: any),
    /// by an EVSE that offers `limit`: nothing above that, and where nobody plans just that.
    #[must_use]
    pub fn told(planned: Option<&Self>, now: Timestamp, limit: Watts, entries: usize) -> Self {
        let (id, at) = planned.map_or((0, now), |planned| (planned.id, planned.at));
        let mut schedules = planned.map_or_else(Vec::new, |planned| planned.left(now, entries));
        if schedules.is_empty() {
            schedules.push(Schedule::unplanned(limit));
        }
        let signature = planned.and_then(|planned| planned.signature.clone());
        for schedule in &mut schedules {
            for point in &mut schedule.points {
                point.power = point.power.min(limit);
            }
            if signature.is_some() && now.since(at) > SIGNED_WITHIN {
                schedule.tariff = None;
            }
        }
        Self { id, at, schedules, signature }
    }

    /// Whether a vehicle that was told `told`, when an EVSE offered `limit`, would hear something else now.
    /// An offer that a planner only repeats is none: one who answers each vehicle that asks anew would have
    /// it ask for ever.
    #[must_use]
    pub fn is_news(&self, told: &Self, now: Timestamp, limit: Watts, entries: usize) -> bool {
        let left = |offer: &Self| {
            let left = offer.left(now, entries);
            if left.is_empty() { vec![Schedule::unplanned(limit)] } else { left }
        };
        let (new, old) = (left(self), left(told));
        // What is signed cannot be moved.
        let signed = self.signature.is_some();
        let same_price = |new: &Schedule, old: &Schedule| {
            if signed { new.tariff == old.tariff } else { new.costs_as(old) }
        };
        let same = |(new, old): (&Schedule, &Schedule)| new.allows_as(old, limit) && same_price(new, old);
        signed != told.signature.is_some() || new.len() != old.len() || !new.iter().zip(&old).all(same)
    }

    /// What is left of its schedules, in so many entries each. A signed tariff is whole, or none.
    fn left(&self, now: Timestamp, entries: usize) -> Vec<Schedule> {
        let seconds = u32::try_from(now.since(self.at).as_secs()).unwrap_or(u32::MAX);
        let whole = |tariff: &&Tariff| entries == 0 || tariff.entries.len() <= entries;
        let left = |schedule: &Schedule| {
            let left = schedule.after(seconds)?.in_at_most(entries);
            Some(if self.signature.is_some() {
                Schedule { tariff: schedule.tariff.as_ref().filter(whole).cloned(), ..left }
            } else {
                left
            })
        };
        self.schedules.iter().filter_map(left).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(points: &[(u32, i32)]) -> Vec<PowerPoint> {
        points.iter().map(|(start, watts)| PowerPoint { start: *start, power: Watts::new(*watts) }).collect()
    }

    fn schedule() -> Schedule {
        Schedule {
            id: 1,
            points: points(&[(0, 50_000), (600, 20_000), (1200, 60_000)]),
            duration: 3600,
            tariff: None,
        }
    }

    #[test]
    fn a_profile_must_stay_within_the_schedule_all_the_time() {
        for (profile, allowed) in [
            (&[(0, 50_000), (600, 20_000), (1200, 60_000)][..], true),
            (&[(0, 20_000)], true),
            (&[(0, 0)], true),
            (&[(0, 50_000)], true),
            (&[(0, 50_001)], false),
            (&[(600, 20_001)], false),
            (&[(0, 50_000), (599, 20_000)], true),
            (&[(0, 50_000), (601, 20_000)], false),
            (&[(1200, 60_000)], true),
            (&[(0, 10_000), (1199, 60_000)], false),
            (&[(0, 10_000), (90_000, 60_001)], false),
            (&[(0, 10_000), (u32::MAX, 60_000)], true),
            (&[(u32::MAX, 60_001)], false),
        ] {
            let plan = Plan { schedule: 1, profile: points(profile), end: None };
            assert_eq!(schedule().allows(&plan), allowed, "{profile:?}");
        }
    }

    #[test]
    fn a_signed_tariff_is_told_whole_or_not_at_all_beside_what_is_left_of_the_power() {
        let now = Timestamp::from_micros(1_000_000_000);
        let entry = |start| TariffEntry { start, duration: None, price_level: Some(1), costs: Vec::new() };
        let entries = vec![entry(0), entry(10), entry(1800)];
        let tariff = Tariff { id: 1, description: None, price_levels: Some(1), entries };
        let schedules = vec![Schedule { tariff: Some(tariff.clone()), ..schedule() }];
        let planned = Offer { id: 7, at: now, schedules, signature: Some(vec![1; 64]) };
        let told = |seconds, entries| {
            let later = now + Duration::from_secs(seconds);
            let told = Offer::told(Some(&planned), later, Watts::new(55_000), entries);
            (told.schedules[0].points.clone(), told.schedules[0].tariff.clone())
        };
        let whole = points(&[(0, 50_000), (570, 20_000), (1170, 55_000)]);
        assert_eq!(told(30, 0), (whole.clone(), Some(tariff.clone())));
        assert_eq!(told(30, 3), (whole, Some(tariff)));
        assert_eq!(
            told(30, 2),
            (points(&[(0, 50_000), (570, 20_000)]), None),
            "cut it is not what was signed"
        );
        assert_eq!(told(700, 0), (points(&[(0, 20_000), (500, 55_000)]), None));
    }

    #[test]
    fn what_is_told_later_is_what_is_left_of_it() {
        let now = Timestamp::from_micros(1_000_000_000);
        let planned = Offer { id: 7, at: now, schedules: vec![schedule()], signature: None };
        let told = |seconds, entries| {
            let later = now + Duration::from_secs(seconds);
            Offer::told(Some(&planned), later, Watts::new(55_000), entries).schedules[0].clone()
        };
        assert_eq!(told(0, 0).points, points(&[(0, 50_000), (600, 20_000), (1200, 55_000)]));
        assert_eq!(told(700, 0).points, points(&[(0, 20_000), (500, 55_000)]));
        assert_eq!((told(700, 0).duration, told(700, 0).id), (2900, 1));
        assert_eq!(told(0, 2).points, points(&[(0, 50_000), (600, 20_000)]));
        assert_eq!(told(0, 1).points, points(&[(0, 20_000)]));
        assert_eq!(told(3600, 0), Schedule::unplanned(Watts::new(55_000)));
        let unplanned = Offer::told(None, now, Watts::new(55_000), 1);
        assert_eq!((unplanned.id, unplanned.schedules), (0, vec![Schedule::unplanned(Watts::new(55_000))]));
    }
}
