//! The station's side of an EVSE: its own pure session, a meter that is read, and a book of what was sold.

use std::time::Duration;

use voltry_evse::energy_path::{Input, Role, StopReason};
use voltry_station::authorization::Payer;
use voltry_station::session::{Action, EvseView, Input as StationInput, SessionControl};
use voltry_units::Timestamp;

use crate::plant::World;

/// A driver is let in so long after the plug.
const DRIVER: Duration = Duration::from_millis(300);

/// A transaction that is closed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sold {
    /// Watt-hours between the register's two readings.
    energy: f64,
    /// The meter could not be read at its end: the stored reading counts, and the book says so.
    stored: bool,
}

/// Bills what an EVSE of the plant delivers.
#[derive(Debug, Clone)]
pub(crate) struct Billing {
    control: SessionControl,
    seen: Option<EvseView>,
    waiting_since: Option<Timestamp>,
    /// The register when the open transaction began, and what its meter told last.
    open: Option<(f64, f64)>,
    sold: Vec<Sold>,
    delivered: f64,
    /// The register of what came back.
    exported: Option<f64>,
    /// Watt-hours that flowed, either way, while no transaction was open.
    unsold: f64,
    /// Something was wrong with the meter in this life.
    meter_was_wrong: bool,
    next_tick: Timestamp,
}

impl Default for Billing {
    fn default() -> Self {
        Self {
            control: SessionControl::default(),
            seen: None,
            waiting_since: None,
            open: None,
            sold: Vec::new(),
            delivered: 0.0,
            exported: None,
            unsold: 0.0,
            meter_was_wrong: false,
            next_tick: Timestamp::BOOT,
        }
    }
}

impl Billing {
    /// What the station does in this physical step.
    pub(crate) fn act(&mut self, world: &mut World) {
        self.counts(world);
        let view = (world.dead_until.is_none()).then(|| view(world));
        if view != self.seen {
            self.seen.clone_from(&view);
            self.step(world, view.map_or(StationInput::EvseLost, StationInput::Evse));
        }
        if world.now >= self.next_tick {
            self.next_tick = world.now + Duration::from_secs(1);
            self.step(world, StationInput::Tick);
        }
        if self.control.waiting().is_none() {
            self.waiting_since = None;
            return;
        }
        if world.now.since(*self.waiting_since.get_or_insert(world.now)) >= DRIVER {
            self.step(world, StationInput::LetIn { payer: Payer::anyone(), noted: false });
        }
    }

    fn counts(&mut self, world: &World) {
        let devices = &world.devices;
        let flowed = devices.delivered - self.delivered;
        self.delivered = devices.delivered;
        let back = devices.exported - self.exported.unwrap_or(devices.exported);
        self.exported = Some(devices.exported);
        self.meter_was_wrong |= devices.meter_stuck || devices.meter_backwards;
        match &mut self.open {
            Some((_, told)) if reads(world) => *told = devices.register.floor(),
            Some(_) => {}
            // Modules that obey nobody, behind contactors that are welded: only the hardware is left.
            None if devices.welded && !devices.supply_obeys() => self.meter_was_wrong = true,
            None => self.unsold += flowed + back,
        }
    }

    fn step(&mut self, world: &mut World, input: StationInput) {
        for action in self.control.step(world.now, input) {
            match action {
                Action::Note { .. } => {}
                Action::Open { .. } => {
                    let register = world.devices.register.floor();
                    let opened = if reads(world) { Ok(1) } else { Err("no reading".to_owned()) };
                    self.open = opened.is_ok().then_some((register, register));
                    self.step(world, StationInput::Opened(opened));
                }
                Action::Grant { session } => {
                    let authorization = voltry_bus::Authorization::Granted;
                    world.send(Input::Authorization { session, authorization });
                }
                Action::Refuse { session, .. } => {
                    let authorization = voltry_bus::Authorization::Refused;
                    world.send(Input::Authorization { session, authorization });
                }
                Action::Stop { .. } => world.send(Input::Stop),
                Action::Close { .. } => {
                    let (start, told) = self.open.take().expect("the station closes what it opened");
                    let stored = !reads(world);
                    let end = if stored { told } else { world.devices.register.floor() };
                    self.sold.push(Sold { energy: end - start, stored });
                    self.step(world, StationInput::Closed);
                }
            }
        }
    }

    /// What must be true of the bills when all is off.
    pub(crate) fn check(&self, world: &World) {
        assert!(self.unsold < 0.01, "{:.2} Wh flowed while no transaction was open", self.unsold);
        assert_eq!(self.open, None, "a transaction stays open in {}", world.state());
        let sold: f64 = self.sold.iter().map(|sold| sold.energy).sum();
        let stored = self.sold.iter().any(|sold| sold.stored);
        // A count for each transaction.
        let counts = (self.sold.len() as f64).max(0.01);
        let missed = world.devices.delivered - sold;
        if self.meter_was_wrong {
            return;
        }
        assert!(missed > -counts, "{sold} Wh billed, {:.1} Wh delivered", world.devices.delivered);
        assert!(stored || missed < counts, "{missed:.1} Wh were not billed: {:?}", self.sold);
    }
}

/// Whether the meter can be read.
fn reads(world: &World) -> bool {
    !world.silent.contains(&Role::EnergyMeter) && !world.gone.contains(&Role::EnergyMeter)
}

fn view(world: &World) -> EvseView {
    let session = world.path.session();
    EvseView {
        state: world.path.state(),
        session: session.map_or(0, |session| session.id),
        ended: session.is_some_and(|session| session.ended_at.is_some()),
        end_reason: session.and_then(|session| session.stop).map_or("", StopReason::words).to_owned(),
    }
}
