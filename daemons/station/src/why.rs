//! Why a session ended, in one sentence for a technician by the roadside: who ended it, in which phase,
//! why, and what to check. Pure; the one place for these words. What a fault code means, what is likely
//! behind it and what to look at first come from the guide of faults.
//!
//! ```text
//! The station ended it while charging, MREC22ResistanceFault: the insulation resistance is below the
//! limit: 20000 Ω, limit 100000 Ω; most likely moisture or damage in cable, plug or inlet; check: …
//! ```

use voltry_bus::{EndReason, EvseState, SessionEnd};
use voltry_service::fault_guide::{Entry, FaultGuide};

/// The longest sentence, bytes; the rest is cut off.
const SENTENCE_MAX: usize = 1000;
/// What an EVSE says of a device whose bus name nobody has.
const DAEMON_GONE: &str = "its daemon is not on the bus";
/// Faults of devices that are named.
const REPORTED_MAX: usize = 4;

/// A fault that a device had during the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// The device: its path below `/org/voltry`, as `power_supply/1`.
    pub device: String,
    /// What is wrong.
    pub code: String,
    /// What was measured, in words.
    pub cause: String,
}

/// What is known of an end.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The EVSE.
    pub evse: u32,
    /// As the back end is told.
    pub reason: EndReason,
    /// As the book has it: a [`SessionEnd`], the code of a fault, or the station's own words.
    pub words: &'a str,
    /// Where the EVSE stood, an [`EvseState`]; empty: nobody saw.
    pub phase: &'a str,
    /// What was measured, or what the conversation ended with.
    pub evidence: &'a str,
    /// What devices reported meanwhile, oldest first.
    pub reported: &'a [Reported],
}

/// A sentence in its parts.
#[derive(Debug, Default)]
struct Parts {
    /// Who ended it, with the verb: `The vehicle ended it`.
    who: &'static str,
    /// Why, with what it begins; empty: it needs no reason.
    why: String,
    /// The likeliest cause; empty: it is known.
    likely: String,
    /// What to look at first.
    check: String,
}

/// The sentence.
#[must_use]
pub fn sentence(guide: &FaultGuide, known: &Known<'_>) -> String {
    let Parts { who, why, likely, check } = parts(guide, known);
    let mut text = format!("{who}{}{why}", phase(known.phase));
    for Reported { device, code, cause } in others(known) {
        text += &format!("; {device} reported {code}");
        if !cause.is_empty() {
            text += &format!(" ({cause})");
        }
    }
    if !likely.is_empty() {
        text += &format!("; most likely {likely}");
    }
    text += &if check.is_empty() { "; nothing to check".to_owned() } else { format!("; check: {check}") };
    text.truncate(text.floor_char_boundary(SENTENCE_MAX));
    text
}

/// What devices reported besides the reason itself, each code once.
fn others<'a>(known: &Known<'a>) -> impl Iterator<Item = &'a Reported> {
    let (reported, words) = (known.reported, known.words);
    let first = |one: &Reported| reported.iter().find(|other| other.code == one.code);
    reported
        .iter()
        .filter(move |one| one.code != words && first(one).is_some_and(|first| std::ptr::eq(first, *one)))
        .take(REPORTED_MAX)
}

/// Where the EVSE stood.
fn phase(state: &str) -> &'static str {
    match state.parse() {
        Ok(EvseState::Starting) => " while the station proved that everything is off",
        Ok(EvseState::Available) => " before a vehicle was seen",
        Ok(EvseState::Connected) => " before the vehicle named its limits",
        Ok(EvseState::Authorizing) => " while the driver was to be authorized",
        Ok(EvseState::Parameters) => " while limits were agreed",
        Ok(EvseState::CableCheck) => " in the insulation test",
        Ok(EvseState::PreCharge) => " in pre-charge",
        Ok(EvseState::Charging) => " while charging",
        Ok(EvseState::Stopping) => " while stopping",
        Ok(EvseState::Finished) => " after charging",
        Ok(EvseState::Paused) => " while the vehicle paused",
        Ok(EvseState::ErrorShutdown | EvseState::Emergency) => " while shutting down",
        Ok(EvseState::Faulted) => " while it was faulted",
        Ok(EvseState::Unavailable) => " while it was out of service",
        Err(_) => "",
    }
}

fn parts(guide: &FaultGuide, known: &Known<'_>) -> Parts {
    match known.words.parse() {
        Ok(end) => of_session_end(guide, end, known),
        Err(_) => match guide.find(known.words) {
            Some((code, entry)) => {
                let behind = stands_behind(guide, code, known).unwrap_or(entry);
                if known.evidence.contains(DAEMON_GONE) {
                    return Parts {
                        likely: "it was killed, crashed or was stopped".to_owned(),
                        check: check_daemon(code, known.evse),
                        ..of_fault(code, entry, behind, known.evidence)
                    };
                }
                let parts = of_fault(code, entry, behind, known.evidence);
                if known.phase == EvseState::CableCheck.as_str() && code == "MREC17EVSEContactorFault" {
                    return never_closed(entry, parts);
                }
                parts
            }
            None => by_the_station(guide, known),
        },
    }
}

/// The daemon that plays a role, as we install it; a maker's own has another name.
fn check_daemon(code: &str, evse: u32) -> String {
    let unit = match code {
        "MREC15PowerLoss" => "voltry-power".to_owned(),
        "ConnectorIoMissing" => "voltry-board".to_owned(),
        "EvLinkMissing" => format!("voltry-secc@{evse}"),
        _ => "'voltry-meter@*'".to_owned(),
    };
    format!("`systemctl status {unit}` and its journal: who ended it")
}

/// `behind`: what to advise by.
fn of_fault(code: &str, entry: &Entry, behind: &Entry, evidence: &str) -> Parts {
    let what = if evidence.is_empty() { entry.means.as_str() } else { evidence };
    Parts { who: "The station ended it", why: format!(", {code}: {what}"), ..advice(behind) }
}

/// Contactors that fail before anything flowed did not close: they are not welded.
fn never_closed(entry: &Entry, parts: Parts) -> Parts {
    let likely = entry.causes.iter().find(|cause| cause.contains("coil")).cloned();
    Parts { likely: likely.unwrap_or_default(), ..parts }
}

/// Of a code that only says that a device failed the EVSE: what that device says of itself.
fn stands_behind<'a>(guide: &'a FaultGuide, code: &str, known: &Known<'_>) -> Option<&'a Entry> {
    let kinds: &[&str] = match code {
        "PowerSupplyFailed" | "PowerSupplyRefused" | "MREC15PowerLoss" => &["power_supply/"],
        "ConnectorIoMissing" | "ConnectorIoRefused" | "BoardSafeState" => &["connector/"],
        "VoltageMonitorMissing" | "VoltageMonitorRefused" => &["voltage_monitor/", "insulation_monitor/"],
        "InsulationMonitorMissing" | "InsulationMonitorRefused" => &["insulation_monitor/"],
        "EnergyMeterMissing" | "EnergyMeterRefused" => &["energy_meter/"],
        "EvLinkMissing" | "EvLinkRefused" | "CommunicationLost" => &["ev_link/"],
        _ => &[],
    };
    others(known)
        .filter(|one| kinds.iter().any(|kind| one.device.starts_with(kind)))
        .find_map(|one| guide.find(&one.code))
        .map(|(_, entry)| entry)
}

fn advice(entry: &Entry) -> Parts {
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    Parts { likely: first(&entry.causes), check: first(&entry.measure), ..Parts::default() }
}

/// What to look at where the reason itself does not say: the EVSE, which judges what its devices tell, or
/// the first device that reported something.
fn by_device(guide: &FaultGuide, known: &Known<'_>, otherwise: &str) -> Parts {
    let known_codes = |own: bool| {
        others(known)
            .filter(move |one| one.device.starts_with("evse/") == own)
            .find_map(|one| guide.find(&one.code))
    };
    let entry = known_codes(true).or_else(|| known_codes(false)).map(|(_, entry)| entry);
    entry.map_or_else(|| Parts { check: otherwise.to_owned(), ..Parts::default() }, advice)
}

/// The words of a reason, and the evidence that there is for it.
fn because(words: &str, evidence: &str) -> String {
    match (words, evidence) {
        ("", "") => String::new(),
        ("", text) | (text, "") => format!(": {text}"),
        (words, evidence) => format!(": {words}; {evidence}"),
    }
}

fn of_session_end(guide: &FaultGuide, end: SessionEnd, known: &Known<'_>) -> Parts {
    let (who, words, otherwise) = match end {
        SessionEnd::Vehicle if known.phase == EvseState::Charging.as_str() && known.evidence.is_empty() => {
            let check = "nothing, unless the driver wanted more: then the charge limit set in the vehicle";
            ("The vehicle ended it", "", check)
        }
        SessionEnd::Vehicle => {
            ("The vehicle ended it", "", "the vehicle's own message, and what was said: `voltryctl v2g show`")
        }
        SessionEnd::Station => ("The station ended it", "", "the journal of voltry-station"),
        SessionEnd::NotAuthorized => (
            "The station ended it",
            "nobody let the driver charge",
            "the token, in the station's list and at the back end (`voltryctl ocpp status`)",
        ),
        SessionEnd::NoPermit => (
            "The station ended it",
            "the EVSE had no permit to deliver, or it ran out",
            "`systemctl status voltry-station`, and `voltryctl limits`",
        ),
        SessionEnd::Incompatible => (
            "The station ended it",
            "vehicle and charger have no voltage or current in common, or the vehicle left the order",
            "the limits that the vehicle named (`voltryctl v2g show`) against those of the EVSE",
        ),
        SessionEnd::TimedOut => (
            "The station ended it",
            "authorization, power or modules were not there in time",
            "`voltryctl limits`, `voltryctl modules`, and who was to authorize",
        ),
        SessionEnd::Unmetered => {
            let code = "EnergyMeterMissing";
            let missing = guide.find(code).map(|(_, entry)| entry);
            let meter = stands_behind(guide, code, known).or(missing).map_or_else(Parts::default, advice);
            let words = "the energy meter does not answer, and what cannot be billed is not sold";
            return Parts { who: "The station ended it", why: because(words, known.evidence), ..meter };
        }
        SessionEnd::OutOfService => (
            "The station ended it",
            "the EVSE was taken out of service, or its software was stopped",
            "who did so: the journal of voltry-station and of the EVSE's voltry-evse",
        ),
    };
    Parts { who, why: because(words, known.evidence), ..by_device(guide, known, otherwise) }
}

/// What the station itself decided, was asked for, or found.
fn by_the_station(guide: &FaultGuide, known: &Known<'_>) -> Parts {
    let journal = || format!("`systemctl status voltry-evse@{}` and its journal", known.evse);
    let (who, words, check) = match known.reason {
        EndReason::Local if known.words == "stopped by the operator" => {
            ("An operator ended it", "by voltryctl or the technician's page", String::new())
        }
        EndReason::Local => ("The driver ended it", "at the station", String::new()),
        EndReason::MasterPass => ("A master pass ended it", "at the station", String::new()),
        EndReason::Remote => ("The back end ended it", "as somebody asked there", String::new()),
        EndReason::UnlockCommand => ("The back end ended it", "it unlocked the plug", String::new()),
        EndReason::Deauthorized => (
            "The back end ended it",
            known.words,
            "the token at the back end: blocked, expired or unknown".to_owned(),
        ),
        EndReason::ImmediateReset | EndReason::SoftReset => {
            ("The back end ended it", "it reset the station", String::new())
        }
        EndReason::EnergyLimitReached
        | EndReason::SocLimitReached
        | EndReason::TimeLimitReached
        | EndReason::LocalOutOfCredit => ("The back end ended it", known.words, String::new()),
        EndReason::StoppedByEv => ("The vehicle ended it", "", String::new()),
        EndReason::EvDisconnected => {
            let otherwise = "what was said before: `voltryctl v2g show`";
            let advice = by_device(guide, known, otherwise);
            let words = "the plug was pulled before anything else ended it";
            return Parts { who: "The driver ended it", why: because(words, known.evidence), ..advice };
        }
        EndReason::PowerLoss => {
            let check = "mains, fuse and supply of the station's computer at that time".to_owned();
            ("A loss of power ended it", known.words, check)
        }
        EndReason::Reboot => {
            ("A restart of the station's computer ended it", known.words, "who restarted it".to_owned())
        }
        EndReason::EmergencyStop
        | EndReason::GroundFault
        | EndReason::OvercurrentFault
        | EndReason::PowerQuality
        | EndReason::Timeout => ("The station ended it", known.words, String::new()),
        EndReason::None | EndReason::Other if known.words.contains("the EVSE's daemon") => {
            ("The station's software ended it", known.words, journal())
        }
        EndReason::None | EndReason::Other if known.words.contains("the station was down") => {
            let check = "`systemctl status voltry-station` and its journal".to_owned();
            ("The station's software ended it", known.words, check)
        }
        EndReason::None | EndReason::Other => ("It ended", known.words, journal()),
    };
    // Where nothing else is to be looked at: a device that was not well.
    let rest =
        if check.is_empty() { by_device(guide, known, "") } else { Parts { check, ..Parts::default() } };
    Parts { who, why: because(words, known.evidence), ..rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(known: &Known<'_>) -> String {
        sentence(&FaultGuide::of(&[], |_| {}), known)
    }

    fn known(reason: EndReason, words: &'static str) -> Known<'static> {
        Known { evse: 2, reason, words, phase: "charging", evidence: "", reported: &[] }
    }

    fn reported(device: &str, code: &str) -> Reported {
        Reported { device: device.to_owned(), code: code.to_owned(), cause: "no answer".to_owned() }
    }

    #[test]
    fn a_fault_is_told_with_what_was_measured_what_is_likely_and_what_to_check() {
        let ended = Known {
            evidence: "the insulation resistance is below the limit: 20000 Ω, limit 100000 Ω",
            ..known(EndReason::GroundFault, "MREC22ResistanceFault")
        };
        assert_eq!(
            said(&ended),
            "The station ended it while charging, MREC22ResistanceFault: the insulation resistance is below \
             the limit: 20000 Ω, limit 100000 Ω; most likely moisture or damage in cable, plug or inlet; \
             check: DANGER: one pole may be connected to earth. Do not touch the contacts"
        );
        let unmeasured = said(&known(EndReason::GroundFault, "MREC22ResistanceFault"));
        assert!(
            unmeasured.contains(", MREC22ResistanceFault: the insulation resistance is below the limit;")
        );
    }

    #[test]
    fn a_daemon_that_is_gone_is_the_cause_and_no_wire() {
        let gone = "the power supply is gone, or its values are too old: its daemon is not on the bus";
        let ended = Known { evidence: gone, ..known(EndReason::Other, "MREC15PowerLoss") };
        assert_eq!(
            said(&ended),
            format!(
                "The station ended it while charging, MREC15PowerLoss: {gone}; most likely it was killed, crashed \
                 or was stopped; check: `systemctl status voltry-power` and its journal: who ended it"
            )
        );
        let late = "the power supply is gone, or its values are too old: not within 0.3 s";
        let ended = Known { evidence: late, ..known(EndReason::Other, "MREC15PowerLoss") };
        assert!(said(&ended).contains("; most likely CAN wire"), "{}", said(&ended));
    }

    #[test]
    fn what_devices_reported_is_told_once_each_and_says_what_to_check_where_the_reason_does_not() {
        let devices = [
            reported("ev_link/2", "VehicleUnmatched"),
            reported("ev_link/2", "VehicleUnmatched"),
            reported("power_supply/2", "PowerModuleSilent"),
        ];
        let ended =
            Known { phase: "connected", reported: &devices, ..known(EndReason::EvDisconnected, "unplugged") };
        assert_eq!(
            said(&ended),
            "The driver ended it before the vehicle named its limits: the plug was pulled before anything \
             else ended it; ev_link/2 reported VehicleUnmatched (no answer); power_supply/2 reported \
             PowerModuleSilent (no answer); most likely noise on, or a weak coupling to, the pilot wire; \
             check: `voltryctl devices`: how far it came, and the attenuation"
        );
        let same = [reported("evse/2", "MeterStuck")];
        let ended = Known { reported: &same, ..known(EndReason::Other, "MeterStuck") };
        assert!(!said(&ended).contains("reported"), "{}", said(&ended));
    }

    #[test]
    fn a_device_that_failed_the_evse_says_what_to_check() {
        let devices = [
            reported("energy_meter/1", "EnergyMeterMissing"),
            reported("power_supply/2", "PowerModuleRelay"),
        ];
        let ended = Known { reported: &devices, ..known(EndReason::Other, "PowerSupplyFailed") };
        let text = said(&ended);
        assert!(
            text.contains("; power_supply/2 reported PowerModuleRelay (no answer); most likely the module;"),
            "{text}"
        );
        let ended = Known { reported: &devices, ..known(EndReason::GroundFault, "MREC22ResistanceFault") };
        assert!(
            said(&ended).contains("most likely moisture or damage"),
            "no other device is to blame for it"
        );
        let welded =
            [reported("connector/1", "BoardSafeState"), reported("evse/1", "MREC17EVSEContactorFault")];
        let ended = Known { reported: &welded, ..known(EndReason::Local, "stopped by the operator") };
        assert!(
            said(&ended).contains("; most likely contacts welded"),
            "the EVSE knows better: {}",
            said(&ended)
        );
        let open = Known { phase: "cable-check", ..known(EndReason::Other, "MREC17EVSEContactorFault") };
        assert!(
            said(&open).contains("; most likely the coil or its driver; check: DANGER"),
            "{}",
            said(&open)
        );
        let ended = Known { reported: &devices[1..], ..known(EndReason::Local, "stopped by the operator") };
        assert!(said(&ended).contains("; check: DANGER: its output may stay connected"), "{}", said(&ended));
    }

    /// Each reason names who it was, in a sentence of its own.
    #[test]
    fn every_reason_says_who_ended_it() {
        let guide = FaultGuide::of(&[], |_| {});
        for end in SessionEnd::ALL {
            let text = sentence(&guide, &known(EndReason::Other, end.as_str()));
            let who =
                if *end == SessionEnd::Vehicle { "The vehicle ended it" } else { "The station ended it" };
            assert!(
                text.starts_with(&format!("{who} while charging")) && text.contains("; check: "),
                "{text}"
            );
        }
        for reason in EndReason::ALL {
            let text = sentence(&guide, &known(*reason, "words of its own"));
            assert!(text.contains(" ended"), "{reason}: {text}");
            assert!(text.contains("check"), "{reason}: {text}");
        }
    }

    #[test]
    fn a_long_sentence_is_cut_between_letters() {
        let long = "Ω".repeat(3_000);
        let ended = Known { evidence: &long, ..known(EndReason::Other, "MeterStuck") };
        let text = said(&ended);
        assert!(text.len() <= SENTENCE_MAX && text.len() > SENTENCE_MAX - 4);
    }
}
