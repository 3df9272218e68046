//! Which profiles are accepted, and why the others are not.

use super::profile::{ChargingProfile, ChargingSchedule, Kind, Purpose, UnixSeconds};
use super::timeline::{Anchor, Installed};

/// The edition of OCPP by whose rules a profile is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edition {
    /// OCPP 1.6.
    V16,
    /// OCPP 2.0.1.
    V201,
}

/// What this station accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// EVSEs are numbered from 1 to this.
    pub evses: u32,
    /// `MaxChargingProfilesInstalled`; `ChargingProfiles.Entries`' maximum in 2.0.1.
    pub max_profiles: usize,
    /// `ChargeProfileMaxStackLevel`, `ProfileStackLevel`: the highest level accepted.
    pub max_stack_level: i32,
    /// `ChargingScheduleMaxPeriods`, `PeriodsPerSchedule`.
    pub max_periods: usize,
    /// `ConnectorSwitch3to1PhaseSupported`, `ACPhaseSwitchingSupported`.
    pub phase_switching: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { evses: 1, max_profiles: 32, max_stack_level: 16, max_periods: 64, phase_switching: false }
    }
}

/// Why a request is rejected. 1.6 answers `Rejected` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the text says it
pub enum Rejection {
    #[error("there is no EVSE {0}")]
    UnknownEvse(u32),
    #[error("a {0:?} profile must be set at EVSE 0")]
    NotAtAnEvse(Purpose),
    #[error("a TxProfile must name an EVSE")]
    TxProfileAtEvse0,
    #[error("a CSMS cannot set external constraints")]
    ExternalConstraints,
    #[error("id {0} belongs to an external constraint")]
    IdOfExternalConstraint(i32),
    #[error("stack level {0} is not between 0 and {1}")]
    StackLevel(i32, i32),
    #[error("a TxProfile needs a transaction id")]
    NoTransactionId,
    #[error("no transaction runs on EVSE {0}")]
    NoTransaction(u32),
    #[error("the transaction on EVSE {0} is another one")]
    OtherTransaction(u32),
    #[error("only a TxProfile may come with a request to start")]
    NotForStart,
    #[error("a recurring profile needs a recurrency kind")]
    NoRecurrency,
    #[error("an absolute or recurring schedule needs a start")]
    NoStart,
    #[error("a relative schedule has no start of its own")]
    RelativeWithStart,
    #[error("a profile for the whole station cannot be relative")]
    RelativeStationMax,
    #[error("it would never be valid")]
    NeverValid,
    #[error("{0} schedules; a TxProfile has one to three, others have one")]
    Schedules(usize),
    #[error("{0} periods; a schedule has between 1 and {1}")]
    Periods(usize, usize),
    #[error("the first period must start at 0, each other one later than the one before it")]
    PeriodOrder,
    #[error("a duration cannot be negative")]
    NegativeDuration,
    #[error("a limit is in another unit than its schedule")]
    MixedUnits,
    #[error("the number of phases is 1, 2 or 3")]
    Phases,
    #[error("a phase is named, but this station does not switch phases")]
    PhaseToUse,
    #[error("profile {0} has the same purpose and stack level")]
    Duplicate(i32),
    #[error("{0} profiles are installed, which is all that fit")]
    Full(usize),
}

impl Rejection {
    /// The reason code of OCPP 2.0.1 (part 2, appendix 5); at most 20 characters.
    #[must_use]
    pub fn reason_code(&self) -> &'static str {
        match self {
            Self::UnknownEvse(_) => "UnknownEvse",
            Self::NotAtAnEvse(_) | Self::TxProfileAtEvse0 => "InvalidValue",
            Self::ExternalConstraints
            | Self::NotForStart
            | Self::RelativeStationMax
            | Self::NeverValid
            | Self::IdOfExternalConstraint(_) => "InvalidProfile",
            Self::StackLevel(..) => "InvalidStackLevel",
            Self::NoTransactionId | Self::NoRecurrency | Self::NoStart => "MissingParam",
            Self::NoTransaction(_) => "TxNotFound",
            Self::OtherTransaction(_) => "UnknownTxId",
            Self::RelativeWithStart
            | Self::Schedules(_)
            | Self::PeriodOrder
            | Self::NegativeDuration
            | Self::MixedUnits
            | Self::Phases => "InvalidSchedule",
            Self::Periods(..) => "TooManyElements",
            Self::PhaseToUse => "UnsupportedParam",
            Self::Duplicate(_) => "DuplicateProfile",
            Self::Full(_) => "OutOfStorage",
        }
    }
}

impl Rules {
    /// Everything that can be said of a profile without looking at the others or at transactions.
    pub(super) fn check(
        &self,
        edition: Edition,
        evse: u32,
        profile: &ChargingProfile,
    ) -> Result<(), Rejection> {
        if evse > self.evses {
            return Err(Rejection::UnknownEvse(evse));
        }
        match profile.purpose {
            Purpose::StationExternalConstraints => return Err(Rejection::ExternalConstraints), // K01.FR.22
            Purpose::StationMax if evse != 0 => return Err(Rejection::NotAtAnEvse(profile.purpose)),
            Purpose::Tx if evse == 0 => return Err(Rejection::TxProfileAtEvse0), // K01.FR.16
            Purpose::StationMax | Purpose::Tx | Purpose::TxDefault => {}
        }
        if !(0..=self.max_stack_level).contains(&profile.stack_level) {
            return Err(Rejection::StackLevel(profile.stack_level, self.max_stack_level));
        }
        if let (Some(from), Some(to)) = (profile.valid_from, profile.valid_to)
            && from >= to
        {
            return Err(Rejection::NeverValid);
        }
        let most = if profile.purpose == Purpose::Tx && edition == Edition::V201 { 3 } else { 1 };
        if !(1..=most).contains(&profile.schedules.len()) {
            return Err(Rejection::Schedules(profile.schedules.len()));
        }
        for schedule in &profile.schedules {
            check_kind(edition, profile, schedule)?;
            self.check_schedule(schedule)?;
        }
        Ok(())
    }

    fn check_schedule(&self, schedule: &ChargingSchedule) -> Result<(), Rejection> {
        let periods = &schedule.periods;
        if !(1..=self.max_periods).contains(&periods.len()) {
            return Err(Rejection::Periods(periods.len(), self.max_periods));
        }
        // K01.FR.31 and .35; 1.6, 7.14.
        if periods[0].start_s != 0 || periods.windows(2).any(|pair| pair[0].start_s >= pair[1].start_s) {
            return Err(Rejection::PeriodOrder);
        }
        if schedule.duration_s.is_some_and(|duration| duration < 0) {
            return Err(Rejection::NegativeDuration);
        }
        for period in periods {
            if period.limit.unit != schedule.unit {
                return Err(Rejection::MixedUnits);
            }
            if period.limit.phases.is_some_and(|phases| !(1..=3).contains(&phases)) {
                return Err(Rejection::Phases);
            }
            // K01.FR.19, .20 and .48: only with one phase, only where the station can switch.
            if let Some(phase) = period.phase_to_use {
                if !self.phase_switching {
                    return Err(Rejection::PhaseToUse);
                }
                if period.limit.phases != Some(1) || !(1..=3).contains(&phase) {
                    return Err(Rejection::Phases);
                }
            }
        }
        Ok(())
    }
}

fn check_kind(
    edition: Edition,
    profile: &ChargingProfile,
    schedule: &ChargingSchedule,
) -> Result<(), Rejection> {
    match (profile.kind, edition) {
        (Kind::Recurring, Edition::V16 | Edition::V201) => {
            if profile.recurrence.is_none() {
                return Err(Rejection::NoRecurrency);
            }
            if schedule.start.is_none() {
                return Err(Rejection::NoStart);
            }
        }
        // 1.6 counts an absolute schedule without a start from the start of charging (7.13).
        (Kind::Absolute, Edition::V16) => {}
        (Kind::Absolute, Edition::V201) => {
            if schedule.start.is_none() {
                return Err(Rejection::NoStart); // K01.FR.40
            }
        }
        // 1.6 forbids neither; CSMSs in the field send a relative ChargePointMaxProfile.
        (Kind::Relative, Edition::V16) => {}
        (Kind::Relative, Edition::V201) => {
            if profile.purpose == Purpose::StationMax {
                return Err(Rejection::RelativeStationMax); // K01.FR.38
            }
            if schedule.start.is_some() {
                return Err(Rejection::RelativeWithStart); // K01.FR.41
            }
        }
    }
    Ok(())
}

/// What the schedule of a checked profile that came at `now` is counted from.
pub(super) fn anchor(profile: &ChargingProfile, now: UnixSeconds) -> Anchor {
    let start = profile.schedules.first().and_then(|schedule| schedule.start);
    match (profile.kind, start, profile.recurrence) {
        (Kind::Recurring, Some(start), Some(recurrence)) => Anchor::Every(start, recurrence),
        (Kind::Absolute | Kind::Recurring, Some(start), _) => Anchor::At(start),
        (Kind::Absolute | Kind::Recurring, None, _) | (Kind::Relative, ..) => match profile.purpose {
            Purpose::StationMax | Purpose::StationExternalConstraints => Anchor::Received(now),
            Purpose::TxDefault | Purpose::Tx => Anchor::Transaction,
        },
    }
}

/// The profile that `new` may not stand beside in 2.0.1 (K01.FR.06, .39, .52 and .53).
pub(super) fn duplicate(installed: &[Installed], new: &Installed) -> Option<i32> {
    let conflicts = |old: &&Installed| {
        let (old_profile, new_profile) = (&old.profile, &new.profile);
        if old_profile.id == new_profile.id
            || old_profile.purpose != new_profile.purpose
            || old_profile.stack_level != new_profile.stack_level
        {
            return false;
        }
        match new_profile.purpose {
            Purpose::Tx => old.transaction == new.transaction,
            Purpose::TxDefault if (old.evse == 0) != (new.evse == 0) => true,
            Purpose::TxDefault | Purpose::StationMax | Purpose::StationExternalConstraints => {
                old.evse == new.evse && overlap(old_profile, new_profile)
            }
        }
    };
    installed.iter().find(conflicts).map(|old| old.profile.id)
}

fn overlap(first: &ChargingProfile, second: &ChargingProfile) -> bool {
    let begins_before_end =
        |one: &ChargingProfile, other: &ChargingProfile| match (one.valid_from, other.valid_to) {
            (Some(from), Some(to)) => from < to,
            (None, _) | (_, None) => true,
        };
    begins_before_end(first, second) && begins_before_end(second, first)
}
