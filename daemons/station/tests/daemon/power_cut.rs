//! The power goes, or the process dies, after every single step of a transaction: what was told is
//! in the book, in order and once, and the energy is the meter's.

use futures_util::future::join_all;
use voltry_bus::{EndReason, EventKind, EvseState, SessionEvent};

use crate::rig::Rig;
use crate::steps::{STEPS, step};

const TABLE: &str = "tokens = [\"04A1B2C3\"]";

/// A station that did the steps up to `last`, was killed, and has the book that the disk kept.
async fn cut_after(last: usize) -> (Rig, Vec<SessionEvent>) {
    let mut rig = Rig::start(TABLE).await;
    for number in 0..=last {
        step(&rig, number).await;
    }
    let kept = rig.copy_book();
    let told = rig.events().await;
    rig.kill();
    rig.restore_book(&kept);
    (rig, told)
}

/// What must be true of every book.
fn check(cut: &str, told: &[SessionEvent], after: &[SessionEvent], register: f64) {
    assert!(after.starts_with(told), "{cut}: what was told is no longer there: {told:?}, {after:?}");
    let count = |session: u64, kind: EventKind| {
        after.iter().filter(|event| event.session == session && event.kind == kind).count()
    };
    let sessions: std::collections::BTreeSet<u64> = after.iter().map(|event| event.session).collect();
    for session in sessions {
        let of_session: Vec<_> = after.iter().filter(|event| event.session == session).collect();
        assert_eq!(of_session[0].kind, EventKind::Plugged, "{cut}: {after:?}");
        assert_eq!(of_session.last().unwrap().kind, EventKind::Unplugged, "{cut}: {after:?}");
        assert_eq!(count(session, EventKind::Plugged), 1, "{cut}");
        assert_eq!(count(session, EventKind::Unplugged), 1, "{cut}");
    }
    let of_kind = |kind: EventKind| after.iter().filter(move |event| event.kind == kind);
    let started: Vec<_> = of_kind(EventKind::Started).collect();
    let ended: Vec<_> = of_kind(EventKind::Ended).collect();
    assert!(started.len() <= 1 && started.len() == ended.len(), "{cut}: {after:?}");
    for (started, ended) in started.iter().zip(&ended) {
        assert_eq!(started.transaction, ended.transaction, "{cut}");
        assert!(started.number < ended.number, "{cut}");
        assert_eq!((started.register, ended.register), (1000.0, register), "{cut}: by the meter");
    }
}

#[tokio::test]
async fn a_killed_station_goes_on_where_it_was_after_every_step() {
    join_all((0..STEPS.len()).map(async |last| {
        let cut = STEPS[last];
        let (mut rig, told) = cut_after(last).await;
        rig.wake_meter();
        rig.start_daemon().await;
        // The rest of the transaction, as if nothing had been.
        let begun = told.iter().any(|event| event.kind == EventKind::Started);
        if !begun {
            assert_eq!(rig.station.authorize("04A1B2C3", 1).await.unwrap().outcome, "granted", "{cut}");
            rig.until_newest("started").await;
        }
        let over = last >= 6;
        let register = if over { rig.world.lock().unwrap().register } else { 1234.0 };
        rig.world.lock().unwrap().register = register;
        if !over {
            rig.end("ended by the vehicle").await;
        }
        rig.until("it is closed", async || rig.kinds().await.contains(&"ended".to_owned())).await;
        if last < 8 {
            rig.unplug().await;
        }
        let after = rig.until_newest("unplugged").await;
        assert_eq!(
            after.iter().filter(|event| event.kind == EventKind::Started).count(),
            1,
            "{cut}: {after:?}"
        );
        check(cut, &told, &after, register);
    }))
    .await;
}

#[tokio::test]
async fn after_a_power_cut_at_every_step_the_transaction_is_closed_by_the_meter() {
    join_all((0..STEPS.len()).map(async |last| {
        let cut = STEPS[last];
        let (mut rig, mut told) = cut_after(last).await;
        rig.boot_anew();
        for event in &mut told {
            "before".clone_into(&mut event.boot);
        }
        let begun = told.iter().any(|event| event.kind == EventKind::Started);
        let closed = told.iter().any(|event| event.kind == EventKind::Ended);
        let register = {
            let mut world = rig.world.lock().unwrap();
            world.state = EvseState::Available;
            world.session = voltry_bus::EvseSession::default();
            if !closed {
                // What flowed until the contactors opened.
                world.register = 1077.0;
            }
            world.register
        };
        rig.wake_meter();
        rig.start_daemon().await;
        let after = rig.until_newest("unplugged").await;
        let ended = after.iter().find(|event| event.kind == EventKind::Ended);
        assert_eq!(ended.is_some(), begun, "{cut}: {after:?}");
        assert!(closed || ended.is_none_or(|ended| ended.reason == EndReason::PowerLoss), "{cut}: {ended:?}");
        check(cut, &told, &after, register);
        rig.until_world("the meter is free", |world| world.open.is_none() || !begun).await;
    }))
    .await;
}
