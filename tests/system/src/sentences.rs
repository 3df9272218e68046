//! What a technician is to read of each fault of the simulator, once the session that had it is over.

/// The sentence of a fault; `*` stands for what was measured.
pub(crate) fn of(fault: &str) -> Option<&'static str> {
    TABLE.iter().find(|(name, _)| *name == fault).map(|(_, sentence)| *sentence)
}

/// Whether a text is as the pattern says. What devices reported may stand in any order: each tells it when it
/// sees it.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let (mut rest, mut reports) = (pattern.to_owned(), Vec::new());
    while let Some((begin, end)) = report(&rest) {
        reports.push(rest[begin..end].to_owned());
        rest.replace_range(begin..end, "");
    }
    let follows = |report: &String| text.match_indices("; ").any(|(at, _)| begins(report, &text[at..]));
    is_like(&rest, text) && reports.iter().all(follows)
}

/// Where a pattern has what a device reported: `; power_supply/1 reported PowerModuleBusOff (*)`.
fn report(pattern: &str) -> Option<(usize, usize)> {
    let words = pattern.find(" reported ")?;
    let begin = pattern[..words].rfind("; ")?;
    Some((begin, words + pattern[words..].find(')')? + 1))
}

fn begins(pattern: &str, text: &str) -> bool {
    is_like(&format!("{pattern}*"), text)
}

fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut last = "";
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = part;
    }
    rest.is_empty() || (last.is_empty() && pattern.ends_with('*'))
}

#[rustfmt::skip]
const TABLE: [(&str, &str); 45] = [
    ("module-dead",
        "An operator ended it while charging: by voltryctl or the technician's page*"),
    ("module-lies",
        "The station ended it while charging, VoltageImplausible: the voltages on the two sides of closed contactors contradict each other*; most likely one of the two measurements is off or wired to another place; check: DANGER: trust neither value. Measure at the terminals"),
    ("module-late",
        "An operator ended it while charging: by voltryctl or the technician's page*"),
    ("module-overtemp",
        "An operator ended it while charging: by voltryctl or the technician's page*"),
    ("module-derated",
        "An operator ended it while charging: by voltryctl or the technician's page*"),
    ("module-bleeder",
        "The station ended it while charging, PowerSupplyFailed: the power supply can give nothing*; power_supply/1 reported PowerModuleDischargeFailed (*)*; most likely the module; check: DANGER: its output may stay live after off. Wait, measure"),
    ("module-shares-address",
        "The station ended it while charging, PowerSupplyRefused: the power supply refused a command*; power_supply/1 reported PowerModuleAnswersUnasked (module 0: *)*; most likely *; check: *"),
    ("module-answers-for-other",
        "The station ended it while charging, PowerSupplyRefused: the power supply refused a command*; power_supply/1 reported PowerModuleAnswersUnasked (module 0: *)*; most likely *; check: *"),
    ("module-answers-unasked",
        "The station ended it while charging, PowerSupplyRefused: the power supply refused a command*; power_supply/1 reported PowerModuleAnswersUnasked (module 0: *)*; most likely *; check: *"),
    ("can-silent",
        "The station ended it while charging, MREC15PowerLoss: the power supply is gone, or its values are too old: not within * s*; most likely *; check: *"),
    ("can-garbage",
        "An operator ended it while charging: by voltryctl or the technician's page*"),
    ("can-flood",
        "The station ended it while charging, MREC15PowerLoss: the power supply is gone, or its values are too old: not within * s*; most likely *; check: *"),
    ("can-bus-off",
        "The station ended it while charging, *: the power supply *; power_supply/1 reported PowerModuleBusOff (*)*; most likely *; check: *"),
    ("wrong-crc",
        "The station ended it while charging, ConnectorIoMissing: the board is gone, or its values are too old: not within * s*; most likely serial wire*; check: *voltry-board*"),
    ("board-silent",
        "The station ended it while charging, ConnectorIoMissing: the board is gone, or its values are too old: not within * s*; most likely serial wire*; check: *voltry-board*"),
    ("meter-stuck",
        "The station ended it while charging, MeterStuck: the meter's register stands still while energy flows*; most likely the meter's current terminals or shunt; check: the meter's own display while charging"),
    ("meter-backwards",
        "The station ended it while charging, MeterBackwards: the meter's register ran backwards: it reads * after **; most likely current terminals the wrong way round; check: the meter's own display against `voltryctl sessions show`"),
    ("meter-gone",
        "The station ended it while charging: the energy meter does not answer, and what cannot be billed is not sold*; most likely *; check: *"),
    ("meter-wrong-crc",
        "The station ended it while charging: the energy meter does not answer, and what cannot be billed is not sold*; most likely *; check: *"),
    ("imd-gone",
        "The station ended it while charging, VoltageMonitorMissing: the cable-side voltage is gone, or too old: not within * s*; most likely *; check: *"),
    ("imd-self-test-fails",
        "The station ended it in the insulation test, MREC11CableCheckFault: the insulation test could not be done: the insulation monitor failed its self-test*; most likely the insulation monitor; check: `voltryctl devices`: the monitor's own fault"),
    ("insulation-falling",
        "The station ended it while charging, MREC22ResistanceFault: the insulation resistance is below the limit: *, limit **; most likely moisture or damage in cable, plug or inlet; check: DANGER: one pole may be connected to earth. Do not touch the contacts"),
    ("insulation-fault",
        "The station ended it while charging, MREC22ResistanceFault: the insulation resistance is below the limit: *, limit **; most likely moisture or damage in cable, plug or inlet; check: DANGER: one pole may be connected to earth. Do not touch the contacts"),
    ("contactor-welded",
        "An operator ended it while charging: by voltryctl or the technician's page; *MREC17EVSEContactorFault (*); most likely contacts welded by opening under load; check: DANGER: the cable may be live. Mains off, wait for the discharge time, measure 0 V at the plug first"),
    ("contactor-stuck-open",
        "The station ended it in the insulation test, MREC17EVSEContactorFault: the contactors are not as commanded: welded, stuck, or their feedback is wrong*; most likely the coil or its driver; check: DANGER: the cable may be live. Mains off, wait for the discharge time, measure 0 V at the plug first"),
    ("lock-stuck",
        "The station ended it in the insulation test, MREC1ConnectorLockFailure: the plug's lock did not lock*; most likely the plug was not fully in; check: plug again"),
    ("pilot-short",
        "The station ended it while charging, MREC14PilotFault: the control pilot is lost, shorted, or at no valid level*; most likely the plug was pulled, or sat badly; check: plug another vehicle: if it charges, it was the vehicle"),
    ("pilot-diode",
        "The station ended it while charging, DiodeFault: the diode in the vehicle's pilot circuit is missing or shorted*; most likely the vehicle's pilot circuit; check: plug another vehicle: if it charges, it was the vehicle"),
    ("connector-hot",
        "The station ended it while charging, MREC19CableOverTempStop: connector or cable is too hot*; most likely worn or dirty contacts; check: each temperature in `voltryctl status` or on the page: one alone is a contact or a sensor"),
    ("emergency-stop",
        "The station ended it while charging, MREC8EmergencyStop: an emergency stop is pressed, or its chain is *; most likely somebody pressed the button, or opened the door; check: ask or see why it was pressed before anything else"),
    ("proximity-open",
        "The station ended it while charging, MREC23ProximityFault: the latch was pressed, or the proximity contact is at no valid level*; most likely somebody pressed the latch under load; check: press and release the latch; `voltryctl status` must follow"),
    ("pe-loss",
        "The station ended it while charging, MREC14PilotFault: the control pilot is lost, shorted, or at no valid level*; most likely the plug was pulled, or sat badly; check: plug another vehicle: if it charges, it was the vehicle"),
    ("output-short",
        "The station ended it while charging, ShortCircuit: the voltage collapsed: the cable or the inlet is shorted*; most likely damaged cable or plug; check: DANGER: mains off and 0 V measured before you touch the plug"),
    ("vehicle-silent",
        "The station ended it while charging, VehicleSilent: the vehicle asks for nothing any more*; most likely the vehicle's communication controller; check: `voltryctl v2g show`: its last message"),
    ("vehicle-overasks",
        "An operator ended it while charging: by voltryctl or the technician's page*"),
    ("vehicle-unplugs-under-load",
        "The station ended it while charging, MREC14PilotFault: the control pilot is lost, shorted, or at no valid level*; most likely the plug was pulled, or sat badly; check: plug another vehicle: if it charges, it was the vehicle"),
    ("vehicle-no-precharge-end",
        "The station ended it in pre-charge, MREC12PreChargeFault: the cable did not reach the battery's voltage*; most likely modules that cannot go so low or so high; check: `voltryctl v2g show`: the voltage that the vehicle asked for and was told"),
    ("vehicle-wrong-order",
        "The driver ended it *: the plug was pulled before anything else ended it; the conversation ended: * is out of order *; check: what was said before: `voltryctl v2g show`"),
    ("vehicle-slow",
        "An operator ended it while charging: by voltryctl or the technician's page*"),
    ("modem-silent",
        "The driver ended it before the vehicle named its limits: the plug was pulled before anything else ended it; ev_link/1 reported ModemSilent (*)*; most likely its supply; check: `ip -s link show` of its interface: do frames come in"),
    ("vehicle-never-matches",
        "The driver ended it before the vehicle named its limits: the plug was pulled before anything else ended it; ev_link/1 reported VehicleUnmatched (*)*; most likely noise on, or a weak coupling to, the pilot wire; check: `voltryctl devices`: how far it came, and the attenuation"),
    ("powerline-crosstalk",
        "An operator ended it while charging: by voltryctl or the technician's page*"),
    ("matrix-welded",
        "An operator ended it while charging: by voltryctl or the technician's page*"),
    ("matrix-stuck-open",
        "The driver ended it*"),
    ("matrix-silent",
        "The station ended it while charging, *"),
];

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_pattern_holds_what_is_not_measured() {
        assert!(fits("it reads * after *; check", "it reads 5 Wh after 9 Wh; check"));
        assert!(fits("same", "same") && fits("", "") && fits("all*", "all of it"));
        assert!(!fits("it reads * after *; check", "it reads 5 Wh; check"));
        let reports = "it ended*; a/1 reported Bad (module 0: *)*; b/1 reported Worse (*)*; check: it";
        let (bad, worse) = ("; a/1 reported Bad (module 0: 5 V)", "; b/1 reported Worse (no answer)");
        assert!(fits(reports, &format!("it ended{bad}; c/1 reported So{worse}; check: it")));
        assert!(fits(reports, &format!("it ended: so{worse}{bad}; check: it")));
        assert!(!fits(reports, &format!("it ended{bad}; check: it")));
        assert!(!fits(reports, &format!("it ended{worse}; a/1 reported Bad (module 1: 5 V); check: it")));
        assert!(!fits("same", "same but longer") && !fits("a*b", "a b c") && !fits("b", "a b"));
    }
}
