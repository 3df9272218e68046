//! `voltryctl sessions`.

use voltry_bus::Transaction;
use zbus::Connection;

use crate::cli::Sessions;
use crate::fault_guide::Guide;
use crate::outcome::{Failure, Outcome};
use crate::output::{json as print_json, kilowatt_hours, table, time};
use crate::{station, v2g};

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
        Sessions::Show { id, v2g, pcap } => {
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
            [transaction.end_reason.as_str(), transaction.note.as_str()]
                .iter()
                .filter(|text| !text.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join("; "),
        ]);
    }
    println!("{rows}");
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
    match Guide::of_machine().find(&transaction.end_reason) {
        Some((code, entry)) => {
            println!("why it ended  {code}: {}", entry.means);
            println!("what to check {}", entry.measure[0]);
        }
        None => println!("why it ended  {}", transaction.end_reason),
    }
    if !transaction.note.is_empty() {
        println!("note          {}", transaction.note);
    }
}

fn token(transaction: &Transaction) -> String {
    if transaction.identity.is_empty() { "none (free)".to_owned() } else { transaction.identity.clone() }
}
