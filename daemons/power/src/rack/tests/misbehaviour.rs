//! Modules that fall silent, disobey, answer late or report alarms.

use super::bench::Fake;
use super::*;
use voltry_power_module::infypower;

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

fn unasked(address: u8) -> Input {
    let reply = Reply::Output(Output { voltage: Volts::new(900), current: Amps::new(500) });
    Input::Heard(Message { source: Source::Module(address), reply })
}

#[test]
fn an_answer_nobody_asked_for_is_no_measurement_and_a_few_are_no_fault() {
    let mut bench = Bench::delivering(1, 20);
    for _ in 0..4 {
        (0..3).for_each(|_| bench.input(unasked(0)));
        bench.run_ms(2_000);
        assert_eq!(bench.rack.output(bench.now).unwrap().value.current, Amps::new(20));
    }
    assert_eq!(bench.faults(), Vec::<String>::new());
}

/// Ended, and off until what made it so is gone and somebody clears it.
fn assert_blocked_until_cleared(bench: &mut Bench, code: &str, end: impl FnOnce(&mut Bench)) {
    assert!(bench.faults().iter().any(|fault| fault == code), "{:?}", bench.faults());
    assert!(bench.actions.contains(&Action::EndEpoch));
    assert_eq!(bench.current_max(), 0.0);
    bench.run_ms(500);
    assert_eq!(bench.delivered(), Amps::ZERO);
    bench.input(Input::ClearFaults);
    end(bench);
    bench.run_ms(8_000);
    assert_eq!(bench.current_max(), 0.0, "it latches");
    bench.input(Input::ClearFaults);
    bench.run_ms(2_000);
    assert_eq!((bench.faults(), bench.current_max()), (vec![], 200.0));
}

#[test]
fn two_modules_that_answer_at_one_address_stop_everything() {
    let mut bench = Bench::delivering(2, 60);
    bench.fake(0).times = 2;
    bench.run_ms(1_500);
    assert_blocked_until_cleared(&mut bench, codes::UNASKED, |bench| bench.fake(0).times = 1);
}

#[test]
fn a_module_that_answers_for_another_stops_everything() {
    let mut bench = Bench::delivering(2, 60);
    bench.fake(1).speaks_as = Some(0);
    bench.run_ms(4_000);
    let cause =
        bench.rack.faults().to_wire().into_iter().find(|fault| fault.code == codes::UNASKED).unwrap().cause;
    assert!(cause.starts_with("module 0: 10 answers in "), "{cause}");
    assert_blocked_until_cleared(&mut bench, codes::UNASKED, |bench| bench.fake(1).speaks_as = None);
}

#[test]
fn a_module_that_says_to_be_two_stops_everything_and_one_that_was_exchanged_does_not() {
    let mut bench = Bench::delivering(2, 60);
    let exchanged = [0x56, 0x13, 0x0C, 0x15, 0xA3, 0xFB, 0x06, 0xA9];
    bench.fake(0).mute = true;
    bench.run_ms(3_000);
    bench.fake(0).serial = exchanged;
    bench.fake(0).mute = false;
    bench.run_ms(3_000);
    assert!(!bench.faults().contains(&codes::UNASKED.to_owned()), "{:?}", bench.faults());
    let other = (infypower::FAMILY.decode)(0x028B_F000, &Fake::new().serial).unwrap();
    bench.input(Input::Heard(other));
    assert_eq!(bench.faults().last().map(String::as_str), Some(codes::UNASKED));
    assert!(bench.actions.contains(&Action::EndEpoch));
}

#[test]
fn answers_that_are_late_or_lost_are_none_too_many() {
    for delay in [150, 600, 3_000] {
        let mut bench = Bench::delivering(2, 60);
        bench.fake(0).delay = Duration::from_millis(delay);
        bench.run_ms(20_000);
        bench.fake(0).mute = true;
        bench.run_ms(5_000);
        bench.fake(0).mute = false;
        bench.fake(0).delay = Duration::from_millis(2);
        bench.run_checked(10_000, |bench| {
            assert!(!bench.faults().contains(&codes::UNASKED.to_owned()), "{delay} ms late");
        });
    }
}

#[test]
fn a_bus_that_somebody_floods_or_that_takes_nothing_ends_the_epoch_and_latches() {
    let mut bench = Bench::delivering(2, 60);
    bench.input(Input::Traffic(Second::Flooded("the bus is 99 % full".into())));
    assert_blocked_until_cleared(&mut bench, codes::FLOODED, |bench| {
        bench.input(Input::Traffic(Second::Calm));
    });

    let mut bench = Bench::delivering(2, 60);
    bench.input(Input::BusOff("bus-off".into()));
    assert!(bench.actions.contains(&Action::EndEpoch));
    bench.sent.clear();
    bench.run_ms(1_000);
    assert_eq!(bench.sent, [], "nothing is kept for when it comes back");
    bench.input(Input::LinkUp);
    bench.run_ms(15);
    assert_eq!(bench.delivered(), Amps::ZERO, "the first that is sent is OFF");
    assert_blocked_until_cleared(&mut bench, codes::BUS_OFF, |bench| {
        bench.input(Input::BusOff("again".into()));
        bench.input(Input::LinkUp);
    });
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
