//! `voltryctl v2g`: what stations and vehicles said to each other.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::select_all;
use serde::Serialize;
use voltry_bus::{Transaction, V2gConversation, V2gLog1Proxy, V2gMessage};
use voltry_recording::Capture;
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::bus::walk;
use crate::cli::V2g;
use crate::outcome::{Failure, Outcome};
use crate::output::{clock_time, json as print_json, table, time};

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
            let messages = log.read(chosen.began).await?;
            match pcap {
                Some(path) => write(&path, &[(evse, messages)])?,
                None => show(chosen, &messages, json)?,
            }
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
    let mut chosen = Vec::new();
    for conversation in log.conversations().await?.into_iter().filter(|one| within.contains(&one.began)) {
        let messages = log.read(conversation.began).await?;
        // One that had ended by then led to another transaction, or to none.
        let goes_on = messages.last().is_some_and(|last| last.time >= transaction.started);
        if conversation.began >= transaction.started || conversation.ended.is_empty() || goes_on {
            chosen.push((conversation, messages));
        }
    }
    if chosen.is_empty() {
        return Err(Failure::Refused(format!(
            "EVSE {} remembers no conversation of that transaction: it keeps the newest 16",
            transaction.evse
        )));
    }
    if let Some(path) = pcap {
        let said: Vec<_> = chosen.into_iter().map(|(_, messages)| (transaction.evse, messages)).collect();
        return write(path, &said);
    }
    chosen.iter().try_for_each(|(conversation, messages)| show(conversation, messages, json))
}

/// What was said at an EVSE in conversations that began within this time, microseconds of Unix time.
pub(crate) async fn said_within(
    connection: &Connection,
    evse: u32,
    within: RangeInclusive<i64>,
) -> Result<Vec<V2gMessage>, Failure> {
    let log = log_of(connection, evse).await?;
    let mut said = Vec::new();
    for conversation in log.conversations().await?.into_iter().filter(|one| within.contains(&one.began)) {
        said.append(&mut log.read(conversation.began).await?);
    }
    Ok(said)
}

/// Writes what was said at EVSEs into a capture.
fn write(path: &Path, said: &[(u32, Vec<V2gMessage>)]) -> Result<(), Failure> {
    let mut capture = Capture::new(BufWriter::new(create(path)?)).map_err(unwritten)?;
    for (evse, messages) in said {
        messages.iter().try_for_each(|message| capture.add(*evse, message)).map_err(unwritten)?;
    }
    capture.finish().map_err(unwritten)?;
    let count: usize = said.iter().map(|(_, messages)| messages.len()).sum();
    eprintln!("{count} messages in {}", path.display());
    Ok(())
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| Failure::Other(format!("{}: {error}", path.display())))
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err wants")]
fn unwritten(error: io::Error) -> Failure {
    Failure::Other(format!("the capture: {error}"))
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

fn show(conversation: &V2gConversation, messages: &[V2gMessage], json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&serde_json::json!({ "conversation": conversation, "messages": messages }));
    }
    let protocol =
        if conversation.protocol.is_empty() { "no protocol agreed" } else { &conversation.protocol };
    println!("{}, {protocol}", time(conversation.began));
    messages.iter().for_each(|message| print("", message));
    if conversation.left_out > 0 {
        println!("({} messages between the first and the newest were not kept)", conversation.left_out);
    }
    if !conversation.ended.is_empty() {
        println!("{}", conversation.ended);
    }
    Ok(())
}

/// `evse` names the EVSE, where there are several.
fn print(evse: &str, message: &V2gMessage) {
    let who = if message.by_vehicle { "vehicle ▶" } else { "◀ station" };
    println!("{evse}{}  {who}  {}  {}", clock_time(message.time), message.name, message.text);
}

#[derive(Serialize)]
struct Followed<'a> {
    evse: u32,
    #[serde(flatten)]
    message: &'a V2gMessage,
}

async fn follow(
    connection: &Connection,
    evse: Option<u32>,
    pcap: Option<&Path>,
    json: bool,
) -> Result<(), Failure> {
    let logs = match evse {
        Some(evse) => vec![(evse, log_of(connection, evse).await?)],
        None => logs(connection)
            .await?
            .into_iter()
            .filter_map(|(name, log)| Some((name.parse().ok()?, log)))
            .collect(),
    };
    let mut streams = Vec::new();
    for (evse, log) in &logs {
        streams.push(log.receive_message().await?.map(move |signal| (*evse, signal)));
    }
    let mut messages = select_all(streams);
    // Without a buffer: Ctrl-C ends this without a word, and what was said until then is to be there.
    let mut capture = match pcap {
        Some(path) => Some(Capture::new(create(path)?).map_err(unwritten)?),
        None => None,
    };
    let mut again = tokio::time::interval(FOLLOW_AGAIN);
    again.tick().await;
    ask(&logs).await?;
    if !json {
        let all: Vec<_> = logs.iter().map(|(evse, _)| evse.to_string()).collect();
        eprintln!("following EVSE {} until Ctrl-C", all.join(", "));
    }
    loop {
        let said = tokio::select! {
            _ = again.tick() => {
                ask(&logs).await?;
                continue;
            }
            said = messages.next() => said,
        };
        let Some((evse, signal)) = said else {
            return Err(Failure::Unreachable("the bus is gone".to_owned()));
        };
        let message = signal.args()?.message().clone();
        if let Some(capture) = &mut capture {
            capture.add(evse, &message).map_err(unwritten)?;
        }
        if json {
            print_json(&Followed { evse, message: &message })?;
        } else {
            let name = if logs.len() > 1 { format!("EVSE {evse}  ") } else { String::new() };
            print(&name, &message);
        }
        // Whoever reads through a pipe sees each message when it comes.
        let _ = std::io::stdout().flush();
    }
}

/// To be told each message for a while.
async fn ask(logs: &[(u32, V2gLog1Proxy<'static>)]) -> Result<(), Failure> {
    for (_, log) in logs {
        log.follow(FOLLOW_SECONDS).await?;
    }
    Ok(())
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
