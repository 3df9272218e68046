//! One session on one time line.

use std::ops::RangeInclusive;

use serde::Serialize;
use voltry_bus::{CsmsMessage, RecordedEntry, RecordedSample, RecordedSession, V2gMessage};

/// What a back end says right after a vehicle has left belongs to it, microseconds.
const AFTER: i64 = 60 * 1_000_000;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// Microseconds of Unix time.
    pub time: i64,
    /// As in a recording, or `v2g` and `ocpp`.
    pub kind: String,
    /// Who: `station`, `evse`, a device, `vehicle`, or `csms`.
    pub source: String,
    /// In words.
    pub text: String,
}

impl Moment {
    /// A message between vehicle and station, as much of it as may be told.
    #[must_use]
    pub fn v2g(message: &V2gMessage, text: String) -> Self {
        let source = if message.by_vehicle { "vehicle" } else { "station" }.to_owned();
        Self { time: message.time, kind: "v2g".to_owned(), source, text }
    }

    /// A message between station and back end; ids are masked by whoever keeps it.
    #[must_use]
    pub fn ocpp(message: CsmsMessage) -> Self {
        let source = if message.outgoing { "station" } else { "csms" }.to_owned();
        Self { time: message.time, kind: "ocpp".to_owned(), source, text: message.text }
    }
}

/// How long the EVSE was in a state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phase {
    /// The state.
    pub phase: String,
    /// Microseconds of Unix time.
    pub began: i64,
    /// How long.
    pub seconds: f64,
}

/// A session on its time line, everything in order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// As the recorder has it.
    pub session: RecordedSession,
    /// The last one lasts to the end.
    pub phases: Vec<Phase>,
    /// What happened, and what was said.
    pub moments: Vec<Moment>,
    /// What flowed.
    pub samples: Vec<RecordedSample>,
}

impl Timeline {
    /// Of a recording, and of what was said; that which was said at another time is left out.
    #[must_use]
    pub fn new(
        session: RecordedSession,
        entries: Vec<RecordedEntry>,
        samples: Vec<RecordedSample>,
        said: impl IntoIterator<Item = Moment>,
    ) -> Self {
        let recorded = entries.into_iter().map(|RecordedEntry { time, kind, source, text }| Moment {
            time,
            kind,
            source,
            text,
        });
        let within = talk(&session);
        let said = said.into_iter().filter(|moment| within.contains(&moment.time));
        let mut moments: Vec<Moment> = recorded.chain(said).collect();
        moments.sort_by_key(|moment| moment.time);
        let mut timeline = Self { session, phases: Vec::new(), moments, samples };
        timeline.phases = timeline.phases();
        timeline
    }

    /// When it ended, or the newest that is known of it; microseconds of Unix time, a second after its beginning at
    /// least.
    #[must_use]
    pub fn end(&self) -> i64 {
        let moments = self.moments.iter().map(|moment| moment.time);
        let newest = moments.chain(self.samples.iter().map(|sample| sample.time)).max();
        let end = if self.session.unplugged == 0 { newest } else { Some(self.session.unplugged) };
        end.unwrap_or_default().max(self.session.plugged.saturating_add(1_000_000))
    }

    fn phases(&self) -> Vec<Phase> {
        let began: Vec<&Moment> = self.moments.iter().filter(|moment| moment.kind == "phase").collect();
        let ends = began.iter().skip(1).map(|next| next.time).chain([self.end()]);
        let phase = |(moment, end): (&&Moment, i64)| Phase {
            phase: moment.text.clone(),
            began: moment.time,
            seconds: seconds(end.saturating_sub(moment.time).max(0)),
        };
        began.iter().zip(ends).map(phase).collect()
    }
}

/// When what is said belongs to a session, microseconds of Unix time.
#[must_use]
pub fn talk(session: &RecordedSession) -> RangeInclusive<i64> {
    let until = if session.unplugged == 0 { i64::MAX } else { session.unplugged.saturating_add(AFTER) };
    session.plugged..=until
}

/// Of microseconds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "some hours, of which nobody needs the microsecond")]
pub fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::{START, said, session};

    #[test]
    fn everything_is_on_one_line_in_order_and_phases_have_their_lengths() {
        let (session, entries, samples) = session();
        let csms = |after: i64| {
            let text = "[3]".to_owned();
            Moment::ocpp(CsmsMessage { number: 1, time: START + after, outgoing: false, text })
        };
        // The last one came when another vehicle was there.
        let said = said().into_iter().map(|one| Moment::v2g(&one, one.name.clone()));
        let timeline =
            Timeline::new(session, entries, samples, said.chain([csms(6_000_000), csms(91_000_000)]));
        let told: Vec<_> =
            timeline.moments.iter().map(|one| (one.kind.as_str(), one.source.as_str())).collect();
        let wanted = [
            ("phase", "evse"),
            ("v2g", "vehicle"),
            ("v2g", "station"),
            ("phase", "evse"),
            ("ocpp", "csms"),
            ("fault", "evse/1"),
            ("phase", "evse"),
        ];
        assert_eq!(told, wanted);
        let lasted: Vec<_> =
            timeline.phases.iter().map(|phase| (phase.phase.as_str(), phase.seconds)).collect();
        assert_eq!(lasted, [("connected", 5.0), ("charging", 16.0), ("finished", 9.0)]);
    }

    #[test]
    fn what_goes_on_lasts_to_the_newest_that_is_known() {
        let (mut session, entries, samples) = session();
        session.unplugged = 0;
        let timeline = Timeline::new(session.clone(), entries, samples, []);
        assert_eq!((timeline.end(), timeline.phases[2].seconds), (START + 21_000_000, 0.0));
        assert_eq!(Timeline::new(session, Vec::new(), Vec::new(), []).end(), START + 1_000_000);
    }
}
