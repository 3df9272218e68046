//! Why a session ended, from the words of an EVSE to the closed list that the back end knows.

use voltry_bus::{EndReason, SessionEnd};

/// The reason behind what an EVSE says of the end of its session: a [`SessionEnd`], or the code of a
/// fault.
#[must_use]
pub fn of_words(words: &str) -> EndReason {
    match words.parse() {
        Ok(SessionEnd::Vehicle) => EndReason::StoppedByEv,
        Ok(SessionEnd::NotAuthorized) => EndReason::Deauthorized,
        Ok(SessionEnd::TimedOut) => EndReason::Timeout,
        Ok(
            SessionEnd::Station
            | SessionEnd::NoPermit
            | SessionEnd::Incompatible
            | SessionEnd::Unmetered
            | SessionEnd::OutOfService,
        ) => EndReason::Other,
        Err(_) => of_fault(words),
    }
}

/// By the names of the industry's list (MREC) and ours beside it (`docs/technician.md`).
fn of_fault(code: &str) -> EndReason {
    match code {
        "MREC8EmergencyStop" => EndReason::EmergencyStop,
        "MREC22ResistanceFault" => EndReason::GroundFault,
        "MREC4OverCurrentFailure" | "ShortCircuit" => EndReason::OvercurrentFault,
        "MREC15PowerLoss" => EndReason::PowerLoss,
        // Pulled, nearly always; a pilot that is shorted cannot be told from it by this.
        "MREC14PilotFault" => EndReason::EvDisconnected,
        _ => EndReason::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_evse_says_becomes_a_reason_of_the_back_end() {
        for (words, reason) in [
            ("ended by the vehicle", EndReason::StoppedByEv),
            ("MREC8EmergencyStop", EndReason::EmergencyStop),
            ("MREC22ResistanceFault", EndReason::GroundFault),
            ("MREC14PilotFault", EndReason::EvDisconnected),
            ("an OEM's own words", EndReason::Other),
            ("", EndReason::Other),
        ] {
            assert_eq!(of_words(words), reason, "{words}");
        }
    }
}
