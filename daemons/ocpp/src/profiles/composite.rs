//! The composite schedule: what all profiles together come to over time.

use super::installed::ChargingProfiles;
use super::profile::UnixSeconds;
use super::rate::{Rate, RateUnit};
use super::validate::{Edition, Rejection};

/// The most periods that a composite schedule has. OCPP 2.0.1 allows 1024.
pub const MAX_PERIODS: usize = 512;

/// The most instants that are looked at for one composite schedule.
pub const MAX_STEPS: usize = 4096;

/// What an EVSE, or the station, may take over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompositeSchedule {
    /// The EVSE; 0: the station.
    pub evse: u32,
    /// Its first instant.
    pub start: UnixSeconds,
    /// How many seconds it covers: what was asked for, or less if that is more than
    /// [`MAX_PERIODS`] or [`MAX_STEPS`] describe.
    pub duration_s: i64,
    /// The unit of its limits.
    pub unit: RateUnit,
    /// From which second on which limit holds. The first one begins at 0; neighbours differ.
    pub periods: Vec<(i64, Rate)>,
}

impl ChargingProfiles {
    /// GetCompositeSchedule from `now` on. An EVSE without a transaction is described as if one
    /// started now. A duration of 0 asks for this instant alone.
    ///
    /// # Errors
    /// There is no such EVSE, or a negative duration.
    pub fn composite(
        &self,
        edition: Edition,
        evse: u32,
        now: UnixSeconds,
        duration_s: i64,
        unit: RateUnit,
    ) -> Result<CompositeSchedule, Rejection> {
        if evse > self.rules.evses {
            return Err(Rejection::UnknownEvse(evse));
        }
        if duration_s < 0 {
            return Err(Rejection::NegativeDuration);
        }
        let mut view = self.view(edition, (evse != 0).then_some(evse), now);
        view.start_assumed();
        let end = now.plus(duration_s);
        let mut periods: Vec<(i64, Rate)> = Vec::new();
        let mut at = now;
        for _ in 0..MAX_STEPS {
            let holding = match evse {
                0 => view.composite_of_station(at, unit),
                _ => view.composite_of_evse(at, unit),
            };
            if periods.last().is_none_or(|&(_, rate)| !reads_alike(rate, holding.value)) {
                if periods.len() == MAX_PERIODS {
                    break;
                }
                periods.push((at.since(now), holding.value));
            }
            at = holding.until.filter(|&until| until < end).unwrap_or(end);
            if at >= end {
                break;
            }
        }
        Ok(CompositeSchedule { evse, start: now, duration_s: at.since(now), unit, periods })
    }
}

/// Whether a reader of the message sees no difference.
fn reads_alike(one: Rate, other: Rate) -> bool {
    one.reported() == other.reported() && one.phases == other.phases
}
