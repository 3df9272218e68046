//! What must not happen when modules, contactors or measurements fail.

use super::*;

fn wire(world: &mut World, group: usize) -> &mut Wire {
    world.wires.iter_mut().find(|wire| wire.contactor == Contactor { group, evse: 0 }).unwrap()
}

/// A step of the pool alone, in which nothing else changes.
fn tick(world: &mut World) -> Vec<Action> {
    world.now += TICK;
    world.pool.step(at(world.now), Input::Tick)
}

#[test]
fn a_lost_group_counts_with_what_it_was_told_where_it_gives_more_than_it_was_heard_to_give() {
    let mut world = World::new(2, 1, &[]);
    world.plug(0, 80);
    world.run(60);
    assert_eq!(world.serves(0), 2);
    world.pool.rules.dwell = Duration::from_secs(3_600);
    world.cars[0].wish = Amps::new(10);
    world.run(5);
    world.cars[0].wish = Amps::new(80);
    world.step().unwrap();
    // It heard that it has to give 40 A, and nobody hears of it again.
    world.modules[0].silent = (world.now + 1, world.now + 9_000);
    world.run(8);
    assert_eq!(world.modules[0].amps, Amps::new(40));
    assert!(matches!(world.pool.groups()[0].state, State::Lost { current, .. } if current == Amps::new(40)));
    assert_eq!(world.cars[0].got, Amps::new(50), "what it asks for, and no more");
}

#[test]
fn a_contactor_is_told_to_close_no_more_when_the_voltage_that_it_closes_into_is_not_known() {
    let mut world = World::new(1, 1, &[]);
    world.plug(0, 40);
    while !matches!(world.pool.groups()[0].state, State::Closing { .. }) {
        world.step().unwrap();
    }
    let blind = Want { active: true, enabled: true, voltage: BATTERY, ..Want::default() };
    let _ = world.pool.step(at(world.now), Input::Want(0, blind));
    let actions = tick(&mut world);
    let contactor = Contactor { group: 0, evse: 0 };
    assert!(actions.contains(&Action::Open(contactor)), "{actions:?}");
    assert!(!actions.contains(&Action::Close(contactor)), "{actions:?}");
}

#[test]
fn modules_that_fall_silent_while_their_contactor_closes_are_told_to_open_it() {
    let mut world = World::new(1, 1, &[]);
    world.plug(0, 40);
    while !matches!(world.pool.groups()[0].state, State::Closing { .. }) {
        world.step().unwrap();
    }
    let contactor = Contactor { group: 0, evse: 0 };
    let actions: Vec<_> = (0..6).flat_map(|_| tick(&mut world)).collect();
    assert!(matches!(world.pool.groups()[0].state, State::Lost { .. }));
    assert!(actions.contains(&Action::Open(contactor)), "{actions:?}");
    assert_eq!(actions.last(), Some(&Action::Open(contactor)), "{actions:?}");
}

#[test]
fn modules_that_are_off_match_no_voltage_that_they_are_to_hold() {
    let mut world = World::new(2, 1, &[]);
    world.plug(0, 80);
    while !matches!(world.pool.groups()[1].state, State::Matching { .. }) {
        world.step().unwrap();
    }
    let falling = Seen { is_off: true, voltage: BATTERY, ..world.seen(1) };
    let _ = world.pool.step(at(world.now), Input::Seen(1, falling));
    let closes = Action::Close(Contactor { group: 1, evse: 0 });
    assert!(!tick(&mut world).contains(&closes));
    let _ = world.pool.step(at(world.now), Input::Seen(1, Seen { is_off: false, ..falling }));
    assert!(tick(&mut world).contains(&closes));
}

#[test]
fn the_only_contactor_that_is_closed_and_falls_open_is_latched() {
    for leaves in [false, true] {
        let mut world = World::new(1, 1, &[]);
        world.plug(0, 40);
        world.run(30);
        assert_eq!(world.serves(0), 1);
        if leaves {
            world.cars[0] = Car::default();
            while !matches!(world.pool.groups()[0].state, State::Ramping { .. }) {
                world.step().unwrap();
            }
        }
        wire(&mut world, 0).closed = false;
        let fell = Input::Feedback(Contactor { group: 0, evse: 0 }, Position::Open);
        let _ = world.pool.step(at(world.now), fell);
        assert!(!world.pool.all_fell_open());
        let actions = tick(&mut world);
        assert!(actions.contains(&Action::Off(0)), "{actions:?}");
        let barred = State::Barred { evse: Some(0), why: Why::FellOpen };
        assert_eq!(world.pool.groups()[0].state, barred, "leaves: {leaves}");
        world.run(40);
        assert_eq!(world.pool.groups()[0].state, barred, "until somebody clears it");
    }
}

#[test]
fn contactors_that_all_open_at_once_are_their_drivers_doing() {
    let mut world = World::new(2, 1, &[]);
    world.plug(0, 80);
    world.run(30);
    assert_eq!(world.serves(0), 2);
    let fell = |group| Input::Feedback(Contactor { group, evse: 0 }, Position::Open);
    let _ = world.pool.step(at(world.now), fell(0));
    assert!(!world.pool.all_fell_open());
    let _ = world.pool.step(at(world.now), fell(1));
    assert!(world.pool.all_fell_open());
}
