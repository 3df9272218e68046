//! What the station makes of its modem.

use super::*;

#[test]
fn every_kind_of_modem_tells_its_link_in_its_own_words() {
    for kind in [ModemKind::Qca7000, ModemKind::Cg5317, ModemKind::Generic] {
        let mut world = World::new(kind);
        world.slac.attach(world.now);
        world.start(Vehicle::new(1, 30));
        world.until(3 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
        world.run(SECOND);
        assert_eq!(is_up(&world), kind == ModemKind::Generic, "{kind:?}");
        world.modem.link = true;
        world.until(SECOND, "a link", is_up);
    }
}

#[test]
fn a_modem_that_takes_the_key_says_zero_or_one() {
    for result in [0, 1] {
        let mut world = World::new(ModemKind::Qca7000);
        world.modem.result = result;
        world.slac.detach();
        world.run(SECOND / 10);
        assert!(world.saw(|event| *event == Event::ModemReady(MODEM)));
    }
}

#[test]
fn a_modem_that_measures_nothing_is_told_of_and_nothing_is_invented() {
    let mut world = World::attached();
    world.modem.measures = false;
    world.start(Vehicle::new(1, 30));
    world.run(3 * SECOND);
    assert_eq!(world.count(Mmtype::AttenCharInd), 0);
    assert!(world.saw(|event| matches!(event, Event::NotMeasured([.., 1]))));
}

#[test]
fn attenuation_counts_only_from_our_own_modem() {
    let mut world = World::attached();
    world.modem.measures = false;
    world.start(Vehicle::new(1, 30));
    for _ in 0..10 {
        world.run(SECOND / 20);
        let (vehicle, stranger) = (world.vehicles[0].mac, [0x00, 0x01, 0x87, 0, 0, 0x66]);
        world.inject(&profile(stranger, vehicle, 1));
        world.inject(&profile(vehicle, vehicle, 1));
    }
    world.run(3 * SECOND);
    assert_eq!(world.count(Mmtype::AttenCharInd), 0);
}

#[test]
fn a_link_is_lost_when_the_modem_says_so_twice() {
    let mut world = linked(30);
    world.modem.link = false;
    world.run(Duration::from_millis(1500));
    assert!(is_up(&world), "once is not enough");
    world.until(2 * SECOND, "a lost link", |world| {
        world.saw(|event| matches!(event, Event::LinkLost([.., 1])))
    });
    assert_eq!(world.slac.state(), PowerlineState::Reinitialising);
}

#[test]
fn a_silent_modem_is_told_of_once_and_asked_on() {
    let mut world = World::new(ModemKind::Qca7000);
    world.modem.answers = false;
    world.slac.detach();
    world.run(30 * SECOND);
    let told = world.events.iter().filter(|(_, event)| *event == Event::ModemSilent).count();
    assert_eq!((told, world.slac.state()), (1, PowerlineState::ModemSilent));
    world.modem.answers = true;
    world.run(2 * SECOND);
    assert_eq!(world.slac.state(), PowerlineState::Idle);
}

#[test]
fn a_modem_that_started_anew_is_given_a_key_again() {
    let mut world = World::new(ModemKind::Qca7000);
    world.run(6 * SECOND);
    let keys = world.modem.keys.len();
    world.modem.answers = false;
    world.run(30 * SECOND);
    assert!(world.saw(|event| *event == Event::ModemSilent));
    world.modem.answers = true;
    world.run(2 * SECOND);
    assert_eq!(world.modem.keys.len(), keys + 1);
}

#[test]
fn a_modem_that_never_tells_its_link_does_not_keep_a_vehicle_waiting() {
    let modem = Modem { tells_link: false, ..Modem::default() };
    let mut world = World::with_modem(matching(ModemKind::Qca7000), modem);
    world.slac.attach(world.now);
    world.start(Vehicle::new(1, 30));
    world.until(4 * SECOND, "a link", is_up);
    assert!(world.saw(|event| *event == Event::LinkNotTold));
    world.slac.set_engaged(true);
    world.run(60 * SECOND);
    assert!(is_up(&world));
}

/// A reset, or a dip of its supply: the driver takes the carrier away, which is known at once.
#[test]
fn a_modem_that_loses_its_carrier_is_known_to_be_gone_at_once_and_keyed_when_it_is_back() {
    let mut world = linked(30);
    world.modem.answers = false;
    world.slac.carrier(world.now, false);
    world.run(Duration::from_millis(1));
    assert!(world.saw(|event| matches!(event, Event::LinkLost([.., 1]))));
    assert!(world.saw(|event| *event == Event::ModemSilent));
    assert_eq!(world.slac.state(), PowerlineState::ModemSilent);
    world.run(SECOND / 2);
    world.modem.answers = true;
    world.slac.carrier(world.now, true);
    world.run(Duration::from_millis(10));
    assert_eq!(world.slac.state(), PowerlineState::Reinitialising, "it has a key again");
}

#[test]
fn a_vehicle_that_joins_while_the_modem_starts_anew_is_started_anew_at_once() {
    let mut world = World::attached();
    world.start(Vehicle::new(1, 30));
    world.until(3 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
    world.slac.carrier(world.now, false);
    world.slac.carrier(world.now, true);
    world.run(Duration::from_millis(10));
    assert_eq!(world.slac.state(), PowerlineState::Reinitialising);
}
