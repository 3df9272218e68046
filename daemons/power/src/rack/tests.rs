//! The rack against modules that do what the test tells them, in virtual time.

// A fake answers a few requests and none of the others.
#![allow(clippy::wildcard_enum_match_arm)]

mod bench;
mod families;
mod misbehaviour;

use proptest::prelude::*;
use voltry_power_module::Conditions;

use self::bench::{Bench, supply};
use super::*;
use crate::last_told::LastTold;
use voltry_power_module::Output;
use voltry_units::Watts;

#[test]
fn a_start_switches_everything_off_before_it_asks_anything() {
    let mut bench = Bench::start(2, "");
    assert_eq!(bench.delivered(), Amps::new(100), "as a crash left them");
    bench.run_ms(20);
    assert_eq!(bench.delivered(), Amps::ZERO);
    for (_, _, request) in bench.sent.iter().take(3) {
        assert_eq!(*request, Request::Switch { on: false });
    }
    assert_eq!(bench.current_max(), 0.0, "nothing is known yet");
}

#[test]
fn discovery_learns_what_the_modules_can_and_who_they_are() {
    let bench = Bench::ready(3);
    let capability = bench.rack.capability(bench.now);
    assert_eq!(
        (capability.voltage_min, capability.voltage_max, capability.current_max, capability.power_max),
        (150.0, 1000.0, 300.0, 90_000.0)
    );
    assert_eq!(bench.rack.serial(), "081807123451V1704");
    assert!(bench.fakes.values().all(|fake| fake.walk_in == Some(false)));
    assert_eq!(bench.faults(), Vec::<String>::new());
}

#[test]
fn a_module_whose_serial_number_is_no_text_is_used_and_named_by_its_bytes() {
    let mut bench = Bench::start(1, "");
    bench.fake(0).serial = [0xFF; 8];
    bench.run_ms(1500);
    assert_eq!(bench.current_max(), 100.0);
    assert_eq!(bench.rack.serial(), "0xFFFFFFFFFFFFFFFF");
}

#[test]
fn modules_of_a_group_are_found_by_their_status() {
    let mut bench = Bench::with(supply("group = 1\ncount = 2"), 2);
    bench.run_ms(1000);
    assert_eq!(bench.current_max(), 200.0);
    let mut bench = Bench::with(supply("group = 2\ncount = 2"), 2);
    bench.run_ms(5000);
    assert_eq!(bench.current_max(), 0.0, "they are another group's");
    assert_eq!(bench.faults(), [codes::SILENT]);
}

#[test]
fn a_module_that_sleeps_is_woken_and_one_long_idle_is_put_to_sleep() {
    let mut bench = Bench::start(1, "sleep_after_ms = 5000");
    bench.fake(0).conditions = Conditions::NONE.with(Condition::Asleep);
    bench.run_ms(1500);
    assert!(!bench.fake(0).conditions.has(Condition::Asleep));
    bench.run_ms(5000);
    assert_eq!(bench.rack.state(), voltry_bus::SupplyState::Asleep);
    assert_eq!(bench.current_max(), 100.0, "it can be woken");
    bench.input(Input::Enable);
    bench.set(1, 10);
    bench.run_ms(1500);
    assert_eq!(bench.delivered(), Amps::new(10));
}

#[test]
fn a_current_is_shared_evenly_and_confirmed_once() {
    let mut bench = Bench::delivering(3, 90);
    assert!(bench.fakes.values().all(|fake| fake.delivers() == Amps::new(30)));
    assert_eq!(bench.actions.iter().filter(|action| matches!(action, Action::Applied { .. })).count(), 1);
    let output = bench.rack.output(bench.now).unwrap();
    assert_eq!(output.value, Output { voltage: Volts::new(200), current: Amps::new(90) });
    assert!(bench.now.since(output.at) < Duration::from_millis(200));
    bench.set(2, 60);
    bench.run_ms(100);
    assert_eq!(bench.delivered(), Amps::new(60));
    assert_eq!(bench.actions.last(), Some(&Action::Applied { epoch: 9, sequence: 2 }));
}

#[test]
fn power_limits_a_module_at_the_voltage_that_the_battery_holds() {
    let mut bench = Bench::ready(2);
    bench.fakes.values_mut().for_each(|fake| fake.battery = Some(Volts::new(375)));
    bench.input(Input::Enable);
    let (voltage, current) = (Volts::new(450), Amps::new(150));
    bench.input(Input::Set { epoch: 9, sequence: 1, voltage, current });
    bench.run_ms(2000);
    // 30 kW each: 66.7 A at the set-point's 450 V, 80 A at the battery's 375 V.
    assert_eq!(bench.delivered(), Amps::new(150));
}

#[test]
fn a_set_point_is_sent_again_at_least_every_second() {
    let mut bench = Bench::delivering(2, 40);
    bench.sent.clear();
    bench.run_ms(10_000);
    for address in [0, 1] {
        let times: Vec<Timestamp> = bench
            .sent
            .iter()
            .filter(|(_, to, request)| {
                *to == Destination::Module(address) && matches!(request, Request::SetOutput { .. })
            })
            .map(|(at, ..)| *at)
            .collect();
        assert!(times.len() >= 10);
        assert!(times.windows(2).all(|pair| pair[1].since(pair[0]) <= Duration::from_secs(1)));
    }
}

#[test]
fn modules_are_told_of_a_set_point_at_once_whatever_else_is_to_be_asked() {
    let mut bench = Bench::delivering(4, 80);
    bench.step = Duration::from_millis(1);
    for (sequence, round) in (2..).zip(0_u64..20) {
        let current = if round % 2 == 0 { 96 } else { 80 };
        bench.set(sequence, current);
        bench.run_ms(5);
        assert_eq!(bench.delivered(), Amps::new(current), "in round {round}");
        // At any point between its polls.
        bench.run_ms(100 + round % 9);
    }
}

#[test]
fn a_set_point_that_never_rests_does_not_keep_the_readings_away() {
    let mut bench = Bench::delivering(5, 90);
    for (sequence, round) in (2..).zip(0_i64..3000) {
        // Up and down again, then ever lower: both are sent before ordinary readings.
        let tenths = if round < 1500 { 900 + round % 2 } else { (2400 - round).max(0) };
        let (voltage, current) = (Volts::new(200), Amps::from_milli(tenths * 100));
        bench.input(Input::Set { epoch: 9, sequence, voltage, current });
        bench.run_ms(1);
        let output = bench.rack.output(bench.now).unwrap();
        let age = bench.now.since(output.at);
        assert!(age <= Duration::from_millis(250), "{age:?} old in round {round}");
    }
    bench.run_ms(200);
    assert!(bench.delivered() < Amps::new(1), "the last set-point counts: {}", bench.delivered());
}

#[test]
fn readings_are_young_and_leave_the_bus_room_however_many_modules_are_on_it() {
    for (modules, oldest_ms) in [(1, 55), (5, 75), (8, 95), (12, 140), (16, 170)] {
        let mut bench = Bench::delivering(modules, 80);
        bench.sent.clear();
        let mut age = Duration::ZERO;
        bench.run_checked(10_000, |bench| {
            let output = bench.rack.output(bench.now).unwrap();
            assert_eq!(output.value.current, Amps::new(80), "one of {modules} modules was left out");
            age = age.max(bench.now.since(output.at));
        });
        assert!(age <= Duration::from_millis(oldest_ms), "{modules} modules: {age:?}");
        let readings = bench.sent.iter().filter(|(.., request)| *request == Request::ReadOutput).count();
        assert!(readings <= 1250, "{modules} modules: {readings} of 2000 frames");
        assert!(bench.sent.len() < 2000, "{modules} modules: every frame is taken");
    }
}

/// Consumers miss a reading after 300 ms: what is left of them is for the bus of messages, and whoever is busy.
#[test]
fn what_is_told_of_a_full_bus_is_young_even_while_set_points_never_rest() {
    let mut oldest = Vec::new();
    for modules in [1, 4, 8, 16] {
        let mut bench = Bench::delivering(modules, 80);
        let (mut told, mut age, mut count) = (LastTold::default(), Duration::ZERO, 0);
        for (sequence, round) in (2..).zip(0..250) {
            bench.set(sequence, 80 + round % 16);
            bench.run_checked(20, |bench| {
                let output = bench.rack.output(bench.now).unwrap();
                if told.is_due(output.at, bench.now) {
                    told.tell(bench.rack.newest_reading().unwrap(), output.at, bench.now);
                    count += 1;
                }
                age = age.max(told.age(bench.now));
            });
        }
        assert!(count <= 5 * 34, "{modules} modules: told {count} times in 5 s");
        oldest.push((modules, age.as_millis()));
    }
    assert!(oldest.iter().all(|(_, age)| *age <= 200), "milliseconds by modules: {oldest:?}");
}

#[test]
fn a_ramp_of_many_modules_leaves_none_out_of_the_sum() {
    for modules in [2, 5, 8, 12] {
        let mut bench = Bench::delivering(modules, 12);
        let mut age = Duration::ZERO;
        for (sequence, current) in (2..).zip(13..100) {
            bench.set(sequence, current);
            bench.run_checked(100, |bench| {
                let output = bench.rack.output(bench.now).unwrap();
                age = age.max(bench.now.since(output.at));
                let least = Amps::new(current).scaled(8, 10) - Amps::new(2);
                assert!(output.value.current >= least, "{modules}: {} of {current}", output.value.current);
            });
        }
        assert!(age <= Duration::from_millis(140), "{modules} modules: {age:?}");
    }
}

#[test]
fn limits_of_the_configuration_bind() {
    let mut bench = Bench::start(2, "current_max = 50.0\npower_max = 8000.0");
    bench.run_ms(1000);
    assert_eq!(bench.current_max(), 50.0);
    bench.input(Input::Enable);
    bench.set(1, 50);
    bench.run_ms(1000);
    assert_eq!(bench.delivered(), Amps::new(40), "8 kW at 200 V");
}

#[test]
fn nothing_flows_after_enable_alone_nor_after_a_set_point_without_it() {
    let mut bench = Bench::ready(1);
    bench.set(1, 20);
    bench.run_ms(1000);
    assert_eq!(bench.delivered(), Amps::ZERO);
    bench.input(Input::Enable);
    bench.run_ms(1000);
    assert_eq!(bench.delivered(), Amps::ZERO);
}

#[test]
fn off_goes_before_everything_and_is_confirmed_when_all_are_off() {
    let mut bench = Bench::delivering(4, 100);
    bench.sent.clear();
    bench.actions.clear();
    bench.input(Input::Off);
    bench.run_ms(5);
    assert_eq!(bench.delivered(), Amps::ZERO);
    assert!(bench.sent.iter().all(|(_, _, request)| *request == Request::Switch { on: false }));
    bench.run_ms(10);
    assert_eq!(bench.actions, [Action::AllOff]);
    bench.run_ms(5000);
    assert_eq!(bench.delivered(), Amps::ZERO);
}

#[test]
fn a_new_epoch_begins_without_current() {
    let mut bench = Bench::delivering(2, 50);
    bench.input(Input::Enable);
    bench.run_ms(100);
    assert_eq!(bench.delivered(), Amps::ZERO);
    bench.set(1, 30);
    bench.run_ms(500);
    assert_eq!(bench.delivered(), Amps::new(30));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens to the lines, modules that obey never give more than the largest total of
    /// the time in which a deaf one may still follow an old set-point.
    #[test]
    fn modules_never_add_up_to_more_than_was_asked(
        events in proptest::collection::vec((0_u8..4, 0_u8..5, 0_i32..200, 100_u64..6000), 1..15),
    ) {
        let mut bench = Bench::ready(4);
        bench.input(Input::Enable);
        let mut asked: Vec<(Timestamp, Amps)> = Vec::new();
        for (sequence, (address, event, total, ms)) in (1..).zip(events) {
            match event {
                0 => bench.fake(address).mute ^= true,
                1 => bench.fake(address).deaf ^= true,
                2 => {
                    let cut = !bench.fake(address).mute;
                    (bench.fake(address).mute, bench.fake(address).deaf) = (cut, cut);
                }
                3 => bench.fake(address).available = Amps::new(total / 2),
                _ => {
                    bench.set(sequence, total);
                    asked.push((bench.now, Amps::new(total)));
                }
            }
            bench.run_checked(ms, |bench| {
                let old = Duration::from_secs(11);
                let latest = asked.iter().rposition(|(at, _)| bench.now.since(*at) > old).unwrap_or(0);
                let most = asked.iter().skip(latest).map(|(_, total)| *total).max().unwrap_or(Amps::ZERO);
                assert!(bench.delivered() <= most, "{} of {}", bench.delivered(), most);
            });
        }
    }
}
