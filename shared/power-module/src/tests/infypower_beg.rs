//! Frames computed from the identifier's rule and from public drivers of these modules.

use super::*;
use crate::infypower_beg::FAMILY;

const ALL: Destination = Destination::All;
const G2: Destination = Destination::Group(2);

#[test]
fn requests_are_the_frames_of_public_drivers() {
    sends(
        &FAMILY,
        &[
            (ALL, Request::Switch { on: true }, "02A43FF0#11100000000000A0"),
            (ALL, Request::Switch { on: false }, "02A43FF0#11100000000000A1"),
            (ALL, Request::ReadVoltage, "02A33FF0#1001000000000000"),
            (ALL, Request::SetVoltage { voltage: Volts::new(400) }, "02A43FF0#1001000000061A80"),
            (G2, Request::SetCurrent { current: Amps::new(20) }, "02E402F0#1002000000004E20"),
            (G2, Request::ReadCurrent, "02E302F0#1002000000000000"),
            (G2, Request::ReadStatus, "02E302F0#1110000000000000"),
            (G2, Request::ReadCount, "02E302F0#1010000000000000"),
            (G2, Request::WalkIn { on: false }, "02E402F0#11220000000000A0"),
            (G2, Request::SetDirection { inverting: true }, "02E402F0#21100000000000A1"),
            (G2, Request::SetDirection { inverting: false }, "02E402F0#21100000000000A0"),
            (G2, Request::SetCutOff { voltage: Volts::new(300) }, "02E402F0#11320000000493E0"),
            (G2, Request::SetRange { range: Range::Automatic }, "02E402F0#11260000000000A2"),
        ],
    );
    assert!((FAMILY.encode)(M1, Request::ReadVoltage).is_err(), "a single module is not spoken to");
}

#[test]
fn answers_are_read_as_public_drivers_do() {
    hears(
        &FAMILY,
        &[
            ("02E3F000#1001000000061A80", 0, Reply::Voltage(Volts::new(400))),
            ("02E3F000#1002000000004E20", 0, Reply::Current(Amps::new(20))),
            ("02E3F000#10020000FFFFB1E0", 0, Reply::Current(Amps::new(20))),
            ("02E3F000#1010000000000003", 0, Reply::Count(3)),
            ("02E3F000#11060000000061A8", 0, Reply::Temperature(Celsius::new(25))),
            ("02E3F002#1110000000000100", 2, status(&[Condition::DcOff])),
            ("02E3F002#1110000000010200", 2, status(&[Condition::Fault, Condition::PowerLimited])),
            ("02E3F000#1111000000000001", 0, Reply::Direction { inverting: true }),
            ("02E4F000#1002000000004E20", 0, Reply::Done(Order::SetCurrent)),
            ("02E4F001#11100000000000A1", 1, Reply::Done(Order::Switch)),
            ("02E4F000#21100000000000A1", 0, Reply::Done(Order::SetDirection)),
            (
                "0EE4F000#1001000000000000",
                0,
                Reply::Refused { order: Some(Order::SetVoltage), why: Refusal::Data },
            ),
        ],
    );
    let system = Message { source: Source::System, reply: Reply::Voltage(Volts::new(400)) };
    assert_eq!(heard(&FAMILY, "02A3F03F#1001000000061A80"), Ok(system));
}

#[test]
fn frames_for_others_are_not_answers() {
    not_for_us(&FAMILY, &["02A33FF0#1001000000000000", "02E3F100#1001000000061A80"]);
    assert_eq!(heard(&FAMILY, "02E3F000#2101000000000000"), Err(Malformed::Command(0x2101)));
    assert_eq!(heard(&FAMILY, "0283F000#43FA000040600000"), Err(Malformed::Command(3)), "of V1.13");
}
