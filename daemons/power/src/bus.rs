//! One CAN bus: its link, its pace, and the racks on it.
//!
//! A task a bus. It sends as its [`Budget`] allows, asking the racks in turn what is most urgent; it
//! opens the link again with back-off when it is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use voltry_bus::{Applied, DcOutput};
use voltry_canlink::{CanFrame, CanId, CanLink, CanPort, LinkError, Received};
use voltry_power_module::{Destination, Family, Malformed, Reply, Request};
use voltry_service::{HolderWatch, LeaseState, RateLimit, clock};
use voltry_units::Timestamp;

use crate::budget::{Budget, Room, SLOT};
use crate::heartbeat::Heartbeat;
use crate::last_told::{LastTold, TOLD_EVERY};
use crate::matrix::Teller;
use crate::orders::Orders;
use crate::rack::{Action, Input, Rack};
use crate::supply::{Publisher, Shown};
use crate::traffic::Traffic;

const OPENINGS_A_MINUTE: u32 = 6;
const PUBLISH_EVERY: Duration = TOLD_EVERY;
const MODULES_EVERY: Duration = Duration::from_secs(1);
const REOPEN_FIRST: Duration = Duration::from_millis(100);
/// A controller that is bus-off is begun anew this often.
const BUS_OFF_FOR: Duration = Duration::from_secs(1);
const REOPEN_LAST: Duration = Duration::from_secs(5);
/// How long an ending daemon waits for its modules to confirm OFF.
const STOPPING: Duration = Duration::from_millis(500);

/// A supply on a bus.
pub(crate) struct Attached {
    pub(crate) name: String,
    pub(crate) rack: Rack,
    pub(crate) orders: Orders,
    pub(crate) publisher: Publisher,
    /// Where it is a group behind a matrix: to whoever decides whom it serves.
    pub(crate) member: Option<Teller>,
    pub(crate) sequence: u64,
    pub(crate) told: LastTold,
}

pub(crate) struct Bus {
    pub(crate) name: String,
    pub(crate) port: CanPort,
    pub(crate) family: &'static Family,
    pub(crate) supplies: Vec<Attached>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) holders: HolderWatch,
    pub(crate) heartbeat: Heartbeat,
    /// Lines about outputs that nobody ended.
    pub(crate) offs: RateLimit,
}

/// Frames that the controller refused since it last took in one of the bus. Adapters refuse a command
/// now and then; bus-off they refuse every frame.
#[derive(Debug, Default)]
struct Refusals(u32);

impl Refusals {
    const TOO_MANY: u32 = 20;

    fn are_too_many(&mut self) -> bool {
        self.0 += 1;
        self.0 >= Self::TOO_MANY
    }
}

enum Link {
    Open(Box<CanLink>),
    Closed { until: Timestamp, wait: Duration },
}

/// What a bus's loop keeps beside its racks.
struct Pace {
    link: Link,
    budget: Budget,
    /// When there may be something to send.
    next_frame: Timestamp,
    next_rack: usize,
    publish_at: Timestamp,
    modules_at: Timestamp,
    lease_ends: Option<Timestamp>,
    garbled: u64,
    bad_input: RateLimit,
    traffic: Traffic,
    refusals: Refusals,
    controller_events: RateLimit,
    link_losses: RateLimit,
    openings: RateLimit,
}

impl Bus {
    /// Runs until `stop`, then switches every module off and returns.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let now = clock::now();
        let mut pace = Pace {
            link: Link::Closed { until: now, wait: REOPEN_FIRST },
            budget: Budget::new(now),
            next_frame: now,
            next_rack: 0,
            publish_at: now,
            modules_at: now,
            lease_ends: None,
            garbled: 0,
            bad_input: RateLimit::new(),
            traffic: Traffic::new(now),
            refusals: Refusals::default(),
            controller_events: RateLimit::new(),
            link_losses: RateLimit::new(),
            openings: RateLimit::allowing(OPENINGS_A_MINUTE),
        };
        let mut stopping_until = None;
        loop {
            let now = clock::now();
            self.work(&mut pace, now);
            if stopping_until.is_none() && *stop.borrow() {
                stopping_until = Some(now + STOPPING);
                self.supplies.iter().for_each(|supply| supply.orders.end());
                continue;
            }
            if stopping_until.is_some_and(|until| now >= until || self.all_off()) {
                return;
            }
            let wake_at = [pace.next_frame, pace.publish_at].into_iter().chain(pace.lease_ends).min();
            let sleep = wake_at.unwrap_or(now).since(clock::now());
            tokio::select! {
                _ = stop.changed(), if stopping_until.is_none() => {}
                holder = self.holders.lost() => self.holder_lost(&holder),
                () = self.wake.notified() => {}
                received = receive(&mut pace.link) => self.received(&mut pace, received),
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// What is due: orders, the link, a frame, publishing.
    fn work(&mut self, pace: &mut Pace, now: Timestamp) {
        self.heartbeat.beat(now);
        self.open_link(pace, now);
        pace.lease_ends = None;
        for index in 0..self.supplies.len() {
            let (ordered, ends) = self.take_orders(index, now);
            if ordered {
                pace.next_frame = now;
            }
            pace.lease_ends = pace.lease_ends.into_iter().chain(ends).min();
        }
        if let Some(second) = pace.traffic.second(now) {
            self.step_all(now, &Input::Traffic(second));
        }
        while now >= pace.next_frame {
            self.send_frame(pace, now);
        }
        if now >= pace.publish_at {
            pace.publish_at = now + PUBLISH_EVERY;
            let modules = now >= pace.modules_at;
            if modules {
                pace.modules_at = now + MODULES_EVERY;
            }
            for index in 0..self.supplies.len() {
                self.step(index, now, Input::Tick);
                self.supplies[index].publish(modules, now);
            }
        }
    }

    fn all_off(&self) -> bool {
        self.supplies.iter().all(|supply| supply.rack.all_off())
    }

    fn holder_lost(&mut self, holder: &str) {
        let now = clock::now();
        for supply in &self.supplies {
            supply.orders.holder_lost(holder, now);
        }
    }

    /// Whether there were any, and when the lease ends.
    fn take_orders(&mut self, index: usize, now: Timestamp) -> (bool, Option<Timestamp>) {
        let supply = &mut self.supplies[index];
        let (taken, lease, ends) = supply.orders.take(now);
        let lapsed = supply.rack.is_open() && !lease.may_energise();
        if lapsed && !taken.off {
            let why = match lease {
                LeaseState::Lapsed => "the lease ran out or its holder left",
                LeaseState::None | LeaseState::Live { .. } | LeaseState::HolderLost { .. } => {
                    "the epoch ended"
                }
            };
            if let Some(count) = self.offs.count(now) {
                tracing::warn!(supply = supply.name, why, count, "output off");
            }
        }
        let mut inputs = Vec::new();
        if taken.off || lapsed {
            inputs.push(Input::Off);
        }
        if let Some(holder) = taken.enabled.filter(|_| lease.may_energise()) {
            self.holders.watch(&holder);
            inputs.push(Input::Enable);
        }
        if let Some(set) = taken.set {
            let crate::orders::SetPoint { epoch, sequence, voltage, current } = set;
            inputs.push(Input::Set { epoch, sequence, voltage, current });
        }
        if taken.clear_faults {
            inputs.push(Input::ClearFaults);
        }
        if let Some((address, on)) = taken.identify {
            inputs.push(Input::Identify { address, on });
        }
        let ordered = !inputs.is_empty();
        for input in inputs {
            self.step(index, now, input);
        }
        if ordered {
            self.supplies[index].tell(now);
        }
        (ordered, ends)
    }

    fn step(&mut self, index: usize, now: Timestamp, input: Input) {
        let supply = &mut self.supplies[index];
        for action in supply.rack.step(now, input) {
            let at = now.as_micros();
            match action {
                Action::Applied { epoch, sequence } => {
                    supply.member.iter_mut().for_each(|member| member.applied(epoch, sequence));
                    supply.publisher.applied(Applied { epoch, sequence, at });
                }
                Action::AllOff => {
                    supply.publisher.applied(Applied { epoch: 0, sequence: 0, at });
                    supply.tell(now);
                }
                Action::EndEpoch => supply.orders.end_epoch(),
            }
        }
    }

    fn step_all(&mut self, now: Timestamp, input: &Input) {
        for index in 0..self.supplies.len() {
            self.step(index, now, input.clone());
        }
    }

    fn open_link(&mut self, pace: &mut Pace, now: Timestamp) {
        let Link::Closed { until, wait } = pace.link else { return };
        if now < until {
            return;
        }
        match CanLink::open(&self.port) {
            Ok(link) => {
                if let Some(count) = pace.openings.count(now) {
                    tracing::info!(bus = self.name, count, "the CAN link is open");
                }
                pace.link = Link::Open(Box::new(link));
                pace.garbled = 0;
                pace.refusals = Refusals::default();
                pace.next_frame = now;
                self.step_all(now, &Input::LinkUp);
            }
            Err(error) => self.link_lost(pace, &error, (wait * 2).min(REOPEN_LAST), now),
        }
    }

    fn link_lost(&mut self, pace: &mut Pace, error: &dyn std::error::Error, wait: Duration, now: Timestamp) {
        if let Some(count) = pace.link_losses.count(now) {
            tracing::error!(bus = self.name, %error, count, "no CAN link; trying again");
        }
        pace.link = Link::Closed { until: now + wait, wait };
        self.step_all(now, &Input::LinkLost(error.to_string()));
    }

    /// Opened anew the controller begins at once, with OFF for all.
    fn bus_off(&mut self, pace: &mut Pace, cause: &str, now: Timestamp) {
        if let Some(count) = pace.link_losses.count(now) {
            tracing::error!(bus = self.name, cause, count, "no CAN bus; trying again");
        }
        pace.link = Link::Closed { until: now + BUS_OFF_FOR, wait: REOPEN_FIRST };
        self.step_all(now, &Input::BusOff(cause.to_owned()));
    }

    fn send_frame(&mut self, pace: &mut Pace, now: Timestamp) {
        let Link::Open(link) = &mut pace.link else {
            pace.next_frame = now + PUBLISH_EVERY;
            return;
        };
        let room = match pace.budget.room(now) {
            Ok(room) => room,
            Err(until) => {
                pace.next_frame = until;
                return;
            }
        };
        pace.next_frame = now + PUBLISH_EVERY;
        let on_bus = self.supplies.iter().map(|supply| supply.rack.answering()).sum();
        let mut sent = Ok(());
        // No rack's poll goes before what cannot wait at another.
        let racks = self.supplies.len();
        let urgent_first = racks > 1 && room == Room::Any;
        let rooms = urgent_first.then_some(Room::Urgent).into_iter().chain([room]);
        let turns = rooms.flat_map(|room| (0..racks).map(move |offset| (room, offset)));
        for (room, offset) in turns {
            let index = (pace.next_rack + offset) % racks;
            match self.supplies[index].rack.next_request(on_bus, room, now) {
                Ok((to, request)) => {
                    sent = self.family.frame(to, request).map_or(Ok(()), |frame| link.send(frame));
                    pace.traffic.sent();
                    pace.budget.spend(now);
                    pace.next_rack = index + 1;
                    pace.next_frame = now;
                    break;
                }
                // What is due already waits for room.
                Err(due) => {
                    let again = if due > now { due } else { now + SLOT };
                    pace.next_frame = pace.next_frame.min(again);
                }
            }
        }
        if let Err(full) = sent {
            self.link_lost(pace, &full, REOPEN_FIRST, now);
        }
    }

    fn received(&mut self, pace: &mut Pace, received: Result<Received, LinkError>) {
        let now = clock::now();
        let frame = match received {
            Ok(Received::Frame(frame)) => frame,
            Ok(Received::BusOff) => return self.bus_off(pace, "the CAN controller is bus-off", now),
            Ok(Received::Refused) => {
                if let Some(count) = pace.controller_events.count(now) {
                    tracing::warn!(bus = self.name, count, "the CAN controller refused a frame");
                }
                if pace.refusals.are_too_many() {
                    self.bus_off(pace, "the CAN controller takes no frames and hears none: bus-off", now);
                }
                return;
            }
            Err(error) => return self.link_lost(pace, &error, REOPEN_FIRST, now),
        };
        if let Link::Open(link) = &pace.link
            && link.garbled() != pace.garbled
        {
            pace.garbled = link.garbled();
            self.count(pace, now, "garbled lines from the CAN adapter");
        }
        pace.refusals = Refusals::default();
        pace.traffic.heard(frame.id().bits());
        if !frame.id().is_extended() {
            return;
        }
        match (self.family.decode)(frame.id().bits(), frame.data()) {
            // Other devices share the bus.
            Err(Malformed::NotForUs(_) | Malformed::Command(_)) => {}
            Err(error) => self.count(pace, now, &format!("{frame:?}: {error}")),
            Ok(message) => {
                let whose = self.supplies.iter().position(|supply| supply.rack.concerns(&message));
                match whose {
                    Some(index) => {
                        // What waited for this confirmation may be sent.
                        if matches!(message.reply, Reply::Done(_)) {
                            pace.next_frame = now;
                        }
                        self.step(index, now, Input::Heard(message));
                        self.supplies[index].publish_if_due(now);
                    }
                    None => {
                        self.count(pace, now, &format!("{frame:?}: from a module that is not configured"));
                    }
                }
            }
        }
    }

    fn count(&self, pace: &mut Pace, now: Timestamp, cause: &str) {
        if let Some(count) = pace.bad_input.count(now) {
            tracing::warn!(bus = self.name, cause, count, "bad input");
        }
    }
}

async fn receive(link: &mut Link) -> Result<Received, LinkError> {
    match link {
        Link::Open(link) => link.recv().await,
        Link::Closed { .. } => std::future::pending().await,
    }
}

/// The frame of a request. A request that the family has no frame for is not sent; a rack only
/// makes such where a module can do without.
pub(crate) trait Framed {
    fn frame(&self, to: Destination, request: Request) -> Option<CanFrame>;
}

impl Framed for Family {
    fn frame(&self, to: Destination, request: Request) -> Option<CanFrame> {
        let frame = (self.encode)(to, request);
        let frame = frame.inspect_err(|error| tracing::error!(%error, "cannot say it to a module")).ok()?;
        Some(CanFrame::of_eight(CanId::extended(frame.id).ok()?, frame.data))
    }
}

impl Attached {
    /// Whoever decides for this group gets to know it as it is now.
    fn tell(&mut self, now: Timestamp) {
        if let Some(member) = &mut self.member {
            member.tell(&self.rack, now);
        }
    }

    /// The output, if it is to be told now.
    fn publish_if_due(&mut self, now: Timestamp) {
        let Some(output) = self.rack.output(now).filter(|output| self.told.is_due(output.at, now)) else {
            return;
        };
        self.tell(now);
        self.sequence += 1;
        self.told.tell(self.rack.newest_reading().unwrap_or(output.at), output.at, now);
        self.publisher.output(DcOutput {
            sequence: self.sequence,
            voltage: output.value.voltage.as_si(),
            current: output.value.current.as_si(),
            at: output.at.as_micros(),
        });
    }

    fn publish(&mut self, modules: bool, now: Timestamp) {
        self.publish_if_due(now);
        self.publisher.show(Shown::of(&self.rack, now));
        self.tell(now);
        self.publisher.device(&self.rack);
        if modules {
            self.publisher.modules(self.rack.modules(now), self.rack.uses());
        }
    }
}
