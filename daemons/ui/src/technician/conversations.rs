//! What vehicles and station said to each other, decoded by whoever speaks with them (`V2gLog1`).
//!
//! Messages hold the vehicle's identity: whoever may only look is not shown them.

use std::ops::RangeInclusive;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::join_all;
use maud::{Markup, html};
use tokio::time::timeout;
use tracing::warn;
use voltry_bus::{Transaction, V2gConversation, V2gLog1Proxy, V2gMessage};
use voltry_recording::Capture;
use zbus::proxy::CacheProperties;

use super::accounts::Role;
use super::page::{self, time};
use super::routes::{ANSWER, LoggedIn, Shared, attachment, nothing, silent};

/// Of one conversation the first and the newest messages are shown: a charge loop says the same by the thousand.
const FIRST: usize = 200;
const NEWEST: usize = 300;
/// Characters of a message that are shown; a certificate chain has more.
const TEXT_MAX: usize = 2_000;
/// How long before its transaction a conversation may have begun: drivers look for their cards.
const BEFORE_MICROS: i64 = 30 * 60 * 1_000_000;

pub(super) async fn list(who: LoggedIn, State(it): State<Shared>) -> Response {
    if let Some(refused) = who.lacks(Role::Operate) {
        return refused;
    }
    let asked = it.links.keys().map(async |evse| (*evse, conversations(&it, *evse).await));
    let mut answers = join_all(asked).await;
    answers.iter_mut().for_each(|(_, kept)| kept.iter_mut().for_each(|kept| kept.reverse()));
    who.page("/v2g", "Vehicles' messages", &all(&answers), false)
}

pub(super) async fn show(
    who: LoggedIn,
    State(it): State<Shared>,
    Path((evse, began)): Path<(u32, i64)>,
) -> Response {
    if let Some(refused) = who.lacks(Role::Operate) {
        return refused;
    }
    let Some(kept) = conversations(&it, evse).await else { return silent(&who, "/v2g", "voltry-secc") };
    let Some(about) = kept.into_iter().find(|one| one.began == began) else { return nothing(who).await };
    match read(&it, evse, began).await {
        Some(messages) => who.page("/v2g", "What was said", &one(evse, &about, &messages), false),
        None => silent(&who, "/v2g", "voltry-secc"),
    }
}

/// One of them as a file.
pub(super) async fn file(
    who: LoggedIn,
    State(it): State<Shared>,
    Path((evse, began)): Path<(u32, i64)>,
) -> Response {
    if let Some(refused) = who.lacks(Role::Operate) {
        return refused;
    }
    let said = read(&it, evse, began).await.unwrap_or_default();
    capture(who, &format!("evse-{evse}-{began}.pcap"), evse, &said).await
}

/// The conversations of a transaction that are still kept.
pub(super) async fn of(it: &Shared, transaction: &Transaction) -> Vec<V2gConversation> {
    let end = if transaction.state == "open" { i64::MAX } else { transaction.ended };
    let within = transaction.started.saturating_sub(BEFORE_MICROS)..=end;
    let mut kept = conversations(it, transaction.evse).await.unwrap_or_default();
    kept.retain(|one| within.contains(&one.began));
    // Those that led to an earlier transaction, or to none: only the last of them may have led to this one.
    let before = kept.iter().filter(|one| one.began < transaction.started).count();
    kept.split_off(before.saturating_sub(1).min(kept.len()))
}

/// What was said in the conversations that began meanwhile, microseconds of Unix time.
pub(super) async fn said_within(it: &Shared, evse: u32, within: RangeInclusive<i64>) -> Vec<V2gMessage> {
    let kept = conversations(it, evse).await.unwrap_or_default();
    let mut said = Vec::new();
    for one in kept.into_iter().filter(|one| within.contains(&one.began)) {
        said.extend(read(it, evse, one.began).await.unwrap_or_default());
    }
    said
}

async fn read(it: &Shared, evse: u32, began: i64) -> Option<Vec<V2gMessage>> {
    let asked = async { log(it, evse).await.ok()?.read(began).await.ok() };
    timeout(ANSWER, asked).await.ok().flatten()
}

/// What was said at an EVSE, for Wireshark.
pub(super) async fn capture(who: LoggedIn, name: &str, evse: u32, said: &[V2gMessage]) -> Response {
    if said.is_empty() {
        return nothing(who).await;
    }
    let written = Capture::new(Vec::new()).and_then(|mut capture| {
        said.iter().try_for_each(|message| capture.add(evse, message))?;
        capture.finish()
    });
    match written {
        Ok(file) => attachment(name, "application/vnd.tcpdump.pcap", file),
        Err(error) => {
            warn!(%error, "a capture could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Oldest first; `None`: nobody keeps them, or does not answer.
async fn conversations(it: &Shared, evse: u32) -> Option<Vec<V2gConversation>> {
    let asked = async { log(it, evse).await.ok()?.conversations().await.ok() };
    timeout(ANSWER, asked).await.ok().flatten()
}

async fn log(it: &Shared, evse: u32) -> zbus::Result<V2gLog1Proxy<'static>> {
    let link = it.links.get(&evse).ok_or(zbus::Error::InterfaceNotFound)?;
    V2gLog1Proxy::builder(&it.connection)
        .destination(link.name.clone())
        .path(link.path.clone())
        .cache_properties(CacheProperties::No)
        .build()
        .await
}

fn all(answers: &[(u32, Option<Vec<V2gConversation>>)]) -> Markup {
    let kept = || answers.iter().flat_map(|(evse, kept)| kept.iter().flatten().map(move |one| (*evse, one)));
    html! {
        h1 { "What vehicles and station said" }
        @for (evse, _) in answers.iter().filter(|(_, kept)| kept.is_none()) {
            p.banner role="status" { "Whoever speaks with the vehicles of EVSE " (evse) " does not answer." }
        }
        @if kept().next().is_none() { p { "Nothing is kept." } } @else { (table(kept())) }
    }
}

/// A row for each.
pub(super) fn table<'a>(kept: impl Iterator<Item = (u32, &'a V2gConversation)>) -> Markup {
    html! {
        table {
            tr { @for name in ["Began", "EVSE", "Protocol", "How it ended"] { th scope="col" { (name) } } }
            @for (evse, one) in kept {
                tr {
                    td { a href=(format!("/v2g/{evse}/{}", one.began)) { (time(one.began)) } } td { (evse) }
                    td { @if one.protocol.is_empty() { "none agreed" } @else { (one.protocol) } }
                    td { @if one.ended.is_empty() { "goes on" } @else { (one.ended) } }
                }
            }
        }
    }
}

fn one(evse: u32, about: &V2gConversation, messages: &[V2gMessage]) -> Markup {
    let newest = messages.len().saturating_sub(NEWEST).max(FIRST.min(messages.len()));
    let first = &messages[..newest.min(FIRST)];
    let left_out = (newest - first.len()) as u64 + about.left_out;
    html! {
        h1 { "EVSE " (evse) ", " (time(about.began)) }
        p { @if about.protocol.is_empty() { "No protocol was agreed." } @else { (about.protocol) } }
        @if !about.ended.is_empty() { p.why { (about.ended) } }
        table {
            tr { @for name in ["Time", "Who", "Message", "Content"] { th scope="col" { (name) } } }
            @for message in first { (said(message)) }
            @if left_out > 0 { tr { td colspan="4" { (left_out) " messages are not shown" } } }
            @for message in &messages[newest..] { (said(message)) }
        }
        p { "All that is kept of it, for Wireshark: " a href=(format!("/v2g/{evse}/{}/pcap", about.began)) download { "capture" } }
    }
}

fn said(message: &V2gMessage) -> Markup {
    let mut text: String = message.text.chars().take(TEXT_MAX).collect();
    if text.len() < message.text.len() {
        text.push('…');
    }
    html! {
        tr {
            td { (page::clock_time(message.time)) }
            td { @if message.by_vehicle { "vehicle" } @else { "station" } }
            td { @if message.name.is_empty() { "not understood" } @else { (message.name) } }
            td { (text) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(count: usize) -> Vec<V2gMessage> {
        (0..count)
            .map(|number| V2gMessage {
                time: 1,
                by_vehicle: true,
                name: format!("Message{number}."),
                text: "<b>".repeat(1_000),
                payload_type: 0x8001,
                payload: Vec::new(),
            })
            .collect()
    }

    #[test]
    fn of_a_long_conversation_the_first_and_the_newest_messages_are_shown_and_the_rest_counted() {
        let about = V2gConversation { began: 1, protocol: String::new(), ended: String::new(), left_out: 7 };
        for (count, left_out) in [(0, 7), (1, 7), (FIRST, 7), (FIRST + NEWEST, 7), (FIRST + NEWEST + 1, 8)] {
            let shown = one(1, &about, &messages(count)).into_string();
            assert_eq!(shown.matches("Message").count(), 1 + count.min(FIRST + NEWEST), "{count}");
            assert!(shown.contains(&format!(">{left_out} messages are not shown")), "{count}");
            assert!(count == 0 || shown.contains(&format!("Message{}.", count - 1)), "the newest of {count}");
            assert!(!shown.contains("<b>"));
        }
    }
}
