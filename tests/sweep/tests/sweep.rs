//! The sweep: a part of it in every run of the tests, any number of sessions by `make soak`.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use voltry_fault_sweep::Sweep;
use voltry_fault_sweep::troubles::{OF_THE_SIMULATOR, TROUBLES};

#[allow(dead_code, unreachable_pub, clippy::enum_variant_names)] // its table is what is needed here
#[path = "../../../daemons/sim/src/faults.rs"]
mod simulator;

/// Cases of `make test`, spread over all single troubles, pairs and some random ones.
const SHORT: u64 = 600;
/// Failures that are told; the others are counted.
const TOLD: usize = 20;
/// How often it says how far it is.
const TELL: Duration = Duration::from_secs(5);

#[test]
fn every_fault_of_the_simulator_has_its_equivalent_here() {
    // The sweep has one EVSE with modules of its own; those of a matrix are tried in `tests/system/tests/rack.rs`,
    // those of a card reader in `reader.rs`.
    let names = simulator::TABLE.iter().map(|row| row.name);
    let theirs: Vec<&str> =
        names.filter(|name| !name.starts_with("matrix-") && !name.starts_with("reader-")).collect();
    let ours: Vec<&str> = TROUBLES.iter().map(|trouble| trouble.name).collect();
    assert_eq!(ours[..OF_THE_SIMULATOR], theirs);
    let mut names = ours.clone();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ours.len(), "a name twice");
}

#[test]
fn no_trouble_at_any_step_breaks_a_rule() {
    let sweep = Sweep::new();
    let (singles, pairs) = sweep.sizes();
    let all = singles + pairs + pairs / 4;
    // Coprime to the number of moments, so that each trouble meets each of them in turn.
    let step = (all / SHORT) | 1;
    let seeds: Vec<u64> = (0..SHORT).map(|number| number * step).collect();
    sweeps(&sweep, &seeds, Duration::from_secs(3600));
}

/// `make soak`: as many seeds as it is told, from the one that it is told.
#[test]
fn soak() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let Some(sessions) = number("VOLTRY_SOAK_SESSIONS") else { return };
    let first = number("VOLTRY_SOAK_SEED").unwrap_or(0);
    let sweep = Sweep::new();
    let (singles, pairs) = sweep.sizes();
    println!(
        "{} troubles at {} moments: seeds below {singles} are single troubles, below {} pairs, then random sequences",
        TROUBLES.len(),
        sweep.moments().count(),
        singles + pairs,
    );
    let seeds: Vec<u64> = (first..first + sessions).collect();
    sweeps(&sweep, &seeds, TELL);
}

/// Plays these seeds on all cores, and fails with those that break a rule.
fn sweeps(sweep: &Sweep, seeds: &[u64], tell: Duration) {
    let (total, begin) = (seeds.len(), Instant::now());
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let (failed_to, failed) = channel::<(u64, String)>();
    let mut failures = Vec::new();
    // What a panic says is told once, with its seed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            let (failed_to, next, stop) = (failed_to.clone(), &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = seeds.get(usize::try_from(number).unwrap()) else { break };
                    let case = sweep.case(*seed);
                    let played = catch_unwind(AssertUnwindSafe(|| sweep.play(&case)));
                    if let Err(broken) = played {
                        failed_to.send((*seed, words(broken.as_ref()))).unwrap();
                    }
                }
            });
        }
        drop(failed_to);
        loop {
            match failed.recv_timeout(tell) {
                Ok((seed, broken)) => {
                    if failures.len() < TOLD {
                        println!("SEED={seed}: {}\n  {broken}", sweep.describe(&sweep.case(seed)));
                    }
                    failures.push(seed);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let played = next.load(Ordering::Relaxed).min(total as u64);
            let rate = played as f64 / begin.elapsed().as_secs_f64();
            println!("{played} of {total} sessions, {rate:.0} a second, {} failed", failures.len());
        }
    });
    std::panic::set_hook(hook);
    let rate = total as f64 / begin.elapsed().as_secs_f64();
    println!("{total} sessions, {rate:.0} a second, {} failed", failures.len());
    assert!(failures.is_empty(), "play one again: make soak SESSIONS=1 SEED={}", failures[0]);
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words").to_owned()
}
