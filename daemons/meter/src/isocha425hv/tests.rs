mod bench;
mod orders;

use bench::{Bench, SILENCE};
use proptest::prelude::*;
use voltry_units::{Ohms, Volts};

use super::*;
use crate::driver::{Done, Driver};
use crate::request::Failure;

fn insulations(events: &[Event]) -> Vec<(f64, bool)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Insulation { resistance, valid, .. } => Some((resistance.as_si(), *valid)),
            _ => None,
        })
        .collect()
}

fn voltages(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Voltage(..))).count()
}

fn has(events: &[Event], code: &str) -> bool {
    events.iter().any(|event| matches!(event, Event::Fault { code: found, .. } if *found == code))
}

fn settled(events: &[Event]) -> Option<Result<Done, Denied>> {
    events.iter().find_map(|event| match event {
        Event::Settled(_, result) => Some(result.clone()),
        _ => None,
    })
}

#[test]
fn settings_are_written_only_where_they_differ() {
    let mut bench = Bench::new(Settings::default());
    bench.registers.extend([(3005, 250), (3007, 90), (3026, 0)]);
    let events = bench.until(|event| *event == Event::Active(true));
    assert_eq!(bench.writes, [(3007, 100), (3026, 1), (3021, 3)]);
    assert_eq!(events[0], Event::Online(true));
    let identified = Event::Identified { model: "isoCHA425HV".into(), firmware: "5.20".into() };
    assert!(events.contains(&identified), "{events:?}");

    let mut again = Bench::new(Settings::default());
    again.registers.extend(bench.registers);
    again.until(|event| *event == Event::Active(true));
    assert_eq!(again.writes, []);
}

#[test]
fn a_setting_that_the_device_refuses_is_a_fault_and_the_rest_goes_on() {
    let mut bench = Bench::new(Settings::default());
    bench.refuses = vec![3024];
    let events = bench.until(|event| *event == Event::Active(true));
    assert!(has(&events, FAULT_SETTING));
    assert!(bench.writes.contains(&(3026, 1)));
}

#[test]
fn a_device_that_does_not_tell_its_firmware_gets_no_fast_mode() {
    let mut bench = Bench::new(Settings::default());
    bench.refuses = vec![9800, 9820];
    bench.until(|event| *event == Event::Active(true));
    assert!(bench.writes.iter().all(|(register, _)| *register != 3021));
}

#[test]
fn the_insulation_is_told_only_when_the_counter_moved() {
    let mut bench = Bench::ready();
    assert_eq!(insulations(&bench.run(Duration::from_secs(5))), [], "nobody knows how old the first one is");
    bench.count();
    let counted = bench.now;
    let events = bench.run(Duration::from_secs(5));
    let told: Vec<_> = events.iter().filter(|event| matches!(event, Event::Insulation { .. })).collect();
    let [Event::Insulation { resistance, valid: true, counter: 9, at }] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(*resistance, Ohms::new(250_000));
    assert!(*at >= counted && at.since(counted) < Duration::from_millis(1100), "{at:?} {counted:?}");
}

#[test]
fn a_counter_that_stands_still_is_a_fault_until_it_moves() {
    let mut bench = Bench::ready();
    let events = bench.run(Duration::from_secs(15));
    assert!(has(&events, FAULT_STUCK));
    assert!(voltages(&events) > 100, "the rest goes on");
    bench.count();
    assert!(bench.run(Duration::from_secs(2)).contains(&Event::FaultGone(FAULT_STUCK)));
}

#[test]
fn a_device_without_a_counter_is_believed_every_second() {
    let settings = Settings { update_counter: false, ..Settings::default() };
    let mut bench = Bench::new(settings);
    bench.until(|event| *event == Event::Active(true));
    bench.asked.clear();
    let told = insulations(&bench.run(Duration::from_secs(5)));
    assert!((4..=6).contains(&told.len()), "{told:?}");
    assert!(!bench.asked.contains(&Request::Read(COUNTER)));
}

#[test]
fn a_device_that_measures_faster_may_be_looked_at_more_often() {
    let mut bench = Bench::looking_every(Duration::from_millis(200), Settings::default());
    bench.until(|event| *event == Event::Active(true));
    let mut events = bench.run(Duration::from_millis(400));
    for _ in 0..20 {
        bench.count();
        events.extend(bench.run(Duration::from_millis(400)));
    }
    assert_eq!(insulations(&events).len(), 20);
}

#[test]
fn the_least_resistance_that_the_answer_allows_is_told() {
    for (flags, expected) in [
        (0x0002, (250_000.0, true)),
        (0x0042, (0.0, true)),        // smaller than 250 kΩ: it may be none
        (0x0082, (250_000.0, true)),  // larger
        (0x00C2, (0.0, false)),       // invalid
        (0x0202, (250_000.0, false)), // device error
        (0x4002, (250_000.0, false)), // a test of its own
        (0x0502, (250_000.0, true)),  // an alarm is a measurement like any other
    ] {
        let mut bench = Bench::ready();
        bench.run(Duration::from_secs(2));
        bench.channel(1000, 250_000.0, flags);
        bench.count();
        let events = bench.run(Duration::from_secs(2));
        assert_eq!(insulations(&events), [expected], "flags {flags:#06x}");
        assert_eq!(has(&events, FAULT_DEVICE), flags == 0x0202);
    }
}

#[test]
fn a_resistance_that_is_none_is_not_told() {
    for (value, flags) in [(f32::NAN, 0x0002), (-5.0, 0x0002), (250_000.0, 0x0004)] {
        let mut bench = Bench::ready();
        bench.run(Duration::from_secs(2));
        bench.channel(1000, value, flags);
        bench.count();
        let events = bench.run(Duration::from_secs(2));
        assert_eq!(insulations(&events), [], "{value} {flags:#06x}");
        assert!(events.iter().any(|event| matches!(event, Event::BadInput(_))));
    }
    let mut bench = Bench::ready();
    bench.run(Duration::from_secs(2));
    bench.channel(1000, f32::INFINITY, 0x0082);
    bench.count();
    let told = insulations(&bench.run(Duration::from_secs(2)));
    assert_eq!(told, [(Ohms::MAX.as_si(), true)], "more than any figure");
}

/// When the voltages told were asked for.
fn voltage_times(events: &[Event]) -> Vec<Timestamp> {
    let times = events.iter().filter_map(|event| match event {
        Event::Voltage(volts, at) if *volts == Volts::new(400) => Some(*at),
        _ => None,
    });
    times.collect()
}

fn longest_gap(times: &[Timestamp]) -> Duration {
    times.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default()
}

#[test]
fn a_voltage_waits_for_one_other_reading_at_most() {
    let mut bench = Bench::ready();
    let times = voltage_times(&bench.run(Duration::from_secs(60)));
    assert!(
        (1080..=1200).contains(&times.len()),
        "{}: every 50 ms, less what counter and value take",
        times.len()
    );
    assert_eq!(longest_gap(&times), 2 * bench.exchange);
}

#[test]
fn on_a_line_that_is_too_slow_voltages_and_insulation_take_turns() {
    let mut bench = Bench::ready();
    bench.exchange = Duration::from_millis(150);
    bench.run(Duration::from_secs(2));
    let mut events = Vec::new();
    for _ in 0..20 {
        bench.count();
        events.extend(bench.run(Duration::from_secs(2)));
    }
    assert_eq!(insulations(&events).len(), 20);
    assert_eq!(longest_gap(&voltage_times(&events)), 2 * bench.exchange);
}

#[test]
fn one_lost_answer_leaves_the_voltage_young_enough_whichever_it_was() {
    // The least that it is waited for, longer than twice the 28 ms of an answer at 9600 bit/s and 30 more; then 50 ms of
    // silence on the line.
    let cost = Duration::from_millis(110 + 50);
    for before in 0..40 {
        let mut bench = Bench::ready();
        let mut events = bench.run(before * bench.exchange);
        events.extend(bench.lose(cost));
        events.extend(bench.run(Duration::from_secs(1)));
        let oldest = longest_gap(&voltage_times(&events)) + bench.exchange;
        assert!(oldest <= Duration::from_millis(290), "{before}: {oldest:?} of 300");
    }
}

#[test]
fn a_voltage_that_may_be_more_than_told_is_not_told() {
    for (flags, told) in
        [(0x0004, true), (0x0044, true), (0x0084, false), (0x00C4, false), (0x0204, false), (0x0002, false)]
    {
        let mut bench = Bench::ready();
        bench.channel(1008, 400.0, flags);
        assert_eq!(voltages(&bench.run(Duration::from_secs(1))) > 0, told, "flags {flags:#06x}");
    }
}

#[test]
fn a_device_that_says_that_it_failed_tells_no_voltage_until_it_is_well() {
    let mut bench = Bench::ready();
    bench.run(Duration::from_secs(1));
    for failed in [true, false, true] {
        bench.channel(1000, 250_000.0, if failed { 0x0202 } else { 0x0002 });
        // Until it is looked at.
        bench.run(Duration::from_millis(1200));
        assert_eq!(voltages(&bench.run(Duration::from_secs(3))) == 0, failed);
    }
    bench.until(|event| *event == Event::FaultGone(FAULT_STUCK));
    bench.order(Order::StartSelfTest);
    bench.channel(1000, 250_000.0, 0x8202);
    assert_eq!(voltages(&bench.run(Duration::from_secs(3))), 0, "a test has found nothing yet");
}

#[test]
fn voltages_to_earth_are_never_read() {
    let mut bench = Bench::ready();
    bench.order(Order::StartSelfTest);
    bench.channel(1000, 250_000.0, 0x8002);
    bench.run(Duration::from_secs(20));
    let reads_earth = |request: &Request| match request {
        Request::Read(block) => block.address < 1024 && block.address + block.count > 1016,
        Request::Write { .. } => false,
    };
    assert!(!bench.asked.iter().any(reads_earth));
}

#[test]
fn a_paused_device_tells_nothing_until_it_measures_again() {
    let mut bench = Bench::ready();
    bench.run(Duration::from_secs(2));
    bench.order(Order::SetActive(false));
    let events = bench.until(|event| *event == Event::Active(false));
    assert_eq!(settled(&events), Some(Ok(Done::Confirmed)));
    assert_eq!(bench.writes, [(3026, 0)]);
    bench.count();
    let events = bench.run(Duration::from_secs(5));
    assert_eq!((voltages(&events), insulations(&events)), (0, vec![]));
    assert!(matches!(settled(&bench.order(Order::StartSelfTest)), Some(Err(Denied::Refused(_)))));
    bench.order(Order::SetActive(true));
    bench.until(|event| *event == Event::Active(true));
    assert_eq!(bench.writes, [(3026, 0), (3026, 1)]);
    bench.run(Duration::from_secs(2));
    bench.count();
    let events = bench.run(Duration::from_secs(2));
    assert!(voltages(&events) > 10);
    assert_eq!(insulations(&events).len(), 1);
}

#[test]
fn requests_of_the_rhythm_differ_in_length() {
    let mut lengths = [NAME, VERSIONS, COUNTER, VOLTAGE, INSULATION].map(|block| block.count);
    lengths.sort_unstable();
    assert!(lengths.windows(2).all(|pair| pair[0] != pair[1]));
}

#[derive(Debug, Clone)]
enum Input {
    Reply(Vec<u16>),
    Refused,
    Silence,
    Order(Order),
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => proptest::collection::vec(prop_oneof![any::<u16>(), Just(0), Just(1), Just(0x8002), Just(2)], 12)
            .prop_map(Input::Reply),
        1 => Just(Input::Refused),
        2 => Just(Input::Silence),
        2 => prop_oneof![
            Just(Order::StartSelfTest),
            Just(Order::SetActive(true)),
            Just(Order::SetActive(false)),
            Just(Order::ReadRegister)
        ]
        .prop_map(Input::Order),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_the_device_answers_every_order_is_settled_once(
        inputs in proptest::collection::vec(input(), 1..150)
    ) {
        let mut bench = Bench::ready();
        let mut orders = 0_u64;
        let mut settled = Vec::new();
        let note = |events: Vec<Event>, settled: &mut Vec<u64>| {
            settled.extend(events.iter().filter_map(|event| match event {
                Event::Settled(ticket, _) => Some(ticket.0),
                _ => None,
            }));
        };
        for input in inputs {
            if let Input::Order(order) = input {
                note(bench.driver.order(bench.now, Ticket(orders), order), &mut settled);
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
            note(bench.driver.reply(sent, bench.now, outcome), &mut settled);
        }
        // Silence settles what is still open.
        for _ in 0..8 {
            bench.now = bench.now.max(bench.driver.due());
            let _ = bench.driver.request(bench.now);
            note(bench.driver.reply(bench.now, bench.now, Err(SILENCE)), &mut settled);
        }
        settled.sort_unstable();
        prop_assert_eq!(settled, (0..orders).collect::<Vec<_>>());
    }
}
