//! What comes back from a vehicle is kept apart from what it got.

use voltry_bus::EventExport;

use super::*;

fn both(register: i32, export: i32) -> Measured {
    Measured { export: Some(WattHours::new(export)), ..read(register) }
}

#[tokio::test]
async fn what_came_back_is_told_with_its_transaction_and_neither_raises_nor_lowers_the_bill() {
    let (_folder, book) = book();
    let id = book.begin(NewTransaction { measured: both(100, 5_000), ..new(1, 100) }).await.unwrap();
    book.reading(id, at(2), both(250, 5_000), None).await.unwrap();
    book.reading(id, at(3), both(250, 5_040), Some(EventKind::Reading)).await.unwrap();
    let measured = both(250, 5_060);
    let closed = book.close(id, Closing { measured, ..closing(Some(250)) }).await.unwrap();
    assert_eq!((closed.energy, closed.register_end), (150.0, 250.0));
    assert_eq!(closed.note, "60 Wh came back from the vehicle, by the meter's export register: not billed");
    let export = |number, register| EventExport { number, register };
    let exports = [export(1, 5_000.0), export(2, 5_040.0), export(3, 5_060.0)];
    assert_eq!(book.exports(0, 10).await.unwrap(), exports);
    assert_eq!(book.exports(1, 1).await.unwrap(), exports[1..2]);
}

#[tokio::test]
async fn an_export_register_that_was_not_heard_at_the_start_gives_nothing_back_of_its_past() {
    let (_folder, book) = book();
    let id = book.begin(new(1, 100)).await.unwrap();
    book.reading(id, at(2), both(150, 5_000), None).await.unwrap();
    // The meter is out of reach at the end: what it counted last is told.
    book.reading(id, at(3), both(150, 5_010), None).await.unwrap();
    let closed = book.close(id, closing(None)).await.unwrap();
    assert_eq!(closed.energy, 50.0);
    assert!(closed.note.starts_with("meter out of reach: stored reading"), "{}", closed.note);
    assert!(closed.note.contains("; 10 Wh came back"), "{}", closed.note);

    let id = book.begin(NewTransaction { measured: both(150, 5_010), ..new(1, 150) }).await.unwrap();
    let closed = book.close(id, Closing { measured: both(160, 5_010), ..closing(Some(160)) }).await.unwrap();
    assert_eq!(closed.note, "");
}

#[tokio::test]
async fn a_book_from_before_exports_were_kept_goes_on_and_its_open_transaction_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    schema::of_version(&old, 7);
    old.execute_batch(
        "INSERT INTO sessions (id, evse, boot_id, plug) VALUES (1, 1, 'boot', 7);
         INSERT INTO transactions (evse, boot_id, session, token, started, register_start, register_last,
                                   register_last_at, session_id)
             VALUES (1, 'boot', 7, '', 1000000, 100000, 120000, 2000000, 1);
         INSERT INTO events (session_id, transaction_id, time, clock_set, boot_id, at, kind, register)
             VALUES (1, 1, 1000000, 1, 'boot', 1000000, 'started', 100000);",
    )
    .unwrap();
    drop(old);

    let book = Book::open(&path).unwrap();
    assert_eq!(book.exports(0, 10).await.unwrap(), []);
    book.reading(1, at(3), both(150, 5_000), Some(EventKind::Reading)).await.unwrap();
    let closed = book.close(1, Closing { measured: both(160, 5_040), ..closing(Some(160)) }).await.unwrap();
    assert_eq!((closed.energy, closed.note.split(' ').next()), (60.0, Some("40")));
    let numbers: Vec<u64> = book.exports(0, 10).await.unwrap().iter().map(|export| export.number).collect();
    assert_eq!((numbers, book.events(0, 10).await.unwrap().len()), (vec![2, 3], 3));
}
