//! What meters and insulation monitors answer: registers, of any number and content.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use voltry_meter::decode::decode;
use voltry_meter::driver::Event;
use voltry_meter::isocha425hv::{IsoCha425Hv, Settings};
use voltry_meter::model::Model;
use voltry_meter::presence::Patience;
use voltry_meter::request::{Failure, Request};
use voltry_units::{Ohms, Timestamp};

static MODELS: LazyLock<Vec<Model>> = LazyLock::new(|| {
    [
        include_str!("../../../packaging/meters/abb-b23.toml"),
        include_str!("../../../packaging/meters/acrel-djsf1352-rn.toml"),
        include_str!("../../../packaging/meters/carlo-gavazzi-em340.toml"),
        include_str!("../../../packaging/meters/carlo-gavazzi-em580.toml"),
        include_str!("../../../packaging/meters/eastron-sdm630-v2.toml"),
    ]
    .map(|text| Model::parse(text).expect("it is shipped"))
    .into()
});

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let words: Vec<u16> = rest.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let model = usize::from(*choice);
    if let Some(model) = MODELS.get(model) {
        // A device may also answer fewer registers than it was asked for.
        let mut words = words.as_slice();
        let mut blocks = Vec::new();
        for block in &model.blocks {
            let (head, tail) = words.split_at(words.len().min(usize::from(block.count)));
            blocks.push(head.to_vec());
            words = tail;
        }
        let _ = decode(model, &blocks);
    } else {
        monitor(*choice, rest);
    }
});

/// A monitor whose answers, refusals and silences the fuzzer chooses.
fn monitor(seed: u8, mut data: &[u8]) {
    let patience = Patience { misses: 3, back_off: Duration::from_secs(5) };
    let mut monitor = IsoCha425Hv::new(Settings::default(), Duration::from_secs(1), patience);
    let mut now = Timestamp::from_micros(1_000_000 + u64::from(seed));
    while let Some((step, rest)) = data.split_first() {
        now = now.max(monitor.due());
        // The line below the driver refuses an answer of another length than was asked for.
        let count = match monitor.request(now) {
            Request::Read(block) => usize::from(block.count),
            Request::Write { .. } => 0,
        };
        let (given, rest) = rest.split_at(rest.len().min(2 * count));
        data = rest;
        let mut words: Vec<u16> =
            given.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        words.resize(count, 0);
        let outcome = match step >> 6 {
            0 => Err(Failure::Refused(*step)),
            1 => Err(Failure::Timeout(Duration::from_millis(300))),
            _ => Ok(words),
        };
        let sent = now;
        now = now + Duration::from_millis(10 * u64::from(*step));
        for event in monitor.reply(sent, now, outcome) {
            if let Event::Insulation { resistance, .. } = event {
                assert!(resistance >= Ohms::ZERO);
            }
        }
    }
}
