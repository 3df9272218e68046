//! Golden frames of the vendor document and of public drivers of these modules.

use super::*;
use crate::Kind;
use crate::infypower::FAMILY;

const M0: Destination = Destination::Module(0);

fn encode(to: Destination, request: Request) -> Result<Frame, Unencodable> {
    (FAMILY.encode)(to, request)
}

fn heard(text: &str) -> Result<Message, Malformed> {
    super::heard(&FAMILY, text)
}

fn reply(text: &str) -> Reply {
    heard(text).unwrap().reply
}

#[test]
fn requests_are_the_frames_of_the_vendor_document() {
    let set = Request::SetOutput { voltage: Volts::new(400), current: Amps::new(20) };
    let system = Request::SetSystemOutput { voltage: Volts::new(400), current: Amps::new(20) };
    for (to, request, golden) in [
        (M0, Request::ReadOutput, "028300F0#0000000000000000"),
        (M0, Request::ReadCapability, "028A00F0#0000000000000000"),
        (M0, Request::Switch { on: false }, "029A00F0#0100000000000000"),
        (M0, Request::Switch { on: true }, "029A00F0#0000000000000000"),
        (M0, set, "029C00F0#00061A8000004E20"),
        (Destination::All, system, "029B3FF0#00061A8000004E20"),
        (Destination::Group(1), Request::ReadSystemOutput, "02C101F0#0000000000000000"),
        (Destination::Group(1), Request::ReadCount, "02C201F0#0000000000000000"),
        (Destination::Module(3), Request::ReadStatus, "028403F0#0000000000000000"),
        (Destination::Module(3), Request::ReadInput, "028603F0#0000000000000000"),
        (M0, Request::ReadSystemOutputFixed, "028800F0#0000000000000000"),
        (M0, Request::ReadOutputFixed, "028900F0#0000000000000000"),
        (M0, Request::ReadSerial, "028B00F0#0000000000000000"),
        (M0, Request::ReadAvailable, "028C00F0#0000000000000000"),
        (M0, Request::WalkIn { on: true }, "029300F0#0100000000000000"),
        (M0, Request::Identify { on: true }, "029400F0#0100000000000000"),
        (M0, Request::SetGroup { group: 5 }, "029600F0#0500000000000000"),
        (M0, Request::Sleep { on: true }, "029900F0#0100000000000000"),
        (M0, Request::Sleep { on: false }, "029900F0#0000000000000000"),
        (Destination::All, Request::AddressMode { by_switch: true }, "029F3FF0#0100000000000000"),
    ] {
        assert_eq!(encode(to, request), Ok(frame(golden)), "{request:?}");
    }
}

#[test]
fn answers_are_read_as_the_vendor_document_does() {
    let output =
        |volts, milliamps| Output { voltage: Volts::new(volts), current: Amps::from_milli(milliamps) };
    assert_eq!(
        heard("0283F000#43FA000040600000"),
        Ok(Message { source: Source::Module(0), reply: Reply::Output(output(500, 3500)) })
    );
    assert_eq!(reply("0289F000#00030D4000001388"), Reply::OutputFixed(output(200, 5000)));
    assert_eq!(
        reply("028AF000#01F400C803E803E8"),
        Reply::Capability(Capability {
            voltage_max: Volts::new(500),
            voltage_min: Volts::new(200),
            current_max: Amps::new(100),
            power_max: Watts::new(10_000),
        })
    );
    assert_eq!(reply("028BF000#56130C15A3FB06A8"), Reply::Serial("081807123451V1704".into()));
    assert_eq!(reply("028BF000#FF130C15A3FB06A8"), Reply::Serial("0xFF130C15A3FB06A8".into()));
    assert_eq!(
        heard("0281F03F#43FA000040600000"),
        Ok(Message { source: Source::System, reply: Reply::SystemOutput(output(500, 3500)) })
    );
    assert_eq!(reply("0282F000#0000050000000000"), Reply::Count(5));
    assert_eq!(
        reply("0286F000#0ED80ED90EDA0000"),
        Reply::Input(Input { lines: [380_000, 380_100, 380_200].map(Volts::from_milli) })
    );
    assert_eq!(
        reply("028CF000#0FA003E800000000"),
        Reply::Available { external: Some(Volts::new(400)), current: Amps::new(100) }
    );
    assert_eq!(reply("029CF000#0000000000000000"), Reply::Done(Order::SetOutput));
    assert_eq!(reply("029AF000#0100000000000000"), Reply::Done(Order::Switch));
}

#[test]
fn a_status_tells_states_from_alarms() {
    let Reply::Status(status) = reply("0284F002#00000100F6124190") else { panic!("no status") };
    assert_eq!(status.group, Some(1));
    assert_eq!(status.inlet, Some(Celsius::new(-10)));
    let of = |kind| status.conditions.of(kind).collect::<Vec<_>>();
    assert_eq!(of(Kind::State), [Condition::DcOff, Condition::Asleep, Condition::WalkIn]);
    assert_eq!(of(Kind::Alarm), [Condition::DuplicateId]);
    assert_eq!(of(Kind::Warning), [Condition::CommunicationInterrupted, Condition::PhaseUnbalance]);
    assert_eq!(of(Kind::Derating), []);
}

#[test]
fn each_status_bit_is_one_condition_and_reserved_ones_are_none() {
    for byte in 5..8 {
        for bit in 0..8 {
            let mut data = [0; 8];
            data[byte] = 1 << bit;
            let reserved = byte == 7 && (bit == 1 || bit == 2);
            let Ok(Message { reply: Reply::Status(status), .. }) = (FAMILY.decode)(0x0284_F000, &data) else {
                panic!("no status")
            };
            assert_eq!(status.conditions.iter().count(), usize::from(!reserved), "byte {byte} bit {bit}");
        }
    }
}

#[test]
fn a_refusal_says_what_and_why() {
    for (error, why) in [
        (2, Refusal::Command),
        (3, Refusal::Data),
        (4, Refusal::Address),
        (7, Refusal::Starting),
        (5, Refusal::Unnamed(5)),
    ] {
        let refused = (FAMILY.decode)(error << 26 | 0x029C_F000, &[0; 8]).unwrap().reply;
        assert_eq!(refused, Reply::Refused { order: Some(Order::SetOutput), why });
    }
    assert_eq!(
        (FAMILY.decode)(3 << 26 | 0x0283_F000, &[0; 8]).unwrap().reply,
        Reply::Refused { order: None, why: Refusal::Data }
    );
}

#[test]
fn frames_for_others_are_not_answers() {
    for text in [
        "028300F0#0000000000000000", // our own request
        "0283F100#43FA000040600000", // to another controller
        "0297F801#0000000000000000", // module to module
        "0283F03C#43FA000040600000", // an address no module has
        "0243F000#43FA000040600000", // another device number
    ] {
        assert!(matches!(heard(text), Err(Malformed::NotForUs(_))), "{text}");
    }
    assert_eq!(heard("0297F000#0000000000000000"), Err(Malformed::Command(0x17)));
}

#[test]
fn a_float_that_is_no_voltage_is_refused() {
    for text in ["0283F000#7FC0000000000000", "0283F000#7F80000000000000", "0283F000#00000000461C4000"] {
        assert!(matches!(heard(text), Err(Malformed::Value(_))), "{text}");
    }
}

#[test]
fn requests_that_no_frame_can_carry_are_refused() {
    let negative = Request::SetOutput { voltage: Volts::new(-1), current: Amps::ZERO };
    assert_eq!(encode(M0, negative), Err(Unencodable::OutOfRange(negative)));
    assert!(encode(Destination::Module(0x3C), Request::ReadOutput).is_err());
    assert!(encode(Destination::Group(0x3C), Request::ReadOutput).is_err());
    assert!(encode(M0, Request::SetGroup { group: 0x3C }).is_err());
}
