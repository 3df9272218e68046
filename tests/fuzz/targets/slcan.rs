//! What a CAN adapter sends: lines. What is read as one is written and read back as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use voltry_canlink::slcan::{Decoder, Line, encode};

fuzz_target!(|data: &[u8]| {
    let mut decoder = Decoder::default();
    for byte in data {
        let Some(line) = decoder.push(*byte) else { continue };
        if let Line::Frame(_) = line {
            let mut bytes = Vec::new();
            encode(line, &mut bytes);
            let mut again = Decoder::default();
            let read: Vec<Line> = bytes.iter().filter_map(|byte| again.push(*byte)).collect();
            assert_eq!(read, [line]);
        }
    }
    let _ = decoder.push(b'\r');
    let read: Vec<Line> = b"O\r".iter().filter_map(|byte| decoder.push(*byte)).collect();
    assert_eq!(read, [Line::Open], "garbage spoilt what came after it");
});
