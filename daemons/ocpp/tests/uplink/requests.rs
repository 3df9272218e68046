//! What the CSMS asks, and what it hears.

use serde_json::json;
use voltry_ocpp::Version;
use voltry_ocpp::transactions::Kind;
use voltry_ocpp::uplink::{Command, Input, Outcome, StopReason};

use crate::desk::{Desk, card, lost};

const BOTH: [Version; 2] = [Version::V16, Version::V201];

#[test]
fn unknown_and_unsupported_requests_have_their_own_codes() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        assert_eq!(desk.ask("MakeCoffee", &json!({})), Err("NotImplemented".to_owned()));
    }
    let mut desk = Desk::accepted(Version::V201);
    assert_eq!(desk.ask("PublishFirmware", &json!({})), Err("NotSupported".to_owned()));
}

#[test]
fn broken_payloads_have_the_code_of_what_is_wrong() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let (availability, missing) = match version {
            Version::V16 => {
                (json!({ "connectorId": "one", "type": "Operative" }), json!({ "connectorId": 1 }))
            }
            Version::V201 => (json!({ "operationalStatus": 7 }), json!({})),
        };
        assert_eq!(desk.ask("ChangeAvailability", &missing), Err("OccurrenceConstraintViolation".to_owned()));
        assert_eq!(desk.ask("ChangeAvailability", &availability), Err("TypeConstraintViolation".to_owned()));
        let word = json!({ "connectorId": 1, "type": "Perhaps", "operationalStatus": "Perhaps" });
        assert_eq!(desk.ask("ChangeAvailability", &word), Err("PropertyConstraintViolation".to_owned()));
    }
}

#[test]
fn a_remote_start_and_stop_reach_the_station() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let (start, payload) = match version {
            Version::V16 => ("RemoteStartTransaction", json!({ "connectorId": 1, "idTag": "APP" })),
            Version::V201 => (
                "RequestStartTransaction",
                json!({ "remoteStartId": 9, "evseId": 1, "idToken": { "idToken": "APP", "type": "Central" } }),
            ),
        };
        assert_eq!(desk.ask(start, &payload), Err("nothing yet".to_owned()));
        let Some((_, Command::RemoteStart { evse: Some(1), token, id, .. })) = desk.commands.last() else {
            panic!()
        };
        assert_eq!((token.id.as_str(), *id), ("APP", (version == Version::V201).then_some(9)));
        assert_eq!(desk.done(Outcome::Done), Some(Ok(json!({ "status": "Accepted" }))));

        for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
            desk.happens(kind, 0);
        }
        desk.answer_all();
        let last = desk.calls.last().unwrap();
        let (stop, payload) = match version {
            Version::V16 => ("RemoteStopTransaction", json!({ "transactionId": desk.answered - 1 })),
            Version::V201 => (
                "RequestStopTransaction",
                json!({ "transactionId": last.payload["transactionInfo"]["transactionId"] }),
            ),
        };
        assert_eq!(desk.ask(stop, &payload), Err("nothing yet".to_owned()));
        let session = if version == Version::V201 { 1 } else { 0 };
        let wanted = Command::Stop { evse: 1, transaction: 1, session, why: StopReason::Remote };
        assert_eq!(desk.commands.last().map(|(_, command)| command), Some(&wanted));
        assert_eq!(desk.done(Outcome::Done), Some(Ok(json!({ "status": "Accepted" }))));
    }
}

#[test]
fn a_stop_of_a_transaction_that_does_not_run_is_rejected() {
    let mut desk = Desk::accepted(Version::V16);
    let answer = desk.ask("RemoteStopTransaction", &json!({ "transactionId": -1 }));
    assert_eq!(answer, Ok(json!({ "status": "Rejected" })));
    let mut desk = Desk::accepted(Version::V201);
    let answer = desk.ask("RequestStopTransaction", &json!({ "transactionId": "none" })).unwrap();
    assert_eq!(answer["status"], "Rejected");
}

#[test]
fn a_card_is_judged_by_the_csms_and_by_the_cache_when_it_is_away() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.input(Input::Authorize { ticket: 1, evse: 0, token: card() });
        assert_eq!(desk.open().unwrap().action, "Authorize");
        desk.answer_all();
        lost(&mut desk);
        desk.input(Input::Authorize { ticket: 2, evse: 0, token: card() });
        let mut other = card();
        other.id = "OTHER".to_owned();
        desk.input(Input::Authorize { ticket: 3, evse: 0, token: other });
        let said: Vec<(u64, &str)> =
            desk.authorized.iter().map(|(ticket, said)| (*ticket, said.as_str())).collect();
        assert_eq!(said, [(1, "accepted by csms"), (2, "accepted by cache"), (3, "unknown by offline")]);
    }
}

#[test]
fn a_card_that_waits_when_the_connection_is_lost_is_judged_at_once() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.input(Input::Authorize { ticket: 1, evse: 0, token: card() });
        lost(&mut desk);
        assert_eq!(desk.authorized, [(1, "unknown by offline".to_owned())]);
    }
}

#[test]
fn the_local_list_outlives_a_restart_and_rules_offline() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let list = match version {
            Version::V16 => json!({ "listVersion": 4, "updateType": "Full", "localAuthorizationList":
                [{ "idTag": "04A1B2C3", "idTagInfo": { "status": "Accepted" } }] }),
            Version::V201 => json!({ "versionNumber": 4, "updateType": "Full", "localAuthorizationList":
                [{ "idToken": { "idToken": "04A1B2C3", "type": "ISO14443" }, "idTokenInfo": { "status": "Accepted" } }] }),
        };
        assert_eq!(desk.ask("SendLocalList", &list), Ok(json!({ "status": "Accepted" })));
        desk.restart();
        desk.input(Input::Unreachable);
        desk.input(Input::Authorize { ticket: 1, evse: 0, token: card() });
        assert_eq!(desk.authorized, [(1, "accepted by local-list".to_owned())]);
        desk.answered = desk.calls.len();
        desk.input(Input::Connected);
        desk.answer_boot("Accepted", 300);
        desk.answer_all();
        let old = match version {
            Version::V16 => json!({ "listVersion": 4, "updateType": "Differential" }),
            Version::V201 => json!({ "versionNumber": 4, "updateType": "Differential" }),
        };
        assert_eq!(desk.ask("SendLocalList", &old), Ok(json!({ "status": "VersionMismatch" })));
        let number = desk.ask("GetLocalListVersion", &json!({})).unwrap();
        assert!(number["listVersion"] == 4 || number["versionNumber"] == 4, "{number}");
    }
}

#[test]
fn configuration_is_read_written_and_lasts() {
    let mut desk = Desk::accepted(Version::V16);
    let all = desk.ask("GetConfiguration", &json!({})).unwrap();
    assert!(all["configurationKey"].as_array().unwrap().len() > 20);
    let write = |desk: &mut Desk, key: &str, value: &str| {
        desk.ask("ChangeConfiguration", &json!({ "key": key, "value": value })).unwrap()["status"].clone()
    };
    assert_eq!(write(&mut desk, "TransactionMessageAttempts", "15"), "Accepted");
    assert_eq!(write(&mut desk, "TransactionMessageAttempts", "soon"), "Rejected");
    assert_eq!(write(&mut desk, "NumberOfConnectors", "7"), "Rejected");
    assert_eq!(write(&mut desk, "Nonsense", "7"), "NotSupported");
    assert_eq!(write(&mut desk, "MeterValuesSampledData", "Voltage,Frequency"), "Accepted");
    desk.restart();
    desk.input(Input::Connected);
    desk.answered = desk.calls.len() - 1;
    desk.answer_boot("Accepted", 300);
    desk.answer_all();
    let keys = json!({ "key": ["TransactionMessageAttempts", "MeterValuesSampledData", "AuthorizationKey", "Nonsense"] });
    let some = desk.ask("GetConfiguration", &keys).unwrap();
    let values: Vec<_> =
        some["configurationKey"].as_array().unwrap().iter().map(|item| item["value"].clone()).collect();
    assert_eq!(values, [json!("15"), json!("Voltage"), json!(null)]);
    assert_eq!(some["unknownKey"], json!(["Nonsense"]));
}

#[test]
fn variables_are_read_and_written_with_a_status_each() {
    let mut desk = Desk::accepted(Version::V201);
    let name = |component: &str, variable: &str| json!({ "component": { "name": component }, "variable": { "name": variable } });
    let data = json!({ "getVariableData": [
        name("OCPPCommCtrlr", "HeartbeatInterval"),
        name("OCPPCommCtrlr", "Nonsense"),
        name("Nonsense", "Nonsense"),
        name("SecurityCtrlr", "BasicAuthPassword"),
    ] });
    let answer = desk.ask("GetVariables", &data).unwrap();
    let results = answer["getVariableResult"].as_array().unwrap();
    let statuses: Vec<_> = results.iter().map(|result| result["attributeStatus"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["Accepted", "UnknownVariable", "UnknownComponent", "Rejected"]);
    let mut write = name("SampledDataCtrlr", "TxUpdatedMeasurands");
    write["attributeValue"] = "Voltage,Frequency".into();
    let answer = desk.ask("SetVariables", &json!({ "setVariableData": [write] })).unwrap();
    let result = &answer["setVariableResult"][0];
    assert_eq!(result["attributeStatus"], "Rejected");
    assert!(
        result["attributeStatusInfo"]["additionalInfo"].as_str().unwrap().contains("Frequency"),
        "{result}"
    );
}

#[test]
fn a_reservation_reaches_the_station_and_its_end_the_csms() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let until = "2026-05-28T21:00:00Z";
        let asked = match version {
            Version::V16 => {
                json!({ "connectorId": 1, "expiryDate": until, "idTag": "APP", "reservationId": 5 })
            }
            Version::V201 => json!({ "id": 5, "expiryDateTime": until, "evseId": 1,
                "idToken": { "idToken": "APP", "type": "Central" } }),
        };
        assert_eq!(desk.ask("ReserveNow", &asked), Err("nothing yet".to_owned()));
        let Some((_, Command::Reserve { id: 5, evse: 1, until, .. })) = desk.commands.last() else {
            panic!()
        };
        assert_eq!(voltry_ocpp::time::rfc3339(*until), "2026-05-28T21:00:00.000Z");
        assert_eq!(desk.done(Outcome::Occupied), Some(Ok(json!({ "status": "Occupied" }))));
        assert_eq!(
            desk.ask("CancelReservation", &json!({ "reservationId": 5 })),
            Err("nothing yet".to_owned())
        );
        assert_eq!(desk.done(Outcome::Unknown), Some(Ok(json!({ "status": "Rejected" }))));
        let before = desk.calls.len();
        desk.input(Input::ReservationOver { id: 5, why: "expired".to_owned() });
        desk.input(Input::ReservationOver { id: 6, why: "used".to_owned() });
        desk.answer_all();
        let told = if version == Version::V16 { vec![] } else { vec!["ReservationStatusUpdate"] };
        assert_eq!(desk.actions(before), told);
    }
}

#[test]
fn a_reset_ends_what_charges_and_then_starts_anew() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
            desk.happens(kind, 0);
        }
        desk.answer_all();
        let mut charging = crate::desk::evse(1, "charging");
        charging.transaction = 1;
        desk.input(Input::Evses(vec![charging]));
        let kind = if version == Version::V16 { "Soft" } else { "Immediate" };
        assert_eq!(desk.ask("Reset", &json!({ "type": kind })), Ok(json!({ "status": "Accepted" })));
        let why = if version == Version::V16 { StopReason::SoftReset } else { StopReason::Reset };
        let stop = Command::Stop { evse: 1, transaction: 1, session: 0, why };
        assert!(desk.commands.iter().any(|(_, command)| *command == stop));
        assert_eq!(desk.resets, 0, "not before it has ended");
        desk.input(Input::Evses(vec![crate::desk::evse(1, "available")]));
        assert_eq!(desk.resets, 0, "not before the book has its end");
        desk.happens(Kind::Ended, 500);
        assert_eq!(desk.resets, 0, "not before it is told");
        desk.answer_all();
        assert_eq!(desk.resets, 1);
        assert_eq!(desk.store.kept("boot_reason").unwrap().as_deref(), Some("RemoteReset"));
    }
}

#[test]
fn a_reset_waits_for_no_answer_that_does_not_come() {
    for (version, kind) in [(Version::V16, "Hard"), (Version::V201, "Immediate"), (Version::V201, "OnIdle")] {
        let mut desk = Desk::accepted(version);
        for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
            desk.happens(kind, 0);
        }
        desk.answer_all();
        desk.ask("Reset", &json!({ "type": kind })).unwrap();
        desk.happens(Kind::Ended, 500);
        assert!(desk.open().is_some(), "it is told, and nobody answers");
        desk.pass(9);
        assert_eq!(desk.resets, 0, "{kind}");
        desk.pass(1);
        assert_eq!(desk.resets, 1, "{kind}");
    }
}

#[test]
fn a_reset_when_idle_waits_for_the_transaction() {
    let mut desk = Desk::accepted(Version::V201);
    let mut charging = crate::desk::evse(1, "charging");
    charging.transaction = 1;
    desk.input(Input::Evses(vec![charging]));
    assert_eq!(desk.ask("Reset", &json!({ "type": "OnIdle" })), Ok(json!({ "status": "Scheduled" })));
    desk.pass(600);
    desk.answer_all();
    assert_eq!(
        (desk.resets, desk.commands.iter().filter(|(_, c)| matches!(c, Command::Stop { .. })).count()),
        (0, 0)
    );
    desk.input(Input::Evses(vec![crate::desk::evse(1, "available")]));
    desk.answer_all();
    assert_eq!(desk.resets, 1);
}

#[test]
fn what_is_triggered_is_sent() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        for message in ["Heartbeat", "StatusNotification", "MeterValues", "FirmwareStatusNotification"] {
            let before = desk.calls.len();
            let mut asked = json!({ "requestedMessage": message });
            if version == Version::V201 {
                asked["evse"] = json!({ "id": 1, "connectorId": 1 });
            }
            let answer = desk.ask("TriggerMessage", &asked);
            assert_eq!(answer, Ok(json!({ "status": "Accepted" })));
            if message == "MeterValues" {
                desk.done(Outcome::Silent);
            }
            desk.answer_all();
            let sent = desk.actions(before);
            assert!(!sent.is_empty() && sent.iter().all(|action| *action == message), "{message}: {sent:?}");
        }
    }
}

#[test]
fn a_transaction_that_is_asked_for_is_told_after_all_that_waits_and_without_a_gap() {
    let mut desk = Desk::accepted(Version::V201);
    let asked = json!({ "requestedMessage": "TransactionEvent", "evse": { "id": 1 } });
    assert_eq!(desk.ask("TriggerMessage", &asked).unwrap()["status"], "Rejected", "none is running");
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started, Kind::Charging] {
        desk.happens(kind, 0);
    }
    let before = desk.answered;
    assert_eq!(desk.ask("TriggerMessage", &asked).unwrap()["status"], "Accepted");
    assert_eq!(desk.ask("TriggerMessage", &asked).unwrap()["status"], "Accepted");
    desk.answer_all();
    desk.happens(Kind::Reading, 100);
    desk.answer_all();
    let events: Vec<_> =
        desk.calls[before..].iter().filter(|call| call.action == "TransactionEvent").collect();
    let told = |key: &str| events.iter().map(|call| call.payload[key].clone()).collect::<Vec<_>>();
    assert_eq!(told("seqNo"), (0..events.len()).map(|number| json!(number)).collect::<Vec<_>>());
    let triggers = told("triggerReason");
    assert_eq!(triggers[triggers.len() - 2..], ["Trigger", "MeterValuePeriodic"]);
    assert_eq!(triggers.iter().filter(|reason| **reason == "Trigger").count(), 1);
    let values = &events[events.len() - 2].payload["meterValue"][0]["sampledValue"];
    assert_eq!(values[0]["context"], "Trigger", "{values}");
    assert!(events[events.len() - 2].payload.get("offline").is_none());
}

#[test]
fn nothing_starts_where_the_connector_is_out_of_service_or_broken() {
    for version in BOTH {
        for state in ["unavailable", "faulted"] {
            let mut desk = Desk::accepted(version);
            desk.seen(state);
            let (action, asked) = match version {
                Version::V16 => ("RemoteStartTransaction", json!({ "idTag": "APP", "connectorId": 1 })),
                Version::V201 => (
                    "RequestStartTransaction",
                    json!({ "idToken": { "idToken": "APP", "type": "Central" }, "remoteStartId": 1, "evseId": 1 }),
                ),
            };
            let before = desk.commands.len();
            assert_eq!(desk.ask(action, &asked).unwrap()["status"], "Rejected", "{state}");
            assert_eq!(desk.commands.len(), before, "the station is not even asked");
        }
    }
}

#[test]
fn a_reservation_of_a_connector_that_is_another_is_refused() {
    let mut desk = Desk::accepted(Version::V201);
    let mut asked = json!({ "id": 1, "expiryDateTime": "2027-01-01T00:00:00Z", "evseId": 1,
        "idToken": { "idToken": "APP", "type": "Central" }, "connectorType": "sType2" });
    assert_eq!(desk.ask("ReserveNow", &asked).unwrap()["status"], "Rejected");
    asked["connectorType"] = "cCCS2".into();
    let before = desk.commands.len();
    assert_eq!(desk.ask("ReserveNow", &asked), Err("nothing yet".to_owned()));
    assert_eq!(desk.commands.len(), before + 1, "the station is asked");
}

#[test]
fn what_a_station_always_does_may_be_written_and_not_be_changed() {
    let mut desk = Desk::accepted(Version::V16);
    for key in ["StopTransactionOnEVSideDisconnect", "UnlockConnectorOnEVSideDisconnect"] {
        for (value, status) in [("true", "Accepted"), ("false", "Rejected")] {
            let answer = desk.ask("ChangeConfiguration", &json!({ "key": key, "value": value }));
            assert_eq!(answer, Ok(json!({ "status": status })), "{key} {value}");
        }
        let told = desk.ask("GetConfiguration", &json!({ "key": [key] })).unwrap();
        assert_eq!(told["configurationKey"][0], json!({ "key": key, "readonly": false, "value": "true" }));
    }
}

#[test]
fn a_flood_of_requests_neither_grows_nor_starves_the_transactions() {
    let mut desk = Desk::accepted(Version::V16);
    desk.charge(0);
    let before = desk.calls.len();
    for _ in 0..10_000 {
        let _ = desk.ask("TriggerMessage", &json!({ "requestedMessage": "Heartbeat" }));
        let _ = desk.ask("RemoteStartTransaction", &json!({ "idTag": "APP" }));
    }
    let refused =
        desk.replies.iter().filter(|(_, answer)| *answer == Err("InternalError".to_owned())).count();
    assert_eq!(refused, 10_000 - 16, "so many wait for the station, and no more");
    desk.answer_all();
    let sent = desk.actions(before);
    assert!(sent.iter().filter(|action| **action == "Heartbeat").count() <= 2, "{sent:?}");
    assert!(sent.contains(&"StopTransaction"));
}

#[test]
fn nobody_is_let_in_where_it_is_reserved_for_somebody_else() {
    for version in BOTH {
        // Asked for first, a token is judged by the CSMS after the answer.
        for authorize in ["false", "true"] {
            let mut desk = Desk::configured(version, "AuthorizeRemoteTxRequests", authorize);
            let until = "2026-05-28T21:00:00Z";
            let token = |id: &str| json!({ "idToken": id, "type": "Central" });
            let (action, reserve) = match version {
                Version::V16 => (
                    "RemoteStartTransaction",
                    json!({ "connectorId": 1, "expiryDate": until, "idTag": "APP", "reservationId": 5 }),
                ),
                Version::V201 => (
                    "RequestStartTransaction",
                    json!({ "id": 5, "expiryDateTime": until, "evseId": 1, "idToken": token("APP") }),
                ),
            };
            let start = |id: &str| match version {
                Version::V16 => json!({ "connectorId": 1, "idTag": id }),
                Version::V201 => json!({ "remoteStartId": 9, "evseId": 1, "idToken": token(id) }),
            };
            assert_eq!(desk.ask("ReserveNow", &reserve), Err("nothing yet".to_owned()));
            desk.done(Outcome::Done);
            desk.held("reserved", "5");
            let commands = desk.commands.len();
            assert_eq!(desk.ask(action, &start("OTHER")).unwrap()["status"], "Rejected", "{version:?}");
            assert_eq!(desk.commands.len(), commands);
            // Whoever starts the uplink anew takes it from nobody.
            desk.restart();
            desk.answered = desk.calls.len();
            let mut desk = desk.accept();
            desk.held("reserved", "5");
            assert_eq!(desk.ask(action, &start("OTHER")).unwrap()["status"], "Rejected", "{version:?}");
            let own = desk.ask(action, &start("app"));
            assert!(own.is_err() || own.unwrap()["status"] == "Accepted", "for whom it is held");
            desk.answer_all();
            assert!(matches!(desk.commands.last(), Some((_, Command::RemoteStart { .. }))), "{version:?}");
        }
    }
}

#[test]
fn a_transaction_that_is_asked_for_keeps_its_numbers_through_a_power_cut() {
    let mut desk = Desk::accepted(Version::V201);
    let asked = json!({ "requestedMessage": "TransactionEvent", "evse": { "id": 1 } });
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started, Kind::Charging] {
        desk.happens(kind, 0);
    }
    desk.answer_all();
    desk.ask("TriggerMessage", &asked).unwrap();
    let cut = desk.open().unwrap().clone();
    assert_eq!(cut.payload["triggerReason"], "Trigger");
    desk.restart();
    desk.answered = desk.calls.len();
    desk.input(Input::Connected);
    desk.answer_boot("Accepted", 300);
    desk.answer_all();
    desk.happens(Kind::Reading, 100);
    desk.answer_all();
    let events: Vec<_> = desk.calls.iter().filter(|call| call.action == "TransactionEvent").collect();
    let [.., again, next] = &events[..] else { panic!() };
    assert_eq!(**again, cut, "the same, with its id");
    assert_eq!(next.payload["seqNo"], cut.payload["seqNo"].as_i64().unwrap() + 1);
}

#[test]
fn a_reset_ends_a_transaction_that_waits_for_its_cable() {
    let mut desk = Desk::configured(Version::V201, "TxCtrlr.TxStartPoint", "Authorized");
    desk.happens(Kind::Authorized, 0);
    desk.answer_all();
    assert_eq!(desk.ask("Reset", &json!({ "type": "Immediate" })).unwrap()["status"], "Accepted");
    let stop = Command::Stop { evse: 1, transaction: 0, session: 1, why: StopReason::Reset };
    assert_eq!(desk.commands.last().map(|(_, command)| command), Some(&stop));
    assert_eq!(desk.resets, 0, "not before the CSMS has heard of its end");
    desk.happens(Kind::ConnectTimedOut, 0);
    assert_eq!(desk.open().unwrap().payload["eventType"], "Ended");
    desk.answer_all();
    assert_eq!(desk.resets, 1);
}
