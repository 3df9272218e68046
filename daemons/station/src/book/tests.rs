use super::*;
use voltry_units::Watts;

fn new(evse: u32, register: i32) -> NewTransaction {
    NewTransaction {
        evse,
        boot_id: "boot".to_owned(),
        session: 7,
        token: "04A1B2C3D4".to_owned(),
        started: 1_000_000,
        register: WattHours::new(register),
        signed: String::new(),
    }
}

fn closing(register: Option<i32>) -> Closing {
    Closing {
        ended: 61_000_000,
        register: register.map(WattHours::new),
        power_limit: Watts::new(150_000),
        signed: String::new(),
        reason: "unplugged".to_owned(),
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
    book.reading(id, WattHours::new(150), 2_000_000, true).await.unwrap();
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
    book.reading(id, WattHours::new(175), 2_000_000, false).await.unwrap();
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
async fn a_meter_that_ran_backwards_is_noted() {
    let (_folder, book) = book();
    let id = book.begin(new(1, 100)).await.unwrap();
    book.reading(id, WattHours::new(200), 2_000_000, false).await.unwrap();
    let closed = book.close(id, closing(Some(150))).await.unwrap();
    assert!(closed.note.contains("less than"), "{}", closed.note);
}

#[tokio::test]
async fn a_meter_that_was_replaced_or_ran_over_bills_no_more_than_was_read() {
    for (register, what) in [(20, "less than at the start"), (40_000_000, "more than can have flowed")] {
        let (_folder, book) = book();
        let id = book.begin(new(1, 100)).await.unwrap();
        book.reading(id, WattHours::new(200), 2_000_000, false).await.unwrap();
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
async fn a_reading_below_the_start_is_not_taken_for_one() {
    let (_folder, book) = book();
    let id = book.begin(new(1, 100)).await.unwrap();
    book.reading(id, WattHours::new(200), 2_000_000, false).await.unwrap();
    let below = book.reading(id, WattHours::ZERO, 3_000_000, false).await;
    assert!(matches!(below, Err(BookError::BelowStart { .. })), "{below:?}");
    assert_eq!(book.close(id, closing(None)).await.unwrap().energy, 100.0);
}

#[tokio::test]
async fn tokens_leave_the_book_masked() {
    let (_folder, book) = book();
    book.begin(new(1, 100)).await.unwrap();
    let newest = book.newest(10).await.unwrap();
    assert!(!newest[0].identity.contains("04A1B2"), "{}", newest[0].identity);
    assert_eq!(book.open_transactions().await.unwrap()[0].token, "04A1B2C3D4");
}

#[tokio::test]
async fn an_unknown_transaction_is_an_error() {
    let (_folder, book) = book();
    assert!(matches!(book.close(9, closing(None)).await, Err(BookError::Unknown(9))));
    assert!(matches!(book.transaction(9).await, Err(BookError::Unknown(9))));
    assert!(matches!(book.reading(9, WattHours::ZERO, 0, true).await, Err(BookError::Unknown(9))));
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
