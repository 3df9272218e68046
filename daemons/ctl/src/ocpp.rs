//! `voltryctl ocpp`: where the connection to the back end stands, what is said, and what the charging
//! profiles come to.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use voltry_bus::names::{CSMS_PATH, OCPP, STATION, STATION_PATH};
use voltry_bus::{Book1Proxy, Csms1Proxy, CsmsLog1Proxy, CsmsMessage, CsmsProfile, CsmsState};
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::cli::Ocpp;
use crate::outcome::{Failure, Outcome};
use crate::output;

/// More than the uplink keeps.
const ALL: u32 = 200;
/// How often it is looked for more.
const AGAIN: Duration = Duration::from_millis(300);

/// What the uplink says of itself.
#[derive(Debug, Serialize)]
struct Standing {
    state: CsmsState,
    /// Microseconds of Unix time.
    since: i64,
    url: String,
    identity: String,
    protocol: String,
    /// Microseconds of Unix time; 0: none waits.
    next_attempt: i64,
    last_error: String,
    /// Messages of transactions that wait.
    waiting: u32,
    /// Up to which event of the book the back end has everything.
    acknowledged: u64,
    /// The newest event of the book; 0 if the station does not answer.
    newest: u64,
}

pub(crate) async fn run(connection: &Connection, command: Ocpp, json: bool) -> Result<Outcome, Failure> {
    match command {
        Ocpp::Status => status(connection, json).await,
        Ocpp::Messages { limit } => messages(&log_of(connection).await?, limit, json).await,
        Ocpp::Profiles => profiles(&log_of(connection).await?, json).await,
        Ocpp::Schedule { evse, hours } => schedule(&log_of(connection).await?, evse, hours, json).await,
        Ocpp::Log { follow } => log(&log_of(connection).await?, follow, json).await,
    }
}

async fn log_of(connection: &Connection) -> Result<CsmsLog1Proxy<'static>, Failure> {
    Ok(CsmsLog1Proxy::builder(connection).destination(OCPP).path(CSMS_PATH).build().await?)
}

async fn messages(log: &CsmsLog1Proxy<'_>, limit: u32, json: bool) -> Result<Outcome, Failure> {
    let kept = log.messages(0, ALL).await?;
    let newest = &kept[kept.len().saturating_sub(limit as usize)..];
    if json {
        output::json(newest)?;
    } else {
        newest.iter().for_each(|message| println!("{}", line(message)));
    }
    Ok(Outcome::Done)
}

async fn log(log: &CsmsLog1Proxy<'_>, follow: bool, json: bool) -> Result<Outcome, Failure> {
    let mut last = 0;
    loop {
        let messages = log.messages(last, ALL).await?;
        last = messages.last().map_or(last, |message| message.number);
        if json && !follow {
            output::json(&messages)?;
        } else if json {
            messages.iter().try_for_each(output::json)?;
        } else {
            messages.iter().for_each(|message| println!("{}", line(message)));
        }
        if !follow {
            return Ok(Outcome::Done);
        }
        if messages.is_empty() {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn line(message: &CsmsMessage) -> String {
    let arrow = if message.outgoing { '>' } else { '<' };
    format!("{} {arrow} {}", output::time(message.time), message.text)
}

async fn profiles(log: &CsmsLog1Proxy<'_>, json: bool) -> Result<Outcome, Failure> {
    let installed = log.profiles().await?;
    let read = |one: &CsmsProfile| -> Value { serde_json::from_str(&one.profile).unwrap_or_default() };
    if json {
        let all: Vec<Value> = installed
            .iter()
            .map(|one| json!({ "evse": one.evse, "source": one.source, "profile": read(one) }))
            .collect();
        output::json(&all)?;
        return Ok(Outcome::Done);
    }
    let mut table = output::table(["EVSE", "id", "purpose", "level", "kind", "from", "periods"]);
    for one in &installed {
        let profile = read(one);
        let schedule = &profile["chargingSchedule"][0];
        let unit = schedule["chargingRateUnit"].as_str().unwrap_or_default();
        let periods = schedule["chargingSchedulePeriod"].as_array().map_or_else(String::new, |periods| {
            let each = periods.iter().map(|it| format!("{} s: {} {unit}", it["startPeriod"], it["limit"]));
            each.collect::<Vec<_>>().join(", ")
        });
        let word = |name: &str| profile[name].as_str().unwrap_or_default().to_owned();
        table.add_row([
            one.evse.to_string(),
            profile["id"].to_string(),
            word("chargingProfilePurpose"),
            profile["stackLevel"].to_string(),
            word("chargingProfileKind"),
            one.source.clone(),
            periods,
        ]);
    }
    println!("{table}");
    Ok(Outcome::Done)
}

async fn schedule(log: &CsmsLog1Proxy<'_>, evse: u32, hours: u32, json: bool) -> Result<Outcome, Failure> {
    let periods = log.schedule(evse, hours * 3600).await?;
    if json {
        output::json(&periods)?;
        return Ok(Outcome::Done);
    }
    let now = jiff::Timestamp::now().as_microsecond();
    let mut table = output::table(["from", "at most"]);
    for period in &periods {
        table.add_row([
            output::time(now + period.from.saturating_mul(1_000_000)),
            output::kilowatts(period.power),
        ]);
    }
    println!("{table}");
    Ok(Outcome::Done)
}

async fn status(connection: &Connection, json: bool) -> Result<Outcome, Failure> {
    let csms = Csms1Proxy::builder(connection)
        .destination(OCPP)
        .path(CSMS_PATH)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let book = Book1Proxy::builder(connection)
        .destination(STATION)
        .path(STATION_PATH)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let standing = Standing {
        state: csms.state().await?,
        since: csms.since().await?,
        url: csms.url().await?,
        identity: csms.identity().await?,
        protocol: csms.protocol().await?,
        next_attempt: csms.next_attempt().await?,
        last_error: csms.last_error().await?,
        waiting: csms.waiting().await?,
        acknowledged: csms.acknowledged().await?,
        // The uplink has its say without the station.
        newest: book.newest().await.unwrap_or(0),
    };
    if json {
        output::json(&standing)?;
    } else {
        print!("{}", text(&standing));
    }
    Ok(match standing.state {
        CsmsState::Accepted | CsmsState::Disabled => Outcome::Done,
        CsmsState::Disconnected
        | CsmsState::Connecting
        | CsmsState::Booting
        | CsmsState::Pending
        | CsmsState::Rejected => Outcome::BadNews,
    })
}

fn text(standing: &Standing) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(out, "{name:<13} {value}");
        }
    };
    let means = match standing.state {
        CsmsState::Disabled => "no back end is configured",
        CsmsState::Disconnected => "not connected",
        CsmsState::Connecting => "being connected",
        CsmsState::Booting => "connected, not accepted yet",
        CsmsState::Pending => "connected; the back end configures the station first",
        CsmsState::Rejected => "connected, and refused by the back end; it will be asked again",
        CsmsState::Accepted => "connected and accepted",
    };
    line("back end", means);
    line("since", &output::time(standing.since));
    line("address", &standing.url);
    line("identity", &standing.identity);
    line("protocol", &standing.protocol);
    if standing.next_attempt != 0 {
        line("next attempt", &output::time(standing.next_attempt));
    }
    line("last error", &standing.last_error);
    if standing.state != CsmsState::Disabled {
        let missing = standing.newest.saturating_sub(standing.acknowledged);
        let (waiting, acknowledged) = (standing.waiting, standing.acknowledged);
        line("waiting", &format!("{waiting} messages of transactions"));
        line("book", &format!("the back end has it up to event {acknowledged}, {missing} are newer"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(state: CsmsState) -> Standing {
        Standing {
            state,
            since: 1,
            url: "wss://csms.example/ocpp".to_owned(),
            identity: "VOLTRY-1".to_owned(),
            protocol: "ocpp2.0.1".to_owned(),
            next_attempt: 0,
            last_error: String::new(),
            waiting: 3,
            acknowledged: 40,
            newest: 52,
        }
    }

    #[test]
    fn what_waits_for_the_back_end_is_shown() {
        let text = text(&standing(CsmsState::Accepted));
        for part in ["accepted", "ocpp2.0.1", "3 messages", "up to event 40, 12 are newer"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains("last error") && !text.contains("next attempt"), "{text}");
    }

    #[test]
    fn a_station_without_a_back_end_says_so_and_no_more() {
        let quiet = Standing { url: String::new(), ..standing(CsmsState::Disabled) };
        assert!(!text(&quiet).contains("book"));
    }
}
