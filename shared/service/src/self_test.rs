//! The self-test of an EVSE, in words for the person who has it made.

use voltry_bus::SelfTestStep;

/// What a check does, before it does it.
#[must_use]
pub const fn does(step: SelfTestStep) -> &'static str {
    match step {
        SelfTestStep::Voltages => "reads the voltage of both sides and the contactors' feedback",
        SelfTestStep::Temperatures => "reads the temperatures of connector and cable",
        SelfTestStep::Lock => "locks the plug's lock, and unlocks it",
        SelfTestStep::InsulationMonitor => {
            "starts the insulation monitor's own self-test and waits for a value"
        }
        SelfTestStep::Contactors => "closes the contactors without voltage, and opens them: they will click",
        SelfTestStep::Modules => {
            "raises the power modules to 500 V, or what they can, behind open contactors, and switches them off: \
             the inside of the cabinet is live, the cable is not"
        }
    }
}
