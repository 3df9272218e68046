//! What only shows on a real bus, a private one.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

#[path = "../../../tests/private_bus.rs"]
mod private_bus;

use std::time::Duration;

use futures_util::StreamExt as _;
use private_bus::Bus;
use voltry_bus::{Component, Device1Proxy, DeviceVariable, Settings1Proxy, contract};
use voltry_service::settings::{Access, Kind, Spec, Writer};
use voltry_service::{Device, FaultLog, HolderWatch, Identity, Settings, clock};
use zbus::Connection;

/// As a daemon connects.
async fn connect(bus: &Bus) -> Connection {
    voltry_service::connect(Some(&bus.address)).await.unwrap()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), what).await.expect("it happens within 5 s")
}

fn unique_name(connection: &Connection) -> String {
    connection.unique_name().unwrap().to_string()
}

#[tokio::test]
async fn a_holder_that_leaves_is_noticed_and_others_are_not() {
    let bus = Bus::start();
    let (provider, holder, other) = (connect(&bus).await, connect(&bus).await, connect(&bus).await);
    let mut watch = HolderWatch::new(&provider).await.unwrap();
    let name = unique_name(&holder);
    watch.watch(&name);
    other.close().await.unwrap();
    holder.close().await.unwrap();
    assert_eq!(soon(watch.lost()).await, name);
}

#[tokio::test]
async fn a_holder_that_left_before_it_was_watched_is_noticed_too() {
    let bus = Bus::start();
    let (provider, holder) = (connect(&bus).await, connect(&bus).await);
    let name = unique_name(&holder);
    holder.close().await.unwrap();
    while zbus::fdo::DBusProxy::new(&provider)
        .await
        .unwrap()
        .name_has_owner(name.as_str().try_into().unwrap())
        .await
        .unwrap()
    {}
    let mut watch = HolderWatch::new(&provider).await.unwrap();
    watch.watch(&name);
    assert_eq!(soon(watch.lost()).await, name);
}

#[tokio::test]
async fn a_device_is_served_as_the_contract_says_and_tells_its_changes() {
    const PATH: &str = "/org/voltry/connector/1";
    let bus = Bus::start();
    let (provider, reader) = (connect(&bus).await, connect(&bus).await);
    let identity = Identity { vendor: "chargebyte".into(), ..Identity::default() };
    let device = Device::serve(&provider, PATH, identity).await.unwrap();

    let name = unique_name(&provider);
    let introspection = zbus::fdo::IntrospectableProxy::builder(&reader)
        .destination(name.as_str())
        .path(PATH)
        .build()
        .await
        .unwrap()
        .introspect()
        .await
        .unwrap();
    assert_eq!(contract::check_served(&introspection, &["org.voltry.Device1"]), Ok(()));

    let proxy = Device1Proxy::builder(&reader).destination(name.as_str()).path(PATH).build().await.unwrap();
    assert_eq!(proxy.vendor().await.unwrap(), "chargebyte");
    assert!(!proxy.online().await.unwrap());
    let mut faults = FaultLog::new();
    faults.raise("MREC8EmergencyStop", "input 1 is active", clock::now());
    let mut online = proxy.receive_online_changed().await;
    let mut faulty = proxy.receive_faults_changed().await;
    device.set_online(true);
    device.set_faults(&faults);
    soon(async { while !online.next().await.unwrap().get().await.unwrap() {} }).await;
    soon(async { while faulty.next().await.unwrap().get().await.unwrap() != faults.to_wire() {} }).await;
}

#[tokio::test]
async fn a_devices_variables_and_settings_are_told_and_are_bounded() {
    const PATH: &str = "/org/voltry/power_supply/1";
    let bus = Bus::start();
    let folder = tempfile::tempdir().unwrap();
    let (provider, reader) = (connect(&bus).await, connect(&bus).await);
    let device = Device::serve(&provider, PATH, Identity::default()).await.unwrap();
    let spec = Spec {
        name: "fan_speed",
        kind: Kind::Integer { minimum: 10, maximum: 100 },
        unit: "Percent",
        access: Access::ReadWrite,
        writers: &[Writer::Csms, Writer::Operator],
        default: "50".to_owned(),
        component: "AirCoolingSystem",
        variable: "FanSpeed",
        about: "How fast the fan turns.",
    };
    let file = folder.path().join("settings.toml");
    let settings = Settings::serve(&provider, PATH, &file, vec![spec]).await.unwrap();
    device.show_settings(settings);
    let name = unique_name(&provider);
    let proxy = Device1Proxy::builder(&reader)
        .destination(name.as_str())
        .path(PATH)
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .unwrap();
    let converter = Component::new("AcDcConverter").instance("1");
    let many = |value: f64| {
        let one = |number: usize| DeviceVariable {
            instance: number.to_string(),
            ..DeviceVariable::decimal(&converter, "DCVoltage", "V", Some(value))
        };
        (0..Device::VARIABLES_MAX * 2).map(one).collect::<Vec<_>>()
    };
    let mut changes = zbus::MessageStream::for_match_rule(
        zbus::MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .interface("org.freedesktop.DBus.Properties")
            .path(PATH)
            .build()
            .unwrap(),
        &reader,
        None,
    )
    .await
    .unwrap();
    device.set_variables(many(1.0));
    let read = async |wanted: &str| loop {
        let variables = proxy.variables().await.unwrap();
        assert!(variables.len() <= Device::VARIABLES_MAX);
        if variables.iter().any(|variable| variable.value == wanted) {
            return variables;
        }
    };
    soon(changes.next()).await.unwrap().unwrap();
    let variables = soon(read("1.0")).await;
    assert_eq!(variables.len(), Device::VARIABLES_MAX);
    let setting = &variables[0];
    assert_eq!((setting.name.as_str(), setting.setting.as_str()), ("FanSpeed", "fan_speed"));
    assert_eq!((setting.kind.as_str(), setting.value.as_str(), setting.maximum), ("integer", "50", 100.0));
    let writer =
        Settings1Proxy::builder(&reader).destination(name.as_str()).path(PATH).build().await.unwrap();
    writer.write("fan_speed", "70").await.unwrap();
    assert_eq!(soon(read("70")).await[0].value, "70", "a written setting is told as a variable");
}
