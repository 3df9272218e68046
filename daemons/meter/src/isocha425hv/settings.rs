//! The settings that the monitor must have, and its registers (vendor document).

use serde::Deserialize;

/// How an isoCHA425HV shall be set. Defaults suit CCS with the 100 kΩ of IEC 61851-23:2023.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// R1, the device's own pre-alarm, kΩ; above `alarm_kohm`, at most 600.
    pub prealarm_kohm: u16,
    /// R2, the device's own alarm, kΩ. Its relay acts without any software.
    pub alarm_kohm: u16,
    /// Measure as CHAdeMO wants instead of CCS.
    pub chademo: bool,
    /// Short self-tests, where the firmware (above 5.00) can: a plain one takes about 20 s, and a
    /// vehicle waits 40 s for the whole CableCheck.
    pub fast_cable_check: bool,
    /// Whether the self-test also checks that the device is connected to the circuit.
    pub connection_test: bool,
    /// Whether the device tests itself when it is switched on.
    pub test_at_start: bool,
    /// Whether the device counts its measurements in register 1032. If not, a measurement is
    /// taken for new at every reading, and a device that hangs is not noticed.
    pub update_counter: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prealarm_kohm: 250,
            alarm_kohm: 100,
            chademo: false,
            fast_cable_check: true,
            connection_test: false,
            test_at_start: false,
            update_counter: true,
        }
    }
}

impl Settings {
    /// What is wrong with them, in words.
    ///
    /// # Errors
    /// Thresholds that the device would refuse, or that make no sense.
    pub fn check(&self) -> Result<(), String> {
        if self.alarm_kohm == 0 || self.prealarm_kohm <= self.alarm_kohm || self.prealarm_kohm > 600 {
            return Err(format!(
                "0 < alarm_kohm < prealarm_kohm <= 600 is wanted, not {} and {}",
                self.alarm_kohm, self.prealarm_kohm
            ));
        }
        Ok(())
    }

    /// The registers and what each shall hold, for a device of this firmware (500 is 5.00;
    /// `None`: it does not tell).
    #[must_use]
    pub fn registers(&self, firmware: Option<u16>, active: bool) -> Vec<(u16, u16)> {
        let mut registers = vec![
            (3005, self.prealarm_kohm),
            (3007, self.alarm_kohm),
            (START_UP_DELAY, 0),
            (ALARM_DELAY_ON, 0),
            (ALARM_DELAY_OFF, 0),
            (3023, u16::from(self.chademo)),
            (3024, u16::from(self.connection_test)),
            (3025, u16::from(self.test_at_start)),
            (ACTIVE, u16::from(active)),
        ];
        if firmware.is_some_and(|version| version > 500) {
            registers.push((3021, if self.fast_cable_check { 3 } else { 0 }));
        }
        registers
    }
}

const START_UP_DELAY: u16 = 3018;
const ALARM_DELAY_ON: u16 = 3019;
const ALARM_DELAY_OFF: u16 = 3020;
/// 1: the device measures.
pub(super) const ACTIVE: u16 = 3026;
/// Writing [`TEST_NOW`] here starts a self-test.
pub(super) const TEST: u16 = 8005;
/// "TE".
pub(super) const TEST_NOW: u16 = 0x5445;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_mode_is_asked_only_of_firmware_that_has_it() {
        let fast = |firmware| {
            let registers = Settings::default().registers(firmware, true);
            registers.iter().find(|(register, _)| *register == 3021).map(|(_, value)| *value)
        };
        assert_eq!(fast(None), None);
        assert_eq!(fast(Some(500)), None);
        assert_eq!(fast(Some(501)), Some(3));
    }

    #[test]
    fn thresholds_that_the_device_refuses_are_refused_here() {
        let check = |prealarm_kohm, alarm_kohm| {
            Settings { prealarm_kohm, alarm_kohm, ..Settings::default() }.check().is_ok()
        };
        assert!(check(250, 100) && check(600, 599));
        assert!(!check(100, 100) && !check(100, 250) && !check(601, 100) && !check(250, 0));
    }
}
