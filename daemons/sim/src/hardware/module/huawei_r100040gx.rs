//! A Huawei R100040Gx module, device side, from what EVerest's driver sends and expects.
//!
//! Identifier, 29 bits: `[28:23] 0x0D · [22:16] address · [15:8] message · [7] from the controller ·
//! [6:2] group · [1] software address · [0] more frames follow`. Data: `error 4 · signal 12 · byte ·
//! byte · value 32`, big-endian, volts and amperes in steps of 1/1024.
//!
//! Not published, so chosen here: the module's time-out as delivered, and that signal 0x118 sets it in
//! seconds; commands to all are not answered, queries are; a set-point that it cannot do is an invalid
//! command; so is the range's mode while it delivers; the bits of the alarm status, of which the model
//! has one for any alarm. What the ranges of signals 0x009 and 0x00A look like is not known: they are
//! not sent.

use std::time::Duration;

use voltry_canlink::{CanFrame, CanId};

use super::{Peers, Protocol, Stage, eight, field, flags, u32_at, unsigned, word};

const PROTOCOL: u32 = 0x0D;
const CONTROL: u8 = 0x80;
const CONFIGURE: u8 = 0x81;
const QUERY: u8 = 0x82;
const REAL_TIME: u8 = 0x40;
const INHERENT: u8 = 0x50;
/// In byte 3 of a batch query: the value selects the signals.
const SELECTED: u8 = 0xAA;
const INVALID: u8 = 2;
const IDENTIFYING: u8 = 3;

/// The signals of a batch, by their bits. Bit 8 is none, as in the sources; of 18 and 21 no signal
/// is known.
const BATCH: [(u8, u16); 21] = [
    (0, 0x10E),
    (1, 0x170),
    (2, 0x171),
    (3, 0x172),
    (4, 0x173),
    (5, 0x174),
    (6, 0x175),
    (7, 0x103),
    (9, 0x179),
    (10, 0x17A),
    (11, 0x17B),
    (12, 0x17F),
    (13, 0x180),
    (14, 0x181),
    (15, 0x182),
    (16, 0x183),
    (17, 0x100),
    (19, 0x10F),
    (20, 0x18F),
    (22, 0x191),
    (23, 0x105),
];

/// The module's language.
#[derive(Debug, Default)]
pub(super) struct Huawei;

/// Error, signal, two bytes, value.
type Said = (u8, u16, [u8; 2], u32);

impl Protocol for Huawei {
    fn receive(
        &mut self,
        now: Duration,
        frame: &CanFrame,
        stage: &mut Stage,
        _peers: Peers<'_>,
    ) -> Vec<CanFrame> {
        let (bits, Some(data)) = (frame.id().bits(), eight(frame)) else { return Vec::new() };
        let address = field(bits, 16, 0x7F);
        let from_controller = frame.id().is_extended() && bits >> 23 == PROTOCOL && bits >> 7 & 1 == 1;
        if !from_controller || (address != 0 && address != stage.address) {
            return Vec::new();
        }
        stage.hears(now);
        let message = field(bits, 8, 0xFF);
        let signal = u16::from_be_bytes([data[0], data[1]]) & 0xFFF;
        let (byte3, value) = (data[3], u32_at(data, 4));
        let said = match message {
            CONTROL | CONFIGURE => {
                let error = if stage.starts_up(now) {
                    IDENTIFYING
                } else {
                    let done = command(stage, message, signal, byte3, value);
                    if done { 0 } else { INVALID }
                };
                if address == 0 {
                    return Vec::new();
                }
                vec![(error, signal, [data[2], byte3], value)]
            }
            QUERY => vec![queried(stage, signal)],
            REAL_TIME => {
                let wanted = if byte3 == SELECTED { value } else { u32::MAX };
                let bits = BATCH.iter().filter(|(bit, _)| wanted >> bit & 1 == 1);
                bits.map(|(_, signal)| queried(stage, *signal)).collect()
            }
            INHERENT => inherent(stage),
            _ => Vec::new(),
        };
        let last = said.len().saturating_sub(1);
        let frames = said.into_iter().enumerate();
        frames.map(|(index, said)| framed(stage, message, index < last, said)).collect()
    }
}

/// Whether it was done.
fn command(stage: &mut Stage, message: u8, signal: u16, byte3: u8, value: u32) -> bool {
    let amount = f64::from(value) / 1024.0;
    let limits = stage.limits();
    match (message, signal, byte3) {
        (CONTROL, 0x100, _) if (limits.min_v..=limits.max_v).contains(&amount) => stage.set_v = amount,
        (CONTROL, 0x10F, _) if amount <= limits.max_a => stage.limit_a = amount,
        // Zero is on.
        (CONTROL, 0x132 | 0x136, 0) => stage.switch(true),
        (CONTROL, 0x132 | 0x136 | 0x131, 1) => stage.switch(false),
        // The latches to clear, and the fans.
        (CONTROL, 0x133 | 0x145 | 0x134 | 0x135, _) => {}
        (CONFIGURE, 0x118, _) if (1..=3_600).contains(&value) => {
            stage.silence = Duration::from_secs(value.into());
        }
        // As the voltage on the terminals wants it: the only one that the model has.
        (CONFIGURE, 0x14A, 1) => return !stage.on,
        _ => return false,
    }
    true
}

fn queried(stage: &Stage, signal: u16) -> Said {
    let (volts, amps) = stage.reported();
    let watts = volts * amps;
    let steps = |value: f64| unsigned(value * 1024.0);
    let value = match signal {
        0x100 => steps(stage.set_v),
        // Hours.
        0x10E => 1_234,
        0x10F => steps(stage.limit_a),
        0x103 => steps(stage.available_a()),
        0x105 => steps(if stage.derated() { 0.4 } else { 1.0 } * stage.rating().rated_w),
        0x118 => u32::try_from(stage.silence.as_secs()).unwrap_or(u32::MAX),
        0x170 => steps(watts / 0.955),
        0x171 => steps(50.0),
        0x172 => steps(watts / 0.955 / 3.0 / 230.0),
        0x173 => steps(watts),
        0x174 => steps(0.955),
        0x175 => steps(volts),
        0x179..=0x17B => steps(400.0),
        0x17F => steps(stage.temperature_c() + 12.0),
        0x180 => steps(stage.temperature_c()),
        0x181 | 0x182 => steps(amps),
        0x183 | 0x18F => alarms(stage),
        0x188 => steps(stage.rating().max_a),
        0x191 => u32::from(word(amps * 10.0)) << 16 | u32::from(word(volts * 10.0)),
        _ => return (INVALID, signal, [0; 2], 0),
    };
    (0, signal, [0; 2], value)
}

fn alarms(stage: &Stage) -> u32 {
    let alarm = stage.hot() || stage.bleeder_failed() || stage.interrupted || stage.shorted();
    flags(&[(0, alarm)])
}

/// The serial number, and the versions of hardware, output stage and power factor correction.
fn inherent(stage: &Stage) -> Vec<Said> {
    vec![
        (0, 0x002, [0x25, 0x03], 0x0010_0000 | u32::from(stage.number)),
        (0, 0x005, [0, 1], u32::from_be_bytes([1, 5, 1, 3])),
    ]
}

fn framed(stage: &Stage, message: u8, more: bool, (error, signal, bytes, value): Said) -> CanFrame {
    let bits = PROTOCOL << 23
        | u32::from(stage.signs_as & 0x7F) << 16
        | u32::from(message) << 8
        | u32::from(stage.group & 0x1F) << 2
        | u32::from(more);
    let [high, low] = (u16::from(error) << 12 | signal & 0xFFF).to_be_bytes();
    let value = value.to_be_bytes();
    let data = [high, low, bytes[0], bytes[1], value[0], value[1], value[2], value[3]];
    CanFrame::of_eight(CanId::extended(bits).expect("fields add up to 29 bits"), data)
}

#[cfg(test)]
mod tests {
    use super::super::Family;
    use super::super::bench::Bench;
    use super::*;
    use crate::faults::Fault;

    const S: fn(u64) -> Duration = Duration::from_secs;
    /// The controller's identifiers, computed from the rule: control, configure and batch of module 1.
    const CONTROL_1: &str = "068180FC";
    const CONFIGURE_1: &str = "068181FC";
    const BATCH_1: &str = "068140FC";

    fn bench(count: usize) -> Bench {
        Bench::of(Family::HuaweiR100040Gx, count)
    }

    fn control(bench: &mut Bench, data: &str) -> String {
        bench.one(S(0), &format!("{CONTROL_1}#{data}"))
    }

    #[test]
    fn it_is_set_and_switched_and_every_command_is_confirmed() {
        let mut bench = bench(1);
        // 400 V and 20 A in steps of 1/1024, one module; on.
        assert_eq!(control(&mut bench, "0100000000064000"), "0681807C#0100000000064000");
        assert_eq!(control(&mut bench, "010F000100005000"), "0681807C#010F000100005000");
        assert_eq!(bench.set_points(), (400.0, 20.0));
        assert_eq!(control(&mut bench, "0132000000000000"), "0681807C#0132000000000000");
        bench.run(1.0);
        // Volts and amperes in one word.
        assert_eq!(bench.one(S(0), &format!("{BATCH_1}#000000AA00400000")), "0681407C#0191000000000FA0");
        control(&mut bench, "0132000100000000");
        assert!(!bench.on());
    }

    #[test]
    fn a_batch_is_a_frame_for_each_bit_and_all_but_the_last_say_that_more_follow() {
        let mut bench = bench(1);
        control(&mut bench, "0100000000064000");
        let answers = bench.ask(S(0), &format!("{BATCH_1}#000000AA00030000"));
        assert_eq!(answers, ["0681407D#0183000000000000", "0681407C#0100000000064000"]);
        assert_eq!(bench.ask(S(0), &format!("{BATCH_1}#0000000000000000")).len(), BATCH.len());
    }

    #[test]
    fn all_modules_answer_the_search_with_serial_number_and_versions() {
        let mut bench = bench(2);
        let answers = bench.ask(S(0), "068050FC#0000000000000000");
        assert_eq!(answers[0], "0681507D#0002250300100001");
        assert_eq!(answers[1], "0681507C#0005000101050103");
        assert_eq!(&answers[2][..8], "0682507D");
        assert_eq!(answers.len(), 4);
        // A command to all is done in silence.
        assert!(bench.ask(S(0), "068080FC#0132000000000000").is_empty());
        assert!(bench.on());
        // What a module says, and another protocol.
        for other in ["0681407C#000000AA00400000", "088140FC#000000AA00400000"] {
            assert!(bench.ask(S(0), other).is_empty());
        }
    }

    #[test]
    fn what_it_cannot_do_is_an_invalid_command() {
        let mut bench = bench(1);
        // 100 V; 140 A; half on; a signal that nobody has.
        for data in ["0100000000019000", "010F000100023000", "0132000200000000", "0777000000000000"] {
            assert_eq!(control(&mut bench, data)[9..10], *"2", "{data}");
        }
        let automatic = format!("{CONFIGURE_1}#014A000100000000");
        assert_eq!(bench.one(S(0), &automatic), "0681817C#014A000100000000");
        control(&mut bench, "0132000000000000");
        assert_eq!(bench.one(S(0), &automatic), "0681817C#214A000100000000", "not while it delivers");
        bench.modules[0].stage_mut().start_up_until(S(5));
        assert_eq!(control(&mut bench, "0132000100000000"), "0681807C#3132000100000000");
    }

    #[test]
    fn the_time_out_is_as_it_was_set() {
        let mut bench = bench(1);
        bench.one(S(0), &format!("{CONFIGURE_1}#0118000000000003"));
        control(&mut bench, "0100000000064000");
        control(&mut bench, "0132000000000000");
        bench.reports(Duration::from_millis(2_999));
        assert!(bench.on());
        bench.reports(S(3));
        assert!(!bench.on());
    }

    #[test]
    fn alarms_and_derating_are_told() {
        for fault in [Fault::ModuleOvertemp, Fault::ModuleBleeder] {
            let mut bench = bench(1);
            bench.break_it(fault);
            assert_eq!(bench.one(S(0), "068182FC#0183000000000000"), "0681827C#0183000000000001");
        }
        let mut bench = bench(1);
        assert_eq!(bench.one(S(0), "068182FC#0103000000000000"), "0681827C#0103000000021400", "133 A");
        bench.break_it(Fault::ModuleDerated);
        assert_eq!(bench.one(S(0), "068182FC#0103000000000000"), "0681827C#010300000000D4CD", "53.2 A");
    }
}
