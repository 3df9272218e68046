//! What a driver is told to do about an EVSE's faults: what the worst of them asks for.

use voltry_service::fault_guide::{Clears, FaultGuide};

/// With these whatever a person stands before may be live.
const CABINET: [&str; 3] = ["EnclosureOpen", "TiltDetected", "WaterIngress"];
/// With these the cable may be live although everything was told to be off.
const LIVE_CABLE: [&str; 5] = [
    "MREC24ConnectorVoltageHigh",
    "MREC17EVSEContactorFault",
    "MREC5OverVoltage",
    "OutputNotOff",
    "VoltageImplausible",
];

/// What a fault means for whoever stands there, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Peril {
    /// Unplugging clears it.
    Unplug,
    /// A driver can do nothing about it.
    Elsewhere,
    LiveCable,
    EmergencyStop,
    Cabinet,
}

impl Peril {
    fn of(code: &str, guide: &FaultGuide) -> Self {
        if code == "MREC8EmergencyStop" {
            return Self::EmergencyStop;
        }
        if CABINET.contains(&code) {
            return Self::Cabinet;
        }
        if LIVE_CABLE.contains(&code) {
            return Self::LiveCable;
        }
        match guide.find(code).map(|(_, entry)| entry.clears) {
            Some(Clears::Plug) => Self::Unplug,
            Some(Clears::Command | Clears::Itself) | None => Self::Elsewhere,
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::Unplug => "hint-fault-plug",
            Self::Elsewhere => "hint-fault",
            Self::LiveCable => "hint-live-cable",
            Self::Cabinet => "hint-cabinet",
            Self::EmergencyStop => "hint-emergency",
        }
    }
}

/// The key of the sentence. Nobody is sent to the cable because of one fault while another forbids it.
pub(super) fn hint(codes: &[String], guide: &FaultGuide) -> &'static str {
    let worst = codes.iter().map(|code| Peril::of(code, guide)).max();
    worst.unwrap_or(Peril::Elsewhere).hint()
}

/// The code that the sentence is about; of several the one that came first.
pub(super) fn worst<'a>(codes: &'a [String], guide: &FaultGuide) -> Option<&'a str> {
    codes.iter().rev().max_by_key(|code| Peril::of(code, guide)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guide() -> FaultGuide {
        FaultGuide::of(&[], |why| panic!("{why}"))
    }

    #[test]
    fn whoever_stands_there_is_told_by_the_worst_fault_and_shown_its_code() {
        for (codes, key, shown) in [
            (&["MREC14PilotFault", "MREC8EmergencyStop"][..], "hint-emergency", "MREC8EmergencyStop"),
            (&["MREC24ConnectorVoltageHigh", "MREC8EmergencyStop"], "hint-emergency", "MREC8EmergencyStop"),
            (&["MREC22ResistanceFault", "OutputNotOff"], "hint-live-cable", "OutputNotOff"),
            (&["MREC24ConnectorVoltageHigh"], "hint-live-cable", "MREC24ConnectorVoltageHigh"),
            (&["EnclosureOpen", "MREC8EmergencyStop"], "hint-cabinet", "EnclosureOpen"),
            (&["CoolingFailed"], "hint-fault-plug", "CoolingFailed"),
            (&["MREC14PilotFault", "MeterStuck"], "hint-fault", "MeterStuck"),
            (&["AcmePump", "DiodeFault"], "hint-fault", "AcmePump"),
            (&["MREC14PilotFault", "DiodeFault"], "hint-fault-plug", "MREC14PilotFault"),
        ] {
            let codes: Vec<String> = codes.iter().map(|code| (*code).to_owned()).collect();
            assert_eq!(hint(&codes, &guide()), key, "{codes:?}");
            assert_eq!(worst(&codes, &guide()), Some(shown), "{codes:?}");
        }
        assert_eq!((hint(&[], &guide()), worst(&[], &guide())), ("hint-fault", None), "it has not said");
    }

    /// Faults of modules and of what lies between them are their devices', not an EVSE's.
    #[test]
    fn what_a_technician_is_warned_of_and_no_driver_can_clear_keeps_drivers_away() {
        let guide = guide();
        let of_a_device =
            |code: &str| ["Power", "Module", "Matrix"].iter().any(|start| code.starts_with(start));
        let warned = guide.entries().filter(|(code, entry)| {
            let warns = entry.measure.iter().any(|line| line.starts_with("DANGER"));
            warns && entry.clears == Clears::Command && !of_a_device(code)
        });
        let mut warned: Vec<&str> = warned.map(|(code, _)| code).collect();
        let mut kept_away = [&CABINET[..], &LIVE_CABLE].concat();
        warned.sort_unstable();
        kept_away.sort_unstable();
        assert_eq!(warned, kept_away);
    }
}
