//! The task that owns a monitor's bus.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot, watch};
use voltry_canlink::{CanLink, CanPort, LinkError, Received};
use voltry_service::{RateLimit, clock};
use voltry_units::Timestamp;

use super::served::{Placed, Served};
use super::{Denied, Driver, Event, Monitor, Ticket};
use crate::heartbeat::Heartbeat;

/// Orders that may wait; more are refused as busy.
const ORDERS: usize = 16;
/// Events that may wait for the D-Bus. Then the monitor waits too, and the watchdog notices.
const EVENTS: usize = 64;
/// Frames that are heard before something is sent; a bus that brings more without end is not waited for.
const HEARD_FIRST: usize = 64;
/// The task goes round at least this often, so that the watchdog sees it live.
const TURN: Duration = Duration::from_millis(500);
const REOPEN_FIRST: Duration = Duration::from_millis(100);
const REOPEN_LAST: Duration = Duration::from_secs(5);

/// A monitor's bus, and the monitor.
pub(crate) struct MonitorBus {
    name: String,
    port: CanPort,
    driver: Driver,
    placed: mpsc::Receiver<Placed>,
    events: mpsc::Sender<Event>,
    open: BTreeMap<Ticket, oneshot::Sender<Result<(), Denied>>>,
    next_ticket: u64,
    link: Link,
    losses: RateLimit,
    refused: RateLimit,
    heartbeat: Heartbeat,
}

enum Link {
    Open(Box<CanLink>),
    Closed { until: Timestamp, wait: Duration },
}

impl MonitorBus {
    /// Serves a monitor; what it tells goes to the D-Bus by a task of its own.
    pub(crate) async fn attach(
        name: &str,
        monitor: &Monitor,
        port: &CanPort,
        connection: &zbus::Connection,
        heartbeat: Heartbeat,
    ) -> anyhow::Result<Self> {
        let (orders, placed) = mpsc::channel(ORDERS);
        let (events, told) = mpsc::channel(EVENTS);
        let served = Served::serve(connection, name, monitor, orders).await;
        let served = served.with_context(|| format!("serving monitor {name}"))?;
        tokio::spawn(publish(served, told));
        Ok(Self {
            name: name.to_owned(),
            port: port.clone(),
            driver: monitor.driver(),
            placed,
            events,
            open: BTreeMap::new(),
            next_ticket: 0,
            link: Link::Closed { until: clock::now(), wait: REOPEN_FIRST },
            losses: RateLimit::new(),
            refused: RateLimit::new(),
            heartbeat,
        })
    }

    /// Runs until `stop`. The monitor is left measuring: its relays act without us.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let now = clock::now();
            self.heartbeat.beat(now);
            let sleep = self.work(now).await.min(TURN);
            tokio::select! {
                _ = stop.changed() => {}
                Some((order, settled)) = self.placed.recv() => {
                    let ticket = Ticket(self.next_ticket);
                    self.next_ticket += 1;
                    self.open.insert(ticket, settled);
                    let events = self.driver.order(clock::now(), ticket, order);
                    self.tell(events).await;
                }
                received = receive(&mut self.link) => self.received(received).await,
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// What is due at `now`, and how long until there is more to do.
    async fn work(&mut self, now: Timestamp) -> Duration {
        self.open_link(now).await;
        // What came while this process was held up was measured then: it must neither be taken for the answer
        // to what is asked now, nor be asked for again. So `now` is before it, too.
        for _ in 0..HEARD_FIRST {
            tokio::select! {
                biased;
                received = receive(&mut self.link) => self.received(received).await,
                () = std::future::ready(()) => break,
            }
        }
        self.send(now).await
    }

    /// Sends what is due; how long until there is more to do.
    async fn send(&mut self, now: Timestamp) -> Duration {
        if let Link::Closed { until, .. } = self.link {
            return until.since(now);
        }
        let (frame, events) = self.driver.step(now);
        self.tell(events).await;
        if let (Some(frame), Link::Open(link)) = (frame, &mut self.link)
            && let Err(full) = link.send(frame)
        {
            self.lost(&full, REOPEN_FIRST).await;
        }
        self.driver.due().since(clock::now())
    }

    async fn received(&mut self, received: Result<Received, LinkError>) {
        match received {
            Ok(Received::Frame(frame)) => {
                let events = self.driver.hear(clock::now(), &frame);
                self.tell(events).await;
            }
            Ok(event @ (Received::BusOff | Received::Refused)) => {
                if let Some(count) = self.refused.count(clock::now()) {
                    tracing::warn!(monitor = self.name, ?event, count, "the CAN controller cannot send");
                }
            }
            Err(error) => self.lost(&error, REOPEN_FIRST).await,
        }
    }

    async fn open_link(&mut self, now: Timestamp) {
        let Link::Closed { until, wait } = self.link else { return };
        if now < until {
            return;
        }
        match CanLink::open(&self.port) {
            Ok(link) => self.link = Link::Open(Box::new(link)),
            Err(error) => self.lost(&error, (wait * 2).min(REOPEN_LAST)).await,
        }
    }

    async fn lost(&mut self, error: &(dyn std::error::Error + Sync), wait: Duration) {
        let now = clock::now();
        if let Some(count) = self.losses.count(now) {
            tracing::error!(monitor = self.name, %error, count, "no CAN link; trying again");
        }
        self.link = Link::Closed { until: now + wait, wait };
        let events = self.driver.link_lost(now);
        self.tell(events).await;
    }

    async fn tell(&mut self, events: Vec<Event>) {
        for event in events {
            if let Event::Settled(ticket, result) = event {
                if let Some(settled) = self.open.remove(&ticket) {
                    // Who ordered may have left the bus; then nobody needs the answer.
                    let _ = settled.send(result);
                }
            } else {
                // Closed only when the bus is gone; then the daemon ends.
                let _ = self.events.send(event).await;
            }
        }
    }
}

async fn publish(mut served: Served, mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        if served.tell(event).await.is_err() {
            // The bus is gone, and the daemon ends.
            return;
        }
    }
}

async fn receive(link: &mut Link) -> Result<Received, LinkError> {
    match link {
        Link::Open(link) => link.recv().await,
        Link::Closed { .. } => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_serial::{SerialPort as _, SerialStream};
    use voltry_service::Watchdog;

    use super::*;
    use crate::monitor::Iso165c;
    use crate::monitor::iso165c::Settings;

    const START: Timestamp = Timestamp::from_micros(1_000_000_000);

    /// What was written to the line until it ends so.
    async fn written(bus: &mut MonitorBus, device: &mut SerialStream, end: &str) -> String {
        let (mut text, mut bytes) = (String::new(), [0; 512]);
        while !text.ends_with(end) {
            tokio::select! {
                read = device.read(&mut bytes) => {
                    text.push_str(std::str::from_utf8(&bytes[..read.unwrap()]).unwrap());
                }
                received = receive(&mut bus.link) => panic!("{received:?} was not heard before {text:?}"),
                () = tokio::time::sleep(Duration::from_secs(10)) => panic!("no more than {text:?}"),
            }
        }
        text
    }

    #[tokio::test]
    async fn what_came_while_the_process_was_held_up_is_heard_before_anything_is_asked() {
        let (mut device, slave) = SerialStream::pair().unwrap();
        let port = format!("type = 'slcan'\ndevice = '{}'\nbit_rate = 250000", slave.name().unwrap());
        let config = voltry_service::Config::parse([("voltry.toml", &*format!("[port]\n{port}"))]).unwrap();
        let (_orders, placed) = mpsc::channel(ORDERS);
        let (events, _told) = mpsc::channel(EVENTS);
        let mut bus = MonitorBus {
            name: "imd1".into(),
            port: config.load("port").unwrap(),
            driver: Driver::Iso165c(Box::new(Iso165c::new(Settings::default()))),
            placed,
            events,
            open: BTreeMap::new(),
            next_ticket: 0,
            link: Link::Closed { until: START, wait: REOPEN_FIRST },
            losses: RateLimit::new(),
            refused: RateLimit::new(),
            heartbeat: Heartbeat::of(1, Watchdog::from_environment(), START).remove(0),
        };
        bus.work(START).await;
        let asked = written(&mut bus, &mut device, "t0225CA00000000\r").await;
        assert_eq!(asked, "C\rS5\rO\rt0225CA00000000\r");
        // The answer is there, and this process away: until after it would have been missed.
        let answer = b"t0235CA00000000\r";
        device.write_all(answer).await.unwrap();
        while slave.bytes_to_read().unwrap() < u32::try_from(answer.len()).unwrap() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        bus.work(START + Duration::from_millis(280)).await;
        let asked = written(&mut bus, &mut device, "t02253301000000\r").await;
        assert_eq!(asked, "t02253301000000\r", "the next question, and none again");
    }
}
