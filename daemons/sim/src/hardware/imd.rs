//! The insulation monitor Bender isoCHA425HV on the cable side.
//!
//! A measuring channel is four registers: a float of 32 bits, high word first; alarm and test in
//! the high byte and unit and validity in the low byte of the third; the description in the fourth.

use std::collections::BTreeMap;
use std::time::Duration;

use super::modbus::{Condition, Exception, Slave};
use crate::electrical::SharedCircuit;
use crate::faults::Fault;

/// A new insulation value comes this often; voltages come ten times as often.
const PERIOD: Duration = Duration::from_secs(1);
const VOLTAGE_PERIOD: Duration = Duration::from_millis(100);
/// How long the first value takes after enabling or a self-test.
const SETTLES_IN: Duration = Duration::from_secs(1);
/// A self-test in the fast cable-check mode (register 3021 = 3, firmware after 5.00), and without.
const FAST_TEST: Duration = Duration::from_secs(3);
const SLOW_TEST: Duration = Duration::from_secs(18);
/// The end of the measuring range.
const RANGE_OHMS: f64 = 10e6;

const DEVICE_ACTIVE: u16 = 3026;
const FAST_MODE: u16 = 3021;
const PRE_ALARM_KOHM: u16 = 3005;
const ALARM_KOHM: u16 = 3007;
const SELF_TEST: u16 = 8005;
const TEST_WORD: u16 = 0x5445;
const NAME: &[u8; 20] = b"isoCHA425HV-D4-4\0\0\0\0";

/// Parameters and their ranges: register, default, least, most.
const PARAMETERS: [(u16, u16, u16, u16); 22] = [
    (3000, 0, 0, 1),
    (PRE_ALARM_KOHM, 600, 1, 600),
    (ALARM_KOHM, 120, 1, 600),
    (3008, 0, 0, 1),
    (3009, 10, 0, 1_100),
    (3010, 0, 0, 1),
    (3011, 1_100, 0, 1_100),
    (3012, 0, 0, 1),
    (3013, 0, 0, 1),
    (3014, 0, 0, 1),
    (3018, 0, 0, 10),
    (3019, 0, 0, 99),
    (3020, 0, 0, 99),
    (FAST_MODE, 3, 0, 3),
    (3023, 0, 0, 1),
    (3024, 0, 0, 1),
    (3025, 0, 0, 1),
    (DEVICE_ACTIVE, 1, 0, 1),
    (3027, 0, 0, u16::MAX),
    (3028, 0, 0, u16::MAX),
    (3004, 0, 0, u16::MAX),
    (3006, 0, 0, u16::MAX),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disabled,
    Settling { until: Duration },
    Measuring { next: Duration },
    Testing { until: Duration },
}

/// The monitor.
///
/// ```text
/// Disabled ──active──▶ Settling ──▶ Measuring ◀─┐
///    ▲                     ▲             │8005  │
///    └──────inactive───────┴─────────── Testing ┘
/// ```
#[derive(Debug)]
pub struct IsoCha {
    unit: u8,
    circuit: SharedCircuit,
    pace: u32,
    parameters: BTreeMap<u16, u16>,
    mode: Mode,
    now: Duration,
    volts_measured: Option<Duration>,
    ohms: Option<f64>,
    volts: f64,
    to_earth: [f64; 2],
    updates: u32,
    device_error: bool,
}

impl IsoCha {
    /// The monitor of `circuit` at address `unit` (3 when it leaves the factory), active.
    #[must_use]
    pub fn new(unit: u8, circuit: SharedCircuit) -> Self {
        Self {
            unit,
            circuit,
            pace: 1,
            parameters: PARAMETERS.iter().map(|(register, default, ..)| (*register, *default)).collect(),
            mode: Mode::Settling { until: SETTLES_IN },
            now: Duration::ZERO,
            volts_measured: None,
            ohms: None,
            volts: 0.0,
            to_earth: [0.0; 2],
            updates: 0,
            device_error: false,
        }
    }

    /// The same monitor, which settles, tests itself and measures insulation so many times faster.
    /// Voltages come as ever.
    #[must_use]
    pub fn with_pace(self, pace: u32) -> Self {
        Self { pace, mode: Mode::Settling { until: SETTLES_IN / pace }, ..self }
    }

    fn parameter(&self, register: u16) -> u16 {
        self.parameters.get(&register).copied().unwrap_or(0)
    }

    fn measure(&mut self) {
        let there = self.circuit.with(|circuit| circuit.insulation_rf_ohms());
        // The device averages: two thirds of a change are in the next value.
        self.ohms = Some(self.ohms.map_or(there, |before| before + (there - before) * 0.67));
        // Exact as a float for longer than the counter takes to run over.
        self.updates = (self.updates + 1) & 0xFFFF;
    }

    fn start_test(&mut self) -> Result<(), Exception> {
        match self.mode {
            Mode::Settling { .. } | Mode::Measuring { .. } => {
                let takes = if self.parameter(FAST_MODE) == 3 { FAST_TEST } else { SLOW_TEST };
                self.mode = Mode::Testing { until: self.now + takes / self.pace };
                Ok(())
            }
            Mode::Disabled | Mode::Testing { .. } => Err(Exception::Value),
        }
    }

    fn set_active(&mut self, active: bool) {
        match (active, self.mode) {
            (false, _) => {
                self.mode = Mode::Disabled;
                self.ohms = None;
            }
            (true, Mode::Disabled) => self.mode = Mode::Settling { until: self.now + SETTLES_IN / self.pace },
            (true, Mode::Settling { .. } | Mode::Measuring { .. } | Mode::Testing { .. }) => {}
        }
    }

    fn channel(&self, number: u16) -> [u16; 4] {
        let invalid = 3 << 6;
        let measuring = if self.mode == Mode::Disabled { invalid } else { 0 };
        let rf = self.ohms.unwrap_or(0.0);
        // Value, unit and validity, description.
        let (value, unit, description) = match number {
            0 if self.ohms.is_none() => (0.0, 2 | invalid, 71),
            0 if rf > RANGE_OHMS => (RANGE_OHMS, 2 | 2 << 6, 71),
            0 => (rf, 2 | measuring, 71),
            2 => (self.volts, 4 | measuring, 76),
            3 => (0.4e-6, 8 | measuring, 82),
            4 => (self.to_earth[0], 4 | measuring, 76),
            5 => (self.to_earth[1], 4 | measuring, 76),
            6 => (self.fault_location(), 5 | measuring, 1),
            7 => (rf, 2 | measuring, 71),
            8 => (f64::from(self.updates), 1, 1_022),
            _ => (0.0, 1 | invalid, 1_022),
        };
        // The wire has single precision.
        #[allow(clippy::cast_possible_truncation)]
        let bytes = (value as f32).to_be_bytes();
        let state = u16::from(self.alarm(number)) << 8 | unit;
        [
            u16::from_be_bytes([bytes[0], bytes[1]]),
            u16::from_be_bytes([bytes[2], bytes[3]]),
            state,
            description,
        ]
    }

    fn alarm(&self, channel: u16) -> u8 {
        if matches!(self.mode, Mode::Testing { .. }) {
            return 2 << 6;
        }
        if self.device_error {
            return 2;
        }
        let below =
            |register: u16| self.ohms.is_some_and(|ohms| ohms < f64::from(self.parameter(register)) * 1e3);
        match channel {
            0 if below(ALARM_KOHM) => 5,
            0 if below(PRE_ALARM_KOHM) => 1,
            _ => 0,
        }
    }

    /// −100 % is DC−, 100 % is DC+.
    fn fault_location(&self) -> f64 {
        let [plus, minus] = self.circuit.with(|circuit| circuit.insulation_ohms());
        (minus - plus) / (minus + plus) * 100.0
    }

    fn register(&self, number: u16) -> Option<u16> {
        match number {
            1_000..=1_035 => {
                let offset = number - 1_000;
                Some(self.channel(offset / 4)[usize::from(offset % 4)])
            }
            9_800..=9_809 => {
                let at = usize::from(number - 9_800) * 2;
                Some(u16::from_be_bytes([NAME[at], NAME[at + 1]]))
            }
            9_820 => Some(425),
            9_821 => Some(520),
            9_822 => Some(2_024),
            9_823 => Some(3),
            9_824 => Some(14),
            9_825 => Some(1),
            _ => self.parameters.get(&number).copied(),
        }
    }
}

impl Slave for IsoCha {
    fn unit(&self) -> u8 {
        self.unit
    }

    fn functions(&self) -> &'static [u8] {
        &[3, 16]
    }

    fn condition(&self) -> Condition {
        let gone = self.circuit.with(|circuit| circuit.faults.has(Fault::ImdGone));
        if gone { Condition::Silent } else { Condition::Well }
    }

    fn tick(&mut self, now: Duration) {
        self.now = now;
        if self.volts_measured.is_none_or(|measured| now >= measured + VOLTAGE_PERIOD) {
            self.volts_measured = Some(now);
            (self.volts, self.to_earth) =
                self.circuit.with(|circuit| (circuit.cable_side_v(), circuit.voltages_to_earth()));
        }
        match self.mode {
            Mode::Settling { until } if now >= until => {
                self.measure();
                self.mode = Mode::Measuring { next: now + PERIOD / self.pace };
            }
            Mode::Measuring { next } if now >= next => {
                self.measure();
                self.mode = Mode::Measuring { next: now + PERIOD / self.pace };
            }
            Mode::Testing { until } if now >= until => {
                self.device_error = self.circuit.with(|circuit| circuit.faults.has(Fault::ImdSelfTestFails));
                self.mode = Mode::Settling { until: now + SETTLES_IN / self.pace };
            }
            Mode::Disabled | Mode::Settling { .. } | Mode::Measuring { .. } | Mode::Testing { .. } => {}
        }
    }

    fn read(&self, start: u16, count: u16) -> Result<Vec<u16>, Exception> {
        let values: Option<Vec<u16>> =
            (start..=start + (count - 1)).map(|number| self.register(number)).collect();
        values.ok_or(Exception::Address)
    }

    fn write(&mut self, start: u16, values: &[u16]) -> Result<(), Exception> {
        if start == SELF_TEST {
            return if values == [TEST_WORD] { self.start_test() } else { Err(Exception::Value) };
        }
        for (register, value) in (start..=u16::MAX).zip(values) {
            let row = PARAMETERS.iter().find(|(number, ..)| *number == register);
            let (_, _, least, most) = row.ok_or(Exception::Address)?;
            if !(least..=most).contains(&value) {
                return Err(Exception::Value);
            }
        }
        for (register, value) in (start..=u16::MAX).zip(values) {
            self.parameters.insert(register, *value);
            if register == DEVICE_ACTIVE {
                self.set_active(*value == 1);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
