//! Golden frames of the document of TonHe V1.2.

use super::*;
use crate::tonhe::FAMILY;

#[test]
fn requests_are_the_frames_of_the_vendor_document() {
    let deliver = |volts, amps| Request::Deliver { voltage: Volts::new(volts), current: Amps::new(amps) };
    sends(
        &FAMILY,
        &[
            (M1, deliver(500, 41), "080601A0#AA00881304100000"),
            (M1, deliver(400, 100), "080601A0#AA00A00F10270000"),
            (M1, Request::Switch { on: false }, "080601A0#5500000000000000"),
            (Destination::All, Request::Switch { on: false }, "0803FFA0#FFFFFF5500000000"),
            (Destination::All, Request::KeepAlive, "1805FFA0#0000000000000000"),
        ],
    );
    assert!(!FAMILY.supports(Request::Switch { on: true }), "on only with a set-point");
}

fn report(volts: i64, amps: i64, conditions: &[Condition]) -> Reply {
    let output = Output { voltage: Volts::from_milli(volts), current: Amps::from_milli(amps) };
    Reply::Report(Report { output, conditions: conditions.iter().copied().collect() })
}

#[test]
fn reports_are_read_as_the_vendor_document_does() {
    hears(
        &FAMILY,
        &[
            ("1801A001#01A00F1027000000", 1, report(400_000, 100_000, &[])),
            ("1801A001#0000000000000000", 1, report(0, 0, &[Condition::DcOff])),
            // A bus bias stops it, and sets the umbrella bits 7 and 11 too.
            (
                "1801A001#1100000000800820",
                1,
                report(0, 0, &[Condition::DcOff, Condition::Fault, Condition::InputAbnormal]),
            ),
            // Warnings set bit 7 too, and are no fault of the hardware.
            ("1801A001#01A00F1027802000", 1, report(400_000, 100_000, &[Condition::OutputVoltageHigh])),
            ("1801A001#01A00F1027800000", 1, report(400_000, 100_000, &[Condition::Fault])),
            ("1801A0F0#01A00F1027000010", 240, report(400_000, 100_000, &[Condition::DuplicateId])),
            ("0802A001#0100000000000000", 1, Reply::Done(Order::Deliver)),
            (
                "0802A001#0000000000000000",
                1,
                Reply::Refused { order: Some(Order::Deliver), why: Refusal::Unnamed(0) },
            ),
            ("180BA001#E508E908D7081800", 1, Reply::Temperature(Celsius::new(24))),
            ("1C91A001#0000040000000000", 1, status(&[Condition::CommunicationInterrupted])),
            (
                "1C91A001#0000000300000000",
                1,
                status(&[Condition::DeratedByInput, Condition::DeratedByTemperature]),
            ),
        ],
    );
}

#[test]
fn a_state_without_a_name_is_no_proof_of_off() {
    assert_eq!(heard(&FAMILY, "1801A001#2000000000000000").unwrap().reply, report(0, 0, &[Condition::Fault]));
}

#[test]
fn frames_for_others_are_no_reports() {
    not_for_us(
        &FAMILY,
        &[
            "080601A0#AA00881304100000", // our own order
            "1801A101#01A00F1027000000", // to another controller
            "1801A000#01A00F1027000000", // of no module
            "1801A0F1#01A00F1027000000",
            "1901A001#01A00F1027000000", // another data page
        ],
    );
    assert_eq!(heard(&FAMILY, "1877A001#0000000000000000"), Err(Malformed::Command(0x77)));
    assert_eq!(heard(&FAMILY, "0801A001#0000000000000000"), Err(Malformed::Command(1)), "its priority");
}
