//! The insulation monitor Dold RN5893 on the cable side, from what EVerest's driver asks of it.
//!
//! Input registers (function 4): 0 fault, 1 state, 2000 resistance in hundreds of ohms, 2002 volts.
//! Holding registers (3, 6, 16): 0 control word, 1 and 2 its own time-out, 2000 to 2010 settings.
//!
//! Not published, so chosen here: how long a self-test takes; that a failed one stays its fault until
//! it is reset; that a value out of range refuses the whole write.

use std::time::Duration;

use super::modbus::{Condition, Exception, Slave};
use crate::electrical::SharedCircuit;
use crate::faults::Fault;

/// A new value of the insulation comes this often; voltages come ten times as often.
const PERIOD: Duration = Duration::from_secs(1);
const VOLTAGE_PERIOD: Duration = Duration::from_millis(100);
const TEST: Duration = Duration::from_secs(5);
/// What is told beyond 2 MΩ.
const BEYOND: u16 = 0xFFFF;

const RESET_FAULTS: u16 = 1;
const START_TEST: u16 = 1 << 4;
const MEASUREMENT_OFF: u16 = 1 << 8;

/// Settings from 2000 on: as delivered, least, most.
const SETTINGS: [(u16, u16, u16); 11] = [
    (1, 1, 4),
    (0, 0, 1),
    (0, 0, 1),
    (2, 1, 4),
    (0, 0, u16::MAX),
    (500, 1, 500),
    (500, 1, 500),
    (1, 1, 2),
    (8, 1, 32),
    (8, 1, 32),
    (0, 0, 1),
];
const ALARM_KOHM: usize = 5;
const PRE_ALARM_KOHM: usize = 6;

const FOUND_BY_TEST: u16 = 3;
const NOT_ASKED: u16 = 9;

/// The monitor.
#[derive(Debug)]
pub struct Rn5893 {
    unit: u8,
    circuit: SharedCircuit,
    pace: u32,
    control: u16,
    time_out: [u16; 2],
    settings: [u16; 11],
    fault: u16,
    testing_until: Option<Duration>,
    now: Duration,
    /// When its time-out was last written: that is what keeps it from its fault.
    heard: Duration,
    measured: Option<Duration>,
    volts_measured: Option<Duration>,
    ohms: Option<f64>,
    volts: f64,
}

impl Rn5893 {
    /// The monitor of `circuit` at address `unit`, measuring.
    #[must_use]
    pub fn new(unit: u8, circuit: SharedCircuit) -> Self {
        Self {
            unit,
            circuit,
            pace: 1,
            control: 0,
            time_out: [0, 3_000],
            settings: SETTINGS.map(|(delivered, ..)| delivered),
            fault: 0,
            testing_until: None,
            now: Duration::ZERO,
            heard: Duration::ZERO,
            measured: None,
            volts_measured: None,
            ohms: None,
            volts: 0.0,
        }
    }

    /// The same monitor, which tests itself and measures insulation so many times faster.
    #[must_use]
    pub fn with_pace(self, pace: u32) -> Self {
        Self { pace, ..self }
    }

    fn state(&self) -> u16 {
        let below =
            |setting: usize| self.ohms.is_some_and(|ohms| ohms < f64::from(self.settings[setting]) * 1e3);
        match (self.fault, self.testing_until, self.ohms) {
            (1.., _, _) => 2,
            (0, Some(_), _) => 3,
            (0, None, _) if self.control & MEASUREMENT_OFF != 0 => 5,
            (0, None, None) => 0,
            (0, None, Some(_)) if below(ALARM_KOHM) => 6,
            (0, None, Some(_)) if below(PRE_ALARM_KOHM) => 7,
            (0, None, Some(_)) => 1,
        }
    }

    fn control(&mut self, word: u16) {
        self.control = word;
        if word & RESET_FAULTS != 0 {
            self.fault = 0;
        }
        if word & MEASUREMENT_OFF != 0 {
            (self.ohms, self.testing_until) = (None, None);
        } else if word & START_TEST != 0 && self.fault == 0 && self.testing_until.is_none() {
            self.testing_until = Some(self.now + TEST / self.pace);
        }
    }

    fn resistance(&self) -> u16 {
        // The device has two registers of hundreds of ohms, and a value for what is beyond them.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let hundreds = self.ohms.map_or(0, |ohms| (ohms / 100.0).round().clamp(0.0, 65_535.0) as u16);
        if hundreds > 20_000 { BEYOND } else { hundreds }
    }

    fn volts(&self) -> u16 {
        // At most some thousand.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let volts = self.volts.abs().round().clamp(0.0, 65_534.0) as u16;
        volts
    }

    fn input(&self, register: u16) -> Option<u16> {
        Some(match register {
            0 => self.fault,
            1 => self.state(),
            2_000 | 2_001 => self.resistance(),
            2_002 => self.volts(),
            _ => return None,
        })
    }

    fn holding(&self, register: u16) -> Option<u16> {
        match register {
            0 => Some(self.control),
            1 | 2 => Some(self.time_out[usize::from(register) - 1]),
            _ => self.settings.get(usize::from(register.checked_sub(2_000)?)).copied(),
        }
    }
}

fn all(start: u16, count: u16, one: impl Fn(u16) -> Option<u16>) -> Result<Vec<u16>, Exception> {
    let values: Option<Vec<u16>> = (start..=start + (count - 1)).map(one).collect();
    values.ok_or(Exception::Address)
}

impl Slave for Rn5893 {
    fn unit(&self) -> u8 {
        self.unit
    }

    fn functions(&self) -> &'static [u8] {
        &[3, 4, 6, 16]
    }

    fn condition(&self) -> Condition {
        let gone = self.circuit.with(|circuit| circuit.faults.has(Fault::ImdGone));
        if gone { Condition::Silent } else { Condition::Well }
    }

    fn tick(&mut self, now: Duration) {
        self.now = now;
        let [watched, milliseconds] = self.time_out;
        if watched == 1 && now.saturating_sub(self.heard) > Duration::from_millis(milliseconds.into()) {
            self.fault = NOT_ASKED;
        }
        if self.volts_measured.is_none_or(|measured| now >= measured + VOLTAGE_PERIOD) {
            self.volts_measured = Some(now);
            self.volts = self.circuit.with(|circuit| circuit.cable_side_v());
        }
        match self.testing_until {
            Some(until) if now < until => {}
            Some(_) => {
                self.testing_until = None;
                let fails = self.circuit.with(|circuit| circuit.faults.has(Fault::ImdSelfTestFails));
                self.fault = if fails { FOUND_BY_TEST } else { 0 };
            }
            None if self.control & MEASUREMENT_OFF != 0 => {}
            None => {
                if self.measured.is_none_or(|measured| now >= measured + PERIOD / self.pace) {
                    self.measured = Some(now);
                    let there = self.circuit.with(|circuit| circuit.insulation_rf_ohms());
                    // The device averages: two thirds of a change are in the next value.
                    self.ohms = Some(self.ohms.map_or(there, |before| before + (there - before) * 0.67));
                }
            }
        }
    }

    fn read(&self, start: u16, count: u16) -> Result<Vec<u16>, Exception> {
        all(start, count, |register| self.holding(register))
    }

    fn read_input(&self, start: u16, count: u16) -> Result<Vec<u16>, Exception> {
        all(start, count, |register| self.input(register))
    }

    fn write(&mut self, start: u16, values: &[u16]) -> Result<(), Exception> {
        // After its time-out it takes nothing but a reset.
        if self.fault == NOT_ASKED && (start, values) != (0, &[RESET_FAULTS][..]) {
            return Err(Exception::Value);
        }
        let registers = || (start..=u16::MAX).zip(values.iter().copied());
        for (register, value) in registers() {
            let good = match register {
                0 => true,
                1 => value <= 1,
                2 => (2_000..=10_000).contains(&value),
                _ => {
                    let setting = register.checked_sub(2_000).map(usize::from);
                    let (_, least, most) =
                        setting.and_then(|setting| SETTINGS.get(setting)).ok_or(Exception::Address)?;
                    (least..=most).contains(&&value)
                }
            };
            if !good {
                return Err(Exception::Value);
            }
        }
        for (register, value) in registers() {
            match register {
                0 => self.control(value),
                1 | 2 => {
                    self.time_out[usize::from(register) - 1] = value;
                    self.heard = self.now;
                }
                _ => self.settings[usize::from(register) - 2_000] = value,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::electrical::{Circuit, CircuitConfig};

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn monitor() -> (Rn5893, SharedCircuit) {
        let circuit = SharedCircuit::new(Circuit::new(CircuitConfig::of_modules(1)));
        (Rn5893::new(1, circuit.clone()), circuit)
    }

    fn run(monitor: &mut Rn5893, from: Duration, to: Duration) {
        let mut now = from;
        while now <= to {
            monitor.tick(now);
            now += Duration::from_millis(20);
        }
    }

    #[test]
    fn it_initialises_measures_and_warns() {
        let (mut monitor, circuit) = monitor();
        assert_eq!(monitor.read_input(0, 2).unwrap(), [0, 0]);
        run(&mut monitor, S(0), S(3));
        assert_eq!(monitor.read_input(0, 2).unwrap(), [0, 1]);
        assert_eq!(monitor.read_input(2_000, 3).unwrap(), [BEYOND, BEYOND, 0]);
        circuit.with(|circuit| circuit.faults.inject(Fault::InsulationFault));
        run(&mut monitor, S(3), S(20));
        assert_eq!(monitor.read_input(1, 1).unwrap(), [6]);
        let hundreds = monitor.read_input(2_000, 1).unwrap()[0];
        assert!((150..250).contains(&hundreds), "20 kΩ: {hundreds}");
    }

    #[test]
    fn a_self_test_takes_its_time_and_a_failed_one_is_a_fault_until_reset() {
        let (mut monitor, circuit) = monitor();
        run(&mut monitor, S(0), S(2));
        monitor.write(0, &[START_TEST]).unwrap();
        assert_eq!(monitor.read_input(0, 2).unwrap(), [0, 3]);
        run(&mut monitor, S(2), S(8));
        assert_eq!(monitor.read_input(0, 2).unwrap(), [0, 1]);
        circuit.with(|circuit| circuit.faults.inject(Fault::ImdSelfTestFails));
        monitor.write(0, &[START_TEST]).unwrap();
        run(&mut monitor, S(8), S(14));
        assert_eq!(monitor.read_input(0, 2).unwrap(), [FOUND_BY_TEST, 2]);
        circuit.with(|circuit| circuit.faults.clear_all());
        monitor.write(0, &[RESET_FAULTS]).unwrap();
        run(&mut monitor, S(14), S(16));
        assert_eq!(monitor.read_input(0, 2).unwrap(), [0, 1]);
    }

    #[test]
    fn measuring_is_off_with_bit_8_and_no_test_runs_then() {
        let (mut monitor, _circuit) = monitor();
        run(&mut monitor, S(0), S(2));
        monitor.write(0, &[MEASUREMENT_OFF | START_TEST]).unwrap();
        assert_eq!(monitor.read_input(1, 1).unwrap(), [5]);
        monitor.write(0, &[0]).unwrap();
        run(&mut monitor, S(2), S(4));
        assert_eq!(monitor.read_input(1, 1).unwrap(), [1]);
    }

    #[test]
    fn its_own_time_out_is_a_fault_that_only_a_reset_takes_away() {
        let (mut monitor, _circuit) = monitor();
        monitor.write(1, &[1, 2_000]).unwrap();
        run(&mut monitor, S(0), S(3));
        assert_eq!(monitor.read_input(0, 2).unwrap(), [NOT_ASKED, 2]);
        assert_eq!(monitor.write(0, &[0]), Err(Exception::Value));
        monitor.write(0, &[RESET_FAULTS]).unwrap();
        assert_eq!(monitor.read_input(0, 1).unwrap(), [0]);
    }

    #[test]
    fn settings_out_of_range_change_nothing() {
        let (mut monitor, _circuit) = monitor();
        assert_eq!(monitor.write(2_005, &[100, 501]), Err(Exception::Value));
        assert_eq!(monitor.read(2_005, 2).unwrap(), [500, 500]);
        assert_eq!(monitor.write(2_011, &[1]), Err(Exception::Address));
        monitor.write(2_005, &[100, 250]).unwrap();
        assert_eq!(monitor.read(2_005, 2).unwrap(), [100, 250]);
    }
}
