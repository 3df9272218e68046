//! The power goes, or the process dies, after every single step of a transaction: what was told is
//! in the book, in order and once, and the energy is the meter's.

use futures_util::future::join_all;
use voltry_bus::{Authorization, EndReason, EventKind, EvseState, SessionEvent};

use crate::rig::Rig;

const TABLE: &str = "tokens = [\"04A1B2C3\"]";

/// The steps of a transaction; each returns when it is as true as it becomes.
const STEPS: [&str; 9] = [
    "plugged in",
    "authorized, and the meter does not answer yet",
    "begun",
    "current flows",
    "a reading",
    "told to stop",
    "ended, and the meter does not answer yet",
    "closed",
    "unplugged",
];

async fn step(rig: &Rig, step: usize) {
    match step {
        0 => {
            rig.plug(5).await;
            rig.until_newest("plugged").await;
        }
        1 => {
            rig.world.lock().unwrap().meter_hangs = true;
            assert_eq!(rig.station.authorize("04A1B2C3", 1).await.unwrap().outcome, "granted");
            rig.until_newest("authorized").await;
            rig.until_world("the meter is asked", |world| world.meter_asked == 1).await;
        }
        2 => {
            rig.wake_meter();
            rig.until_newest("started").await;
            rig.until_world("granted", |world| world.authorization == Some((5, Authorization::Granted)))
                .await;
        }
        3 => {
            rig.flow(100.0, 100.0).await;
            rig.until_newest("charging").await;
        }
        4 => {
            rig.settings.write("reading_interval", "1").await.unwrap();
            let mut register = 1001.0;
            while rig.kinds().await.last().unwrap() != "reading" {
                rig.meter(register).await;
                register += 1.0;
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        }
        5 => {
            rig.station.stop(1).await.unwrap();
            rig.until("deauthorized", async || rig.kinds().await.contains(&"deauthorized".to_owned())).await;
        }
        6 => {
            rig.world.lock().unwrap().meter_hangs = true;
            rig.end("stopped by the operator").await;
            rig.until_world("the meter is asked", |world| world.meter_asked == 2).await;
        }
        7 => {
            rig.wake_meter();
            rig.until_newest("ended").await;
        }
        8 => {
            rig.unplug().await;
            rig.until_newest("unplugged").await;
        }
        _ => unreachable!("there are {} steps", STEPS.len()),
    }
}

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
        // Another boot: the kernel's id cannot be changed, so the book's is.
        let book = rusqlite::Connection::open(rig.database()).unwrap();
        for table in ["sessions", "transactions", "events"] {
            book.execute(&format!("UPDATE {table} SET boot_id = 'before'"), []).unwrap();
        }
        drop(book);
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
