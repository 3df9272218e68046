//! The control pilot of IEC 61851-1: what the EVSE drives, what the vehicle loads it with.

/// What the EVSE drives onto the pilot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PilotSource {
    /// −12 V: state F, the EVSE is not available.
    #[default]
    Off,
    /// +12 V without oscillation (X1).
    Steady,
    /// The oscillator (X2).
    Pwm {
        /// Duty cycle in 0.1 %; 50 asks for digital communication.
        duty_permille: u16,
    },
}

/// What the vehicle puts between pilot and PE.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PilotLoad {
    /// Nothing.
    #[default]
    A,
    /// 2.74 kΩ: connected.
    B,
    /// 882 Ω: ready.
    C,
    /// 246 Ω: ready, ventilation needed.
    D,
}

/// What the EVSE reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PilotState {
    /// +12 V.
    A,
    /// +9 V.
    B,
    /// +6 V.
    C,
    /// +3 V.
    D,
    /// 0 V.
    E,
    /// −12 V.
    F,
}

/// The EVSE's end of the pilot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pilot {
    /// What the EVSE drives. The vehicle reads this too.
    pub source: PilotSource,
}
