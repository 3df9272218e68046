//! What only shows on a real bus, a private one.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt as _;
use voltry_bus::{Device1Proxy, contract};
use voltry_service::{Device, FaultLog, HolderWatch, Identity, clock};
use zbus::Connection;

/// A `dbus-daemon` of our own; it ends with the test.
struct Bus {
    process: Child,
    address: String,
}

impl Bus {
    fn start() -> Self {
        let mut process = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon is installed");
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { process, address: address.trim().to_owned() }
    }

    async fn connect(&self) -> Connection {
        voltry_service::connect(Some(&self.address)).await.unwrap()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
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
    let (provider, holder, other) = (bus.connect().await, bus.connect().await, bus.connect().await);
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
    let (provider, holder) = (bus.connect().await, bus.connect().await);
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
    let (provider, reader) = (bus.connect().await, bus.connect().await);
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
