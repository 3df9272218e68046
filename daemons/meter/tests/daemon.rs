//! The daemon as it runs: on a private bus, with a device at the other end of a serial line.
//!
//! The line is a pseudo-terminal. The device is a table of registers behind the Modbus server of
//! tokio-modbus, so the frames on the wire are made by nobody here.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)] // helpers of tests count as no test to clippy

use crate::rig;

use futures_util::StreamExt as _;
use rig::{Bus, Daemon, Wire, soon, wait_for, wait_for_end};
use voltry_bus::{
    Device1Proxy, EnergyMeter1Proxy, Error, InsulationMonitor1Proxy, VoltageMonitor1Proxy, contract,
};
use voltry_service::clock;
use zbus::Connection;
use zbus::fdo::IntrospectableProxy;

const METER: (&str, &str) = ("org.voltry.Meter.Grid", "/org/voltry/energy_meter/main");
const MONITOR: (&str, &str) = ("org.voltry.Meter.Imd1", "/org/voltry/insulation_monitor/imd1");

macro_rules! proxy {
    ($proxy:ident, $connection:expr, $object:expr) => {
        soon($proxy::builder($connection).destination($object.0).path($object.1).build()).await.unwrap()
    };
}

async fn check_contract(connection: &Connection, object: (&str, &str), interfaces: &[&str]) {
    let xml = soon(proxy!(IntrospectableProxy, connection, object).introspect()).await.unwrap();
    assert_eq!(contract::check_served(&xml, interfaces), Ok(()));
}

/// An Acrel DJSF1352-RN: 400.0 V, 100.0 A, 40.0 kW as W, and 1234 Wh.
fn acrel() -> Wire {
    let wire = Wire::new();
    wire.set(0, &[4000, 2, 1000, 2, 0, 0, 4000, 4, 0, 1234, 0, 0]);
    wire
}

fn meter_daemon(bus: &Bus, wire: &Wire, folder: &std::path::Path) -> Daemon {
    let config = format!(
        r#"[meter.grid]
        port = {{ serial = "{}" }}
        models = ["{}/../../packaging/meters"]
        state = "{}"
        [meter.grid.device.main]
        kind = "energy-meter"
        model = "acrel-djsf1352-rn"
        address = 1
        "#,
        wire.path,
        env!("CARGO_MANIFEST_DIR"),
        folder.display()
    );
    Daemon::start(bus, "grid", &config, folder)
}

#[tokio::test]
async fn a_meter_is_served_as_the_contract_says() {
    let (bus, wire, folder) = (Bus::start(), acrel(), tempfile::tempdir().unwrap());
    let connection = bus.connect().await;
    let _daemon = meter_daemon(&bus, &wire, folder.path());
    wait_for(&connection, METER.0).await;
    check_contract(&connection, METER, &["org.voltry.EnergyMeter1", "org.voltry.Device1"]).await;

    let meter = proxy!(EnergyMeter1Proxy, &connection, METER);
    let mut readings = soon(meter.receive_reading()).await.unwrap();
    let mut last = 0;
    for _ in 0..2 {
        let signal = soon(readings.next()).await.unwrap();
        let reading = signal.args().unwrap().reading;
        assert_eq!((reading.voltage, reading.current, reading.power), (400.0, 100.0, 40_000.0));
        assert_eq!((reading.energy_import, reading.energy_export), (1234.0, 0.0));
        assert!(reading.sequence > last);
        last = reading.sequence;
        let age = clock::now().as_micros() - reading.at;
        assert!(age < 2_000_000, "{age} us old");
    }
    let device = proxy!(Device1Proxy, &connection, METER);
    assert!(soon(device.online()).await.unwrap());
    assert_eq!(soon(device.vendor()).await.unwrap(), "Acrel");
    assert_eq!(soon(meter.resolution()).await.unwrap(), 1.0);
}

#[tokio::test]
async fn a_transaction_that_a_killed_daemon_left_open_is_known_and_can_be_stopped() {
    let (bus, wire, folder) = (Bus::start(), acrel(), tempfile::tempdir().unwrap());
    let connection = bus.connect().await;
    let daemon = meter_daemon(&bus, &wire, folder.path());
    wait_for(&connection, METER.0).await;
    let meter = proxy!(EnergyMeter1Proxy, &connection, METER);
    assert_eq!(soon(meter.unfinished()).await.unwrap(), "");
    let started = soon(meter.start("7", "someone", "0.50")).await.unwrap();
    assert_eq!((started.energy, started.format.as_str(), started.data.as_str()), (1234.0, "none", ""));
    assert!(matches!(soon(meter.start("8", "", "")).await, Err(Error::Refused(_))));
    assert_eq!(soon(meter.unfinished()).await.unwrap(), "7");
    drop(daemon);
    wait_for_end(&connection, METER.0).await;

    wire.set(8, &[0, 2000]);
    let _daemon = meter_daemon(&bus, &wire, folder.path());
    wait_for(&connection, METER.0).await;
    let meter = proxy!(EnergyMeter1Proxy, &connection, METER);
    assert_eq!(soon(meter.unfinished()).await.unwrap(), "7");
    assert!(matches!(soon(meter.stop("8")).await, Err(Error::Refused(_))));
    let stopped = soon(meter.stop("7")).await.unwrap();
    assert_eq!(stopped.energy, 2000.0);
    wire.set(8, &[0, 3000]);
    assert_eq!(soon(meter.stop("7")).await.unwrap(), stopped, "asked again because the answer was lost");
    assert!(soon(meter.start("9", "", "")).await.is_ok());
}

#[tokio::test]
async fn a_transaction_whose_first_answer_was_lost_can_be_found_and_ended_without_a_restart() {
    let (bus, wire, folder) = (Bus::start(), acrel(), tempfile::tempdir().unwrap());
    let connection = bus.connect().await;
    let _daemon = meter_daemon(&bus, &wire, folder.path());
    wait_for(&connection, METER.0).await;
    let meter = proxy!(EnergyMeter1Proxy, &connection, METER);
    soon(meter.start("7", "", "")).await.unwrap();
    // Whoever started it was killed before it could note it, and asks again.
    assert!(matches!(soon(meter.start("7", "", "")).await, Err(Error::Refused(_))));
    assert_eq!(soon(meter.unfinished()).await.unwrap(), "7");
    soon(meter.stop("7")).await.unwrap();
    assert_eq!(soon(meter.unfinished()).await.unwrap(), "");

    wire.set(8, &[0, 2000]);
    assert_eq!(soon(meter.start("7", "", "")).await.unwrap().energy, 2000.0);
    wire.set(8, &[0, 2500]);
    assert_eq!(soon(meter.stop("7")).await.unwrap().energy, 2500.0, "not how the first of that name ended");
}

#[tokio::test]
async fn a_meter_that_goes_silent_goes_offline_and_comes_back() {
    let (bus, wire, folder) = (Bus::start(), acrel(), tempfile::tempdir().unwrap());
    let connection = bus.connect().await;
    let _daemon = meter_daemon(&bus, &wire, folder.path());
    wait_for(&connection, METER.0).await;
    let meter = proxy!(EnergyMeter1Proxy, &connection, METER);
    let device = proxy!(Device1Proxy, &connection, METER);
    let mut online = device.receive_online_changed().await;
    let wait_online = async |online: &mut zbus::proxy::PropertyStream<'_, bool>, wanted: bool| {
        while soon(online.next()).await.unwrap().get().await.unwrap() != wanted {}
    };
    wait_online(&mut online, true).await;
    wire.silence(true);
    wait_online(&mut online, false).await;
    assert!(matches!(soon(meter.read_register()).await, Err(Error::Unavailable(_))));
    wire.silence(false);
    assert_eq!(soon(meter.read_register()).await.unwrap().energy_import, 1234.0, "asked for, tried at once");
    wait_online(&mut online, true).await;
}

#[tokio::test]
async fn an_insulation_monitor_is_served_as_the_contract_says() {
    let (bus, wire, folder) = (Bus::start(), Wire::new(), tempfile::tempdir().unwrap());
    // 250 kΩ and 400 V as floats, with their units; firmware 5.20.
    wire.set(1000, &[0x4874, 0x2400, 2]);
    wire.set(1008, &[0x43C8, 0, 4]);
    wire.set(9821, &[520]);
    let connection = bus.connect().await;
    let config = format!(
        r#"[meter.imd1]
        port = {{ serial = "{}" }}
        [meter.imd1.device.imd1]
        kind = "insulation-monitor"
        model = "isocha425hv"
        address = 3
        "#,
        wire.path
    );
    let _daemon = Daemon::start(&bus, "imd1", &config, folder.path());
    wait_for(&connection, MONITOR.0).await;
    let interfaces = ["org.voltry.InsulationMonitor1", "org.voltry.VoltageMonitor1", "org.voltry.Device1"];
    check_contract(&connection, MONITOR, &interfaces).await;

    let monitor = proxy!(InsulationMonitor1Proxy, &connection, MONITOR);
    let mut insulations = soon(monitor.receive_insulation()).await.unwrap();
    let mut tests = soon(monitor.receive_self_test_finished()).await.unwrap();
    let voltmeter = proxy!(VoltageMonitor1Proxy, &connection, MONITOR);
    let mut voltages = soon(voltmeter.receive_voltage()).await.unwrap();
    let voltage = soon(voltages.next()).await.unwrap().args().unwrap().reading;
    assert_eq!(voltage.voltage, 400.0);
    let insulation = soon(insulations.next()).await.unwrap().args().unwrap().reading;
    assert_eq!((insulation.resistance, insulation.valid), (250_000.0, true));
    assert!(soon(monitor.active()).await.unwrap());

    soon(monitor.start_self_test()).await.unwrap();
    let result = soon(tests.next()).await.unwrap().args().unwrap().result;
    assert!(result.passed, "{}", result.detail);
    soon(monitor.set_active(false)).await.unwrap();
    assert!(matches!(soon(monitor.start_self_test()).await, Err(Error::Refused(_))));
    assert_eq!(wire.get(3026), 0);
}
