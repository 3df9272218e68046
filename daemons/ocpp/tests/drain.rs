//! What waited through a long outage: ten thousand messages of transactions, told in order and once,
//! by a daemon that does not grow with them.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

#[path = "power_cut/csms.rs"]
#[allow(dead_code, reason = "a part of it")]
mod csms;
#[path = "../../../tests/long_book.rs"]
mod long_book;
#[path = "../../../tests/watched.rs"]
mod watched;

use std::process::Command;
use std::time::{Duration, Instant};

use csms::Csms;
use long_book::{LINES, LongBook};
use voltry_bus::names;
use watched::{Bus, Watched};

/// A queue that is kept in memory would be this much larger.
const GROWTH_KIB: u64 = 2 * 1024;

#[tokio::test]
async fn ten_thousand_queued_messages_are_told_in_order_once_and_cost_no_memory() {
    tokio::join!(drain("1.6", "StartTransaction"), drain("2.0.1", "TransactionEvent"));
}

/// The rate in a release build: `make bench`.
async fn drain(version: &str, first: &str) {
    let (bus, folder) = (Bus::start(), tempfile::tempdir().unwrap());
    let connection = voltry_service::connect(Some(&bus.address)).await.unwrap();
    connection.object_server().at(names::STATION_PATH, LongBook { acknowledged: 0 }).await.unwrap();
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
    let soon = Duration::from_secs(20);
    tokio::time::timeout(soon, told(1000)).await.expect("it tells what waits");
    let (begin, before) = (Instant::now(), ocpp.resident_kib());
    let all = usize::try_from(LINES).unwrap();
    tokio::time::timeout(Duration::from_secs(110), told(all)).await.expect("it tells all that waits");
    let (took, after) = (begin.elapsed().as_secs_f64(), ocpp.resident_kib());
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    let rate = (all - 1000) as f64 / took;
    println!(
        "OCPP {version}: {rate:.0} messages/s; resident {before} KiB after 1,000, {after} KiB after all"
    );
    assert!(after <= before + GROWTH_KIB, "{} KiB more", after - before);
    let ledger = csms.ledger.lock().unwrap();
    assert_eq!((ledger.repeated, ledger.told.len(), ledger.told[0].action.as_str()), (0, all, first));
    let time = |place: usize| {
        let payload = &ledger.told[place].payload;
        let time = payload["timestamp"].as_str().or(payload["meterValue"][0]["timestamp"].as_str());
        time.unwrap().to_owned()
    };
    assert!((1..all).all(|place| time(place - 1) < time(place)), "in order");
}
