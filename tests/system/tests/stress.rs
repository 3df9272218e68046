//! An emergency while everything around it is slow: who takes the log, the disk of the book, the bus. It is over as
//! soon as otherwise, explained, billed and mended.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "../../bus_flood.rs"]
mod bus_flood;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bus_flood::Flood;
use futures_util::StreamExt as _;
use voltry_bus::{EvseState, names};
use voltry_system_tests::{LARGE_CAR, SLACK, Station};
use zbus::fdo::MonitoringProxy;
use zbus::{MatchRule, Message, MessageStream};

/// What an emergency may take, from the stop that is pressed to open contactors.
const EMERGENCY: Duration = Duration::from_secs(1);
const RECOVERY: Duration = Duration::from_secs(30);
const OFF: &str = "Off";
const OPEN: &str = "OpenContactors";
/// Everybody who is on the way of the energy, and the one who bills it.
const DAEMONS: [&str; 7] = ["evse-1", "power", "board", "secc-1", "meter-imd1", "meter-dc1", "station"];

/// What evse orders, as the broker passes it on: whoever waits for a log, a book or the bus orders nothing.
async fn orders(station: &Station) -> MessageStream {
    let address = format!("unix:path={}", station.state().join("bus").display());
    let connection = zbus::connection::Builder::address(address.as_str()).build().await.unwrap();
    let rules = [("PowerSupply1", OFF), ("ConnectorIo1", OPEN)].map(|(interface, member)| {
        format!("type='method_call',interface='org.voltry.{interface}',member='{member}'")
    });
    let rules: Vec<MatchRule<'_>> =
        rules.iter().map(|rule| MatchRule::try_from(rule.as_str()).unwrap()).collect();
    MonitoringProxy::new(&connection).await.unwrap().become_monitor(&rules, 0).await.unwrap();
    MessageStream::from(connection)
}

/// Presses the stop while it charges.
async fn is_over_in_time(station: &mut Station, orders: &mut MessageStream) {
    let pressed = Instant::now();
    station.tell("fault emergency-stop 1").await;
    let ordered = async {
        let (mut off, mut open) = (false, false);
        while !(off && open) {
            let message = orders.next().await.expect("the bus goes on").unwrap();
            let header = message.header();
            let member = header.member().map(zbus::names::MemberName::as_str);
            off |= member == Some(OFF);
            open |= member == Some(OPEN);
        }
    };
    let ordered = tokio::time::timeout(EMERGENCY * SLACK, ordered).await;
    ordered.expect("evse switched off and opened in time");
    println!("off and open ordered in {:?} of {EMERGENCY:?} (slack {SLACK})", pressed.elapsed());
    station.assert_safe_within(1, EMERGENCY, EMERGENCY).await;
}

/// Released, unplugged and cleared; the bill is the meter's.
async fn is_mended(station: &mut Station, register_before: f64) {
    station.until_state(1, &[EvseState::Faulted], RECOVERY).await;
    assert_eq!(station.faults(1).await[0].code, "MREC8EmergencyStop");
    let transaction = station.closed_transaction(RECOVERY).await;
    assert_eq!(transaction.end_reason, "MREC8EmergencyStop", "{transaction:?}");
    station.assert_billed(&transaction, 1, register_before).await;
    station.tell("clear emergency-stop 1").await;
    station.tell("unplug 1").await;
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let begin = Instant::now();
    while station.evse(1).await.state().await != Ok(EvseState::Available) {
        tick.tick().await;
        assert!(begin.elapsed() < RECOVERY, "the faults stay: {:?}", station.faults(1).await);
        // What is not mended yet is refused, and asked again.
        let _ = station.station().await.clear_faults(1).await;
    }
}

/// A log that nobody reads, and that is full.
struct Unread(File);

impl Unread {
    fn make(path: &Path) -> Self {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        // This end is open, so that the daemon's opens; it does not wait where that one does.
        let nonblocking = 0o4000;
        Self(OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(path).unwrap())
    }

    fn fill(&mut self) {
        for block in [[b'.'; 4096].as_slice(), b"."] {
            while self.0.write(block).is_ok() {}
        }
    }
}

#[tokio::test]
async fn an_emergency_does_not_wait_for_whoever_takes_the_log() {
    let mut logs = Vec::new();
    let mut station = Station::start_prepared(LARGE_CAR, |state| {
        std::fs::create_dir(state.join("log")).unwrap();
        logs.extend(DAEMONS.map(|daemon| Unread::make(&state.join(format!("log/{daemon}.log")))));
    })
    .await;
    let before = station.truth(1).await.register;
    // Full before the session begins: its whole way has lines of log.
    logs.iter_mut().for_each(Unread::fill);
    station.charge(1).await;
    let mut orders = orders(&station).await;
    is_over_in_time(&mut station, &mut orders).await;
    is_mended(&mut station, before).await;
    station.quit().await;
}

#[tokio::test]
async fn an_emergency_does_not_wait_for_the_disk_of_the_book() {
    let mut station = Station::start(LARGE_CAR).await;
    let before = station.truth(1).await.register;
    station.charge(1).await;
    let mut orders = orders(&station).await;
    let book = rusqlite::Connection::open(station.state().join("lib/book.db")).unwrap();
    book.busy_timeout(RECOVERY).unwrap();
    // Until it ends, nobody else writes.
    book.execute_batch("BEGIN IMMEDIATE").unwrap();
    is_over_in_time(&mut station, &mut orders).await;
    book.execute_batch("COMMIT").unwrap();
    is_mended(&mut station, before).await;
    station.quit().await;
}

#[tokio::test]
async fn an_emergency_does_not_wait_behind_a_flood_on_the_bus() {
    let mut station = Station::start(LARGE_CAR).await;
    let before = station.truth(1).await.register;
    station.charge(1).await;
    let mut orders = orders(&station).await;
    let path = names::path("evse", "1");
    let get = |name: String, path: String, property: (&str, &str)| {
        let call = Message::method_call(path, "Get").destination(name);
        call.interface("org.freedesktop.DBus.Properties").build(&property).unwrap()
    };
    let state = get(names::evse(1), path.clone(), ("org.voltry.Evse1", "State"));
    let signal = Message::signal(path, "org.voltry.Evse1", "Live").build(&("nonsense",)).unwrap();
    let flood = Flood::begin(station.state().join("bus").to_str().unwrap(), &[state, signal]).unwrap();
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while flood.sent() < 10_000 {
        tick.tick().await;
    }
    is_over_in_time(&mut station, &mut orders).await;
    println!("{} messages of others meanwhile", flood.sent());
    drop(flood);
    is_mended(&mut station, before).await;
    station.quit().await;
}
