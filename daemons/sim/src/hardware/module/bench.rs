//! Modules of one family on a table, for the families' tests: frames in and out as candump writes them.

use super::*;
use crate::electrical::{Battery, Circuit, CircuitConfig, ModuleRating, STEP, Vehicle};

pub(super) struct Bench {
    pub(super) circuit: SharedCircuit,
    pub(super) modules: Vec<PowerModule>,
}

impl Bench {
    /// `count` modules with the family's first addresses and its rating.
    pub(super) fn of(family: Family, count: usize) -> Self {
        Self::rated(family, count, family.rating())
    }

    pub(super) fn rated(family: Family, count: usize, rating: ModuleRating) -> Self {
        let config = CircuitConfig { modules: vec![rating; count], ..CircuitConfig::of_modules(count) };
        let circuit = SharedCircuit::new(Circuit::new(config));
        let module = |index: usize| {
            let address = family.first_address() + u8::try_from(index).unwrap();
            PowerModule::new(family, address, family.group(), circuit.clone(), index)
        };
        Self { modules: (0..count).map(module).collect(), circuit }
    }

    /// Closes everything towards a vehicle whose battery has 400 V.
    pub(super) fn connect_vehicle(&self) {
        self.circuit.with(|circuit| {
            let mut vehicle = Vehicle::new(Battery::of_400_v(60_000.0, 0.5));
            vehicle.contactors_closed = true;
            circuit.plug_in(vehicle);
            circuit.contactors.request(true);
        });
    }

    /// All that is answered to a frame; of zeros, where only its identifier is given.
    pub(super) fn ask(&mut self, now: Duration, request: &str) -> Vec<String> {
        let request = match request.contains('#') {
            true => frame(request),
            false => frame(&format!("{request}#0000000000000000")),
        };
        let peers: Vec<_> = self.modules.iter().filter_map(PowerModule::peer).collect();
        for module in &mut self.modules {
            module.tick(now);
            module.outgoing.clear();
            module.receive(now, &request, Peers(&peers));
            assert!(module.next().is_none_or(|(at, _)| *at > now), "an answer takes its time");
        }
        self.said()
    }

    /// The one answer.
    pub(super) fn one(&mut self, now: Duration, request: &str) -> String {
        let answers = self.ask(now, request);
        assert_eq!(answers.len(), 1, "{request}: {answers:?}");
        answers.into_iter().next().unwrap()
    }

    /// What the modules put on the bus by themselves.
    pub(super) fn reports(&mut self, now: Duration) -> Vec<String> {
        for module in &mut self.modules {
            module.outgoing.clear();
            module.tick(now);
        }
        self.said()
    }

    fn said(&mut self) -> Vec<String> {
        let frames = self.modules.iter_mut().flat_map(|module| module.outgoing.drain(..));
        frames.map(|(_, frame)| format!("{frame:?}")).collect()
    }

    /// Lets the circuit alone live on.
    pub(super) fn run(&self, seconds: f64) {
        self.circuit.with(|circuit| {
            let end = circuit.elapsed() + Duration::from_secs_f64(seconds);
            while circuit.elapsed() < end {
                circuit.step(STEP);
            }
        });
    }

    pub(super) fn break_it(&self, fault: Fault) {
        self.circuit.with(|circuit| circuit.faults.inject(fault));
    }

    /// Whether the first power stage runs.
    pub(super) fn on(&self) -> bool {
        self.circuit.with(|circuit| circuit.modules[0].on)
    }

    pub(super) fn volts(&self) -> f64 {
        self.circuit.with(|circuit| circuit.module_side_v())
    }

    pub(super) fn set_points(&self) -> (f64, f64) {
        self.circuit.with(|circuit| (circuit.modules[0].set_v, circuit.modules[0].limit_a))
    }
}

pub(super) fn frame(text: &str) -> CanFrame {
    let (id, data) = text.split_once('#').unwrap();
    let data: Vec<u8> =
        (0..data.len()).step_by(2).map(|at| u8::from_str_radix(&data[at..at + 2], 16).unwrap()).collect();
    let id = voltry_canlink::CanId::extended(u32::from_str_radix(id, 16).unwrap()).unwrap();
    CanFrame::new(id, &data).unwrap()
}
