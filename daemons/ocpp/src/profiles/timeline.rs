//! One profile over time: what it says at an instant, and until when it says that.

use serde::{Deserialize, Serialize};

use super::profile::{ChargingProfile, LimitSource, Recurrence, UnixSeconds};
use super::rate::Rate;

/// A value and the instant at which it ends to hold. `None`: it holds for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holding<T> {
    pub(super) value: T,
    pub(super) until: Option<UnixSeconds>,
}

impl<T> Holding<T> {
    /// `value`, until this or `other` ends, whichever is first.
    pub(super) fn and<U, V>(self, other: &Holding<U>, value: V) -> Holding<V> {
        Holding { value, until: earlier(self.until, other.until) }
    }
}

/// The earlier of two ends, of which `None` is the end of time.
pub(super) fn earlier(first: Option<UnixSeconds>, second: Option<UnixSeconds>) -> Option<UnixSeconds> {
    match (first, second) {
        (Some(first), Some(second)) => Some(first.min(second)),
        (one, other) => one.or(other),
    }
}

/// What an installed schedule's time is counted from: settled when the profile was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Anchor {
    /// This instant.
    At(UnixSeconds),
    /// This instant, and every day or week after it.
    Every(UnixSeconds, Recurrence),
    /// The start of the transaction.
    Transaction,
    /// The instant at which the profile came: a relative profile for the whole station, in 1.6.
    Received(UnixSeconds),
}

/// A profile that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Installed {
    /// 0: the station, or every EVSE alike.
    pub(super) evse: u32,
    pub(super) source: LimitSource,
    pub(super) anchor: Anchor,
    /// The book's number of the transaction that a TxProfile is for.
    pub(super) transaction: Option<u64>,
    pub(super) profile: ChargingProfile,
}

impl Installed {
    /// What the profile says at `now`, for a transaction that started at `started`; `None` where it
    /// says nothing.
    pub(super) fn at(&self, now: UnixSeconds, started: UnixSeconds) -> Holding<Option<Rate>> {
        let profile = &self.profile;
        if let Some(from) = profile.valid_from.filter(|&from| now < from) {
            return Holding { value: None, until: Some(from) };
        }
        if profile.valid_to.is_some_and(|to| now >= to) {
            return Holding { value: None, until: None };
        }
        let holding = self.by_schedule(now, started);
        Holding { until: earlier(holding.until, profile.valid_to), ..holding }
    }

    /// From when the schedule counts that may hold at `now`, and from when the next one does.
    pub(super) fn begins(
        &self,
        now: UnixSeconds,
        started: UnixSeconds,
    ) -> (UnixSeconds, Option<UnixSeconds>) {
        match self.anchor {
            Anchor::At(start) | Anchor::Received(start) => (start, None),
            Anchor::Transaction => (started, None),
            Anchor::Every(first, recurrence) if now >= first => {
                let round = now.since(first).div_euclid(recurrence.seconds());
                let start = first.plus(round.saturating_mul(recurrence.seconds()));
                (start, Some(start.plus(recurrence.seconds())))
            }
            Anchor::Every(first, _) => (first, None),
        }
    }

    fn by_schedule(&self, now: UnixSeconds, started: UnixSeconds) -> Holding<Option<Rate>> {
        let (start, next) = self.begins(now, started);
        if now < start {
            return Holding { value: None, until: Some(start) };
        }
        let Some(schedule) = self.profile.schedules.first() else {
            return Holding { value: None, until: None };
        };
        let offset = now.since(start);
        let duration = schedule.duration_s.map(i64::from);
        if duration.is_some_and(|duration| offset >= duration) {
            return Holding { value: None, until: next };
        }
        let periods = &schedule.periods;
        let following = periods.partition_point(|period| i64::from(period.start_s) <= offset);
        let ends = [periods.get(following).map(|period| i64::from(period.start_s)), duration];
        let end = ends.into_iter().flatten().min().map(|end| start.plus(end));
        let value = following.checked_sub(1).map(|index| periods[index].limit);
        Holding { value, until: earlier(end, next) }
    }

    /// What may hold where the time of day is unknown, after a start without a clock: every limit of
    /// the profile is possible.
    pub(super) fn limits(&self) -> impl Iterator<Item = Rate> + '_ {
        self.profile
            .schedules
            .first()
            .into_iter()
            .flat_map(|schedule| &schedule.periods)
            .map(|period| period.limit)
    }

    /// Whether the profile will never hold again.
    pub(super) fn expired(&self, now: UnixSeconds) -> bool {
        let schedule_over = match self.anchor {
            Anchor::At(start) | Anchor::Received(start) => self
                .profile
                .schedules
                .first()
                .and_then(|schedule| schedule.duration_s)
                .is_some_and(|duration| now >= start.plus(i64::from(duration))),
            Anchor::Every(..) | Anchor::Transaction => false,
        };
        schedule_over || self.profile.valid_to.is_some_and(|to| now >= to)
    }
}
