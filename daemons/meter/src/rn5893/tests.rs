mod bench;

use bench::{Bench, MEASURING, SILENCE, STOPPED, TESTING};
use proptest::prelude::*;
use voltry_units::{Ohms, Volts};

use super::*;
use crate::driver::{Done, Driver};
use crate::request::Failure;

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

fn longest_gap(events: &[Event]) -> Duration {
    let gaps = voltages(events).windows(2).map(|pair| pair[1].1.since(pair[0].1)).collect::<Vec<_>>();
    gaps.into_iter().max().unwrap_or_default()
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
        let oldest = longest_gap(&events) + EXCHANGE;
        assert!(oldest <= Duration::from_millis(280), "{before}: {oldest:?} of 300");
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
    assert_eq!(bench.writes[1], (1, vec![0]), "its own time-out is off");
    assert_eq!(bench.writes[2], (2_000, vec![1, 0, 0, 2, 42, 100, 250, 1, 8, 8, 0]));
    assert_eq!(bench.writes.len(), 4);
}

#[test]
fn a_device_in_its_own_time_out_is_reset_and_then_set() {
    let mut bench = Bench::new();
    bench.holding.extend([(1, 1), (2_005, 500)]);
    bench.state(9, 2);
    let events = bench.until(|event| *event == Event::Active(true));
    assert!(!events.iter().any(|event| matches!(event, Event::Fault { .. })), "{events:?}");
    assert_eq!((bench.holding[&1], bench.holding[&2_005]), (0, 100));
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
    assert!(voltages(&events).iter().all(|(volts, _)| *volts == Volts::new(400)));
    let gap = longest_gap(&events);
    assert!(gap <= Duration::from_millis(120), "{gap:?}");
    bench.input.extend([(2_000, 0xFFFF), (2_002, 0xFFFF)]);
    let events = bench.run(Duration::from_secs(2));
    assert!(insulations(&events).iter().all(|told| *told == (2e6, true)), "more than 2 MΩ");
    assert!(voltages(&events).is_empty(), "out of its range is no voltage");
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
fn a_voltage_is_told_only_while_the_device_says_that_it_measures_without_a_fault() {
    for (fault, state, told) in [
        (0, 1, true),
        (0, 6, true),
        (0, 7, true),
        (0, 3, true), // a test of its own
        (1, 2, false),
        (11, 1, false),
        (12, 3, false),
        (0, 0, false),
        (0, 2, false),
        (0, 5, false),
        (0, 9, false),
    ] {
        let mut bench = Bench::ready();
        bench.run(Duration::from_secs(1));
        bench.state(fault, state);
        // Until it is looked at.
        bench.run(Duration::from_millis(300));
        assert_eq!(!voltages(&bench.run(Duration::from_secs(3))).is_empty(), told, "{fault} {state}");
        bench.state(0, MEASURING);
        bench.run(Duration::from_millis(300));
        assert!(voltages(&bench.run(Duration::from_secs(1))).len() > 10, "{fault} {state}");
    }
}

#[test]
fn a_device_that_comes_back_tells_no_voltage_before_it_was_looked_at() {
    let mut bench = Bench::ready();
    bench.run(Duration::from_secs(1));
    bench.silent = true;
    bench.until(|event| *event == Event::Online(false));
    bench.silent = false;
    bench.obeys = false;
    bench.state(0, 0);
    assert!(voltages(&bench.run(Duration::from_secs(3))).is_empty(), "it initialises");
}

#[test]
fn a_look_that_was_lost_or_refused_says_nothing_of_the_voltage() {
    for refused in [false, true] {
        let mut bench = Bench::ready();
        bench.run(Duration::from_secs(1));
        bench.refuses = refused.then_some(STATE.address);
        let events = if refused {
            bench.run(Duration::from_millis(300));
            bench.run(Duration::from_secs(2))
        } else {
            bench.silent = true;
            bench.until(|event| *event == Event::Online(false))
        };
        assert!(voltages(&events).is_empty(), "refused {refused}");
    }
}

#[test]
fn a_fault_that_stays_is_tested_anew_every_ten_seconds_and_a_test_passed_ends_it() {
    let mut bench = Bench::ready();
    bench.obeys = false;
    bench.state(3, 2);
    let tests = |bench: &Bench| bench.writes.iter().filter(|(_, words)| *words == [START_TEST]).count();
    bench.run(Duration::from_secs(9));
    assert_eq!(tests(&bench), 0);
    bench.run(Duration::from_secs(3));
    assert_eq!(bench.writes, [(0, vec![RESET_FAULTS]), (0, vec![START_TEST])]);
    bench.state(0, TESTING);
    let events = bench.run(Duration::from_secs(5));
    assert!(voltages(&events).is_empty(), "it has not shown yet that it is well");
    assert!(!events.contains(&Event::FaultGone(FAULT_DEVICE)));
    bench.state(3, 2);
    let events = bench.run(Duration::from_secs(9));
    assert_eq!((test_result(&events).map(|(passed, _)| passed), tests(&bench)), (Some(false), 1));
    bench.obeys = true;
    bench.run(Duration::from_secs(3));
    assert_eq!(tests(&bench), 2);
    bench.state(0, MEASURING);
    let events = bench.run(Duration::from_secs(2));
    assert_eq!(test_result(&events), Some((true, String::new())));
    assert!(events.contains(&Event::FaultGone(FAULT_DEVICE)) && voltages(&events).len() > 10);
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
    for (fault, state, detail) in [
        (0, MEASURING, None),
        (0, 6, None),
        (3, 2, Some("internal fault found by the self-test")),
        (3, MEASURING, Some("internal fault found by the self-test")),
        (3, TESTING, Some("internal fault found by the self-test")),
        (0, 2, Some("the device is in its error state")),
        (0, 0, Some("it restarted in its test")),
        (0, STOPPED, Some("it restarted in its test")),
    ] {
        let mut bench = Bench::ready();
        bench.run(Duration::from_secs(1));
        assert_eq!(bench.order(Order::StartSelfTest), []);
        let mut events = bench.run(Duration::from_secs(8));
        assert_eq!(settled(&events), Some(Ok(Done::Confirmed)));
        assert_eq!(bench.writes, [(0, vec![START_TEST])]);
        assert_eq!((test_result(&events), insulations(&events)), (None, vec![]), "it runs");
        let gap = longest_gap(&events);
        assert!(gap > Duration::ZERO && gap <= Duration::from_millis(100), "its voltages go on: {gap:?}");
        assert!(matches!(settled(&bench.order(Order::StartSelfTest)), Some(Err(Denied::Refused(_)))));
        bench.state(fault, state);
        events = bench.run(Duration::from_secs(1));
        let expected = (detail.is_none(), detail.unwrap_or_default().to_owned());
        assert_eq!(test_result(&events), Some(expected), "{fault} {state}");
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

#[test]
fn an_order_whose_answer_was_lost_is_written_again() {
    for order in [Order::StartSelfTest, Order::SetActive(true), Order::SetActive(false)] {
        for lost in 1..3 {
            let mut bench = Bench::ready();
            bench.run(Duration::from_millis(500));
            bench.order(order);
            bench.loses = lost;
            let events = bench.until(|event| matches!(event, Event::Settled(..)));
            assert_eq!(settled(&events), Some(Ok(Done::Confirmed)), "{order:?}, {lost} lost");
            assert!(!events.contains(&Event::Online(false)));
        }
    }
}

#[test]
fn one_lost_answer_to_an_order_leaves_the_voltage_young_enough() {
    const EXCHANGE: Duration = Duration::from_millis(30);
    for (order, before) in [Order::StartSelfTest, Order::SetActive(true)]
        .into_iter()
        .flat_map(|it| (0..30).map(move |n| (it, n)))
    {
        for lost in 0..5 {
            let mut bench = Bench::ready();
            let mut events = bench.run(before * EXCHANGE);
            bench.order(order);
            events.extend(bench.run(lost * EXCHANGE));
            bench.silent = true;
            events.extend(bench.exchange_of(Duration::from_millis(110 + 50)));
            bench.silent = false;
            events.extend(bench.run(Duration::from_secs(1)));
            let oldest = longest_gap(&events) + EXCHANGE;
            assert!(oldest <= Duration::from_millis(290), "{order:?}, {before}, {lost}: {oldest:?} of 300");
        }
    }
}

#[test]
fn a_repeated_start_of_a_test_that_never_began_is_no_test_passed() {
    let mut bench = Bench::ready();
    bench.obeys = false;
    bench.loses = 1;
    bench.order(Order::StartSelfTest);
    bench.exchange();
    bench.refuses = Some(CONTROL);
    let events = bench.until(|event| matches!(event, Event::SelfTestFinished { .. }));
    assert_eq!(test_result(&events), Some((false, "it did not begin within 30 s".to_owned())));
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
