use std::collections::BTreeMap;

use proptest::prelude::*;
use voltry_units::{Ohms, Volts};

use super::*;
use crate::driver::{Done, Driver};
use crate::request::Failure;

const PATIENCE: Patience = Patience { misses: 3, back_off: Duration::from_secs(5) };
const SILENCE: Failure = Failure::Timeout(Duration::from_millis(300));
const MEASURING: u16 = 1;
const TESTING: u16 = 3;
const STOPPED: u16 = 5;
/// Registers 2000 to 2010 as the defaults want them, 2004 as the device had it.
const AS_WANTED: [u16; 11] = [1, 0, 0, 2, 77, 100, 250, 1, 8, 8, 0];

/// An RN5893 by its registers, and the driver, in virtual time.
struct Bench {
    driver: Driver,
    input: BTreeMap<u16, u16>,
    holding: BTreeMap<u16, u16>,
    /// What the device does as soon as its control word is written.
    obeys: bool,
    refuses: Option<u16>,
    silent: bool,
    writes: Vec<(u16, Vec<u16>)>,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        let driver = Rn5893::new(Settings::default(), Duration::from_secs(1), PATIENCE);
        let mut bench = Self {
            driver: Driver::Rn5893(driver),
            input: BTreeMap::from([(0, 0), (1, MEASURING), (2_000, 4_321), (2_001, 0), (2_002, 400)]),
            holding: BTreeMap::from([(0, 0), (1, 0), (2, 3_000)]),
            obeys: true,
            refuses: None,
            silent: false,
            writes: Vec::new(),
            now: Timestamp::from_micros(1_000_000),
        };
        bench.holding.extend((2_000..).zip(AS_WANTED));
        bench
    }

    fn ready() -> Self {
        let mut bench = Self::new();
        bench.until(|event| *event == Event::Active(true));
        bench.writes.clear();
        bench
    }

    fn state(&mut self, fault: u16, state: u16) {
        self.input.extend([(0, fault), (1, state)]);
    }

    fn exchange(&mut self) -> Vec<Event> {
        self.exchange_of(if self.silent { Duration::from_millis(300) } else { Duration::from_millis(30) })
    }

    fn exchange_of(&mut self, time: Duration) -> Vec<Event> {
        self.now = self.now.max(self.driver.due());
        let sent = self.now;
        let request = self.driver.request(self.now);
        self.now = self.now + time;
        let outcome = if self.silent { Err(SILENCE) } else { self.answer(&request) };
        self.driver.reply(sent, self.now, outcome)
    }

    fn answer(&mut self, request: &Request) -> Result<Vec<u16>, Failure> {
        let address = match request {
            Request::Read(block) => block.address,
            Request::Write { address, .. } => *address,
        };
        if self.refuses == Some(address) {
            return Err(Failure::Refused(2));
        }
        match request {
            Request::Read(block) => {
                let table = match block.function {
                    Function::InputRegisters => &self.input,
                    Function::HoldingRegisters => &self.holding,
                };
                Ok((block.address..block.address + block.count).map(|register| table[&register]).collect())
            }
            Request::Write { address, words } => {
                self.holding.extend((*address..).zip(words.iter().copied()));
                self.writes.push((*address, words.clone()));
                if *address == CONTROL && self.obeys {
                    self.obey(words[0]);
                }
                Ok(Vec::new())
            }
        }
    }

    fn obey(&mut self, control: u16) {
        match control {
            RESET_FAULTS => self.state(0, MEASURING),
            START_TEST => self.input.extend([(1, TESTING)]),
            MEASUREMENT_OFF => self.input.extend([(1, STOPPED)]),
            _ => self.input.extend([(1, MEASURING)]),
        }
    }

    #[track_caller]
    fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in 0..2_000 {
            let found = self.exchange();
            let done = found.iter().any(&wanted);
            events.extend(found);
            if done {
                return events;
            }
        }
        panic!("not within 2000 exchanges; last were {:?}", &events[events.len().saturating_sub(5)..]);
    }

    fn run(&mut self, time: Duration) -> Vec<Event> {
        let end = self.now + time;
        let mut events = Vec::new();
        while self.now < end {
            events.extend(self.exchange());
        }
        events
    }

    fn order(&mut self, order: Order) -> Vec<Event> {
        self.driver.order(self.now, Ticket(1), order)
    }
}

fn insulations(events: &[Event]) -> Vec<(f64, bool)> {
    let told = events.iter().filter_map(|event| match event {
        Event::Insulation { resistance, valid, .. } => Some((resistance.as_si(), *valid)),
        _ => None,
    });
    told.collect()
}

fn voltages(events: &[Event]) -> Vec<(Volts, Timestamp)> {
    let told = events.iter().filter_map(|event| match event {
        Event::Voltage(volts, at) => Some((*volts, *at)),
        _ => None,
    });
    told.collect()
}

fn settled(events: &[Event]) -> Option<Result<Done, Denied>> {
    events.iter().find_map(|event| match event {
        Event::Settled(_, result) => Some(result.clone()),
        _ => None,
    })
}

fn test_result(events: &[Event]) -> Option<(bool, String)> {
    events.iter().find_map(|event| match event {
        Event::SelfTestFinished { passed, detail, .. } => Some((*passed, detail.clone())),
        _ => None,
    })
}

#[test]
fn one_lost_answer_leaves_the_voltage_young_enough_whichever_it_was() {
    const EXCHANGE: Duration = Duration::from_millis(30);
    // The least that it is waited for; then 50 ms of silence on the line.
    let cost = Duration::from_millis(110 + 50);
    for before in 0..60 {
        let mut bench = Bench::ready();
        let mut events = bench.run(before * EXCHANGE);
        bench.silent = true;
        events.extend(bench.exchange_of(cost));
        bench.silent = false;
        events.extend(bench.run(Duration::from_secs(1)));
        let oldest = voltages(&events).windows(2).map(|pair| pair[1].1.since(pair[0].1) + EXCHANGE).max();
        assert!(oldest <= Some(Duration::from_millis(280)), "{before}: {oldest:?} of 300");
    }
}

#[test]
fn a_device_that_is_set_right_is_only_reset_and_let_measure() {
    let mut bench = Bench::new();
    let events = bench.until(|event| *event == Event::Active(true));
    assert_eq!(events[0], Event::Online(true));
    assert_eq!(bench.writes, [(0, vec![RESET_FAULTS]), (0, vec![0])]);
}

#[test]
fn other_settings_are_written_at_once_and_what_nobody_knows_stays() {
    let mut bench = Bench::new();
    bench.holding.extend([(1, 1), (2_004, 42), (2_005, 500)]);
    bench.until(|event| *event == Event::Active(true));
    assert_eq!(bench.writes[0], (1, vec![0]), "its own time-out is off");
    assert_eq!(bench.writes[1], (2_000, vec![1, 0, 0, 2, 42, 100, 250, 1, 8, 8, 0]));
    assert_eq!(bench.writes.len(), 4);
}

#[test]
fn settings_that_the_device_does_not_take_are_a_fault_and_it_measures_on() {
    let mut bench = Bench::new();
    bench.holding.insert(2_005, 500);
    bench.refuses = Some(2_000);
    let events = bench.until(|event| *event == Event::Active(true));
    assert!(events.iter().any(|event| matches!(event, Event::Fault { code: FAULT_SETTING, .. })));
}

#[test]
fn resistance_is_told_each_second_and_voltage_ten_times_as_often() {
    let mut bench = Bench::ready();
    let events = bench.run(Duration::from_secs(10));
    let told = insulations(&events);
    assert!((9..=11).contains(&told.len()), "{}", told.len());
    assert!(told.iter().all(|told| *told == (432_100.0, true)), "hundreds of ohms: {told:?}");
    let voltages = voltages(&events);
    assert!(voltages.iter().all(|(volts, _)| *volts == Volts::new(400)));
    let gap = voltages.windows(2).map(|pair| pair[1].1.since(pair[0].1)).max().unwrap();
    assert!(gap <= Duration::from_millis(120), "{gap:?}");
    bench.input.extend([(2_000, 0xFFFF), (2_002, 0xFFFF)]);
    let events = bench.run(Duration::from_secs(2));
    assert!(insulations(&events).iter().all(|told| *told == (2e6, true)), "more than 2 MΩ");
    assert!(super::tests::voltages(&events).is_empty(), "out of its range is no voltage");
}

#[test]
fn a_value_counts_only_with_a_state_that_measures() {
    for (state, told) in [(0, 0), (1, 1), (3, 0), (4, 0), (5, 0), (6, 1), (7, 1), (9, 0)] {
        let mut bench = Bench::ready();
        bench.state(0, state);
        let events = bench.run(Duration::from_millis(900));
        assert_eq!(insulations(&events).len(), told, "state {state}");
    }
}

#[test]
fn a_fault_of_the_device_makes_its_values_worthless_until_it_is_gone() {
    let mut bench = Bench::ready();
    bench.state(1, 2);
    let events = bench.run(Duration::from_secs(3));
    assert!(insulations(&events).iter().all(|(_, valid)| !valid) && !insulations(&events).is_empty());
    let cause = events.iter().find_map(|event| match event {
        Event::Fault { code: FAULT_DEVICE, cause } => Some(cause.clone()),
        _ => None,
    });
    assert_eq!(cause.as_deref(), Some("broken wire to L+ or L-"));
    bench.state(0, MEASURING);
    assert!(bench.run(Duration::from_secs(2)).contains(&Event::FaultGone(FAULT_DEVICE)));
}

#[test]
fn a_device_that_nobody_asked_for_too_long_is_set_up_anew() {
    let mut bench = Bench::ready();
    bench.state(9, 2);
    bench.until(|event| *event == Event::Active(true));
    assert_eq!(bench.writes, [(0, vec![RESET_FAULTS]), (0, vec![0])]);
    assert!(!insulations(&bench.run(Duration::from_secs(2))).is_empty());
}

#[test]
fn a_self_test_is_over_when_the_state_says_so() {
    for (fault, state, passes) in [(0, MEASURING, true), (0, 6, true), (3, 2, false), (0, 2, false)] {
        let mut bench = Bench::ready();
        assert_eq!(bench.order(Order::StartSelfTest), []);
        assert_eq!(settled(&bench.exchange()), Some(Ok(Done::Confirmed)));
        assert_eq!(bench.writes, [(0, vec![START_TEST])]);
        let events = bench.run(Duration::from_secs(8));
        assert_eq!((test_result(&events), insulations(&events)), (None, vec![]), "it runs");
        assert!(matches!(settled(&bench.order(Order::StartSelfTest)), Some(Err(Denied::Refused(_)))));
        bench.state(fault, state);
        let events = bench.run(Duration::from_secs(1));
        assert_eq!(test_result(&events).map(|(passed, _)| passed), Some(passes), "{fault} {state}");
        assert_eq!(bench.writes[1], (0, vec![0]), "the control word is put back");
    }
}

#[test]
fn a_self_test_that_does_not_begin_or_end_has_failed_after_30_s() {
    for (obeys, word) in [(true, "end"), (false, "begin")] {
        let mut bench = Bench::ready();
        bench.obeys = obeys;
        bench.order(Order::StartSelfTest);
        bench.exchange();
        let begun = bench.now;
        let events = bench.until(|event| matches!(event, Event::SelfTestFinished { .. }));
        let (passed, detail) = test_result(&events).unwrap();
        assert!(!passed && detail.contains(word), "{detail}");
        assert!((30.0..30.5).contains(&bench.now.since(begun).as_secs_f64()));
    }
}

#[test]
fn a_remembered_fault_is_reset_before_a_self_test() {
    let mut bench = Bench::ready();
    bench.state(1, 2);
    bench.run(Duration::from_secs(2));
    bench.order(Order::StartSelfTest);
    let events = bench.until(|event| matches!(event, Event::Settled(..)));
    assert_eq!(settled(&events), Some(Ok(Done::Confirmed)));
    assert_eq!(bench.writes, [(0, vec![RESET_FAULTS]), (0, vec![START_TEST])]);
}

#[test]
fn measuring_stops_and_starts_when_the_state_says_so() {
    let mut bench = Bench::ready();
    bench.order(Order::SetActive(false));
    let events = bench.until(|event| *event == Event::Active(false));
    assert_eq!(settled(&events), Some(Ok(Done::Confirmed)));
    assert_eq!(bench.writes, [(0, vec![MEASUREMENT_OFF])]);
    let events = bench.run(Duration::from_secs(5));
    assert_eq!((insulations(&events), voltages(&events)), (vec![], vec![]));
    assert!(matches!(settled(&bench.order(Order::StartSelfTest)), Some(Err(Denied::Refused(_)))));
    bench.order(Order::SetActive(true));
    bench.until(|event| *event == Event::Active(true));
    assert!(!insulations(&bench.run(Duration::from_secs(2))).is_empty());
}

#[test]
fn a_device_that_does_not_switch_over_is_not_said_to_have() {
    let mut bench = Bench::ready();
    bench.obeys = false;
    bench.order(Order::SetActive(false));
    let events = bench.until(|event| matches!(event, Event::Settled(..)));
    assert!(matches!(settled(&events), Some(Err(Denied::Refused(_)))), "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, Event::Active(_))));
    assert!(!insulations(&bench.run(Duration::from_secs(2))).is_empty(), "it measures on");
}

#[test]
fn a_device_lost_in_a_self_test_has_failed_it_and_is_set_up_anew_when_it_is_back() {
    let mut bench = Bench::ready();
    bench.order(Order::StartSelfTest);
    bench.exchange();
    bench.silent = true;
    let events = bench.until(|event| *event == Event::Online(false));
    assert_eq!(test_result(&events).map(|(passed, _)| passed), Some(false));
    assert!(matches!(settled(&bench.order(Order::StartSelfTest)), Some(Err(Denied::Unavailable(_)))));
    bench.silent = false;
    bench.writes.clear();
    bench.until(|event| *event == Event::Active(true));
    assert_eq!(bench.writes, [(0, vec![RESET_FAULTS]), (0, vec![0])]);
}

#[derive(Debug, Clone)]
enum Input {
    Reply(Vec<u16>),
    Refused,
    Silence,
    Order(Order),
}

fn input() -> impl Strategy<Value = Input> {
    let orders = [Order::StartSelfTest, Order::SetActive(true), Order::SetActive(false), Order::ReadRegister];
    let word = prop_oneof![any::<u16>(), 0..10_u16];
    prop_oneof![
        6 => proptest::collection::vec(word, 11).prop_map(Input::Reply),
        1 => Just(Input::Refused),
        2 => Just(Input::Silence),
        2 => proptest::sample::select(orders.to_vec()).prop_map(Input::Order),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_the_device_answers_every_order_is_settled_once_and_no_value_is_beyond_its_scale(
        inputs in proptest::collection::vec(input(), 1..150)
    ) {
        let mut bench = Bench::ready();
        let mut orders = 0_u64;
        let mut events = Vec::new();
        for input in inputs {
            if let Input::Order(order) = input {
                events.extend(bench.driver.order(bench.now, Ticket(orders), order));
                orders += 1;
                continue;
            }
            bench.now = bench.now.max(bench.driver.due());
            let request = bench.driver.request(bench.now);
            let outcome = match (&input, &request) {
                (Input::Reply(words), Request::Read(block)) => Ok(words[..usize::from(block.count)].to_vec()),
                (Input::Reply(_), Request::Write { .. }) => Ok(Vec::new()),
                (Input::Refused, _) => Err(Failure::Refused(4)),
                (Input::Silence | Input::Order(_), _) => Err(SILENCE),
            };
            let sent = bench.now;
            bench.now = bench.now + Duration::from_millis(20);
            events.extend(bench.driver.reply(sent, bench.now, outcome));
        }
        // Silence settles what is still open.
        for _ in 0..8 {
            bench.now = bench.now.max(bench.driver.due());
            let _ = bench.driver.request(bench.now);
            events.extend(bench.driver.reply(bench.now, bench.now, Err(SILENCE)));
        }
        let mut settled: Vec<_> = events.iter().filter_map(|event| match event {
            Event::Settled(ticket, _) => Some(ticket.0),
            _ => None,
        }).collect();
        settled.sort_unstable();
        prop_assert_eq!(settled, (0..orders).collect::<Vec<_>>());
        let most = Ohms::new(6_553_500).as_si();
        prop_assert!(insulations(&events).iter().all(|(ohms, _)| *ohms <= most));
    }
}
