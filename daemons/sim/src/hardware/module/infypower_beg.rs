//! An Infypower BEC or BEG module, device side: bidirectional, protocol V1.04. The charging module
//! of Phoenix Contact has the same frames.
//!
//! The identifier is that of the older protocol, its commands are two: 0x23 reads and 0x24 writes.
//! Bytes 0 and 1 name an object, bytes 4 to 7 are its value, big-endian and in thousandths. The
//! values of a system are told by the lowest address of a group; all others by each module.
//! Currents are magnitudes: which way they flow is the working mode's to say (EVerest's driver).
//!
//! A write is answered as a read of the same object is (chargebyte's driver). Not published, so chosen
//! here: the module's own time-out; the working mode changes only while the output is off; discharging stops at the voltage of object
//! 0x1132 (chargebyte's driver) or, while none was written, at the set voltage (EVerest's).

use std::time::Duration;

use voltry_canlink::CanFrame;

use super::infypower::{Address, Refusal, status_word};
use super::{Peers, Protocol, Stage, Together, eight, u32_at, unsigned};

const READ: u8 = 0x23;
const WRITE: u8 = 0x24;
const PHASE_V: f64 = 230.0;
const LINE_V: f64 = 400.0;

/// The module's language, and what it keeps for it.
#[derive(Debug, Default)]
pub(super) struct InfypowerBeg {
    set_v: f64,
    cut_off_v: Option<f64>,
}

impl Protocol for InfypowerBeg {
    fn receive(
        &mut self,
        now: Duration,
        frame: &CanFrame,
        stage: &mut Stage,
        peers: Peers<'_>,
    ) -> Vec<CanFrame> {
        let Some(to) = Address::of(frame).filter(|to| to.is_for(stage)) else { return Vec::new() };
        stage.hears(now);
        let Some(data) = eight(frame) else { return to.answer(stage.signs_as, Err(Refusal::Data)) };
        let object = u16::from_be_bytes([data[0], data[1]]);
        let together = to.together(stage, peers);
        match to.command {
            READ => {
                let of_system = matches!(object, 0x1001 | 0x1002 | 0x1010);
                if of_system && !to.is_point_to_point() && together.master != stage.address {
                    return Vec::new();
                }
                let answer = read(stage, object, together).ok_or(Refusal::Command);
                to.answer(stage.signs_as, answer.map(|value| of_object(object, value)))
            }
            WRITE => {
                let result = if stage.starts_up(now) {
                    Err(Refusal::StartingUp)
                } else {
                    self.write(stage, object, u32_at(data, 4), together.count).map(|()| data)
                };
                // Each module says what came of it; of the system's values the group's master.
                let of_system = matches!(object, 0x1001 | 0x1002);
                if of_system && !to.is_point_to_point() && together.master != stage.address {
                    return Vec::new();
                }
                to.answer(stage.signs_as, result)
            }
            _ => to.answer(stage.signs_as, Err(Refusal::Command)),
        }
    }
}

impl InfypowerBeg {
    fn write(&mut self, stage: &mut Stage, object: u16, value: u32, count: u8) -> Result<(), Refusal> {
        let amount = f64::from(value) / 1e3;
        let switch = match value {
            0xA0 => Ok(false),
            0xA1 => Ok(true),
            _ => Err(Refusal::Data),
        };
        let rating = stage.rating();
        match object {
            0x1001 if (rating.min_v..=rating.max_v).contains(&amount) => self.set_v = amount,
            0x1002 if amount <= rating.max_a * f64::from(count.max(1)) => {
                stage.limit_a = amount / f64::from(count.max(1));
            }
            0x1132 if amount <= rating.max_v => self.cut_off_v = Some(amount),
            // 0xA0 is on.
            0x1110 => stage.switch(!switch?),
            0x1122 => stage.walk_in = switch?,
            // The range: the model has one that goes from the least to the most voltage.
            // In parallel, in series, or as it chooses: as EVerest's driver has it.
            0x1126 if (0xA0..=0xA2).contains(&value) => {}
            // The power factor, in thousandths: the model's grid takes any.
            0x2105 => {}
            0x2110 => {
                let feeds_back = switch?;
                if stage.on && stage.feeds_back != feeds_back {
                    return Err(Refusal::Data);
                }
                stage.feeds_back = feeds_back;
            }
            0x1001 | 0x1002 | 0x1132 | 0x1126 => return Err(Refusal::Data),
            _ => return Err(Refusal::Command),
        }
        let cut_off_v = self.cut_off_v.filter(|_| stage.feeds_back);
        stage.set_v = cut_off_v.unwrap_or(self.set_v);
        Ok(())
    }
}

/// The value that the module has, not yet in thousandths where it is an amount.
fn read(stage: &Stage, object: u16, together: Together) -> Option<u32> {
    let (volts, amps) = stage.reported();
    let rating = stage.rating();
    let watts = volts * amps;
    let milli = |value: f64| unsigned(value.abs() * 1e3);
    Some(match object {
        0x1001 => milli(together.volts),
        0x1002 => milli(together.amps),
        0x1010 => u32::from(together.count),
        0x1103..=0x1105 => milli(LINE_V),
        0x1106 => milli(stage.temperature_c()),
        0x1110 => status_word(stage),
        0x1111 => u32::from(stage.feeds_back),
        0x1130 => milli(rating.max_v),
        0x1131 => milli(rating.min_v),
        0x1132 => milli(rating.max_a),
        0x1133 => milli(rating.rated_w),
        0x2101..=0x2103 => milli(PHASE_V),
        0x2104..=0x2106 => milli(watts / 3.0 / PHASE_V),
        0x2107 => milli(50.0),
        0x2108 | 0x2113 => milli(watts),
        0x2109..=0x210B | 0x2110..=0x2112 => milli(watts / 3.0),
        0x210C..=0x210F => 0,
        0x4101 => milli(volts),
        0x4102 => milli(amps),
        _ => return None,
    })
}

fn of_object(object: u16, value: u32) -> [u8; 8] {
    let ([high, low], value) = (object.to_be_bytes(), value.to_be_bytes());
    [high, low, 0, 0, value[0], value[1], value[2], value[3]]
}

#[cfg(test)]
mod tests {
    use super::super::Family;
    use super::super::bench::Bench;
    use super::*;
    use crate::faults::Fault;

    const S: fn(u64) -> Duration = Duration::from_secs;
    /// To all: 400 V, 10 A each for two, on, off, inverter, rectifier, no walk-in.
    const SET_400_V: &str = "02A43FF0#1001000000061A80";
    const SET_20_A: &str = "02A43FF0#1002000000004E20";
    const ON: &str = "02A43FF0#11100000000000A0";
    const OFF: &str = "02A43FF0#11100000000000A1";
    const INVERTER: &str = "02A43FF0#21100000000000A1";
    const RECTIFIER: &str = "02A43FF0#21100000000000A0";
    const NO_WALK_IN: &str = "02A43FF0#11220000000000A0";

    fn bench(count: usize) -> Bench {
        let mut bench = Bench::of(Family::InfypowerBeg, count);
        bench.ask(S(0), NO_WALK_IN);
        bench
    }

    #[test]
    fn a_group_is_set_started_read_and_stopped_with_the_vectors() {
        let mut bench = bench(2);
        assert_eq!(bench.one(S(0), SET_400_V), "02A4F000#1001000000061A80");
        assert_eq!(bench.one(S(0), SET_20_A), "02A4F000#1002000000004E20");
        let all = bench.ask(S(0), ON);
        assert_eq!(all, ["02A4F000#11100000000000A0", "02A4F001#11100000000000A0"]);
        assert_eq!(bench.set_points(), (400.0, 10.0));
        bench.run(1.0);
        assert_eq!(bench.one(S(1), "02A33FF0#1001000000000000"), "02A3F000#1001000000061A80");
        assert_eq!(bench.one(S(1), "02A33FF0#1010000000000000"), "02A3F000#1010000000000002");
        let all = bench.ask(S(1), "02A33FF0#1110000000000000");
        assert_eq!(all, ["02A3F000#1110000000000000", "02A3F001#1110000000000000"]);
        bench.ask(S(1), OFF);
        assert!(!bench.on());
        assert_eq!(bench.ask(S(1), "02A33FF0#1110000000000000")[1], "02A3F001#1110000000000100");
    }

    #[test]
    fn one_module_tells_its_rating_and_its_own_output() {
        let mut bench = bench(2);
        for (object, value) in [
            ("1130", "000F4240"),
            ("1131", "00030D40"),
            ("1132", "00011E54"),
            ("1133", "014FB180"),
            ("4102", "00000000"),
            ("1103", "00061A80"),
        ] {
            let answer = bench.one(S(0), &format!("02A301F0#{object}000000000000"));
            assert_eq!(answer, format!("02A3F001#{object}0000{value}"));
        }
        assert_eq!(bench.one(S(0), "02A301F0#7777000000000000"), "0AA3F001#0000000000000000");
    }

    #[test]
    fn what_it_cannot_do_is_refused_with_the_reason_in_the_identifier() {
        let mut bench = bench(1);
        // 150 V, 80 A, neither on nor off; starting up.
        for data in ["1001000000024 9F0", "1002000000013880", "11100000000000A2"] {
            let data = data.replace(' ', "");
            assert_eq!(bench.one(S(0), &format!("02A400F0#{data}")), "0EA4F000#0000000000000000");
        }
        bench.modules[0].stage_mut().start_up_until(S(9));
        assert_eq!(bench.one(S(1), "02A400F0#11100000000000A0"), "1EA4F000#0000000000000000");
    }

    #[test]
    fn as_an_inverter_it_takes_current_from_the_battery_down_to_the_cut_off_voltage() {
        let mut bench = bench(1);
        bench.connect_vehicle();
        for write in [INVERTER, "02A43FF0#1002000000004E20", "02A43FF0#113200000004BAF0", ON] {
            bench.ask(S(0), write);
        }
        bench.run(1.0);
        let amps = bench.circuit.with(|circuit| circuit.output_a());
        assert!((amps + 20.0).abs() < 0.5, "{amps} A");
        assert_eq!(bench.one(S(1), "02A300F0#1111000000000000"), "02A3F000#1111000000000001");
        let told = bench.one(S(1), "02A300F0#4102000000000000");
        assert_eq!(&told[17..], "00004E20", "a magnitude");
        assert!(bench.circuit.with(|circuit| circuit.grid_w()) < -7_000.0);
        // At 500 V of cut-off nothing may be taken from a battery of less.
        bench.ask(S(2), "02A43FF0#113200000007A120");
        bench.run(1.0);
        assert!(bench.circuit.with(|circuit| circuit.output_a()).abs() < 0.1);
    }

    #[test]
    fn the_working_mode_changes_only_while_the_output_is_off() {
        let mut bench = bench(1);
        for write in [SET_400_V, SET_20_A, ON] {
            bench.ask(S(0), write);
        }
        assert_eq!(bench.one(S(1), "02A400F0#21100000000000A1"), "0EA4F000#0000000000000000");
        assert_eq!(bench.one(S(1), "02A400F0#21100000000000A0"), "02A4F000#21100000000000A0");
        bench.ask(S(1), OFF);
        assert_eq!(bench.one(S(1), "02A400F0#21100000000000A1"), "02A4F000#21100000000000A1");
        bench.ask(S(1), RECTIFIER);
        assert!(!bench.circuit.with(|circuit| circuit.modules[0].feeds_back));
    }

    #[test]
    fn silence_switches_it_off_and_faults_show_in_its_status() {
        let mut bench = bench(1);
        for write in [SET_400_V, ON] {
            bench.ask(S(0), write);
        }
        bench.reports(super::super::family::UNPUBLISHED_SILENCE);
        assert!(!bench.on());
        for (fault, status) in [
            (Fault::ModuleDerated, "00010100"),
            (Fault::ModuleOvertemp, "00001500"),
            (Fault::ModuleBleeder, "00000120"),
        ] {
            let mut bench = super::tests::bench(1);
            bench.break_it(fault);
            assert_eq!(&bench.one(S(0), "02A300F0#1110000000000000")[17..], status, "{fault:?}");
        }
    }
}
