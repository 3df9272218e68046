//! How many scripted sessions of 20 minutes the pure energy path steps through in a second.

#[path = "../../../daemons/evse/tests/plant/mod.rs"]
pub(crate) mod plant;

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use plant::World;
use voltry_bus::EvseState;
use voltry_evse::energy_path::EnergyPath;

use crate::report::Report;

const SESSION: Duration = Duration::from_secs(20 * 60);
const MEASURED: Duration = Duration::from_secs(3);

/// The script is recorded once from the plant of the energy path's own tests: every input that
/// 20 minutes bring at 100 ms a measurement. Each run replays it on a new energy path.
pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let mut world = World::with(plant::installation());
    world.script = Some(Vec::new());
    for role in voltry_evse::energy_path::Role::ALL {
        world.feed(voltry_evse::energy_path::Input::Found(role));
    }
    world.until(EvseState::Available);
    world.vehicle.enough = 200.0;
    world.vehicle.plug();
    world.run(SESSION);
    assert_eq!(world.state(), EvseState::Charging, "{:?}", world.path.faults());
    let script = world.script.take().unwrap_or_default();
    let begin = on_a_core()?;
    let mut sessions = 0_u32;
    let spent = loop {
        let mut path = EnergyPath::new(plant::installation());
        let mut actions = 0_usize;
        for (now, input) in &script {
            actions += path.step(*now, *input).len();
        }
        assert!(path.state() == EvseState::Charging && actions > 24_000, "the replay took another way");
        sessions += 1;
        let spent = on_a_core()? - begin;
        if spent >= MEASURED {
            break spent;
        }
    };
    report.add("energy_path_sessions_per_s", f64::from(sessions) / spent.as_secs_f64());
    report.note(format!("energy path: {} inputs a session, by the time on a core", script.len()));
    Ok(())
}

/// The time that this process has had a core: other load does not count against it.
fn on_a_core() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}
