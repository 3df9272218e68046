//! Frames of public drivers of these modules, and computed from what they know of the identifier.

use super::*;
use crate::huawei::FAMILY;

#[test]
fn requests_are_the_frames_of_public_drivers() {
    sends(
        &FAMILY,
        &[
            (M1, Request::ReadOutput, "068140FC#000000AA00400000"),
            (M1, Request::ReadStatus, "068140FC#000000AA00010000"),
            (M1, Request::ReadTemperature, "068140FC#000000AA00002000"),
            (M1, Request::ReadSerial, "068150FC#0000000000000000"),
            (M1, Request::SetVoltage { voltage: Volts::new(500) }, "068180FC#010000000007D000"),
            (M1, Request::SetCurrent { current: Amps::new(100) }, "068180FC#010F000100019000"),
            (M1, Request::Switch { on: true }, "068180FC#0132000000000000"),
            (M1, Request::Switch { on: false }, "068180FC#0132000100000000"),
            (Destination::All, Request::Switch { on: false }, "068080FC#0132000100000000"),
            (Destination::Module(120), Request::ReadOutput, "06F840FC#000000AA00400000"),
            (M1, Request::SetRange { range: Range::Automatic }, "068181FC#014A000100000000"),
            (M1, silence(10), "068180FC#011800000000000A"),
        ],
    );
    assert!(!FAMILY.supports(Request::SetRange { range: Range::High }));
}

fn silence(seconds: u64) -> Request {
    Request::SetSilenceLimit { limit: Duration::from_secs(seconds) }
}

#[test]
fn answers_are_read_as_public_drivers_do() {
    let output = Output { voltage: Volts::new(400), current: Amps::from_milli(100_500) };
    hears(
        &FAMILY,
        &[
            ("0681407C#0191000003ED0FA0", 1, Reply::Report(Report { output, conditions: Conditions::NONE })),
            (
                "06F8407D#0191000103ED0FA0",
                120,
                Reply::Report(Report { output, conditions: Conditions::NONE.with(Condition::DcOff) }),
            ),
            ("0681407C#0180000000006400", 1, Reply::Temperature(Celsius::new(25))),
            ("0681407C#01830000000A0000", 1, status(&[Condition::InputUnderVoltage, Condition::PhaseLoss])),
            // Settings are no alarms: fan at full speed, automatic range, the low range.
            ("0681407C#0183000200004400", 1, status(&[])),
            ("0681507C#0002123456789ABC", 1, Reply::Serial("123456789ABC".into())),
            ("0681807C#010000000007D000", 1, Reply::Done(Order::SetVoltage)),
            ("0681807C#010F000100019000", 1, Reply::Done(Order::SetCurrent)),
            ("0681807C#0132000100000000", 1, Reply::Done(Order::Switch)),
            ("0681817C#014A000100000000", 1, Reply::Done(Order::SetRange)),
            ("0681807C#2118000000000000", 1, refused(Order::SetSilenceLimit, Refusal::Command)),
            ("0681807C#3132000000000000", 1, refused(Order::Switch, Refusal::Starting)),
        ],
    );
}

fn refused(order: Order, why: Refusal) -> Reply {
    Reply::Refused { order: Some(order), why }
}

#[test]
fn frames_for_others_are_not_answers() {
    not_for_us(
        &FAMILY,
        &[
            "068140FC#0191000003ED0FA0", // of a controller
            "1081407C#0175000000000000", // of the maker's modules of 48 V
            "0680407C#0191000003ED0FA0", // of no module
        ],
    );
    assert_eq!(heard(&FAMILY, "0681407C#0170000000000000"), Err(Malformed::Command(0x170)));
    assert_eq!(heard(&FAMILY, "0681D17C#0000000000000000"), Err(Malformed::Command(0xD1)));
}
