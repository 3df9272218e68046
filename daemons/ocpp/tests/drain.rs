//! What waited through a long outage: thousands of messages of a transaction, told in order and once,
//! by a daemon that does not grow with them. `make bench` tells ten thousand.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

#[path = "../../../tests/long_book.rs"]
mod long_book;

use crate::{csms, watched};

use std::process::Command;
use std::time::{Duration, Instant};

use csms::Csms;
use long_book::LongBook;
use voltry_bus::{EventExport, names};
use watched::{Bus, Watched};

/// So many are told; those before the first reading of memory, and those after it.
const LINES: usize = 4000;
const WARM: usize = 1000;
/// A queue of the rest that is kept in memory would be more than twice as large: a message has some 900 bytes.
const GROWTH_KIB: u64 = 1024;

#[tokio::test]
async fn thousands_of_queued_messages_are_told_in_order_once_and_cost_no_memory() {
    // The last but one of a vehicle that gave something back.
    let exports = vec![EventExport { number: LINES as u64 - 1, register: 70.5 }];
    tokio::join!(drain("1.6", "StartTransaction", None), drain("2.0.1", "TransactionEvent", Some(exports)));
}

/// The rate in a release build: `make bench`.
async fn drain(version: &str, first: &str, exports: Option<Vec<EventExport>>) {
    let gives = exports.is_some();
    let (bus, folder) = (Bus::start(), tempfile::tempdir().unwrap());
    let connection = voltry_service::connect(Some(&bus.address)).await.unwrap();
    connection
        .object_server()
        .at(names::STATION_PATH, LongBook { lines: LINES as u64, acknowledged: 0, exports })
        .await
        .unwrap();
    connection.request_name(names::STATION).await.unwrap();
    let csms = Csms::start(if version == "1.6" { "ocpp1.6" } else { "ocpp2.0.1" }).await;
    let file = folder.path().join("voltry.toml");
    let text = format!(
        "[ocpp]\nidentity = 'A'\ndatabase = '{}'\n[ocpp.profile.1]\nurl = 'ws://{}'\nversion = '{version}'\n\
         security_profile = 0\n",
        folder.path().join("ocpp.db").display(),
        csms.address
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_voltry-ocpp"));
    command.arg("--config").arg(&file).args(["--bus", &bus.address]);
    let ocpp = Watched::start(&mut command, folder.path().join("log"));
    let told = |count: usize| {
        let csms = &csms;
        async move {
            while csms.ledger.lock().unwrap().told.len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    let until = tokio::time::Instant::now() + Duration::from_secs(130);
    tokio::time::timeout_at(until, told(WARM)).await.expect("it tells what waits");
    let (begin, before) = (Instant::now(), ocpp.anonymous_kib());
    tokio::time::timeout_at(until, told(LINES)).await.expect("it tells all that waits");
    let (took, after) = (begin.elapsed().as_secs_f64(), ocpp.anonymous_kib());
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    let rate = (LINES - WARM) as f64 / took;
    println!(
        "OCPP {version}: {rate:.0} messages/s; of its own {before} KiB after {WARM}, {after} KiB after all"
    );
    assert!(after <= before + GROWTH_KIB, "{} KiB more", after - before);
    let ledger = csms.ledger.lock().unwrap();
    assert_eq!((ledger.repeated, ledger.told.len(), ledger.told[0].action.as_str()), (0, LINES, first));
    let time = |place: usize| {
        let payload = &ledger.told[place].payload;
        let time = payload["timestamp"].as_str().or(payload["meterValue"][0]["timestamp"].as_str());
        time.unwrap().to_owned()
    };
    assert!((1..LINES).all(|place| time(place - 1) < time(place)), "in order");
    let back = |told: &csms::Told| told.payload.to_string().contains("Energy.Active.Export.Register");
    let back: Vec<usize> = (0..LINES).filter(|place| back(&ledger.told[*place])).collect();
    assert_eq!(back, if gives { vec![LINES - 2] } else { vec![] });
}
