//! What a card reader sends on its serial line.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use voltry_reader::frame::Decoder;
use voltry_reader::pn532::Command;
use voltry_reader::reader::{Input, Reader, Times};
use voltry_units::Timestamp;

const COMMANDS: [Command; 5] = [
    Command::GetFirmwareVersion,
    Command::SamConfiguration,
    Command::MaxRetries,
    Command::ListPassiveTarget,
    Command::FieldOff,
];

fuzz_target!(|data: &[u8]| {
    let _ = Decoder::new().take(data);
    // The checksum keeps a fuzzer out; behind it stands a device that may be mad as well.
    if let Some((code, data)) = data.split_first() {
        for command in COMMANDS {
            let _ = command.understand(*code, data);
        }
    }
    // A line that delivers pieces now and then: the reader always goes on.
    let times = Times { interval: Duration::from_millis(250), hold_off: Duration::from_secs(2) };
    let mut reader = Reader::new(times);
    let mut now = Timestamp::from_micros(1);
    let _ = reader.step(now, Input::Opened);
    for piece in data.chunks(7) {
        now = now + Duration::from_millis(u64::from(piece[0]));
        let _ = reader.step(now, Input::Bytes(piece));
        assert!(reader.deadline().is_some(), "it has nothing more to do");
    }
});
