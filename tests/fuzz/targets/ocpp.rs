//! What a CSMS sends on the WebSocket: texts, one a line.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use voltry_ocpp::rpc::{Dialect, Endpoint, Frame, MessageId, Received, parse};
use voltry_units::Timestamp;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for dialect in [Dialect::V16, Dialect::V2] {
        let mut endpoint = Endpoint::new(dialect);
        let mut now = Timestamp::BOOT;
        let (mut made, mut back) = (0_u32, 0_u32);
        for line in text.lines() {
            now = now + Duration::from_secs(1);
            back += u32::from(endpoint.expire(now).is_some());
            if endpoint.is_free() {
                let id = MessageId::try_from((made % 10).to_string()).unwrap();
                endpoint.call(now, &id, ("A", "{}"), Duration::from_secs(5), ()).unwrap();
                made += 1;
            }
            let answer = match endpoint.received(now, line) {
                Received::Call(call) => endpoint.answer(&call.id, call.payload),
                Received::Refused { answer, .. } => answer,
                Received::Answer { .. } => {
                    back += 1;
                    None
                }
                Received::Ignored(_) => None,
            };
            // Whatever we answer is a message, and ends the exchange.
            if let Some(answer) = answer {
                let read = parse(&answer, dialect).expect("our own answers are well formed");
                assert!(!matches!(read, Frame::Call { .. }), "{answer}");
            }
        }
        back += u32::from(endpoint.lost().is_some());
        assert_eq!(made, back, "a call was lost, or came back twice");
    }
});
