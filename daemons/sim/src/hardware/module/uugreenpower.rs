//! A UUGreenPower UR1000 module, device side: document 36.2. Ark Tech's and Maxwell's ENR (S0) have
//! nearly the same frames.
//!
//! Identifier, 29 bits: `[28:25] 1 · [24:21] monitor · [20:14] module · [13:9] day of production ·
//! [8:0] low part of the serial number`; the last two are the module's. Byte 0 is group and message
//! type, byte 1 the command, bytes 4 to 7 a value, big-endian: mV, mA, thousandths of a degree.
//!
//! Not published, so chosen here: the module's own time-out; a set-point beyond what it can do, or a
//! range while it delivers, changes nothing, and the answer carries what is in force; the range as
//! delivered is the high one. Maxwell's serial number and automatic range are not played.

use std::time::Duration;

use voltry_canlink::{CanFrame, CanId};

use super::stage::Range;
use super::{Peers, Protocol, Stage, eight, field, flags, signed, u32_at, unsigned, word};

const PROTOCOL: u32 = 1;
const MONITOR: u8 = 1;
/// 17 March 2025, site 1, number 100 and the address.
const MADE: u32 = 1 << 29 | 25 << 22 | 3 << 18 | DAY << 13;
const DAY: u32 = 17;
const NUMBER: u32 = 100;
const MODULE_TYPE: u16 = 0x30;

const SET: u8 = 0;
const READ: u8 = 2;
const SERIAL: u8 = 4;
const ALL_SET: u8 = 11;

/// The module's language.
#[derive(Debug, Default)]
pub(super) struct UuGreenPower {
    silent_level: u32,
}

impl Protocol for UuGreenPower {
    fn receive(
        &mut self,
        now: Duration,
        frame: &CanFrame,
        stage: &mut Stage,
        _peers: Peers<'_>,
    ) -> Vec<CanFrame> {
        let (bits, Some(data)) = (frame.id().bits(), eight(frame)) else { return Vec::new() };
        let module = field(bits, 14, 0x7F);
        let group = data[0] >> 4;
        let monitor = field(bits, 21, 0xF);
        let ours = frame.id().is_extended() && bits >> 25 == PROTOCOL && matches!(monitor, 0 | MONITOR);
        let for_this = (module == 0 || module == stage.address) && (group == 0 || group == stage.group);
        if !ours || !for_this {
            return Vec::new();
        }
        let (kind, command) = (data[0] & 0xF, data[1]);
        // All other types are what modules say.
        if !matches!(kind, SET | READ | ALL_SET) {
            return Vec::new();
        }
        stage.hears(now);
        if kind == READ {
            return self.read(stage, command).map(|data| said(stage, data)).into_iter().collect();
        }
        let answer = match kind {
            ALL_SET => Some(all_set(now, stage, data)),
            _ => self.set(now, stage, command, u32_at(data, 4)),
        };
        // What all are set to is done without a word.
        answer.filter(|_| module != 0).map(|data| said(stage, data)).into_iter().collect()
    }
}

impl UuGreenPower {
    fn set(&mut self, now: Duration, stage: &mut Stage, command: u8, value: u32) -> Option<[u8; 8]> {
        match (command, value) {
            (2, _) => set_voltage(stage, f64::from(value) / 1e3),
            (3, _) => set_current(stage, f64::from(value) / 1e3),
            // Zero is on.
            (4, 0) => stage.switch(true),
            (4, 1) => stage.switch(false),
            (62, 0..=2) => self.silent_level = value,
            (89, 1..=15) => stage.group = u8::try_from(value).ok()?,
            (95, 1) if !stage.on => stage.change_range(now, Range::High),
            (95, 2) if !stage.on => stage.change_range(now, Range::Low),
            (4 | 62 | 89 | 95, _) => {}
            _ => return None,
        }
        let in_force = match command {
            4 => u32::from(!stage.on),
            95 => range(stage),
            _ => self.value(stage, command)?,
        };
        Some(message(stage, 1, command, 0, in_force))
    }

    fn read(&self, stage: &Stage, command: u8) -> Option<[u8; 8]> {
        if command == 5 {
            let serial = MADE | (NUMBER + u32::from(stage.number));
            return Some(message(stage, SERIAL, command, MODULE_TYPE, serial));
        }
        Some(message(stage, 3, command, 0, self.value(stage, command)?))
    }

    fn value(&self, stage: &Stage, command: u8) -> Option<u32> {
        let (volts, amps) = stage.reported();
        let milli = |value: f64| unsigned(value * 1e3);
        let celsius = |value: f64| signed(value * 1e3);
        Some(match command {
            0 | 98 => milli(volts),
            1 | 47 | 48 => milli(amps),
            2 => milli(stage.set_v),
            3 => milli(stage.limit_a),
            8 => status(stage),
            20..=22 => milli(400.0),
            26 => milli(if stage.delivers() { 10.0 } else { 3.0 }),
            30 => celsius(stage.temperature_c()),
            31 | 34 | 35 => celsius(stage.temperature_c() + 12.0),
            62 => self.silent_level,
            89 => u32::from(stage.group),
            96 | 101 => range(stage),
            104 => milli(stage.available_a()),
            114 => u32::from(word(amps * 10.0)) << 16 | u32::from(word(stage.available_a() * 10.0)),
            _ => return None,
        })
    }
}

fn set_voltage(stage: &mut Stage, volts: f64) {
    let limits = stage.limits();
    if (limits.min_v..=limits.max_v).contains(&volts) {
        stage.set_v = volts;
    }
}

fn set_current(stage: &mut Stage, amps: f64) {
    if amps <= stage.limits().max_a {
        stage.limit_a = amps;
    }
}

/// Everything in one message; a change of the range switches off, reconnects, and on again.
fn all_set(now: Duration, stage: &mut Stage, data: [u8; 8]) -> [u8; 8] {
    match data[1] >> 6 {
        2 => stage.change_range(now, Range::High),
        3 => stage.change_range(now, Range::Low),
        _ => {}
    }
    let tenths = |at: usize| f64::from(u16::from_be_bytes([data[at], data[at + 1]])) / 10.0;
    set_current(stage, tenths(2));
    set_voltage(stage, tenths(6));
    // 0 and 2 switch on: the first the output, the second the power factor correction too.
    stage.switch(data[1] & 1 == 0);
    let mut answer = data;
    answer[0] = stage.group << 4 | 12;
    answer
}

/// As commands 95, 96 and 101 number it.
fn range(stage: &Stage) -> u32 {
    match stage.range() {
        Range::High => 1,
        Range::Low => 2,
        Range::Automatic => 3,
    }
}

fn status(stage: &Stage) -> u32 {
    flags(&[
        (16, stage.hot()),
        (23, stage.derated()),
        (25, !stage.delivers()),
        // Two bits with the value 2: the current loop regulates.
        (27, stage.limits_current()),
        (30, stage.shorted()),
        (31, stage.bleeder_failed()),
    ])
}

fn message(stage: &Stage, kind: u8, command: u8, middle: u16, value: u32) -> [u8; 8] {
    let (value, [high, low]) = (value.to_be_bytes(), middle.to_be_bytes());
    [stage.group << 4 | kind, command, high, low, value[0], value[1], value[2], value[3]]
}

fn said(stage: &Stage, data: [u8; 8]) -> CanFrame {
    let low_part = (NUMBER + u32::from(stage.number)) & 0x1FF;
    let bits = PROTOCOL << 25
        | u32::from(MONITOR) << 21
        | u32::from(stage.signs_as & 0x7F) << 14
        | DAY << 9
        | low_part;
    CanFrame::of_eight(CanId::extended(bits).expect("fields add up to 29 bits"), data)
}

#[cfg(test)]
mod tests {
    use super::super::Family;
    use super::super::bench::Bench;
    use super::*;
    use crate::faults::Fault;

    const S: fn(u64) -> Duration = Duration::from_secs;
    /// The identifiers that modules 1 and 2 answer with: day 17, serial number's low part 101, 102.
    const ONE: &str = "02206265";
    const TWO: &str = "0220A266";

    fn bench(count: usize) -> Bench {
        Bench::of(Family::UuGreenPower, count)
    }

    #[test]
    fn all_are_set_without_an_answer_and_one_echoes_as_in_the_document() {
        let mut bench = bench(2);
        // 475.55 V to all and to module 1; 10.5 A.
        assert!(bench.ask(S(0), "02200000#100200000007419E").is_empty());
        assert!((bench.set_points().0 - 475.55).abs() < 1e-9);
        assert_eq!(bench.one(S(0), "02204000#100200000007419E"), format!("{ONE}#110200000007419E"));
        assert_eq!(bench.one(S(0), "02204000#1003000000002904")[8..], *"#1103000000002904");
        assert_eq!(bench.one(S(0), "02204000#1004000000000000")[8..], *"#1104000000000000");
        assert!(bench.on());
        assert_eq!(bench.one(S(0), "02204000#1004000000000001")[8..], *"#1104000000000001");
        assert!(!bench.on());
    }

    #[test]
    fn all_set_data_does_everything_at_once_as_in_the_document() {
        let mut bench = bench(1);
        // On; 10.5 A, battery of 470.5 V, 475.5 V.
        let answer = bench.one(S(0), "02204000#1B00006912611293");
        assert_eq!(answer[8..], *"#1C00006912611293");
        assert!(bench.on());
        assert_eq!(bench.set_points(), (475.5, 10.5));
        // The low range: off, and on again by itself.
        bench.ask(S(1), "02204000#1BC0006912611293");
        assert!(!bench.on());
        bench.reports(S(3));
        assert!(bench.on());
        assert_eq!(bench.one(S(3), "02204000#1265000000000000")[8..], *"#1365000000000002");
    }

    #[test]
    fn every_module_answers_a_broadcast_read_with_its_own_serial_number_in_the_identifier() {
        let mut bench = bench(2);
        let answers = bench.ask(S(0), "02200000#1200000000000000");
        assert_eq!(answers, [format!("{ONE}#1300000000000000"), format!("{TWO}#1300000000000000")]);
        // Module type 0x30; site 1, 2025, month 3, day 17, number 101.
        assert_eq!(bench.one(S(0), "02204000#1205000000000000"), format!("{ONE}#14050030264E2065"));
        // Another group's, another protocol's, and what a module says.
        for other in ["02200000#2200000000000000", "04200000#1200000000000000", "02204000#1300000000000000"] {
            assert!(bench.ask(S(0), other).is_empty(), "{other}");
        }
    }

    #[test]
    fn the_range_changes_only_while_it_is_off_and_bounds_what_can_be_set() {
        let mut bench = bench(1);
        for write in ["1002000000061A80", "1003000000002710", "1004000000000000"] {
            bench.ask(S(0), &format!("02204000#{write}"));
        }
        assert_eq!(bench.one(S(0), "02204000#105F000000000002")[8..], *"#115F000000000001", "still high");
        bench.ask(S(0), "02204000#1004000000000001");
        assert_eq!(bench.one(S(0), "02204000#105F000000000002")[8..], *"#115F000000000002");
        // 600 V are too much for it now: what is in force is said.
        assert_eq!(bench.one(S(0), "02204000#10020000000927C0")[8..], *"#1102000000061A80");
        // Below 150 V it regulates nothing.
        assert_eq!(bench.one(S(0), "02204000#100200000000C350")[8..], *"#1102000000061A80");
        // On at once, it delivers once its halves are reconnected.
        bench.ask(S(0), "02204000#1004000000000000");
        assert!(!bench.on());
        bench.reports(S(2));
        assert!(bench.on());
    }

    #[test]
    fn what_it_can_give_depends_on_range_temperature_and_voltage() {
        let mut bench = bench(1);
        let capability = |bench: &mut Bench| bench.one(S(9), "02204000#1268000000000000")[17..].to_owned();
        assert_eq!(capability(&mut bench), "0000EA60", "60 A in series");
        bench.ask(S(0), "02204000#105F000000000002");
        assert_eq!(capability(&mut bench), "000186A0", "100 A in parallel");
        bench.break_it(Fault::ModuleDerated);
        assert_eq!(capability(&mut bench), "00009C40", "derated to 40 A");
        assert_eq!(bench.one(S(9), "02204000#1272000000000000")[17..], *"00000190");
    }

    #[test]
    fn faults_show_in_the_status_flags() {
        for (fault, status) in [
            (Fault::ModuleDerated, "02800000"),
            (Fault::ModuleOvertemp, "02010000"),
            (Fault::ModuleBleeder, "82000000"),
        ] {
            let mut bench = bench(1);
            bench.break_it(fault);
            let answer = bench.one(S(0), "02204000#1208000000000000");
            assert_eq!(answer, format!("{ONE}#13080000{status}"), "{fault:?}");
        }
        let mut bench = bench(1);
        for write in ["1002000000061A80", "1003000000002710", "1004000000000000"] {
            bench.ask(S(0), &format!("02204000#{write}"));
        }
        bench.reports(super::super::family::UNPUBLISHED_SILENCE);
        assert!(!bench.on(), "nobody spoke to it");
    }
}
