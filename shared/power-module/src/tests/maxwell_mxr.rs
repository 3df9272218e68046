//! Golden frames of the document of Maxwell MXR V1.50.

use super::*;
use crate::maxwell_mxr::FAMILY;

const M0: Destination = Destination::Module(0);

#[test]
fn requests_are_the_frames_of_the_vendor_document() {
    sends(
        &FAMILY,
        &[
            (M0, Request::ReadVoltage, "06080780#1000000100000000"),
            (M0, Request::ReadCurrent, "06080780#1000000200000000"),
            (M0, Request::ReadStatus, "06080780#1000004000000000"),
            (M0, Request::ReadTemperature, "06080780#1000000B00000000"),
            (M0, Request::ReadSerial, "06080780#1000005500000000"),
            (M0, Request::ReadSerialRest, "06080780#1000005400000000"),
            (M0, Request::SetVoltage { voltage: Volts::new(700) }, "06080780#03000021442F0000"),
            (M0, Request::SetVoltage { voltage: Volts::new(60) }, "06080780#0300002142700000"),
            (M0, Request::SetCurrent { current: Amps::new(10) }, "06080780#0300001B00002800"),
            (M0, Request::Switch { on: true }, "06080780#0300003000000000"),
            (M0, Request::Switch { on: false }, "06080780#0300003000010000"),
            (Destination::All, Request::Switch { on: false }, "0607FF80#0300003000010000"),
            (Destination::Group(5), Request::ReadVoltage, "0607F785#1000000100000000"),
            (Destination::Group(8), Request::ReadVoltage, "0607AF80#1000000100000000"),
            (M0, Request::SetGroup { group: 5 }, "06080780#0300001E00000005"),
            (M0, Request::AddressMode { by_switch: true }, "06080780#0300001F00010000"),
        ],
    );
}

#[test]
fn answers_are_read_as_the_vendor_document_does() {
    hears(
        &FAMILY,
        &[
            ("060F8000#41F00001442F0000", 0, Reply::Voltage(Volts::new(700))),
            ("060F8008#41F0000240A00000", 1, Reply::Current(Amps::new(5))),
            ("060F81F8#41F0000B42700000", 63, Reply::Temperature(Celsius::new(60))),
            ("060F8000#42F0004000000100", 0, status(&[Condition::InputAbnormal])),
            ("060F8000#42F0004000400000", 0, status(&[Condition::DcOff])),
            (
                "060F8000#42F0004003800000",
                0,
                status(&[
                    Condition::PowerLimited,
                    Condition::DeratedByInput,
                    Condition::DeratedByTemperature,
                ]),
            ),
            ("060F8000#42F0001E00000005", 0, Reply::Done(Order::SetGroup)),
            ("060F8000#42F2001E00000005", 0, refused(Order::SetGroup)),
            ("060F8000#42F0003000000000", 0, Reply::Done(Order::Switch)),
            // Below the range of the module.
            ("060F8000#41F2002141200000", 0, refused(Order::SetVoltage)),
            ("060F8000#42F0005500001234", 0, Reply::Serial("00001234".into())),
            ("060F8000#42F0005400ABCDEF", 0, Reply::SerialRest("00ABCDEF".into())),
        ],
    );
}

fn refused(order: Order) -> Reply {
    Reply::Refused { order: Some(order), why: Refusal::Data }
}

#[test]
fn reserved_bits_mean_nothing() {
    for bit in [2, 6, 10, 11, 12, 13, 15, 18, 19, 20, 21, 26, 29] {
        let text = format!("060F8000#42F00040{:08X}", 1_u32 << bit);
        assert_eq!(heard(&FAMILY, &text).unwrap().reply, status(&[]), "bit {bit}");
    }
}

#[test]
fn what_is_no_answer_or_no_number_is_refused() {
    not_for_us(
        &FAMILY,
        &[
            "06080780#1000000100000000", // our own request
            "060F0000#41F00001442F0000", // to another controller
            "060F8780#41F00001442F0000", // from a controller
            "061F8000#41F00001442F0000", // another protocol
        ],
    );
    assert!(matches!(heard(&FAMILY, "060F8000#41F000017FC00000"), Err(Malformed::Value(_))), "NaN");
    assert_eq!(heard(&FAMILY, "060F8000#42F00001442F0000"), Err(Malformed::Command(1)), "no float");
}
