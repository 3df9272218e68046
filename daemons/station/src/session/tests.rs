use super::*;
use crate::authorization::Token;
use voltry_bus::TokenKind;

const NOW: Timestamp = Timestamp::from_micros(1_000_000);

fn view(session: u64, state: EvseState) -> EvseView {
    EvseView { state, session, ended: false, end_reason: String::new() }
}

fn ended(session: u64, reason: &str) -> EvseView {
    EvseView { state: EvseState::Finished, session, ended: true, end_reason: reason.to_owned() }
}

fn payer() -> Payer {
    Payer::holder(Token::parse("04A1B2C3").unwrap(), TokenKind::Iso14443)
}

fn let_in(payer: Payer) -> Input {
    Input::LetIn { payer, noted: false }
}

fn note(session: u64, kind: EventKind) -> Action {
    Action::note(session, kind, Ending::new(EndReason::None, ""))
}

fn authorized(payer: Payer) -> [Action; 2] {
    let why = Ending::new(EndReason::None, "");
    [
        Action::Note { session: 5, kind: EventKind::Authorized, payer: Some(payer.clone()), why },
        Action::Open { session: 5, payer },
    ]
}

/// A session that is running: session 5, transaction 9.
fn running() -> SessionControl {
    let mut control = SessionControl::default();
    let plugged = control.step(NOW, Input::Evse(view(5, EvseState::Authorizing)));
    assert_eq!(plugged, [note(5, EventKind::Plugged)]);
    assert_eq!(control.step(NOW, let_in(payer())), authorized(payer()));
    assert_eq!(control.step(NOW, Input::Opened(Ok(9))), [Action::Grant { session: 5 }]);
    control
}

fn close(words: &str) -> [Action; 1] {
    close_for(EndReason::Other, words)
}

fn close_for(reason: EndReason, words: &str) -> [Action; 1] {
    [Action::Close { transaction: 9, why: Ending::new(reason, words) }]
}

#[test]
fn nothing_is_granted_before_the_book_has_the_transaction() {
    let mut control = SessionControl::default();
    let _ = control.step(NOW, Input::Evse(view(5, EvseState::Connected)));
    let actions = control.step(NOW, let_in(Payer::anyone()));
    assert_eq!(actions, authorized(Payer::anyone()));
    assert_eq!(control.transaction(), None);
    assert_eq!(control.step(NOW, Input::Opened(Ok(9))), [Action::Grant { session: 5 }]);
    assert_eq!(control.transaction(), Some(9));
}

#[test]
fn what_cannot_be_billed_is_refused() {
    let mut control = SessionControl::default();
    let _ = control.step(NOW, Input::Evse(view(5, EvseState::Connected)));
    let _ = control.step(NOW, let_in(Payer::anyone()));
    let actions = control.step(NOW, Input::Opened(Err("meter out of reach".to_owned())));
    let words = "meter out of reach";
    assert_eq!(
        actions,
        [
            Action::note(5, EventKind::Deauthorized, Ending::new(EndReason::Other, words)),
            Action::Refuse { session: 5, reason: words.to_owned() }
        ]
    );
    assert_eq!(control.step(NOW, let_in(Payer::anyone())), [], "one refusal ends the session's chance");
}

#[test]
fn nobody_is_let_in_where_no_vehicle_waits() {
    assert_eq!(SessionControl::default().step(NOW, let_in(Payer::anyone())), []);
    assert_eq!(running().step(NOW, let_in(payer())), []);
}

#[test]
fn the_end_of_delivery_closes_with_its_reason_and_unplugging_makes_room() {
    let mut control = running();
    assert_eq!(control.step(NOW, Input::Evse(ended(5, "vehicle stopped"))), close("vehicle stopped"));
    assert_eq!(control.step(NOW, Input::Closed), []);
    assert_eq!(control.waiting(), None, "the same session is not sold twice");
    let _ = control.step(NOW, Input::Evse(view(0, EvseState::Available)));
    let _ = control.step(NOW, Input::Evse(view(6, EvseState::Connected)));
    assert_eq!(control.waiting(), Some(6));
}

#[test]
fn a_lost_evse_daemon_closes_the_transaction_when_its_leases_have_lapsed() {
    let mut control = running();
    assert_eq!(control.step(NOW, Input::EvseLost), [], "current may still flow");
    assert_eq!(control.step(NOW, Input::Evse(view(0, EvseState::Starting))), [], "it opens, and has not yet");
    assert_eq!((control.step(NOW, Input::Tick), control.transaction()), (vec![], Some(9)));
    assert_eq!(control.step(NOW + LAPSED, Input::Tick), close("the EVSE's daemon was lost"));
    assert_eq!(
        control.step(NOW + LAPSED, Input::Closed),
        [Action::note(
            5,
            EventKind::Unplugged,
            Ending::new(EndReason::None, "the EVSE's daemon was restarted")
        )]
    );
}

#[test]
fn a_vehicle_torn_off_under_a_fault_leaves_the_fault_as_the_reason() {
    let mut control = running();
    let faulted = EvseView { end_reason: "MREC14PilotFault".to_owned(), ..view(5, EvseState::Emergency) };
    assert_eq!(control.step(NOW, Input::Evse(faulted.clone())), [], "current may still flow");
    let mut lost = control.clone();
    let torn_off = close_for(EndReason::EvDisconnected, "MREC14PilotFault");
    assert_eq!(
        control.step(NOW, Input::Evse(view(0, EvseState::Faulted))),
        torn_off,
        "the session is over before it was ever seen as ended"
    );
    assert_eq!(lost.step(NOW, Input::EvseLost), []);
    assert_eq!(lost.step(NOW + LAPSED, Input::Tick), torn_off);
}

#[test]
fn a_vehicle_that_stopped_and_came_back_did_not_end_it() {
    let mut control = running();
    let stopping = EvseView { end_reason: "ended by the vehicle".to_owned(), ..view(5, EvseState::Stopping) };
    let _ = control.step(NOW, Input::Evse(stopping));
    let _ = control.step(NOW, Input::Evse(view(5, EvseState::Paused)));
    assert_eq!(
        control.step(NOW, Input::Evse(view(0, EvseState::Available))),
        close_for(EndReason::EvDisconnected, "unplugged")
    );
}

#[test]
fn an_evse_that_came_back_with_another_session_closes_the_old_one() {
    let mut control = running();
    assert_eq!(
        control.step(NOW, Input::Evse(view(6, EvseState::Connected))),
        close("the EVSE's daemon was restarted")
    );
    let _ = control.step(NOW, Input::Closed);
    assert_eq!(control.waiting(), Some(6), "the session seen while closing is not forgotten");
}

#[test]
fn a_session_that_ends_while_it_is_opened_is_closed_as_soon_as_it_stands() {
    let mut control = SessionControl::default();
    let _ = control.step(NOW, Input::Evse(view(5, EvseState::Connected)));
    let _ = control.step(NOW, let_in(Payer::anyone()));
    assert_eq!(control.step(NOW, Input::Evse(view(0, EvseState::Available))), []);
    assert_eq!(control.step(NOW, Input::Opened(Ok(9))), close_for(EndReason::EvDisconnected, "unplugged"));
}

#[test]
fn a_restarted_station_goes_on_with_a_session_that_still_runs() {
    let mut control = SessionControl::plugged(Some(5)).recovering(NOW, Left::OfThisBoot(5), 9, payer());
    let grant_again = [Action::Grant { session: 5 }];
    assert_eq!(
        control.step(NOW, Input::Evse(view(5, EvseState::Authorizing))),
        grant_again,
        "it may be lost"
    );
    assert_eq!(control.step(NOW, Input::Evse(view(5, EvseState::Charging))), []);
    assert_eq!(control.transaction(), Some(9));
    assert_eq!(control.step(NOW, Input::Evse(ended(5, "vehicle stopped"))), close("vehicle stopped"));
}

#[test]
fn a_restarted_station_closes_what_ended_while_it_was_down() {
    let mut control = SessionControl::plugged(Some(5)).recovering(NOW, Left::OfThisBoot(5), 9, payer());
    assert_eq!(control.step(NOW, Input::Evse(ended(5, "emergency stop"))), close("emergency stop"));

    let mut rebooted =
        SessionControl::default().recovering(NOW, Left::OfAnother(EndReason::PowerLoss), 9, payer());
    assert_eq!(
        rebooted.step(NOW, Input::Evse(view(0, EvseState::Available))),
        close_for(EndReason::PowerLoss, "the station was down when the session ended")
    );
}

#[test]
fn a_transaction_whose_evse_does_not_come_back_is_closed_in_time() {
    let mut control = SessionControl::plugged(Some(5)).recovering(NOW, Left::OfThisBoot(5), 9, payer());
    assert_eq!(control.step(NOW + RECOVERY - Duration::from_micros(1), Input::Tick), []);
    assert_eq!(control.step(NOW + RECOVERY, Input::Tick), close("the EVSE's daemon did not come back"));
    assert_eq!(control.step(NOW + RECOVERY, Input::Tick), [], "it is closed once");
}

#[test]
fn who_was_let_in_before_the_plug_is_told_once() {
    let mut control = SessionControl::default();
    let _ = control.step(NOW, Input::Evse(view(5, EvseState::Connected)));
    let actions = control.step(NOW, Input::LetIn { payer: payer(), noted: true });
    assert_eq!(actions, [Action::Open { session: 5, payer: payer() }]);
}

#[test]
fn unplugging_is_told_after_the_end_and_once() {
    let mut control = running();
    let gone = Input::Evse(view(0, EvseState::Available));
    assert_eq!(control.step(NOW, gone.clone()), close_for(EndReason::EvDisconnected, "unplugged"));
    assert_eq!(control.step(NOW, gone.clone()), [], "the transaction is still being closed");
    assert_eq!(control.step(NOW, Input::Closed), [note(5, EventKind::Unplugged)]);
    assert_eq!(control.step(NOW, gone), []);
    let next = control.step(NOW, Input::Evse(view(6, EvseState::Connected)));
    assert_eq!(next, [note(6, EventKind::Plugged)]);
}

#[test]
fn a_station_that_restarts_tells_of_a_plug_once() {
    let mut control = SessionControl::plugged(Some(5));
    assert_eq!(control.step(NOW, Input::Evse(view(5, EvseState::Connected))), []);
    let changed = control.step(NOW, Input::Evse(view(6, EvseState::Connected)));
    assert_eq!(changed, [note(5, EventKind::Unplugged), note(6, EventKind::Plugged)]);
}

#[test]
fn who_stops_a_session_is_the_reason_unless_something_broke() {
    let remote = Ending::new(EndReason::Remote, "stopped by the back end");
    let mut control = running();
    let deauthorized = Action::note(5, EventKind::Deauthorized, remote.clone());
    let stop = Action::Stop { words: remote.words.clone() };
    assert_eq!(control.step(NOW, Input::Stop(remote.clone())), [deauthorized, stop.clone()]);
    assert_eq!(control.step(NOW, Input::Stop(remote.clone())), [stop], "told to the book once");
    let mut broken = control.clone();
    assert_eq!(
        control.step(NOW, Input::Evse(ended(5, &remote.words))),
        close_for(EndReason::Remote, &remote.words)
    );
    let words = "MREC8EmergencyStop";
    assert_eq!(broken.step(NOW, Input::Evse(ended(5, words))), close_for(EndReason::EmergencyStop, words));
}

#[test]
fn a_reset_is_told_to_the_book_where_it_has_no_transaction_too() {
    let reset = Ending::new(EndReason::ImmediateReset, "stopped by the back end");
    let stop = Action::Stop { words: reset.words.clone() };
    let told = Action::note(5, EventKind::Deauthorized, reset.clone());
    let mut waiting = SessionControl::default();
    let _ = waiting.step(NOW, Input::Evse(view(5, EvseState::Connected)));
    let mut over = running();
    let _ = over.step(NOW, Input::Stop(Ending::new(EndReason::Local, "stopped by token")));
    let _ = over.step(NOW, Input::Evse(ended(5, "stopped by token")));
    let _ = over.step(NOW, Input::Closed);
    for mut control in [waiting, over] {
        let local = Ending::new(EndReason::Local, "stopped by the operator");
        assert!(
            matches!(control.step(NOW, Input::Stop(local))[..], [Action::Stop { .. }]),
            "nobody was let in"
        );
        assert_eq!(control.step(NOW, Input::Stop(reset.clone())), [told.clone(), stop.clone()]);
    }
}

#[test]
fn a_stop_that_comes_while_it_is_opened_ends_it_as_soon_as_it_stands() {
    let mut control = SessionControl::default();
    let _ = control.step(NOW, Input::Evse(view(5, EvseState::Connected)));
    let _ = control.step(NOW, let_in(payer()));
    let why = Ending::new(EndReason::Local, "stopped by token");
    let _ = control.step(NOW, Input::Stop(why.clone()));
    assert_eq!(control.step(NOW, Input::Opened(Ok(9))), close_for(why.reason, &why.words));
}

#[test]
fn the_flow_is_told_of_a_transaction_alone() {
    let mut control = running();
    assert_eq!(control.step(NOW, Input::Flow(EventKind::Charging)), [note(5, EventKind::Charging)]);
    let _ = control.step(NOW, Input::Evse(ended(5, "")));
    assert_eq!(control.step(NOW, Input::Flow(EventKind::SuspendedEv)), []);
}

mod sequences {
    use super::*;
    use proptest::prelude::*;

    fn input() -> impl Strategy<Value = Input> {
        let states = prop::sample::select(EvseState::ALL);
        prop_oneof![
            4 => (states, 0..3_u64, any::<bool>()).prop_map(|(state, session, ended)| {
                Input::Evse(EvseView { state, session, ended, end_reason: String::new() })
            }),
            1 => Just(Input::EvseLost),
            2 => Just(let_in(Payer::anyone())),
            2 => (1..99_u64).prop_map(|id| Input::Opened(Ok(id))),
            1 => Just(Input::Opened(Err(String::new()))),
            2 => Just(Input::Closed),
            1 => Just(Input::Stop(Ending::new(EndReason::Remote, "stop"))),
            1 => Just(Input::Flow(EventKind::Charging)),
            1 => Just(Input::Tick),
        ]
    }

    proptest! {
        /// Every transaction that was opened is closed once, and granted only in between. What is told
        /// of a plug alternates, and nothing else is told of a session that is not plugged in.
        #[test]
        fn whatever_happens_each_transaction_is_closed_at_most_once(inputs in prop::collection::vec(input(), 0..200)) {
            let mut control = SessionControl::default();
            let mut opening = false;
            let mut open: Option<TransactionId> = None;
            let mut plugged: Option<u64> = None;
            for input in inputs {
                // The shell answers only what it was asked.
                if matches!(input, Input::Opened(_)) && !opening {
                    continue;
                }
                let opened = if let Input::Opened(Ok(id)) = &input { Some(*id) } else { None };
                if matches!(input, Input::Opened(_)) { opening = false; }
                if let Some(id) = opened { open = Some(id); }
                for action in control.step(NOW, input) {
                    match action {
                        Action::Open { .. } => { prop_assert!(!opening && open.is_none()); opening = true; }
                        Action::Grant { .. } => prop_assert!(open.is_some()),
                        Action::Close { transaction, .. } => { prop_assert_eq!(open.take(), Some(transaction)); }
                        Action::Refuse { .. } => prop_assert!(open.is_none()),
                        Action::Stop { .. } => {}
                        Action::Note { session, kind: EventKind::Plugged, .. } => {
                            prop_assert!(plugged.is_none() && open.is_none());
                            plugged = Some(session);
                        }
                        Action::Note { session, kind: EventKind::Unplugged, .. } => {
                            prop_assert!(open.is_none());
                            prop_assert_eq!(plugged.take(), Some(session));
                        }
                        Action::Note { session, .. } => prop_assert_eq!(plugged, Some(session)),
                    }
                }
                prop_assert_eq!(control.transaction(), open);
            }
        }
    }
}
