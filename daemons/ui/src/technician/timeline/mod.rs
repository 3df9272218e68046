//! One session on one time line: phases, faults, what was said and what flowed, drawn for a window that the reader
//! chooses. The flight recorder has it (`Recorder1`); of what was said to vehicle and back end, whoever may operate
//! sees the names.

mod drawing;
mod page;

use std::ops::RangeInclusive;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use tokio::time::timeout;
use voltry_bus::{
    CsmsLog1Proxy, CsmsMessage, RecordedEntry, RecordedSample, RecordedSession, Recorder1Proxy, names,
};
use voltry_recording::{Moment, Timeline, csv, talk};
use zbus::proxy::CacheProperties;

use super::accounts::Role;
use super::conversations;
use super::routes::{ANSWER, LoggedIn, Shared, attachment, nothing, silent};

/// Sessions that are listed, and as many as the recorder keeps.
const LISTED: u32 = 100;
const KEPT: u32 = 1000;
/// Messages as `voltry-ocpp` keeps them, and characters of one that are shown.
const CSMS_MESSAGES: u32 = 200;
const TEXT_MAX: usize = 160;

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
        "json" => ("application/json", json),
        "csv" => ("text/csv; charset=utf-8", csv),
        "pcap" => return capture(who, &it, number).await,
        _ => return nothing(who).await,
    };
    match read(&who, &it, number).await {
        Ok(timeline) => {
            attachment(&format!("session-{number}.{form}"), kind, written(&timeline).into_bytes())
        }
        Err(failed) => failed.answer(who).await,
    }
}

fn json(timeline: &Timeline) -> String {
    serde_json::to_string_pretty(timeline).expect("numbers and texts under names are JSON")
}

/// What vehicle and station said meanwhile.
async fn capture(who: LoggedIn, it: &Shared, number: u64) -> Response {
    if let Some(refused) = who.lacks(Role::Operate) {
        return refused;
    }
    match recording(it, number).await {
        Ok((session, ..)) => {
            let said = conversations::said_within(it, session.evse, talk(&session)).await;
            conversations::capture(who, &format!("session-{number}.pcap"), session.evse, &said).await
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

type Recording = (RecordedSession, Vec<RecordedEntry>, Vec<RecordedSample>);

async fn recording(it: &Shared, number: u64) -> Result<Recording, Failed> {
    let asked = async { Ok::<_, zbus::Error>(recorder(it).await?.read(number).await) };
    match timeout(ANSWER, asked).await {
        Ok(Ok(Ok(found))) => Ok(found),
        Ok(Ok(Err(voltry_bus::Error::Invalid(_)))) => Err(Failed::Unknown),
        Ok(Ok(Err(_)) | Err(_)) | Err(_) => Err(Failed::Silent),
    }
}

async fn read(who: &LoggedIn, it: &Shared, number: u64) -> Result<Timeline, Failed> {
    let (session, entries, samples) = recording(it, number).await?;
    let mut said = Vec::new();
    if who.session.role >= Role::Operate {
        // Whoever keeps what was said may be away: the recording is worth its own.
        let messages = conversations::said_within(it, session.evse, talk(&session)).await;
        said.extend(messages.iter().map(|one| Moment::v2g(one, one.name.clone())));
        said.extend(csms(it).await.unwrap_or_default());
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
    let short = |one: CsmsMessage| CsmsMessage { text: one.text.chars().take(TEXT_MAX).collect(), ..one };
    Some(messages.into_iter().map(|one| Moment::ocpp(short(one))).collect())
}

#[cfg(test)]
#[path = "../../../../../tests/recorded.rs"]
mod recorded;

#[cfg(test)]
mod tests {
    pub(super) use super::recorded::START;
    use super::recorded::{said, session};
    use super::*;

    pub(super) fn timeline() -> Timeline {
        let (session, entries, samples) = session();
        Timeline::new(session, entries, samples, said().iter().map(|one| Moment::v2g(one, one.name.clone())))
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
