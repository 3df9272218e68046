//! The book of a station whose CSMS was away for a week: one transaction of thousands of lines.
//! Included by the uplink's tests and by the benchmark.
#![allow(clippy::unwrap_used, reason = "a test's rig")]

use voltry_bus::{EndReason, EventExport, EventKind, SessionEvent, TokenKind};
use zbus::{fdo, interface};

/// A book of one transaction.
pub(crate) struct LongBook {
    /// A start, an end, and a reading a minute between them.
    pub(crate) lines: u64,
    pub(crate) acknowledged: u64,
    /// What had come back from the vehicle; none: the station is too old to say.
    pub(crate) exports: Option<Vec<EventExport>>,
}

fn event(number: u64, lines: u64) -> SessionEvent {
    let kind = match number {
        1 => EventKind::Started,
        _ if number == lines => EventKind::Ended,
        _ => EventKind::Reading,
    };
    let micros = i64::try_from(number * 60_000_000).unwrap();
    SessionEvent {
        number,
        time: 1_780_000_000_000_000 + micros,
        clock_set: true,
        boot: String::new(),
        at: number * 60_000_000,
        evse: 1,
        session: 1,
        transaction: 1,
        kind,
        token: "04A1B2C3".to_owned(),
        token_kind: TokenKind::Iso14443,
        group: String::new(),
        remote_start: String::new(),
        reservation: String::new(),
        register: f64::from(u32::try_from(number).unwrap()),
        voltage: 400.0,
        current: 100.0,
        power: 40_000.0,
        power_offered: 50_000.0,
        soc: 55.0,
        signed: String::new(),
        signed_format: String::new(),
        public_key: String::new(),
        reason: if number == lines { EndReason::Local } else { EndReason::None },
        detail: String::new(),
    }
}

#[interface(name = "org.voltry.Book1")]
impl LongBook {
    #[zbus(out_args("events"))]
    fn events(&self, after: u64, limit: u32) -> (Vec<SessionEvent>,) {
        ((after + 1..=self.lines).take(limit as usize).map(|number| event(number, self.lines)).collect(),)
    }

    #[zbus(out_args("exports"))]
    fn exports(&self, after: u64, _limit: u32) -> fdo::Result<(Vec<EventExport>,)> {
        let exports = self.exports.iter().flatten().filter(|export| export.number > after).copied().collect();
        self.exports
            .as_ref()
            .map(|_| (exports,))
            .ok_or_else(|| fdo::Error::UnknownMethod("Exports".to_owned()))
    }

    fn acknowledge(&mut self, number: u64) {
        self.acknowledged = number;
    }

    #[zbus(property)]
    fn newest(&self) -> u64 {
        self.lines
    }

    #[zbus(property)]
    fn acknowledged(&self) -> u64 {
        self.acknowledged
    }
}
