//! The payload of a DIN 70121 message: any bytes, with and without a right beginning. What is
//! read and can be written is read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use voltry_din70121::{ExiDocument as _, V2gMessage};

/// The EXI header and the document's first event.
const BEGINNING: [u8; 2] = [0x80, 0x9a];

fuzz_target!(|data: &[u8]| {
    read(data);
    read(&[&BEGINNING, data].concat());
});

fn read(payload: &[u8]) {
    let Ok(message) = V2gMessage::from_bytes(payload) else { return };
    // A value outside the schema is read, and not written.
    let Ok(written) = message.to_vec() else { return };
    assert_eq!(V2gMessage::from_bytes(&written), Ok(message));
}
