//! A recorded session for tests of whatever shows one: thirty seconds, five connected, sixteen charging.
#![allow(dead_code, reason = "each uses a part")]

use voltry_bus::{RecordedEntry, RecordedSample, RecordedSession, V2gMessage};

/// When it was plugged in, microseconds of Unix time.
pub(crate) const START: i64 = 1_790_000_000_000_000;

/// What the flight recorder has of it.
pub(crate) fn session() -> (RecordedSession, Vec<RecordedEntry>, Vec<RecordedSample>) {
    let session = RecordedSession {
        number: 3,
        evse: 1,
        transaction: 17,
        plugged: START,
        unplugged: START + 30_000_000,
        why: "The vehicle ended it".to_owned(),
        left_out: 2,
    };
    let entry = |after: i64, kind: &str, source: &str, text: &str| RecordedEntry {
        time: START + after,
        kind: kind.to_owned(),
        source: source.to_owned(),
        text: text.to_owned(),
    };
    let entries = vec![
        entry(0, "phase", "evse", "connected"),
        entry(5_000_000, "phase", "evse", "charging"),
        entry(20_000_000, "fault", "evse/1", "MeterStuck: \"it\" stands <still>, long"),
        entry(21_000_000, "phase", "evse", "finished"),
    ];
    let sample = |second: i32| RecordedSample {
        time: START + 5_000_000 + i64::from(second) * 1_000_000,
        voltage: 400.0,
        current: f64::from(second),
        target_voltage: 410.0,
        target_current: 100.0,
        power_offered: 50_000.0,
        soc: 42.0,
        energy: 10.0,
    };
    (session, entries, (0..15).map(sample).collect())
}

/// What vehicle and station said in it.
pub(crate) fn said() -> Vec<V2gMessage> {
    let message = |after: i64, by_vehicle, name: &str| V2gMessage {
        time: START + after,
        by_vehicle,
        name: name.to_owned(),
        text: "EVCCID 02564F4C5401, EVReady true".to_owned(),
        payload_type: 0x8001,
        payload: Vec::new(),
    };
    vec![message(1_000_000, true, "SessionSetupReq"), message(1_100_000, false, "SessionSetupRes")]
}
