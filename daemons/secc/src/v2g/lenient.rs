//! Messages of real vehicles that the schema refuses, read as far as the station needs them.

use iso15118::exi::{Decoder, ExiResult};
use iso15118::iso2::{ChargeProgress, DOCUMENT_WIDTH, MessageHeader, V2GMessage};

use crate::message::Request;

/// PowerDeliveryReq among the elements that a Body may hold, and the width of that choice.
const POWER_DELIVERY_REQ: (u64, u32) = (21, 6);
/// The width of an event code where the grammar knows one event.
const ONE: u32 = 1;

/// A PowerDeliveryReq whose charging profile is none, as with four phases (Seres): its session
/// id and its progress. The profile is the vehicle's estimate; nothing here hangs on it.
pub(super) fn power_delivery(payload: &[u8]) -> Option<(Vec<u8>, Request)> {
    read(payload).ok()
}

fn read(payload: &[u8]) -> ExiResult<(Vec<u8>, Request)> {
    let mut decoder = Decoder::new(payload);
    decoder.read_header()?;
    decoder.expect_event(V2GMessage::DOCUMENT_CODE, DOCUMENT_WIDTH)?;
    decoder.expect_event(0, ONE)?;
    let header = MessageHeader::decode_body(&mut decoder)?;
    decoder.expect_event(0, ONE)?;
    let (choice, width) = POWER_DELIVERY_REQ;
    decoder.expect_event(choice, width)?;
    // ChargeProgress: its start, its characters.
    decoder.expect_event(0, ONE)?;
    decoder.expect_event(0, ONE)?;
    let progress = ChargeProgress::from_index(decoder.nbit(ChargeProgress::WIDTH)?)?;
    let progress = super::iso2::progress(progress);
    Ok((header.session_id, Request::PowerDelivery { progress, status: None, plan: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Progress;

    /// Recorded from a Seres 3 (EVerest/logfiles, Apache-2.0), as an independent codec reads
    /// it: session 3A29AFF76F3F737F, Start, one profile entry of -2413.6 W on 4 phases.
    const SERES: [u8; 28] = [
        0x80, 0x98, 0x02, 0x0e, 0x8a, 0x6b, 0xfd, 0xdb, 0xcf, 0xdc, 0xdf, 0xd1, 0x50, 0x00, 0x00, 0x00, 0x00,
        0x10, 0xa3, 0x8f, 0x78, 0x02, 0x0c, 0x41, 0x00, 0x28, 0x00, 0x00,
    ];

    #[test]
    fn a_charging_profile_outside_the_schema_does_not_stop_a_vehicle() {
        let (id, request) = power_delivery(&SERES).unwrap();
        assert_eq!(id, [0x3a, 0x29, 0xaf, 0xf7, 0x6f, 0x3f, 0x73, 0x7f]);
        assert_eq!(request, Request::PowerDelivery { progress: Progress::Start, status: None, plan: None });
    }

    #[test]
    fn a_message_that_is_cut_short_before_its_progress_is_none() {
        for length in 0..12 {
            assert_eq!(power_delivery(&SERES[..length]), None, "of {length} bytes");
        }
    }
}
