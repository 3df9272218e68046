//! Whether an EVSE can be used, and whose it is that it cannot.
//!
//! 23 CFR 680.116(b)(3) (NEVI) counts a port as up when its hardware and software are online and available for use,
//! or in use, and it dispenses as it should; utility outages, faults of the vehicle, scheduled maintenance,
//! vandalism and natural disasters are excluded. The United Kingdom's Public Charge Point Regulations 2023 (SI
//! 2023/1168) want 99 % of the minutes of a rapid network, with exemptions by cause. What is told here is what a
//! station can know: whether maintenance was scheduled, and a stop vandalism, an operator judges.

use voltry_bus::{CsmsState, EvseState, EvseStatus, Fault};

use crate::bus::Seen;

/// Whether an EVSE can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    Free,
    InUse,
    Down(Cause),
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// A fault of the station's own.
    Equipment,
    /// A fault of the vehicle that is plugged in.
    Vehicle,
    /// Power from the mains is gone, or not as it should be.
    Mains,
    /// Somebody pressed the emergency stop.
    EmergencyStop,
    /// A person, or the back end, took it out of service.
    OutOfService,
    /// It proves after its start that everything is off.
    Starting,
    /// A daemon is away.
    Daemon,
}

/// Whether the back end can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Uplink {
    /// There is none.
    None,
    Online,
    Offline,
}

impl Condition {
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Free => ("free", ""),
            Self::InUse => ("in-use", ""),
            Self::Down(cause) => ("down", cause.word()),
        }
    }

    pub(super) fn of(status: &EvseStatus) -> Self {
        let Ok(state) = status.state.parse::<EvseState>() else { return Self::Down(Cause::Daemon) };
        match state {
            EvseState::Starting => Self::Down(Cause::Starting),
            EvseState::Available if status.available => Self::Free,
            EvseState::Available | EvseState::Unavailable => Self::Down(Cause::OutOfService),
            EvseState::Connected
            | EvseState::Authorizing
            | EvseState::Parameters
            | EvseState::CableCheck
            | EvseState::PreCharge
            | EvseState::Charging
            | EvseState::Stopping
            | EvseState::Finished
            | EvseState::Paused => Self::InUse,
            EvseState::ErrorShutdown | EvseState::Emergency | EvseState::Faulted => {
                Self::Down(Cause::of(&status.faults))
            }
        }
    }
}

/// Codes that are not the station's own, and whose they are.
const OTHERS: [(&str, Cause); 9] = [
    ("MREC8EmergencyStop", Cause::EmergencyStop),
    ("MREC6UnderVoltage", Cause::Mains),
    ("PowerModuleInputAbnormal", Cause::Mains),
    ("MREC14PilotFault", Cause::Vehicle),
    ("DiodeFault", Cause::Vehicle),
    ("MREC10InvalidVehicleMode", Cause::Vehicle),
    ("MREC12PreChargeFault", Cause::Vehicle),
    ("VehicleSilent", Cause::Vehicle),
    ("VehicleUnmatched", Cause::Vehicle),
];

impl Cause {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Equipment => "equipment",
            Self::Vehicle => "vehicle",
            Self::Mains => "mains",
            Self::EmergencyStop => "emergency-stop",
            Self::OutOfService => "out-of-service",
            Self::Starting => "starting",
            Self::Daemon => "daemon",
        }
    }

    /// Each of them must be somebody else's: one fault of the station's own among them makes it the station's.
    fn of(faults: &[Fault]) -> Self {
        let cause =
            |fault: &Fault| OTHERS.iter().find(|(code, _)| *code == fault.code).map(|(_, cause)| *cause);
        let causes: Option<Vec<Self>> = faults.iter().map(cause).collect();
        causes.and_then(|causes| causes.first().copied()).unwrap_or(Self::Equipment)
    }
}

impl Uplink {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }

    pub(super) fn of(seen: &Seen) -> Self {
        match seen.csms {
            _ if !seen.has_uplink => Self::None,
            Some(CsmsState::Disabled) => Self::None,
            Some(CsmsState::Accepted) => Self::Online,
            Some(
                CsmsState::Disconnected
                | CsmsState::Connecting
                | CsmsState::Booting
                | CsmsState::Pending
                | CsmsState::Rejected,
            )
            | None => Self::Offline,
        }
    }
}

#[cfg(test)]
mod tests {
    use voltry_service::fault_guide::FaultGuide;

    use super::*;

    fn fault(code: &str) -> Fault {
        Fault { code: code.to_owned(), cause: String::new(), at: 1 }
    }

    #[test]
    fn every_code_that_is_somebody_elses_is_one_that_is_known() {
        let guide = FaultGuide::of(&[], |why| panic!("{why}"));
        for (code, _) in OTHERS {
            assert!(guide.find(code).is_some(), "{code}");
        }
    }

    #[test]
    fn a_fault_of_the_stations_own_beside_a_vehicles_is_the_stations() {
        assert_eq!(Cause::of(&[fault("DiodeFault")]), Cause::Vehicle);
        assert_eq!(Cause::of(&[fault("DiodeFault"), fault("MeterStuck")]), Cause::Equipment);
        assert_eq!(Cause::of(&[fault("AcmePump")]), Cause::Equipment);
        assert_eq!(Cause::of(&[]), Cause::Equipment);
    }
}
