use super::*;
use crate::electrical::{Battery, Circuit, CircuitConfig, PilotLoad, STEP, Vehicle};

const MS: fn(u64) -> Duration = Duration::from_millis;
/// 5 %, no contactor; 5 %, contactors 1 and 2.
const OFFER: [u8; 8] = [0x80, 50, 0, 0, 0, 0, 0, 0];
const CLOSE: [u8; 8] = [0x80, 50, 3, 0, 0, 0, 0, 0];

struct Bench {
    mcu: Mcu,
    circuit: SharedCircuit,
    now: Duration,
    decoder: Decoder,
    state: Option<[u8; 8]>,
    temperatures: Option<[u8; 8]>,
    frames: usize,
}

impl Bench {
    fn new() -> Self {
        let mut circuit = Circuit::new(CircuitConfig::of_modules(1));
        circuit.plug_in(Vehicle::new(Battery::of_400_v(2_000.0, 0.5)));
        let circuit = SharedCircuit::new(circuit);
        Self {
            mcu: Mcu::new(McuConfig::default(), circuit.clone()),
            circuit,
            now: Duration::ZERO,
            decoder: Decoder::default(),
            state: None,
            temperatures: None,
            frames: 0,
        }
    }

    /// Runs with the host sending `control` every 100 ms, or nothing.
    fn run(&mut self, time: Duration, control: Option<[u8; 8]>) {
        let end = self.now + time;
        let mut next = self.now;
        while self.now < end {
            if let Some(control) = control.filter(|_| self.now >= next) {
                self.mcu.receive(self.now, &encode(CHARGE_CONTROL, control));
                next = self.now + MS(100);
            }
            self.circuit.with(|circuit| circuit.step(STEP));
            self.now += STEP;
            self.listen();
        }
    }

    fn listen(&mut self) {
        let mut out = Vec::new();
        self.mcu.transmit(self.now, &mut out);
        for byte in out {
            match self.decoder.push(byte) {
                Some((CHARGE_STATE, data)) => {
                    self.frames += 1;
                    self.state = Some(data);
                }
                Some((TEMPERATURES, data)) => self.temperatures = Some(data),
                Some(_) | None => {}
            }
        }
    }

    fn ready(&self) {
        self.circuit.with(|circuit| circuit.vehicle_mut().unwrap().pilot_load = PilotLoad::C);
    }

    fn fault(&self, fault: Fault) {
        self.circuit.with(|circuit| circuit.faults.inject(fault));
    }

    fn conducts(&self) -> bool {
        self.circuit.with(|circuit| circuit.contactors.conducts())
    }
}

#[test]
fn it_says_nothing_before_its_first_periodic_message_and_then_ten_times_a_second() {
    let mut bench = Bench::new();
    bench.run(MS(2_000), None);
    assert_eq!(bench.frames, 0);
    bench.run(MS(1_300), Some(OFFER));
    assert!((9..=11).contains(&bench.frames), "{}", bench.frames);
    // 5 %, state B, no contactor closed, third not fitted; emergency stops 2 and 3 not fitted.
    assert_eq!(bench.state, Some([0x80, 50, 2, 0, 0x30, 0x3C, 0, 0]));
    // 25.0 °C twice, two channels not used.
    assert_eq!(bench.temperatures, Some([0x03, 0xE8, 0x03, 0xE8, 0x7F, 0xFC, 0x7F, 0xFC]));
}

#[test]
fn contactors_close_in_state_c_only_and_open_when_it_ends() {
    let mut bench = Bench::new();
    bench.run(MS(1_000), Some(CLOSE));
    assert!(!bench.conducts());
    bench.ready();
    bench.run(MS(300), Some(CLOSE));
    assert!(bench.conducts());
    assert_eq!(bench.state.unwrap()[4], 0x35);
    bench.circuit.with(|circuit| circuit.vehicle_mut().unwrap().pilot_load = PilotLoad::B);
    bench.run(MS(25), None);
    assert!(!bench.conducts(), "the controller does not wait for its host");
    assert_eq!(bench.mcu.safe_state(), None);
}

#[test]
fn a_silent_host_ends_in_the_safe_state_until_reset() {
    let mut bench = Bench::new();
    bench.ready();
    bench.run(MS(1_000), Some(CLOSE));
    bench.run(MS(380), None);
    assert!(bench.conducts());
    bench.run(MS(200), None);
    assert!(!bench.conducts());
    assert_eq!(bench.mcu.safe_state(), Some(Reason::ComTimeout));
    bench.run(MS(1_000), Some(CLOSE));
    assert!(!bench.conducts(), "a host that is back changes nothing");
    let state = bench.state.unwrap();
    assert_eq!((state[2], state[4] >> 6, state[6]), (6, 1, 2), "state F, safe, communication");
    bench.mcu.receive(bench.now, &encode(ACTION, [2, 0, 0, 0, 0, 0, 0, 0]));
    bench.run(MS(1_000), Some(CLOSE));
    assert!(bench.conducts());
}

#[test]
fn each_fault_of_its_inputs_is_its_own_reason() {
    for (fault, reason, within) in [
        (Fault::EmergencyStop, Reason::EmergencyStop1, 20),
        (Fault::PilotShort, Reason::PilotShort, 20),
        (Fault::PilotDiode, Reason::PilotDiode, 20),
        (Fault::ProximityOpen, Reason::Proximity, 20),
        (Fault::ConnectorHot, Reason::OverTemp1, 15_000),
    ] {
        let mut bench = Bench::new();
        bench.ready();
        bench.run(MS(1_000), Some(CLOSE));
        assert!(bench.conducts());
        bench.fault(fault);
        bench.run(MS(within), Some(CLOSE));
        assert_eq!(bench.mcu.safe_state(), Some(reason));
        bench.run(MS(300), Some(CLOSE));
        assert!(!bench.conducts());
        assert_eq!(bench.state.unwrap()[6], reason as u8);
        bench.circuit.with(|circuit| circuit.faults.clear_all());
        bench.run(MS(1_000), Some(CLOSE));
        assert!(!bench.conducts(), "{fault:?} latches");
    }
}

#[test]
fn a_contactor_that_does_not_follow_its_coil_is_found() {
    let mut bench = Bench::new();
    bench.ready();
    bench.fault(Fault::ContactorStuckOpen);
    bench.run(MS(1_000), Some(CLOSE));
    assert_eq!(bench.mcu.safe_state(), Some(Reason::HvSwitch));
    let mut bench = Bench::new();
    bench.ready();
    bench.run(MS(1_000), Some(CLOSE));
    bench.fault(Fault::ContactorWelded);
    bench.run(MS(1_000), Some(OFFER));
    assert_eq!(bench.mcu.safe_state(), Some(Reason::HvSwitch));
    assert_eq!(bench.state.unwrap()[4] & 0x0F, 0x05, "feedback still says closed");
}

#[test]
fn time_in_which_the_contactors_could_not_move_is_no_fault_of_theirs() {
    let mut bench = Bench::new();
    bench.ready();
    bench.run(MS(1_000), Some(OFFER));
    bench.mcu.receive(bench.now, &encode(CHARGE_CONTROL, CLOSE));
    bench.listen();
    bench.now += MS(300);
    bench.run(MS(1_000), Some(CLOSE));
    assert_eq!(bench.mcu.safe_state(), None);
    assert!(bench.conducts());
}

#[test]
fn pe_loss_reads_as_no_vehicle_and_opens() {
    let mut bench = Bench::new();
    bench.ready();
    bench.run(MS(1_000), Some(CLOSE));
    bench.fault(Fault::PeLoss);
    bench.run(MS(200), Some(CLOSE));
    assert!(!bench.conducts());
    assert_eq!(bench.state.unwrap()[2], 1);
}

#[test]
fn inquiries_are_answered_in_time_and_unknown_ones_never() {
    let mut bench = Bench::new();
    bench.mcu.receive(MS(0), &encode(INQUIRY, [VERSION, 0, 0, 0, 0, 0, 0, 0]));
    bench.mcu.receive(MS(0), &encode(INQUIRY, [0x77, 0, 0, 0, 0, 0, 0, 0]));
    let mut out = Vec::new();
    bench.mcu.transmit(MS(30), &mut out);
    assert_eq!(out, encode(VERSION, [1, 4, 2, 0x81, 3, 0, 1, 0]));
}

#[test]
fn wrong_checksums_and_silence_are_faults_of_the_line() {
    let mut bench = Bench::new();
    bench.run(MS(1_000), Some(OFFER));
    let before = bench.frames;
    bench.fault(Fault::BoardWrongCrc);
    bench.run(MS(1_000), Some(OFFER));
    assert_eq!(bench.frames, before);
    bench.circuit.with(|circuit| circuit.faults.clear_all());
    bench.fault(Fault::BoardSilent);
    bench.run(MS(1_000), Some(OFFER));
    assert_eq!(bench.frames, before);
    assert_eq!(bench.mcu.safe_state(), None, "it still obeys");
}
