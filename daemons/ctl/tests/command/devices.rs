//! `voltryctl devices` and `faults list`, where somebody is away or keeps no contract.

use voltry_bus::Fault;
use voltry_service::{Device, FaultLog, Identity};
use voltry_units::Timestamp;
use zbus::{Connection, interface};

use super::on;
use crate::private_bus::Bus;
use crate::station::serve;

const GUARD: &str = "com.example.Guard1";

/// A daemon of an OEM's at this path, with a fault.
async fn guard(bus: &Bus, path: &str) -> (Connection, Device) {
    let connection = voltry_service::connect(Some(&bus.address)).await.unwrap();
    let device = Device::serve(&connection, path, Identity::default()).await.unwrap();
    let mut log = FaultLog::new();
    log.raise("GuardTripped", "the door is open", Timestamp::from_micros(1));
    device.set_faults(&log);
    connection.request_name(GUARD).await.unwrap();
    (connection, device)
}

#[tokio::test]
async fn an_oems_device_is_shown_by_whatever_name_it_has() {
    let bus = Bus::start();
    let _station = serve(&bus).await;
    let _guard = guard(&bus, "/org/voltry/guard/1").await;
    let devices = on(&bus, "devices").await;
    assert!(devices.code == Some(0) && devices.out.contains("guard/1"), "{devices:?}");
    let faults = on(&bus, "faults list").await;
    assert!(faults.code == Some(4) && faults.out.contains("GuardTripped"), "{faults:?}");
}

/// A configuration with these bindings, and the option that names it.
fn configuration(bindings: &[(&str, &str)]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("voltry.toml");
    let lines = bindings.iter().enumerate().map(|(number, (name, path))| {
        format!("[evse.{number}]\npower_supply = {{ name = \"{name}\", path = \"{path}\" }}\n")
    });
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let option = format!("--config {}", file.display());
    (folder, option)
}

#[tokio::test]
async fn a_bound_device_is_shown_wherever_its_object_lies() {
    let bus = Bus::start();
    let _station = serve(&bus).await;
    let _guard = guard(&bus, "/com/example/guard").await;
    let (_folder, config) = configuration(&[(GUARD, "/com/example/guard")]);
    let devices = on(&bus, &format!("devices {config}")).await;
    assert!(devices.code == Some(0) && devices.out.contains("/com/example/guard"), "{devices:?}");
    let faults = on(&bus, &format!("faults list {config}")).await;
    assert!(faults.code == Some(4) && faults.out.contains("GuardTripped"), "{faults:?}");
}

#[tokio::test]
async fn a_bound_daemon_that_is_away_is_named_and_no_other() {
    let bus = Bus::start();
    let _station = serve(&bus).await;
    let supply = ("org.voltry.Power1", "/org/voltry/power_supply/1");
    let board = ("org.voltry.Board1", "/org/voltry/connector/1");
    let (_folder, config) = configuration(&[supply, board, board]);
    for arguments in ["devices", "faults list"] {
        let ended = on(&bus, &format!("{arguments} {config}")).await;
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(ended.err.contains("voltryctl: org.voltry.Board1 does not answer"), "{ended:?}");
        let whole = on(&bus, arguments).await;
        assert_eq!(whole.code, Some(0), "this bus is not the machine's own: {whole:?}");
    }
    let ended = on(&bus, "faults list --config /nonexistent").await;
    assert!(ended.code == Some(1) && ended.err.contains("/nonexistent"), "{ended:?}");
}

/// A `Device1` that does not tell its serial number.
struct Half;

#[interface(name = "org.voltry.Device1")]
#[allow(clippy::unused_self, reason = "the bus wants it so")]
impl Half {
    #[zbus(property)]
    fn vendor(&self) -> &str {
        "Example"
    }

    #[zbus(property)]
    fn model(&self) -> &str {
        "Half"
    }

    #[zbus(property)]
    fn firmware(&self) -> &str {
        ""
    }

    #[zbus(property)]
    fn online(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn faults(&self) -> Vec<Fault> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_device_that_keeps_no_contract_hides_no_other() {
    let bus = Bus::start();
    let _station = serve(&bus).await;
    let connection = voltry_service::connect(Some(&bus.address)).await.unwrap();
    connection.object_server().at("/org/voltry/guard/1", Half).await.unwrap();
    connection.request_name(GUARD).await.unwrap();
    for (arguments, shown) in
        [("devices", "power_supply/1"), ("faults list", "no faults of those that answer")]
    {
        let ended = on(&bus, arguments).await;
        assert!(ended.code == Some(3) && ended.out.contains(shown), "{ended:?}");
        assert!(ended.err.contains("/org/voltry/guard/1 of com.example.Guard1 does not answer"), "{ended:?}");
    }
}
