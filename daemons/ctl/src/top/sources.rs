//! Who is asked for the picture, each by a task of its own.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use voltry_bus::{Csms1Proxy, Module, names};
use zbus::Connection;
use zbus::proxy::CacheProperties;

use super::picture::{DeviceFault, Devices, Heard, Picture, Station, Uplink};
use crate::devices;
use crate::outcome::Failure;
use crate::output::ago;
use crate::station;

/// Modules and devices are many, and change less.
const SLOWLY: Duration = Duration::from_secs(2);

/// The parts, as they were heard last.
#[derive(Debug)]
pub(super) struct Sources {
    station: watch::Receiver<Heard<Station>>,
    uplink: watch::Receiver<Heard<Uplink>>,
    modules: watch::Receiver<Heard<Vec<Module>>>,
    devices: watch::Receiver<Heard<Devices>>,
}

impl Sources {
    /// What is to be heard, and who asks every part again and again for as long as it is awaited.
    pub(super) fn follow(connection: &Connection, every: Duration) -> (Self, impl Future<Output = ()>) {
        let (tell_station, station) = watch::channel(Heard::NotYet);
        let (tell_uplink, uplink) = watch::channel(Heard::NotYet);
        let (tell_modules, modules) = watch::channel(Heard::NotYet);
        let (tell_devices, devices) = watch::channel(Heard::NotYet);
        let slowly = every.max(SLOWLY);
        let asking = async move {
            tokio::join!(
                ask(every, tell_station, async || ask_station(connection).await),
                ask(every, tell_uplink, async || ask_uplink(connection).await),
                ask(slowly, tell_modules, async || devices::all_modules(connection).await),
                ask(slowly, tell_devices, async || ask_devices(connection).await),
            );
        };
        (Self { station, uplink, modules, devices }, asking)
    }

    /// Returns when each part was asked once.
    pub(super) async fn all_asked(&self) {
        async fn asked<T>(mut part: watch::Receiver<Heard<T>>) {
            let _ = part.wait_for(|heard| !matches!(heard, Heard::NotYet)).await;
        }
        let (station, uplink) = (asked(self.station.clone()), asked(self.uplink.clone()));
        let (modules, devices) = (asked(self.modules.clone()), asked(self.devices.clone()));
        tokio::join!(station, uplink, modules, devices);
    }

    /// What is known now.
    pub(super) fn picture(&self) -> Picture {
        Picture {
            clock: jiff::Timestamp::now()
                .to_zoned_datetime(jiff::tz::TimeZone::system())
                .strftime("%H:%M:%S")
                .to_string(),
            station: self.station.borrow().clone(),
            uplink: self.uplink.borrow().clone(),
            modules: self.modules.borrow().clone(),
            devices: self.devices.borrow().clone(),
        }
    }
}

async fn ask<T>(
    every: Duration,
    tell: watch::Sender<Heard<T>>,
    question: impl AsyncFn() -> Result<T, Failure>,
) {
    while !tell.is_closed() {
        let said = question().await;
        tell.send_replace(said.map_or(Heard::Away, Heard::Says));
        tokio::time::sleep(every).await;
    }
}

async fn ask_station(connection: &Connection) -> Result<Station, Failure> {
    let station = station::proxy(connection).await?;
    Ok(Station {
        name: station.name().await?,
        evses: station.evses().await?,
        // A station of before it had them answers without.
        connectors: station.connectors().await.unwrap_or_default(),
        shares: station.shares().await.unwrap_or_default(),
    })
}

async fn ask_uplink(connection: &Connection) -> Result<Uplink, Failure> {
    let csms = Csms1Proxy::builder(connection)
        .destination(names::OCPP)
        .path(names::CSMS_PATH)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    Ok(Uplink {
        state: csms.state().await?,
        url: csms.url().await?,
        protocol: csms.protocol().await?,
        waiting: csms.waiting().await?,
        last_error: csms.last_error().await?,
    })
}

async fn ask_devices(connection: &Connection) -> Result<Devices, Failure> {
    let (devices, walk) = devices::devices(connection, &[]).await?;
    let mut told = Devices { silent: walk.silent.into_iter().collect(), ..Devices::default() };
    for device in devices {
        if !device.online {
            told.offline.push(device.object.clone());
        }
        told.faults.extend(device.faults.into_iter().map(|fault| DeviceFault {
            object: device.object.clone(),
            since: ago(fault.at),
            code: fault.code,
            cause: fault.cause,
        }));
    }
    Ok(told)
}
