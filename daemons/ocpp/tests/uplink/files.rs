//! Logs that the CSMS asks for.

use std::time::Duration;

use serde_json::{Value, json};
use voltry_ocpp::Version;
use voltry_ocpp::files::{Failure, Log, News, Order, Upload};
use voltry_ocpp::uplink::Input;

use crate::desk::{Desk, lost};

const BOTH: [Version; 2] = [Version::V16, Version::V201];

fn get_log(desk: &mut Desk, request: i64, more: &Value) -> Result<Value, String> {
    let mut payload = json!({
        "logType": "DiagnosticsLog",
        "requestId": request,
        "log": { "remoteLocation": "https://files.example/in/", "oldestTimestamp": "2026-05-01T00:00:00Z" },
    });
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    desk.ask("GetLog", &payload)
}

/// The newest upload that was ordered, and its number.
fn upload(desk: &Desk) -> Option<(u64, Upload)> {
    let Order::Upload { attempt, upload } = desk.orders.last()? else { panic!("{:?}", desk.orders) };
    Some((*attempt, upload.clone()))
}

fn ended(desk: &mut Desk, result: Result<(), Failure>) {
    let (attempt, _) = upload(desk).unwrap();
    desk.input(Input::Files(News::Uploaded { attempt, result }));
}

/// What was told of uploads: the request and the status.
fn told(desk: &Desk) -> Vec<(Option<i64>, String)> {
    let told = desk.calls.iter();
    told.filter(|call| {
        matches!(call.action.as_str(), "LogStatusNotification" | "DiagnosticsStatusNotification")
    })
    .map(|call| (call.payload["requestId"].as_i64(), call.payload["status"].as_str().unwrap().to_owned()))
    .collect()
}

fn statuses(request: Option<i64>, words: &[&str]) -> Vec<(Option<i64>, String)> {
    words.iter().map(|word| (request, (*word).to_owned())).collect()
}

#[test]
fn a_log_is_uploaded_and_each_status_is_told_once_with_its_request() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let answer = get_log(&mut desk, 7, &json!({})).unwrap();
        assert_eq!(answer["status"], "Accepted");
        let file = answer["filename"].as_str().unwrap();
        assert!(file.starts_with("diagnostics-") && file.ends_with(".log.gz"), "{file}");
        let (_, upload) = upload(&desk).unwrap();
        assert_eq!((upload.log, upload.request, upload.file.as_str()), (Log::Diagnostics, Some(7), file));
        assert_eq!(upload.oldest, Some(1_777_593_600_000_000));
        desk.answer_all();
        ended(&mut desk, Ok(()));
        desk.answer_all();
        desk.pass(1000);
        desk.answer_all();
        assert_eq!(told(&desk), statuses(Some(7), &["Uploading", "Uploaded"]));
        assert_eq!(desk.orders.len(), 1);
    }
}

#[test]
fn diagnostics_of_1_6_have_words_of_their_own() {
    let mut desk = Desk::accepted(Version::V16);
    let answer = desk.ask("GetDiagnostics", &json!({ "location": "http://files.example/", "retries": 0 }));
    assert!(answer.unwrap()["fileName"].is_string());
    desk.answer_all();
    ended(&mut desk, Err(Failure::UploadFailure));
    desk.answer_all();
    assert_eq!(told(&desk), statuses(None, &["Uploading", "UploadFailed"]));
    assert_eq!(desk.orders.len(), 1, "0 retries are one attempt");
    assert!(desk.calls.iter().all(|call| call.action != "LogStatusNotification"));
}

#[test]
fn a_failed_upload_is_tried_again_after_the_interval_as_often_as_the_csms_wants() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        get_log(&mut desk, 8, &json!({ "retries": 3, "retryInterval": 100 })).unwrap();
        for attempt in 1..=3 {
            assert_eq!(desk.orders.len(), attempt);
            ended(&mut desk, Err(Failure::PermissionDenied));
            desk.answer_all();
            desk.pass(99);
            desk.answer_all();
            assert_eq!(desk.orders.len(), attempt);
            desk.pass(1);
            desk.answer_all();
        }
        assert_eq!(desk.orders.len(), 3);
        assert_eq!(told(&desk), statuses(Some(8), &["Uploading", "PermissionDenied"]));
    }
}

#[test]
fn another_request_ends_the_upload_that_runs() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        get_log(&mut desk, 1, &json!({})).unwrap();
        let first = upload(&desk).unwrap();
        let answer = get_log(&mut desk, 2, &json!({ "logType": "SecurityLog" })).unwrap();
        assert_eq!(answer["status"], "AcceptedCanceled");
        assert!(answer["filename"].as_str().unwrap().starts_with("security-"));
        // What still comes of the first says nothing.
        desk.input(Input::Files(News::Uploaded { attempt: first.0, result: Ok(()) }));
        desk.answer_all();
        ended(&mut desk, Ok(()));
        desk.answer_all();
        let wanted = match version {
            Version::V16 => [(1, "Uploading"), (2, "Uploading"), (2, "Uploaded")].to_vec(),
            Version::V201 => {
                [(1, "Uploading"), (1, "AcceptedCanceled"), (2, "Uploading"), (2, "Uploaded")].to_vec()
            }
        };
        let wanted: Vec<_> = wanted.into_iter().map(|(id, word)| (Some(id), word.to_owned())).collect();
        assert_eq!(told(&desk), wanted);
    }
}

#[test]
fn an_upload_goes_on_after_a_restart_and_what_was_not_told_is_told_then() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        get_log(&mut desk, 5, &json!({ "retries": 2, "retryInterval": 10 })).unwrap();
        desk.answer_all();
        ended(&mut desk, Err(Failure::UploadFailure));
        desk.restart();
        assert_eq!(desk.orders.len(), 2, "the daemon that is back begins the attempt that is left");
        lost(&mut desk);
        ended(&mut desk, Ok(()));
        desk.restart();
        assert_eq!(desk.orders.len(), 2, "what is uploaded is not uploaded again");
        desk.input(Input::Connected);
        desk.answer_boot("Accepted", 300);
        desk.answer_all();
        assert_eq!(told(&desk), statuses(Some(5), &["Uploading", "Uploaded"]));
    }
}

#[test]
fn an_upload_that_takes_the_machine_down_each_time_ends() {
    let mut desk = Desk::accepted(Version::V201);
    get_log(&mut desk, 5, &json!({ "retries": 1 })).unwrap();
    desk.answer_all();
    lost(&mut desk);
    for _ in 0..10 {
        desk.restart();
    }
    assert_eq!(desk.orders.len(), 4);
    desk.input(Input::Connected);
    desk.answer_boot("Accepted", 300);
    desk.answer_all();
    assert_eq!(told(&desk), statuses(Some(5), &["Uploading", "UploadFailure"]));
}

#[test]
fn a_place_that_nothing_can_be_sent_to_is_rejected() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        for place in ["ftp://files.example/", "files.example/in", "file:///etc/passwd", ""] {
            let log = json!({ "log": { "remoteLocation": place } });
            assert_eq!(get_log(&mut desk, 7, &log).unwrap()["status"], "Rejected", "{place}");
        }
        assert!(desk.orders.is_empty());
    }
    let mut desk = Desk::accepted(Version::V16);
    let answer = desk.ask("GetDiagnostics", &json!({ "location": "ftp://files.example/" }));
    assert_eq!(answer, Ok(json!({})), "1.6 says so by naming no file");
}

#[test]
fn the_status_is_told_when_it_is_triggered() {
    let mut desk = Desk::accepted(Version::V201);
    let trigger = json!({ "requestedMessage": "LogStatusNotification" });
    assert_eq!(desk.ask("TriggerMessage", &trigger), Ok(json!({ "status": "Accepted" })));
    desk.answer_all();
    get_log(&mut desk, 7, &json!({})).unwrap();
    desk.answer_all();
    assert_eq!(desk.ask("TriggerMessage", &trigger), Ok(json!({ "status": "Accepted" })));
    desk.answer_all();
    let mut wanted = statuses(None, &["Idle"]);
    wanted.extend(statuses(Some(7), &["Uploading", "Uploading"]));
    assert_eq!(told(&desk), wanted);

    let mut desk = Desk::accepted(Version::V16);
    get_log(&mut desk, 7, &json!({})).unwrap();
    desk.answer_all();
    for (action, message) in [
        ("TriggerMessage", "DiagnosticsStatusNotification"),
        ("ExtendedTriggerMessage", "LogStatusNotification"),
    ] {
        desk.ask(action, &json!({ "requestedMessage": message })).unwrap();
        desk.answer_all();
    }
    let mut wanted = statuses(Some(7), &["Uploading"]);
    wanted.extend(statuses(None, &["Idle"]));
    wanted.extend(statuses(Some(7), &["Uploading"]));
    assert_eq!(told(&desk), wanted);
}

#[test]
fn what_the_csms_does_not_say_has_bounds() {
    use voltry_ocpp::files::Tries;
    assert_eq!(Tries::asked(None, None), Tries { attempts: 3, interval: Duration::from_secs(60) });
    let most = Tries::asked(Some(i64::MAX), Some(i64::MAX));
    assert_eq!(most, Tries { attempts: 100, interval: Duration::from_secs(86_400) });
    assert_eq!(Tries::asked(Some(-1), Some(-1)), Tries { attempts: 1, interval: Duration::ZERO });
}
