//! The daemon on a private bus: who is let in, what is ordered, what the book says of it.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

#[path = "../flood.rs"]
mod flood;
mod identification;
mod power_cut;
#[path = "../../../../tests/private_bus.rs"]
mod private_bus;
mod recorder;
mod rig;
mod steps;
#[path = "../../../../tests/watched.rs"]
mod watched;

use futures_util::StreamExt as _;
use rig::{Rig, SOON};
use steps::step;
use voltry_bus::proxies::TokenRefusedStream;
use voltry_bus::{
    Authorization, EndReason, Error, EvseState, ReserveOutcome, SelfTestOutcome, SelfTestStep, TokenKind,
    TokenStatus,
};

/// The program that is tested.
fn station_program() -> std::path::PathBuf {
    env!("CARGO_BIN_EXE_voltry-station").into()
}

const CSMS: &str = "csms = { name = \"org.voltry.Ocpp1\", path = \"/org/voltry/csms\" }\n\
                    tokens = [\"0A\"]";

fn accepted(group: &str) -> Option<(TokenStatus, String)> {
    Some((TokenStatus::Accepted, group.to_owned()))
}

#[tokio::test]
async fn a_session_is_in_the_book_from_plug_to_unplug() {
    let rig = Rig::start("tokens = [\"04A1B2C3\"]").await;
    rig.plug(5).await;
    rig.until_newest("plugged").await;
    let outcome = rig.station.authorize_token("04a1b2c3", TokenKind::Iso15693, 1).await.unwrap();
    assert_eq!((outcome.evse, outcome.outcome.as_str()), (1, "granted"));
    rig.until_world("granted", |world| world.authorization == Some((5, Authorization::Granted))).await;
    rig.meter(1000.0).await;
    rig.flow(100.0, 100.0).await;
    rig.until_newest("charging").await;
    rig.station.stop(1).await.unwrap();
    rig.until_world("stopped", |world| world.stopped.is_some()).await;
    rig.meter(1500.0).await;
    rig.end("stopped by the operator").await;
    rig.until_newest("ended").await;
    rig.unplug().await;
    let events = rig.until_newest("unplugged").await;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["plugged", "authorized", "started", "charging", "deauthorized", "ended", "unplugged"]);
    assert!(events.iter().all(|event| event.session == 1 && event.evse == 1));
    assert_eq!((events[1].token.as_str(), events[1].token_kind), ("04A1B2C3", TokenKind::Iso15693));
    assert_eq!(events[2].signed, "OCMF|start|1000");
    let ended = &events[5];
    assert_eq!((ended.register, ended.reason), (1500.0, EndReason::Local));
    assert_eq!((events[3].voltage, events[3].soc), (400.0, 42.0));
    assert_eq!(rig.book.newest().await.unwrap(), 7);
    rig.book.acknowledge(7).await.unwrap();
    assert_eq!(rig.book.acknowledged().await.unwrap(), 7);
    assert!(matches!(rig.book.acknowledge(8).await, Err(Error::Invalid(_))));
}

/// The book is given a reading every ten seconds; in that time a vehicle gets 200 Wh and more.
#[tokio::test]
async fn a_meter_that_is_gone_at_the_end_is_billed_by_what_it_said_last() {
    let rig = Rig::start("free_vending = true").await;
    rig.plug(5).await;
    rig.until_newest("started").await;
    rig.flow(100.0, 100.0).await;
    rig.until_newest("charging").await;
    rig.meter(1007.0).await;
    let shown = async || rig.station.evses().await.unwrap()[0].energy;
    rig.until("it is heard", async || (shown().await - 7.0).abs() < 0.1).await;
    rig.lose_meter().await;
    rig.end("the energy meter does not answer").await;
    let ended = rig.until_newest("ended").await.last().unwrap().clone();
    assert_eq!(ended.register, 1007.0);
    let [transaction] = &rig.station.transactions(1).await.unwrap()[..] else { panic!("not one") };
    assert_eq!(transaction.energy, 7.0);
    assert!(transaction.note.contains("stored reading"), "{transaction:?}");
}

#[tokio::test]
async fn whoever_plugs_in_while_a_transaction_is_still_closed_is_let_in_when_it_is() {
    let rig = Rig::start("free_vending = true").await;
    rig.plug(5).await;
    rig.until_newest("started").await;
    step(&rig, 6).await;
    rig.plug(6).await;
    let state = async || rig.station.evses().await.unwrap()[0].state.clone();
    rig.until("it is seen", async || state().await == "authorizing").await;
    rig.wake_meter();
    rig.until_world("let in", |world| world.authorization == Some((6, Authorization::Granted))).await;
}

/// What a screen is told next of a token that lets nobody in.
async fn next_refusal(told: &mut TokenRefusedStream) -> (u32, String) {
    let signal = tokio::time::timeout(SOON, told.next()).await.expect("no screen is told").unwrap();
    let args = signal.args().unwrap();
    (args.evse, args.why.to_string())
}

#[tokio::test]
async fn a_token_that_is_in_no_list_is_shown_to_the_back_end() {
    let rig = Rig::start(CSMS).await;
    rig.plug(5).await;
    rig.until_newest("plugged").await;
    let mut told = rig.station.receive_token_refused().await.unwrap();
    let refused = rig.station.authorize_token("BEEF", TokenKind::Iso14443, 1).await.unwrap();
    assert_eq!(refused.outcome, "refused");
    assert!(refused.detail.contains("unknown"), "{refused:?}");
    assert_eq!(next_refusal(&mut told).await, (1, "not-accepted".to_owned()));
    rig.world.lock().unwrap().verdict = accepted("FAMILY");
    let granted = rig.station.authorize_token("BEEF", TokenKind::Iso14443, 1).await.unwrap();
    assert_eq!(granted.outcome, "granted");
    let events = rig.until_newest("started").await;
    assert_eq!(events.last().unwrap().group, "FAMILY");
    let other = rig.station.authorize_token("CAFE", TokenKind::Iso14443, 0).await.unwrap();
    assert_eq!(other.outcome, "stopped", "a token of the same group ends it");
    let deauthorized = rig.until_newest("deauthorized").await.last().unwrap().clone();
    assert_eq!((deauthorized.reason, deauthorized.token.as_str()), (EndReason::Local, "CAFE"));
    let judged = rig.world.lock().unwrap().judged.clone();
    assert_eq!(judged.len(), 3, "{judged:?}");
}

const PATIENT: &str =
    "csms = { name = \"org.voltry.Ocpp1\", path = \"/org/voltry/csms\" }\ncsms_patience_s = 50";

#[tokio::test]
async fn while_a_back_end_thinks_everybody_else_is_answered_and_the_same_card_waits() {
    let rig = Rig::start(PATIENT).await;
    rig.world.lock().unwrap().verdict = None;
    let station = rig.station.clone();
    let waiting = tokio::spawn(async move { station.authorize_token("BEEF", TokenKind::Iso14443, 1).await });
    rig.until_world("it is asked", |world| world.judged.len() == 1).await;
    rig.plug(5).await;
    let state = async || rig.station.evses().await.unwrap()[0].state.clone();
    rig.until("a vehicle is shown", async || state().await == "authorizing").await;
    rig.station.set_limit(1, "operator", 50_000.0, 0.0).await.unwrap();
    let again = rig.station.authorize_token("BEEF", TokenKind::Iso14443, 1).await;
    assert!(matches!(again, Err(Error::Busy(_))), "{again:?}");
    assert!(!waiting.is_finished());
    assert_eq!(rig.world.lock().unwrap().judged.len(), 1);
    waiting.abort();
}

#[tokio::test]
async fn a_card_of_a_group_lets_in_whoever_waits_and_stops_nobody_beside() {
    let (rig, second) = Rig::with_second(CSMS).await;
    rig.world.lock().unwrap().verdict = accepted("FAMILY");
    rig.plug(5).await;
    rig.until_newest("plugged").await;
    let first = rig.station.authorize_token("BEEF", TokenKind::Iso14443, 0).await.unwrap();
    assert_eq!((first.evse, first.outcome.as_str()), (1, "granted"));
    rig.until_newest("started").await;
    rig.plug_at_second(&second, 7).await;
    rig.until_newest("plugged").await;
    let other = rig.station.authorize_token("CAFE", TokenKind::Iso14443, 0).await.unwrap();
    assert_eq!((other.evse, other.outcome.as_str()), (2, "granted"));
    rig.until_newest("started").await;
    assert_eq!(rig.world.lock().unwrap().stopped, None);
    assert!(!rig.kinds().await.iter().any(|kind| kind == "deauthorized"));
}

#[tokio::test]
async fn after_a_restart_a_register_that_cannot_be_is_not_billed() {
    let mut rig = Rig::start("free_vending = true").await;
    rig.plug(5).await;
    rig.until_newest("started").await;
    rig.flow(100.0, 100.0).await;
    rig.until_newest("charging").await;
    rig.kill();
    rig.start_daemon().await;
    // Each again and again: the daemon may not listen yet.
    let log = rig.folder.path().join("log");
    rig.until("it is not believed", async || {
        rig.meter(40_000_000.0).await;
        std::fs::read_to_string(&log).unwrap().contains("the meter contradicts itself")
    })
    .await;
    rig.until("the true one is believed", async || {
        rig.meter(1234.0).await;
        (rig.station.evses().await.unwrap()[0].energy - 234.0).abs() < 0.1
    })
    .await;
    rig.end("ended by the vehicle").await;
    let ended = rig.until_newest("ended").await.last().unwrap().clone();
    assert_eq!(ended.register, 1234.0);
}

#[tokio::test]
async fn a_back_end_that_hangs_costs_its_patience_and_the_list_holds_without_it() {
    for (away, outcome) in [("refuse", "refused"), ("allow", "granted")] {
        let rig = Rig::start(&format!("{CSMS}\ncsms_patience_s = 1\ncsms_away = \"{away}\"")).await;
        rig.world.lock().unwrap().verdict = None;
        rig.plug(5).await;
        rig.until_newest("plugged").await;
        let mut told = rig.station.receive_token_refused().await.unwrap();
        let answer = rig.station.authorize_token("BEEF", TokenKind::Iso14443, 1).await.unwrap();
        assert_eq!(answer.outcome, outcome, "{away}");
        if away == "refuse" {
            assert_eq!(next_refusal(&mut told).await, (1, "not-judged".to_owned()));
            let listed = rig.station.authorize_token("0A", TokenKind::Iso14443, 1).await.unwrap();
            assert_eq!(listed.outcome, "granted");
        }
        rig.until_newest("started").await;
    }
}

#[tokio::test]
async fn a_contract_takes_the_way_of_a_token_and_is_asked_for_once() {
    let rig = Rig::start(CSMS).await;
    rig.plug(5).await;
    rig.change(|world| world.contract = "DEABCC12345678".to_owned()).await;
    rig.until_world("asked", |world| world.judged.len() == 1).await;
    rig.tell().await;
    rig.world.lock().unwrap().verdict = accepted("");
    rig.unplug().await;
    rig.plug(6).await;
    rig.change(|world| world.contract = "DEABCC12345678".to_owned()).await;
    let events = rig.until_newest("started").await;
    let started = events.last().unwrap();
    assert_eq!((started.token.as_str(), started.token_kind), ("DEABCC12345678", TokenKind::Emaid));
    let judged = rig.world.lock().unwrap().judged.clone();
    assert_eq!(judged, vec![("DEABCC12345678".to_owned(), TokenKind::Emaid); 2]);
}

#[tokio::test]
async fn a_remote_start_waits_for_the_plug_in_a_session_of_the_book() {
    let rig = Rig::start("").await;
    let outcome = rig.station.remote_start(0, "APP1", TokenKind::Central, "", "17").await.unwrap();
    assert_eq!((outcome.evse, outcome.outcome.as_str()), (1, "remembered"));
    let other = rig.station.remote_start(1, "APP2", TokenKind::Central, "", "18").await.unwrap();
    assert_eq!(other.outcome, "refused");
    assert_eq!(rig.station.connectors().await.unwrap()[0].state, "preparing");
    rig.plug(5).await;
    let events = rig.until_newest("started").await;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["authorized", "plugged", "started"]);
    assert!(events.iter().all(|event| event.session == 1 && event.remote_start == "17"), "{events:?}");
    let taken = rig.station.remote_start(1, "APP2", TokenKind::Central, "", "18").await.unwrap();
    assert_eq!((taken.outcome.as_str(), taken.detail.as_str()), ("refused", "the EVSE is taken"));
    let transaction = events[2].transaction;
    rig.station.stop_transaction(transaction, EndReason::Remote).await.unwrap();
    rig.end("stopped by the back end").await;
    let ended = rig.until_newest("ended").await;
    assert_eq!(ended.last().unwrap().reason, EndReason::Remote);
    let over = rig.station.stop_transaction(transaction, EndReason::Remote).await;
    assert!(matches!(over, Err(Error::UnknownTransaction(_))), "{over:?}");
}

#[tokio::test]
async fn whoever_does_not_plug_in_is_waited_for_no_longer() {
    let rig = Rig::start("remember_token_s = 1").await;
    let _ = rig.station.remote_start(1, "APP1", TokenKind::Central, "", "17").await.unwrap();
    let events = rig.until_newest("connect-timed-out").await;
    assert_eq!(events.last().unwrap().reason, EndReason::Timeout);
    rig.settings.write("connection_timeout", "60").await.unwrap();
    let _ = rig.station.remote_start(1, "APP2", TokenKind::Central, "", "18").await.unwrap();
    let session = rig.until_newest("authorized").await.last().unwrap().session;
    rig.station.stop_session(session, EndReason::Remote).await.unwrap();
    assert_eq!(rig.until_newest("connect-timed-out").await.last().unwrap().reason, EndReason::Remote);
    let over = rig.station.stop_session(session, EndReason::Remote).await;
    assert!(matches!(over, Err(Error::Stale(_))), "{over:?}");
}

#[tokio::test]
async fn a_limit_reaches_the_evse_outlasts_a_restart_and_is_taken_away() {
    let mut rig = Rig::start("free_vending = true").await;
    rig.plug(5).await;
    rig.until_newest("started").await;
    let power =
        |watts: f64| move |world: &rig::World| world.permit.is_some_and(|permit| permit.power == watts);
    rig.until_world("the whole station's", power(100_000.0)).await;
    rig.station.set_limit(1, "csms", 20_000.0, 0.0).await.unwrap();
    rig.until_world("its own limit", power(20_000.0)).await;
    rig.station.set_limit(0, "operator", 0.0, 3600.0).await.unwrap();
    rig.until_world("suspended", power(0.0)).await;
    let connector = rig.station.connectors().await.unwrap().remove(0);
    assert_eq!((connector.limit, connector.limit_origin.as_str()), (0.0, "operator"));
    assert!(rig.world.lock().unwrap().stopped.is_none());
    rig.kill();
    rig.world.lock().unwrap().permit = None;
    rig.start_daemon().await;
    rig.until_world("suspended still", power(0.0)).await;
    rig.station.clear_limit(0, "operator").await.unwrap();
    rig.until_world("its own limit again", power(20_000.0)).await;
    rig.station.set_limit(1, "csms", 30_000.0, 2.0).await.unwrap();
    rig.until_world("for a while", power(30_000.0)).await;
    rig.until_world("over", power(100_000.0)).await;
    assert_eq!(rig.station.limits().await.unwrap(), []);
    for (origin, watts, seconds) in
        [("Csms", 1.0, 0.0), ("csms", -1.0, 0.0), ("csms", 1.0, -1.0), ("csms", f64::NAN, 0.0)]
    {
        assert!(
            rig.station.set_limit(1, origin, watts, seconds).await.is_err(),
            "{origin} {watts} {seconds}"
        );
    }
}

#[tokio::test]
async fn others_behind_the_grid_connection_leave_less_and_its_silent_meter_its_floor() {
    let meter = format!("{{ name = {:?}, path = {:?} }}", rig::METER_NAME, rig::GRID_PATH);
    let rig = Rig::start(&format!(
        "free_vending = true\n[station.energy]\nefficiency_percent = 95\n[station.energy.grid]\n\
         meter = {meter}\nlimit_w = 90000\nsilent_after_s = 3\nsilent_floor_w = 20000\n"
    ))
    .await;
    rig.plug(5).await;
    rig.until_newest("started").await;
    let power =
        |watts: f64| move |world: &rig::World| world.permit.is_some_and(|permit| permit.power == watts);
    rig.until_world("the floor before the meter's first word", power(19_000.0)).await;
    rig.grid_reads(30_000.0).await;
    rig.until_world("what others leave, less the losses", power(57_000.0)).await;
    rig.until("it is named", async || {
        let share = rig.station.shares().await.unwrap().remove(0);
        share.source == "grid" && share.permit == 57_000.0
    })
    .await;
    rig.until_world("the floor again", power(19_000.0)).await;
    rig.until("it is told that the meter is silent", async || {
        let lowest = rig.station.sources().await.unwrap().remove(0);
        lowest.source == "grid" && lowest.output == 19_000.0 && lowest.detail.contains("silent")
    })
    .await;
}

#[tokio::test]
async fn a_reservation_keeps_others_out_and_is_used_once() {
    let mut rig = Rig::start("tokens = [\"0A\", \"0B\"]").await;
    let later = 4_000_000_000_000_000;
    let reserve = async |rig: &Rig, id: &str, token: &str| {
        rig.station.reserve(id, 1, token, TokenKind::Iso14443, "", later).await.unwrap()
    };
    assert_eq!(reserve(&rig, "7", "0A").await, ReserveOutcome::Accepted);
    assert_eq!(reserve(&rig, "8", "0B").await, ReserveOutcome::Occupied);
    rig.kill();
    rig.start_daemon().await;
    let held = rig.station.reservations().await.unwrap();
    assert_eq!((held.len(), held[0].id.as_str(), held[0].identity.as_str()), (1, "7", "…0A"));
    assert_eq!(rig.station.connectors().await.unwrap()[0].state, "reserved");
    rig.plug(5).await;
    rig.until_newest("plugged").await;
    let other = rig.station.authorize_token("0B", TokenKind::Iso14443, 1).await.unwrap();
    assert_eq!((other.outcome.as_str(), other.detail.as_str()), ("refused", "reserved for somebody else"));
    let own = rig.station.authorize_token("0A", TokenKind::Iso14443, 1).await.unwrap();
    assert_eq!(own.outcome, "granted");
    assert_eq!(rig.until_newest("started").await.last().unwrap().reservation, "7");
    assert_eq!(rig.station.reservations().await.unwrap(), []);
    assert!(!rig.station.cancel_reservation("7").await.unwrap());
}

#[tokio::test]
async fn an_evse_goes_out_of_service_when_its_session_is_over() {
    let rig = Rig::start("free_vending = true").await;
    rig.plug(5).await;
    rig.until_newest("started").await;
    assert!(rig.station.change_availability(0, false).await.unwrap());
    rig.until_world("told", |world| !world.available).await;
    rig.station.set_limit(1, "csms", 1000.0, 0.0).await.unwrap();
    rig.until_world("still permitted", |world| {
        world.permit.is_some_and(|permit| permit.power == 1000.0 && permit.allowed)
    })
    .await;
    rig.end("ended by the vehicle").await;
    assert_eq!(rig.until_newest("ended").await.last().unwrap().reason, EndReason::StoppedByEv);
    rig.change(|world| {
        world.state = EvseState::Unavailable;
        world.session = voltry_bus::EvseSession::default();
    })
    .await;
    rig.until("out of service", async || rig.station.connectors().await.unwrap()[0].state == "unavailable")
        .await;
    let outcome = rig.station.remote_start(1, "APP1", TokenKind::Central, "", "1").await.unwrap();
    assert_eq!(outcome.outcome, "refused");
    assert!(!rig.station.change_availability(0, true).await.unwrap());
    rig.until_world("told", |world| world.available).await;
}

#[tokio::test]
async fn a_signed_end_whose_answer_was_lost_is_asked_for_again() {
    let rig = Rig::start("free_vending = true").await;
    rig.plug(5).await;
    rig.until_newest("started").await;
    rig.meter(1500.0).await;
    rig.world.lock().unwrap().lost_answers = 1;
    rig.end("ended by the vehicle").await;
    let events = rig.until_newest("ended").await;
    assert_eq!(events.last().unwrap().signed, "OCMF|stop|1500");
}

#[tokio::test]
async fn a_self_test_takes_an_evse_out_of_service_for_itself_alone() {
    let mut rig = Rig::start("").await;
    let test = async |rig: &Rig| {
        let leaves = async {
            rig.until_world("told to leave", |world| !world.available).await;
            rig.change(|world| world.state = EvseState::Unavailable).await;
        };
        let (tested, ()) = tokio::join!(rig.station.self_test(1, SelfTestStep::Lock), leaves);
        assert_eq!(tested.unwrap().outcome, SelfTestOutcome::Passed);
        assert!(!rig.station.evses().await.unwrap()[0].available);
    };
    test(&rig).await;
    rig.station.end_self_test(1).await.unwrap();
    rig.until_world("in service again", |world| world.available).await;
    // Somebody takes it out of service meanwhile: that stays.
    test(&rig).await;
    rig.station.set_available(1, false).await.unwrap();
    rig.station.end_self_test(1).await.unwrap();
    rig.until("ended", async || !rig.station.evses().await.unwrap()[0].available).await;
    rig.station.set_available(1, true).await.unwrap();
    rig.until_world("in service again", |world| world.available).await;
    // Nothing of a test is left after a restart.
    test(&rig).await;
    rig.kill();
    rig.start_daemon().await;
    rig.until_world("in service again", |world| world.available).await;
    assert!(rig.station.evses().await.unwrap()[0].available);
    rig.plug(5).await;
    rig.until_newest("plugged").await;
    assert!(matches!(rig.station.self_test(9, SelfTestStep::Lock).await, Err(Error::UnknownEvse(_))));
}

#[tokio::test]
async fn a_setting_is_checked_lasts_and_changes_what_the_book_gets() {
    let mut rig = Rig::start("free_vending = true").await;
    let settings = rig.settings.list().await.unwrap();
    let names: Vec<_> = settings.iter().map(|setting| setting.name.as_str()).collect();
    assert_eq!(names, ["reading_interval", "clock_aligned_interval", "connection_timeout"]);
    for (value, refused) in [("86401", "OutOfRange"), ("-1", "OutOfRange"), ("often", "Invalid")] {
        let error = rig.settings.write("reading_interval", value).await.unwrap_err();
        assert!(format!("{error:?}").contains(refused), "{value}: {error:?}");
    }
    assert!(matches!(rig.settings.write("pace", "1").await, Err(Error::UnknownSetting(_))));
    assert!(!rig.settings.write("reading_interval", "1").await.unwrap(), "no restart is needed");
    rig.kill();
    rig.start_daemon().await;
    assert_eq!(rig.settings.read("reading_interval").await.unwrap(), "1");
    rig.plug(5).await;
    rig.until_newest("started").await;
    rig.until("a reading", async || {
        rig.meter(1001.0).await;
        rig.kinds().await.contains(&"reading".to_owned())
    })
    .await;
}

#[tokio::test]
async fn a_clock_aligned_reading_stands_exactly_on_its_mark() {
    let rig = Rig::start("free_vending = true").await;
    rig.plug(5).await;
    rig.until_newest("started").await;
    rig.meter(1001.0).await;
    rig.until("heard", async || rig.station.evses().await.unwrap()[0].energy > 0.0).await;
    rig.settings.write("clock_aligned_interval", "1").await.unwrap();
    let events = rig.until_newest("clock-reading").await;
    let reading = events.last().unwrap();
    assert_eq!(reading.time % 1_000_000, 0, "{reading:?}");
    assert_eq!(reading.register, 1001.0);
}
