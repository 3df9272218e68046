//! A Maxwell MXR module, device side: protocol V1.50. Winline's UXR and NXR have the same frames.
//!
//! Identifier, 29 bits: `[28:20] 0x060 · [19] point to point · [18:11] destination · [10:3] source ·
//! [2:0] group`. `03 00 RRRR vvvvvvvv` sets a register, `10 00 RRRR 00000000` reads one; the answer
//! is `41` for a float or `42` for an integer, `F0` for done or `F2` for refused, register and value.
//!
//! Not published, so chosen here: the module's own time-out; what is set for several is not answered;
//! a refusal carries the value that was to be set; the group counts only where all of a group are
//! meant. How much the altitude derates is not published: it is kept, and has no effect.

use std::time::Duration;

use voltry_canlink::{CanFrame, CanId};

use super::{Peers, Protocol, Stage, eight, field, flags, u32_at, unsigned};

const PROTOCOL: u32 = 0x060;
const CONTROLLER: u8 = 0xF0;
const ALL: u8 = 0xFF;
const GROUP: u8 = 0xFE;
/// `0xFD - group` is all of a group of 0 to 60.
const EXTENDED_GROUP: u8 = 0xFD;
const GROUP_MAX: u32 = 60;
const DONE: u8 = 0xF0;
const REFUSED: u8 = 0xF2;
const YES: u32 = 0x0001_0000;

/// The module's language, and the settings that are only kept.
#[derive(Debug)]
pub(super) struct MaxwellMxr {
    altitude_m: u32,
    automatic_addresses: bool,
}

impl Default for MaxwellMxr {
    fn default() -> Self {
        Self { altitude_m: 1_000, automatic_addresses: false }
    }
}

/// A register's value, of the type it has on the wire.
#[derive(Debug, Clone, Copy)]
enum Value {
    Float(f64),
    Integer(u32),
}

impl Protocol for MaxwellMxr {
    fn receive(
        &mut self,
        now: Duration,
        frame: &CanFrame,
        stage: &mut Stage,
        _peers: Peers<'_>,
    ) -> Vec<CanFrame> {
        let (bits, Some(data)) = (frame.id().bits(), eight(frame)) else { return Vec::new() };
        let ours = frame.id().is_extended() && bits >> 20 == PROTOCOL && field(bits, 3, 0xFF) == CONTROLLER;
        let alone = bits >> 19 & 1 == 1;
        let destination = field(bits, 11, 0xFF);
        let for_this = match (alone, destination) {
            (true, _) => destination == stage.address,
            (false, ALL) => true,
            (false, GROUP) => field(bits, 0, 7) == stage.group,
            (false, _) => EXTENDED_GROUP.checked_sub(destination) == Some(stage.group),
        };
        if !ours || !for_this {
            return Vec::new();
        }
        stage.hears(now);
        let register = u16::from_be_bytes([data[2], data[3]]);
        let answer = match data[0] {
            0x03 => {
                let done = self.set(stage, register, u32_at(data, 4));
                let kind = if is_float(register) { 0x41 } else { 0x42 };
                let error = if done { DONE } else { REFUSED };
                alone.then_some([kind, error, data[2], data[3], data[4], data[5], data[6], data[7]])
            }
            0x10 => Some(match self.read(stage, register) {
                Some(Value::Float(value)) => said(0x41, register, single(value).to_be_bytes()),
                Some(Value::Integer(value)) => said(0x42, register, value.to_be_bytes()),
                None => [0x42, REFUSED, data[2], data[3], 0, 0, 0, 0],
            }),
            _ => None,
        };
        let id = identifier(stage);
        answer.map(|data| CanFrame::of_eight(id, data)).into_iter().collect()
    }
}

impl MaxwellMxr {
    /// Whether it was done.
    fn set(&mut self, stage: &mut Stage, register: u16, value: u32) -> bool {
        let float = f64::from(f32::from_bits(value));
        let rating = stage.rating();
        let switch = match value {
            0 => Some(false),
            YES => Some(true),
            _ => None,
        };
        match register {
            0x0017 if (1_000..=5_000).contains(&value) => self.altitude_m = value,
            0x001B if f64::from(value) / 1024.0 <= rating.max_a => stage.limit_a = f64::from(value) / 1024.0,
            0x001E if value <= GROUP_MAX && !self.automatic_addresses => {
                stage.group = u8::try_from(value).unwrap_or(0);
            }
            // The switches are what is set as it is delivered.
            0x001F if let Some(by_switch) = switch => self.automatic_addresses = !by_switch,
            0x0020 if (0.1..=1.0).contains(&float) => stage.limit_w = float * rating.rated_w,
            0x0021 if (rating.min_v..=rating.max_v).contains(&float) => stage.set_v = float,
            0x0022 if (0.0..=1.0).contains(&float) => stage.limit_a = float * rating.max_a,
            // The model's output never rises above its set point: the limit of its over-voltage
            // protection, and the latches to reset, have nothing to act on.
            0x0023 if (rating.min_v..=rating.max_v * 1.1).contains(&float) => {}
            0x0031 | 0x003E | 0x0044 if switch.is_some() => {}
            // Zero is on.
            0x0030 if let Some(off) = switch => stage.switch(!off),
            // Fed by alternating current; the other mode would not match.
            0x0046 if value == 1 => {}
            _ => return false,
        }
        true
    }

    fn read(&self, stage: &Stage, register: u16) -> Option<Value> {
        let (volts, amps) = stage.reported();
        let rating = stage.rating();
        let celsius = stage.temperature_c();
        Some(match register {
            0x0001 => Value::Float(volts),
            0x0002 => Value::Float(amps),
            0x0003 => Value::Float(stage.limit_a / rating.max_a),
            0x0004 | 0x0010 => Value::Float(celsius + 12.0),
            0x0005 | 0x000C..=0x000E => Value::Float(230.0),
            0x0008 | 0x000A => Value::Float(400.0),
            0x000B => Value::Float(celsius),
            0x0011 => Value::Float(rating.rated_w),
            0x0012 => Value::Float(rating.max_a),
            0x0040 => Value::Integer(status(stage)),
            0x0043 => Value::Integer(u32::from(stage.group) << 16 | u32::from(stage.address)),
            0x0048 => Value::Integer(unsigned(volts * amps / 0.955)),
            0x004A => Value::Integer(self.altitude_m),
            // Three phases.
            0x004B => Value::Integer(3),
            0x0054 => Value::Integer(0x2503_0000 | u32::from(stage.number)),
            0x0055 => Value::Integer(0x4D58),
            0x0056 => Value::Integer(105),
            0x0057 => Value::Integer(103),
            _ => return None,
        })
    }
}

/// Of the registers that can be set, those with a floating-point number.
fn is_float(register: u16) -> bool {
    matches!(register, 0x0020..=0x0023)
}

fn status(stage: &Stage) -> u32 {
    flags(&[
        // No bit is named for the bleeder: it is a fault of the module.
        (0, stage.bleeder_failed()),
        (1, stage.hot()),
        (16, stage.interrupted),
        (22, !stage.delivers()),
        (23, stage.derated() || stage.limit_w < stage.rating().rated_w),
        (24, stage.derated()),
        (28, stage.shorted()),
        (30, stage.hot()),
    ])
}

fn said(kind: u8, register: u16, value: [u8; 4]) -> [u8; 8] {
    let [high, low] = register.to_be_bytes();
    [kind, DONE, high, low, value[0], value[1], value[2], value[3]]
}

/// To the controller, from this module.
fn identifier(stage: &Stage) -> CanId {
    let bits = PROTOCOL << 20
        | 1 << 19
        | u32::from(CONTROLLER) << 11
        | u32::from(stage.signs_as) << 3
        | u32::from(stage.group & 7);
    CanId::extended(bits).expect("fields add up to 29 bits")
}

fn single(value: f64) -> f32 {
    // The wire has single precision.
    #[allow(clippy::cast_possible_truncation)]
    let value = value as f32;
    value
}

#[cfg(test)]
mod tests {
    use super::super::Family;
    use super::super::bench::Bench;
    use super::*;
    use crate::faults::Fault;

    const S: fn(u64) -> Duration = Duration::from_secs;
    /// From 0xF0 to module 0 of group 0, to all, and back.
    const ZERO: &str = "06080780";
    const TO_ALL: &str = "0607FF80";
    const FROM_ZERO: &str = "060F8000";

    fn bench(count: usize) -> Bench {
        Bench::of(Family::MaxwellMxr, count)
    }

    fn tell(bench: &mut Bench, data: &str) -> String {
        bench.one(S(0), &format!("{ZERO}#{data}"))
    }

    fn answer(data: &str) -> String {
        format!("{FROM_ZERO}#{data}")
    }

    #[test]
    fn the_documents_examples_are_answered_as_in_it() {
        let mut bench = bench(1);
        // 700 V; half of the rated current; on; read the voltage; off.
        assert_eq!(tell(&mut bench, "03000021442F0000"), answer("41F00021442F0000"));
        assert_eq!(tell(&mut bench, "030000223F000000"), answer("41F000223F000000"));
        assert_eq!(bench.set_points(), (700.0, 50.0));
        assert_eq!(tell(&mut bench, "0300003000000000"), answer("42F0003000000000"));
        bench.run(2.0);
        assert_eq!(tell(&mut bench, "1000000100000000"), answer("41F00001442F0000"));
        assert_eq!(tell(&mut bench, "0300003000010000"), answer("42F0003000010000"));
        assert!(!bench.on());
        // Group 5; altitude 3000 m; addresses by switches.
        for data in ["0017 00000BB8", "001F 00010000"] {
            let data = data.replace(' ', "");
            assert_eq!(tell(&mut bench, &format!("0300{data}")), answer(&format!("42F0{data}")));
        }
        let regrouped = tell(&mut bench, "0300001E00000005");
        assert_eq!(regrouped, "060F8005#42F0001E00000005", "the identifier has the new group at once");
        assert_eq!(tell(&mut bench, "1000004300000000"), "060F8005#42F0004300050000");
    }

    #[test]
    fn what_it_cannot_do_is_refused() {
        let mut bench = bench(1);
        for (set, refused) in [
            // 100 V; not a number; 1.5 times the rated current; half on.
            ("0300002142C80000", "41F2002142C80000"),
            ("030000217FC00000", "41F200217FC00000"),
            ("030000223FC00000", "41F200223FC00000"),
            ("0300003000000001", "42F2003000000001"),
            // A register that nobody has.
            ("1000777700000000", "42F2777700000000"),
        ] {
            assert_eq!(tell(&mut bench, set), answer(refused));
        }
        tell(&mut bench, "0300001F00000000");
        assert_eq!(
            tell(&mut bench, "0300001E00000005"),
            answer("42F2001E00000005"),
            "addresses are automatic"
        );
        assert!(!bench.on());
    }

    #[test]
    fn all_or_a_group_are_set_without_an_answer_and_read_one_by_one() {
        let mut bench = bench(3);
        bench.modules[2].stage_mut().group = 9;
        assert!(bench.ask(S(0), &format!("{TO_ALL}#0300002143C80000")).is_empty());
        assert_eq!(bench.set_points().0, 400.0);
        assert_eq!(bench.ask(S(0), &format!("{TO_ALL}#1000004300000000")).len(), 3);
        // Group 0 by the identifier, group 9 by the destination.
        assert_eq!(bench.ask(S(0), "0607F780#1000000100000000").len(), 2);
        let ninth = format!("{:08X}#1000000100000000", 0x0600_0780 | (0xFD - 9) << 11);
        assert_eq!(bench.one(S(0), &ninth)[..8], *"060F8011");
    }

    #[test]
    fn current_in_steps_of_a_1024th_and_a_power_limit_bound_what_is_delivered() {
        let mut bench = bench(1);
        bench.connect_vehicle();
        // 10 A × 1024; 450 V; a tenth of the power.
        for data in ["0300001B00002800", "0300002143E10000", "0300003000000000"] {
            tell(&mut bench, data);
        }
        assert_eq!(bench.set_points().1, 10.0);
        bench.run(1.0);
        assert!((bench.circuit.with(|circuit| circuit.output_a()) - 10.0).abs() < 0.1);
        tell(&mut bench, "030000203DCCCCCE");
        bench.run(1.0);
        let watts = bench.circuit.with(|circuit| circuit.output_w());
        assert!((2_900.0..3_010.0).contains(&watts), "{watts} W");
    }

    #[test]
    fn silence_and_faults_show_in_the_status() {
        for (fault, status) in [
            (Fault::ModuleDerated, "01C00000"),
            (Fault::ModuleOvertemp, "40400002"),
            (Fault::ModuleBleeder, "00400001"),
        ] {
            let mut bench = bench(1);
            bench.break_it(fault);
            assert_eq!(
                tell(&mut bench, "1000004000000000"),
                answer(&format!("42F00040{status}")),
                "{fault:?}"
            );
        }
        let mut bench = bench(1);
        tell(&mut bench, "0300002143C80000");
        tell(&mut bench, "0300003000000000");
        assert!(bench.on());
        bench.reports(super::super::family::UNPUBLISHED_SILENCE);
        assert!(!bench.on());
    }
}
