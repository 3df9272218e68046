//! Fault codes: the industry's (ChargeX MREC list) where one fits, else our own.

use voltry_power_module::Condition;

/// The link to the modules is lost.
pub(crate) const LINK_LOST: &str = "PowerModuleLinkLost";
/// A configured module does not answer.
pub(crate) const SILENT: &str = "PowerModuleSilent";
/// A module gives more than it was told.
pub(crate) const DISOBEYS: &str = "PowerModuleDisobeys";
/// A module that was told to stop delivers.
pub(crate) const WONT_STOP: &str = "PowerModuleWontStop";
/// A module does not take its set-point.
pub(crate) const REFUSES: &str = "PowerModuleRefuses";
/// Two modules have one address.
pub(crate) const DUPLICATE: &str = "PowerModuleDuplicateAddress";

/// What comes from a module's address cannot be that module's alone.
pub(crate) const UNASKED: &str = "PowerModuleAnswersUnasked";
/// Something fills the bus.
pub(crate) const FLOODED: &str = "PowerModuleBusFlooded";
/// The CAN controller cannot send.
pub(crate) const BUS_OFF: &str = "PowerModuleBusOff";

/// The code of a condition that is an alarm.
pub(super) const fn of(condition: Condition) -> Option<&'static str> {
    Some(match condition {
        Condition::OverTemperature => "MREC3HighTemperature",
        Condition::OutputOverCurrent => "MREC4OverCurrentFailure",
        Condition::OutputOverVoltage | Condition::InputOverVoltage => "MREC5OverVoltage",
        Condition::InputUnderVoltage => "MREC6UnderVoltage",
        Condition::PhaseLoss => "MREC15PowerLoss",
        Condition::ShortCircuit => "PowerModuleShortCircuit",
        Condition::InputAbnormal => "PowerModuleInputAbnormal",
        Condition::BleederFailed => "PowerModuleDischargeFailed",
        Condition::Fault => "PowerModuleFault",
        Condition::Protection => "PowerModuleProtection",
        Condition::FanFault => "PowerModuleFan",
        Condition::UnderTemperature => "PowerModuleCold",
        Condition::RelayFailed => "PowerModuleRelay",
        Condition::InnerCommunication => "PowerModuleInnerCommunication",
        Condition::OutputUnbalanced => "PowerModuleOutputUnbalanced",
        Condition::DuplicateId => DUPLICATE,
        Condition::DcOff
        | Condition::PfcOff
        | Condition::Asleep
        | Condition::WalkIn
        | Condition::Inverting
        | Condition::PowerLimited
        | Condition::DeratedByInput
        | Condition::DeratedByTemperature
        | Condition::OutputUnderVoltage
        | Condition::OutputVoltageHigh
        | Condition::CommunicationInterrupted
        | Condition::PhaseUnbalance
        | Condition::LoadSharing
        | Condition::AirDuctBlocked => return None,
    })
}
