use proptest::prelude::*;

use super::*;
use crate::config;
use crate::connector::{Action, Connector};
use crate::message::Message;
use voltry_bus::Contactors;
use voltry_service::{Config, Stamp};

const DIGITAL: Wanted = Wanted { pilot: PilotOutput::Digital, close: false, lock: None };
const CLOSED: Wanted = Wanted { close: true, ..DIGITAL };

fn ms(ms: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000 + ms * 1_000)
}

fn levels(driven: PilotOutput, state: Pilot) -> Levels {
    let high = match state {
        Pilot::A => 12_000,
        Pilot::B => 9_000,
        Pilot::C => 6_000,
        Pilot::D => 3_000,
        Pilot::E | Pilot::F | Pilot::Invalid | Pilot::Unknown => 0,
    };
    match driven {
        PilotOutput::X1 => Levels { high, low: high },
        PilotOutput::Digital => Levels { high, low: -12_000 },
        PilotOutput::F => Levels { high: -12_000, low: -12_000 },
    }
}

/// The circuit around the wires: contactors that follow their coils, a vehicle.
struct Bench {
    wires: Wires,
    now: u64,
    wanted: Wanted,
    wanted_at: u64,
    host_speaks: bool,
    vehicle: Pilot,
    levels: Option<Levels>,
    pressed: bool,
    alarms: Alarms,
    stuck: Option<bool>,
    locked: Option<bool>,
    /// By how much samples come before their cycle's time, in microseconds.
    early: u64,
    outputs: Outputs,
    told: Vec<(u64, ChargeState)>,
}

impl Bench {
    fn new() -> Self {
        Self {
            wires: Wires::new(Duration::from_millis(30), Duration::from_millis(600), ms(0)),
            now: 0,
            wanted: Wanted::SAFE,
            wanted_at: 0,
            host_speaks: true,
            vehicle: Pilot::A,
            levels: None,
            pressed: false,
            alarms: Alarms::default(),
            stuck: None,
            locked: None,
            early: 0,
            outputs: Outputs::SAFE,
            told: Vec::new(),
        }
    }

    /// A vehicle in C, contactors closed and seen closed.
    fn closed() -> Self {
        let mut bench = Self::new();
        bench.vehicle = Pilot::C;
        bench.wanted = DIGITAL;
        bench.pass(200);
        bench.wanted = CLOSED;
        bench.pass(50);
        assert!(bench.outputs.close);
        assert_eq!(bench.state().contactors, [Contactor::Closed, Contactor::Closed, Contactor::Unused]);
        bench
    }

    fn cycle(&mut self) {
        self.now += 10;
        if self.host_speaks {
            self.wanted_at = self.now;
        }
        let closed = Some(self.stuck.unwrap_or(self.outputs.close));
        match self.outputs.lock {
            Motor::Locks => self.locked = Some(true),
            Motor::Unlocks => self.locked = Some(false),
            Motor::Rests => {}
        }
        let sample = Sample {
            levels: self.levels.unwrap_or_else(|| levels(self.outputs.pilot, self.vehicle)),
            closed: [closed, closed, None],
            emergency_stop: Some(self.pressed),
            alarms: self.alarms,
            locked: self.locked,
        };
        let now = Timestamp::from_micros(ms(self.now).as_micros() - self.early);
        let (outputs, state) = self.wires.step(now, (self.wanted, ms(self.wanted_at)), sample);
        self.outputs = outputs;
        self.told.extend(state.map(|state| (self.now, state)));
    }

    fn pass(&mut self, time: u64) {
        (0..time / 10).for_each(|_| self.cycle());
    }

    fn state(&self) -> ChargeState {
        self.told.last().expect("something was told").1
    }

    /// How long the contactors take to open, in milliseconds.
    fn opens_in(&mut self) -> u64 {
        let begun = self.now;
        while self.outputs.close {
            assert!(self.now < begun + 1_000, "they stay closed");
            self.cycle();
        }
        self.now - begun
    }
}

#[test]
fn nothing_is_told_before_the_pilot_was_read_and_then_every_100_ms() {
    let mut bench = Bench::new();
    bench.pass(40);
    assert_eq!(bench.told, []);
    bench.pass(1_000);
    assert_eq!(bench.state().pilot, Pilot::F);
    assert!((10..=13).contains(&bench.told.len()), "{}", bench.told.len());
}

#[test]
fn a_vehicle_that_leaves_c_finds_the_contactors_open_within_100_ms() {
    for left in [Pilot::B, Pilot::A, Pilot::E] {
        let mut bench = Bench::closed();
        bench.vehicle = left;
        let took = bench.opens_in();
        assert!(took <= 50, "{left}: {took} ms");
        assert_eq!(bench.state().pilot, left, "and it is told with it");
    }
}

#[test]
fn an_emergency_stop_opens_within_two_samples_and_one_disturbed_sample_does_not() {
    let mut bench = Bench::closed();
    bench.pressed = true;
    bench.cycle();
    bench.pressed = false;
    bench.pass(100);
    assert!(bench.outputs.close && !bench.state().emergency_stop);
    bench.pressed = true;
    assert!(bench.opens_in() <= 20);
    assert!(bench.state().emergency_stop);
}

#[test]
fn an_open_door_a_tilt_and_water_open_the_contactors_and_failed_cooling_does_not() {
    for alarm in Alarm::ALL.iter().copied() {
        let mut bench = Bench::closed();
        bench.alarms = Alarms::default().set(alarm, true);
        if alarm == Alarm::CoolingFailed {
            bench.pass(200);
            assert!(bench.outputs.close);
        } else {
            let took = bench.opens_in();
            assert!((50..=70).contains(&took), "{alarm}: {took} ms");
        }
        assert_eq!(bench.state().alarms, bench.alarms);
        bench.alarms = Alarms::default();
        bench.pass(200);
        assert!(bench.state().alarms.is_empty());
        assert_eq!(bench.outputs.close, alarm == Alarm::CoolingFailed, "what dropped stays open");
    }
}

#[test]
fn a_float_that_bobs_is_no_water_and_holds_up_no_door() {
    let mut bench = Bench::closed();
    for bob in 0..20 {
        bench.alarms = bench.alarms.set(Alarm::Water, bob % 2 == 0);
        bench.pass(30);
    }
    assert!(bench.outputs.close && bench.state().alarms.is_empty());
    bench.alarms = bench.alarms.set(Alarm::EnclosureOpen, true);
    for bob in 0..3 {
        bench.alarms = bench.alarms.set(Alarm::Water, bob % 2 == 0);
        bench.pass(30);
    }
    assert!(!bench.outputs.close && bench.state().alarms.contains(Alarm::EnclosureOpen));
}

#[test]
fn two_samples_that_are_less_than_a_cycle_apart_are_two() {
    let mut bench = Bench::closed();
    bench.pressed = true;
    bench.cycle();
    bench.early = 100;
    bench.cycle();
    assert!(!bench.outputs.close, "9.9 ms after it was first seen");
    assert!(bench.state().emergency_stop);
}

#[test]
fn a_diode_fault_and_a_short_open_the_contactors() {
    for (levels, fault) in [
        (Levels { high: 6_000, low: -6_000 }, PilotFault::Diode),
        (Levels { high: 0, low: 0 }, PilotFault::Short),
    ] {
        let mut bench = Bench::closed();
        bench.levels = Some(levels);
        assert!(bench.opens_in() <= 50);
        assert_eq!(bench.state().pilot_fault, fault);
    }
}

#[test]
fn what_opened_by_itself_stays_open_until_the_request_is_withdrawn() {
    let mut bench = Bench::closed();
    bench.vehicle = Pilot::B;
    bench.opens_in();
    bench.vehicle = Pilot::C;
    bench.pass(1_000);
    assert!(!bench.outputs.close && bench.state().pilot == Pilot::C);
    bench.wanted = DIGITAL;
    bench.pass(20);
    bench.wanted = CLOSED;
    bench.pass(20);
    assert!(bench.outputs.close);
}

#[test]
fn contactors_asked_for_before_the_vehicle_is_ready_do_not_close_when_it_is() {
    let mut bench = Bench::new();
    bench.vehicle = Pilot::B;
    bench.wanted = CLOSED;
    bench.pass(300);
    bench.vehicle = Pilot::C;
    bench.pass(300);
    assert!(!bench.outputs.close);
}

#[test]
fn a_host_that_is_silent_for_300_ms_finds_all_safe_and_its_watchdog_untouched() {
    let mut bench = Bench::closed();
    bench.host_speaks = false;
    let took = bench.opens_in();
    assert!((290..=300).contains(&took), "{took} ms");
    assert_eq!(bench.outputs, Outputs::SAFE);
    bench.host_speaks = true;
    bench.pass(300);
    assert!(!bench.outputs.close, "its old request counts no more");
    assert!(bench.outputs.alive);
}

#[test]
fn a_pilot_that_bounces_is_no_state_and_a_changed_output_is_none() {
    let mut bench = Bench::closed();
    for _ in 0..10 {
        bench.vehicle = Pilot::B;
        bench.pass(20);
        bench.vehicle = Pilot::C;
        bench.pass(20);
    }
    assert!(bench.outputs.close, "no state stood");
    let told = bench.told.len();
    bench.wanted = Wanted { pilot: PilotOutput::X1, close: true, lock: None };
    bench.pass(200);
    assert!(bench.told[told..].iter().all(|(_, state)| state.pilot == Pilot::C));
}

#[test]
fn welded_contactors_are_told_as_they_are() {
    let mut bench = Bench::closed();
    bench.stuck = Some(true);
    bench.wanted = DIGITAL;
    bench.pass(100);
    assert!(!bench.outputs.close);
    assert_eq!(bench.state().contactors[0], Contactor::Closed);
}

#[test]
fn a_lock_moves_for_its_time_is_confirmed_by_its_contact_and_never_lets_go_under_voltage() {
    let mut bench = Bench::new();
    bench.pass(100);
    assert_eq!(bench.state().lock, Lock::NotFitted);
    bench.locked = Some(false);
    bench.pass(100);
    assert_eq!(
        (bench.state().lock, bench.outputs.lock),
        (Lock::Unlocked, Motor::Rests),
        "not touched at a start"
    );
    bench.wanted.lock = Some(true);
    bench.pass(100);
    assert_eq!((bench.state().lock, bench.outputs.lock), (Lock::Moving, Motor::Locks));
    bench.pass(600);
    assert_eq!((bench.state().lock, bench.outputs.lock), (Lock::Locked, Motor::Rests));
    bench.locked = Some(false);
    bench.pass(100);
    assert_eq!(bench.state().lock, Lock::Fault, "the bolt slipped");

    bench.locked = Some(true);
    bench.stuck = Some(true);
    bench.wanted.lock = Some(false);
    bench.pass(1_000);
    assert_eq!(bench.locked, Some(true), "a contactor is welded");
    assert_eq!(bench.state().lock, Lock::Locked, "as it should be: nothing is wrong with it");
    bench.stuck = None;
    bench.pass(100);
    assert_eq!((bench.state().lock, bench.locked), (Lock::Moving, Some(false)));
    bench.pass(600);
    assert_eq!((bench.state().lock, bench.outputs.lock), (Lock::Unlocked, Motor::Rests));
}

#[test]
fn a_plug_that_comes_under_voltage_while_it_is_let_go_is_let_go_when_it_no_longer_is() {
    let mut bench = Bench::new();
    bench.locked = Some(true);
    bench.wanted.lock = Some(true);
    bench.pass(1_000);
    bench.wanted.lock = Some(false);
    bench.cycle();
    assert_eq!(bench.outputs.lock, Motor::Unlocks);
    bench.stuck = Some(true);
    bench.pass(2_000);
    assert_eq!((bench.state().lock, bench.outputs.lock), (Lock::Moving, Motor::Rests));
    bench.stuck = None;
    bench.pass(1_000);
    assert_eq!((bench.state().lock, bench.locked), (Lock::Unlocked, Some(false)));
}

/// The whole board in virtual time: the wires under the connector that both back ends share.
#[test]
fn a_lease_that_lapses_opens_contactors_on_lines_of_this_machine() {
    let text = include_str!("../../../../../docs/board-linux.toml");
    let config = Config::parse([("board-linux.toml", text)]).unwrap();
    let settings = config::configure(&config, "").unwrap().settings.connectors.remove(&1).unwrap();
    let mut connector = Connector::new(settings, ms(0));
    let mut bench = Bench::new();
    bench.host_speaks = false;
    bench.vehicle = Pilot::C;
    let mut newest = None;
    let mut cycle = |bench: &mut Bench, connector: &mut Connector| {
        let told = bench.told.len();
        bench.cycle();
        let now = ms(bench.now);
        for (at, state) in bench.told[told..].iter().copied() {
            connector.heard(ms(at), Message::ChargeState(state));
            connector.heard(ms(at), Message::Temperatures([None; 4]));
        }
        for action in connector.poll(now) {
            match action {
                Action::Want(wanted) => (bench.wanted, bench.wanted_at) = (wanted, bench.now),
                Action::Publish(state) => newest = Some(state),
                Action::AskVersion | Action::Reset => {}
            }
        }
        newest.as_ref().map(|state| (state.pilot, state.contactors))
    };
    connector.set_pilot(ms(0), ":1.7", PilotOutput::Digital).unwrap();
    while cycle(&mut bench, &mut connector) != Some((Pilot::C, Contactors::Open)) {
        assert!(bench.now < 1_000);
    }
    let epoch = ms(bench.now).as_micros();
    connector.enable(ms(bench.now), ":1.7", epoch).unwrap();
    let stamp = |sequence, now| Stamp { epoch, sequence, sent_at: ms(now) };
    connector.close(ms(bench.now), ":1.7", stamp(1, bench.now)).unwrap();
    let closed_at = bench.now;
    let mut closed = false;
    while bench.now < closed_at + 490 {
        closed |= cycle(&mut bench, &mut connector) == Some((Pilot::C, Contactors::Closed));
    }
    assert!(closed && bench.outputs.close);
    for _ in 0..3 {
        cycle(&mut bench, &mut connector);
    }
    assert!(!bench.outputs.close, "500 ms after Enable, within a cycle of each side");
    for _ in 0..10 {
        cycle(&mut bench, &mut connector);
    }
    assert_eq!(bench.outputs.pilot, PilotOutput::F);
    assert_eq!(connector.opened_under_load(), 1);
}

#[derive(Debug, Clone)]
enum Event {
    Pass(u64),
    Vehicle(Pilot),
    Levels(i32, i32),
    Press(bool),
    Want(Wanted),
    Host(bool),
    Lock(bool),
}

fn event() -> impl Strategy<Value = Event> {
    let wanted = (prop::sample::select(PilotOutput::ALL), any::<bool>(), any::<Option<bool>>())
        .prop_map(|(pilot, close, lock)| Event::Want(Wanted { pilot, close, lock }));
    prop_oneof![
        (1_u64..40).prop_map(|cycles| Event::Pass(cycles * 10)),
        (1_u64..40).prop_map(|cycles| Event::Pass(cycles * 10)),
        prop::sample::select(Pilot::ALL).prop_map(Event::Vehicle),
        Just(Event::Vehicle(Pilot::C)),
        Just(Event::Want(CLOSED)),
        Just(Event::Want(DIGITAL)),
        (-15_000..15_000, -15_000..15_000).prop_map(|(high, low)| Event::Levels(high, low)),
        any::<bool>().prop_map(Event::Press),
        wanted,
        any::<bool>().prop_map(Event::Host),
        any::<bool>().prop_map(Event::Lock),
    ]
}

proptest! {
    /// Whatever happens: contactors are closed only while that is requested by a host that was heard within 300 ms,
    /// with a vehicle that was ready within 50 ms and no emergency stop pressed for longer than 20 ms.
    #[test]
    fn contactors_are_closed_only_for_a_living_host_and_a_ready_vehicle(
        events in prop::collection::vec(event(), 1..80),
    ) {
        let mut bench = Bench::new();
        let (mut ready_at, mut released_at) = (0, 0);
        for event in events {
            let cycles = match event {
                Event::Pass(time) => time / 10,
                Event::Vehicle(state) => { bench.vehicle = state; bench.levels = None; 0 }
                Event::Levels(high, low) => { bench.levels = Some(Levels { high, low }); 0 }
                Event::Press(pressed) => { bench.pressed = pressed; 0 }
                Event::Want(wanted) => { bench.wanted = wanted; 0 }
                Event::Host(speaks) => { bench.host_speaks = speaks; 0 }
                Event::Lock(locked) => { bench.locked = Some(locked); 0 }
            };
            for _ in 0..cycles {
                let levels = bench.levels.unwrap_or_else(|| levels(bench.outputs.pilot, bench.vehicle));
                if (2_000..8_000).contains(&levels.high) { ready_at = bench.now + 10; }
                if !bench.pressed { released_at = bench.now + 10; }
                bench.cycle();
                if bench.outputs.close {
                    prop_assert!(bench.wanted.close && bench.now - bench.wanted_at < 300);
                    prop_assert!(bench.now - ready_at <= 80, "not ready since {}", bench.now - ready_at);
                    prop_assert!(bench.now - released_at <= 20, "pressed since {}", bench.now - released_at);
                    prop_assert!(bench.outputs.lock != Motor::Unlocks);
                }
            }
        }
    }
}
