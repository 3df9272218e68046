//! SLAC under virtual time: what must be matched is, and nothing else.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

#[path = "matching/malformed.rs"]
mod malformed;
#[path = "matching/modem.rs"]
mod modem;

use crate::world;

use std::time::Duration;

use iso15118::slac::Mmtype;
use voltry_bus::{PilotOutput, PowerlineState};
use voltry_secc::slac::wire::{Mac, ModemKind};
use voltry_secc::slac::{Cause, Event};
use world::*;

const SECOND: Duration = Duration::from_secs(1);

/// A vehicle sounds so often, and the modem hears it so weakly.
fn sounds(world: &mut World, from: Mac, run: [u8; 8], times: usize, db: u8) {
    for _ in 0..times {
        world.inject(&sound(from, run));
        world.inject(&profile(MODEM, from, db));
    }
}

const NEAR: Mac = [2, 0xaa, 0, 0, 0, 1];
const FAR: Mac = [2, 0xaa, 0, 0, 0, 2];

fn is_up(world: &World) -> bool {
    world.slac.state() == PowerlineState::Up
}

/// Matched, and the modem says that the link is up.
fn linked(db: u8) -> World {
    let mut world = World::attached();
    world.start(Vehicle::new(1, db));
    world.until(3 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
    world.modem.link = true;
    world.until(SECOND, "a link", is_up);
    world
}

#[test]
fn a_vehicle_gets_the_modems_key_and_the_link_comes_up() {
    let mut world = World::attached();
    world.start(Vehicle::new(1, 30));
    let took = world.until(3 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
    // It waits 200 ms for stations, sounds for 520, and 200 after the last report it heard.
    assert!(took < Duration::from_millis(1200), "{took:?}");
    assert_eq!(world.vehicles[0].key, Some(world.key()));
    assert_eq!(world.slac.state(), PowerlineState::Joining);
    assert!(!world.slac.is_linked(), "the modem has not said so");
    world.modem.link = true;
    world.until(SECOND / 2, "a link", is_up);
    let measured = |event: &Event| matches!(event, Event::Measured { attenuation: 300, sounds: 10, .. });
    assert!(world.saw(measured), "{:?}", world.events);
}

#[test]
fn each_vehicle_has_a_key_of_its_own() {
    let mut world = linked(30);
    let first = world.key();
    world.slac.detach();
    world.run(SECOND / 10);
    assert_ne!(world.key(), first, "whoever had it is out of the network");
    assert_eq!(world.slac.state(), PowerlineState::Idle);
    world.slac.attach(world.now);
    world.start(Vehicle::new(2, 30));
    world.until(3 * SECOND, "a match", |world| world.vehicles[1].key.is_some());
    assert_eq!(world.vehicles[1].key, Some(world.key()));
}

#[test]
fn nobody_is_answered_while_no_vehicle_is_attached_or_the_modem_has_no_key() {
    let mut world = World::new(ModemKind::Qca7000);
    world.inject(&parm_req([2; 6], [0; 8]));
    assert_eq!(world.count(Mmtype::SlacParmCnf), 0, "nobody is attached");
    world.modem.answers = false;
    world.slac.detach();
    world.slac.attach(world.now);
    world.run(SECOND / 10);
    world.inject(&parm_req([2; 6], [0; 8]));
    assert_eq!(world.count(Mmtype::SlacParmCnf), 0, "no key is set");
    world.modem.answers = true;
    world.run(2 * SECOND);
    world.inject(&parm_req([2; 6], [0; 8]));
    assert_eq!(world.count(Mmtype::SlacParmCnf), 1);
}

/// RunIDs as real vehicles send them: zeros from one, a constant text from another.
#[test]
fn of_two_vehicles_with_the_same_run_id_the_nearer_one_is_matched() {
    for first in [25, 60] {
        for delay in [0, 20, 150, 300] {
            let mut world = World::attached();
            world.start(Vehicle::with_run(1, first, [0; 8]));
            world.run(Duration::from_millis(delay));
            world.start(Vehicle::with_run(2, 85 - first, [0; 8]));
            let near = usize::from(first == 60);
            world.until(4 * SECOND, "a match", |world| world.vehicles[near].key == Some(world.key()));
            world.modem.link = true;
            world.until(SECOND, "a link", is_up);
            let far = &world.vehicles[1 - near];
            assert_ne!(far.key, Some(world.key()), "{first} dB first, the other {delay} ms later");
        }
    }
}

#[test]
fn a_farther_vehicle_gets_no_key_even_if_the_nearer_one_never_asks() {
    let mut world = World::attached();
    for (vehicle, db) in [(FAR, 60), (NEAR, 30)] {
        world.inject(&start_atten(vehicle, [0; 8]));
        sounds(&mut world, vehicle, [0; 8], 10, db);
    }
    for _ in 0..5 {
        world.inject(&match_req(FAR, [0; 8]));
        world.run(SECOND / 5);
    }
    assert_eq!(world.count(Mmtype::SlacMatchCnf), 0);
    assert!(world.saw(|event| matches!(event, Event::Farther { vehicle: FAR, nearer: (NEAR, 300), .. })));
    // Eleven seconds after it was measured the nearer one has plainly chosen another station.
    world.run(11 * SECOND);
    world.inject(&start_atten(FAR, [1; 8]));
    sounds(&mut world, FAR, [1; 8], 10, 60);
    world.inject(&match_req(FAR, [1; 8]));
    assert_eq!(world.count(Mmtype::SlacMatchCnf), 1);
}

#[test]
fn who_asks_waits_until_others_are_measured_but_not_longer_than_a_vehicle_waits() {
    for near_is_measured in [true, false] {
        let mut world = World::attached();
        world.inject(&start_atten(FAR, [1; 8]));
        sounds(&mut world, FAR, [1; 8], 10, 60);
        world.inject(&start_atten(NEAR, [2; 8]));
        sounds(&mut world, NEAR, [2; 8], 9, 30);
        world.inject(&match_req(FAR, [1; 8]));
        world.run(Duration::from_millis(170));
        assert_eq!(world.count(Mmtype::SlacMatchCnf), 0, "the other one is still sounding");
        if near_is_measured {
            sounds(&mut world, NEAR, [2; 8], 1, 30);
        }
        world.run(Duration::from_millis(20));
        assert_eq!(world.count(Mmtype::SlacMatchCnf), usize::from(!near_is_measured));
    }
}

#[test]
fn a_message_counts_for_the_run_that_it_names() {
    let mut world = World::attached();
    world.inject(&start_atten(NEAR, [2; 8]));
    for _ in 0..10 {
        world.inject(&sound(NEAR, [1; 8]));
    }
    sounds(&mut world, NEAR, [2; 8], 10, 30);
    world.inject(&atten_char_rsp(NEAR, [1; 8]));
    world.inject(&match_req(NEAR, [1; 8]));
    assert_eq!((world.count(Mmtype::AttenCharInd), world.count(Mmtype::SlacMatchCnf)), (1, 0));
    world.run(SECOND / 2);
    assert_eq!(world.count(Mmtype::AttenCharInd), 3, "an answer in another run is none");
    world.inject(&match_req(NEAR, [2; 8]));
    assert_eq!(world.count(Mmtype::SlacMatchCnf), 1);
}

#[test]
fn a_nearer_vehicle_takes_the_place_of_one_that_was_matched_wrongly_under_a_new_key() {
    let mut world = linked(60);
    let wrong = world.key();
    let mut near = Vehicle::new(2, 30);
    near.persistent = true;
    world.start(near);
    world.until(4 * SECOND, "a match", |world| world.vehicles[1].key.is_some());
    assert_ne!(world.key(), wrong);
    assert_eq!(world.vehicles[1].key, Some(world.key()));
    assert!(world.saw(|event| matches!(event, Event::LinkLost([.., 1]))));
}

#[test]
fn who_talks_is_not_disturbed_by_a_nearer_vehicle() {
    let mut world = linked(60);
    let key = world.key();
    world.slac.set_engaged(true);
    world.start(Vehicle::new(2, 30));
    world.run(15 * SECOND);
    assert_eq!((world.vehicles[1].key, world.key()), (None, key));
    assert!(world.saw(|event| matches!(event, Event::Busy([.., 2]))) && is_up(&world));
}

/// Volkswagen's draw a new address for each run.
#[test]
fn a_vehicle_that_comes_back_under_another_address_is_matched() {
    for db in [29, 31, 36] {
        let mut world = linked(30);
        let key = world.key();
        world.run(11 * SECOND);
        world.start(Vehicle::new(2, db));
        world.until(4 * SECOND, "a match", |world| world.vehicles[1].key.is_some());
        assert_ne!(world.key(), key);
        assert_eq!(world.vehicles[1].key, Some(world.key()));
    }
}

#[test]
fn a_farther_vehicle_is_never_matched_beside_a_linked_one() {
    let mut world = linked(30);
    world.start(Vehicle::new(2, 60));
    world.run(15 * SECOND);
    assert_eq!(world.vehicles[1].key, None);
    assert!(is_up(&world));
}

#[test]
fn a_linked_vehicle_may_match_again() {
    let mut world = linked(30);
    world.start(Vehicle::with_run(1, 30, [9; 8]));
    world.until(3 * SECOND, "a match", |world| world.vehicles[1].key == Some(world.key()));
    world.until(SECOND, "a link", is_up);
}

#[test]
fn any_one_lost_frame_costs_at_most_a_repetition() {
    let mut lossless = World::attached();
    lossless.start(Vehicle::new(1, 30));
    let mut slowest = Duration::ZERO;
    for lost in 1..40 {
        let mut world = World::attached();
        world.loses = Box::new(move |number, _| number == lost);
        let mut vehicle = Vehicle::new(1, 30);
        vehicle.persistent = true;
        world.start(vehicle);
        let took = world.until(20 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
        slowest = slowest.max(took);
    }
    println!("slowest match with one frame lost: {slowest:?}");
}

#[test]
fn a_report_that_nobody_answers_is_repeated_twice() {
    let mut world = World::attached();
    world.loses = Box::new(|_, bytes| bytes[15..17] == [0x6e, 0x60]);
    world.start(Vehicle::new(1, 30));
    world.run(3 * SECOND);
    assert_eq!(world.count(Mmtype::AttenCharInd), 3);
}

#[test]
fn a_report_that_was_answered_is_not_repeated() {
    let mut world = World::attached();
    world.start(Vehicle::new(1, 30));
    world.until(3 * SECOND, "a report", |world| world.count(Mmtype::AttenCharInd) == 1);
    let (vehicle, run) = (world.vehicles[0].mac, world.vehicles[0].run);
    world.inject(&atten_char_rsp(vehicle, run));
    world.run(2 * SECOND);
    assert_eq!(world.count(Mmtype::AttenCharInd), 1);
}

#[test]
fn a_vehicle_that_never_answers_a_report_is_matched_all_the_same() {
    let mut world = World::attached();
    world.loses = Box::new(|_, bytes| bytes[15..17] == [0x6f, 0x60]);
    world.start(Vehicle::new(1, 30));
    world.until(3 * SECOND, "a match without CM_ATTEN_CHAR.RSP", |world| world.vehicles[0].key.is_some());
}

#[test]
fn a_lost_confirmation_of_the_match_is_repeated_when_asked_again() {
    let mut world = World::attached();
    world.loses = Box::new(|_, bytes| bytes[15..17] == [0x7d, 0x60]);
    world.start(Vehicle::new(1, 30));
    world.until(3 * SECOND, "a match", |world| world.slac.state() == PowerlineState::Joining);
    world.run(SECOND);
    for _ in 0..3 {
        world.inject(&match_req([0x02, 0xee, 0, 0, 0, 1], [1; 8]));
    }
    let confirmations: Vec<_> = world
        .sent
        .iter()
        .filter(|(_, frame)| frame[15..17] == [0x7d, 0x60])
        .map(|(_, frame)| frame)
        .collect();
    assert_eq!(confirmations.len(), 4);
    assert!(confirmations.iter().all(|frame| *frame == confirmations[0]));
}

#[test]
fn a_request_for_parameters_is_answered_in_the_middle_of_a_run_and_after_it() {
    let mut world = World::attached();
    world.start(Vehicle::new(1, 30));
    world.run(SECOND / 2);
    let (vehicle, run) = (world.vehicles[0].mac, world.vehicles[0].run);
    world.inject(&parm_req(vehicle, run));
    assert_eq!(world.count(Mmtype::SlacParmCnf), 2);
    world.until(3 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
    world.inject(&parm_req(vehicle, run));
    assert_eq!(world.count(Mmtype::SlacParmCnf), 3);
}

#[test]
fn lost_sounds_are_reported_by_those_that_came() {
    let mut world = World::attached();
    let mut sounds = 0;
    world.loses = Box::new(move |_, bytes| {
        sounds += usize::from(bytes[15..17] == [0x76, 0x60]);
        bytes[15..17] == [0x76, 0x60] && sounds % 3 == 0
    });
    world.start(Vehicle::new(1, 30));
    world.until(3 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
    assert!(world.saw(|event| matches!(event, Event::Measured { sounds: 7, attenuation: 300, .. })));
}

#[test]
fn the_stations_own_wiring_is_taken_off() {
    let mut world = World::with(voltry_secc::slac::Matching {
        attenuation_offset_db: 10,
        ..matching(ModemKind::Qca7000)
    });
    world.slac.attach(world.now);
    world.start(Vehicle::new(1, 30));
    world.until(3 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
    assert!(world.saw(|event| matches!(event, Event::Matched { attenuation: 200, .. })));
}

#[test]
fn a_vehicle_that_was_not_measured_gets_no_key() {
    let mut world = World::attached();
    let vehicle = [2; 6];
    world.inject(&match_req(vehicle, [5; 8]));
    world.inject(&start_atten(vehicle, [5; 8]));
    world.inject(&match_req(vehicle, [5; 8]));
    world.run(2 * SECOND);
    world.inject(&match_req(vehicle, [5; 8]));
    assert_eq!(world.count(Mmtype::SlacMatchCnf), 0);
}

#[test]
fn a_request_to_another_station_is_not_ours_to_answer() {
    let mut world = World::attached();
    world.start(Vehicle::new(1, 30));
    world.until(SECOND, "a report", |world| world.count(Mmtype::AttenCharInd) == 1);
    let mut request = match_req(world.vehicles[0].mac, world.vehicles[0].run);
    // evse_mac: after header (19), types (2), length (2), PEV ID (17), PEV MAC (6), EVSE ID (17).
    request[63] ^= 1;
    world.inject(&request);
    assert_eq!(world.count(Mmtype::SlacMatchCnf), 0);
}

#[test]
fn a_vehicle_that_says_nothing_is_started_anew_by_its_pilot_twice_and_then_left_alone() {
    let mut world = World::attached();
    let start = world.now;
    world.run(200 * SECOND);
    let (f, digital) = (PilotOutput::F, PilotOutput::Digital);
    assert_eq!(pilots(&world, start), [(400, f), (445, digital), (845, f), (890, digital)]);
    assert!(world.saw(|event| *event == Event::Unmatched(Cause::Unheard, None)));
    assert_eq!((world.slac.state(), world.slac.retries()), (PowerlineState::Unmatched, 3));
    world.start(Vehicle::new(1, 30));
    world.until(3 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
}

/// What the pilot was asked for, and when: tenths of a second since `start`.
fn pilots(world: &World, start: voltry_units::Timestamp) -> Vec<(u128, PilotOutput)> {
    let asked = |(at, event): &(voltry_units::Timestamp, Event)| match event {
        Event::Pilot(output) => Some((at.since(start).as_millis() / 100, *output)),
        _ => None,
    };
    world.events.iter().filter_map(asked).collect()
}

#[test]
fn a_run_under_way_is_not_cut_off_by_the_pilot() {
    let mut world = World::attached();
    world.run(Duration::from_millis(39_700));
    world.start(Vehicle::new(1, 30));
    world.until(3 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
    assert!(!world.saw(|event| matches!(event, Event::Pilot(_))));
}

#[test]
fn a_vehicle_that_does_not_join_is_started_anew_under_another_key() {
    let mut world = World::attached();
    world.start(Vehicle::new(1, 30));
    world.until(3 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
    let key = world.key();
    let took =
        world.until(20 * SECOND, "state F", |world| world.saw(|event| matches!(event, Event::Pilot(_))));
    assert!(took.abs_diff(12 * SECOND) < SECOND / 10, "{took:?}");
    assert!(world.saw(|event| *event == Event::Unmatched(Cause::NotJoined, Some(1))));
    world.run(SECOND);
    assert_ne!(world.key(), key);
}

/// [V2G3-M07-05]: X2, X1, F, X2.
#[test]
fn a_vehicle_that_was_linked_is_started_anew_by_a_toggle_through_x1() {
    let mut world = linked(30);
    let (start, key) = (world.now, world.key());
    world.modem.link = false;
    world.until(3 * SECOND, "a lost link", |world| {
        world.slac.state() == PowerlineState::Reinitialising && world.key() != key
    });
    let lost = world.now.since(start).as_millis() / 100;
    world.run(10 * SECOND);
    let (x1, f, digital) = (PilotOutput::X1, PilotOutput::F, PilotOutput::Digital);
    assert_eq!(pilots(&world, start), [(lost, x1), (lost + 35, f), (lost + 80, digital)]);
    assert_eq!(world.slac.state(), PowerlineState::Matching);
    world.start(Vehicle::new(2, 30));
    world.until(3 * SECOND, "a match", |world| world.vehicles[1].key == Some(world.key()));
}

#[test]
fn a_vehicle_that_joins_and_says_nothing_is_started_anew_twice_and_then_left_in_the_network() {
    let mut world = World::attached();
    for time in 1..=3 {
        world.start(Vehicle::new(time, 30));
        let index = usize::from(time) - 1;
        world.until(3 * SECOND, "a match", |world| world.vehicles[index].key.is_some());
        world.modem.link = true;
        world.until(SECOND, "a link", is_up);
        let expected = Event::Unmatched(Cause::Mute, (time < 3).then_some(time.into()));
        let took =
            world.until(31 * SECOND, "an end of patience", |world| world.saw(|event| *event == expected));
        assert!(took > 29 * SECOND, "{took:?}");
        if time < 3 {
            world.until(8 * SECOND, "a new offer", |world| world.slac.state() == PowerlineState::Matching);
        }
    }
    world.run(60 * SECOND);
    assert!(is_up(&world), "late is better than never");
}

#[test]
fn a_vehicle_that_asks_for_discovery_or_talked_before_is_not_started_anew() {
    for talks in [false, true] {
        let mut world = linked(30);
        for _ in 0..4 {
            world.run(25 * SECOND);
            world.slac.heard_data(world.now);
        }
        world.slac.set_engaged(talks);
        world.slac.set_engaged(false);
        world.run(120 * SECOND);
        assert_eq!(is_up(&world), talks);
    }
}

#[test]
fn a_vehicle_whose_modem_sleeps_in_a_pause_finds_its_network_when_it_wakes() {
    let mut world = linked(30);
    let key = world.key();
    world.slac.set_engaged(true);
    world.slac.set_engaged(false);
    world.slac.let_sleep();
    world.modem.link = false;
    world.run(600 * SECOND);
    assert_eq!(world.key(), key);
    assert!(!world.saw(|event| matches!(event, Event::Pilot(_))));
    world.modem.link = true;
    world.slac.set_engaged(true);
    world.modem.link = false;
    world
        .until(3 * SECOND, "a lost link", |world| world.saw(|event| *event == Event::Pilot(PilotOutput::X1)));
}

#[test]
fn a_vehicles_datagram_proves_the_link_before_the_modem_does() {
    let mut world = World::attached();
    world.slac.heard_data(world.now);
    assert!(!world.slac.is_linked(), "nobody has the key");
    world.start(Vehicle::new(1, 30));
    world.until(3 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
    world.slac.heard_data(world.now);
    assert!(world.slac.is_linked());
}
