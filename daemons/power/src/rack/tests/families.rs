//! What differs between families of modules.

use voltry_power_module::{FAMILIES, Family, Range, SetPoint};

use super::bench::supply_of;
use super::*;
use crate::load;
use crate::supply::{Shown, checked};

/// What a supply of the family must say beside its modules.
fn necessary(family: &Family) -> String {
    let rating =
        "rating = { voltage_min = 150.0, voltage_max = 1000.0, current_max = 100.0, power_max = 30000.0 }";
    let mut text = String::new();
    if !family.supports(Request::ReadCapability) {
        text += rating;
    }
    if family.silence_limit.is_none() {
        text += "\nsilence_limit_ms = 8000";
    }
    text
}

/// Families whose modules are spoken to one by one.
fn singles() -> impl Iterator<Item = &'static Family> {
    FAMILIES.iter().filter(|family| !family.grouped)
}

fn start(family: &Family, modules: u8, more: &str) -> Bench {
    let first = *family.addresses.start();
    let addresses: Vec<u8> = (first..first + modules).collect();
    let text = format!("modules = {addresses:?}\n{}\n{more}", necessary(family));
    Bench::with(supply_of(family.name, &text), modules)
}

fn ready(family: &Family, modules: u8, more: &str) -> Bench {
    let mut bench = start(family, modules, more);
    bench.run_ms(8000);
    assert_eq!(bench.faults(), Vec::<String>::new(), "{}", family.name);
    let rated = f64::from(modules) * 100.0;
    assert_eq!(bench.current_max(), rated, "{}", family.name);
    bench
}

fn delivering(family: &Family, modules: u8, current: i32) -> Bench {
    let mut bench = ready(family, modules, "");
    bench.input(Input::Enable);
    bench.set(1, current);
    bench.run_checked(4000, |bench| assert!(bench.delivered() <= Amps::new(current)));
    assert_eq!(bench.delivered(), Amps::new(current), "{}", family.name);
    bench
}

fn named(name: &str) -> &'static Family {
    Family::named(name).unwrap()
}

#[test]
fn modules_of_every_family_are_found_off_share_a_current_and_stop() {
    for family in singles() {
        let mut bench = start(family, 2, "");
        bench.run_ms(40);
        assert_eq!(bench.delivered(), Amps::ZERO, "{}: off before anything", family.name);
        let mut bench = delivering(family, 2, 60);
        assert!(bench.fakes.values().all(|fake| fake.delivers() == Amps::new(30)), "{}", family.name);
        assert!(bench.actions.contains(&Action::Applied { epoch: 9, sequence: 1 }), "{}", family.name);
        bench.run_ms(3000);
        let output = bench.rack.output(bench.now).unwrap();
        let expected = Output { voltage: Volts::new(200), current: Amps::new(60) };
        assert_eq!(output.value, expected, "{}", family.name);
        bench.set(2, 20);
        bench.run_ms(60);
        assert_eq!(bench.delivered(), Amps::new(20), "{}: lower at once", family.name);
        bench.actions.clear();
        bench.input(Input::Off);
        bench.run_ms(30);
        assert_eq!(bench.delivered(), Amps::ZERO, "{}", family.name);
        bench.run_ms(30);
        assert_eq!(bench.actions, [Action::AllOff], "{}", family.name);
        let shown = bench.rack.modules(bench.now).pop().unwrap();
        assert!(shown.online && shown.temperature > 20.0, "{}: {shown:?}", family.name);
    }
}

#[test]
fn a_silent_modules_share_stays_its_own_until_the_family_says_that_it_is_off() {
    for family in singles() {
        let mut bench = delivering(family, 3, 90);
        let cut = *family.addresses.start() + 1;
        (bench.fake(cut).mute, bench.fake(cut).deaf) = (true, true);
        let alone = bench.rack.supply.delivers_alone().unwrap();
        // It last heard a frame within the last second.
        let still = u64::try_from(alone.as_millis()).unwrap() - 1100;
        bench.run_checked(still, |bench| {
            assert!(bench.delivered() <= Amps::new(90), "{}", family.name);
            assert_eq!(bench.fakes[&cut].delivers(), Amps::new(30), "{}", family.name);
        });
        assert_eq!(bench.faults(), [codes::SILENT], "{}", family.name);
        bench.run_checked(8000, |bench| assert!(bench.delivered() <= Amps::new(90), "{}", family.name));
        assert_eq!(bench.delivered(), Amps::new(90), "{}: the others do it", family.name);
    }
}

#[test]
fn a_module_that_never_stops_by_itself_keeps_its_share_until_it_says_that_it_is_off() {
    let mut bench = ready(named("uugreenpower"), 2, "");
    bench.rack.supply.silence_limit = Some(Duration::ZERO);
    bench.input(Input::Enable);
    bench.set(1, 60);
    bench.run_ms(4000);
    (bench.fake(2).mute, bench.fake(2).deaf) = (true, true);
    bench.run_checked(120_000, |bench| assert!(bench.delivered() <= Amps::new(60)));
    assert_eq!(bench.fakes[&1].delivers(), Amps::new(30));
    (bench.fake(2).mute, bench.fake(2).deaf) = (false, false);
    bench.run_checked(8000, |bench| assert!(bench.delivered() <= Amps::new(60)));
    assert_eq!(bench.delivered(), Amps::new(60));
}

#[test]
fn a_module_that_starts_slowly_is_not_taken_for_one_that_stopped() {
    for family in singles() {
        let mut bench = ready(family, 1, "");
        bench.fakes.values_mut().for_each(|fake| fake.starts_in = Duration::from_millis(1800));
        bench.input(Input::Enable);
        bench.set(1, 20);
        bench.sent.clear();
        bench.run_ms(6000);
        let on = bench.sent.iter().filter(|(.., request)| matches!(request, Request::Switch { on: true }));
        let expected = usize::from(family.set_point != SetPoint::WithSwitch);
        assert_eq!(on.count(), expected, "{}: it is switched on once", family.name);
        assert!(!bench.sent.iter().any(|(.., request)| *request == Request::Switch { on: false }));
    }
}

#[test]
fn a_module_that_says_only_that_it_is_derated_can_give_what_it_gives() {
    for family in ["maxwell-mxr", "tonhe", "huawei-r100040gx"].map(named) {
        let mut bench = delivering(family, 2, 80);
        let first = *family.addresses.start();
        bench.fake(first).most = Amps::new(20);
        bench.fake(first).conditions = Conditions::NONE.with(Condition::DeratedByTemperature);
        bench.run_ms(4000);
        assert_eq!(bench.current_max(), 120.0, "{}", family.name);
        assert_eq!(bench.fakes[&first].current, Amps::new(20), "{}", family.name);
        assert_eq!(bench.fakes[&(first + 1)].delivers(), Amps::new(60), "{}", family.name);
        assert_eq!(bench.faults(), Vec::<String>::new(), "{}: it is no fault", family.name);
        // It cools down.
        bench.fake(first).most = Amps::MAX;
        bench.fake(first).conditions = Conditions::NONE;
        bench.run_ms(12_000);
        assert_eq!((bench.current_max(), bench.delivered()), (200.0, Amps::new(80)), "{}", family.name);
    }
}

#[test]
fn a_range_changes_only_with_the_output_off_and_only_where_it_must() {
    let mut bench = ready(named("uugreenpower"), 2, "range = 'by_voltage'");
    let set = |bench: &mut Bench, sequence, volts| {
        let (voltage, current) = (Volts::new(volts), Amps::new(20));
        bench.input(Input::Set { epoch: 9, sequence, voltage, current });
        bench.actions.clear();
        // The modules themselves fail the test if they are switched on, or changed, too early.
        bench.run_ms(8000);
        assert!(bench.actions.contains(&Action::Applied { epoch: 9, sequence }), "{volts} V");
        assert_eq!(bench.delivered(), Amps::new(20));
    };
    let ranges = |bench: &Bench| bench.fakes.values().map(|fake| fake.range).collect::<Vec<_>>();
    bench.input(Input::Enable);
    set(&mut bench, 1, 400);
    assert_eq!(ranges(&bench), [Range::Low; 2]);
    set(&mut bench, 2, 700);
    assert_eq!(ranges(&bench), [Range::High; 2]);
    let off =
        |bench: &Bench| bench.sent.iter().filter(|(.., sent)| *sent == Request::Switch { on: false }).count();
    let before = off(&bench);
    set(&mut bench, 3, 400);
    assert_eq!((ranges(&bench), off(&bench)), (vec![Range::High; 2], before), "it reaches 400 V too");
}

#[test]
fn a_low_range_does_not_promise_what_it_cannot_reach() {
    let bench = ready(named("uugreenpower"), 1, "range = 'low'");
    assert_eq!(bench.fakes[&1].range, Range::Low);
    assert_eq!(bench.rack.capability(bench.now).voltage_max, 500.0);
    let bench = ready(named("uugreenpower"), 1, "range = 'automatic'");
    assert_eq!(bench.fakes[&1].range, Range::Automatic, "once it echoed; it would tell what it chose");
}

#[test]
fn a_module_that_does_not_know_the_automatic_range_has_one_range_and_one_that_does_not_take_another_is_not_used()
 {
    let huawei = named("huawei-r100040gx");
    let mut bench = start(huawei, 1, "");
    bench.fake(1).refuses_set = true;
    bench.run_ms(8000);
    assert_eq!(bench.current_max(), 100.0);
    let mut bench = start(named("uugreenpower"), 1, "range = 'low'");
    bench.fake(1).refuses_set = true;
    bench.run_ms(8000);
    assert_eq!(bench.current_max(), 0.0);
}

#[test]
fn modules_that_clip_a_small_current_are_left_off_rather_than_give_too_much() {
    let mut bench = ready(named("tonhe"), 4, "");
    bench.input(Input::Enable);
    let on = |bench: &Bench| bench.fakes.values().filter(|fake| fake.on).count();
    for (sequence, (amps, most_on)) in (1..).zip([(2, 1), (9, 4), (3, 3), (0, 0), (1, 1)]) {
        bench.set(sequence, amps);
        bench.run_ms(200);
        bench.run_checked(3000, |bench| {
            assert!(bench.delivered() <= Amps::new(amps), "{}", bench.delivered());
        });
        assert_eq!((bench.delivered(), on(&bench)), (Amps::new(amps), most_on), "{amps} A");
        assert!(bench.actions.contains(&Action::Applied { epoch: 9, sequence }), "{amps} A");
    }
}

#[test]
fn modules_that_want_it_are_told_each_second_that_their_controller_lives() {
    for family in singles() {
        let mut bench = delivering(family, 2, 40);
        bench.sent.clear();
        bench.run_ms(10_000);
        let alive =
            bench.sent.iter().filter(|(_, to, sent)| (*to, *sent) == (Destination::All, Request::KeepAlive));
        let expected = if family.reports.is_some() { 9..=10 } else { 0..=0 };
        assert!(expected.contains(&alive.count()), "{}", family.name);
    }
}

#[test]
fn readings_of_a_family_that_reports_are_dated_by_the_report() {
    let mut bench = delivering(named("tonhe"), 2, 40);
    bench.run_checked(5000, |bench| {
        let output = bench.rack.output(bench.now).unwrap();
        assert!(bench.now.since(output.at) <= Duration::from_millis(510));
    });
    bench.fake(1).mute = true;
    bench.run_ms(1200);
    assert_eq!(bench.rack.output(bench.now).unwrap().value.current, Amps::new(20), "the other's alone");
}

#[test]
fn a_full_bus_of_every_family_is_under_half_loaded_and_read_in_time() {
    for family in singles() {
        let modules = u8::try_from(load::modules_max(family)).unwrap();
        let mut bench = delivering(family, modules, 100);
        bench.sent.clear();
        let mut oldest = Duration::ZERO;
        bench.run_checked(10_000, |bench| {
            let output = bench.rack.output(bench.now).unwrap();
            assert_eq!(output.value.current, Amps::new(100), "{}: one was left out", family.name);
            oldest = oldest.max(bench.now.since(output.at));
        });
        let answers = if family.reports.is_some() { 10 * 6 * u32::from(modules) } else { 0 };
        let frames = 2 * u32::try_from(bench.sent.len()).unwrap() + answers;
        // 160 bits at 125 kbit/s each, in ten seconds.
        assert!(frames * 128 < 500_000, "{}: {frames} frames", family.name);
        let limit = if family.reports.is_some() { 510 } else { 200 };
        assert!(oldest <= Duration::from_millis(limit), "{}: {oldest:?}", family.name);
    }
}

/// A group of three, ready.
fn group(more: &str) -> Bench {
    let family = named("infypower-beg");
    let text = format!("group = 2\ncount = 3\n{}\n{more}", necessary(family));
    let mut bench = Bench::with(supply_of(family.name, &text), 1);
    let (_, mut fake) = bench.fakes.pop_first().unwrap();
    fake.members = vec![(Conditions::NONE, true); 3];
    bench.fakes.insert(2, fake);
    bench.run_ms(8000);
    assert_eq!((bench.faults(), bench.current_max()), (vec![], 300.0));
    bench
}

fn group_delivering(more: &str) -> Bench {
    let mut bench = group(more);
    bench.input(Input::Enable);
    bench.set(1, 60);
    bench.run_ms(3000);
    assert_eq!(bench.delivered(), Amps::new(60), "the whole, which it shares by itself");
    assert!(bench.actions.contains(&Action::Applied { epoch: 9, sequence: 1 }));
    bench
}

#[test]
fn a_group_is_told_its_whole_current_and_shown_by_its_members() {
    let mut bench = group_delivering("");
    let to_the_group =
        |(_, to, _): &(_, Destination, _)| *to == Destination::Group(2) || *to == Destination::All;
    assert!(bench.sent.iter().all(to_the_group));
    let shown = bench.rack.modules(bench.now);
    let addresses: Vec<_> =
        shown.iter().map(|module| (module.address, module.group, module.online)).collect();
    assert_eq!(addresses, [(0, 2, true), (1, 2, true), (2, 2, true)]);
    assert_eq!(shown[0].current, 20.0);
    assert!(bench.rack.uses().iter().all(|used| used.share == 20.0));
    bench.actions.clear();
    bench.input(Input::Off);
    bench.run_ms(20);
    assert_eq!(bench.delivered(), Amps::ZERO);
    bench.run_ms(300);
    assert_eq!(bench.actions, [Action::AllOff]);
}

#[test]
fn a_group_is_off_only_when_each_of_its_modules_says_so_or_surely_is() {
    let mut bench = group_delivering("");
    bench.actions.clear();
    bench.fake(2).members[1].1 = false;
    bench.input(Input::Off);
    // It is missed after two seconds; it delivers for eight by itself, and five more are to be sure.
    bench.run_ms(14_500);
    assert_eq!((bench.actions.len(), bench.faults()), (0, vec![codes::SILENT.to_owned()]));
    bench.run_ms(1000);
    assert_eq!(bench.actions, [Action::AllOff]);
    bench.run_ms(4000);
    assert_eq!(bench.current_max(), 200.0, "the two others");
}

#[test]
fn a_module_of_a_group_with_an_alarm_makes_it_smaller_and_is_named() {
    let mut bench = group_delivering("");
    bench.fake(2).members[1].0 = Conditions::NONE.with(Condition::FanFault).with(Condition::DcOff);
    bench.run_ms(1000);
    assert_eq!(bench.faults(), ["PowerModuleFan"]);
    assert!(bench.rack.faults().to_wire()[0].cause.contains("module 1"));
    assert_eq!((bench.current_max(), bench.delivered()), (200.0, Amps::new(60)));
    assert_eq!(bench.rack.modules(bench.now)[1].alarms, ["fan fault"]);
    bench.fake(2).members[0].0 = Conditions::NONE.with(Condition::DuplicateId);
    bench.run_ms(1000);
    assert_eq!((bench.current_max(), bench.delivered()), (0.0, Amps::ZERO), "neither can be commanded");
}

#[test]
fn power_is_taken_from_a_vehicle_where_the_modules_can_and_turns_only_with_the_output_off() {
    let discharge = "discharge = { voltage_min = 150.0, current_max = 40.0, power_max = 7000.0 }";
    let mut bench = group_delivering(discharge);
    let can = bench.rack.discharge(bench.now);
    assert_eq!((can.voltage_min, can.current_max, can.power_max), (150.0, 40.0, 7000.0));
    bench.set(2, -30);
    // The fake fails the test if it is turned, or switched on, too early.
    bench.run_checked(1900, |bench| assert!(bench.delivered() <= Amps::new(60)));
    assert_eq!(bench.delivered(), Amps::ZERO, "on the way from one to the other");
    bench.run_ms(6000);
    assert!(bench.actions.contains(&Action::Applied { epoch: 9, sequence: 2 }));
    let fake = &bench.fakes[&2];
    assert_eq!((fake.inverting, fake.cut_off, fake.delivers()), (true, Some(Volts::new(150)), Amps::new(30)));
    assert_eq!(bench.rack.output(bench.now).unwrap().value.current, Amps::new(-30));
    assert_eq!(bench.rack.uses()[0].share, -10.0);
    bench.set(3, -40);
    bench.run_ms(1000);
    assert_eq!(bench.delivered(), Amps::new(35), "7 kW at 200 V");
    bench.set(4, 0);
    bench.run_ms(1000);
    assert!(bench.fakes[&2].on && bench.fakes[&2].inverting, "zero turns nothing");
    bench.set(5, 20);
    bench.run_ms(8000);
    assert_eq!((bench.fakes[&2].inverting, bench.delivered()), (false, Amps::new(20)));
    bench.set(6, -20);
    bench.run_ms(8000);
    bench.input(Input::Off);
    bench.run_ms(5000);
    assert!(!bench.fakes[&2].inverting, "it rests as a rectifier");
    let bench = group_delivering("");
    assert_eq!(bench.rack.discharge(bench.now).current_max, 0.0, "nothing is taken unless it is said");
    assert_eq!(bench.rack.discharge_rated().current_max, 0.0);
}

#[test]
fn a_set_point_from_the_vehicle_is_cut_to_the_configuration_and_to_modules_that_can_less() {
    let discharge = "discharge = { voltage_min = 150.0, current_max = 250.0, power_max = 60000.0 }";
    let mut bench = group_delivering(discharge);
    bench.set(2, -260);
    bench.run_ms(9000);
    assert_eq!((bench.fakes[&2].inverting, bench.delivered()), (true, Amps::new(250)), "as configured");
    bench.fake(2).members[1].0 = Conditions::NONE.with(Condition::FanFault).with(Condition::DcOff);
    bench.run_ms(1000);
    let limits = |bench: &Bench| {
        (bench.rack.discharge(bench.now).current_max, bench.rack.discharge_rated().current_max)
    };
    assert_eq!((limits(&bench), bench.delivered()), ((200.0, 250.0), Amps::new(200)), "two of three");
    for (sequence, wanted, given) in [(3, -250, 200), (4, -150, 150), (5, -250, 200)] {
        bench.set(sequence, wanted);
        bench.run_checked(1000, |bench| assert!(bench.delivered() <= Amps::new(200)));
        assert_eq!(bench.delivered(), Amps::new(given), "{wanted} A");
        assert!(bench.actions.contains(&Action::Applied { epoch: 9, sequence }), "{wanted} A");
    }
    let taken = |bench: &Bench, current| checked(200.0, current, &Shown::of(&bench.rack, bench.now)).is_ok();
    assert_eq!((taken(&bench, -250.0), taken(&bench, -250.1)), (true, false), "two of three");
    bench.fake(2).members[0].0 = Conditions::NONE.with(Condition::FanFault);
    bench.fake(2).members[2].0 = Conditions::NONE.with(Condition::FanFault);
    bench.run_ms(1000);
    assert_eq!((limits(&bench), bench.delivered()), ((0.0, 250.0), Amps::ZERO), "none of three");
    assert_eq!((taken(&bench, -250.0), taken(&bench, -250.1)), (true, false), "none of three");
    bench.set(6, -250);
    bench.run_checked(1000, |bench| assert_eq!(bench.delivered(), Amps::ZERO));
}

#[test]
fn power_from_a_vehicle_is_limited_at_its_batterys_voltage_not_at_the_lowest_it_may_fall_to() {
    for (power_max, given) in [(7000.0, 17.5), (200_000.0, 225.0)] {
        let discharge =
            format!("discharge = {{ voltage_min = 150.0, current_max = 250.0, power_max = {power_max:?} }}");
        let mut bench = group_delivering(&discharge);
        bench.set(2, -250);
        bench.run_ms(9000);
        bench.fake(2).battery = Some(Volts::new(400));
        bench.run_ms(1000);
        assert_eq!(bench.delivered().as_si(), given, "of {power_max} W, and of three times 30 kW");
    }
}

#[test]
fn a_group_is_rated_for_all_its_members_also_for_those_that_cannot_now() {
    let mut bench = group_delivering("");
    let rated = |bench: &Bench| (bench.current_max(), bench.rack.current_rated());
    assert_eq!(rated(&bench), (300.0, Amps::new(300)));
    bench.fake(2).members[1].0 = Conditions::NONE.with(Condition::FanFault).with(Condition::DcOff);
    bench.run_ms(1000);
    assert_eq!(rated(&bench), (200.0, Amps::new(300)));
    for member in &mut bench.fake(2).members {
        member.0 = Conditions::NONE.with(Condition::FanFault);
    }
    bench.run_ms(1000);
    assert_eq!(rated(&bench), (0.0, Amps::new(300)), "a set-point is cut, not answered as if none was there");
}
