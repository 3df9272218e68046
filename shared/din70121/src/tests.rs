//! What holds for any message. Recorded ones are in `tests/`.
#![allow(clippy::unwrap_used, reason = "tests")]

use alloc::vec::Vec;

use iso15118::exi::{Decoder, Encoder};
use proptest::prelude::*;

use super::*;
use crate::grammar::{Content, context};

/// The names of all elements and attributes that hold strings.
const STRINGS: [&str; 11] = [
    "FaultMsg",
    "ServiceName",
    "ServiceScope",
    "Name",
    "stringValue",
    "ContractID",
    "GenChallenge",
    "Id",
    "MeterID",
    "RootCertificateID",
    "SalesTariffDescription",
];

#[test]
fn each_name_that_holds_strings_owns_a_partition() {
    for (at, name) in STRINGS.iter().enumerate() {
        for other in &STRINGS[..at] {
            assert_ne!(context(name), context(other), "{name} and {other}");
        }
    }
}

#[test]
fn a_value_outside_the_schema_is_read_but_not_written() {
    let limits = PhysicalValue { multiplier: Multiplier(0), unit: Some(Unit::Volts), value: 400 };
    let status = |soc| DcEvStatus {
        ev_ready: true,
        ev_cabin_conditioning: None,
        ev_ress_conditioning: None,
        ev_error_code: DcEvErrorCode::NoError,
        ev_ress_soc: Percent(soc),
    };
    let message = |soc| {
        V2gMessage::new(
            &[1],
            PreChargeReq { dc_ev_status: status(soc), ev_target_voltage: limits, ev_target_current: limits },
        )
    };
    let mut payload = message(100).to_vec().unwrap();
    // The seven bits of EVRESSSOC: 100 becomes 103.
    let at =
        payload.iter().zip(message(96).to_vec().unwrap()).position(|(one, other)| *one != other).unwrap();
    let bit = (payload[at] ^ message(96).to_vec().unwrap()[at]).trailing_zeros();
    for below in 1..=2 {
        let place = at * 8 + 7 - usize::try_from(bit).unwrap() + below;
        payload[place / 8] |= 0x80 >> (place % 8);
    }
    let read = V2gMessage::from_bytes(&payload).unwrap();
    assert_eq!(read, message(103));
    assert_eq!(read.to_vec(), Err(ExiError::ValueOutOfRange));
    assert_eq!(
        V2gMessage::new(&[0; 9], SessionStopReq {}).to_vec(),
        Err(ExiError::ValueTooLong),
        "a session id of nine bytes"
    );
}

/// Its 17 bits do not fit the schema's type of power.
#[test]
fn a_charging_profile_above_the_schemas_power_is_read() {
    let watts = 50_000_i32;
    let mut bytes = [0; 8];
    let mut e = Encoder::new(&mut bytes);
    watts.encode(&mut e, context("ChargingProfileEntryMaxPower")).unwrap();
    let length = e.finish().unwrap();
    let mut d = Decoder::new(&bytes[..length]);
    let read = PMax::decode(&mut d, 0, context("ChargingProfileEntryMaxPower")).unwrap();
    assert_eq!(read, PMax(watts));
    let mut e = Encoder::new(&mut bytes);
    assert_eq!(read.encode(&mut e, context("ChargingProfileEntryMaxPower")), Err(ExiError::ValueOutOfRange));
}

#[test]
fn a_list_without_an_item_is_not_written() {
    let empty = SelectedServiceList { selected_service: Vec::new() };
    let request = ServicePaymentSelectionReq {
        selected_payment_option: PaymentOption::ExternalPayment,
        selected_service_list: empty,
    };
    assert_eq!(V2gMessage::new(&[1], request).to_vec(), Err(ExiError::MissingElement));
}

fn any_message() -> impl Strategy<Value = V2gMessage> {
    <V2gMessage as Content>::arbitrary()
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(message in any_message()) {
        let payload = message.to_vec().unwrap();
        prop_assert_eq!(V2gMessage::from_bytes(&payload).unwrap(), message);
    }

    #[test]
    fn each_message_is_read_again(element in <BodyElement as Content>::arbitrary()) {
        let message = V2gMessage::new(&[7; 8], element);
        let payload = message.to_vec().unwrap();
        prop_assert_eq!(V2gMessage::from_bytes(&payload).unwrap(), message);
    }

    #[test]
    fn values_that_repeat_are_read_where_they_are_written_as_references(message in any_message()) {
        let payload = message.to_vec_with(iso15118::exi::ValueCoding::Referenced).unwrap();
        prop_assert_eq!(V2gMessage::from_bytes(&payload).unwrap(), message);
    }

    #[test]
    fn a_cut_message_is_an_error(message in any_message(), cut in any::<proptest::sample::Index>()) {
        let payload = message.to_vec().unwrap();
        let cut = &payload[..cut.index(payload.len())];
        prop_assert!(V2gMessage::from_bytes(cut).is_err());
    }

    #[test]
    fn damage_never_panics_and_what_is_read_of_it_can_be_written_or_is_outside_the_schema(
        message in any_message(),
        damage in proptest::collection::vec(any::<(proptest::sample::Index, u8)>(), 1..4),
    ) {
        let mut payload = message.to_vec().unwrap();
        for (at, bits) in damage {
            let at = at.index(payload.len());
            payload[at] ^= bits;
        }
        prop_assert!(holds(&payload));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut payload = alloc::vec![0x80, 0x9a];
        payload.extend(bytes);
        prop_assert!(holds(&payload));
        prop_assert!(holds(&payload[2..]));
    }
}

/// Reads; whatever is written of what was read is read as the same.
fn holds(payload: &[u8]) -> bool {
    let Ok(message) = V2gMessage::from_bytes(payload) else { return true };
    match message.to_vec() {
        Ok(written) => V2gMessage::from_bytes(&written) == Ok(message),
        Err(error) => matches!(error, ExiError::ValueOutOfRange | ExiError::ValueTooLong),
    }
}
