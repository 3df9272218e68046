mod exports;
mod tokens;

use std::time::Duration;

use voltry_bus::{EndReason, TokenKind};
use voltry_units::{Timestamp, Watts};

use super::*;
use crate::authorization::{Payer, Token};

/// A moment of the boot "boot", in seconds.
fn at(seconds: i64) -> Stamp {
    in_boot("boot", seconds)
}

fn in_boot(boot: &str, seconds: i64) -> Stamp {
    let since_boot = Duration::from_secs(u64::try_from(seconds).unwrap());
    Stamp { unix: seconds * 1_000_000, clock_set: true, boot: boot.into(), at: Timestamp::BOOT + since_boot }
}

fn read(register: i32) -> Measured {
    Measured { register: Some(WattHours::new(register)), ..Measured::NOTHING }
}

fn token() -> Token {
    Token::parse("04A1B2C3D4").unwrap()
}

fn new(evse: u32, register: i32) -> NewTransaction {
    NewTransaction {
        evse,
        plug: 7,
        token: Some(token()),
        stamp: at(1),
        register: WattHours::new(register),
        signed: Signed::default(),
        measured: Measured::NOTHING,
    }
}

fn closing(register: Option<i32>) -> Closing {
    Closing {
        stamp: at(61),
        register: register.map(WattHours::new),
        power_limit: Watts::new(150_000),
        signed: Signed::default(),
        measured: Measured::NOTHING,
        reason: EndReason::EvDisconnected,
        detail: "unplugged".to_owned(),
        why: "The driver ended it".to_owned(),
    }
}

fn happened(kind: EventKind, plug: u64, stamp: Stamp) -> NewEvent {
    NewEvent {
        evse: 1,
        plug,
        stamp,
        kind,
        payer: None,
        measured: Measured::NOTHING,
        reason: EndReason::None,
        detail: String::new(),
    }
}

fn book() -> (tempfile::TempDir, Book) {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(&folder.path().join("book.db")).unwrap();
    (folder, book)
}

#[tokio::test]
async fn a_transaction_is_open_from_begin_to_close_and_its_events_are_in_order() {
    let (_folder, book) = book();
    let id = book.begin(new(1, 100)).await.unwrap();
    assert_eq!(book.open_transactions().await.unwrap()[0].id, id);
    book.reading(id, at(2), read(150), Some(EventKind::Reading)).await.unwrap();
    let closed = book.close(id, closing(Some(300))).await.unwrap();
    assert_eq!((closed.energy, closed.register_end, closed.state.as_str()), (200.0, 300.0, "closed"));
    assert_eq!(closed.note, "");
    assert!(book.open_transactions().await.unwrap().is_empty());
    let (_, events) = book.transaction(id).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["started", "reading", "ended"]);
    assert!(events.windows(2).all(|pair| pair[0].number < pair[1].number));
}

#[tokio::test]
async fn what_was_open_survives_reopening_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    let book = Book::open(&path).unwrap();
    let id = book.begin(new(2, 100)).await.unwrap();
    book.reading(id, at(2), read(175), None).await.unwrap();
    drop(book);

    let book = Book::open(&path).unwrap();
    let open = book.open_transactions().await.unwrap();
    assert_eq!((open[0].id, open[0].evse, open[0].session), (id, 2, 7));
    let closed = book.close(id, closing(None)).await.unwrap();
    assert_eq!(closed.energy, 75.0);
    assert_eq!(closed.note, "meter out of reach: stored reading, 59 s old");
}

#[tokio::test]
async fn closing_twice_changes_nothing() {
    let (_folder, book) = book();
    let id = book.begin(new(1, 100)).await.unwrap();
    let first = book.close(id, closing(Some(300))).await.unwrap();
    let second = book.close(id, closing(Some(999))).await.unwrap();
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_meter_that_ran_backwards_bills_what_it_read_before() {
    let (_folder, book) = book();
    let id = book.begin(new(1, 100)).await.unwrap();
    book.reading(id, at(2), read(200), None).await.unwrap();
    let closed = book.close(id, closing(Some(150))).await.unwrap();
    assert_eq!((closed.energy, closed.register_end), (100.0, 200.0));
    let note = closed.note;
    for part in ["150 Wh", "less than before (200 Wh)", "stored reading, 59 s old"] {
        assert!(note.contains(part), "{note}");
    }
}

#[tokio::test]
async fn a_signed_reading_may_be_rounded_down() {
    let (_folder, book) = book();
    let id = book.begin(new(1, 100)).await.unwrap();
    book.reading(id, at(2), read(209), None).await.unwrap();
    let closed = book.close(id, closing(Some(200))).await.unwrap();
    assert_eq!((closed.energy, closed.note.as_str()), (100.0, ""));
}

#[tokio::test]
async fn a_meter_that_was_replaced_or_ran_over_bills_no_more_than_was_read() {
    for (register, what) in [(20, "less than at the start"), (40_000_000, "more than can have flowed")] {
        let (_folder, book) = book();
        let id = book.begin(new(1, 100)).await.unwrap();
        book.reading(id, at(2), read(200), None).await.unwrap();
        let closed = book.close(id, closing(Some(register))).await.unwrap();
        assert_eq!((closed.energy, closed.register_end), (100.0, 200.0), "{register}");
        assert!(closed.note.contains(what) && closed.note.contains("59 s old"), "{}", closed.note);
    }
}

#[tokio::test]
async fn what_flows_while_the_station_is_away_is_billed() {
    let (_folder, book) = book();
    let id = book.begin(new(1, 100)).await.unwrap();
    let closed = book.close(id, closing(Some(30_000))).await.unwrap();
    assert_eq!((closed.energy, closed.note.as_str()), (29_900.0, ""));
}

#[tokio::test]
async fn a_reading_below_the_one_before_is_not_taken_for_one() {
    let (_folder, book) = book();
    let id = book.begin(new(1, 100)).await.unwrap();
    book.reading(id, at(2), read(200), None).await.unwrap();
    for less in [199, 0] {
        let below = book.reading(id, at(3), read(less), None).await;
        assert!(matches!(below, Err(BookError::Backwards { .. })), "{below:?}");
    }
    assert_eq!(book.close(id, closing(None)).await.unwrap().energy, 100.0);
}

#[tokio::test]
async fn an_unknown_transaction_is_an_error() {
    let (_folder, book) = book();
    assert!(matches!(book.close(9, closing(None)).await, Err(BookError::Unknown(9))));
    assert!(matches!(book.transaction(9).await, Err(BookError::Unknown(9))));
    assert!(matches!(book.reading(9, at(0), read(0), None).await, Err(BookError::Unknown(9))));
}

#[tokio::test]
async fn an_evse_stays_out_of_service_until_it_is_taken_in() {
    let (_folder, book) = book();
    assert!(book.is_available(1).await.unwrap());
    book.set_available(1, false).await.unwrap();
    book.set_available(1, false).await.unwrap();
    assert!(!book.is_available(1).await.unwrap());
    book.set_available(1, true).await.unwrap();
    assert!(book.is_available(1).await.unwrap());
}

#[test]
fn a_book_from_a_newer_version_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    assert!(matches!(Book::open(&path), Err(BookError::FromTheFuture { found: 99, .. })));
}

/// What the uplink reads, shortly.
async fn story(book: &Book) -> Vec<(u64, &'static str, u64)> {
    let events = book.events(0, 1000).await.unwrap();
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event.number, u64::try_from(place).unwrap() + 1, "numbers have no gaps");
    }
    events.iter().map(|event| (event.session, event.kind.as_str(), event.transaction)).collect()
}

#[tokio::test]
async fn a_session_is_told_whole_and_in_order() {
    let (_folder, book) = book();
    let payer = Payer {
        group: Some(Token::parse("FAMILY").unwrap()),
        remote_start: "17".to_owned(),
        ..Payer::holder(token(), TokenKind::Central)
    };
    book.record(happened(EventKind::Plugged, 7, at(0))).unwrap();
    let authorized = NewEvent { payer: Some(payer), ..happened(EventKind::Authorized, 7, at(1)) };
    book.record(authorized).unwrap();
    let signed =
        Signed { data: "OCMF|{}".to_owned(), format: "OCMF".to_owned(), public_key: "key".to_owned() };
    let flow = Some(Flow { voltage: 400.0, current: 100.0, power: 40_000.0 });
    let id = book
        .begin(NewTransaction {
            signed: signed.clone(),
            measured: Measured { flow, ..read(0) },
            ..new(1, 100)
        })
        .await
        .unwrap();
    book.record(happened(EventKind::Charging, 7, at(2))).unwrap();
    book.reading(id, at(3), read(150), Some(EventKind::ClockReading)).await.unwrap();
    book.close(id, Closing { signed, ..closing(Some(200)) }).await.unwrap();
    book.record(happened(EventKind::Unplugged, 7, at(62))).unwrap();
    assert_eq!(
        story(&book).await,
        [
            (1, "plugged", 0),
            (1, "authorized", 0),
            (1, "started", 1),
            (1, "charging", 1),
            (1, "clock-reading", 1),
            (1, "ended", 1),
            (1, "unplugged", 0)
        ]
    );
    let events = book.events(0, 1000).await.unwrap();
    assert_eq!((events[0].token.as_str(), events[1].token.as_str()), ("", "04A1B2C3D4"));
    let authorized = &events[1];
    assert_eq!(authorized.token_kind, TokenKind::Central);
    assert_eq!((authorized.group.as_str(), authorized.remote_start.as_str()), ("FAMILY", "17"));
    let started = &events[2];
    assert_eq!((started.register, started.voltage, started.power), (100.0, 400.0, 40_000.0));
    assert_eq!((started.signed.as_str(), started.signed_format.as_str()), ("OCMF|{}", "OCMF"));
    assert_eq!((events[0].register, events[0].voltage, events[0].soc), (-1.0, -1.0, -1.0));
    let ended = &events[5];
    assert_eq!(
        (ended.register, ended.reason, ended.detail.as_str()),
        (200.0, EndReason::EvDisconnected, "unplugged")
    );
    assert_eq!(
        (ended.time, ended.at, ended.boot.as_str(), ended.clock_set),
        (61_000_000, 61_000_000, "boot", true)
    );
}

#[tokio::test]
async fn what_is_learnt_again_after_a_restart_is_in_the_book_once() {
    let (_folder, book) = book();
    for _ in 0..2 {
        book.record(happened(EventKind::Plugged, 7, at(0))).unwrap();
    }
    assert_eq!(book.open_plugs("boot".into()).await.unwrap(), [(1, 7)]);
    for _ in 0..2 {
        book.record(happened(EventKind::Unplugged, 7, at(1))).unwrap();
    }
    book.record(happened(EventKind::Unplugged, 8, at(1))).unwrap();
    assert_eq!(story(&book).await, [(1, "plugged", 0), (1, "unplugged", 0)]);
    assert!(book.open_plugs("boot".into()).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_event_keeps_who_was_let_in_then() {
    let (_folder, book) = book();
    book.record(happened(EventKind::Plugged, 7, at(0))).unwrap();
    for token in ["FIRST", "SECOND"] {
        let payer = Some(Payer::holder(Token::parse(token).unwrap(), TokenKind::Local));
        book.record(NewEvent { payer, ..happened(EventKind::Authorized, 7, at(1)) }).unwrap();
    }
    book.record(happened(EventKind::Unplugged, 7, at(2))).unwrap();
    let tokens: Vec<_> = book.events(0, 100).await.unwrap().into_iter().map(|event| event.token).collect();
    assert_eq!(tokens, ["", "FIRST", "SECOND", "SECOND"]);
}

#[tokio::test]
async fn who_is_let_in_before_plugging_in_has_the_session_of_the_plug() {
    let (_folder, book) = book();
    let payer = Some(Payer::holder(token(), TokenKind::Central));
    let authorized = NewEvent { payer, ..happened(EventKind::Authorized, 0, at(0)) };
    book.record(authorized.clone()).unwrap();
    book.record(happened(EventKind::ConnectTimedOut, 0, at(60))).unwrap();
    book.record(authorized).unwrap();
    book.record(happened(EventKind::Plugged, 7, at(70))).unwrap();
    book.record(happened(EventKind::Unplugged, 7, at(80))).unwrap();
    assert_eq!(
        story(&book).await,
        [
            (1, "authorized", 0),
            (1, "connect-timed-out", 0),
            (2, "authorized", 0),
            (2, "plugged", 0),
            (2, "unplugged", 0)
        ]
    );
}

#[tokio::test]
async fn after_a_reboot_what_was_plugged_in_is_ended_after_its_transaction() {
    let (_folder, book) = book();
    book.record(happened(EventKind::Plugged, 7, at(0))).unwrap();
    let id = book.begin(new(1, 100)).await.unwrap();
    book.record(NewEvent { evse: 2, ..happened(EventKind::Plugged, 8, at(1)) }).unwrap();
    book.end_what_nobody_saw_end(in_boot("next", 100), "down").await.unwrap();
    book.close(id, Closing { stamp: in_boot("next", 101), ..closing(Some(200)) }).await.unwrap();
    book.end_what_nobody_saw_end(in_boot("next", 102), "down").await.unwrap();
    assert_eq!(
        story(&book).await,
        [
            (1, "plugged", 0),
            (1, "started", 1),
            (2, "plugged", 0),
            (2, "unplugged", 0),
            (1, "ended", 1),
            (1, "unplugged", 0)
        ]
    );
}

#[tokio::test]
async fn what_is_acknowledged_never_falls_and_must_have_happened() {
    let (_folder, book) = book();
    book.record(happened(EventKind::Plugged, 7, at(0))).unwrap();
    book.record(happened(EventKind::Unplugged, 7, at(1))).unwrap();
    assert!(matches!(book.acknowledge(3).await, Err(BookError::NotYet { number: 3, newest: 2 })));
    book.acknowledge(2).await.unwrap();
    book.acknowledge(1).await.unwrap();
    assert_eq!(book.acknowledged().await.unwrap(), 2);
    assert_eq!(*book.newest_event().borrow(), 2);
}

#[tokio::test]
async fn events_wait_in_order_for_a_disk_that_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    let book = Book::open(&path).unwrap();
    let full = |yes: bool| {
        let of = if yes { "BEFORE INSERT ON events BEGIN SELECT RAISE(FAIL, 'full'); END" } else { "" };
        let change = if yes { format!("CREATE TRIGGER full {of}") } else { "DROP TRIGGER full".to_owned() };
        rusqlite::Connection::open(&path).unwrap().execute_batch(&change).unwrap();
    };
    full(true);
    book.record(happened(EventKind::Plugged, 7, at(0))).unwrap();
    let refused = book.begin(new(1, 100)).await;
    assert!(matches!(refused, Err(BookError::Storage(_))), "{refused:?}");
    assert_eq!(story(&book).await, []);
    full(false);
    book.retry();
    assert_eq!(story(&book).await, [(1, "plugged", 0)]);
    book.begin(new(1, 100)).await.unwrap();
    assert_eq!(story(&book).await, [(1, "plugged", 0), (1, "started", 1)]);
}

#[tokio::test]
async fn a_book_of_the_first_version_keeps_its_transactions_and_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    schema::of_version(&old, 1);
    old.execute_batch(
        "INSERT INTO transactions VALUES
            (1, 1, 'boot', 7, '04A1B2C3D4', 1000000, 100000, 'OCMF|start', 150000, 2000000, 3000000,
             'OCMF|end', 'unplugged', ''),
            (2, 2, 'boot', 9, '', 4000000, 500000, '', 510000, 5000000, NULL, NULL, '', '');
         INSERT INTO events VALUES
            (1, 1, 1000000, 'started', 100000, ''), (2, 1, 2000000, 'reading', 120000, ''),
            (3, 1, 3000000, 'ended', 150000, 'unplugged'), (4, 2, 4000000, 'started', 500000, '');
         INSERT INTO out_of_service VALUES (3);",
    )
    .unwrap();
    drop(old);

    let book = Book::open(&path).unwrap();
    assert_eq!(
        story(&book).await,
        [(1, "started", 1), (1, "reading", 1), (1, "ended", 1), (2, "started", 2)]
    );
    let events = book.events(0, 1000).await.unwrap();
    assert_eq!((events[0].token.as_str(), events[3].token.as_str()), ("04A1B2C3D4", ""));
    assert_eq!((events[0].signed.as_str(), events[2].signed.as_str()), ("OCMF|start", "OCMF|end"));
    assert_eq!((events[1].register, events[2].reason), (120.0, EndReason::Other));
    let open = book.open_transactions().await.unwrap();
    assert_eq!((open.len(), open[0].id, open[0].session), (1, 2, 9));
    assert!(!book.is_available(3).await.unwrap());
    let (first, its_events) = book.transaction(1).await.unwrap();
    assert_eq!((first.energy, its_events.len()), (50.0, 3));
    assert_eq!(book.close(2, closing(Some(520))).await.unwrap().energy, 20.0);
    book.record(NewEvent { evse: 2, ..happened(EventKind::Unplugged, 9, at(70)) }).unwrap();
    assert_eq!(story(&book).await[4..], [(2, "ended", 2), (2, "unplugged", 0)]);
}

/// A session with a transaction on EVSE 1, from one second to the other.
async fn sold(book: &Book, plug: u64, from: i64, to: i64) -> TransactionId {
    book.record(happened(EventKind::Plugged, plug, at(from))).unwrap();
    let id = book.begin(NewTransaction { plug, stamp: at(from), ..new(1, 100) }).await.unwrap();
    book.close(id, Closing { stamp: at(to), ..closing(Some(200)) }).await.unwrap();
    book.record(happened(EventKind::Unplugged, plug, at(to))).unwrap();
    id
}

#[tokio::test]
async fn what_is_old_is_deleted_from_the_beginning_unless_the_back_end_lacks_it() {
    let (_folder, book) = book();
    let first = sold(&book, 1, 10, 20).await;
    let second = sold(&book, 2, 30, 40).await;
    assert_eq!(book.prune(25_000_000, true).await.unwrap(), 0, "nothing is acknowledged");
    book.acknowledge(2).await.unwrap();
    assert_eq!(book.prune(25_000_000, true).await.unwrap(), 2);
    assert_eq!(book.prune(25_000_000, false).await.unwrap(), 2);
    assert_eq!(book.prune(25_000_000, false).await.unwrap(), 0, "the second is young");
    let left = book.events(0, 100).await.unwrap();
    assert_eq!(left.first().map(|event| (event.number, event.session)), Some((5, 2)));
    assert!(matches!(book.transaction(first).await, Err(BookError::Unknown(_))));
    assert_eq!(book.newest(10).await.unwrap()[0].id, second);
    assert_eq!(book.prune(99_000_000, false).await.unwrap(), 4);
    assert_eq!(*book.newest_event().borrow(), 8);
    book.record(happened(EventKind::Plugged, 3, at(50))).unwrap();
    let next = book.events(0, 100).await.unwrap();
    assert_eq!((next[0].number, next[0].session), (9, 3), "numbers do not begin anew");
}

#[tokio::test]
async fn what_is_not_over_or_of_no_certain_age_is_kept() {
    let (_folder, book) = book();
    book.record(happened(EventKind::Plugged, 1, at(1))).unwrap();
    sold(&book, 2, 10, 20).await;
    assert_eq!(book.prune(99_000_000, false).await.unwrap(), 0, "the first is still plugged in");

    let (_folder, book) = self::book();
    let unset = Stamp { clock_set: false, ..at(1) };
    book.record(happened(EventKind::Plugged, 1, unset.clone())).unwrap();
    book.record(happened(EventKind::Unplugged, 1, unset)).unwrap();
    assert_eq!(book.prune(99_000_000, false).await.unwrap(), 0);
    sold(&book, 2, 10, 20).await;
    assert_eq!(book.prune(99_000_000, false).await.unwrap(), 6, "older than what is old");
}

#[tokio::test]
async fn that_a_station_stopped_in_order_is_known_at_the_next_start_alone() {
    let (_folder, book) = book();
    assert_eq!(book.take_stopped().await.unwrap(), "");
    book.stop("boot".into()).await.unwrap();
    assert_eq!(book.take_stopped().await.unwrap(), "boot");
    assert_eq!(book.take_stopped().await.unwrap(), "");
}

#[tokio::test]
async fn who_ends_a_transaction_is_named_from_then_on_and_who_began_it_pays() {
    let (_folder, book) = book();
    let of = |text: &str| Payer {
        group: Some(Token::parse("FAMILY").unwrap()),
        ..Payer::holder(Token::parse(text).unwrap(), TokenKind::Iso14443)
    };
    let let_in = NewEvent { payer: Some(of("04A1B2C3D4")), ..happened(EventKind::Authorized, 7, at(1)) };
    book.record(let_in).unwrap();
    let id = book.begin(new(1, 100)).await.unwrap();
    let ended = NewEvent { payer: Some(of("CAFE")), ..happened(EventKind::Deauthorized, 7, at(9)) };
    book.record(ended).unwrap();
    let open = book.open_transactions().await.unwrap();
    assert_eq!(open[0].payer, of("04A1B2C3D4"));
    let closed = book.close(id, closing(Some(300))).await.unwrap();
    assert_eq!((closed.identity.as_str(), closed.why.as_str()), ("…D4", "The driver ended it"));
    let events = book.events(0, 10).await.unwrap();
    let named: Vec<_> = events.iter().map(|event| (event.kind, event.token.as_str())).collect();
    assert_eq!(
        named,
        [
            (EventKind::Authorized, "04A1B2C3D4"),
            (EventKind::Started, "04A1B2C3D4"),
            (EventKind::Deauthorized, "CAFE"),
            (EventKind::Ended, "CAFE"),
        ]
    );
}
