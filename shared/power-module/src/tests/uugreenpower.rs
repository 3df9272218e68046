//! Golden frames of the documents of UUGreenPower 36.2 and Maxwell ENR S0.

use super::*;
use crate::uugreenpower::FAMILY;

#[test]
fn requests_are_the_frames_of_the_vendor_documents() {
    let voltage = Volts::from_milli(475_550);
    let current = Amps::from_milli(10_500);
    sends(
        &FAMILY,
        &[
            (Destination::All, Request::SetVoltage { voltage }, "02200000#100200000007419E"),
            (M1, Request::SetVoltage { voltage }, "02204000#100200000007419E"),
            (Destination::All, Request::SetCurrent { current }, "02200000#1003000000002904"),
            (M1, Request::SetCurrent { current }, "02204000#1003000000002904"),
            (M1, Request::Switch { on: true }, "02204000#1004000000000000"),
            (M1, Request::Switch { on: false }, "02204000#1004000000000001"),
            (Destination::All, Request::Switch { on: false }, "02200000#1004000000000001"),
            (M1, Request::ReadVoltage, "02204000#1200000000000000"),
            (M1, Request::ReadCurrent, "02204000#1201000000000000"),
            (M1, Request::ReadStatus, "02204000#1208000000000000"),
            (M1, Request::ReadSerial, "02204000#1205000000000000"),
            (M1, Request::SetRange { range: Range::High }, "02204000#105F000000000001"),
            (M1, Request::SetRange { range: Range::Low }, "02204000#105F000000000002"),
            (M1, Request::SetRange { range: Range::Automatic }, "02204000#105F000000000003"),
            (M1, Request::ReadRange, "02204000#1265000000000000"),
            (M1, Request::ReadAvailable, "02204000#1268000000000000"),
            (M1, Request::ReadTemperature, "02204000#121E000000000000"),
            (M1, Request::ReadHours, "02204000#127F001800000000"),
            (Destination::Module(0x7F), Request::ReadInput, "023FC000#1214000000000000"),
        ],
    );
}

#[test]
fn answers_are_read_as_the_vendor_documents_do() {
    hears(
        &FAMILY,
        &[
            ("02204000#110200000007419E", 1, Reply::Done(Order::SetVoltage)),
            ("02204000#1103000000002904", 1, Reply::Done(Order::SetCurrent)),
            ("02204000#1104000000000001", 1, Reply::Done(Order::Switch)),
            ("02204000#115F000000000001", 1, Reply::Done(Order::SetRange)),
            // A module fills in its day of production and part of its serial number.
            ("02205F21#130000000007419E", 1, Reply::Voltage(Volts::from_milli(475_550))),
            ("02208000#1301000000002904", 2, Reply::Current(Amps::from_milli(10_500))),
            // The document's own: 'W', stage of production in the identifier.
            ("02240144#140517080C300757", 16, Reply::Serial("17080C300757".into())),
            ("02204000#131E0000FFFFD8F0", 1, Reply::Temperature(Celsius::new(-10))),
            ("02204000#1365000000000002", 1, Reply::Range(Range::Low)),
            ("02204000#1368000000002904", 1, available(10_500)),
            ("02204000#137F001800003039", 1, Reply::Hours(12_345)),
            ("02204000#1308000002000000", 1, status(&[Condition::DcOff])),
            (
                "02204000#1308000000C00001",
                1,
                status(&[
                    Condition::DeratedByInput,
                    Condition::DeratedByTemperature,
                    Condition::InputOverVoltage,
                ]),
            ),
        ],
    );
}

fn available(milli: i64) -> Reply {
    Reply::Available { external: None, current: Amps::from_milli(milli) }
}

#[test]
fn states_of_the_module_are_no_faults() {
    // Manual mode, no PFC-OK yet, derated twice, PFC off, off, which loop.
    let states = 1 << 10 | 1 << 19 | 1 << 22 | 1 << 23 | 1 << 24 | 1 << 25 | 3 << 26;
    for bit in 0..32 {
        let text = format!("02204000#13080000{:08X}", 1_u32 << bit);
        let Reply::Status(status) = heard(&FAMILY, &text).unwrap().reply else { panic!("no status") };
        let fault =
            status.conditions.iter().any(|condition| matches!(condition.kind(), Kind::Alarm | Kind::Warning));
        assert_eq!(fault, states >> bit & 1_u32 == 0, "bit {bit}");
    }
}

#[test]
fn frames_for_others_are_not_answers() {
    not_for_us(
        &FAMILY,
        &[
            "02404000#130000000007419E", // to monitor 2
            "04204000#130000000007419E", // another protocol
            "02200000#130000000007419E", // of no module
            "02204000#1004000000000000", // what a controller says
        ],
    );
    assert_eq!(heard(&FAMILY, "02204000#13FF000000000000"), Err(Malformed::Command(0xFF)));
    assert!(matches!(heard(&FAMILY, "02204000#13000000FFFFFFFF"), Err(Malformed::Value(_))));
}
