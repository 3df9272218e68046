use std::path::Path;

use super::*;
use crate::driver::Driver;
use crate::model::Block;

const PATIENCE: Patience = Patience { misses: 3, back_off: Duration::from_secs(5) };
const SILENCE: Failure = Failure::Timeout(Duration::from_millis(300));

/// An EM340 (five reads a cycle) and its driver, in virtual time. Every answer takes 10 ms.
struct Bench {
    driver: Driver,
    now: Timestamp,
    energy: u16,
    asked: Vec<Block>,
}

impl Bench {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/meters");
        let model = Model::load("carlo-gavazzi-em340", &[folder]).unwrap();
        let meter = ModbusMeter::new(model, Duration::from_secs(1), PATIENCE);
        Self {
            driver: Driver::Meter(meter),
            now: Timestamp::from_micros(5_000_000),
            energy: 100,
            asked: Vec::new(),
        }
    }

    /// Waits for the next request and answers it with `outcome`, or with the registers.
    fn exchange(&mut self, outcome: Option<Failure>) -> Vec<Event> {
        self.now = self.now.max(self.driver.due());
        let Request::Read(block) = self.driver.request(self.now) else { panic!("a meter is only read") };
        self.asked.push(block);
        let sent = self.now;
        self.now = self.now + Duration::from_millis(10);
        let mut words = vec![0; usize::from(block.count)];
        if block.address == 52 {
            words[0] = self.energy;
        }
        self.driver.reply(sent, self.now, outcome.map_or(Ok(words), Err))
    }

    fn cycle(&mut self) -> Vec<Event> {
        (0..5).flat_map(|_| self.exchange(None)).collect()
    }

    fn order(&mut self, ticket: u64) -> Vec<Event> {
        self.driver.order(self.now, Ticket(ticket), Order::ReadRegister)
    }
}

fn readings(events: &[Event]) -> Vec<Reading> {
    events
        .iter()
        .filter_map(|event| if let Event::Reading(reading) = event { Some(*reading) } else { None })
        .collect()
}

fn settled(events: &[Event]) -> Vec<(u64, bool)> {
    events
        .iter()
        .filter_map(|event| {
            if let Event::Settled(ticket, result) = event { Some((ticket.0, result.is_ok())) } else { None }
        })
        .collect()
}

#[test]
fn a_reading_is_stamped_when_its_first_request_was_sent() {
    let mut bench = Bench::new();
    let begun = bench.now;
    let events = bench.cycle();
    assert_eq!(events[0], Event::Online(true));
    let [reading] = readings(&events)[..] else { panic!("{events:?}") };
    assert_eq!(reading.at, begun);
    assert_eq!(reading.energy_import.as_si(), 10_000.0);
}

#[test]
fn readings_come_every_second_however_long_they_take() {
    let mut bench = Bench::new();
    let times: Vec<_> =
        (0..4).flat_map(|_| readings(&bench.cycle())).map(|reading| reading.at.as_micros() / 1000).collect();
    assert_eq!(times, [5000, 6000, 7000, 8000]);
}

#[test]
fn a_reading_half_read_is_never_told() {
    let mut bench = Bench::new();
    bench.cycle();
    bench.exchange(None);
    bench.exchange(None);
    let events = bench.exchange(Some(SILENCE));
    assert_eq!(readings(&events), []);
    bench.asked.clear();
    let events = bench.cycle();
    assert_eq!(bench.asked[0].address, 0, "the cycle begins anew");
    assert_eq!(readings(&events).len(), 1);
}

#[test]
fn a_silent_meter_is_gone_after_its_misses_and_asked_less_and_less() {
    let mut bench = Bench::new();
    bench.cycle();
    let mut offline = 0;
    let mut times = Vec::new();
    for _ in 0..9 {
        let events = bench.exchange(Some(SILENCE));
        offline += events.iter().filter(|event| **event == Event::Online(false)).count();
        times.push(bench.driver.due().since(bench.now).as_millis());
    }
    assert_eq!(offline, 1);
    assert_eq!(times, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    let events = bench.cycle();
    assert_eq!(events[0], Event::Online(true), "and back");
    assert_eq!(readings(&events).len(), 1);
}

#[test]
fn an_order_is_answered_with_registers_read_after_it() {
    let mut bench = Bench::new();
    bench.cycle();
    // In the middle of a cycle whose energy has been read already.
    for _ in 0..4 {
        bench.exchange(None);
    }
    bench.energy = 200;
    assert_eq!(bench.order(7), []);
    assert!(bench.driver.due() <= bench.now, "at once");
    let events = bench.cycle();
    let done = events.iter().find_map(|event| match event {
        Event::Settled(Ticket(7), Ok(Done::Registers(reading))) => Some(reading.energy_import.as_si()),
        _ => None,
    });
    assert_eq!(done, Some(20_000.0));
}

#[test]
fn an_order_to_a_silent_meter_is_refused_after_its_misses() {
    let mut bench = Bench::new();
    bench.cycle();
    bench.order(1);
    let results: Vec<_> = (0..3).map(|_| settled(&bench.exchange(Some(SILENCE)))).collect();
    assert_eq!(results, [vec![], vec![], vec![(1, false)]]);
    // One that is gone already gets one try, at once.
    bench.order(2);
    assert!(bench.driver.due() <= bench.now);
    assert_eq!(settled(&bench.exchange(Some(SILENCE))), [(2, false)]);
}

#[test]
fn more_orders_than_can_wait_are_refused_and_every_other_is_answered_once() {
    let mut bench = Bench::new();
    let at_once: Vec<_> = (0..20).flat_map(|ticket| settled(&bench.order(ticket))).collect();
    assert_eq!(at_once.len(), 12);
    let later = settled(&bench.cycle());
    assert_eq!(later, (0..8).map(|ticket| (ticket, true)).collect::<Vec<_>>());
    assert_eq!(settled(&bench.cycle()), []);
}

#[test]
fn a_meter_that_refuses_is_there_but_at_fault() {
    let mut bench = Bench::new();
    bench.order(1);
    let events = bench.exchange(Some(Failure::Refused(2)));
    assert_eq!(events[0], Event::Online(true));
    assert!(matches!(events[2], Event::Fault { code: FAULT_READING, .. }), "{events:?}");
    assert_eq!(settled(&events), [(1, false)]);
    let events = bench.cycle();
    assert!(events.contains(&Event::FaultGone(FAULT_READING)));
}

#[test]
fn a_meter_takes_no_orders_of_an_insulation_monitor() {
    let mut bench = Bench::new();
    let events = bench.driver.order(bench.now, Ticket(1), Order::StartSelfTest);
    assert_eq!(settled(&events), [(1, false)]);
}
