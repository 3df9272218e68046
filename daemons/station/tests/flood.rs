//! Floods from both sides of the daemon: what an EVSE signals, and calls on the bus.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::watched;

use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt as _;
use voltry_bus::{Live, Station1Proxy};
use watched::{Bus, CALLS, WARMING, Watched, flood, senseless};
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream};

const NAME: &str = "org.voltry.Station1";
const PATH: &str = "/org/voltry/station";
const EVSE_NAME: &str = "org.voltry.Evse.N1";
const EVSE_PATH: &str = "/org/voltry/evse/1";

struct Rig {
    station: Watched,
    connection: Connection,
    bus: Bus,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        let (bus, folder) = (Bus::start(), tempfile::tempdir().unwrap());
        let file = folder.path().join("voltry.toml");
        let config = format!(
            "[station]\nname = 'Test'\ndatabase = '{}/book.db'\npower_limit_w = 100000\n\
             tokens = ['04A1B2C3']\n[station.evse.1]\n\
             energy_meter = {{ name = 'org.voltry.Meter.Dc1', path = '/org/voltry/energy_meter/dc1' }}\n",
            folder.path().display()
        );
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_voltry-station"));
        command.arg("--config").arg(&file).args(["--bus", &bus.address]);
        let station = Watched::start(&mut command, folder.path().join("log"));
        let connection = bus.connect_to(NAME).await;
        Self { station, connection, bus, _folder: folder }
    }

    /// The station answers, and what it shows is whole.
    async fn answers(&self) {
        let station = Station1Proxy::new(&self.connection, NAME, PATH).await.unwrap();
        let evses = tokio::time::timeout(Duration::from_secs(20), station.evses());
        assert_eq!(evses.await.expect("it answers within 20 s").unwrap().len(), 1);
    }
}

fn signal(interface: &'static str, member: &'static str) -> zbus::message::Builder<'static> {
    Message::signal(EVSE_PATH, interface, member)
}

#[tokio::test]
async fn an_evse_that_signals_nonsense_is_told_once_and_costs_no_memory() {
    let rig = Rig::start().await;
    let evse = rig.bus.connect().await;
    evse.request_name(EVSE_NAME).await.unwrap();
    // The first of it while the station is still subscribing.
    let say = async |count: u32| {
        for number in 0..count {
            let text = "x".repeat(if number % 5000 == 4999 { 1 << 20 } else { 100 });
            evse.send(&signal("org.voltry.Evse1", "Live").build(&(text,)).unwrap()).await.unwrap();
        }
    };
    say(1000).await;
    rig.answers().await;
    let before = rig.station.resident_kib();
    say(30_000).await;
    rig.answers().await;
    rig.station.withstood("not as the contract says", before);
}

#[tokio::test]
async fn an_evse_that_says_much_before_it_answers_does_not_stand_in_the_way_of_its_answer() {
    let rig = Rig::start().await;
    let evse = rig.bus.connect().await;
    let mut calls = MessageStream::from(&evse);
    evse.request_name(EVSE_NAME).await.unwrap();
    let live = Live {
        sequence: 1,
        voltage: 400.0,
        current: 0.0,
        target_voltage: 0.0,
        target_current: 0.0,
        soc: -1.0,
        energy: 0.0,
        at: 1,
    };
    while let Some(Ok(call)) = calls.next().await {
        let header = call.header();
        if call.message_type() != Type::MethodCall || header.member().is_none_or(|name| name != "GetAll") {
            continue;
        }
        for _ in 0..1000 {
            evse.send(&signal("org.voltry.Evse1", "Live").build(&(live,)).unwrap()).await.unwrap();
        }
        let answer = Message::error(&header, "org.voltry.Error.Unavailable");
        evse.send(&answer.build(&("not yet",)).unwrap()).await.unwrap();
        break;
    }
    rig.answers().await;
}

#[tokio::test]
async fn senseless_calls_by_the_ten_thousand_are_told_once_and_cost_no_memory() {
    let rig = Rig::start().await;
    let call = |number: u32| {
        let to = |interface: &'static str, method: &'static str| {
            Message::method_call(PATH, method).destination(NAME).interface(interface)
        };
        let station = "org.voltry.Station1";
        match number % 9 {
            0 => to(station, "Authorize").build(&(format!("T{number}"), 0_u32)),
            1 => to(station, "Authorize").build(&("no token", u32::MAX)),
            2 => to(station, "Stop").build(&(u32::MAX,)),
            3 => to(station, "ClearFaults").build(&(u32::MAX,)),
            4 => to(station, "Transaction").build(&(u64::MAX,)),
            5 => to(station, "SetAvailable").build(&(0_u32, false)),
            6 => to(station, "NoSuchMethod").build(&(number,)),
            7 => to(station, "Transactions").build(&(u32::MAX,)),
            _ => {
                let token = senseless(number);
                to(station, "Authorize").build(&(token, 1_u32))
            }
        }
        .unwrap()
    };
    flood(&rig.connection, WARMING, call).await;
    let before = rig.station.resident_kib();
    flood(&rig.connection, CALLS, call).await;
    rig.answers().await;
    rig.station.withstood("calls refused", before);
}
