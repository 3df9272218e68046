//! The matrix against a controller and callers in virtual time.

use proptest::prelude::*;

use super::*;

const HOLDER: &str = ":1.7";

fn at(milliseconds: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000 + milliseconds * 1000)
}

/// Two groups, two EVSEs; contactors in the order a1 a2 b1 b2.
fn settings() -> MatrixSettings {
    MatrixSettings {
        device: "x".into(),
        contactors: ["a", "b"]
            .iter()
            .flat_map(|group| [1, 2].map(|evse| ((*group).to_owned(), evse)))
            .collect(),
        stale: Duration::from_millis(300),
        feedback: Duration::from_millis(500),
    }
}

struct Bench {
    matrix: Matrix,
    now: u64,
    sequence: u64,
    epoch: u64,
    /// What the controller was last told, and what its contactors are.
    told: u64,
    closed: u64,
    /// Bits that stay as they are.
    stuck: u64,
    silent: bool,
    shown: Option<MatrixState>,
}

impl Bench {
    fn new() -> Self {
        let matrix = Matrix::new(settings(), at(0));
        let mut bench = Self {
            matrix,
            now: 0,
            sequence: 0,
            epoch: 0,
            told: 0,
            closed: 0,
            stuck: 0,
            silent: false,
            shown: None,
        };
        bench.run(1_000);
        bench
    }

    /// Time passes in steps of 20 ms; the controller follows within one.
    fn run(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 20 {
            self.now += 20;
            if !self.silent {
                self.closed = self.closed & self.stuck | self.told & !self.stuck;
                let closed = self.closed;
                self.matrix.heard(at(self.now), Message::Feedback { closed, safe_state: 0 });
            }
            for action in self.matrix.poll(at(self.now)) {
                match action {
                    Action::Control(frame) => self.told = u64::from_be_bytes(frame.data),
                    Action::Publish(state) => self.shown = Some(state),
                    Action::Once(_) => {}
                }
            }
        }
    }

    fn enable(&mut self) {
        self.epoch = at(self.now).as_micros();
        self.sequence = 0;
        self.matrix.enable(at(self.now), HOLDER, self.epoch).unwrap();
    }

    fn stamp(&mut self) -> Stamp {
        self.sequence += 1;
        Stamp { epoch: self.epoch, sequence: self.sequence, sent_at: at(self.now) }
    }

    fn close(&mut self, group: &str, evse: u32) -> Result<(), Error> {
        let stamp = self.stamp();
        self.matrix.close(at(self.now), HOLDER, stamp, group, evse)
    }

    fn run_leased(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 100 {
            let stamp = self.stamp();
            self.matrix.renew(at(self.now), HOLDER, stamp).unwrap();
            self.run(100);
        }
    }

    fn position(&self, place: usize) -> Contactors {
        self.shown.as_ref().unwrap().contactors[place].position
    }
}

#[test]
fn a_contactor_closes_by_its_lease_and_opens_when_that_lapses() {
    let mut bench = Bench::new();
    assert_eq!(bench.close("a", 1), Err(voltry_service::Refusal::Lapsed.into()));
    bench.enable();
    bench.close("a", 1).unwrap();
    bench.run_leased(1_000);
    assert_eq!((bench.told, bench.position(0)), (1, Contactors::Closed));
    bench.run(1_800);
    assert_eq!(bench.told, 1, "the lease runs for two seconds");
    bench.run(300);
    assert_eq!((bench.told, bench.position(0)), (0, Contactors::Open));
}

#[test]
fn a_holder_that_left_lets_the_evses_own_contactors_open_first() {
    let mut bench = Bench::new();
    bench.enable();
    bench.close("a", 1).unwrap();
    bench.run(100);
    bench.matrix.left(at(bench.now), HOLDER);
    bench.run(1_480);
    assert_eq!(bench.told, 1);
    bench.run(100);
    assert_eq!(bench.told, 0);
}

#[test]
fn a_group_goes_to_another_evse_only_when_it_is_proven_parted() {
    let mut bench = Bench::new();
    bench.enable();
    bench.close("a", 1).unwrap();
    let refused = bench.close("a", 2).unwrap_err().to_string();
    assert!(refused.contains("not parted from EVSE 1"), "{refused}");
    bench.run_leased(600);
    bench.matrix.open(at(bench.now), "a", 1).unwrap();
    bench.close("a", 2).unwrap_err();
    bench.run_leased(400);
    assert_eq!(bench.position(0), Contactors::Open);
    bench.close("a", 2).unwrap_err();
    bench.run_leased(200);
    bench.close("a", 2).unwrap();
    bench.close("b", 1).unwrap();
    bench.run_leased(200);
    assert_eq!(bench.told, 0b0110);
}

#[test]
fn a_welded_contactor_is_a_latched_fault_and_its_group_stays_parted_from_others() {
    let mut bench = Bench::new();
    bench.enable();
    bench.close("a", 1).unwrap();
    bench.run_leased(1_000);
    bench.stuck = 1;
    bench.matrix.open(at(bench.now), "a", 1).unwrap();
    bench.run_leased(1_000);
    assert_eq!(bench.position(0), Contactors::Mismatch);
    let faults = bench.matrix.faults().to_wire();
    assert_eq!(faults[0].code, CONTACTOR_FAULT);
    assert_eq!(
        faults[0].cause,
        "the contactor of group a to EVSE 1 was told to open and is closed after 500 ms"
    );
    bench.matrix.clear_faults(at(bench.now));
    bench.close("a", 2).unwrap_err();
    bench.stuck = 0;
    bench.run_leased(200);
    let latched = bench.close("a", 2).unwrap_err().to_string();
    assert!(latched.contains("latched"), "{latched}");
    bench.matrix.clear_faults(at(bench.now));
    assert!(bench.matrix.faults().is_empty());
    bench.close("a", 2).unwrap();
}

#[test]
fn a_contactor_that_does_not_close_is_told_to_open_again() {
    let mut bench = Bench::new();
    bench.enable();
    bench.stuck = 1;
    bench.close("a", 1).unwrap();
    bench.run_leased(1_000);
    assert_eq!(bench.told, 0);
    assert!(bench.matrix.faults().contains(CONTACTOR_FAULT));
}

#[test]
fn two_evses_that_are_joined_by_no_order_of_ours_are_parted_and_told() {
    let mut bench = Bench::new();
    bench.enable();
    bench.close("a", 1).unwrap();
    bench.run_leased(600);
    bench.closed = 0b11;
    bench.stuck = 0b10;
    bench.run_leased(100);
    assert!(bench.matrix.faults().contains(JOINED));
    assert_eq!(bench.told, 0, "what can open does");
}

#[test]
fn a_controller_that_falls_silent_is_told_to_open_after_the_evses() {
    let mut bench = Bench::new();
    bench.enable();
    bench.close("a", 1).unwrap();
    bench.run_leased(600);
    bench.silent = true;
    bench.run_leased(1_500);
    assert_eq!(bench.told, 1);
    bench.run_leased(500);
    assert_eq!(bench.told, 0);
    assert!(bench.matrix.faults().contains(SILENT) && !bench.matrix.is_online(at(bench.now)));
    assert!(matches!(bench.close("a", 1), Err(Error::Unavailable(_))));
}

#[test]
fn the_safe_state_of_a_controller_latches_unless_its_host_was_only_starting() {
    let mut matrix = Matrix::new(settings(), at(0));
    matrix.heard(at(10), Message::Feedback { closed: 0, safe_state: HOST_SILENT });
    assert!(matrix.poll(at(10)).contains(&Action::Once(message::leave_safe_state())));
    assert!(matrix.faults().is_empty());
    matrix.heard(at(20), Message::Feedback { closed: 0, safe_state: 0 });
    matrix.heard(at(30), Message::Feedback { closed: 0, safe_state: STARTED });
    assert!(!matrix.poll(at(30)).contains(&Action::Once(message::leave_safe_state())));
    assert!(matrix.faults().contains(SAFE_STATE));
    matrix.clear_faults(at(40));
    assert!(matrix.poll(at(40)).contains(&Action::Once(message::leave_safe_state())));
    assert!(matrix.faults().contains(SAFE_STATE), "it has not left it yet");
    matrix.heard(at(50), Message::Feedback { closed: 0, safe_state: 0 });
    assert!(matrix.faults().is_empty(), "cleared once, and not a second time for what the first began");
    matrix.heard(at(60), Message::Feedback { closed: 0, safe_state: STARTED });
    matrix.clear_faults(at(70));
    matrix.heard(at(1_080), Message::Feedback { closed: 0, safe_state: 0 });
    assert!(matrix.faults().contains(SAFE_STATE), "it left by itself, long after");
}

#[test]
fn a_controller_that_floods_does_not_flood_the_bus() {
    let mut matrix = Matrix::new(settings(), at(0));
    let mut told = 0;
    for millisecond in 0..1_000 {
        for closed in 0..16 {
            matrix.heard(at(millisecond), Message::Feedback { closed, safe_state: 0 });
            let actions = matrix.poll(at(millisecond));
            told += actions.iter().filter(|action| matches!(action, Action::Publish(_))).count();
        }
    }
    assert!((10..=51).contains(&told), "{told} in a second");
}

#[test]
fn voltages_are_told_while_they_are_fresh() {
    let mut bench = Bench::new();
    let voltages = [Some(Volts::new(400)), None, None, None];
    bench.matrix.heard(at(bench.now), Message::Bars { first: 0, voltages });
    bench.run(100);
    assert_eq!(bench.shown.as_ref().unwrap().bars, [MatrixBar { evse: 1, voltage: 400.0 }]);
    bench.run(400);
    assert_eq!(bench.shown.as_ref().unwrap().bars, []);
}

#[test]
fn what_is_told_is_dated_by_the_oldest_of_it() {
    let mut matrix = Matrix::new(settings(), at(0));
    let told = |matrix: &mut Matrix, now| {
        let publish = |action| if let Action::Publish(state) = action { Some(state) } else { None };
        matrix.poll(at(now)).into_iter().find_map(publish).map(|state| (state.bars.len(), state.at))
    };
    let voltages = [Some(Volts::new(400)), None, None, None];
    matrix.heard(at(100), Message::Bars { first: 0, voltages });
    matrix.heard(at(180), Message::Feedback { closed: 0, safe_state: 0 });
    assert_eq!(told(&mut matrix, 350), Some((1, at(100).as_micros())), "handled late");
    matrix.heard(at(380), Message::Feedback { closed: 0, safe_state: 0 });
    assert_eq!(told(&mut matrix, 450), Some((0, at(380).as_micros())), "the voltage is too old");
}

proptest! {
    /// Whatever anybody asks, in any order, over any contactors that stick: no two of a group are told to
    /// be closed, nor told to close while another has not been seen open since.
    #[test]
    fn no_order_ever_joins_two_evses(
        orders in prop::collection::vec((0..400_u64, 0..2_usize, 1..3_u32, 0..4_u8, 0..16_u64), 1..60),
    ) {
        let mut bench = Bench::new();
        bench.enable();
        for (time, group, evse, order, stuck) in orders {
            bench.run_leased(time / 100 * 100);
            let group = ["a", "b"][group];
            match order {
                0 | 1 => {
                    let place = bench.matrix.place(group, evse).unwrap();
                    let others: Vec<usize> = bench.matrix.of_group(place).filter(|other| *other != place).collect();
                    let closed = bench.closed;
                    if bench.close(group, evse).is_ok() {
                        prop_assert!(others.iter().all(|other| !is_set(closed, *other)));
                    }
                }
                2 => bench.matrix.open(at(bench.now), group, evse).unwrap(),
                _ => bench.stuck = stuck,
            }
            for pair in [0b0011, 0b1100] {
                prop_assert!((bench.told & pair).count_ones() < 2, "{:b}", bench.told);
                let wanted: u32 = bench.matrix.wanted.iter().map(|place| (pair >> place & 1) as u32).sum();
                prop_assert!(wanted < 2);
                prop_assert!((bench.closed & pair).count_ones() < 2, "{:b}", bench.closed);
            }
        }
    }
}
