//! The power stage as the module's own controller sees and steers it.

use std::time::Duration;

use crate::electrical::{Circuit, ModuleRating, SharedCircuit, Socket};
use crate::faults::{Fault, FaultSet};

/// How long the change between series and parallel takes; drivers wait this long. Unpublished.
const RANGE_CHANGES_IN: Duration = Duration::from_secs(2);
const TOO_HOT_C: f64 = 78.0;

/// How the two halves of a module's output are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// In series: the whole voltage.
    High,
    /// In parallel: half of the voltage.
    Low,
    /// As the set voltage wants it.
    Automatic,
}

/// How a module leaves the factory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    /// Without its controller for this long it switches off.
    pub(super) silence: Duration,
    /// It rises slowly after switching on.
    pub(super) walk_in: bool,
    pub(super) range: Range,
}

/// A module without its language, and where its power stage is.
#[derive(Debug)]
pub struct Stage {
    /// The address that it listens at.
    pub address: u8,
    /// The address that its answers name.
    pub(super) signs_as: u8,
    /// The address with which it left the factory, which its serial number is made of.
    pub(super) number: u8,
    /// Its group number.
    pub group: u8,
    pub(super) on: bool,
    pub(super) sleeping: bool,
    pub(super) walk_in: bool,
    pub(super) set_v: f64,
    pub(super) limit_a: f64,
    /// Watts that it was told not to exceed.
    pub(super) limit_w: f64,
    pub(super) feeds_back: bool,
    /// Without its controller for this long it switches off.
    pub(super) silence: Duration,
    /// It switched off because nobody spoke to it, and nobody has since.
    pub(super) interrupted: bool,
    socket: Socket,
    range: Range,
    made: Made,
    ranged_at: Duration,
    starts_until: Duration,
    last_heard: Option<Duration>,
}

impl Stage {
    pub(super) fn new(address: u8, group: u8, socket: Socket, made: Made) -> Self {
        let limit_w = socket.with(|circuit, index| {
            let stages = circuit.modules.len();
            assert!(index < stages, "the circuit has {stages} power stages, not one numbered {index}");
            circuit.modules[index].rating.rated_w
        });
        Self {
            address,
            signs_as: address,
            number: address,
            group,
            on: false,
            sleeping: false,
            walk_in: made.walk_in,
            set_v: 0.0,
            limit_a: 0.0,
            limit_w,
            feeds_back: false,
            silence: made.silence,
            interrupted: false,
            socket,
            range: made.range,
            made,
            ranged_at: Duration::ZERO,
            starts_until: Duration::ZERO,
            last_heard: None,
        }
    }

    pub(in crate::hardware) fn circuit(&self) -> SharedCircuit {
        self.socket.circuit()
    }

    fn here<R>(&self, f: impl FnOnce(&mut Circuit, usize) -> R) -> R {
        self.socket.with(f)
    }

    /// Refuses commands, as a module whose supply has just come back, until `time`.
    pub fn start_up_until(&mut self, time: Duration) {
        self.starts_until = time;
    }

    pub(super) fn starts_up(&self, now: Duration) -> bool {
        now < self.starts_until
    }

    /// Whether it is on the bus at all.
    pub(in crate::hardware) fn answers(&self) -> bool {
        !self.broken(Fault::ModuleDead)
    }

    /// Faults of one module are the first one's.
    pub(super) fn broken(&self, fault: Fault) -> bool {
        self.here(|circuit, index| index == 0 && circuit.faults.has(fault))
    }

    /// The faults of its EVSE, if it is the first module there.
    pub(super) fn faults_as_first(&self) -> FaultSet {
        self.here(|circuit, index| if index == 0 { circuit.faults } else { FaultSet::default() })
    }

    /// Faults of which a module of its EVSE is the victim, and this the cause, are the second one's.
    fn mistakes_itself(&self, fault: Fault) -> bool {
        self.here(|circuit, index| index == 1 && circuit.faults.has(fault))
    }

    /// Somebody turns its address switches, or its firmware fails: `of_first` gives the address of the EVSE's
    /// first module where that has this fault.
    pub(super) fn readdress(&mut self, of_first: impl Fn(Fault) -> Option<u8>) {
        let mistaken = |stage: &Self, fault| of_first(fault).filter(|_| stage.mistakes_itself(fault));
        self.address = mistaken(self, Fault::ModuleSharesAddress).unwrap_or(self.number);
        self.signs_as = mistaken(self, Fault::ModuleAnswersForOther).unwrap_or(self.address);
    }

    /// The controller has spoken.
    pub(super) fn hears(&mut self, now: Duration) {
        self.last_heard = Some(now);
        self.interrupted = false;
    }

    /// Switches the output; what protects the module wins.
    pub(super) fn switch(&mut self, on: bool) {
        self.on = on && !self.hot();
    }

    pub(super) fn rating(&self) -> ModuleRating {
        self.here(|circuit, index| circuit.modules[index].rating)
    }

    /// What it can do in its range. In parallel it has half of the voltage; in series both halves
    /// carry the same current, of which the rated power at half of the voltage is taken as the most.
    pub(super) fn limits(&self) -> ModuleRating {
        let whole = self.rating();
        match self.range {
            Range::Automatic => whole,
            Range::Low => ModuleRating { max_v: whole.max_v / 2.0, ..whole },
            Range::High => {
                ModuleRating { max_a: whole.max_a.min(2.0 * whole.rated_w / whole.max_v), ..whole }
            }
        }
    }

    pub(super) fn range(&self) -> Range {
        self.range
    }

    /// Reconnects the halves; the output is off until that is done.
    pub(super) fn change_range(&mut self, now: Duration, range: Range) {
        if self.range != range {
            self.range = range;
            self.ranged_at = now + RANGE_CHANGES_IN;
        }
    }

    /// Whether it is told to deliver, and not asleep.
    pub(super) fn delivers(&self) -> bool {
        self.on && !self.sleeping
    }

    /// Volts and amperes at its terminals.
    pub(super) fn output(&self) -> (f64, f64) {
        self.here(|circuit, index| (circuit.module_side_v(), circuit.modules[index].current_a()))
    }

    /// Volts and amperes as it says them.
    pub(super) fn reported(&self) -> (f64, f64) {
        if self.broken(Fault::ModuleLies) && self.on { (self.set_v, self.limit_a) } else { self.output() }
    }

    /// Amperes that it can give at its output's voltage.
    pub(super) fn available_a(&self) -> f64 {
        let volts = self.reported().0;
        let most = self.limits().max_a;
        self.here(|circuit, index| circuit.modules[index].available_a(volts)).min(most)
    }

    pub(super) fn hot(&self) -> bool {
        self.broken(Fault::ModuleOvertemp)
    }

    pub(super) fn derated(&self) -> bool {
        self.here(|circuit, _| circuit.faults.has(Fault::ModuleDerated))
    }

    pub(super) fn bleeder_failed(&self) -> bool {
        self.here(|circuit, _| circuit.faults.has(Fault::ModuleBleeder))
    }

    /// In current limit on an output without voltage.
    pub(super) fn shorted(&self) -> bool {
        let (volts, amps) = self.output();
        self.delivers() && volts < 20.0 && amps > 0.9 * self.limit_a && self.limit_a > 0.1
    }

    /// Whether the current limit binds.
    pub(super) fn limits_current(&self) -> bool {
        self.delivers() && self.limit_a > 0.1 && self.output().1.abs() > 0.98 * self.limit_a
    }

    /// Degrees Celsius at the air inlet.
    pub(super) fn temperature_c(&self) -> f64 {
        if self.hot() {
            return TOO_HOT_C;
        }
        let (volts, amps) = self.output();
        let air_c = self.here(|circuit, _| circuit.surroundings.air_c);
        (air_c + volts * amps.abs() / 2_000.0).min(95.0)
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, now: Duration) {
        if self.last_heard.is_some_and(|heard| now.saturating_sub(heard) >= self.silence) {
            self.on = false;
            self.interrupted = true;
        }
        if !self.answers() {
            // A module without supply forgets what it was told.
            (self.on, self.set_v, self.limit_a) = (false, 0.0, 0.0);
            (self.walk_in, self.feeds_back, self.range) = (self.made.walk_in, false, self.made.range);
        }
        if self.hot() {
            self.on = false;
        }
        let lies = self.broken(Fault::ModuleLies);
        let limits = self.limits();
        self.here(|circuit, index| {
            let derated = circuit.faults.has(Fault::ModuleDerated);
            let stage = &mut circuit.modules[index];
            stage.on = self.on && !self.sleeping && now >= self.ranged_at;
            stage.walk_in = self.walk_in;
            stage.feeds_back = self.feeds_back;
            stage.limit_w = self.limit_w;
            let set_v = self.set_v.min(limits.max_v);
            let limit_a = self.limit_a.min(limits.max_a);
            stage.set_v = if lies { (set_v - 20.0).max(0.0) } else { set_v };
            stage.limit_a = if lies { limit_a / 2.0 } else { limit_a };
            stage.derating = if derated { 0.4 } else { 1.0 };
        });
    }
}
