//! What this station knows of a customer, told and forgotten (N09, N10).

use super::requests::rejected;
use super::*;
use crate::dialect::{Handled, Then};
use crate::uplink::Record;

/// Characters of a part of a report.
const PART: usize = 512;
/// Parts at the most; what is known of one customer has a few lines.
const PARTS_MAX: usize = 16;

pub(super) fn information(core: &mut Core, now: Now, asked: &CustomerInformationRequest) -> Handled {
    let named =
        [asked.id_token.is_some(), asked.customer_identifier.is_some(), asked.customer_certificate.is_some()];
    if named.iter().filter(|named| **named).count() != 1 {
        return Handled::status("Invalid");
    }
    if !asked.report && !asked.clear {
        return rejected("InvalidValue", "neither a report nor a clearing is asked for");
    }
    // Customers are known here by their tokens alone.
    let token = asked.id_token.as_ref().map(requests::token);
    let mut lines = Vec::new();
    if let Some(token) = token.as_ref().filter(|_| asked.report) {
        lines = known(core, now, token);
    }
    let mut store = Vec::new();
    if let Some(token) = token.as_ref().filter(|_| asked.clear) {
        if let Some(gone) = core.tokens.forget(token) {
            store.push(Record::Uncached(gone));
            lines.push("The cache has forgotten it.".to_owned());
        }
        if core.tokens.in_list(token, 0).is_some() {
            lines.push("The local list has it until the CSMS sends one without it.".to_owned());
        }
    }
    if lines.is_empty() {
        lines.push("Nothing is known.".to_owned());
    }
    let then = report(core, now, asked.request_id, &lines.join("\n"));
    Handled { store, then, ..Handled::status("Accepted") }
}

/// What is known of a token.
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
    for (evse, plug) in &core.delivery.known().plugged {
        if plug.is_of(token) {
            lines.push(format!("Session: at EVSE {evse} now."));
        }
    }
    lines
}

fn group(info: &TokenInfo) -> String {
    if info.group.is_empty() { String::new() } else { format!(", of the group {}", info.group) }
}

/// A report in parts.
fn report(core: &Core, now: Now, request: i64, text: &str) -> Vec<Then> {
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
        Then::Tell(Notice::Ready("NotifyCustomerInformation", payload))
    };
    parts.iter().enumerate().map(part).collect()
}
