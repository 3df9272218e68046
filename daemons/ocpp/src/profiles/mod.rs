//! Smart charging: the charging profiles that a CSMS installs, and the limits that follow from them.
//!
//! Pure: no I/O and no clock. The caller brings the time (Unix seconds, UTC: summer time plays no
//! part) and the transactions; it is given limits, and when they change next.
//!
//! How one limit comes of many profiles (OCPP 1.6, 3.13; OCPP 2.0.1 part 2, K, 3.2 to 3.6):
//! 1. A profile holds from `validFrom` to `validTo`, while its schedule runs. A recurring schedule
//!    begins anew each day or week; what of it is longer than that is cut off.
//! 2. Of the profiles of one purpose that hold at an instant, the one with the highest stack level
//!    rules alone. Where its schedule has a gap, the next lower one rules.
//! 3. A TxProfile that holds rules instead of the TxDefaultProfiles.
//! 4. Over the purposes the lowest limit counts. Amperes become watts only here, after each purpose
//!    has chosen, and a limit that wins is told in the numbers that it was given in.
//! 5. For EVSE 0 the EVSEs' limits are added up; the sum is held below what is set for the whole.
//!
//! Every profile is bounded in periods and every installation in profiles, so each question costs
//! bounded work: an instant looks at each profile once per EVSE, a composite schedule looks at
//! [`composite::MAX_STEPS`] instants at most and is reported shorter if that is not enough.

pub mod composite;
mod convert;
mod criteria;
mod installed;
mod limits;
mod offer;
mod profile;
mod rate;
mod tariff;
mod timeline;
mod validate;

#[cfg(test)]
mod tests;

pub use convert::{Amperes, Supply};
pub use criteria::{Clear, Query, Report};
pub use installed::{ChargingProfiles, Stored, Transaction};
pub use limits::{EvseLimit, Limits};
pub use offer::Offered;
pub use profile::{
    ChargingProfile, ChargingSchedule, Kind, LimitSource, Period, Purpose, Recurrence, UnixSeconds,
};
pub use rate::{Rate, RateUnit};
pub use tariff::{ConsumptionCost, Cost, CostKind, Tariff, TariffEntry};
pub use validate::{Edition, Rejection, Rules};
