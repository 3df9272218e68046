//! Golden frames, one module a family; and what holds of all of them.

use proptest::prelude::*;

use super::*;
use std::time::Duration;
use voltry_units::{Amps, Celsius, Volts, Watts};

mod huawei;
mod infypower;
mod infypower_beg;
mod maxwell_mxr;
mod tonhe;
mod uugreenpower;

/// A frame as candump writes it.
fn frame(text: &str) -> Frame {
    let (id, data) = text.split_once('#').unwrap();
    let mut bytes = [0; 8];
    for (byte, at) in bytes.iter_mut().zip((0..data.len()).step_by(2)) {
        *byte = u8::from_str_radix(&data[at..at + 2], 16).unwrap();
    }
    Frame { id: u32::from_str_radix(id, 16).unwrap(), data: bytes }
}

fn heard(family: &Family, text: &str) -> Result<Message, Malformed> {
    let frame = frame(text);
    (family.decode)(frame.id, &frame.data)
}

/// Each row is sent as its golden frame.
fn sends(family: &Family, rows: &[(Destination, Request, &str)]) {
    for (to, request, golden) in rows {
        assert_eq!((family.encode)(*to, *request), Ok(frame(golden)), "{request:?}");
    }
}

/// Each golden frame is heard as its row says.
fn hears(family: &Family, rows: &[(&str, u8, Reply)]) {
    for (golden, address, reply) in rows {
        let message = Message { source: Source::Module(*address), reply: reply.clone() };
        assert_eq!(heard(family, golden), Ok(message), "{golden}");
    }
}

fn not_for_us(family: &Family, frames: &[&str]) {
    for text in frames {
        assert!(matches!(heard(family, text), Err(Malformed::NotForUs(_))), "{text}");
    }
}

fn status(conditions: &[Condition]) -> Reply {
    let conditions = conditions.iter().copied().collect();
    Reply::Status(Status { group: None, inlet: None, conditions })
}

const M1: Destination = Destination::Module(1);

/// One of each kind.
fn requests() -> Vec<Request> {
    let (voltage, current, on) = (Volts::new(400), Amps::new(20), false);
    vec![
        Request::ReadOutput,
        Request::ReadOutputFixed,
        Request::ReadVoltage,
        Request::ReadCurrent,
        Request::ReadSystemOutput,
        Request::ReadSystemOutputFixed,
        Request::ReadCount,
        Request::ReadStatus,
        Request::ReadTemperature,
        Request::ReadInput,
        Request::ReadCapability,
        Request::ReadSerial,
        Request::ReadSerialRest,
        Request::ReadHours,
        Request::ReadRange,
        Request::ReadDirection,
        Request::ReadAvailable,
        Request::Switch { on },
        Request::SetOutput { voltage, current },
        Request::SetVoltage { voltage },
        Request::SetCurrent { current },
        Request::Deliver { voltage, current },
        Request::SetRange { range: Range::Automatic },
        Request::SetDirection { inverting: true },
        Request::SetCutOff { voltage },
        Request::SetSilenceLimit { limit: Duration::from_secs(10) },
        Request::KeepAlive,
        Request::SetSystemOutput { voltage, current },
        Request::WalkIn { on },
        Request::Sleep { on },
        Request::Identify { on },
        Request::SetGroup { group: 1 },
        Request::AddressMode { by_switch: true },
    ]
}

#[test]
fn a_family_can_send_what_a_controller_cannot_do_without() {
    for family in FAMILIES {
        let name = family.name;
        assert_eq!(Family::named(name).map(|found| found.vendor), Some(family.vendor), "{name} twice");
        assert!(family.supports(Request::Switch { on: false }), "{name} off");
        assert!((family.encode)(Destination::All, Request::Switch { on: false }).is_ok(), "{name} all off");
        let (voltage, current) = (Volts::new(400), Amps::new(20));
        let set = match family.set_point {
            SetPoint::Together => vec![Request::SetOutput { voltage, current }, Request::Switch { on: true }],
            SetPoint::Apart => vec![
                Request::SetVoltage { voltage },
                Request::SetCurrent { current },
                Request::Switch { on: true },
            ],
            SetPoint::WithSwitch => vec![Request::Deliver { voltage, current }],
        };
        let Questions { output, status, details, identity, perhaps, barriers } = family.questions;
        let asked = [output, status, details, identity, perhaps, barriers].concat();
        for request in set.into_iter().chain(asked) {
            assert!(family.supports(request), "{name}: {request:?}");
        }
        for range in family.ranges {
            assert!(family.supports(Request::SetRange { range: *range }), "{name}: {range:?}");
        }
        match family.reports {
            Some(_) => assert!((family.encode)(Destination::All, Request::KeepAlive).is_ok(), "{name}"),
            None => {
                assert!(!output.is_empty() && !status.is_empty(), "{name} is never asked");
                let often = [output, status, details].concat();
                let rare = barriers.iter().filter(|barrier| !often.contains(barrier)).count();
                assert!(rare >= 2, "{name}: {rare} barriers");
            }
        }
    }
}

#[test]
fn a_negative_current_is_sent_by_no_family() {
    for family in FAMILIES {
        let (voltage, current) = (Volts::new(400), Amps::new(-1));
        for request in [
            Request::SetOutput { voltage, current },
            Request::SetCurrent { current },
            Request::Deliver { voltage, current },
            Request::SetSystemOutput { voltage, current },
        ] {
            let to = family.destination(1);
            assert!((family.encode)(to, request).is_err(), "{}: {request:?}", family.name);
        }
    }
}

#[test]
fn frames_of_a_wrong_length_are_named_so() {
    for (family, id) in
        FAMILIES.iter().zip([0x0283_F000, 0x02A3_F000, 0x0220_4000, 0x060F_8000, 0x1801_A001, 0x0681_407C])
    {
        assert_eq!((family.decode)(id, &[0; 7]), Err(Malformed::Length(7)), "{}", family.name);
    }
}

proptest! {
    #[test]
    fn no_frame_is_fatal(id in any::<u32>(), data in proptest::collection::vec(any::<u8>(), 0..70)) {
        for family in FAMILIES {
            let _ = (family.decode)(id, &data);
        }
    }

    /// Identifiers of answers, found by chance too seldom.
    #[test]
    fn no_answer_of_a_module_is_fatal(
        at in 0_usize..64, address in 0_u32..=255, low in any::<u16>(), data in any::<[u8; 8]>(),
    ) {
        let command = u32::from(low & 0x3F);
        let error = u32::from(low >> 6 & 7);
        let message = u32::from(low & 0xFF);
        let ids = [
            error << 26 | 0x0280_F000 | command << 16 | address,
            0x0220_0000 | (address & 0x7F) << 14 | u32::from(low & 0x3FFF),
            0x060F_8000 | (address & 0x3F) << 3,
            u32::from(low & 7) << 26 | message << 16 | 0xA000 | address,
            0x0680_007C | (address & 0x7F) << 16 | message << 8,
        ];
        for family in FAMILIES {
            let _ = (family.decode)(ids[at % ids.len()], &data);
        }
    }

    #[test]
    fn what_we_send_is_never_taken_for_an_answer_and_fits_its_identifier(
        address in 0_u8..=255, all in any::<bool>(),
    ) {
        for family in FAMILIES {
            let to = if all { Destination::All } else { family.destination(address) };
            for request in requests() {
                let Ok(frame) = (family.encode)(to, request) else { continue };
                prop_assert!(all || family.addresses.contains(&address), "{} {address}", family.name);
                prop_assert!(frame.id <= 0x1FFF_FFFF);
                prop_assert!((family.decode)(frame.id, &frame.data).is_err(), "{} {request:?}", family.name);
            }
        }
    }

    /// Neither rounding nor wrapping may ask for more than was meant.
    #[test]
    fn a_set_point_is_never_sent_higher_than_it_is(milli in 0_i64..2_000_000) {
        let (voltage, current) = (Volts::from_milli(milli), Amps::from_milli(milli));
        let word = |data: [u8; 8]| i64::from(u32::from_be_bytes([data[4], data[5], data[6], data[7]]));
        let uu = (crate::uugreenpower::FAMILY.encode)(M1, Request::SetCurrent { current }).unwrap();
        prop_assert_eq!(word(uu.data), milli);
        for family in [&crate::maxwell_mxr::FAMILY, &crate::huawei::FAMILY] {
            let sent = (family.encode)(M1, Request::SetCurrent { current }).unwrap();
            let steps = word(sent.data);
            prop_assert!(steps * 1000 <= milli * 1024 && (steps + 1) * 1000 > milli * 1024);
        }
        if let Ok(sent) = (crate::tonhe::FAMILY.encode)(M1, Request::Deliver { voltage, current }) {
            let word = |at: usize| i64::from(u16::from_le_bytes([sent.data[at], sent.data[at + 1]]));
            prop_assert_eq!((word(2), word(4)), (milli / 100, milli / 10));
        } else {
            prop_assert!(milli / 10 > i64::from(u16::MAX));
        }
    }
}
