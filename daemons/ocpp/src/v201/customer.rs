//! What this station knows of a customer, told and forgotten (N09, N10).

use super::certificates::hash;
use super::requests::rejected;
use super::*;
use crate::dialect::{Handled, Then};
use crate::uplink::{Charged, INQUIRIES_MAX, Inquiry, NAMED_MAX, Outcome, Record};

/// Characters of a part of a report.
const PART: usize = 512;
/// Parts at the most; what is named of one customer has no more.
const PARTS_MAX: usize = 16;
/// What nothing else is said of.
const NOTHING: &str = "Nothing is known.";

pub(super) fn information(core: &mut Core, now: Now, asked: &CustomerInformationRequest) -> Handled {
    let named =
        [asked.id_token.is_some(), asked.customer_identifier.is_some(), asked.customer_certificate.is_some()];
    if named.iter().filter(|named| **named).count() != 1 {
        return Handled::status("Invalid");
    }
    if !asked.report && !asked.clear {
        return rejected("InvalidValue", "neither a report nor a clearing is asked for");
    }
    if core.inquiries.len() >= INQUIRIES_MAX {
        return rejected("TooManyElements", "other customers are being looked for");
    }
    let (request, report, clear) = (asked.request_id, asked.report, asked.clear);
    let Some(token) = customer(core, asked) else {
        let then = parts(core, now, request, NOTHING).into_iter().map(Then::Tell).collect();
        return Handled { then, ..Handled::status("Accepted") };
    };
    let mut lines = if report { known(core, now, &token) } else { Vec::new() };
    let store = if clear { forget(core, &token, &mut lines) } else { Vec::new() };
    let then = vec![Then::Inquire(Inquiry { request, token, report, clear, lines })];
    Handled { store, then, ..Handled::status("Accepted") }
}

/// The token of whom the CSMS means. A certificate is known of a contract that a vehicle has shown; an
/// identifier of the operator's own is looked for among the tokens.
fn customer(core: &Core, asked: &CustomerInformationRequest) -> Option<Token> {
    if let Some(certificate) = &asked.customer_certificate {
        let emaid = core.contracts.owner(&hash(certificate))?;
        return Some(Token { id: emaid.to_owned(), kind: "eMAID".to_owned() });
    }
    let identifier = asked.customer_identifier.as_ref();
    let identifier = identifier.map(|id| Token { id: id.to_string(), kind: "Central".to_owned() });
    asked.id_token.as_ref().map(requests::token).or(identifier)
}

/// What is known of a token, but for the book.
fn known(core: &Core, now: Now, token: &Token) -> Vec<String> {
    let mut lines = Vec::new();
    let time = core.clock.now(now);
    if let Some(info) = core.tokens.in_list(token, time) {
        lines.push(format!("Local list: {}{}.", info.status, group(&info)));
    }
    if let Some(cached) = core.tokens.cached(token) {
        let (info, heard) = (&cached.info, rfc3339(cached.heard));
        lines.push(format!("Cache: {}{}, as the CSMS said at {heard}.", info.status, group(info)));
    }
    if core.contracts.knows(&token.id) {
        lines.push("Contract: a vehicle has shown its certificates.".to_owned());
    }
    lines.extend(core.held_for(token).map(|id| format!("Reservation: {id}.")));
    for (evse, plug) in &core.delivery.known().plugged {
        if plug.is_of(token) {
            lines.push(format!("Session: at EVSE {evse} now."));
        }
    }
    lines
}

/// Forgets what nobody needs; the local list is the CSMS's own (N10.FR.03), and a reservation, too.
fn forget(core: &mut Core, token: &Token, lines: &mut Vec<String>) -> Vec<Record> {
    let mut store = Vec::new();
    if let Some(gone) = core.tokens.forget(token) {
        store.push(Record::Uncached(gone));
        lines.push("The cache has forgotten it.".to_owned());
    }
    if core.contracts.knows(&token.id) {
        core.contracts.forget(&token.id);
        lines.push("The contract's certificates are forgotten.".to_owned());
    }
    if core.tokens.in_list(token, 0).is_some() {
        lines.push("The local list has it until the CSMS sends one without it.".to_owned());
    }
    store
}

fn group(info: &TokenInfo) -> String {
    if info.group.is_empty() { String::new() } else { format!(", of the group {}", info.group) }
}

/// The report, once the station has looked into its book.
pub(crate) fn report(core: &Core, now: Now, inquiry: Inquiry, outcome: &Outcome) -> Vec<Notice> {
    let Inquiry { request, report, clear, mut lines, .. } = inquiry;
    match outcome {
        Outcome::Charged(charged) => {
            if report {
                lines.extend(charged.iter().take(NAMED_MAX).map(line));
                if charged.len() > NAMED_MAX {
                    lines.push("Transactions: older ones too.".to_owned());
                }
            }
            if clear && !charged.is_empty() {
                lines.push(
                    "The transactions stay: they are the record of what was billed, which has to be kept. The \
                     book drops them when their time (keep_months) is over."
                        .to_owned(),
                );
            }
        }
        Outcome::Silent => lines.push("Transactions: the station's book does not answer.".to_owned()),
        // A text that is no token's was charged nothing.
        Outcome::Refused(_)
        | Outcome::Done
        | Outcome::Scheduled
        | Outcome::Wrote(_)
        | Outcome::Metered(_)
        | Outcome::Occupied
        | Outcome::Faulted
        | Outcome::Unavailable
        | Outcome::Unknown
        | Outcome::NotSupported
        | Outcome::Transferred(..) => {}
    }
    if lines.is_empty() {
        lines.push(NOTHING.to_owned());
    }
    parts(core, now, request, &lines.join("\n"))
}

/// A transaction in a line.
fn line(charged: &Charged) -> String {
    let Charged { number, evse, started, ended, energy } = charged;
    let until = if *ended == 0 { "now".to_owned() } else { rfc3339(*ended) };
    let kwh = energy / 1000.0;
    format!("Transaction: {number} at EVSE {evse}, {} to {until}, {kwh:.3} kWh.", rfc3339(*started))
}

/// A report in parts.
fn parts(core: &Core, now: Now, request: i64, text: &str) -> Vec<Notice> {
    let letters: Vec<char> = text.chars().collect();
    let parts: Vec<String> = letters.chunks(PART).take(PARTS_MAX).map(|part| part.iter().collect()).collect();
    let at = rfc3339(core.clock.now(now));
    let part = |(number, data): (usize, &String)| {
        let payload = json!({
            "data": data,
            "seqNo": number,
            "generatedAt": at,
            "requestId": request,
            "tbc": number + 1 < parts.len(),
        });
        Notice::Ready("NotifyCustomerInformation", payload)
    };
    parts.iter().enumerate().map(part).collect()
}
