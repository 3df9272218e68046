//! `voltryctl sessions`.

use std::path::Path;

use voltry_bus::Transaction;
use zbus::Connection;

use crate::cli::Sessions;
use crate::outcome::{Failure, Outcome};
use crate::output::{json as print_json, kilowatt_hours, table, time};
use crate::{station, timeline, v2g};

pub(crate) async fn run(connection: &Connection, command: Sessions, json: bool) -> Result<Outcome, Failure> {
    let station = station::proxy(connection).await?;
    match command {
        Sessions::List { limit } => {
            let transactions = station.transactions(limit).await?;
            if json {
                print_json(&transactions)?;
            } else {
                list(&transactions);
            }
        }
        Sessions::Recorded { limit } => return timeline::list(connection, limit, json).await,
        Sessions::Record { number, csv } => {
            return timeline::show(connection, number, form(csv.as_deref(), json)).await;
        }
        Sessions::Show { id, csv, timeline: true, .. } | Sessions::Show { id, csv: csv @ Some(_), .. } => {
            let record = timeline::of_transaction(connection, id).await?;
            return timeline::show(connection, record, form(csv.as_deref(), json)).await;
        }
        Sessions::Show { id, v2g, pcap, .. } => {
            let (transaction, events) = station.transaction(id).await?;
            if v2g || pcap.is_some() {
                v2g::of_transaction(connection, &transaction, pcap.as_deref(), json).await?;
            } else if json {
                print_json(&serde_json::json!({ "transaction": transaction, "events": events }))?;
            } else {
                show(&transaction);
                let mut rows = table(["EVENT", "TIME", "WHAT", "REGISTER", ""]);
                for event in events {
                    rows.add_row([
                        event.number.to_string(),
                        time(event.time),
                        event.kind,
                        kilowatt_hours(event.register),
                        event.detail,
                    ]);
                }
                println!("\n{rows}");
            }
        }
    }
    Ok(Outcome::Done)
}

fn form(csv: Option<&Path>, json: bool) -> timeline::Form<'_> {
    match csv {
        Some(path) => timeline::Form::Csv(path),
        None if json => timeline::Form::Json,
        None => timeline::Form::Text,
    }
}

fn list(transactions: &[Transaction]) {
    let mut rows = table(["NUMBER", "EVSE", "TOKEN", "BEGAN", "ENDED", "ENERGY", "WHY IT ENDED"]);
    for transaction in transactions {
        rows.add_row([
            transaction.id.to_string(),
            transaction.evse.to_string(),
            token(transaction),
            time(transaction.started),
            if transaction.state == "open" { "goes on".to_owned() } else { time(transaction.ended) },
            kilowatt_hours(transaction.energy),
            [who_and_why(transaction), transaction.note.as_str()]
                .iter()
                .filter(|text| !text.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join("; "),
        ]);
    }
    println!("{rows}");
}

/// The beginning of the sentence: `show` has it whole.
fn who_and_why(transaction: &Transaction) -> &str {
    let sentence = transaction.why.split(';').next().unwrap_or_default();
    if sentence.is_empty() { &transaction.end_reason } else { sentence }
}

fn show(transaction: &Transaction) {
    println!("transaction   {} on EVSE {}, {}", transaction.id, transaction.evse, transaction.state);
    println!("token         {}", token(transaction));
    println!(
        "began         {}  register {}",
        time(transaction.started),
        kilowatt_hours(transaction.register_start)
    );
    println!(
        "ended         {}  register {}",
        time(transaction.ended),
        kilowatt_hours(transaction.register_end)
    );
    println!("energy        {}", kilowatt_hours(transaction.energy));
    // A book of before the sentence was written has the reason alone.
    let why = if transaction.why.is_empty() { &transaction.end_reason } else { &transaction.why };
    println!("why it ended  {why}");
    if !transaction.note.is_empty() {
        println!("note          {}", transaction.note);
    }
}

fn token(transaction: &Transaction) -> String {
    if transaction.identity.is_empty() { "none (free)".to_owned() } else { transaction.identity.clone() }
}
