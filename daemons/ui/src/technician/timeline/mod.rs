//! One session on one time line: phases, faults, what was said and what flowed, drawn for a window that the reader
//! chooses. The flight recorder has it (`Recorder1`); of what was said to vehicle and back end, whoever may operate
//! sees the names.

mod drawing;
mod export;
mod page;

use std::ops::RangeInclusive;

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use voltry_bus::{CsmsLog1Proxy, RecordedEntry, RecordedSample, RecordedSession, Recorder1Proxy, names};
use zbus::proxy::CacheProperties;

use super::accounts::Role;
use super::conversations;
use super::routes::{ANSWER, LoggedIn, Shared, nothing, silent};

/// Sessions that are listed, and as many as the recorder keeps.
const LISTED: u32 = 100;
const KEPT: u32 = 1000;
/// What a back end says right after a vehicle has left belongs to it, microseconds.
const AFTER: i64 = 60 * 1_000_000;
/// Messages as `voltry-ocpp` keeps them, and characters of one that are shown.
const CSMS_MESSAGES: u32 = 200;
const TEXT_MAX: usize = 160;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Moment {
    /// Microseconds of Unix time.
    time: i64,
    /// As in a recording, or `v2g` and `ocpp`.
    kind: String,
    /// Who: `station`, `evse`, a device, `vehicle`, or `csms`.
    source: String,
    text: String,
}

/// How long the EVSE was in a state.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Phase {
    phase: String,
    /// Microseconds of Unix time.
    began: i64,
    seconds: f64,
}

/// A session on its time line, everything in order.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Timeline {
    session: RecordedSession,
    phases: Vec<Phase>,
    moments: Vec<Moment>,
    samples: Vec<RecordedSample>,
}

impl Timeline {
    fn new(
        session: RecordedSession,
        entries: Vec<RecordedEntry>,
        samples: Vec<RecordedSample>,
        said: Vec<Moment>,
    ) -> Self {
        let recorded = entries.into_iter().map(|RecordedEntry { time, kind, source, text }| Moment {
            time,
            kind,
            source,
            text,
        });
        let mut moments: Vec<Moment> = recorded.chain(said).collect();
        moments.sort_by_key(|moment| moment.time);
        let mut timeline = Self { session, phases: Vec::new(), moments, samples };
        timeline.phases = timeline.phases();
        timeline
    }

    /// When it ended, or the newest that is known of it.
    fn end(&self) -> i64 {
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

#[expect(clippy::cast_precision_loss, reason = "some hours, of which nobody needs the microsecond")]
fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// What of a session is looked at, milliseconds since the plug went in; nothing: all of it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Zoom {
    from: Option<i64>,
    to: Option<i64>,
}

impl Zoom {
    /// In microseconds of Unix time, within the session.
    fn window(self, timeline: &Timeline) -> RangeInclusive<i64> {
        let (begin, end) = (timeline.session.plugged, timeline.end());
        let at = |offset: Option<i64>, otherwise: i64| {
            offset.map_or(otherwise, |ms| begin.saturating_add(ms.saturating_mul(1000)).clamp(begin, end))
        };
        let (from, to) = (at(self.from, begin), at(self.to, end));
        if from < to { from..=to } else { begin..=end }
    }
}

pub(super) async fn list(who: LoggedIn, State(it): State<Shared>) -> Response {
    match recorded(&it, LISTED).await {
        Some(sessions) => who.page("/timeline", "Time lines", &page::all(&sessions), false),
        None => silent(&who, "/timeline", "voltry-station"),
    }
}

pub(super) async fn show(
    who: LoggedIn,
    State(it): State<Shared>,
    Path(number): Path<u64>,
    Query(zoom): Query<Zoom>,
) -> Response {
    match read(&who, &it, number).await {
        Ok(timeline) => {
            let page = page::one(&timeline, zoom.window(&timeline));
            who.page("/timeline", "Time line", &page, false)
        }
        Err(failed) => failed.answer(who).await,
    }
}

/// All of it as a file.
pub(super) async fn file(
    who: LoggedIn,
    State(it): State<Shared>,
    Path((number, form)): Path<(u64, String)>,
) -> Response {
    let (kind, written): (_, fn(&Timeline) -> String) = match form.as_str() {
        "json" => ("application/json", export::json),
        "csv" => ("text/csv; charset=utf-8", export::csv),
        _ => return nothing(who).await,
    };
    match read(&who, &it, number).await {
        Ok(timeline) => {
            let name = format!("attachment; filename=\"session-{number}.{form}\"");
            let headers = [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, name)];
            (headers, written(&timeline)).into_response()
        }
        Err(failed) => failed.answer(who).await,
    }
}

/// The record of a transaction, if the recorder still has it.
pub(super) async fn of_transaction(it: &Shared, transaction: u64) -> Option<u64> {
    let sessions = recorded(it, KEPT).await?;
    sessions.iter().find(|session| session.transaction == transaction).map(|session| session.number)
}

/// Why there is no time line.
enum Failed {
    Silent,
    Unknown,
}

impl Failed {
    async fn answer(self, who: LoggedIn) -> Response {
        match self {
            Self::Silent => silent(&who, "/timeline", "voltry-station"),
            Self::Unknown => nothing(who).await,
        }
    }
}

async fn recorded(it: &Shared, limit: u32) -> Option<Vec<RecordedSession>> {
    let asked = async { recorder(it).await.ok()?.sessions(limit).await.ok() };
    timeout(ANSWER, asked).await.ok().flatten()
}

async fn recorder(it: &Shared) -> zbus::Result<Recorder1Proxy<'static>> {
    Recorder1Proxy::builder(&it.connection)
        .destination(names::STATION)
        .path(names::STATION_PATH)
        .cache_properties(CacheProperties::No)
        .build()
        .await
}

async fn read(who: &LoggedIn, it: &Shared, number: u64) -> Result<Timeline, Failed> {
    let asked = async { Ok::<_, zbus::Error>(recorder(it).await?.read(number).await) };
    let (session, entries, samples) = match timeout(ANSWER, asked).await {
        Ok(Ok(Ok(found))) => found,
        Ok(Ok(Err(voltry_bus::Error::Invalid(_)))) => return Err(Failed::Unknown),
        Ok(Ok(Err(_)) | Err(_)) | Err(_) => return Err(Failed::Silent),
    };
    let mut said = Vec::new();
    if who.session.role >= Role::Operate {
        let until = if session.unplugged == 0 { i64::MAX } else { session.unplugged.saturating_add(AFTER) };
        let within = session.plugged..=until;
        // Whoever keeps what was said may be away: the recording is worth its own.
        for (time, by_vehicle, name) in conversations::names_within(it, session.evse, within.clone()).await {
            let source = if by_vehicle { "vehicle" } else { "station" }.to_owned();
            said.push(Moment { time, kind: "v2g".to_owned(), source, text: name });
        }
        said.extend(csms(it).await.unwrap_or_default().into_iter().filter(|one| within.contains(&one.time)));
    }
    Ok(Timeline::new(session, entries, samples, said))
}

/// What was said to the back end, as far as it is kept; ids are masked by whoever keeps it.
async fn csms(it: &Shared) -> Option<Vec<Moment>> {
    let asked = async {
        let log = CsmsLog1Proxy::builder(&it.connection)
            .destination(names::OCPP)
            .path(names::CSMS_PATH)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        Ok::<_, zbus::Error>(log.messages(0, CSMS_MESSAGES).await)
    };
    let messages = timeout(ANSWER, asked).await.ok()?.ok()?.ok()?;
    let source = |outgoing| if outgoing { "station" } else { "csms" }.to_owned();
    let moments = messages.into_iter().map(|one| Moment {
        time: one.time,
        kind: "ocpp".to_owned(),
        source: source(one.outgoing),
        text: one.text.chars().take(TEXT_MAX).collect(),
    });
    Some(moments.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const START: i64 = 1_790_000_000_000_000;

    /// Thirty seconds: five connected, sixteen charging.
    pub(super) fn timeline() -> Timeline {
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
        let said = Moment {
            time: START + 1_000_000,
            kind: "v2g".to_owned(),
            source: "vehicle".to_owned(),
            text: "SessionSetupReq".to_owned(),
        };
        Timeline::new(session, entries, (0..15).map(sample).collect(), vec![said])
    }

    #[test]
    fn everything_is_in_order_and_phases_have_their_lengths() {
        let timeline = timeline();
        let kinds: Vec<_> = timeline.moments.iter().map(|moment| moment.kind.as_str()).collect();
        assert_eq!(kinds, ["phase", "v2g", "phase", "fault", "phase"]);
        let lasted: Vec<_> =
            timeline.phases.iter().map(|phase| (phase.phase.as_str(), phase.seconds)).collect();
        assert_eq!(lasted, [("connected", 5.0), ("charging", 16.0), ("finished", 9.0)]);
    }

    #[test]
    fn a_window_lies_within_the_session_and_what_is_none_is_all_of_it() {
        let (timeline, end) = (timeline(), START + 30_000_000);
        let window = |from, to| Zoom { from, to }.window(&timeline);
        assert_eq!(window(None, None), START..=end);
        assert_eq!(window(Some(5_000), Some(21_000)), START + 5_000_000..=START + 21_000_000);
        assert_eq!(window(Some(-5), Some(i64::MAX)), START..=end);
        for (from, to) in [(9_000, 9_000), (9_000, 1), (i64::MAX, i64::MIN), (40_000, 50_000)] {
            assert_eq!(window(Some(from), Some(to)), START..=end, "{from} {to}");
        }
    }
}
