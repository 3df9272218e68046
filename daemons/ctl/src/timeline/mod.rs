//! One session on one time line: what the recorder has of it, and what was said to vehicle and back end
//! meanwhile, from the daemons that keep that. Merged here, by their time stamps; no ids.

mod masked;
mod print;

use std::path::Path;

use serde::Serialize;
use voltry_bus::names::{CSMS_PATH, OCPP, STATION, STATION_PATH};
use voltry_bus::{CsmsLog1Proxy, RecordedEntry, RecordedSample, RecordedSession, Recorder1Proxy, V2gMessage};
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::outcome::{Failure, Outcome};
use crate::output::{json as print_json, table, time};
use crate::v2g;

/// What a back end says right after a vehicle has left belongs to it, microseconds.
const AFTER: i64 = 60 * 1_000_000;
/// As many as voltry-ocpp keeps.
const CSMS_MESSAGES: u32 = 200;
/// As many as the recorder keeps.
const SESSIONS: u32 = 1000;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Moment {
    /// Microseconds of Unix time.
    pub(crate) time: i64,
    /// As in a recording, or `v2g` and `ocpp`.
    pub(crate) kind: String,
    /// Who: `station`, `evse`, a device, `vehicle`, or `csms`.
    pub(crate) source: String,
    /// In words.
    pub(crate) text: String,
}

/// How long the EVSE was in a state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Phase {
    pub(crate) phase: String,
    /// Microseconds of Unix time.
    pub(crate) began: i64,
    pub(crate) seconds: f64,
}

/// A session on its time line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Timeline {
    pub(crate) session: RecordedSession,
    pub(crate) phases: Vec<Phase>,
    pub(crate) moments: Vec<Moment>,
    pub(crate) samples: Vec<RecordedSample>,
}

pub(crate) async fn recorder(connection: &Connection) -> Result<Recorder1Proxy<'static>, Failure> {
    Ok(Recorder1Proxy::builder(connection)
        .destination(STATION)
        .path(STATION_PATH)
        .cache_properties(CacheProperties::No)
        .build()
        .await?)
}

/// `voltryctl sessions recorded`.
pub(crate) async fn list(connection: &Connection, limit: u32, json: bool) -> Result<Outcome, Failure> {
    let sessions = recorder(connection).await?.sessions(limit).await?;
    if json {
        print_json(&sessions)?;
        return Ok(Outcome::Done);
    }
    let mut rows = table(["RECORD", "EVSE", "PLUGGED", "UNPLUGGED", "TRANSACTION", "WHY IT ENDED"]);
    for session in sessions {
        let transaction =
            if session.transaction == 0 { "–".to_owned() } else { session.transaction.to_string() };
        let (plugged, unplugged) = (time(session.plugged), time(session.unplugged));
        let number = session.number.to_string();
        rows.add_row([number, session.evse.to_string(), plugged, unplugged, transaction, session.why]);
    }
    println!("{rows}");
    Ok(Outcome::Done)
}

/// How a time line leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form<'a> {
    /// On standard output, for a person.
    Text,
    /// On standard output, for a script.
    Json,
    /// Into a file, a line a moment or sample.
    Csv(&'a Path),
}

/// One session, by its number in the recorder.
pub(crate) async fn show(connection: &Connection, record: u64, form: Form<'_>) -> Result<Outcome, Failure> {
    let timeline = read(connection, record).await?;
    match form {
        Form::Text => print!("{}", print::text(&timeline)),
        Form::Json => print_json(&timeline)?,
        Form::Csv(path) => {
            let failed = |error: std::io::Error| Failure::Other(format!("{}: {error}", path.display()));
            std::fs::write(path, print::csv(&timeline)).map_err(failed)?;
            eprintln!("{} lines in {}", timeline.moments.len() + timeline.samples.len(), path.display());
        }
    }
    Ok(Outcome::Done)
}

/// The record of a transaction.
pub(crate) async fn of_transaction(connection: &Connection, transaction: u64) -> Result<u64, Failure> {
    let sessions = recorder(connection).await?.sessions(SESSIONS).await?;
    let found = sessions.iter().find(|session| session.transaction == transaction);
    found.map(|session| session.number).ok_or_else(|| {
        Failure::Refused(format!(
            "the recorder has nothing of transaction {transaction}: it keeps the newest sessions alone"
        ))
    })
}

/// One session with everything that was said.
pub(crate) async fn read(connection: &Connection, record: u64) -> Result<Timeline, Failure> {
    let (session, entries, samples) = recorder(connection).await?.read(record).await?;
    let until = if session.unplugged == 0 { i64::MAX } else { session.unplugged.saturating_add(AFTER) };
    let within = session.plugged..=until;
    // Whoever keeps what was said may be away: the recording is worth its own.
    let said = v2g::said_within(connection, session.evse, within.clone()).await.unwrap_or_default();
    let csms = csms(connection).await.unwrap_or_default();
    let csms = csms.into_iter().filter(|moment| within.contains(&moment.time)).collect();
    Ok(merged(session, entries, samples, said, csms))
}

/// A time line for a person.
pub(crate) fn text(timeline: &Timeline) -> String {
    print::text(timeline)
}

/// What is kept of what was said to the back end.
pub(crate) async fn csms(connection: &Connection) -> Result<Vec<Moment>, Failure> {
    let log = CsmsLog1Proxy::builder(connection).destination(OCPP).path(CSMS_PATH).build().await?;
    let messages = log.messages(0, CSMS_MESSAGES).await?;
    let source = |outgoing| if outgoing { "station" } else { "csms" }.to_owned();
    Ok(messages
        .into_iter()
        .map(|one| Moment {
            time: one.time,
            kind: "ocpp".to_owned(),
            source: source(one.outgoing),
            text: one.text,
        })
        .collect())
}

fn merged(
    session: RecordedSession,
    entries: Vec<RecordedEntry>,
    samples: Vec<RecordedSample>,
    said: Vec<V2gMessage>,
    csms: Vec<Moment>,
) -> Timeline {
    let phases = phases(&session, &entries, &samples);
    let recorded = entries.into_iter().map(|RecordedEntry { time, kind, source, text }| Moment {
        time,
        kind,
        source,
        text,
    });
    let said = said.into_iter().map(|message| Moment {
        time: message.time,
        kind: "v2g".to_owned(),
        source: if message.by_vehicle { "vehicle" } else { "station" }.to_owned(),
        text: format!("{} {}", message.name, masked::v2g(&message.text)).trim_end().to_owned(),
    });
    let mut moments: Vec<_> = recorded.chain(said).chain(csms).collect();
    moments.sort_by_key(|moment| moment.time);
    Timeline { session, phases, moments, samples }
}

/// The last one lasts to the end of the session, or to the newest that is known of it.
fn phases(session: &RecordedSession, entries: &[RecordedEntry], samples: &[RecordedSample]) -> Vec<Phase> {
    let newest = entries.iter().map(|entry| entry.time).chain(samples.iter().map(|sample| sample.time)).max();
    let end = if session.unplugged == 0 { newest.unwrap_or(session.plugged) } else { session.unplugged };
    let began: Vec<_> = entries.iter().filter(|entry| entry.kind == "phase").collect();
    let ends = began.iter().skip(1).map(|next| next.time).chain([end]);
    let seconds = |began: i64, end: i64| (end.saturating_sub(began)).max(0) as f64 / 1e6;
    began
        .iter()
        .zip(ends)
        .map(|(entry, end)| Phase {
            phase: entry.text.clone(),
            began: entry.time,
            seconds: seconds(entry.time, end),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_790_000_000_000_000;

    pub(super) fn timeline() -> Timeline {
        let session = RecordedSession {
            number: 3,
            evse: 1,
            transaction: 17,
            plugged: START,
            unplugged: START + 30_000_000,
            why: "The vehicle ended it".to_owned(),
            left_out: 0,
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
            entry(20_000_000, "fault", "evse/1", "MeterStuck: \"it\" stands still, long"),
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
        let message = |after: i64, by_vehicle, name: &str| V2gMessage {
            time: START + after,
            by_vehicle,
            name: name.to_owned(),
            text: "EVCCID 02564F4C5401, EVReady true".to_owned(),
            payload_type: 0x8001,
            payload: Vec::new(),
        };
        let said =
            vec![message(1_000_000, true, "SessionSetupReq"), message(1_100_000, false, "SessionSetupRes")];
        let csms = vec![Moment {
            time: START + 6_000_000,
            kind: "ocpp".to_owned(),
            source: "csms".to_owned(),
            text: "[3]".to_owned(),
        }];
        merged(session, entries, (0..15).map(sample).collect(), said, csms)
    }

    #[test]
    fn everything_is_on_one_line_in_order_and_phases_have_their_lengths() {
        let timeline = timeline();
        assert!(timeline.moments.is_sorted_by_key(|moment| moment.time));
        let kinds: Vec<_> = timeline.moments.iter().map(|moment| moment.kind.as_str()).collect();
        assert_eq!(kinds, ["phase", "v2g", "v2g", "phase", "ocpp", "fault", "phase"]);
        let lasted: Vec<_> =
            timeline.phases.iter().map(|phase| (phase.phase.as_str(), phase.seconds)).collect();
        assert_eq!(lasted, [("connected", 5.0), ("charging", 16.0), ("finished", 9.0)]);
        assert!(!timeline.moments[1].text.contains("02564F"), "{}", timeline.moments[1].text);
    }
}
