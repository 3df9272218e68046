//! What a charging profile says, in types of ours for every version of OCPP.

use serde::{Deserialize, Serialize};

use super::rate::{Rate, RateUnit};
use super::tariff::Tariff;

/// An instant of UTC in whole seconds since 1970. Fractions are dropped where a message is read:
/// schedules count in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub i64);

impl UnixSeconds {
    /// The instant this many seconds later; earlier if negative.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this; negative if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What a profile is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Purpose {
    /// Limits that come from elsewhere than the CSMS, as an energy management system. 2.0.1.
    StationExternalConstraints,
    /// The most that the whole station may take. `ChargePointMaxProfile` in 1.6.
    StationMax,
    /// For transactions that have no profile of their own.
    TxDefault,
    /// For one transaction.
    Tx,
}

/// What a schedule's time is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// From `startSchedule`.
    Absolute,
    /// From `startSchedule`, and again each day or week.
    Recurring,
    /// From the start of the transaction.
    Relative,
}

/// How often a recurring schedule begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recurrence {
    /// Every 24 hours.
    Daily,
    /// Every seven days.
    Weekly,
}

impl Recurrence {
    /// Seconds from one beginning to the next.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Daily => 86_400,
            Self::Weekly => 7 * 86_400,
        }
    }
}

/// Who set a limit (OCPP 2.0.1, `ChargingLimitSourceEnumType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LimitSource {
    /// An energy management system on the site.
    Ems,
    /// Something else that is not the CSMS.
    Other,
    /// The grid's or the system's operator.
    So,
    /// The operator of the charging station, by its CSMS.
    Cso,
}

impl LimitSource {
    /// As 2.0.1 writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ems => "EMS",
            Self::Other => "Other",
            Self::So => "SO",
            Self::Cso => "CSO",
        }
    }
}

/// A charging profile as a CSMS sends it. Nothing of it is checked yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargingProfile {
    /// Its id, unique on the station.
    pub id: i32,
    /// Of profiles of one purpose the highest level rules.
    pub stack_level: i32,
    /// What it is for.
    pub purpose: Purpose,
    /// What its time is counted from.
    pub kind: Kind,
    /// How often it begins anew, if it is recurring.
    pub recurrence: Option<Recurrence>,
    /// From when it holds.
    pub valid_from: Option<UnixSeconds>,
    /// From when it holds no more.
    pub valid_to: Option<UnixSeconds>,
    /// The protocol's id of the transaction that a [`Purpose::Tx`] is for; in 1.6 the number as text.
    pub transaction_id: Option<String>,
    /// 1.6 knows one schedule. 2.0.1 allows three, for vehicles that choose; the first rules until
    /// one has chosen.
    pub schedules: Vec<ChargingSchedule>,
}

/// Limits over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargingSchedule {
    /// Its id in 2.0.1; 0 in 1.6, which has none.
    pub id: i32,
    /// What an absolute or recurring schedule is counted from.
    pub start: Option<UnixSeconds>,
    /// How long it runs, in seconds. Without it the last period goes on.
    pub duration_s: Option<i32>,
    /// The unit of every limit in it.
    pub unit: RateUnit,
    /// The least that the vehicle can make use of. Kept and reported; no vehicle on DC needs it.
    pub min_charging_rate: Option<Rate>,
    /// The limits, in order of time.
    pub periods: Vec<Period>,
    /// What energy costs, for the vehicle. 2.0.1.
    #[serde(default)]
    pub tariff: Option<Tariff>,
}

/// A limit from an offset on, until the next period's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// Seconds from the schedule's start.
    pub start_s: i32,
    /// The most that may be taken. Its unit is the schedule's.
    pub limit: Rate,
    /// The phase to use, if it is one. 2.0.1; kept and reported.
    pub phase_to_use: Option<i32>,
}
