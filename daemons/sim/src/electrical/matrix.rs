//! Groups of modules behind contactors that join each to one of several EVSEs.
//!
//! A parted group is a [`Circuit`] of its own, with nothing but modules. When a contactor closes, they move
//! into the EVSE's circuit, and their capacitors share their charge through the contacts; when it opens, they
//! go back. What should never happen is counted in [`MatrixWear`], and told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Circuit, CircuitConfig, LOAD_A, ModuleOutput, ModuleRating, Pole, SharedCircuit};
use crate::faults::Fault;

/// More than this a contactor must not close across.
const ACROSS_V: f64 = 20.0;

/// What the matrix has suffered; tests hold these to zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MatrixWear {
    /// The largest voltage that a contactor ever closed across, in volts.
    pub closed_across_v: f64,
    /// Openings with more than 5 A flowing.
    pub opened_under_load: u32,
    /// How often two EVSEs were joined.
    pub joined: u32,
}

#[derive(Debug)]
struct Group {
    /// Where its modules are while it is parted.
    home: SharedCircuit,
    /// The numbers of its modules.
    modules: Vec<u32>,
    /// The EVSE, by its place, in whose circuit its modules are.
    at: Option<usize>,
}

#[derive(Debug)]
struct Wire {
    group: usize,
    evse: usize,
    pole: Pole,
}

/// The groups, the EVSEs and every contactor between them.
#[derive(Debug)]
pub struct Matrix {
    groups: Vec<Group>,
    evses: Vec<SharedCircuit>,
    wires: Vec<Wire>,
    /// What it has suffered.
    pub wear: MatrixWear,
    /// The circuits' time up to which its contactors have moved.
    elapsed: Duration,
}

impl Matrix {
    /// Groups of so many modules each, all parted. The contactors are in the order of the groups, and of the
    /// EVSEs within each.
    #[must_use]
    pub fn new(groups: &[usize], rating: ModuleRating, evses: Vec<SharedCircuit>) -> Self {
        let mut number = 0;
        let group = |count: &usize| {
            let config = CircuitConfig { modules: vec![rating; *count], ..CircuitConfig::of_modules(*count) };
            let mut circuit = Circuit::new(config);
            for module in &mut circuit.modules {
                module.number = number;
                number += 1;
            }
            let modules = circuit.modules.iter().map(|module| module.number).collect();
            Group { home: SharedCircuit::new(circuit), modules, at: None }
        };
        let groups: Vec<Group> = groups.iter().map(group).collect();
        let wire =
            |group: usize| (0..evses.len()).map(move |evse| Wire { group, evse, pole: Pole::default() });
        let wires = (0..groups.len()).flat_map(wire).collect();
        Self { groups, evses, wires, wear: MatrixWear::default(), elapsed: Duration::ZERO }
    }

    /// The circuits of parted groups.
    pub fn homes(&self) -> impl Iterator<Item = &SharedCircuit> {
        self.groups.iter().map(|group| &group.home)
    }

    /// The circuit in which a module is now.
    ///
    /// # Panics
    /// If there is no such module.
    #[must_use]
    pub fn circuit_of(&self, module: u32) -> SharedCircuit {
        let group =
            self.groups.iter().find(|group| group.modules.contains(&module)).expect("a module's number");
        group.at.map_or(&group.home, |evse| &self.evses[evse]).clone()
    }

    /// How many EVSEs it leads to.
    #[must_use]
    pub fn evses(&self) -> &[SharedCircuit] {
        &self.evses
    }

    /// Energises or releases the coils, a bit for each contactor.
    pub fn request(&mut self, closed: u64) {
        for (place, wire) in self.wires.iter_mut().enumerate() {
            wire.pole.coil = closed & 1 << place != 0;
        }
    }

    /// What the feedback contacts say, a bit for each contactor.
    #[must_use]
    pub fn closed(&self) -> u64 {
        let bit = |(place, wire): (usize, &Wire)| u64::from(wire.pole.closed()) << place;
        self.wires.iter().enumerate().map(bit).sum()
    }

    /// Whether a fault is injected at any of its EVSEs.
    #[must_use]
    pub fn broken(&self, fault: Fault) -> bool {
        self.evses.iter().any(|evse| evse.with(|circuit| circuit.faults.has(fault)))
    }

    /// Lets the contactors move for as long as all circuits have been stepped since: a process that was held up did
    /// not let the current fall meanwhile.
    pub fn follow(&mut self) {
        let circuits = self.homes().chain(&self.evses);
        let simulated = circuits.map(|circuit| circuit.with(|circuit| circuit.elapsed())).min();
        let Some(simulated) = simulated else { return };
        while self.elapsed + super::STEP <= simulated {
            self.step(super::STEP);
            self.elapsed += super::STEP;
        }
    }

    /// Lets the contactors move.
    pub fn step(&mut self, time: Duration) {
        for place in 0..self.wires.len() {
            let Wire { group, evse, .. } = self.wires[place];
            let faults = self.evses[evse].with(|circuit| circuit.faults);
            let pole = &mut self.wires[place].pole;
            let before = pole.closed();
            pole.step(time, faults.has(Fault::MatrixWelded), faults.has(Fault::MatrixStuckOpen));
            match (before, pole.closed()) {
                (false, true) => self.close(group, evse),
                (true, false) => self.open(group, evse),
                (true, true) | (false, false) => {}
            }
        }
    }

    fn close(&mut self, number: usize, evse: usize) {
        let group = &mut self.groups[number];
        if let Some(other) = group.at {
            tracing::error!(group = number, evse, other, "two EVSEs are joined");
            self.wear.joined += 1;
            return;
        }
        group.at = Some(evse);
        let (modules, volts) = group.home.with(|circuit| circuit.part(&group.modules));
        let across = self.evses[evse].with(|circuit| circuit.join(modules, volts));
        self.wear.closed_across_v = self.wear.closed_across_v.max(across);
        if across > ACROSS_V {
            tracing::error!(
                group = number,
                evse,
                across,
                "a contactor of the matrix closes across a voltage"
            );
        }
    }

    fn open(&mut self, number: usize, evse: usize) {
        let group = &mut self.groups[number];
        if group.at != Some(evse) {
            return;
        }
        group.at = None;
        let (modules, volts) = self.evses[evse].with(|circuit| circuit.part(&group.modules));
        let amps: f64 = modules.iter().map(ModuleOutput::current_a).sum();
        if amps.abs() > LOAD_A {
            tracing::error!(group = number, evse, amps, "a contactor of the matrix opens under load");
            self.wear.opened_under_load += 1;
        }
        group.home.with(|circuit| circuit.join(modules, volts));
    }
}

impl Circuit {
    /// Takes these modules out of the circuit; they keep the voltage that is on their capacitors.
    fn part(&mut self, numbers: &[u32]) -> (Vec<ModuleOutput>, f64) {
        let (gone, left) = self.modules.drain(..).partition(|module| numbers.contains(&module.number));
        self.modules = left;
        (gone, self.module_side_v)
    }

    /// Joins modules to the circuit, whose capacitors hold `volts`; gives the voltage that the contactor
    /// closed across.
    fn join(&mut self, modules: Vec<ModuleOutput>, volts: f64) -> f64 {
        let across = (self.module_side_v - volts).abs();
        let conducts = self.contactors.conducts();
        let own = self.module_farads() + if conducts { self.config.cable_farads } else { 0.0 };
        let added: f64 = modules.iter().map(|module| module.rating.output_farads).sum();
        self.modules.extend(modules);
        // They share their charge through the contacts.
        self.module_side_v = (own * self.module_side_v + added * volts) / (own + added).max(1e-9);
        if conducts {
            self.cable_side_v = self.module_side_v;
        }
        across
    }
}

/// A matrix that its controller, its modules and its clock share.
#[derive(Debug, Clone)]
pub struct SharedMatrix(Arc<Mutex<Matrix>>);

impl SharedMatrix {
    /// Shares `matrix`.
    #[must_use]
    pub fn new(matrix: Matrix) -> Self {
        Self(Arc::new(Mutex::new(matrix)))
    }

    /// Looks at or changes the matrix.
    pub fn with<R>(&self, f: impl FnOnce(&mut Matrix) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Steps the contactors as their circuits are stepped, for ever.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(super::STEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.with(Matrix::follow);
        }
    }
}

/// Where a power stage is: in a circuit for good, or wherever a matrix has joined it to.
#[derive(Debug, Clone)]
pub enum Socket {
    /// The circuit, and the stage's place in it.
    Own(SharedCircuit, usize),
    /// The matrix, and the module's number.
    Matrix(SharedMatrix, u32),
}

impl Socket {
    /// The circuit in which it is now.
    #[must_use]
    pub fn circuit(&self) -> SharedCircuit {
        match self {
            Self::Own(circuit, _) => circuit.clone(),
            Self::Matrix(matrix, number) => matrix.with(|matrix| matrix.circuit_of(*number)),
        }
    }

    /// Looks at or changes the circuit, and says where in it the stage is.
    ///
    /// # Panics
    /// If the circuit has no such power stage.
    pub fn with<R>(&self, f: impl FnOnce(&mut Circuit, usize) -> R) -> R {
        self.circuit().with(|circuit| {
            let place = match self {
                Self::Own(_, index) => *index,
                Self::Matrix(_, number) => circuit
                    .modules
                    .iter()
                    .position(|module| module.number == *number)
                    .expect("a group's modules are where its contactors have them"),
            };
            f(circuit, place)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> (Matrix, Vec<SharedCircuit>) {
        let bare = || SharedCircuit::new(Circuit::new(CircuitConfig::of_modules(0)));
        let evses = vec![bare(), bare()];
        (Matrix::new(&[2, 1], ModuleRating::default(), evses.clone()), evses)
    }

    fn run(matrix: &mut Matrix, milliseconds: u64) {
        for _ in 0..milliseconds / 5 {
            let circuits: Vec<_> = matrix.homes().chain(matrix.evses()).cloned().collect();
            circuits.iter().for_each(|circuit| circuit.with(|circuit| circuit.step(super::super::STEP)));
            matrix.step(super::super::STEP);
        }
    }

    fn count(circuit: &SharedCircuit) -> usize {
        circuit.with(|circuit| circuit.modules.len())
    }

    #[test]
    fn a_groups_modules_feed_whom_its_contactor_joins_them_to() {
        let (mut matrix, evses) = matrix();
        matrix.request(0b10);
        run(&mut matrix, 100);
        assert_eq!((matrix.closed(), count(&evses[0]), count(&evses[1])), (0b10, 0, 2));
        matrix.circuit_of(1).with(|circuit| {
            let module = circuit.modules.iter_mut().find(|module| module.number == 1).unwrap();
            (module.on, module.set_v, module.limit_a) = (true, 400.0, 10.0);
        });
        run(&mut matrix, 1_000);
        assert!((evses[1].with(|circuit| circuit.module_side_v()) - 400.0).abs() < 2.0);
        matrix.request(0);
        run(&mut matrix, 100);
        assert_eq!((count(&evses[1]), matrix.wear), (0, MatrixWear::default()));
        assert!(
            matrix.circuit_of(0).with(|circuit| circuit.module_side_v()) > 350.0,
            "its capacitors keep it"
        );
    }

    /// A process that was held up for a second stepped nothing: what was told to open is closed until the circuits
    /// have gone on, in which the current falls first.
    #[test]
    fn contactors_move_in_the_time_of_their_circuits() {
        let (mut matrix, evses) = matrix();
        let go_on = |matrix: &mut Matrix, milliseconds: u64| {
            for _ in 0..milliseconds / 5 {
                let circuits: Vec<_> = matrix.homes().chain(matrix.evses()).cloned().collect();
                circuits.iter().for_each(|circuit| circuit.with(|circuit| circuit.step(super::super::STEP)));
            }
            matrix.follow();
        };
        go_on(&mut matrix, 1_000);
        matrix.request(0b10);
        matrix.follow();
        assert_eq!((matrix.closed(), count(&evses[1])), (0, 0), "no time has passed for it");
        go_on(&mut matrix, 25);
        assert_eq!(matrix.closed(), 0);
        go_on(&mut matrix, 5);
        assert_eq!((matrix.closed(), count(&evses[1])), (0b10, 2));
        // One circuit that is behind holds the contactors back.
        matrix.request(0);
        evses[0].with(|circuit| circuit.step(Duration::from_secs(1)));
        matrix.follow();
        assert_eq!(matrix.closed(), 0b10);
    }

    #[test]
    fn closing_across_a_voltage_joining_and_welding_are_seen() {
        let (mut matrix, evses) = matrix();
        matrix.circuit_of(2).with(|circuit| {
            (circuit.modules[0].on, circuit.modules[0].set_v, circuit.modules[0].limit_a) =
                (true, 300.0, 10.0);
        });
        run(&mut matrix, 1_000);
        matrix.request(0b0100);
        run(&mut matrix, 100);
        assert!(matrix.wear.closed_across_v > 250.0);
        evses[0].with(|circuit| circuit.faults.inject(Fault::MatrixWelded));
        matrix.request(0b1000);
        run(&mut matrix, 100);
        assert_eq!((matrix.closed(), matrix.wear.joined), (0b1100, 1));
        assert_eq!((count(&evses[0]), count(&evses[1])), (1, 0));
    }
}
