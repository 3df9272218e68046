//! The task that owns a line: whose turn it is, and who is told what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use voltry_service::{RateLimit, Watchdog};
use voltry_units::Timestamp;

use crate::driver::{Denied, Done, Driver, Event, Order, Ticket};
use crate::line::{Line, Peer};

/// Orders that may wait for the line; more are refused as busy.
const ORDERS_MAX: usize = 16;
/// Events that may wait for the bus. Then the line waits for it too, and the watchdog notices.
const EVENTS_MAX: usize = 64;
/// The task goes round at least this often, so that the watchdog sees it live.
const TURN: Duration = Duration::from_millis(500);

/// A device on the line.
#[derive(Debug)]
pub struct Attached {
    /// Its name in the configuration.
    pub name: String,
    /// How to ask it.
    pub peer: Peer,
    /// What to ask it.
    pub driver: Driver,
}

/// Events of the line's devices: the device's place in the list, and what it tells.
pub type Events = mpsc::Receiver<(usize, Event)>;

/// Takes orders for one device.
#[derive(Debug, Clone)]
pub struct Orders {
    device: usize,
    queue: mpsc::Sender<Placed>,
}

struct Placed {
    device: usize,
    order: Order,
    settled: oneshot::Sender<Result<Done, Denied>>,
}

impl Orders {
    /// Has an order carried out.
    ///
    /// # Errors
    /// Why it was not.
    pub async fn place(&self, order: Order) -> Result<Done, Denied> {
        let (settled, result) = oneshot::channel();
        let placed = Placed { device: self.device, order, settled };
        self.queue.try_send(placed).map_err(|_| Denied::Busy)?;
        result.await.unwrap_or_else(|_| Err(Denied::Unavailable("the line has ended".into())))
    }
}

/// A line and its devices.
#[derive(Debug)]
pub struct LineTask {
    line: Line,
    devices: Vec<Attached>,
    clock: fn() -> Timestamp,
    watchdog: Watchdog,
    placed: mpsc::Receiver<Placed>,
    events: mpsc::Sender<(usize, Event)>,
    open: BTreeMap<Ticket, oneshot::Sender<Result<Done, Denied>>>,
    next_ticket: u64,
    bad_input: Vec<RateLimit>,
    stray: RateLimit,
}

impl LineTask {
    /// A task for these devices on this line, and the ways to give orders to each and to hear
    /// of them.
    #[must_use]
    pub fn new(
        line: Line,
        devices: Vec<Attached>,
        clock: fn() -> Timestamp,
        watchdog: Watchdog,
    ) -> (Self, Vec<Orders>, Events) {
        let (queue, placed) = mpsc::channel(ORDERS_MAX);
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let orders = (0..devices.len()).map(|device| Orders { device, queue: queue.clone() }).collect();
        let task = Self {
            line,
            bad_input: devices.iter().map(|_| RateLimit::new()).collect(),
            devices,
            clock,
            watchdog,
            placed,
            events: sender,
            open: BTreeMap::new(),
            next_ticket: 0,
            stray: RateLimit::new(),
        };
        (task, orders, events)
    }

    /// Serves the line until nobody listens to its events any more.
    pub async fn run(mut self) {
        while !self.events.is_closed() {
            let now = (self.clock)();
            self.watchdog.beat(now);
            let next = self.devices.iter().enumerate().min_by_key(|(_, device)| device.driver.due());
            let (index, due) = next.map_or((0, now + TURN), |(index, device)| (index, device.driver.due()));
            let wait = due.since(now).min(TURN);
            // The exchange itself is outside of the select: a request that was sent is seen through.
            tokio::select! {
                biased;
                Some(placed) = self.placed.recv() => self.take(placed).await,
                () = sleep(wait) => {
                    if due <= (self.clock)() {
                        self.turn(index).await;
                    }
                }
            }
        }
    }

    async fn turn(&mut self, index: usize) {
        let Some(device) = self.devices.get_mut(index) else { return };
        let request = device.driver.request((self.clock)());
        let (sent, outcome) = self.line.exchange(device.peer, &request).await;
        tracing::trace!(device = device.name, ?request, ?outcome, "exchange");
        let now = (self.clock)();
        let events = device.driver.reply(sent, now, outcome);
        let stray = self.line.take_stray();
        if stray > 0
            && let Some(times) = self.stray.count(now)
        {
            tracing::warn!(bytes = stray, times, "bytes on the line that nobody asked for");
        }
        self.tell(index, events).await;
    }

    async fn take(&mut self, placed: Placed) {
        let Placed { device: index, order, settled } = placed;
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.open.insert(ticket, settled);
        let events = self.devices[index].driver.order((self.clock)(), ticket, order);
        self.tell(index, events).await;
    }

    async fn tell(&mut self, index: usize, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Settled(ticket, result) => {
                    if let Some(settled) = self.open.remove(&ticket) {
                        // Who ordered may have left the bus; then nobody needs the answer.
                        let _ = settled.send(result);
                    }
                }
                Event::BadInput(cause) => {
                    if let Some(times) = self.bad_input[index].count((self.clock)()) {
                        let device = &self.devices[index];
                        tracing::warn!(device = device.name, times, cause, "no good answer");
                    }
                }
                event @ (Event::Online(_)
                | Event::Identified { .. }
                | Event::Reading(_)
                | Event::Insulation { .. }
                | Event::Voltage(..)
                | Event::Active(_)
                | Event::SelfTestFinished { .. }
                | Event::Fault { .. }
                | Event::FaultGone(_)) => {
                    // Closed only when the daemon ends; `run` sees it.
                    let _ = self.events.send((index, event)).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
