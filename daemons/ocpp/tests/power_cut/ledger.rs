//! From the messages that a CSMS was told to the transactions that it would bill.

use serde_json::Value;

use crate::csms::{Ledger, Told};

/// A transaction as the CSMS bills it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Billed {
    name: String,
    /// The registers at its start and end, watt-hours; none where no power was let through.
    pub(crate) start: Option<f64>,
    pub(crate) stop: Option<f64>,
    over: bool,
    /// Of 2.0.1, the number that the next message must have.
    next: u64,
}

/// The transactions in the order of their starts, and what is wrong with the messages: nothing may be.
pub(crate) fn bills(ledger: &Ledger) -> (Vec<Billed>, Vec<String>) {
    let (mut bills, mut wrong) = (Vec::<Billed>::new(), ledger.complaints.clone());
    let mut latest = String::new();
    for told in &ledger.told {
        let time = told.payload["timestamp"].as_str().or(told.payload["meterValue"][0]["timestamp"].as_str());
        let time = time.unwrap().to_owned();
        // Both are UTC with as many digits.
        if time < latest {
            wrong.push(format!("told after something younger: {told:?}"));
        }
        latest = time;
        let name = name_of(told, ledger);
        if starts(told) {
            if bills.iter().any(|bill| !bill.over) {
                wrong.push(format!("started while another runs: {told:?}"));
            }
            let start = told.payload["meterStart"].as_f64();
            bills.push(Billed { name: name.clone(), start, stop: None, over: false, next: 0 });
        }
        let Some(bill) = bills.last_mut().filter(|bill| bill.name == name && !bill.over) else {
            wrong.push(format!("of a transaction that does not run: {told:?}"));
            continue;
        };
        follow(bill, told, &mut wrong);
    }
    if bills.iter().any(|bill| !bill.over) {
        wrong.push("a transaction never ended".to_owned());
    }
    (bills, wrong)
}

fn name_of(told: &Told, ledger: &Ledger) -> String {
    match (told.action.as_str(), &told.payload) {
        ("TransactionEvent", payload) => {
            payload["transactionInfo"]["transactionId"].as_str().unwrap().to_owned()
        }
        ("StartTransaction", _) => ledger.number(&told.id).to_string(),
        (_, payload) => payload["transactionId"].to_string(),
    }
}

fn starts(told: &Told) -> bool {
    told.action == "StartTransaction" || told.payload["eventType"] == "Started"
}

fn follow(bill: &mut Billed, told: &Told, wrong: &mut Vec<String>) {
    if told.action == "StopTransaction" {
        (bill.stop, bill.over) = (told.payload["meterStop"].as_f64(), true);
    }
    if told.action != "TransactionEvent" {
        return;
    }
    if told.payload["seqNo"].as_u64() != Some(bill.next) {
        wrong.push(format!("not number {}: {told:?}", bill.next));
    }
    bill.next += 1;
    bill.over = told.payload["eventType"] == "Ended";
    bill.start = bill.start.or_else(|| register(told, "Transaction.Begin"));
    bill.stop = register(told, "Transaction.End").or(bill.stop);
}

fn register(told: &Told, context: &str) -> Option<f64> {
    let values = told.payload["meterValue"].as_array()?;
    let sampled = values.iter().filter_map(|value| value["sampledValue"].as_array()).flatten();
    let of =
        |value: &&Value| value["context"] == context && value["measurand"] == "Energy.Active.Import.Register";
    sampled.clone().find(of).and_then(|value| value["value"].as_f64())
}
