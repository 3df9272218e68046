//! The rack against modules that do what the test tells them, in virtual time.

// A fake answers a few requests and none of the others.
#![allow(clippy::wildcard_enum_match_arm)]

mod bench;

use proptest::prelude::*;
use voltry_power_module::Conditions;

use self::bench::{Bench, supply};
use super::*;

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
fn a_set_point_that_never_rests_does_not_keep_the_readings_away() {
    let mut bench = Bench::delivering(5, 90);
    for (sequence, round) in (2..).zip(0_i64..3000) {
        // Up and down again, then ever lower: both are sent before ordinary readings.
        let tenths = if round < 1500 { 900 + round % 2 } else { 2400 - round };
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
    bench.run_ms(20);
    assert_eq!(bench.delivered(), Amps::ZERO, "four modules, four slots");
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

#[test]
fn the_share_of_a_module_that_no_longer_answers_is_not_given_to_others_before_it_is_off() {
    let mut bench = Bench::delivering(3, 90);
    // Cut off in both directions: it goes on delivering until its own limit of 10 s.
    (bench.fake(1).mute, bench.fake(1).deaf) = (true, true);
    bench.run_checked(2200, |bench| assert!(bench.delivered() <= Amps::new(90)));
    assert_eq!(bench.current_max(), 200.0, "it no longer counts as available");
    assert_eq!(bench.faults(), [codes::SILENT]);
    bench.run_checked(12_000, |bench| {
        assert!(bench.delivered() <= Amps::new(90), "{:?}", bench.delivered());
        assert_eq!(bench.fakes[&0].delivers(), Amps::new(30), "its share was given away");
    });
    bench.run_checked(3000, |bench| assert!(bench.delivered() <= Amps::new(90)));
    assert_eq!(bench.fakes[&0].delivers(), Amps::new(45), "now it is certainly off");
    // And back: the others give up its share before it switches on.
    (bench.fake(1).mute, bench.fake(1).deaf) = (false, false);
    bench.run_checked(3000, |bench| assert!(bench.delivered() <= Amps::new(90)));
    assert!(bench.fakes.values().all(|fake| fake.delivers() == Amps::new(30)));
}

#[test]
fn a_silent_module_that_still_hears_is_told_to_stop() {
    let mut bench = Bench::delivering(2, 60);
    bench.fake(1).mute = true;
    bench.run_ms(2200);
    assert_eq!(bench.fakes[&1].delivers(), Amps::ZERO);
    assert_eq!(bench.fakes[&0].delivers(), Amps::new(30), "we cannot know that it heard");
}

#[test]
fn a_smaller_total_takes_the_silent_share_into_account() {
    let mut bench = Bench::delivering(3, 90);
    (bench.fake(1).mute, bench.fake(1).deaf) = (true, true);
    bench.run_ms(2500);
    bench.set(2, 40);
    bench.run_ms(200);
    assert_eq!(bench.delivered(), Amps::new(40), "30 of them are the silent one's");
}

#[test]
fn a_start_with_a_module_missing_gives_nothing_until_it_is_certainly_off() {
    let mut bench = Bench::start(2, "");
    (bench.fake(1).mute, bench.fake(1).deaf) = (true, true);
    bench.run_ms(14_000);
    assert_eq!(bench.current_max(), 0.0);
    bench.run_ms(2_000);
    assert_eq!(bench.current_max(), 100.0);
}

#[test]
fn a_module_that_gives_more_than_it_was_told_is_taken_out() {
    let mut bench = Bench::delivering(2, 60);
    bench.fake(0).percent = 120;
    bench.run_ms(1500);
    assert_eq!(bench.faults(), [codes::DISOBEYS]);
    assert_eq!(bench.fakes[&0].delivers(), Amps::ZERO);
    bench.run_ms(500);
    assert_eq!(bench.fakes[&1].delivers(), Amps::new(60), "the other does it alone");
    bench.fake(0).percent = 100;
    bench.run_ms(2000);
    assert_eq!(bench.fakes[&0].delivers(), Amps::ZERO, "until somebody clears the fault");
    bench.input(Input::ClearFaults);
    bench.run_ms(1000);
    assert_eq!(bench.fakes[&0].delivers(), Amps::new(30));
}

#[test]
fn a_module_that_will_not_stop_ends_the_epoch_of_all() {
    let mut bench = Bench::delivering(2, 60);
    bench.fake(0).ignores_off = true;
    bench.input(Input::Enable);
    bench.set(2, 0);
    bench.fake(0).percent = 120;
    bench.input(Input::Off);
    bench.actions.clear();
    bench.run_ms(1500);
    assert_eq!(bench.faults(), [codes::WONT_STOP]);
    assert_eq!(bench.current_max(), 0.0);
    bench.input(Input::Enable);
    bench.set(3, 20);
    bench.run_ms(100);
    assert!(bench.actions.contains(&Action::EndEpoch));
    assert_eq!(bench.fakes[&1].delivers(), Amps::ZERO);
}

#[test]
fn answers_that_come_late_are_dated_by_their_questions() {
    let mut bench = Bench::delivering(1, 20);
    bench.fake(0).delay = Duration::from_millis(150);
    bench.run_checked(3000, |bench| {
        if let Some(output) = bench.rack.output(bench.now) {
            assert!(bench.now.since(output.at) <= module::FRESH);
        }
    });
    assert!(bench.rack.output(bench.now).is_some(), "150 ms is still fresh");
    bench.fake(0).delay = Duration::from_millis(600);
    bench.run_ms(1000);
    bench.run_checked(3000, |bench| {
        assert_eq!(bench.rack.output(bench.now), None, "a reading 600 ms old is not shown as new");
    });
    bench.fake(0).delay = Duration::from_millis(2);
    bench.run_ms(3000);
    assert!(bench.rack.output(bench.now).is_some());
}

#[test]
fn a_module_that_answers_three_seconds_late_is_out_until_it_answers_in_time() {
    let mut bench = Bench::delivering(2, 60);
    bench.fake(0).delay = Duration::from_secs(3);
    bench.run_ms(3500);
    assert_eq!(bench.current_max(), 100.0);
    bench.run_checked(20_000, |bench| {
        assert_eq!(bench.fakes[&0].delivers(), Amps::ZERO);
        assert_eq!(bench.current_max(), 100.0);
        assert!(bench.delivered() <= Amps::new(60));
    });
    bench.fake(0).delay = Duration::from_millis(2);
    bench.run_ms(8000);
    assert_eq!(bench.current_max(), 200.0);
    assert_eq!(bench.delivered(), Amps::new(60));
}

#[test]
fn a_few_lost_answers_cost_nothing() {
    let mut bench = Bench::delivering(2, 60);
    for _ in 0..20 {
        bench.fake(0).mute = true;
        bench.run_ms(40);
        bench.fake(0).mute = false;
        bench.run_checked(500, |bench| assert!(bench.rack.output(bench.now).is_some()));
    }
    assert_eq!(bench.delivered(), Amps::new(60));
    assert_eq!(bench.faults(), Vec::<String>::new());
}

#[test]
fn an_answer_from_an_address_that_is_not_ours_changes_nothing() {
    let mut bench = Bench::delivering(1, 20);
    let stranger = Message {
        source: Source::Module(7),
        reply: Reply::Output(Output { voltage: Volts::new(900), current: Amps::new(500) }),
    };
    assert!(!bench.rack.concerns(&stranger));
    bench.input(Input::Heard(stranger));
    bench.run_ms(200);
    assert_eq!(bench.rack.output(bench.now).unwrap().value.current, Amps::new(20));
    assert_eq!(bench.rack.modules(bench.now).len(), 1);
}

#[test]
fn an_answer_nobody_asked_for_is_no_measurement() {
    let mut bench = Bench::delivering(1, 20);
    for _ in 0..100 {
        let reply = Reply::Output(Output { voltage: Volts::new(900), current: Amps::new(500) });
        bench.input(Input::Heard(Message { source: Source::Module(0), reply }));
    }
    bench.run_ms(200);
    assert_eq!(bench.rack.output(bench.now).unwrap().value.current, Amps::new(20));
}

#[test]
fn two_modules_with_one_address_stop_everything() {
    let mut bench = Bench::delivering(2, 60);
    bench.fake(1).conditions = Conditions::NONE.with(Condition::DuplicateId);
    bench.run_ms(500);
    assert_eq!(bench.faults(), [codes::DUPLICATE]);
    assert_eq!(bench.delivered(), Amps::ZERO);
    assert!(bench.actions.contains(&Action::EndEpoch));
    assert_eq!(bench.current_max(), 0.0);
}

#[test]
fn an_alarm_takes_one_module_out_and_latches() {
    let mut bench = Bench::delivering(2, 60);
    bench.fake(1).conditions = Conditions::NONE.with(Condition::OverTemperature);
    bench.run_ms(1000);
    assert_eq!(bench.faults(), ["MREC3HighTemperature"]);
    assert_eq!(bench.current_max(), 100.0);
    assert_eq!(bench.fakes[&1].delivers(), Amps::ZERO);
    assert_eq!(bench.fakes[&0].delivers(), Amps::new(60));
    bench.fake(1).conditions = Conditions::NONE;
    bench.run_ms(1000);
    assert_eq!(bench.faults(), ["MREC3HighTemperature"], "it latches");
    bench.input(Input::ClearFaults);
    bench.run_ms(1000);
    assert_eq!((bench.faults(), bench.current_max()), (vec![], 200.0));
}

#[test]
fn a_module_whose_mains_come_late_needs_nobody() {
    let mut bench = Bench::start(1, "");
    bench.fake(0).conditions = Conditions::NONE.with(Condition::InputUnderVoltage);
    bench.run_ms(5000);
    assert_eq!((bench.faults(), bench.current_max()), (vec![], 0.0));
    bench.fake(0).conditions = Conditions::NONE;
    bench.run_ms(1000);
    assert_eq!(bench.current_max(), 100.0);
}

#[test]
fn derating_lowers_the_capability_and_moves_the_current() {
    let mut bench = Bench::delivering(2, 80);
    bench.fake(0).available = Amps::new(10);
    bench.fake(0).conditions = Conditions::NONE.with(Condition::PowerLimited);
    bench.run_ms(3500);
    assert_eq!(bench.current_max(), 110.0);
    assert_eq!(bench.fakes[&0].delivers(), Amps::new(10));
    assert_eq!(bench.fakes[&1].delivers(), Amps::new(70));
    assert_eq!(bench.faults(), Vec::<String>::new(), "it is no fault");
}

#[test]
fn a_refused_set_point_is_a_fault_and_the_module_stays_off() {
    let mut bench = Bench::ready(1);
    bench.fake(0).refuses_set = true;
    bench.input(Input::Enable);
    bench.set(1, 20);
    bench.run_ms(2000);
    assert_eq!(bench.faults(), [codes::REFUSES]);
    assert!(!bench.fakes[&0].on);
    assert!(!bench.actions.iter().any(|action| matches!(action, Action::Applied { .. })));
}

#[test]
fn a_module_that_starts_anew_gets_its_set_point_before_it_is_switched_on() {
    let mut bench = Bench::delivering(1, 20);
    bench.run_ms(1000);
    bench.fake(0).on = false;
    bench.fake(0).current = Amps::new(100);
    bench.run_checked(2000, |bench| assert!(bench.delivered() <= Amps::new(20)));
    assert_eq!(bench.delivered(), Amps::new(20));
}

#[test]
fn a_lost_link_ends_the_epoch_and_a_new_one_begins_with_off() {
    let mut bench = Bench::delivering(2, 60);
    bench.actions.clear();
    bench.input(Input::LinkLost("unplugged".into()));
    assert_eq!(bench.actions, [Action::EndEpoch]);
    assert_eq!(bench.current_max(), 0.0);
    assert_eq!(bench.faults(), [codes::LINK_LOST]);
    bench.sent.clear();
    bench.run_ms(3000);
    assert_eq!(bench.sent, [], "nothing can be sent");
    bench.input(Input::LinkUp);
    bench.run_ms(10);
    assert_eq!(bench.delivered(), Amps::ZERO);
    bench.run_ms(2000);
    assert_eq!(bench.current_max(), 200.0);
    bench.input(Input::ClearFaults);
    assert_eq!(bench.faults(), Vec::<String>::new());
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
