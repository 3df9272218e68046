//! The sharing against EVSEs that answer late, hang and want now this, now that; in virtual time.

use std::collections::VecDeque;

use proptest::prelude::{Just, ProptestConfig, prop};
use proptest::strategy::Strategy as Generator;
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};
use voltry_units::Celsius;

use super::*;

const TICK: u64 = 50;
const MOST: Watts = Watts::new(150_000);

fn at(milliseconds: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000 + milliseconds * 1000)
}

fn rules(limit: Watts) -> Rules {
    Rules {
        strategy: Strategy::Equal,
        floor: Watts::new(5_000),
        losses: Losses { efficiency: 950, own: Watts::new(1_000) },
        limit,
        connection: None,
        speakers: Vec::new(),
        temperature: None,
    }
}

/// An EVSE and its vehicle, as they are beyond the bus.
#[derive(Debug, Clone, Default)]
struct Far {
    /// What the vehicle would use.
    wants: Watts,
    held: Watts,
    until: Timestamp,
    inbox: VecDeque<(u64, Order)>,
    /// Until when it hangs.
    hangs: u64,
    /// When within half a second it tells what flows, as evse does.
    phase: u64,
}

impl Far {
    fn holds(&self, now: u64) -> Watts {
        if at(now) < self.until { self.held } else { Watts::ZERO }
    }

    fn draws(&self, now: u64) -> Watts {
        if now < self.hangs { Watts::ZERO } else { self.holds(now).min(self.wants).min(MOST) }
    }
}

/// What happens to an EVSE, and when.
#[derive(Debug, Clone, Copy)]
enum Event {
    Wants(Watts),
    HangsFor(u64),
    Limit(Watts),
}

struct World {
    energy: Energy,
    far: Vec<Far>,
    answers: VecDeque<(u64, usize)>,
    limit: Watts,
    /// What each EVSE can give.
    most: Watts,
    latency: u64,
    now: u64,
}

impl World {
    fn new(limit: Watts, evses: usize, latency: u64) -> Self {
        let far = (0..evses).map(|place| Far { phase: place as u64 * 350 % 500, ..Far::default() });
        Self {
            energy: Energy::new(at(0), rules(Watts::new(10_000_000)), evses),
            far: far.collect(),
            answers: VecDeque::new(),
            limit,
            most: MOST,
            latency,
            now: 0,
        }
    }

    fn step(&mut self) {
        let (now, latency) = (self.now, self.latency);
        for (place, far) in self.far.iter_mut().enumerate() {
            while now >= far.hangs && far.inbox.front().is_some_and(|(due, _)| *due <= now) {
                let (_, order) = far.inbox.pop_front().unwrap();
                (far.held, far.until) = (order.power, order.at + VALID);
                self.answers.push_back((now + latency, place));
            }
            if now % 500 == far.phase && now >= far.hangs {
                let flowing = Flowing { at: at(now), wanted: far.wants, drawn: far.draws(now) };
                self.energy.hear_evse(at(now), place, flowing);
            }
        }
        let due = |answer: &(u64, usize)| answer.0 <= now;
        for (_, place) in self.answers.iter().copied().filter(due) {
            self.energy.permits_mut().answered(at(now), place, true);
        }
        self.answers.retain(|answer| !due(answer));
        let evse = Evse {
            active: true,
            stage: Stage::Delivering,
            most: self.most,
            came: 0,
            priority: 0,
            reachable: true,
        };
        let evses = vec![evse; self.far.len()];
        for order in self.energy.step(at(now), [("operator", self.limit)], &evses) {
            self.far[order.place].inbox.push_back((now + latency, order));
        }
        self.now += TICK;
    }

    fn held(&self) -> Watts {
        self.far.iter().map(|far| far.holds(self.now)).sum()
    }

    fn held_by_the_hung(&self) -> Watts {
        let hung = self.far.iter().filter(|far| self.now < far.hangs + 1000);
        hung.map(|far| far.holds(self.now)).sum()
    }

    fn output(&self) -> Watts {
        self.energy.rules().losses.output(self.limit)
    }

    /// Somebody has more than it uses and some room, while another wants more.
    fn wasted(&self) -> Option<(usize, usize)> {
        let hungry = self.far.iter().position(|far| far.wants.min(MOST) > far.holds(self.now) + STEP)?;
        let hoards = |far: &Far| {
            let used = far.draws(self.now);
            let due = (used + used.scaled(1, 9) + Watts::new(2_500)).max(self.energy.rules().floor);
            // What rounding leaves is given away, too.
            far.holds(self.now) > due + Watts::new(1)
        };
        self.far.iter().position(hoards).map(|hoarder| (hungry, hoarder))
    }
}

const STEP: Watts = Watts::new(1_000);

fn kilowatts() -> impl Generator<Value = Watts> {
    prop_oneof![1 => Just(0), 4 => 0..200_i32].prop_map(|kilowatts| Watts::new(kilowatts * 1000))
}

fn event(hangs: bool) -> impl Generator<Value = Event> {
    prop_oneof![
        4 => kilowatts().prop_map(Event::Wants),
        u32::from(hangs) => (100..40_000_u64).prop_map(Event::HangsFor),
        u32::from(hangs) => kilowatts().prop_map(Event::Limit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn unused_power_moves_within_two_seconds_and_is_never_promised_twice(
        limit in 20..400_i32,
        evses in 1..5_usize,
        latency in 0..60_u64,
        events in prop::collection::vec((3_000..6_000_u64, 0..5_usize, event(false)), 1..6),
    ) {
        let mut world = World::new(Watts::new(limit * 1000), evses, latency);
        for (gap, place, event) in events {
            let began = world.now;
            while world.now < began + gap {
                world.step();
                prop_assert!(world.held() <= world.output(), "{} of {} at {}", world.held(), world.output(), world.now);
                if world.now >= began + 2_000 && began > 0 {
                    prop_assert_eq!(world.wasted(), None, "at {}: {:?}", world.now, world.far);
                }
            }
            if let Event::Wants(wants) = event {
                world.far[place % evses].wants = wants;
            }
        }
    }

    #[test]
    fn whoever_hangs_and_whatever_limit_falls_the_sum_is_right_again_in_time(
        evses in 1..5_usize,
        latency in 0..60_u64,
        events in prop::collection::vec((200..12_000_u64, 0..5_usize, event(true)), 1..12),
    ) {
        let mut world = World::new(Watts::new(200_000), evses, latency);
        let mut disturbed = 0;
        for (gap, place, event) in events {
            let until = world.now + gap;
            while world.now < until {
                world.step();
                let allowed = world.output().max(world.held_by_the_hung());
                let in_time = world.now < disturbed + 2_500;
                prop_assert!(in_time || world.held() <= allowed, "{} of {} at {}: {:?}", world.held(), allowed, world.now, world.far);
            }
            match event {
                Event::Wants(wants) => world.far[place % evses].wants = wants,
                Event::HangsFor(time) => {
                    world.far[place % evses].hangs = world.now + time;
                    disturbed = world.now;
                }
                Event::Limit(limit) => {
                    world.limit = limit;
                    disturbed = world.now;
                }
            }
        }
    }
}

#[test]
fn a_rising_limit_and_a_start_promise_nothing_twice() {
    let mut world = World::new(Watts::new(101_000), 2, 20);
    world.far[0] = Far { wants: MOST, held: Watts::new(95_000), until: at(30_000), ..world.far[0].clone() };
    world.far[1].wants = MOST;
    while world.now < 5_000 {
        world.step();
        assert!(world.held() <= world.output(), "{} at {}", world.held(), world.now);
    }
    assert_eq!(world.held(), Watts::new(95_000));
    assert_eq!(world.far[0].held, world.far[1].held);
}

#[test]
fn an_evse_that_is_given_more_modules_is_given_more_though_its_vehicle_asks_for_what_it_was_offered() {
    let mut world = World::new(Watts::new(200_000), 1, 20);
    for most in [30_000, 60_000, 30_000].map(Watts::new) {
        world.most = most;
        let until = world.now + 2_000;
        while world.now < until {
            world.step();
        }
        assert_eq!(world.far[0].held, most);
        world.far[0].wants = most;
    }
}

fn step_alone(energy: &mut Energy, ms: u64, set: &[(&str, Watts)]) -> (String, Watts) {
    let evse =
        Evse { active: true, stage: Stage::Preparing, most: MOST, came: 0, priority: 0, reachable: true };
    let _ = energy.step(at(ms), set.iter().copied(), &[evse]);
    let lowest = &energy.sources()[0];
    (format!("{} {}", lowest.name, lowest.detail).trim().to_owned(), energy.share(0).power)
}

#[test]
fn the_lowest_limit_counts_at_the_mains_and_is_named() {
    let mut energy = Energy::new(at(0), rules(Watts::new(101_000)), 1);
    assert_eq!(step_alone(&mut energy, 0, &[]), ("configuration".to_owned(), Watts::new(95_000)));
    let set = [("csms", Watts::new(51_000)), ("operator", Watts::new(61_000))];
    assert_eq!(step_alone(&mut energy, 1, &set), ("csms".to_owned(), Watts::new(47_500)));
    assert_eq!(energy.share(0).bound, Bound::Station);
}

#[test]
fn a_source_that_falls_silent_counts_as_its_floor_until_it_speaks() {
    let silence = Silence { after: Duration::from_secs(60), floor: Watts::new(21_000) };
    let rules = Rules { speakers: vec![("ems".to_owned(), silence)], ..rules(Watts::new(101_000)) };
    let mut energy = Energy::new(at(0), rules, 1);
    let ems = [("ems", Watts::new(81_000))];
    energy.hear_origin(at(10_000), "ems");
    assert_eq!(step_alone(&mut energy, 69_999, &ems), ("ems".to_owned(), Watts::new(76_000)));
    assert_eq!(energy.next(at(69_999)), Duration::from_millis(1));
    let silent = ("ems silent for 60 s: its floor".to_owned(), Watts::new(19_000));
    assert_eq!(step_alone(&mut energy, 70_000, &ems), silent);
    energy.hear_origin(at(71_000), "ems");
    assert_eq!(step_alone(&mut energy, 71_000, &ems).0, "ems");
}

#[test]
fn a_hot_rack_is_named_too() {
    let silence = Silence { after: Duration::from_secs(10), floor: Watts::new(11_000) };
    let temperature = Some((Celsius::new(50), Celsius::new(60), silence));
    let rules = Rules { temperature, ..rules(Watts::new(101_000)) };
    let mut energy = Energy::new(at(0), rules, 1);
    energy.hear_temperature(at(0), Celsius::new(60));
    assert_eq!(step_alone(&mut energy, 0, &[]), ("temperature".to_owned(), Watts::new(9_500)));
    energy.hear_temperature(at(5_000), Celsius::new(20));
    assert_eq!(step_alone(&mut energy, 5_000, &[]).1, Watts::new(95_000));
}
