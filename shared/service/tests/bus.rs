//! What only shows on a real bus, a private one.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

#[path = "../../../tests/private_bus.rs"]
mod private_bus;

use std::time::Duration;

use futures_util::StreamExt as _;
use private_bus::Bus;
use voltry_bus::{Device1Proxy, contract};
use voltry_service::{Device, FaultLog, HolderWatch, Identity, clock};
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
