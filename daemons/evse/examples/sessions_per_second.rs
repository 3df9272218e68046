//! How many scripted sessions of 20 minutes the pure energy path steps through in a second on
//! one core. Prints one number; `cargo run --release -p voltry-evse --example sessions_per_second`.

#[path = "../tests/plant/mod.rs"]
mod plant;

use std::time::Duration;

use plant::World;
use voltry_bus::EvseState;
use voltry_evse::energy_path::EnergyPath;

/// The time that this process has had a core: other load does not count against it.
fn on_cpu() -> Duration {
    let statistics = std::fs::read_to_string("/proc/self/schedstat").expect("Linux keeps it");
    let nanos = statistics.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    Duration::from_nanos(nanos)
}

fn main() {
    let mut world = World::with(plant::installation());
    world.script = Some(Vec::new());
    for role in voltry_evse::energy_path::Role::ALL {
        world.feed(voltry_evse::energy_path::Input::Found(role));
    }
    world.until(EvseState::Available);
    world.vehicle.enough = 200.0;
    world.vehicle.plug();
    world.run(Duration::from_secs(20 * 60));
    assert_eq!(world.state(), EvseState::Charging, "{:?}", world.path.faults());
    let script = world.script.take().expect("it was recorded");

    let begin = on_cpu();
    let mut sessions = 0_u32;
    while on_cpu() - begin < Duration::from_secs(2) {
        let mut path = EnergyPath::new(plant::installation());
        let mut actions = 0_usize;
        for (now, input) in &script {
            actions += path.step(*now, *input).len();
        }
        assert!(path.state() == EvseState::Charging && actions > 24_000);
        sessions += 1;
    }
    let per_second = f64::from(sessions) / (on_cpu() - begin).as_secs_f64();
    println!("energy_path_sessions_per_s {per_second:.0} ({} inputs a session)", script.len());
}
