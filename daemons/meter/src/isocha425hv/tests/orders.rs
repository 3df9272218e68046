//! Self-tests, and what else is ordered.

use super::*;

fn test_results(events: &[Event]) -> Vec<bool> {
    let results = events.iter().filter_map(|event| match event {
        Event::SelfTestFinished { passed, .. } => Some(*passed),
        _ => None,
    });
    results.collect()
}

#[test]
fn a_device_error_that_stays_is_tested_anew_every_ten_seconds_and_a_test_passed_ends_it() {
    let mut bench = Bench::ready();
    bench.channel(1000, 250_000.0, 0x0202);
    bench.run(Duration::from_secs(10));
    assert_eq!(bench.writes, []);
    bench.run(Duration::from_secs(3));
    assert_eq!(bench.writes, [(8005, 0x5445)]);
    bench.channel(1000, 250_000.0, 0x8002);
    bench.run(Duration::from_secs(3));
    bench.channel(1000, 250_000.0, 0x0202);
    let events = bench.run(Duration::from_secs(9));
    assert_eq!(test_results(&events), [false]);
    assert_eq!((bench.writes.len(), voltages(&events)), (1, 0));
    bench.run(Duration::from_secs(3));
    assert_eq!(bench.writes.len(), 2);
    bench.channel(1000, 250_000.0, 0x8002);
    bench.run(Duration::from_secs(1));
    bench.channel(1000, 250_000.0, 0x0002);
    let events = bench.run(Duration::from_secs(2));
    assert_eq!(test_results(&events), [true]);
    assert!(events.contains(&Event::FaultGone(FAULT_DEVICE)) && voltages(&events) > 10);
}

#[test]
fn an_order_whose_answer_was_lost_is_written_again() {
    for order in [Order::StartSelfTest, Order::SetActive(true), Order::SetActive(false)] {
        for lost in 1..3 {
            for before in 0..4 {
                let mut bench = Bench::ready();
                bench.begins = true;
                bench.order(order);
                let mut events = bench.run(before * bench.exchange);
                bench.loses = lost;
                events.extend(bench.run(Duration::from_secs(2)));
                assert_eq!(settled(&events), Some(Ok(Done::Confirmed)), "{order:?}, {lost} lost");
                assert!(!events.contains(&Event::Online(false)));
            }
        }
    }
}

#[test]
fn one_lost_answer_to_an_order_leaves_the_voltage_young_enough() {
    let cost = Duration::from_millis(110 + 50);
    for order in [Order::StartSelfTest, Order::SetActive(true)] {
        for (before, lost) in (0..40).flat_map(|before| (0..4).map(move |lost| (before, lost))) {
            let mut bench = Bench::ready();
            let mut events = bench.run(before * bench.exchange);
            bench.order(order);
            events.extend(bench.run(lost * bench.exchange));
            events.extend(bench.lose(cost));
            events.extend(bench.run(Duration::from_secs(1)));
            let oldest = longest_gap(&voltage_times(&events)) + bench.exchange;
            assert!(oldest <= Duration::from_millis(290), "{order:?}, {before}, {lost}: {oldest:?} of 300");
        }
    }
}

#[test]
fn a_repeated_start_of_a_test_that_never_began_is_no_test_passed() {
    let mut bench = Bench::ready();
    bench.order(Order::StartSelfTest);
    bench.exchange();
    bench.loses = 1;
    bench.exchange();
    assert_eq!(bench.writes, [(8005, 0x5445)]);
    bench.refuses = vec![8005];
    let events = bench.until(|event| matches!(event, Event::SelfTestFinished { .. }));
    assert_eq!(settled(&events), Some(Ok(Done::Confirmed)));
    assert_eq!(test_results(&events), [false]);
}

#[test]
fn a_self_test_is_over_when_the_device_says_so() {
    for (after, passes) in [
        (0x0002, true),
        (0x0042, true),
        (0x0082, true),
        (0x0502, true),
        (0x0202, false),
        (0x00C2, false), // no value: it restarted
    ] {
        let mut bench = Bench::ready();
        assert_eq!(bench.order(Order::StartSelfTest), []);
        let events = bench.until(|event| matches!(event, Event::Settled(..)));
        assert_eq!(settled(&events), Some(Ok(Done::Confirmed)));
        assert_eq!(bench.writes, [(8005, 0x5445)]);
        bench.channel(1000, 250_000.0, 0x8002);
        let events = bench.run(Duration::from_secs(8));
        assert!(!events.iter().any(|event| matches!(event, Event::SelfTestFinished { .. })));
        bench.channel(1000, 250_000.0, after);
        let events = bench.run(Duration::from_secs(1));
        assert_eq!(test_results(&events), [passes], "{after:#06x}");
    }
}

#[test]
fn nothing_measured_before_the_end_of_a_self_test_is_told_after_it() {
    let mut bench = Bench::ready();
    bench.run(Duration::from_secs(2));
    bench.order(Order::StartSelfTest);
    bench.channel(1000, 250_000.0, 0x8002);
    let mut events = bench.run(Duration::from_secs(2));
    bench.count();
    bench.channel(1000, 250_000.0, 0x0002);
    events.extend(bench.run(Duration::from_secs(5)));
    assert_eq!(insulations(&events), [], "the counter moved during the test");
    bench.count();
    assert_eq!(insulations(&bench.run(Duration::from_secs(2))).len(), 1);
}

#[test]
fn a_self_test_that_does_not_end_has_failed_after_30_s() {
    for (flags, word) in [(0x8002, "end"), (0x0002, "begin")] {
        let mut bench = Bench::ready();
        bench.order(Order::StartSelfTest);
        bench.until(|event| matches!(event, Event::Settled(..)));
        let begun = bench.now;
        bench.channel(1000, 250_000.0, flags);
        let events = bench.until(|event| matches!(event, Event::SelfTestFinished { .. }));
        let Some(Event::SelfTestFinished { passed: false, detail, at }) = events.last() else {
            panic!("{events:?}")
        };
        assert!(detail.contains(word), "{detail}");
        assert!((30.0..30.5).contains(&at.since(begun).as_secs_f64()), "{at:?}");
    }
}

#[test]
fn a_device_lost_in_a_self_test_has_failed_it_and_is_set_up_anew_when_it_is_back() {
    let mut bench = Bench::ready();
    bench.order(Order::StartSelfTest);
    bench.until(|event| matches!(event, Event::Settled(..)));
    bench.silent = true;
    let events = bench.until(|event| *event == Event::Online(false));
    assert!(events.iter().any(|event| matches!(event, Event::SelfTestFinished { passed: false, .. })));
    assert_eq!((voltages(&events), insulations(&events)), (0, vec![]));
    assert!(matches!(settled(&bench.order(Order::StartSelfTest)), Some(Err(Denied::Unavailable(_)))));
    bench.silent = false;
    bench.registers.insert(3026, 0);
    bench.writes.clear();
    bench.until(|event| *event == Event::Active(true));
    assert_eq!(bench.writes, [(3026, 1)], "it came back switched off");
}

#[test]
fn a_device_that_does_not_switch_over_is_not_said_to_have() {
    let mut bench = Bench::ready();
    bench.order(Order::SetActive(false));
    while bench.writes.is_empty() {
        bench.exchange();
    }
    bench.registers.insert(3026, 1);
    let events = bench.until(|event| matches!(event, Event::Settled(..)));
    assert!(matches!(settled(&events), Some(Err(Denied::Refused(_)))), "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, Event::Active(_))));
}

#[test]
fn orders_that_cannot_be_carried_out_now_are_refused_at_once() {
    let mut starting = Bench::new(Settings::default());
    assert!(matches!(settled(&starting.order(Order::StartSelfTest)), Some(Err(Denied::Unavailable(_)))));
    let mut bench = Bench::ready();
    assert!(matches!(settled(&bench.order(Order::ReadRegister)), Some(Err(Denied::Refused(_)))));
    assert_eq!(settled(&bench.order(Order::StartSelfTest)), None);
    assert_eq!(settled(&bench.order(Order::SetActive(false))), Some(Err(Denied::Busy)));
    bench.until(|event| matches!(event, Event::Settled(..)));
    assert!(matches!(settled(&bench.order(Order::StartSelfTest)), Some(Err(Denied::Refused(_)))));
}
