//! What must not happen when modules, contactors or measurements fail.

use super::*;

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
