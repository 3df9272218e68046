//! What is told to the station: let in, stop, in and out of service.

use std::time::Duration;

use voltry_bus::names::{STATION, STATION_PATH};
use voltry_bus::{Station1Proxy, TokenKind};
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::outcome::{Failure, Outcome};
use crate::output;

pub(crate) async fn proxy(connection: &Connection) -> Result<Station1Proxy<'static>, Failure> {
    Ok(Station1Proxy::builder(connection)
        .destination(STATION)
        .path(STATION_PATH)
        .cache_properties(CacheProperties::No)
        .build()
        .await?)
}

/// The station asks its back end for at most 50 s.
pub(crate) const JUDGED: Duration = Duration::from_secs(55);

pub(crate) async fn authorize(
    connection: &Connection,
    token: &str,
    kind: TokenKind,
    evse: u32,
    json: bool,
) -> Result<Outcome, Failure> {
    let outcome = proxy(connection).await?.authorize_token(token, kind, evse).await?;
    if json {
        output::json(&outcome)?;
    } else {
        match outcome.outcome.as_str() {
            "granted" => println!("EVSE {}: granted", outcome.evse),
            "stopped" => println!("EVSE {}: the session of this token is being ended", outcome.evse),
            "remembered" => println!("no vehicle waits; the token holds for the next one plugged in"),
            "asked" => println!("several charge: the screen asks which is to be stopped"),
            "refused" => {}
            other => println!("{other}"),
        }
    }
    if outcome.outcome == "refused" {
        return Err(Failure::Refused(format!("refused: {}", outcome.detail)));
    }
    Ok(Outcome::Done)
}

pub(crate) async fn stop(connection: &Connection, evse: u32, json: bool) -> Result<Outcome, Failure> {
    proxy(connection).await?.stop(evse).await?;
    if !json {
        println!("EVSE {evse}: whatever runs there is being ended");
    }
    Ok(Outcome::Done)
}

pub(crate) async fn available(
    connection: &Connection,
    evse: u32,
    available: bool,
    json: bool,
) -> Result<Outcome, Failure> {
    proxy(connection).await?.set_available(evse, available).await?;
    if !json {
        println!("EVSE {evse}: {} service", if available { "in" } else { "out of" });
    }
    Ok(Outcome::Done)
}
