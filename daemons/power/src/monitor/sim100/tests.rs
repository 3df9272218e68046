use proptest::prelude::*;

use super::super::Driver;
use super::super::bench::{Bench, MS, fault, frame, insulations, settled, test_result};
use super::*;

/// Nothing new, hardware error, uncertain, over-voltage.
const NE: u8 = 0x40;
const HE: u8 = 0x80;
const HU: u8 = 0x20;
const HV: u8 = 0x08;

/// The monitor by the public drivers' tables.
struct Device {
    status: u8,
    flags: u8,
    kohm: [u16; 2],
    percent: [u8; 2],
    /// Answers that it is away for, after a restart.
    away: u32,
    restarts: u32,
    knows_excitation_off: bool,
}

fn answer(device: &mut Device, asked: &CanFrame) -> Vec<CanFrame> {
    let data = asked.data();
    assert_eq!(format!("{:?}", asked.id()), "0A100101");
    if device.away > 0 {
        device.away -= 1;
        return Vec::new();
    }
    let said = |text: String| vec![frame(&format!("0A100100#{:02X}{text}", data[0]))];
    match data[0] {
        // "SIM1", "00", version "1.2".
        0x01 => said("53494D31".into()),
        0x02 => said("30300000".into()),
        0x03 | 0x04 | 0x06 | 0x07 => said("00000000".into()),
        0x05 => said("312E3200".into()),
        0xF0 => said(format!("{:02X}{:02X}", data[1], data[2])),
        0xE1 => {
            let ([plus, minus], [p, n]) = (device.kohm, device.percent);
            said(format!("{:02X}{plus:04X}{p:02X}{minus:04X}{n:02X}", device.status))
        }
        0xE5 => said(format!("{:02X}{:02X}", device.status, device.flags)),
        0x62 if device.knows_excitation_off => said(String::new()),
        0xC1 => {
            assert_eq!(data, [0xC1, 0x01, 0x23, 0x45, 0x67]);
            (device.restarts, device.away) = (device.restarts + 1, 2);
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn starting() -> Bench<Device> {
    let device = Device {
        status: 0,
        flags: 0,
        kohm: [1_000, 1_000],
        percent: [0, 0],
        away: 0,
        restarts: 0,
        knows_excitation_off: true,
    };
    Bench::new(Driver::Sim100(Box::new(Sim100::new(Settings { voltage_max: 920 }))), device, answer)
}

fn ready() -> Bench<Device> {
    let mut bench = starting();
    bench.until(|event| *event == Event::Active(true));
    bench.sent.clear();
    bench
}

#[test]
fn the_start_asks_who_it_is_and_tells_it_the_highest_voltage() {
    let mut bench = starting();
    let events = bench.until(|event| *event == Event::Active(true));
    assert_eq!(bench.sent.len(), 8);
    assert_eq!((bench.sent[0].as_str(), bench.sent[7].as_str()), ("0A100101#01", "0A100101#F00398"));
    let identified = Event::Identified { model: "SIM100".into(), firmware: "1.2".into() };
    assert!(events.contains(&identified), "{events:?}");
    assert_eq!(fault(&events, FAULT_SETTING), None);
}

#[test]
fn only_a_new_estimate_is_told_and_not_the_first() {
    let mut bench = ready();
    bench.device.status = NE;
    assert_eq!(insulations(&bench.run(MS(5_000))), []);
    bench.device.status = 0;
    bench.turn();
    bench.device.status = NE;
    assert_eq!(insulations(&bench.run(MS(5_000))), [], "it may have been made long ago");
    bench.device.status = 0;
    let told = insulations(&bench.turn());
    assert_eq!(told, [(500e3, true)], "both poles in parallel");
}

#[test]
fn an_answer_after_a_repeat_is_told_as_old_as_the_first_request() {
    let at = |ms: u64| Timestamp::from_micros(1_000_000 + ms * 1_000);
    let mut monitor = Sim100::new(Settings::default());
    monitor.state = State::Measuring(Schedule { newest: Some(at(0)), ..Schedule::from(at(0)) });
    monitor.script.clear();
    // It asks at 0; the answer is there at once, and this process away until 280.
    let first = monitor.conversation.ask(at(0), Question::Resistances, Question::Resistances.frame());
    assert_eq!(monitor.step(at(280)), (Some(first), vec![]));
    let events = monitor.hear(at(281), &frame("0A100100#E10003E80003E800"));
    let dated = |event: &Event| matches!(event, Event::Insulation { at: told, .. } if *told == at(0));
    assert!(events.iter().any(dated), "{events:?}");
}

#[test]
fn the_least_resistance_that_the_uncertainty_allows_is_told() {
    for (kohm, percent, ohms) in [
        ([1_000, 1_000], [10, 10], 450e3),
        ([100, 2_000], [0, 50], 1e11 / 1_100e3),
        ([0, 2_000], [0, 0], 0.0),
        ([1_000, 1_000], [100, 200], 0.0),
        ([65_535, 65_535], [0, 0], 32_767_500.0),
    ] {
        let mut bench = ready();
        (bench.device.kohm, bench.device.percent) = (kohm, percent);
        let told = insulations(&bench.run(MS(1_000)));
        assert!(
            !told.is_empty() && told.iter().all(|(told, _)| (told - f64::floor(ohms)).abs() < 1.0),
            "{told:?} {ohms}"
        );
    }
}

#[test]
fn with_an_error_or_high_uncertainty_it_vouches_for_nothing() {
    for (status, valid, code) in
        [(HE, false, true), (HU, false, false), (HV, true, true), (0b11, true, false)]
    {
        let mut bench = ready();
        bench.device.status = status;
        let events = bench.run(MS(1_000));
        assert!(!insulations(&events).is_empty());
        assert!(insulations(&events).iter().all(|(_, told)| *told == valid), "{status:#x}");
        assert_eq!(fault(&events, FAULT_DEVICE).is_some(), code, "{status:#x}");
    }
}

#[test]
fn a_monitor_without_a_new_estimate_is_stuck() {
    let mut bench = ready();
    bench.device.status = NE;
    assert_eq!(fault(&bench.run(MS(14_000)), FAULT_STUCK), None);
    assert!(fault(&bench.run(MS(2_000)), FAULT_STUCK).is_some());
}

#[test]
fn a_self_test_restarts_it_and_passes_with_no_error_and_a_new_estimate() {
    let mut bench = ready();
    bench.run(MS(1_000));
    assert_eq!(settled(&bench.order(Order::StartSelfTest)), Some(Ok(())));
    bench.device.status = NE;
    let events = bench.run(MS(10_000));
    assert_eq!((bench.device.restarts, test_result(&events), insulations(&events)), (1, None, vec![]));
    assert!(!events.contains(&Event::Online(false)), "it is away no longer than it may");
    assert!(matches!(settled(&bench.order(Order::StartSelfTest)), Some(Err(Denied::Refused(_)))));
    bench.device.status = 0;
    assert_eq!(test_result(&bench.run(MS(500))), Some((true, String::new())));
    assert!(bench.sent.contains(&"0A100101#F00398".to_owned()), "it is told its voltage again");
}

#[test]
fn a_self_test_fails_with_an_error_a_flag_or_no_estimate() {
    for (status, flags, detail) in [(HE, 0, "flags 0x00"), (0, 0x80, "flags 0x80"), (NE, 0, "within 30 s")] {
        let mut bench = ready();
        bench.order(Order::StartSelfTest);
        (bench.device.status, bench.device.flags) = (status, flags);
        let events = bench.until(|event| matches!(event, Event::SelfTestFinished { .. }));
        let (passed, told) = test_result(&events).unwrap();
        assert!(!passed && told.contains(detail), "{told}");
    }
    let mut gone = ready();
    gone.order(Order::StartSelfTest);
    gone.silent = true;
    let begun = gone.now;
    let events = gone.until(|event| matches!(event, Event::SelfTestFinished { .. }));
    assert_eq!(test_result(&events).map(|(passed, _)| passed), Some(false));
    assert!((30.0..32.0).contains(&gone.now.since(begun).as_secs_f64()));
}

#[test]
fn it_is_stopped_by_its_excitation_and_started_by_a_restart() {
    let mut bench = ready();
    bench.order(Order::SetActive(false));
    let events = bench.until(|event| matches!(event, Event::Settled(..)));
    assert_eq!(settled(&events), Some(Ok(())));
    assert!(events.contains(&Event::Active(false)));
    assert_eq!(insulations(&bench.run(MS(3_000))), []);
    assert!(matches!(settled(&bench.order(Order::StartSelfTest)), Some(Err(Denied::Refused(_)))));
    bench.order(Order::SetActive(true));
    let events = bench.until(|event| matches!(event, Event::Settled(..)));
    assert_eq!((settled(&events), bench.device.restarts), (Some(Ok(())), 1));
    assert!(!insulations(&bench.run(MS(1_000))).is_empty());
}

#[test]
fn a_device_that_does_not_know_how_to_stop_is_not_said_to_have() {
    let mut bench = ready();
    bench.device.knows_excitation_off = false;
    bench.order(Order::SetActive(false));
    let events = bench.until(|event| matches!(event, Event::Settled(..)));
    assert!(matches!(settled(&events), Some(Err(Denied::Unavailable(_)))));
}

#[test]
fn one_that_comes_back_while_it_shall_not_measure_is_stopped_again() {
    let mut bench = ready();
    bench.order(Order::SetActive(false));
    bench.until(|event| *event == Event::Active(false));
    bench.silent = true;
    bench.until(|event| *event == Event::Online(false));
    bench.silent = false;
    bench.sent.clear();
    let events = bench.until(|event| matches!(event, Event::Active(_)));
    assert!(events.contains(&Event::Active(false)));
    assert!(bench.sent.contains(&"0A100101#62".to_owned()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_it_says_every_order_is_settled_once(
        frames in proptest::collection::vec((0..6_u8, proptest::collection::vec(any::<u8>(), 0..9)), 1..200),
    ) {
        let mut bench = ready();
        let mut events = Vec::new();
        let mut orders = 0;
        for (kind, data) in frames {
            let hex: String = data.iter().map(|byte| format!("{byte:02X}")).collect();
            events.extend(bench.say(&format!("0A100100#{hex}")));
            if kind == 1 {
                let order = if data.len() % 2 == 0 { Order::StartSelfTest } else { Order::SetActive(data.len() > 4) };
                events.extend(bench.driver.order(bench.now, Ticket(orders), order));
                orders += 1;
            }
            bench.silent = kind == 5;
            events.extend(bench.turn());
        }
        bench.silent = true;
        events.extend(bench.run(MS(40_000)));
        let mut settled: Vec<_> = events.iter().filter_map(|event| match event {
            Event::Settled(ticket, _) => Some(ticket.0),
            _ => None,
        }).collect();
        settled.sort_unstable();
        prop_assert_eq!(settled, (0..orders).collect::<Vec<_>>());
    }
}
