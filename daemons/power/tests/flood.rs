//! Floods from both sides of the daemon: nonsense on the CAN line, and calls on the bus.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::watched;

use std::fmt::Write as _;
use std::process::Command;

use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio_serial::{SerialPort as _, SerialStream};
use voltry_bus::{PowerSupply1Proxy, SupplyState};
use voltry_service::clock;
use watched::{Bus, CALLS, WARMING, Watched, flood, senseless};
use zbus::{Connection, Message};

const NAME: &str = "org.voltry.Power1";
const PATH: &str = "/org/voltry/power_supply/1";

struct Rig {
    power: Watched,
    connection: Connection,
    adapter: WriteHalf<SerialStream>,
    _bus: Bus,
    _slave: SerialStream,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        let bus = Bus::start();
        let folder = tempfile::tempdir().unwrap();
        let (master, slave) = SerialStream::pair().unwrap();
        let file = folder.path().join("voltry.toml");
        let config = format!(
            "[power.bus.main]\ntype = 'slcan'\ndevice = '{}'\nbit_rate = 125000\n\
             [power.supply.1]\nfamily = 'infypower'\nbus = 'main'\nmodules = [0, 1]\n",
            slave.name().unwrap()
        );
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_voltry-power"));
        command.arg("--config").arg(&file).args(["--bus", &bus.address]);
        let power = Watched::start(&mut command, folder.path().join("log"));
        let connection = bus.connect_to(NAME).await;
        let (said, adapter): (ReadHalf<SerialStream>, _) = tokio::io::split(master);
        // What the daemon says is read and thrown away, as by a bus without modules.
        tokio::spawn(async move { tokio::io::copy(&mut { said }, &mut tokio::io::sink()).await });
        Self { power, connection, adapter, _bus: bus, _slave: slave, _folder: folder }
    }

    async fn state(&self) -> SupplyState {
        let supply = PowerSupply1Proxy::new(&self.connection, NAME, PATH).await.unwrap();
        supply.state().await.unwrap()
    }
}

#[tokio::test]
async fn a_flood_of_nonsense_on_the_line_is_told_once_and_costs_no_memory() {
    let mut rig = Rig::start().await;
    let mut round = String::new();
    for module in 0..64 {
        // A module that is not ours, a frame cut short, a wrong length, no hexadecimal, no line.
        write!(round, "T0283F0{module:02X}80000000000000000\rT0283F000\rT0283F0009\rtzz\r").unwrap();
        write!(round, "{}\r", "55".repeat(40)).unwrap();
    }
    rig.adapter.write_all(round.as_bytes()).await.unwrap();
    let before = rig.power.resident_kib();
    for _ in 0..300 {
        rig.adapter.write_all(round.as_bytes()).await.unwrap();
    }
    assert_eq!(rig.state().await, SupplyState::Absent);
    rig.power.withstood("bad input", before);
}

#[tokio::test]
async fn senseless_calls_by_the_ten_thousand_energise_nothing_and_cost_no_memory() {
    let rig = Rig::start().await;
    let call = |number: u32| {
        let to = |interface: &'static str, method: &'static str| {
            Message::method_call(PATH, method).destination(NAME).interface(interface)
        };
        let (supply, far) = ("org.voltry.PowerSupply1", clock::now().as_micros() + 60_000_000);
        let sequence = u64::from(number);
        match number % 7 {
            0 => to(supply, "Enable").build(&(far,)),
            1 => to(supply, "SetOutput").build(&(sequence, sequence, far, f64::NAN, f64::INFINITY)),
            2 => to(supply, "SetOutput").build(&(u64::MAX, 0_u64, 0_u64, 400.0, -1.0)),
            3 => to(supply, "RenewLease").build(&(0_u64, sequence, far)),
            4 => to(supply, "SetOutput").build(&("text",)),
            5 => to(supply, "NoSuchMethod").build(&(sequence,)),
            _ => {
                let bus = senseless(number);
                to("org.voltry.PowerRack1", "Identify").build(&(bus, number, true))
            }
        }
        .unwrap()
    };
    flood(&rig.connection, WARMING, call).await;
    let before = rig.power.resident_kib();
    flood(&rig.connection, CALLS, call).await;
    assert_eq!(rig.state().await, SupplyState::Absent);
    rig.power.withstood("calls refused", before);
}
