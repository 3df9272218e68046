//! `voltryctl v2g`: what stations and vehicles said to each other.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Serialize;
use voltry_bus::{Transaction, V2gConversation, V2gLog1Proxy, V2gMessage};
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::bus::walk;
use crate::cli::V2g;
use crate::outcome::{Failure, Outcome};
use crate::output::{clock_time, json as print_json, table, time};
use crate::pcap::Capture;

/// One call of `Follow`, and how often it is repeated.
const FOLLOW_SECONDS: u32 = 60;
const FOLLOW_AGAIN: Duration = Duration::from_secs(40);
/// How long before its transaction a conversation may have begun: drivers look for their cards.
const BEFORE_MICROS: i64 = 30 * 60 * 1_000_000;

pub(crate) async fn run(connection: &Connection, command: V2g, json: bool) -> Result<Outcome, Failure> {
    match command {
        V2g::List => list(connection, json).await?,
        V2g::Show { evse, number, pcap } => {
            let log = log_of(connection, evse).await?;
            let mut conversations = log.conversations().await?;
            conversations.reverse();
            let index = usize::try_from(number).unwrap_or(usize::MAX) - 1;
            let chosen = conversations.get(index).ok_or_else(|| {
                let kept = conversations.len();
                Failure::Refused(format!(
                    "EVSE {evse} remembers {kept} conversations; there is no number {number}"
                ))
            })?;
            show(&log, chosen, pcap.as_deref(), json).await?;
        }
        V2g::Follow { evse, pcap } => follow(connection, evse, pcap.as_deref(), json).await?,
    }
    Ok(Outcome::Done)
}

/// The conversations of a transaction.
pub(crate) async fn of_transaction(
    connection: &Connection,
    transaction: &Transaction,
    pcap: Option<&Path>,
    json: bool,
) -> Result<(), Failure> {
    let log = log_of(connection, transaction.evse).await?;
    let end = if transaction.state == "open" { i64::MAX } else { transaction.ended };
    let within = transaction.started.saturating_sub(BEFORE_MICROS)..=end;
    let conversations = log.conversations().await?;
    // The one that led to the transaction, and those that followed within it.
    let first = conversations.iter().rposition(|one| one.began <= transaction.started).unwrap_or(0);
    let mut chosen = conversations[first.min(conversations.len())..]
        .iter()
        .filter(|one| within.contains(&one.began))
        .peekable();
    if chosen.peek().is_none() {
        return Err(Failure::Refused(format!(
            "EVSE {} remembers no conversation of that transaction: it keeps the newest 16",
            transaction.evse
        )));
    }
    for conversation in chosen {
        show(&log, conversation, pcap, json).await?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Listed<'a> {
    evse: &'a str,
    #[serde(flatten)]
    conversation: &'a V2gConversation,
}

async fn list(connection: &Connection, json: bool) -> Result<(), Failure> {
    let mut rows = table(["EVSE", "NUMBER", "BEGAN", "PROTOCOL", "HOW IT ENDED"]);
    let mut listed = Vec::new();
    for (evse, log) in logs(connection).await? {
        let conversations = log.conversations().await?;
        for (number, conversation) in conversations.iter().enumerate() {
            let ended = if conversation.ended.is_empty() { "goes on" } else { &conversation.ended };
            rows.add_row([
                evse.clone(),
                (conversations.len() - number).to_string(),
                time(conversation.began),
                conversation.protocol.clone(),
                ended.to_owned(),
            ]);
        }
        listed.push((evse, conversations));
    }
    if json {
        let all: Vec<_> = listed
            .iter()
            .flat_map(|(evse, conversations)| {
                conversations.iter().map(|conversation| Listed { evse, conversation })
            })
            .collect();
        return print_json(&all);
    }
    println!("{rows}");
    Ok(())
}

async fn show(
    log: &V2gLog1Proxy<'_>,
    conversation: &V2gConversation,
    pcap: Option<&Path>,
    json: bool,
) -> Result<(), Failure> {
    let messages = log.read(conversation.began).await?;
    if let Some(path) = pcap {
        let mut capture = Capture::create(path)?;
        for message in &messages {
            capture.add(message)?;
        }
        eprintln!("{} messages in {}", messages.len(), path.display());
        return Ok(());
    }
    if json {
        return print_json(&serde_json::json!({ "conversation": conversation, "messages": messages }));
    }
    let protocol =
        if conversation.protocol.is_empty() { "no protocol agreed" } else { &conversation.protocol };
    println!("{}, {protocol}", time(conversation.began));
    messages.iter().for_each(print);
    if conversation.left_out > 0 {
        println!("({} messages between the first and the newest were not kept)", conversation.left_out);
    }
    if !conversation.ended.is_empty() {
        println!("{}", conversation.ended);
    }
    Ok(())
}

fn print(message: &V2gMessage) {
    let who = if message.by_vehicle { "vehicle ▶" } else { "◀ station" };
    println!("{}  {who}  {}  {}", clock_time(message.time), message.name, message.text);
}

async fn follow(connection: &Connection, evse: u32, pcap: Option<&Path>, json: bool) -> Result<(), Failure> {
    let log = log_of(connection, evse).await?;
    let mut messages = log.receive_message().await?;
    let mut capture = pcap.map(Capture::create).transpose()?;
    let mut again = tokio::time::interval(FOLLOW_AGAIN);
    if !json {
        eprintln!("following EVSE {evse} until Ctrl-C");
    }
    loop {
        let signal = tokio::select! {
            _ = again.tick() => {
                log.follow(FOLLOW_SECONDS).await?;
                continue;
            }
            signal = messages.next() => signal,
        };
        let Some(signal) = signal else {
            return Err(Failure::Unreachable("the bus is gone".to_owned()));
        };
        let message = signal.args()?.message().clone();
        if let Some(capture) = &mut capture {
            capture.add(&message)?;
        }
        if json {
            print_json(&message)?;
        } else {
            print(&message);
        }
        // Whoever reads through a pipe sees each message when it comes.
        let _ = std::io::stdout().flush();
    }
}

async fn log_of(connection: &Connection, evse: u32) -> Result<V2gLog1Proxy<'static>, Failure> {
    let number = evse.to_string();
    logs(connection).await?.into_iter().find(|(name, _)| *name == number).map(|(_, log)| log).ok_or_else(
        || Failure::Unreachable(format!("nothing on the bus keeps what EVSE {evse} and its vehicles said")),
    )
}

/// Every log on the bus, ours or an OEM's, by the name of its link: the EVSE's number.
async fn logs(connection: &Connection) -> Result<Vec<(String, V2gLog1Proxy<'static>)>, Failure> {
    let mut logs = Vec::new();
    let walk = walk(connection).await?;
    for object in walk.objects.iter().cloned() {
        if !object.interfaces.iter().any(|name| name == "org.voltry.V2gLog1") {
            continue;
        }
        let evse = object.path.rsplit('/').next().unwrap_or_default().to_owned();
        let proxy = V2gLog1Proxy::builder(connection)
            .destination(object.name)
            .path(object.path)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        logs.push((evse, proxy));
    }
    if logs.is_empty() {
        walk.is_whole()?;
        return Err(Failure::Unreachable("no communication daemon is on the bus".to_owned()));
    }
    Ok(logs)
}
