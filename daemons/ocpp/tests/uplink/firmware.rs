//! Firmware that the CSMS sends: the stages, what is told of them, and when nothing may be installed.

use serde_json::{Value, json};
use voltry_bus::{UpdateOutcome, UpdateVerdict};
use voltry_ocpp::Version;
use voltry_ocpp::files::{News, Order, Progress, Runs};
use voltry_ocpp::uplink::{Command, Input, Outcome};

use crate::desk::{Desk, evse, lost};

const BOTH: [Version; 2] = [Version::V16, Version::V201];
/// 2026-05-28T20:26:40Z, as the desk's clock begins.
const NOW: &str = "2026-05-28T20:26:40Z";

fn update(desk: &mut Desk, request: i64, more: &Value) -> Result<Value, String> {
    let mut firmware = json!({
        "location": "https://files.example/image",
        "retrieveDateTime": NOW,
        "signingCertificate": "-----BEGIN CERTIFICATE-----",
        "signature": "AAAA",
    });
    firmware.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let action = if desk.version == Version::V16 { "SignedUpdateFirmware" } else { "UpdateFirmware" };
    let payload = json!({ "requestId": request, "firmware": firmware, "retries": 2, "retryInterval": 100 });
    desk.ask(action, &payload)
}

/// The update is looked at, and taken.
fn accept(desk: &mut Desk) -> Value {
    assert!(matches!(desk.commands.last(), Some((_, Command::CheckUpdate { .. }))));
    desk.done(Outcome::Done).unwrap().unwrap()
}

/// The stage that was ordered last ended so.
fn ended(desk: &mut Desk, progress: Progress) {
    let number = match desk.orders.last().unwrap() {
        Order::Download { number, .. }
        | Order::Verify { number, .. }
        | Order::Install { number }
        | Order::AskVersion { number } => *number,
        Order::Restart | Order::Upload { .. } => panic!("{:?}", desk.orders),
    };
    desk.input(Input::Files(News::Firmware { number, progress }));
    desk.answer_all();
}

/// The station takes its EVSE out of service, or puts it back, as it was told last.
fn obey(desk: &mut Desk) -> bool {
    let told = desk.commands.iter().rev().find_map(|(_, command)| {
        let Command::SetAvailable { evse: 1, available } = command else { return None };
        Some(*available)
    });
    let available = told.expect("the station was told");
    let mut heard = evse(1, "available");
    heard.available = available;
    desk.input(Input::Evses(vec![heard]));
    desk.seen(if available { "available" } else { "unavailable" });
    desk.answer_all();
    available
}

fn told(desk: &Desk) -> Vec<&str> {
    let action = match desk.version {
        Version::V16 => "SignedFirmwareStatusNotification",
        Version::V201 => "FirmwareStatusNotification",
    };
    let told: Vec<_> = desk.calls.iter().filter(|call| call.action == action).collect();
    assert!(told.iter().all(|call| call.payload["requestId"] == 7), "{told:?}");
    told.iter().map(|call| call.payload["status"].as_str().unwrap()).collect()
}

fn installed(outcome: UpdateOutcome) -> Progress {
    Progress::Installed { outcome, version: "1".to_owned() }
}

fn runs(version: &str, restart_needed: bool) -> Progress {
    Progress::Runs(Some(Runs { version: version.to_owned(), restart_needed, verdict: UpdateVerdict::None }))
}

/// Whatever installs it has this to say of what it installed.
fn judged(version: &str, verdict: UpdateVerdict) -> Progress {
    Progress::Runs(Some(Runs { version: version.to_owned(), restart_needed: false, verdict }))
}

#[test]
fn firmware_is_downloaded_verified_installed_and_runs_after_the_restart() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        assert_eq!(update(&mut desk, 7, &json!({})), Err("nothing yet".to_owned()));
        assert_eq!(accept(&mut desk)["status"], "Accepted");
        desk.answer_all();
        assert!(matches!(desk.orders.last(), Some(Order::Download { url, .. }) if url.ends_with("image")));
        ended(&mut desk, Progress::Downloaded(Ok(())));
        assert!(matches!(desk.orders.last(), Some(Order::Verify { .. })));
        ended(&mut desk, Progress::Verified(Ok(())));
        assert!(matches!(desk.orders.last(), Some(Order::Verify { .. })), "an EVSE is in service");
        assert!(!obey(&mut desk));
        assert!(matches!(desk.orders.last(), Some(Order::Install { .. })));
        ended(&mut desk, installed(UpdateOutcome::RestartNeeded));
        // It is told before the machine goes.
        assert_eq!(told(&desk).last(), Some(&"InstallRebooting"));
        ended(&mut desk, runs("1", true));
        assert_eq!(desk.orders.last(), Some(&Order::Restart));
        assert_eq!(desk.store.kept("boot_reason").unwrap().as_deref(), Some("FirmwareUpdate"));
        lost(&mut desk);
        desk.restart();
        assert!(matches!(desk.orders.last(), Some(Order::AskVersion { .. })));
        ended(&mut desk, runs("2", false));
        assert!(obey(&mut desk), "the EVSE is in service again");
        desk.input(Input::Connected);
        desk.answer_boot("Accepted", 300);
        desk.answer_all();
        let words =
            ["Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallRebooting", "Installed"];
        assert_eq!(told(&desk), words);
        assert_eq!(desk.orders.len(), 6, "{:?}", desk.orders);
    }
}

#[test]
fn nothing_is_installed_while_somebody_charges() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let mut charging = evse(1, "charging");
        charging.transaction = 1;
        desk.input(Input::Evses(vec![charging.clone()]));
        update(&mut desk, 7, &json!({})).unwrap_err();
        accept(&mut desk);
        ended(&mut desk, Progress::Downloaded(Ok(())));
        ended(&mut desk, Progress::Verified(Ok(())));
        // The station has it out of service as soon as the transaction is over.
        charging.available = false;
        desk.input(Input::Evses(vec![charging.clone()]));
        desk.pass(100_000);
        desk.answer_all();
        assert!(!desk.orders.iter().any(|order| matches!(order, Order::Install { .. })));
        assert_eq!(told(&desk).last(), Some(&"InstallScheduled"));
        // Nor while somebody is let in already.
        charging.transaction = 0;
        charging.authorized = true;
        desk.input(Input::Evses(vec![charging.clone()]));
        desk.pass(100);
        desk.answer_all();
        assert!(!desk.orders.iter().any(|order| matches!(order, Order::Install { .. })));
        charging.authorized = false;
        desk.input(Input::Evses(vec![charging]));
        desk.pass(10);
        assert!(matches!(desk.orders.last(), Some(Order::Install { .. })));
    }
}

#[test]
fn its_times_are_kept_to() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let more = json!({
            "retrieveDateTime": "2026-05-28T22:26:40Z",
            "installDateTime": "2026-05-29T20:26:40Z",
        });
        update(&mut desk, 7, &more).unwrap_err();
        accept(&mut desk);
        desk.answer_all();
        desk.pass(7_199);
        desk.answer_all();
        assert!(desk.orders.is_empty());
        desk.pass(1);
        ended(&mut desk, Progress::Downloaded(Ok(())));
        ended(&mut desk, Progress::Verified(Ok(())));
        desk.pass(86_400 - 7_200 - 1);
        desk.answer_all();
        assert!(matches!(desk.orders.last(), Some(Order::Verify { .. })));
        assert!(!desk.commands.iter().any(|(_, command)| matches!(command, Command::SetAvailable { .. })));
        desk.pass(1);
        desk.answer_all();
        assert!(!obey(&mut desk));
        assert!(matches!(desk.orders.last(), Some(Order::Install { .. })));
        ended(&mut desk, installed(UpdateOutcome::Installed));
        assert!(obey(&mut desk));
        let words = [
            "DownloadScheduled",
            "Downloading",
            "Downloaded",
            "SignatureVerified",
            "InstallScheduled",
            "Installing",
            "Installed",
        ];
        assert_eq!(told(&desk), words);
    }
}

#[test]
fn each_failure_has_its_word_and_the_evse_is_in_service_again() {
    for version in BOTH {
        for (progress, word) in [
            (vec![Progress::Downloaded(Err(())), Progress::Downloaded(Err(()))], "DownloadFailed"),
            (vec![Progress::Downloaded(Ok(())), Progress::Verified(Err(()))], "InvalidSignature"),
            (good(installed(UpdateOutcome::Failed)), "InstallationFailed"),
            (good(installed(UpdateOutcome::Invalid)), "InstallVerificationFailed"),
        ] {
            let mut desk = Desk::accepted(version);
            update(&mut desk, 7, &json!({})).unwrap_err();
            accept(&mut desk);
            for step in progress {
                if matches!(step, Progress::Installed { .. }) {
                    assert!(!obey(&mut desk));
                }
                ended(&mut desk, step);
                desk.pass(100);
                desk.answer_all();
            }
            assert_eq!(told(&desk).last(), Some(&word));
            if word.starts_with("Install") {
                assert!(obey(&mut desk), "{word}");
            }
            let orders = desk.orders.len();
            desk.pass(100_000);
            desk.answer_all();
            assert_eq!(desk.orders.len(), orders);
        }
    }
}

/// The update comes as far as its installation.
fn install(desk: &mut Desk) {
    update(desk, 7, &json!({})).unwrap_err();
    accept(desk);
    ended(desk, Progress::Downloaded(Ok(())));
    ended(desk, Progress::Verified(Ok(())));
    assert!(!obey(desk));
    assert!(matches!(desk.orders.last(), Some(Order::Install { .. })));
}

fn good(last: Progress) -> Vec<Progress> {
    vec![Progress::Downloaded(Ok(())), Progress::Verified(Ok(())), last]
}

#[test]
fn a_machine_that_comes_back_with_what_it_had_has_failed() {
    let mut desk = Desk::accepted(Version::V201);
    install(&mut desk);
    ended(&mut desk, installed(UpdateOutcome::RestartNeeded));
    desk.restart();
    desk.input(Input::Connected);
    desk.answer_boot("Accepted", 300);
    desk.answer_all();
    // Whoever installs may be there later than we.
    ended(&mut desk, Progress::Runs(None));
    desk.pass(5);
    ended(&mut desk, runs("1", false));
    assert_eq!(told(&desk).last(), Some(&"InstallationFailed"));
    assert!(obey(&mut desk));
}

#[test]
fn a_version_on_trial_is_installed_once_it_is_known_to_charge() {
    for (version, verdict, word) in [
        ("2", UpdateVerdict::Good, "Installed"),
        ("1", UpdateVerdict::FellBack, "InstallationFailed"),
        ("2", UpdateVerdict::FellBack, "InstallationFailed"),
    ] {
        let mut desk = Desk::accepted(Version::V201);
        install(&mut desk);
        ended(&mut desk, installed(UpdateOutcome::RestartNeeded));
        desk.restart();
        ended(&mut desk, judged("2", UpdateVerdict::OnTrial));
        assert!(obey(&mut desk), "the trial is of a station in service");
        desk.input(Input::Connected);
        desk.answer_boot("Accepted", 300);
        desk.answer_all();
        for _ in 0..100 {
            assert_eq!(told(&desk).last(), Some(&"InstallRebooting"));
            let asked = desk.orders.len();
            desk.pass(15);
            assert_eq!(desk.orders.len(), asked + 1, "it is asked again");
            ended(&mut desk, judged("2", UpdateVerdict::OnTrial));
        }
        assert_eq!(update(&mut desk, 8, &json!({})).unwrap()["status"], "Rejected");
        desk.restart(); // The machine may have gone back meanwhile.
        ended(&mut desk, judged(version, verdict));
        desk.input(Input::Connected);
        desk.answer_boot("Accepted", 300);
        desk.answer_all();
        assert_eq!(told(&desk).last(), Some(&word));
    }
}

#[test]
fn an_installer_that_was_silent_in_one_update_is_waited_for_in_the_next() {
    let mut desk = Desk::accepted(Version::V201);
    install(&mut desk);
    ended(&mut desk, installed(UpdateOutcome::RestartNeeded));
    while told(&desk).last() != Some(&"InstallationFailed") {
        ended(&mut desk, Progress::Runs(None));
        desk.pass(5);
        desk.answer_all();
    }
    assert!(obey(&mut desk));
    install(&mut desk);
    ended(&mut desk, installed(UpdateOutcome::RestartNeeded));
    ended(&mut desk, runs("1", true));
    assert_eq!(desk.orders.last(), Some(&Order::Restart));
}

#[test]
fn a_restart_in_any_stage_begins_that_stage_anew() {
    let stages = good(installed(UpdateOutcome::Installed));
    for cut in 0..stages.len() {
        let mut desk = Desk::accepted(Version::V201);
        update(&mut desk, 7, &json!({})).unwrap_err();
        accept(&mut desk);
        desk.answer_all();
        for (stage, progress) in stages.iter().enumerate() {
            if matches!(progress, Progress::Installed { .. }) {
                assert!(!obey(&mut desk));
            }
            if stage == cut {
                let before = std::mem::discriminant(desk.orders.last().unwrap());
                lost(&mut desk);
                desk.restart();
                if stage == 2 {
                    // The desk's station has forgotten; the uplink has not.
                    desk.pass(10);
                    assert!(!obey(&mut desk));
                }
                assert_eq!(std::mem::discriminant(desk.orders.last().unwrap()), before);
                desk.input(Input::Connected);
                desk.answer_boot("Accepted", 300);
                desk.answer_all();
            }
            ended(&mut desk, progress.clone());
        }
        assert!(obey(&mut desk), "cut in stage {cut}");
        assert_eq!(told(&desk).last(), Some(&"Installed"));
    }
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_downloaded() {
    for version in BOTH {
        for (outcome, word) in [
            (Outcome::NotSupported, "Rejected"),
            (Outcome::Refused("expired".to_owned()), "InvalidCertificate"),
        ] {
            let mut desk = Desk::accepted(version);
            update(&mut desk, 7, &json!({})).unwrap_err();
            assert_eq!(desk.done(outcome).unwrap().unwrap()["status"], word);
            assert!(desk.orders.is_empty());
        }
        let mut desk = Desk::accepted(version);
        let answer = update(&mut desk, 7, &json!({ "location": "ftp://files.example/image" })).unwrap();
        assert_eq!(answer["status"], "Rejected");
    }
    let mut desk = Desk::accepted(Version::V201);
    let firmware = json!({ "location": "http://a/b", "retrieveDateTime": NOW, "signature": "AAAA" });
    let answer = desk.ask("UpdateFirmware", &json!({ "requestId": 7, "firmware": firmware })).unwrap();
    assert_eq!(answer["status"], "Rejected", "a signature needs its certificate");
}

#[test]
fn another_update_takes_the_place_of_one_that_is_not_being_installed() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        update(&mut desk, 6, &json!({})).unwrap_err();
        accept(&mut desk);
        update(&mut desk, 7, &json!({})).unwrap_err();
        assert_eq!(accept(&mut desk)["status"], "AcceptedCanceled");
        desk.calls.clear();
        desk.answered = 0;
        ended(&mut desk, Progress::Downloaded(Ok(())));
        ended(&mut desk, Progress::Verified(Ok(())));
        obey(&mut desk);
        assert_eq!(update(&mut desk, 8, &json!({})).unwrap()["status"], "Rejected");
    }
}

#[test]
fn what_the_csms_says_of_availability_holds_after_the_update() {
    let mut desk = Desk::accepted(Version::V201);
    install(&mut desk);
    let change = json!({ "operationalStatus": "Inoperative", "evse": { "id": 1 } });
    desk.ask("ChangeAvailability", &change).unwrap_err();
    let before = desk.commands.len();
    ended(&mut desk, installed(UpdateOutcome::Installed));
    desk.pass(100);
    desk.answer_all();
    assert_eq!(desk.commands.len(), before, "it stays out of service");
}

#[test]
fn unsigned_firmware_of_1_6_is_told_in_its_own_words() {
    let mut desk = Desk::accepted(Version::V16);
    let payload = json!({ "location": "http://files.example/image", "retrieveDate": NOW });
    desk.ask("UpdateFirmware", &payload).unwrap_err();
    assert_eq!(accept(&mut desk), json!({}));
    ended(&mut desk, Progress::Downloaded(Ok(())));
    obey(&mut desk);
    assert!(matches!(desk.orders.last(), Some(Order::Install { .. })), "there is nothing to verify");
    ended(&mut desk, installed(UpdateOutcome::Invalid));
    desk.ask("UpdateFirmware", &payload).unwrap_err();
    desk.done(Outcome::NotSupported);
    desk.answer_all();
    let payload = json!({ "location": "ftp://files.example/image", "retrieveDate": NOW });
    assert_eq!(desk.ask("UpdateFirmware", &payload), Ok(json!({})));
    desk.answer_all();
    let told = desk.calls.iter().filter(|call| call.action == "FirmwareStatusNotification");
    let told: Vec<&str> = told.map(|call| call.payload["status"].as_str().unwrap()).collect();
    let words = ["Downloading", "Downloaded", "Installing", "InstallationFailed"];
    assert_eq!(told[..4], words);
    assert_eq!(told[4..], ["InstallationFailed", "DownloadFailed"], "what does not begin has failed");
    // The security extension's trigger is of its own notification.
    for (action, wanted) in [
        ("TriggerMessage", "FirmwareStatusNotification"),
        ("ExtendedTriggerMessage", "SignedFirmwareStatusNotification"),
    ] {
        desk.ask(action, &json!({ "requestedMessage": "FirmwareStatusNotification" })).unwrap();
        desk.answer_all();
        let call = desk.calls.last().unwrap();
        assert_eq!((call.action.as_str(), &call.payload), (wanted, &json!({ "status": "Idle" })));
    }
}

/// The firmware's status as the CSMS hears it when it asks for it.
fn triggered(desk: &mut Desk) -> Value {
    desk.answer_all();
    desk.ask("TriggerMessage", &json!({ "requestedMessage": "FirmwareStatusNotification" })).unwrap();
    let told = desk.open().unwrap().clone();
    assert_eq!(told.action, "FirmwareStatusNotification");
    desk.answer_all();
    told.payload
}

#[test]
fn what_is_triggered_is_the_last_status_unless_that_was_a_success() {
    let mut desk = Desk::accepted(Version::V201);
    assert_eq!(triggered(&mut desk), json!({ "status": "Idle" }));
    update(&mut desk, 7, &json!({})).unwrap_err();
    accept(&mut desk);
    assert_eq!(triggered(&mut desk), json!({ "status": "Downloading", "requestId": 7 }));
    ended(&mut desk, Progress::Downloaded(Err(())));
    desk.pass(100);
    ended(&mut desk, Progress::Downloaded(Err(())));
    assert_eq!(triggered(&mut desk), json!({ "status": "DownloadFailed", "requestId": 7 }));
    lost(&mut desk);
    desk.restart();
    desk.input(Input::Connected);
    desk.answer_boot("Accepted", 300);
    assert_eq!(triggered(&mut desk), json!({ "status": "DownloadFailed", "requestId": 7 }));
    install(&mut desk);
    ended(&mut desk, installed(UpdateOutcome::Installed));
    assert_eq!(triggered(&mut desk), json!({ "status": "Idle" }));
}
