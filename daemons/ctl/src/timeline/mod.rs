//! One session on one time line: what the recorder has of it, and what was said to vehicle and back end
//! meanwhile, from the daemons that keep that. Merged here, by their time stamps; no ids.

mod masked;
mod print;

use std::path::Path;

use voltry_bus::names::{CSMS_PATH, OCPP, STATION, STATION_PATH};
use voltry_bus::{CsmsLog1Proxy, Recorder1Proxy, V2gMessage};
use voltry_recording::{Moment, Timeline, csv, talk};
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::outcome::{Failure, Outcome};
use crate::output::{json as print_json, table, time};
use crate::v2g;

/// As many as voltry-ocpp keeps.
const CSMS_MESSAGES: u32 = 200;
/// As many as the recorder keeps.
const SESSIONS: u32 = 1000;

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
            std::fs::write(path, csv(&timeline)).map_err(failed)?;
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
    // Whoever keeps what was said may be away: the recording is worth its own.
    let said = v2g::said_within(connection, session.evse, talk(&session)).await.unwrap_or_default();
    let csms = csms(connection).await.unwrap_or_default();
    Ok(Timeline::new(session, entries, samples, said.iter().map(v2g_moment).chain(csms)))
}

/// With what it contains, but without what names anybody.
fn v2g_moment(message: &V2gMessage) -> Moment {
    let text = format!("{} {}", message.name, masked::v2g(&message.text));
    Moment::v2g(message, text.trim_end().to_owned())
}

/// A time line for a person.
pub(crate) fn text(timeline: &Timeline) -> String {
    print::text(timeline)
}

/// What is kept of what was said to the back end.
pub(crate) async fn csms(connection: &Connection) -> Result<Vec<Moment>, Failure> {
    let log = CsmsLog1Proxy::builder(connection).destination(OCPP).path(CSMS_PATH).build().await?;
    let messages = log.messages(0, CSMS_MESSAGES).await?;
    Ok(messages.into_iter().map(Moment::ocpp).collect())
}

#[cfg(test)]
#[path = "../../../../tests/recorded.rs"]
mod recorded;

#[cfg(test)]
mod tests {
    use voltry_bus::CsmsMessage;

    use super::recorded::{START, said, session};
    use super::*;

    pub(super) fn timeline() -> Timeline {
        let (session, entries, samples) = session();
        let text = "[3]".to_owned();
        let csms = CsmsMessage { number: 1, time: START + 6_000_000, outgoing: false, text };
        let said: Vec<Moment> = said().iter().map(v2g_moment).chain([Moment::ocpp(csms)]).collect();
        Timeline::new(session, entries, samples, said)
    }

    #[test]
    fn what_a_vehicle_says_is_told_without_what_names_it() {
        let said = timeline().moments.into_iter().find(|moment| moment.kind == "v2g").unwrap();
        assert_eq!(said.text, "SessionSetupReq EVCCID …, EVReady true");
    }
}
