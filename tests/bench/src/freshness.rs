//! How old measurements are when they are used: by the control step of the energy path, which
//! renews its leases on them, and in the answers of the vehicle's charge loop.
//!
//! A whole simulated station charges while this process listens to its bus. With each
//! `RenewLease` of evse the newest value of each stream has the age at which that step used it;
//! with each `Target`, which secc sends as it answers the vehicle, the newest `SetPresent`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use voltry_bus as bus;
use zbus::{Message, MessageStream};

use crate::machine::{Ahead, Busy};
use crate::report::{Report, percentile};
use crate::station::{Station, monitor};

/// The ages of one stream, in milliseconds.
#[derive(Debug, Default)]
struct Stream {
    newest: u64,
    ages: Vec<f64>,
}

impl Stream {
    /// At `now`, in microseconds like `newest`; nothing was told yet: nothing is used.
    fn used(&mut self, now: u64) {
        if self.newest > 0 {
            self.ages.push(Duration::from_micros(now.saturating_sub(self.newest)).as_secs_f64() * 1e3);
        }
    }
}

#[derive(Debug, Default)]
struct Ages {
    supply: Stream,
    cable: Stream,
    connector: Stream,
    present: Stream,
}

pub(crate) async fn measure(report: &mut Report, seconds: u64) -> anyhow::Result<()> {
    let (mut station, _) = Station::start().await?;
    station.charge().await?;
    let mut messages = monitor(&station, &RULES).await?;
    let _ahead = Ahead::of_all();
    let time = Duration::from_secs(seconds);
    let idle = watch(&mut messages, time).await.context("idle")?;
    let busy = {
        let _busy = Busy::every_core().await?;
        watch(&mut messages, time).await.context("busy")?
    };
    for (load, ages) in [("idle", idle), ("busy", busy)] {
        for (stream, Stream { mut ages, .. }) in [
            ("supply", ages.supply),
            ("cable", ages.cable),
            ("connector", ages.connector),
            ("present", ages.present),
        ] {
            if ages.len() < usize::try_from(seconds * 5)? {
                bail!("only {} uses of the {stream} value in {seconds} s, {load}", ages.len());
            }
            for (figure, share) in [("p50", 0.5), ("p90", 0.9), ("max", 1.0)] {
                report.add(format!("{stream}_age_{figure}_{load}_ms"), percentile(&mut ages, share));
            }
        }
    }
    report.note(format!(
        "freshness: {seconds} s each of a charge; refused are values of 300 ms (present values, too)"
    ));
    station.quit().await
}

const RULES: [&str; 6] = [
    "type='signal',interface='org.voltry.PowerSupply1',member='Output'",
    "type='signal',interface='org.voltry.VoltageMonitor1',member='Voltage'",
    "type='signal',interface='org.voltry.ConnectorIo1',member='Io'",
    "type='signal',interface='org.voltry.EvLink1',member='Target'",
    "type='method_call',interface='org.voltry.PowerSupply1',member='RenewLease'",
    "type='method_call',interface='org.voltry.EvLink1',member='SetPresent'",
];

async fn watch(messages: &mut MessageStream, time: Duration) -> anyhow::Result<Ages> {
    let mut ages = Ages::default();
    let end = tokio::time::Instant::now() + time;
    while let Ok(message) = tokio::time::timeout_at(end, messages.next()).await {
        ages.hear(&message.context("the bus ended")??)?;
    }
    Ok(ages)
}

impl Ages {
    fn hear(&mut self, message: &Message) -> anyhow::Result<()> {
        let header = message.header();
        let body = message.body();
        match header.member().map(zbus::names::MemberName::as_str).unwrap_or_default() {
            "Output" => self.supply.newest = body.deserialize::<bus::DcOutput>()?.at,
            "Voltage" => self.cable.newest = body.deserialize::<bus::VoltageReading>()?.at,
            "Io" => self.connector.newest = body.deserialize::<bus::ConnectorState>()?.at,
            "SetPresent" => self.present.newest = body.deserialize::<(bus::Present,)>()?.0.at,
            "RenewLease" => {
                let (_, _, sent_at): (u64, u64, u64) = body.deserialize()?;
                for stream in [&mut self.supply, &mut self.cable, &mut self.connector] {
                    stream.used(sent_at);
                }
            }
            "Target" => self.present.used(body.deserialize::<bus::Target>()?.at),
            _ => {}
        }
        Ok(())
    }
}
