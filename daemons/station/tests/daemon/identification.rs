//! Who is let in or let out by something else than a card of his own: master passes, codes, a start button.

use voltry_bus::{EndReason, Error, EventKind, SessionEvent, TokenKind, TokenStatus};

use crate::rig::{Rig, Shared};
use crate::{accepted, next_refusal};

const BACK_END: &str = "csms = { name = \"org.voltry.Ocpp1\", path = \"/org/voltry/csms\" }";

/// A vehicle at each of two EVSEs, and a card that lets it in.
async fn both_let_in(rig: &Rig, second: &Shared) {
    rig.plug(5).await;
    rig.plug_at_second(second, 6).await;
    rig.until("both are plugged in", async || {
        rig.kinds().await.iter().filter(|kind| *kind == "plugged").count() == 2
    })
    .await;
    for evse in [1, 2] {
        rig.world.lock().unwrap().verdict = accepted("");
        let granted = rig.station.authorize_token(&format!("CARD{evse}"), TokenKind::Iso14443, evse).await;
        assert_eq!(granted.unwrap().outcome, "granted");
    }
}

#[tokio::test]
async fn a_master_pass_ends_what_runs_and_begins_nothing() {
    let (rig, second) = Rig::with_second(BACK_END).await;
    let pass = async |rig: &Rig, evse| {
        rig.station.authorize_token("POLICE1", TokenKind::Iso14443, evse).await.unwrap().outcome
    };
    both_let_in(&rig, &second).await;
    rig.world.lock().unwrap().verdict = Some((TokenStatus::MasterPass, "POLICE".to_owned()));
    assert_eq!(pass(&rig, 2).await, "stopped");
    rig.until("it ends where it was shown", async || second.lock().unwrap().stopped.is_some()).await;
    assert_eq!(rig.world.lock().unwrap().stopped, None, "and there alone");
    assert_eq!(pass(&rig, 0).await, "stopped");
    rig.until("it ends", async || rig.world.lock().unwrap().stopped.is_some()).await;
    let events = rig.events().await;
    let by: Vec<_> = events.iter().filter(|event| event.kind == EventKind::Deauthorized).collect();
    let told = |event: &SessionEvent| (event.evse, event.reason, event.token.clone());
    let master = |evse| (evse, EndReason::MasterPass, "POLICE1".to_owned());
    assert_eq!(by.iter().map(|event| told(event)).collect::<Vec<_>>(), [master(2), master(1)]);
    let rig = Rig::start(BACK_END).await;
    rig.world.lock().unwrap().verdict = Some((TokenStatus::MasterPass, "POLICE".to_owned()));
    rig.plug(7).await;
    rig.until_newest("plugged").await;
    let mut told = rig.station.receive_token_refused().await.unwrap();
    assert_eq!(pass(&rig, 1).await, "refused");
    assert_eq!(next_refusal(&mut told).await, (1, "not-accepted".to_owned()));
}

#[tokio::test]
async fn whoever_shows_a_master_pass_where_several_charge_says_at_the_screen_which_is_meant() {
    let (rig, second) = Rig::with_second(&format!("master_pass_asks = true\n{BACK_END}")).await;
    let pass = async |evse| {
        rig.world.lock().unwrap().verdict = Some((TokenStatus::MasterPass, "POLICE".to_owned()));
        rig.station.authorize_token("POLICE1", TokenKind::Iso14443, evse).await.unwrap().outcome
    };
    both_let_in(&rig, &second).await;
    assert!(
        matches!(rig.station.end_by_master_pass(2).await, Err(Error::Refused(_))),
        "nobody has shown one"
    );
    assert_eq!(pass(0).await, "asked");
    assert!(rig.station.master_pass_asked().await.unwrap());
    assert!(matches!(rig.station.end_by_master_pass(7).await, Err(Error::UnknownEvse(_))));
    assert!(!rig.kinds().await.contains(&"deauthorized".to_owned()), "it is asked first");
    rig.station.end_by_master_pass(2).await.unwrap();
    rig.until("it ends where it was said", async || second.lock().unwrap().stopped.is_some()).await;
    assert_eq!(rig.world.lock().unwrap().stopped, None, "and there alone");
    rig.until("it waits no longer", async || !rig.station.master_pass_asked().await.unwrap()).await;
    assert!(
        matches!(rig.station.end_by_master_pass(1).await, Err(Error::Refused(_))),
        "one pass, one answer"
    );
    let events = rig.events().await;
    let ended = events.iter().find(|event| event.kind == EventKind::Deauthorized).unwrap();
    assert_eq!((ended.evse, ended.reason, ended.token.as_str()), (2, EndReason::MasterPass, "POLICE1"));
}

#[tokio::test]
async fn a_code_is_the_back_ends_to_judge_and_few_wrong_ones_are_tried() {
    let rig = Rig::start(&format!("key_pad = true\ntokens = [\"47110000\"]\n{BACK_END}")).await;
    rig.plug(5).await;
    rig.until_newest("plugged").await;
    let mut told = rig.station.receive_token_refused().await.unwrap();
    for bad in ["", "471", "4711471147114", "47 1", "ABCD"] {
        assert!(matches!(rig.station.enter_code(bad, 1).await, Err(Error::Invalid(_))), "{bad:?}");
    }
    for number in 0..5 {
        // The first is the number of a card that the station's own list has: nobody types a card.
        let code = format!("4711000{number}");
        assert_eq!(rig.station.enter_code(&code, 1).await.unwrap().outcome, "refused");
        assert_eq!(next_refusal(&mut told).await, (1, "wrong-code".to_owned()));
    }
    rig.world.lock().unwrap().verdict = accepted("");
    for kind in [TokenKind::KeyCode, TokenKind::Iso14443] {
        let refused = rig.station.authorize_token("47119999", kind, 1).await.unwrap();
        assert_eq!(refused.outcome == "refused", kind == TokenKind::KeyCode, "cards are no guesses");
    }
    assert_eq!(next_refusal(&mut told).await, (1, "too-many-codes".to_owned()));
    let judged = rig.world.lock().unwrap().judged.clone();
    assert_eq!(judged.iter().filter(|(_, kind)| *kind == TokenKind::KeyCode).count(), 5, "{judged:?}");
    assert!(!rig.log().contains("4711"), "no code is in the log, and of no card the whole number");
}

#[tokio::test]
async fn the_code_that_began_a_session_ends_it_and_a_station_without_a_pad_takes_none() {
    let rig = Rig::start(BACK_END).await;
    assert!(matches!(rig.station.enter_code("4711", 1).await, Err(Error::Refused(_))));
    rig.world.lock().unwrap().verdict = accepted("");
    rig.plug(5).await;
    rig.until_newest("plugged").await;
    let typed = async |kind| rig.station.authorize_token("4711", kind, 1).await.unwrap().outcome;
    assert_eq!(typed(TokenKind::KeyCode).await, "granted", "as from a maker's own pad");
    rig.until_newest("started").await;
    assert_eq!(typed(TokenKind::Iso14443).await, "refused", "a card of that number is another token");
    assert_eq!(typed(TokenKind::KeyCode).await, "stopped");
    let identity = &rig.station.transactions(1).await.unwrap()[0].identity;
    assert_eq!(identity, "…", "nobody reads it in the book");
}

#[tokio::test]
async fn whoever_presses_the_start_button_charges_without_a_token() {
    let rig = Rig::start("start_button = true").await;
    rig.plug(5).await;
    rig.until_newest("plugged").await;
    assert_eq!(rig.world.lock().unwrap().authorization, None, "plugging in is not enough");
    assert_eq!(rig.station.press_start(0).await.unwrap().outcome, "granted");
    let started = rig.until_newest("started").await.last().unwrap().clone();
    assert_eq!((started.token.as_str(), started.token_kind), ("", TokenKind::NoAuthorization));
    let again = rig.station.authorize_token("", TokenKind::NoAuthorization, 1).await.unwrap();
    assert_eq!(again.outcome, "refused", "it ends nothing");
    let rig = Rig::start("").await;
    assert!(matches!(rig.station.press_start(1).await, Err(Error::Refused(_))));
}
