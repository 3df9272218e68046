//! A provider of each role without hardware, which breaks one rule of the contract each:
//! what the tests of `voltryctl conform` put through it. The shortest honest provider is this
//! without the faults; in Python it is in `examples/`.
//!
//! `provider ROLE FAULT FOLDER`; the fault `none` is none.
#![allow(clippy::unwrap_used, reason = "a test's rig")]

#[path = "provider/connector.rs"]
mod connector;
#[path = "provider/energy_meter.rs"]
mod energy_meter;
#[path = "provider/monitors.rs"]
mod monitors;
#[path = "provider/power_supply.rs"]
mod power_supply;

use std::path::PathBuf;

use voltry_service::{Device, FaultLog, Identity};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [role, fault, folder] = std::env::args().skip(1).collect::<Vec<_>>().try_into().unwrap();
    let connection = voltry_service::connect(None).await.unwrap();
    let path = "/org/voltry/provider/1";
    if fault != "no-device" {
        let identity = Identity { vendor: "Example".to_owned(), ..Identity::default() };
        let device = Device::serve(&connection, path, identity).await.unwrap();
        device.set_online(fault != "offline");
        if fault == "with-a-fault" {
            let mut log = FaultLog::new();
            log.raise("Broken", "it is", voltry_service::clock::now());
            device.set_faults(&log);
        }
    }
    match role.as_str() {
        "power-supply" => power_supply::run(connection, path, fault).await,
        "energy-meter" => energy_meter::run(connection, path, fault, PathBuf::from(folder)).await,
        "insulation-monitor" => monitors::insulation(connection, path, fault).await,
        "voltage-monitor" => monitors::voltage(connection, path, &fault).await,
        "connector" => connector::run(connection, path, fault).await,
        other => panic!("{other}: a role is wanted"),
    }
}
