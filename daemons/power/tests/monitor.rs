//! The daemon with an insulation monitor on CAN: on a private bus, an iso165C at the other end of an
//! slcan line, in characters written down from foxBMS's DBC.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::private_bus;

use std::future::Future;
use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt as _;
use private_bus::{Bus, Process};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio_serial::{SerialPort as _, SerialStream};
use voltry_bus::{Device1Proxy, Error, InsulationMonitor1Proxy, VoltageMonitor1Proxy, contract};
use zbus::fdo::{DBusProxy, IntrospectableProxy};

const NAME: &str = "org.voltry.Power1";
const PATH: &str = "/org/voltry/insulation_monitor/imd1";

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it comes within 20 s")
}

/// 432 kΩ and 400 V. Its count moves with each look, and a self-test lasts three of them.
async fn iso165c(line: SerialStream) {
    let (input, mut output) = tokio::io::split(line);
    let mut lines = tokio::io::BufReader::new(input).split(b'\r');
    let (mut count, mut looks, mut off) = (0_u8, 0, 0_u8);
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8(line).unwrap();
        let Some(asked) = line.strip_prefix("t0225") else {
            output.write_all(b"\r").await.unwrap();
            continue;
        };
        let (command, words) = asked.split_at(2);
        let testing = if looks > 0 { 0x10 } else { 0 };
        let words = match command {
            "33" => "01000503".to_owned(),
            "32" => "64000000".to_owned(),
            "39" => "FA000000".to_owned(),
            "3C" => "0A000000".to_owned(),
            "35" => {
                count = count.wrapping_add(1);
                format!("B00101{count:02X}")
            }
            "36" => "90010000".to_owned(),
            "37" => {
                looks = i32::max(looks - 1, 0);
                format!("{testing:02X}000000")
            }
            "21" => {
                looks = 3;
                words.to_owned()
            }
            "CB" => {
                off = u8::from(words.starts_with("00"));
                words.to_owned()
            }
            "DC" => format!("{off:02X}000000"),
            _ => words.to_owned(),
        };
        let info = format!("t0376B001{testing:02X}00{off:02X}00");
        let said = format!("z\r{info}\rt0235{command}{words}\r");
        output.write_all(said.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_monitor_on_can_is_served_as_the_contract_says() {
    let bus = Bus::run(Command::new("dbus-daemon"));
    let (master, slave) = SerialStream::pair().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("voltry.toml");
    let config = format!(
        "[power.bus.imd]\ntype = 'slcan'\ndevice = '{}'\nbit_rate = 250000\n\
         [power.monitor.imd1]\nmodel = 'iso165c'\nbus = 'imd'\n",
        slave.name().unwrap()
    );
    std::fs::write(&file, config).unwrap();
    tokio::spawn(iso165c(master));
    let connection = bus.connect().await;
    let names = DBusProxy::new(&connection).await.unwrap();
    let mut changes = names.receive_name_owner_changed_with_args(&[(0, NAME)]).await.unwrap();
    let started = Command::new(env!("CARGO_BIN_EXE_voltry-power"))
        .arg("--config")
        .arg(&file)
        .args(["--bus", &bus.address])
        .spawn();
    let _daemon = Process(started.unwrap());
    soon(changes.next()).await.unwrap();

    let shown = IntrospectableProxy::builder(&connection).destination(NAME).path(PATH).build();
    let xml = soon(soon(shown).await.unwrap().introspect()).await.unwrap();
    let interfaces = ["org.voltry.InsulationMonitor1", "org.voltry.VoltageMonitor1", "org.voltry.Device1"];
    assert_eq!(contract::check_served(&xml, &interfaces), Ok(()));

    let monitor = InsulationMonitor1Proxy::new(&connection, NAME, PATH).await.unwrap();
    let voltmeter = VoltageMonitor1Proxy::new(&connection, NAME, PATH).await.unwrap();
    let mut voltages = soon(voltmeter.receive_voltage()).await.unwrap();
    let voltage = soon(voltages.next()).await.unwrap();
    assert_eq!(voltage.args().unwrap().reading.voltage, 400.0);
    drop(voltages);
    let mut insulations = soon(monitor.receive_insulation()).await.unwrap();
    let insulation = soon(insulations.next()).await.unwrap().args().unwrap().reading;
    assert_eq!((insulation.resistance, insulation.valid), (432_000.0, true));
    drop(insulations);
    let device = Device1Proxy::new(&connection, NAME, PATH).await.unwrap();
    assert!(soon(device.online()).await.unwrap());

    let mut tests = soon(monitor.receive_self_test_finished()).await.unwrap();
    soon(monitor.start_self_test()).await.unwrap();
    let result = soon(tests.next()).await.unwrap().args().unwrap().result;
    assert!(result.passed, "{}", result.detail);
    drop(tests);
    soon(monitor.set_active(false)).await.unwrap();
    assert!(!soon(monitor.active()).await.unwrap());
    assert!(matches!(soon(monitor.start_self_test()).await, Err(Error::Refused(_))));
}
