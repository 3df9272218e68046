use std::collections::BTreeMap;

use proptest::prelude::*;
use voltry_units::Volts;

use super::super::Driver;
use super::super::bench::{Bench, MS, fault, frame, insulations, settled, test_result, voltages};
use super::*;

const TESTING: u16 = 1 << 4;

/// The monitor by foxBMS's DBC: registers by their commands.
struct Device {
    /// Word 1 and 2 of each command that is asked for.
    words: BTreeMap<u8, [u16; 2]>,
    status: u16,
    interface: u16,
    count: u8,
    counts: bool,
    /// Commands that it refuses, with their codes.
    refuses: BTreeMap<u8, u16>,
    /// Whether it does what it is told.
    obeys: bool,
}

fn answer(device: &mut Device, asked: &CanFrame) -> Vec<CanFrame> {
    let data = asked.data();
    assert_eq!((format!("{:?}", asked.id()), data.len()), ("022".into(), 5));
    let number = data[0];
    if let Some(code) = device.refuses.get(&number) {
        let [low, high] = code.to_le_bytes();
        return vec![frame(&format!("023#FF{low:02X}{high:02X}{number:02X}00"))];
    }
    let word = |at: usize| u16::from_le_bytes([data[at], data[at + 1]]);
    let words = match number {
        0x35 => {
            device.count = device.count.wrapping_add(u8::from(device.counts));
            [device.words[&number][0], u16::from_le_bytes([1, device.count])]
        }
        0x37 => [device.status, device.words[&number][1]],
        0xDC => [device.interface, 0],
        _ => device.words.get(&number).copied().unwrap_or([word(1), word(3)]),
    };
    if device.obeys {
        match number {
            0x21 => device.status |= TESTING,
            0xCB => device.interface = u16::from(word(1) == 0),
            0x28 => drop(device.words.insert(0x32, [word(1), 0])),
            _ => {}
        }
    }
    let [[a, b], [c, d]] = words.map(u16::to_le_bytes);
    let response = frame(&format!("023#{number:02X}{a:02X}{b:02X}{c:02X}{d:02X}"));
    // Its state comes by itself each second; here with each answer.
    let ([a, b], [c, d]) = (device.status.to_le_bytes(), device.interface.to_le_bytes());
    vec![frame(&format!("037#E803{a:02X}{b:02X}{c:02X}{d:02X}")), response]
}

fn starting() -> Bench<Device> {
    let words = [
        (0x33, [1, 0x0307]),
        (0x32, [100, 0]),
        (0x39, [250, 0]),
        (0x3C, [10, 0]),
        (0x35, [1_000, 0]),
        (0x36, [400, 0]),
        (0x37, [0, 0]),
    ];
    let device = Device {
        words: words.into(),
        status: 0,
        interface: 1,
        count: 0,
        counts: true,
        refuses: BTreeMap::new(),
        obeys: true,
    };
    Bench::new(Driver::Iso165c(Box::new(Iso165c::new(Settings::default()))), device, answer)
}

fn ready() -> Bench<Device> {
    let mut bench = starting();
    bench.until(|event| *event == Event::Active(true));
    bench.sent.clear();
    bench
}

#[test]
fn the_start_unlocks_compares_closes_the_relays_and_lets_it_measure() {
    let mut bench = starting();
    let events = bench.until(|event| *event == Event::Active(true));
    assert_eq!(
        bench.sent,
        [
            "022#CA00000000",
            "022#3301000000",
            "022#3200000000",
            "022#3900000000",
            "022#3C00000000",
            "022#D200000100",
            "022#D201000100",
            "022#CB01000000",
            "022#DC00000000",
        ]
    );
    assert!(events.contains(&Event::Online(true)));
    let identified = Event::Identified { model: "iso165C".into(), firmware: "3.7".into() };
    assert!(events.contains(&identified), "{events:?}");
}

#[test]
fn a_threshold_is_written_only_where_it_differs() {
    let mut bench = starting();
    bench.device.words.insert(0x32, [500, 0]);
    bench.until(|event| *event == Event::Active(true));
    assert!(bench.sent.contains(&"022#2864000000".to_owned()), "100 kΩ: {:?}", bench.sent);
    let mut keeps = starting();
    keeps.device.words.extend([(0x32, [500, 0]), (0x28, [500, 0])]);
    let events = keeps.until(|event| *event == Event::Active(true));
    assert!(fault(&events, FAULT_SETTING).is_some());
}

#[test]
fn a_resistance_is_told_only_when_its_count_moved() {
    let mut bench = ready();
    bench.device.counts = false;
    assert_eq!(insulations(&bench.run(MS(3_000))), [], "nobody knows how old the first one is");
    bench.device.count += 1;
    assert_eq!(insulations(&bench.run(MS(3_000))), [(1e6, true)], "1000 kΩ, once");
    let events = bench.run(MS(12_000));
    assert!(fault(&events, FAULT_STUCK).is_some());
    bench.device.counts = true;
    let events = bench.run(MS(1_000));
    assert!(events.contains(&Event::FaultGone(FAULT_STUCK)) && !insulations(&events).is_empty());
}

#[test]
fn the_voltage_comes_ten_times_a_second() {
    let mut bench = ready();
    let told = voltages(&bench.run(MS(10_000)));
    assert!((100..=130).contains(&told.len()), "{}", told.len());
    assert!(told.iter().all(|volts| *volts == 400.0));
}

#[test]
fn nothing_is_vouched_for_with_a_fault_a_test_old_state_or_none() {
    for (status, interface, vouched) in [
        (0, 0, true),
        // An insulation fault or a warning is no fault of the device.
        (0b10_0001, 0, true),
        (1 << 1, 0, false),
        (1 << 2, 0, false),
        (1 << 3, 0, false),
        (1 << 4, 0, false),
        (0, 1 << 1, false),
        (0, 1 << 2, false),
        (0, 1 << 8, false),
    ] {
        let mut bench = ready();
        (bench.device.status, bench.device.interface) = (status, interface);
        bench.run(MS(1_000));
        let told = insulations(&bench.run(MS(2_000)));
        assert!(!told.is_empty() && told.iter().all(|(_, valid)| *valid == vouched), "{status} {interface}");
    }
    // The state is of three seconds ago.
    let mut monitor = Iso165c::new(Settings::default());
    monitor.state =
        State::Measuring(Schedule { newest: Some((1, Timestamp::BOOT)), ..Schedule::from(Timestamp::BOOT) });
    monitor.script.clear();
    monitor.purpose = Purpose::Nothing;
    let at = |ms: u64| Timestamp::from_micros(ms * 1_000);
    let _ = monitor.hear(at(0), &frame("037#E80300000000"));
    let _ = monitor.conversation.ask(at(3_000), Asked::Resistance, Command::GET_RESISTANCE.frame());
    let events = monitor.hear(at(3_005), &frame("023#35E8030102"));
    assert_eq!(insulations(&events), [(1e6, false)]);
}

#[test]
fn an_answer_after_a_repeat_is_told_as_old_as_the_first_request() {
    let at = |ms: u64| Timestamp::from_micros(1_000_000 + ms * 1_000);
    // It asks at 0; the answer is there at once, and this process away until 280.
    let late = |asked: Asked, command: Command, answer: &str| {
        let mut monitor = Iso165c::new(Settings::default());
        monitor.state = State::Measuring(Schedule { newest: Some((1, at(0))), ..Schedule::from(at(0)) });
        monitor.script.clear();
        monitor.purpose = Purpose::Nothing;
        let first = monitor.conversation.ask(at(0), asked, command.frame());
        assert_eq!(monitor.step(at(280)), (Some(first), vec![]));
        monitor.hear(at(281), &frame(answer))
    };
    let events = late(Asked::Voltage, Command::GET_VOLTAGE, "023#3690010000");
    assert!(events.contains(&Event::Voltage(Volts::new(400), at(0))), "{events:?}");
    let events = late(Asked::Resistance, Command::GET_RESISTANCE, "023#35E8030102");
    let dated = |event: &Event| matches!(event, Event::Insulation { at: told, .. } if *told == at(0));
    assert!(events.iter().any(dated), "{events:?}");
}

#[test]
fn one_lost_answer_makes_no_voltage_older_than_it_may_be() {
    let mut bench = ready();
    bench.run(MS(1_000));
    for _ in 0..20 {
        let mut newest = None;
        let mut oldest = Duration::ZERO;
        for turn in 0..20 {
            bench.silent = turn == 10;
            let events = bench.turn();
            // The moment before a new one comes is the one at which the last is oldest.
            oldest = oldest.max(newest.map_or(Duration::ZERO, |newest| bench.now.since(newest)));
            newest = events.iter().fold(newest, |newest, event| match event {
                Event::Voltage(_, at) => Some(*at),
                _ => newest,
            });
        }
        assert!(oldest < MS(300), "{oldest:?}");
    }
}

#[test]
fn a_fault_of_the_device_is_named() {
    let mut bench = ready();
    assert_eq!(
        fault(&bench.say("037#E80302000200"), FAULT_DEVICE).as_deref(),
        Some("connection to earth, no connection to its measuring part")
    );
    assert!(bench.say("037#E80300000000").contains(&Event::FaultGone(FAULT_DEVICE)));
}

#[test]
fn a_self_test_is_over_when_its_state_says_so() {
    for (status, extended, detail) in
        [(0, 0, None), (0, 1 << 8, Some("test pulse")), (1 << 1, 0, Some("connection to earth"))]
    {
        let mut bench = ready();
        assert_eq!(bench.order(Order::StartSelfTest), []);
        assert_eq!(settled(&bench.until(|event| matches!(event, Event::Settled(..)))), Some(Ok(())));
        assert!(bench.sent.contains(&"022#2101000000".to_owned()));
        let events = bench.run(MS(8_000));
        assert_eq!((test_result(&events), insulations(&events)), (None, vec![]), "it runs");
        assert!(matches!(settled(&bench.order(Order::SetActive(false))), Some(Err(Denied::Refused(_)))));
        bench.device.status = status;
        bench.device.words.insert(0x37, [0, extended]);
        let result = test_result(&bench.run(MS(500)));
        assert_eq!(result, Some((detail.is_none(), detail.unwrap_or_default().to_owned())));
        assert_eq!(insulations(&bench.run(MS(400))).len(), 1, "the first count after it is not told");
    }
}

#[test]
fn a_self_test_that_does_not_begin_or_end_has_failed_after_30_s() {
    for (obeys, word) in [(true, "end"), (false, "begin")] {
        let mut bench = ready();
        bench.device.obeys = obeys;
        bench.order(Order::StartSelfTest);
        bench.until(|event| matches!(event, Event::Settled(..)));
        let begun = bench.now;
        let events = bench.until(|event| matches!(event, Event::SelfTestFinished { .. }));
        let (passed, detail) = test_result(&events).unwrap();
        assert!(!passed && detail.contains(word), "{detail}");
        assert!((30.0..30.5).contains(&bench.now.since(begun).as_secs_f64()));
    }
}

#[test]
fn it_counts_as_measuring_or_not_when_its_own_status_says_so() {
    let mut bench = ready();
    bench.order(Order::SetActive(false));
    let events = bench.until(|event| matches!(event, Event::Settled(..)));
    assert_eq!(settled(&events), Some(Ok(())));
    assert!(events.contains(&Event::Active(false)));
    let switched = ["022#CB00000000", "022#D200000000", "022#D201000000", "022#DC00000000"];
    assert!(bench.sent.windows(4).any(|sent| sent == switched), "{:?}", bench.sent);
    let events = bench.run(MS(3_000));
    assert_eq!((insulations(&events), voltages(&events)), (vec![], vec![]));
    assert!(matches!(settled(&bench.order(Order::StartSelfTest)), Some(Err(Denied::Refused(_)))));
    bench.device.obeys = false;
    bench.order(Order::SetActive(true));
    let events = bench.until(|event| matches!(event, Event::Settled(..)));
    assert!(matches!(settled(&events), Some(Err(Denied::Refused(_)))), "it does not begin");
    assert!(!events.iter().any(|event| matches!(event, Event::Active(_))));
}

#[test]
fn a_refused_command_says_why_and_the_start_goes_on() {
    let mut bench = starting();
    bench.device.refuses.insert(0xD2, 1_035);
    let events = bench.until(|event| *event == Event::Active(true));
    assert_eq!(fault(&events, FAULT_SETTING).as_deref(), Some("0xd2: the command is unknown"));
    let mut bench = ready();
    bench.device.refuses.insert(0x21, 1_000);
    bench.order(Order::StartSelfTest);
    let events = bench.until(|event| matches!(event, Event::Settled(..)));
    assert_eq!(settled(&events), Some(Err(Denied::Refused("0x21: the command is locked".into()))));
}

#[test]
fn a_device_that_is_silent_is_asked_three_times_and_set_up_anew_when_it_is_back() {
    let mut bench = ready();
    bench.order(Order::StartSelfTest);
    bench.until(|event| matches!(event, Event::Settled(..)));
    bench.silent = true;
    let gone = bench.now;
    let events = bench.until(|event| *event == Event::Online(false));
    assert_eq!(test_result(&events).map(|(passed, _)| passed), Some(false));
    assert!(events.contains(&Event::Active(false)));
    assert!(bench.now.since(gone) < MS(1_000), "{:?}", bench.now.since(gone));
    assert!(matches!(settled(&bench.order(Order::StartSelfTest)), Some(Err(Denied::Unavailable(_)))));
    bench.silent = false;
    bench.device.status = 0;
    bench.sent.clear();
    bench.until(|event| *event == Event::Active(true));
    assert_eq!(bench.sent[0], "022#CA00000000");
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
            let id = if kind == 0 { "037" } else { "023" };
            let hex: String = data.iter().map(|byte| format!("{byte:02X}")).collect();
            events.extend(bench.say(&format!("{id}#{hex}")));
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
