//! How long a decision about the power of 64 EVSEs takes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use voltry_station::energy::{
    Connection, Energy, Evse, Flowing, Losses, Reading, Rules, Silence, Stage, Strategy,
};
use voltry_units::{Timestamp, Watts};

use crate::report::Report;

const EVSES: usize = 64;
const ROUNDS: u32 = 2_000;

/// The slowest strategy: each EVSE has a rank of its own, and there is not enough for all. In each
/// decision an EVSE tells what flows, the meter at the connection reads, and every EVSE answers its
/// permit; the worst hundredth counts.
pub(crate) fn measure(report: &mut Report) {
    let rules = Rules {
        strategy: Strategy::FirstCome,
        floor: Watts::new(5_000),
        losses: Losses { efficiency: 955, own: Watts::new(2_000) },
        limit: Watts::new(4_000_000),
        connection: Some(Connection {
            limit: Watts::new(3_000_000),
            phase_limit: None,
            silent_after: Duration::from_secs(5),
            silent_floor: Watts::new(500_000),
        }),
        speakers: vec![(
            "ems".to_owned(),
            Silence { after: Duration::from_secs(60), floor: Watts::new(500_000) },
        )],
        temperature: None,
    };
    let at = |round: u32| Timestamp::from_micros(1_000_000_000 + u64::from(round) * 100_000);
    let mut energy = Energy::new(at(0), rules, EVSES);
    let evses: Vec<_> = (0..EVSES)
        .map(|place| Evse {
            active: place % 8 != 0,
            stage: if place % 5 == 0 { Stage::Preparing } else { Stage::Delivering },
            most: Watts::new(150_000 - 1_000 * i32::try_from(place).unwrap_or(0)),
            came: u64::try_from(EVSES - place).unwrap_or(0),
            priority: 0,
            reachable: true,
        })
        .collect();
    let mut times = Vec::new();
    let mut orders = 0;
    for round in 1..=ROUNDS {
        let now = at(round);
        let place = round as usize % EVSES;
        let wanted = Watts::new(i32::try_from(round * 7_919 % 180_000).unwrap_or(0));
        let begin = Instant::now();
        energy.hear_evse(now, place, Flowing { at: now, wanted, drawn: wanted.scaled(1, 2) });
        energy.hear_meter(Reading { at: now, power: Watts::new(1_500_000) });
        let sent = black_box(energy.step(now, [("csms", Watts::new(2_500_000))], &evses));
        times.push(begin.elapsed());
        orders += sent.len();
        for order in sent {
            energy.permits_mut().answered(now, order.place, true);
        }
    }
    assert!(orders > EVSES, "nothing was decided");
    times.sort_unstable();
    report.add("energy_decision_us", times[times.len() * 99 / 100].as_secs_f64() * 1e6);
    report.note(format!("energy decision: {EVSES} EVSEs, {orders} permits in {ROUNDS} decisions"));
}
