//! What concerns people: what is known of them, what they are to read; and makers' own messages.

use serde_json::{Value, json};
use voltry_bus::TransferStatus;
use voltry_ocpp::Version;
use voltry_ocpp::transactions::Kind;
use voltry_ocpp::uplink::{Charged, Command, Input, Outcome};

use crate::desk::{Desk, START, card, evse, lost};

const BOTH: [Version; 2] = [Version::V16, Version::V201];

fn customer(desk: &mut Desk, report: bool, clear: bool) -> (Value, String) {
    let token = json!({ "idToken": "04a1b2c3", "type": "ISO14443" });
    customer_by(desk, ("idToken", &token), (report, clear), Some(Outcome::Charged(Vec::new())))
}

/// `found`: what the book has; `None`: it is not looked into.
pub(crate) fn customer_by(
    desk: &mut Desk,
    (field, value): (&str, &Value),
    (report, clear): (bool, bool),
    found: Option<Outcome>,
) -> (Value, String) {
    let (before, commands) = (desk.calls.len(), desk.commands.len());
    let asked = json!({ "requestId": 4, "report": report, "clear": clear, field: value });
    let answer = desk.ask("CustomerInformation", &asked).unwrap();
    desk.answer_all();
    assert_eq!(desk.commands.len() - commands, usize::from(found.is_some()));
    if let Some(found) = found {
        assert!(matches!(&desk.commands.last().unwrap().1, Command::TransactionsOf { .. }));
        assert_eq!(desk.calls.len(), before, "the book is looked into first");
        desk.done(found);
        desk.answer_all();
    }
    let told: Vec<_> = desk.calls[before..].iter().map(|call| call.payload.clone()).collect();
    for (number, part) in told.iter().enumerate() {
        assert_eq!((&part["seqNo"], &part["requestId"]), (&json!(number), &json!(4)));
        assert_eq!(part["tbc"], json!(number + 1 < told.len()));
    }
    let text = told.iter().map(|part| part["data"].as_str().unwrap()).collect();
    (answer["status"].clone(), text)
}

#[test]
fn what_is_known_of_a_customer_is_told_and_forgotten() {
    let mut desk = Desk::accepted(Version::V201);
    assert_eq!(customer(&mut desk, true, false), (json!("Accepted"), "Nothing is known.".to_owned()));
    desk.input(Input::Authorize { ticket: 1, evse: 0, token: card() });
    desk.answer_all();
    let entry = json!({ "idToken": { "idToken": "04A1B2C3", "type": "ISO14443" },
                        "idTokenInfo": { "status": "Accepted" } });
    let list = json!({ "versionNumber": 1, "updateType": "Full", "localAuthorizationList": [entry] });
    desk.ask("SendLocalList", &list).unwrap();
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 0);
    }
    desk.answer_all();
    let (_, text) = customer(&mut desk, true, false);
    for part in ["Local list: accepted", "Cache: accepted, as the CSMS said at 2026", "at EVSE 1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (status, text) = customer(&mut desk, false, true);
    assert_eq!(status, "Accepted");
    assert!(text.contains("forgotten") && text.contains("local list has it"), "{text}");
    desk.restart();
    assert!(desk.store.tokens().unwrap().cached(&card()).is_none(), "it stays forgotten");
}

#[test]
fn a_customer_must_be_named_in_one_way_and_for_something() {
    let mut desk = Desk::accepted(Version::V201);
    let nobody = json!({ "requestId": 4, "report": true, "clear": false });
    assert_eq!(desk.ask("CustomerInformation", &nobody).unwrap()["status"], "Invalid");
    let by_name = json!({ "requestId": 4, "report": false, "clear": false, "customerIdentifier": "x" });
    assert_eq!(desk.ask("CustomerInformation", &by_name).unwrap()["status"], "Rejected");
    // An operator's own identifier is no token's, and of one that is no token the book has nothing.
    let nothing = (json!("Accepted"), "Nothing is known.".to_owned());
    let refused = Outcome::Refused("no id token".to_owned());
    assert_eq!(
        customer_by(&mut desk, ("customerIdentifier", &json!("x y")), (true, true), Some(refused)),
        nothing
    );
    for _ in 0..4 {
        let asked = json!({ "requestId": 4, "report": true, "clear": false, "customerIdentifier": "x" });
        assert_eq!(desk.ask("CustomerInformation", &asked).unwrap()["status"], "Accepted");
    }
    let (status, _) = customer_by(&mut desk, ("customerIdentifier", &json!("x")), (true, false), None);
    assert_eq!(status, "Rejected", "the station has not answered the four before");
}

#[test]
fn of_what_was_billed_to_a_customer_is_told_and_kept() {
    let mut desk = Desk::accepted(Version::V201);
    let by = json!("04a1b2c3");
    let by = ("customerIdentifier", &by);
    let charged = |number| Charged { number, evse: 2, started: START, ended: 0, energy: 12_345.6 };
    let (_, text) = customer_by(&mut desk, by, (true, false), Some(Outcome::Charged(vec![charged(7)])));
    assert_eq!(text, "Transaction: 7 at EVSE 2, 2026-05-28T20:26:40.000Z to now, 12.346 kWh.");
    let many = (0..51).map(charged).collect();
    let (_, text) = customer_by(&mut desk, by, (true, true), Some(Outcome::Charged(many)));
    assert!(text.contains("Transaction: 49 ") && !text.contains("Transaction: 50 "), "{text}");
    assert!(text.contains("older ones too") && text.contains("The transactions stay"), "{text}");
    let (_, text) = customer_by(&mut desk, by, (false, true), Some(Outcome::Charged(vec![charged(7)])));
    assert!(text.starts_with("The transactions stay"), "{text}");
    let (_, text) = customer_by(&mut desk, by, (true, false), Some(Outcome::Silent));
    assert_eq!(text, "Transactions: the station's book does not answer.");
    desk.ask(
        "ReserveNow",
        &json!({ "id": 17, "expiryDateTime": "2026-05-28T21:26:40Z",
        "idToken": { "idToken": "04A1B2C3", "type": "ISO14443" } }),
    )
    .unwrap_err();
    let (_, text) = customer_by(&mut desk, by, (true, false), Some(Outcome::Charged(Vec::new())));
    assert_eq!(text, "Reservation: 17.");
}

fn message(id: i64, priority: &str, more: &Value) -> Value {
    let content = json!({ "format": "UTF8", "language": "de", "content": format!("Text {id}") });
    let mut message = json!({ "id": id, "priority": priority, "message": content });
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "message": message })
}

fn set(desk: &mut Desk, id: i64, priority: &str, more: &Value) -> String {
    let answer = desk.ask("SetDisplayMessage", &message(id, priority, more)).unwrap();
    answer["status"].as_str().unwrap().to_owned()
}

fn shown(desk: &Desk) -> Vec<(i64, &str)> {
    desk.shown.messages.iter().map(|message| (message.id, message.priority.as_str())).collect()
}

#[test]
fn messages_are_shown_by_priority_in_their_time_and_outlive_a_restart() {
    let mut desk = Desk::accepted(Version::V201);
    assert_eq!(set(&mut desk, 1, "NormalCycle", &json!({ "state": "Idle" })), "Accepted");
    assert_eq!(set(&mut desk, 2, "InFront", &json!({ "endDateTime": "2026-05-28T20:27:40Z" })), "Accepted");
    assert_eq!(set(&mut desk, 3, "AlwaysFront", &json!({})), "Accepted");
    assert_eq!(
        set(&mut desk, 4, "AlwaysFront", &json!({ "startDateTime": "2026-05-28T20:27:10Z" })),
        "Accepted"
    );
    assert_eq!(
        shown(&desk),
        [(3, "always-front"), (2, "in-front"), (1, "normal-cycle")],
        "the newer of two in front is not yet due, and replaces nothing"
    );
    desk.pass(30);
    assert_eq!(shown(&desk), [(4, "always-front"), (2, "in-front"), (1, "normal-cycle")]);
    assert_eq!(
        (desk.shown.messages[2].state.as_str(), desk.shown.messages[2].language.as_str()),
        ("idle", "de")
    );
    desk.pass(30);
    assert_eq!(shown(&desk), [(4, "always-front"), (1, "normal-cycle")]);
    desk.restart();
    assert_eq!(shown(&desk), [(4, "always-front"), (1, "normal-cycle")]);
    desk.input(Input::Connected);
    desk.answer_boot("Accepted", 300);
    desk.answer_all();
    let past = json!({ "endDateTime": "2026-05-28T20:26:40Z" });
    assert_eq!(set(&mut desk, 9, "InFront", &past), "Rejected");
    // A message with a known id takes its place (O06).
    assert_eq!(set(&mut desk, 1, "InFront", &json!({})), "Accepted");
    assert_eq!(shown(&desk), [(4, "always-front"), (1, "in-front")]);
    assert_eq!(desk.ask("ClearDisplayMessage", &json!({ "id": 4 })).unwrap()["status"], "Accepted");
    assert_eq!(desk.ask("ClearDisplayMessage", &json!({ "id": 4 })).unwrap()["status"], "Unknown");
    assert_eq!(shown(&desk), [(1, "in-front")]);
}

#[test]
fn messages_are_reported_by_what_is_asked_for_in_parts() {
    let mut desk = Desk::accepted(Version::V201);
    for id in 1..=20 {
        let priority = if id == 1 { "InFront" } else { "NormalCycle" };
        assert_eq!(set(&mut desk, id, priority, &json!({})), "Accepted");
    }
    let mut get = |asked: Value| {
        let before = desk.calls.len();
        let answer = desk.ask("GetDisplayMessages", &asked).unwrap();
        desk.answer_all();
        let parts = desk.calls[before..].iter().map(|call| call.payload.clone()).collect::<Vec<_>>();
        (answer["status"].clone(), parts)
    };
    let (status, parts) = get(json!({ "requestId": 6 }));
    assert_eq!((status, parts.len()), (json!("Accepted"), 3));
    let told: Vec<i64> = parts
        .iter()
        .flat_map(|part| part["messageInfo"].as_array().unwrap())
        .map(|message| message["id"].as_i64().unwrap())
        .collect();
    assert_eq!(told, (1..=20).collect::<Vec<_>>());
    assert_eq!((&parts[1]["tbc"], &parts[2]["tbc"]), (&json!(true), &json!(false)));
    let (_, parts) = get(json!({ "requestId": 7, "priority": "InFront" }));
    assert_eq!(parts[0]["messageInfo"][0]["message"]["content"], "Text 1");
    let (_, parts) = get(json!({ "requestId": 8, "id": [3, 99] }));
    assert_eq!(parts[0]["messageInfo"].as_array().unwrap().len(), 1);
    let (status, parts) = get(json!({ "requestId": 9, "state": "Faulted" }));
    assert_eq!((status, parts.len()), (json!("Unknown"), 0));
}

#[test]
fn what_cannot_be_shown_is_refused_by_its_word() {
    let mut desk = Desk::accepted(Version::V201);
    let html = json!({ "message": { "format": "HTML", "content": "<b>" } });
    assert_eq!(set(&mut desk, 1, "InFront", &html), "NotSupportedMessageFormat");
    let transaction = json!({ "transactionId": "nothing" });
    assert_eq!(set(&mut desk, 1, "InFront", &transaction), "UnknownTransaction");
    for id in 0..32 {
        assert_eq!(set(&mut desk, id, "InFront", &json!({})), "Accepted");
    }
    assert_eq!(set(&mut desk, 32, "InFront", &json!({})), "Rejected");
    assert_eq!(set(&mut desk, 31, "InFront", &json!({})), "Accepted");
}

#[test]
fn a_transactions_message_and_cost_are_the_drivers() {
    let mut desk = Desk::accepted(Version::V201);
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 0);
    }
    let started = desk.open().unwrap().payload.clone();
    let id = started["transactionInfo"]["transactionId"].as_str().unwrap().to_owned();
    let text = json!({ "format": "UTF8", "content": "0,59 EUR/kWh" });
    desk.answer(json!({ "totalCost": 1.5, "updatedPersonalMessage": text }));
    desk.answer_all();
    let seen = |desk: &Desk| {
        desk.shown.drivers.iter().map(|it| (it.evse, it.cost, it.text.clone())).collect::<Vec<_>>()
    };
    assert_eq!(seen(&desk), [(1, 1.5, "0,59 EUR/kWh".to_owned())]);
    assert_eq!(set(&mut desk, 1, "InFront", &json!({ "transactionId": id })), "Accepted");
    assert_eq!(desk.shown.messages[0].evse, 1);
    assert_eq!(desk.ask("CostUpdated", &json!({ "totalCost": 2.25, "transactionId": id })), Ok(json!({})));
    assert_eq!(desk.ask("CostUpdated", &json!({ "totalCost": 99, "transactionId": "other" })), Ok(json!({})));
    assert_eq!(seen(&desk), [(1, 2.25, "0,59 EUR/kWh".to_owned())]);
    desk.happens(Kind::Ended, 1000);
    desk.answer(json!({ "totalCost": 3.0 }));
    desk.answer_all();
    assert_eq!(seen(&desk), [(1, 3.0, "0,59 EUR/kWh".to_owned())], "the final cost stays to be read");
    assert!(desk.shown.messages.is_empty(), "the message is over with its transaction");
    for state in ["charging", "available", "preparing"] {
        desk.seen(state);
    }
    assert!(desk.shown.drivers.is_empty(), "the next driver does not read it");
}

#[test]
fn what_the_csms_says_late_of_who_left_is_not_read_by_who_came() {
    let mut desk = Desk::accepted(Version::V201);
    desk.seen("preparing");
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 0);
    }
    desk.answer_all();
    lost(&mut desk);
    desk.happens(Kind::Ended, 1000);
    desk.pass(10);
    desk.seen("available");
    desk.pass(10);
    desk.seen("preparing");
    desk.input(Input::Connected);
    while desk.open().is_some_and(|call| call.payload["eventType"] != "Ended") {
        desk.answer(json!({}));
    }
    let text = json!({ "format": "UTF8", "content": "Thank you, Anna" });
    desk.answer(json!({ "totalCost": 37.2, "updatedPersonalMessage": text }));
    assert_eq!(texts(&desk), [] as [(u32, &str); 0]);
}

fn texts(desk: &Desk) -> Vec<(u32, &str)> {
    desk.shown.drivers.iter().map(|driver| (driver.evse, driver.text.as_str())).collect()
}

#[test]
fn what_the_csms_says_to_whom_it_lets_in_is_shown_where_he_charges() {
    for evse in [0, 1] {
        let mut desk = Desk::accepted(Version::V201);
        desk.input(Input::Authorize { ticket: 1, evse, token: card() });
        let text = json!({ "format": "UTF8", "content": "Hello" });
        desk.answer(json!({ "idTokenInfo": { "status": "Accepted", "personalMessage": text } }));
        assert_eq!(texts(&desk), [(evse, "Hello")]);
        desk.happens(Kind::Authorized, 0);
        assert_eq!(texts(&desk), [(1, "Hello")]);
        desk.seen("preparing");
        desk.seen("charging");
        assert_eq!(texts(&desk), [(1, "Hello")], "whoever comes is he");
        lost(&mut desk);
        desk.seen("available");
        assert_eq!(texts(&desk), [(1, "Hello")]);
        desk.seen("preparing");
        assert_eq!(texts(&desk), [], "the next driver does not read it, whatever the CSMS has heard");
    }
}

#[test]
fn where_nobody_says_a_tariff_or_a_cost_the_configured_texts_are_read() {
    let mut desk = Desk::accepted(Version::V201);
    let names = [("TariffFallbackMessage", "59 ct/kWh"), ("TotalCostFallbackMessage", "Your bill comes")];
    let data: Vec<_> = names
        .iter()
        .map(|(variable, value)| {
            json!({ "component": { "name": "TariffCostCtrlr" }, "variable": { "name": variable },
                    "attributeValue": value })
        })
        .collect();
    let written = desk.ask("SetVariables", &json!({ "setVariableData": data })).unwrap();
    assert_eq!(written["setVariableResult"][1]["attributeStatus"], "Accepted");
    // The CSMS is there, and says nothing of it (I04).
    desk.input(Input::Authorize { ticket: 1, evse: 1, token: card() });
    desk.answer_all();
    assert_eq!(texts(&desk), [(1, "59 ct/kWh")]);
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 0);
    }
    desk.answer_all();
    // It is away when the transaction ends (I05), and has not heard all of what was before.
    let mut running = evse(1, "charging");
    running.transaction = 1;
    desk.input(Input::Evses(vec![running]));
    desk.happens(Kind::Reading, 500);
    lost(&mut desk);
    desk.happens(Kind::Ended, 1000);
    desk.input(Input::Evses(vec![evse(1, "finished")]));
    assert_eq!(texts(&desk), [(1, "Your bill comes")]);
    // It is back, and knows the cost.
    desk.input(Input::Connected);
    while desk.open().is_some_and(|call| call.payload["eventType"] != "Ended") {
        desk.answer(json!({}));
    }
    desk.answer(json!({ "totalCost": 3.0 }));
    assert_eq!(desk.shown.drivers[0].cost, 3.0);
    // It is there when the next one ends, and says nothing.
    desk.answer_all();
    for state in ["charging", "available", "preparing"] {
        desk.seen(state);
    }
    for kind in [Kind::Unplugged, Kind::Plugged, Kind::Authorized, Kind::Started, Kind::Ended] {
        desk.happens(kind, 1000);
    }
    desk.answer_all();
    assert_eq!(texts(&desk), [(1, "Your bill comes")]);
}

#[test]
fn a_makers_message_of_the_csms_is_handed_on_and_answered() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let data = if version == Version::V16 { json!("{\"a\":1}") } else { json!({ "a": 1 }) };
        let asked = json!({ "vendorId": "com.example", "messageId": "Lamp", "data": data });
        for (status, word) in [
            (TransferStatus::Accepted, "Accepted"),
            (TransferStatus::Rejected, "Rejected"),
            (TransferStatus::UnknownMessage, "UnknownMessageId"),
            (TransferStatus::UnknownVendor, "UnknownVendorId"),
        ] {
            desk.ask("DataTransfer", &asked).unwrap_err();
            let Some((_, Command::HandOn { vendor, message, data })) = desk.commands.last() else { panic!() };
            assert_eq!((&**vendor, &**message, &**data), ("com.example", "Lamp", "{\"a\":1}"));
            let outcome = Outcome::Transferred(status, "[2]".to_owned());
            let answer = desk.done(outcome).unwrap().unwrap();
            let data = if version == Version::V16 { json!("[2]") } else { json!([2]) };
            assert_eq!(answer, json!({ "status": word, "data": data }));
        }
    }
}

#[test]
fn a_makers_message_reaches_the_csms_or_comes_back_at_once() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let letter = |ticket| Input::Letter {
            ticket,
            vendor: "com.example".to_owned(),
            message: String::new(),
            data: "plain".to_owned(),
        };
        desk.input(letter(1));
        let call = desk.open().unwrap();
        assert_eq!(call.action, "DataTransfer");
        assert_eq!(call.payload, json!({ "vendorId": "com.example", "data": "plain" }));
        desk.answer(json!({ "status": "Accepted", "data": "yes" }));
        desk.input(letter(2));
        desk.answer_error("NotImplemented");
        desk.input(letter(3));
        desk.input(letter(4));
        lost(&mut desk);
        desk.input(letter(5));
        let told: Vec<_> = desk.letters.iter().map(|(ticket, answer)| (*ticket, answer.as_deref())).collect();
        assert_eq!(told, [(1, Some("accepted yes")), (2, None), (3, None), (4, None), (5, None)]);
    }
}

#[test]
fn the_cache_is_cleared_and_stays_so() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.input(Input::Authorize { ticket: 1, evse: 0, token: card() });
        desk.answer_all();
        assert!(desk.store.tokens().unwrap().cached(&card()).is_some());
        assert_eq!(desk.ask("ClearCache", &json!({})), Ok(json!({ "status": "Accepted" })));
        assert!(desk.store.tokens().unwrap().cached(&card()).is_none());
        lost(&mut desk);
        desk.input(Input::Authorize { ticket: 2, evse: 0, token: card() });
        assert_eq!(desk.authorized.last().unwrap(), &(2, "unknown by offline".to_owned()));
    }
}

#[test]
fn the_status_of_a_transaction_is_told() {
    let mut desk = Desk::accepted(Version::V201);
    let status = |desk: &mut Desk, asked: Value| desk.ask("GetTransactionStatus", &asked).unwrap();
    assert_eq!(status(&mut desk, json!({})), json!({ "messagesInQueue": false }));
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 0);
    }
    let id = desk.open().unwrap().payload["transactionInfo"]["transactionId"].clone();
    let of = json!({ "transactionId": id });
    assert_eq!(status(&mut desk, json!({})), json!({ "messagesInQueue": true }));
    desk.answer_all();
    assert_eq!(status(&mut desk, of.clone()), json!({ "ongoingIndicator": true, "messagesInQueue": false }));
    desk.happens(Kind::Ended, 1000);
    desk.answer_all();
    assert_eq!(status(&mut desk, of), json!({ "ongoingIndicator": false, "messagesInQueue": false }));
}

/// What GetTransactionStatus says of a transaction: whether it goes on, and whether anything of it waits.
fn standing(desk: &mut Desk, id: &Value) -> (bool, bool) {
    let answer = desk.ask("GetTransactionStatus", &json!({ "transactionId": id })).unwrap();
    (answer["ongoingIndicator"].as_bool().unwrap(), answer["messagesInQueue"].as_bool().unwrap())
}

#[test]
fn a_transaction_that_ended_in_an_outage_is_over_and_waits_to_be_told() {
    let mut desk = Desk::accepted(Version::V201);
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 0);
    }
    let id = desk.open().unwrap().payload["transactionInfo"]["transactionId"].clone();
    desk.answer_all();
    lost(&mut desk);
    for kind in [Kind::Reading, Kind::Deauthorized, Kind::Ended] {
        desk.happens(kind, 1000);
    }
    desk.input(Input::Connected);
    while let Some(call) = desk.open().cloned() {
        assert_eq!(standing(&mut desk, &id), (false, true), "{} is on its way", call.payload["eventType"]);
        desk.answer(json!({}));
    }
    assert_eq!(standing(&mut desk, &id), (false, false));
    assert_eq!(desk.calls.last().unwrap().payload["eventType"], "Ended");
}

#[test]
fn what_waits_of_another_transaction_is_no_message_of_one_that_is_told() {
    let mut desk = Desk::accepted(Version::V201);
    desk.charge(0);
    let first = desk.open().unwrap().payload["transactionInfo"]["transactionId"].clone();
    desk.answer_all();
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started, Kind::Charging] {
        desk.happens(kind, 2000);
    }
    let second = desk.open().unwrap().payload["transactionInfo"]["transactionId"].clone();
    assert_ne!(first, second);
    assert_eq!(standing(&mut desk, &first), (false, false));
    assert_eq!(standing(&mut desk, &second), (true, true));
    assert_eq!(standing(&mut desk, &json!("nobody's")), (false, false));
}

#[test]
fn of_a_backlog_that_is_not_read_yet_the_station_says_whether_a_transaction_runs() {
    for running in [true, false] {
        let mut desk = Desk::accepted(Version::V201);
        for kind in [Kind::Plugged, Kind::Authorized, Kind::Started, Kind::Charging] {
            desk.happens(kind, 0);
        }
        let id = desk.open().unwrap().payload["transactionInfo"]["transactionId"].clone();
        desk.answer_all();
        lost(&mut desk);
        // More than is read at once.
        for number in 1..200 {
            desk.happens(Kind::Reading, number);
        }
        let mut heard = evse(1, if running { "charging" } else { "finished" });
        if running {
            heard.transaction = 1;
        } else {
            desk.happens(Kind::Ended, 200);
        }
        desk.input(Input::Evses(vec![heard]));
        desk.input(Input::Connected);
        assert_eq!(standing(&mut desk, &id), (running, true));
        desk.answer_all();
        assert_eq!(standing(&mut desk, &id), (running, false));
    }
}
