//! The settings that the monitor must have, and its registers 2000 to 2010.

use serde::Deserialize;

/// How many there are.
pub(super) const COUNT: u16 = 11;

/// How an RN5893 shall be set. Defaults suit a direct-current charger with the 100 kΩ of
/// IEC 61851-23:2023.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The device's own pre-alarm, kΩ, 1 to 500; not below `alarm_kohm`.
    pub prealarm_kohm: u16,
    /// The device's own alarm, kΩ, 1 to 500. Its relay acts without any software.
    pub alarm_kohm: u16,
    /// When the device looks for a broken wire to the circuit.
    pub broken_wire: BrokenWire,
    /// The coupling device in front of it.
    pub coupling: Coupling,
    /// Whether the device tests itself from time to time. Off: a test in a session would leave it
    /// without a value for longer than a value may be missing.
    pub automatic_self_test: bool,
}

/// When the device looks for a broken wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u16)]
pub enum BrokenWire {
    /// Always.
    On = 1,
    /// Never.
    Off = 2,
    /// In a self-test.
    InSelfTest = 4,
}

/// What is between the device and the circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u16)]
pub enum Coupling {
    /// Nothing.
    None = 1,
    /// An RP5898, for higher voltages.
    Rp5898 = 2,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prealarm_kohm: 250,
            alarm_kohm: 100,
            broken_wire: BrokenWire::On,
            coupling: Coupling::None,
            automatic_self_test: false,
        }
    }
}

const DIRECT_CURRENT: u16 = 2;
/// Relay K1: insulation alarm or device fault; K2: pre-alarm or device fault.
const ALARM_OR_FAULT: u16 = 8;

impl Settings {
    /// What is wrong with them, in words.
    ///
    /// # Errors
    /// Thresholds that the device would refuse, or that make no sense.
    pub fn check(&self) -> Result<(), String> {
        if self.alarm_kohm == 0 || self.prealarm_kohm < self.alarm_kohm || self.prealarm_kohm > 500 {
            return Err(format!(
                "0 < alarm_kohm <= prealarm_kohm <= 500 is wanted, not {} and {}",
                self.alarm_kohm, self.prealarm_kohm
            ));
        }
        Ok(())
    }

    /// What each register shall hold; `None`: as it is, since nobody says what it means.
    pub(super) fn wanted(self) -> [Option<u16>; COUNT as usize] {
        [
            Some(self.broken_wire as u16),
            // An insulation fault is not stored: who watches it latches it.
            Some(0),
            // The relays fall when they trip, so that a device without supply has tripped too.
            Some(0),
            Some(DIRECT_CURRENT),
            None,
            Some(self.alarm_kohm),
            Some(self.prealarm_kohm),
            Some(self.coupling as u16),
            Some(ALARM_OR_FAULT),
            Some(ALARM_OR_FAULT),
            Some(u16::from(self.automatic_self_test)),
        ]
    }

    /// Whether the device holds what it shall.
    pub(super) fn held(self, words: &[u16]) -> bool {
        words.len() == usize::from(COUNT)
            && self
                .wanted()
                .iter()
                .zip(words)
                .all(|(wanted, held)| wanted.is_none_or(|wanted| wanted == *held))
    }
}
