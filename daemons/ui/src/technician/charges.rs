//! What was charged: sessions with search, and one of them with why it ended.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use tokio::time::timeout;
use voltry_bus::{BookEvent, Transaction, V2gConversation};
use voltry_service::fault_guide::FaultGuide;

use super::accounts::Role;
use super::page::{number, row, time};
use super::routes::{ANSWER, LoggedIn, Shared, nothing, silent};
use super::{conversations, timeline};
use crate::bus;

/// Transactions that are listed, and searched.
const LISTED: u32 = 100;
const SEARCHED: u32 = 1000;

#[derive(Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    search: String,
}

pub(super) async fn list(
    who: LoggedIn,
    State(it): State<Shared>,
    Query(Search { search }): Query<Search>,
) -> Response {
    let wanted = search.trim().to_lowercase();
    let count = if wanted.is_empty() { LISTED } else { SEARCHED };
    let asked = async { bus::station(&it.connection).await?.transactions(count).await };
    let Ok(Ok(mut found)) = timeout(ANSWER, asked).await else {
        return silent(&who, "/sessions", "voltry-station");
    };
    found.retain(|one| {
        let why = why(one, &it.guide);
        let text =
            format!("{} evse {} {} {why} {}", one.id, one.evse, one.end_reason, one.identity).to_lowercase();
        wanted.is_empty() || text.contains(&wanted)
    });
    found.truncate(LISTED as usize);
    who.page("/sessions", "Sessions", &all(&found, &search, &it.guide), false)
}

pub(super) async fn show(who: LoggedIn, State(it): State<Shared>, Path(id): Path<u64>) -> Response {
    let asked = async { bus::station(&it.connection).await?.transaction(id).await };
    match timeout(ANSWER, asked).await {
        Ok(Ok((transaction, events))) => {
            let said = if who.session.role >= Role::Operate {
                conversations::of(&it, &transaction).await
            } else {
                Vec::new()
            };
            let record = timeline::of_transaction(&it, id).await;
            let page = one(&transaction, &events, &said, record, &it.guide);
            who.page("/sessions", "Session", &page, false)
        }
        Ok(Err(_)) => nothing(who).await,
        Err(_) => silent(&who, "/sessions", "voltry-station"),
    }
}

/// One sentence: the book's own; where it is older than that, what the fault guide knows of the reason.
fn why(it: &Transaction, guide: &FaultGuide) -> String {
    if !it.why.is_empty() {
        return it.why.clone();
    }
    match guide.find(&it.end_reason) {
        Some((_, entry)) => entry.means.clone(),
        None if it.state == "open" => "It goes on.".to_owned(),
        None => it.end_reason.clone(),
    }
}

fn all(transactions: &[Transaction], search: &str, guide: &FaultGuide) -> Markup {
    html! {
        h1 { "Sessions" }
        form.search method="get" action="/sessions" role="search" {
            label { "Search" input name="search" value=(search) maxlength="64"; }
            button type="submit" { "Search" }
        }
        table {
            tr { @for name in ["No.", "EVSE", "From", "To", "kWh", "Why it ended", "Who"] { th scope="col" { (name) } } }
            @for it in transactions {
                tr {
                    td { a href=(format!("/sessions/{}", it.id)) { (it.id) } } td { (it.evse) }
                    td { (time(it.started)) } td { (time(it.ended)) } td { (number(it.energy / 1000.0, 3)) }
                    td { (why(it, guide)) } td { (it.identity) }
                }
            }
        }
        @if transactions.is_empty() { p { "None." } }
    }
}

fn one(
    it: &Transaction,
    events: &[BookEvent],
    said: &[V2gConversation],
    record: Option<u64>,
    guide: &FaultGuide,
) -> Markup {
    html! {
        h1 { "Session " (it.id) }
        p.why { (why(it, guide)) }
        @if let Some((code, entry)) = guide.find(&it.end_reason) {
            details.fault {
                summary { strong { (code) } }
                h2 { "Likely causes" } ol { @for cause in &entry.causes { li { (cause) } } }
                h2 { "What to look at" } ol { @for look in &entry.measure { li { (look) } } }
            }
        }
        table {
            (row("EVSE", &it.evse.to_string(), "")) (row("From", &time(it.started), "")) (row("To", &time(it.ended), ""))
            (row("Energy", &number(it.energy / 1000.0, 3), "kWh"))
            (row("Register", &format!("{} to {}", number(it.register_start / 1000.0, 3), number(it.register_end / 1000.0, 3)), "kWh"))
            (row("Why it ended", &it.end_reason, "")) (row("Who", &it.identity, "")) (row("Note", &it.note, ""))
        }
        @if let Some(record) = record { p { a href=(format!("/timeline/{record}")) { "All of it on one time line" } } }
        @if !said.is_empty() {
            h2 { "What vehicle and station said" }
            (conversations::table(said.iter().map(|one| (it.evse, one))))
        }
        h2 { "What happened" }
        table {
            tr { @for name in ["Time", "Event", "kWh", "Detail"] { th scope="col" { (name) } } }
            @for event in events {
                tr { td { (time(event.time)) } td { (event.kind) } td { (number(event.register / 1000.0, 3)) } td { (event.detail) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(reason: &str) -> Transaction {
        Transaction {
            id: 1,
            evse: 1,
            identity: String::new(),
            state: if reason.is_empty() { "open" } else { "closed" }.to_owned(),
            started: 1,
            ended: 2,
            register_start: 0.0,
            register_end: 0.0,
            energy: 0.0,
            end_reason: reason.to_owned(),
            note: String::new(),
            why: String::new(),
        }
    }

    #[test]
    fn a_session_says_in_a_sentence_why_it_ended() {
        let guide = FaultGuide::of(&[], |_| {});
        let sentence = why(&ended("VoltageMonitorMissing"), &guide);
        assert!(sentence.contains(' ') && !sentence.contains("VoltageMonitorMissing"), "{sentence}");
        assert_eq!(why(&ended("stopped by the operator"), &guide), "stopped by the operator");
        assert_eq!(why(&ended(""), &guide), "It goes on.");
        let told = Transaction { why: "The station ended it".to_owned(), ..ended("MeterStuck") };
        assert_eq!(why(&told, &guide), "The station ended it");
    }
}
