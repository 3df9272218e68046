//! What a safety controller sends on its serial line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use voltry_board::frame::{Decoder, Frame, LENGTH};
use voltry_board::message::{ContactorCodes, Message};

fn understand(frame: Frame) {
    for codes in [ContactorCodes::OpenIsZero, ContactorCodes::OpenIsOne] {
        let _ = Message::from_frame(frame, codes);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut decoder = Decoder::new();
    for frame in data.iter().filter_map(|byte| decoder.push(*byte)).flatten() {
        understand(frame);
    }
    // The checksum keeps a fuzzer out; behind it stands a device that may be mad as well.
    if let Some((id, data)) = data.split_first()
        && let Some(data) = data.first_chunk()
    {
        understand(Frame { id: *id, data: *data });
    }
    // Whatever came, of two good frames in a row the second is read.
    let good = Frame { id: 0x10, data: [0; 8] };
    let mut newest = None;
    for byte in good.encode().into_iter().chain(good.encode()).take(2 * LENGTH) {
        newest = decoder.push(byte).or(newest);
    }
    assert_eq!(newest, Some(Ok(good)), "garbage spoilt what came after it");
});
