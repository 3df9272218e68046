//! The kill matrix: each daemon, and the bus, killed, stopped, stopped and woken with its backlog, cut off the bus,
//! and with its devices cut off, in each phase of a session; held to what `docs/safety.md` promises, with the times
//! printed.
//!
//! `make test` plays three cells, `make kill-matrix` the whole (`ARGS=power` one daemon's part).

#![allow(clippy::unwrap_used, unreachable_pub)] // a test fails by panicking; its modules are its own

#[path = "kill_matrix/cells.rs"]
mod cells;
#[path = "kill_matrix/strikes.rs"]
mod strikes;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cells::{Cell, PHASES, Phase, Promise, Victim};
use futures_util::FutureExt as _;
use strikes::Strike;
use voltry_bus::EvseState;
use voltry_system_tests::{SLACK, Station};

/// A car that charges until somebody stops it, an insulation monitor in a hurry, a screen, a back end that is away.
const TOPOLOGY: &str = "screen = \"127.0.0.1:0\"\n[[evse]]\nmonitor_pace = 10\n\
     vehicle = { capacity_wh = 60000.0, soc = 20.0, target_soc = 80.0 }\n\
     [uplink]\ncsms = \"ws://127.0.0.1:9/ocpp\"\nidentity = \"VOLTRY-1\"\nversion = \"1.6\"\n";
/// The same EVSE, that shares four groups of modules with another through a matrix of contactors.
const RACK: &str = "evses = 2\ngroups = [1, 1, 1, 1]\n[[evse]]\nmonitor_pace = 10\n\
     vehicle = { capacity_wh = 60000.0, soc = 20.0, target_soc = 80.0 }\n";
/// Stations beside each other in the whole matrix: each waits most of its time.
const STATIONS: usize = 3;
const HELD_UP_TOLD: Duration = Duration::from_millis(1_200);
const RECOVERY: Duration = Duration::from_secs(60);
/// A cell whose way there broke off was not played, nor was one during which this machine kept the simulated hardware
/// from running: real hardware waits for no processor. Each is tried so often, each time with another station.
const TRIES: u32 = 3;
/// As long as this the dead stay stopped, and the living are watched.
const WATCHED: Duration = Duration::from_secs(2);

/// What was seen in one cell.
struct Seen {
    cell: Cell,
    /// From the strike to no current, and to open contactors; none where charging went on.
    times: Option<(Duration, Duration)>,
    /// From the strike to a free EVSE.
    free: Duration,
}

/// One station, and the vehicle at it.
struct Field {
    station: Station,
    has_rack: bool,
    /// The register before the session, and the newest transaction then.
    before: f64,
    newest: u64,
}

impl Field {
    async fn new(has_rack: bool) -> Self {
        let station = Station::start(if has_rack { RACK } else { TOPOLOGY }).await;
        let field = Self { station, has_rack, before: 0.0, newest: 0 };
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        // An EVSE is available before the station is up.
        while !field.answers().await {
            tick.tick().await;
        }
        field
    }

    /// Brings a session into this phase.
    async fn enter(&mut self, phase: Phase) {
        self.before = self.station.physical(1).await.2;
        let newest = self.station.station().await.transactions(1).await.unwrap();
        self.newest = newest.first().map_or(0, |transaction| transaction.id);
        if phase == Phase::Available {
            return;
        }
        self.station.tell("plug 1").await;
        match phase {
            Phase::Available => {}
            Phase::CableCheck => self.closed_in(EvseState::CableCheck).await,
            Phase::PreCharge => self.reaches(&[EvseState::PreCharge]).await,
            Phase::Charging | Phase::Stopping | Phase::Finished => {
                self.reaches(&[EvseState::Charging]).await;
                self.station.until_truth(1, "current", RECOVERY, |truth| truth.current > 20.0).await;
                if phase != Phase::Charging {
                    self.station.station().await.stop(1).await.unwrap();
                    let wanted =
                        if phase == Phase::Stopping { EvseState::Stopping } else { EvseState::Finished };
                    self.reaches(&[wanted]).await;
                }
            }
        }
    }

    async fn reaches(&self, states: &[EvseState]) {
        self.station.until_state(1, states, RECOVERY).await;
    }

    /// In a state, and with contactors closed in it.
    async fn closed_in(&self, state: EvseState) {
        self.reaches(&[state]).await;
        self.station.until_truth(1, "closed", RECOVERY, |truth| truth.contactors_closed).await;
    }

    /// Watches the circuit until all is off; the times from `struck` on.
    async fn off(&mut self, struck: Instant, limit: Duration) -> Result<(Duration, Duration), String> {
        let mut stopped = None;
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            // What is read is of this moment at the earliest; other stations are played in this thread meanwhile.
            let asked = struck.elapsed();
            let (current, closed, _) = self.station.physical(1).await;
            let been = struck.elapsed();
            if current < 1.0 {
                stopped.get_or_insert(been);
            } else {
                stopped = None;
            }
            if let (Some(stopped), false) = (stopped, closed) {
                return Ok((stopped, been));
            }
            if asked > limit {
                return Err(format!("after {asked:?}: {current} A, contactors closed: {closed}"));
            }
        }
    }

    /// Watches that what was open stays so.
    async fn stays_open(&mut self, time: Duration) -> Result<(), String> {
        let begin = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while begin.elapsed() < time {
            tick.tick().await;
            if self.station.physical(1).await.1 {
                return Err(format!("closed again after {:?}", begin.elapsed()));
            }
        }
        Ok(())
    }

    /// Watches that a charging EVSE goes on.
    async fn charges_on(&mut self, time: Duration) -> Result<(), String> {
        let begin = Instant::now();
        let register = self.station.physical(1).await.2;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while begin.elapsed() < time {
            tick.tick().await;
            let (current, closed, _) = self.station.physical(1).await;
            if current < 10.0 || !closed {
                return Err(format!("{current} A after {:?}", begin.elapsed()));
            }
        }
        let counted = self.station.physical(1).await.2 - register;
        if counted > 1.0 { Ok(()) } else { Err(format!("only {counted} Wh")) }
    }

    /// In the cell's phase: strikes, and watches what becomes of it.
    async fn play(&mut self, cell: Cell) -> Result<Seen, String> {
        let Cell { victim, strike, .. } = cell;
        let pid = strikes::process(&self.station.state(), victim.unit());
        let struck = Instant::now();
        strikes::strike(&mut self.station, victim, strike, pid).await;
        let mut times = None;
        match cell.promise() {
            Promise::Off { output, contactors } => {
                let seen = self.off(struck, contactors * SLACK).await?;
                if seen.0 > output * SLACK {
                    return Err(format!("current for {:?}, {output:?} are allowed (slack {SLACK})", seen.0));
                }
                times = Some(seen);
            }
            Promise::GoesOn => self.charges_on(WATCHED).await?,
            Promise::StaysOpen => {
                if let Err(seen) = self.stays_open(WATCHED).await
                    && !self.begins_anew(cell).await
                {
                    return Err(seen);
                }
            }
            Promise::Ends => {}
        }
        if strike == Strike::StopAndWake {
            let left = WATCHED.saturating_sub(struck.elapsed());
            tokio::time::sleep(left).await; // A stopped process has this long to gather its backlog.
            strikes::wake(pid);
            if cell.promise() != Promise::GoesOn && cell.promise() != Promise::Ends {
                self.stays_open(Duration::from_secs(1)).await.map_err(|seen| format!("woken, {seen}"))?;
            }
        }
        self.comes_back(cell, pid).await?;
        self.rack_is_whole().await?;
        Ok(Seen { cell, times, free: struck.elapsed() })
    }

    /// Who did not see the plug for a moment takes what is plugged in then for another vehicle, and begins with it, by
    /// the insulation test.
    async fn begins_anew(&self, Cell { victim, phase, .. }: Cell) -> bool {
        let blind = matches!(victim, Victim::Evse | Victim::Board | Victim::RackBoard | Victim::Bus);
        if phase != Phase::Finished || !blind {
            return false;
        }
        // A bus that is stopped answers nobody, and then nobody closes.
        let state = async { self.station.evse(1).await.state().await };
        tokio::time::timeout(WATCHED, state)
            .await
            .is_ok_and(|state| state.is_ok_and(|state| state == EvseState::CableCheck))
    }

    /// All is mended and unplugged, a person clears, and the bill is whole.
    async fn comes_back(&mut self, cell: Cell, pid: Option<u32>) -> Result<(), String> {
        if cell.strike == Strike::Stop {
            // Whoever has a watchdog was killed by it, or will be.
            strikes::wake(pid);
        }
        if cell.strike == Strike::Devices {
            self.station.tell(&format!("clear {} 1", cell.victim.devices().unwrap())).await;
        }
        if cell.victim == Victim::Bus {
            self.station.reconnect().await;
        }
        if cell.phase != Phase::Available {
            self.station.tell("unplug 1").await;
        }
        let begin = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        loop {
            tick.tick().await;
            let state = self.station.evse(1).await.state().await;
            if state.as_ref().is_ok_and(|state| *state == EvseState::Available) && self.answers().await {
                break;
            }
            if begin.elapsed() > RECOVERY {
                return Err(format!("{state:?} after {RECOVERY:?}: {:?}", self.station.faults(1).await));
            }
            let _ = self.station.station().await.clear_faults(1).await;
        }
        self.is_billed(cell).await
    }

    /// The matrix's contactors closed into no voltage, broke no current, and joined no EVSEs.
    async fn rack_is_whole(&mut self) -> Result<(), String> {
        if !self.has_rack {
            return Ok(());
        }
        let answer = self.station.tell("matrix").await;
        let words: Vec<f64> = answer.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [across, loaded, joined, ..] = words[..] else { panic!("{answer}") };
        if across <= 20.0 && loaded == 0.0 && joined == 0.0 {
            return Ok(());
        }
        Err(format!("the matrix closed across {across} V, opened {loaded} times under load, joined {joined}"))
    }

    /// Whether the machine kept the hardware from running while this cell was played.
    async fn was_held_up(&self) -> bool {
        tokio::time::sleep(HELD_UP_TOLD).await; // The simulator tells it once a second.
        !self.station.held_up().is_zero()
    }

    async fn answers(&self) -> bool {
        self.station.station().await.transactions(1).await.is_ok()
    }

    async fn is_billed(&mut self, cell: Cell) -> Result<(), String> {
        let counted = self.station.physical(1).await.2 - self.before;
        if counted < 1.0 {
            return Ok(()); // Nothing to sell.
        }
        self.station.closed_transaction(RECOVERY).await;
        // A vehicle that is still seen when the faults are cleared begins another.
        let mut sold = self.station.station().await.transactions(10).await.unwrap();
        sold.retain(|transaction| transaction.id > self.newest);
        let billed: f64 = sold.iter().map(|transaction| transaction.energy).sum();
        // Without its meter the stored reading counts, and the book says so.
        let stored = sold.iter().any(|transaction| transaction.note.contains("stored reading"));
        if (counted - billed).abs() <= 1.0 || (cell.victim == Victim::Meter && stored) {
            return Ok(());
        }
        Err(format!("{billed} Wh billed, {counted} Wh counted: {sold:?}"))
    }
}

/// Plays cells, one station for each worker, and prints what was seen.
async fn plays(cells: Vec<Cell>, stations: usize) {
    let total = cells.len();
    let first = cells.into_iter().map(|cell| (cell, 1)).collect::<VecDeque<_>>();
    let waiting = Arc::new(Mutex::new(first));
    let seen = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..stations.min(total) {
        let (waiting, seen) = (waiting.clone(), seen.clone());
        workers.spawn(async move {
            let mut field: Option<Field> = None;
            loop {
                let next = waiting.lock().unwrap().pop_front();
                let Some((cell, tries)) = next else { break };
                let has_rack = cell.victim.has_rack();
                let fits = field.take_if(|field| field.has_rack == has_rack);
                if let Some(other) = field.take() {
                    other.station.quit().await;
                }
                let mut at = match fits {
                    Some(fits) => fits,
                    None => Field::new(has_rack).await,
                };
                // One that does not come so far costs its own cell.
                let entered = AssertUnwindSafe(at.enter(cell.phase)).catch_unwind().await.is_ok();
                if !entered && tries < TRIES {
                    println!("{cell}: not played: see above; it is tried again");
                    waiting.lock().unwrap().push_back((cell, tries + 1));
                    continue;
                }
                at.station.forget_held_up();
                let played = if entered {
                    AssertUnwindSafe(at.play(cell)).catch_unwind().await
                } else {
                    Ok(Err("not played".to_owned()))
                };
                match played.unwrap_or_else(|_| Err("see above".to_owned())) {
                    Ok(played) => {
                        println!("{cell}: {}", played.words());
                        seen.lock().unwrap().0.push(played);
                        field = Some(at);
                    }
                    Err(broken) if tries < TRIES && at.was_held_up().await => {
                        println!("{cell}: {broken}; but the machine held the hardware up: it is tried again");
                        waiting.lock().unwrap().push_back((cell, tries + 1));
                    }
                    Err(broken) => {
                        println!("{cell}: BROKEN: {broken}");
                        // What it left may spoil the next.
                        seen.lock().unwrap().1.push(format!("{cell}: {broken}"));
                    }
                }
            }
            if let Some(field) = field {
                field.station.quit().await;
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    let seen = seen.lock().unwrap();
    println!("{}", table(&seen.0));
    println!("{} of {total} cells as promised (slack {SLACK} for this machine)", seen.0.len());
    assert!(seen.1.is_empty(), "{}", seen.1.join("\n"));
}

impl Seen {
    fn words(&self) -> String {
        let free = self.free.as_millis();
        match (self.times, self.cell.promise()) {
            (Some((stopped, opened)), Promise::Off { output, contactors }) => format!(
                "off in {} of {} ms, open in {} of {} ms, free after {free} ms",
                stopped.as_millis(),
                output.as_millis(),
                opened.as_millis(),
                contactors.as_millis(),
            ),
            _ => format!("{}, free after {free} ms", self.cell.promise().words()),
        }
    }
}

/// A row for each daemon and strike, a column for each phase.
fn table(seen: &[Seen]) -> String {
    let mut text = "| daemon | strike |".to_owned();
    for phase in PHASES {
        text += &format!(" {} |", phase.name());
    }
    text += &format!("\n|---|---|{}", "---|".repeat(PHASES.len()));
    for (victim, strike) in cells::rows() {
        let of = |phase| {
            let found = seen.iter().find(|seen| seen.cell == Cell { victim, strike, phase })?;
            Some(match found.times {
                Some((stopped, opened)) => format!("{} / {}", stopped.as_millis(), opened.as_millis()),
                None => found.cell.promise().words().to_owned(),
            })
        };
        let row: Vec<String> = PHASES.iter().map(|phase| of(*phase).unwrap_or_default()).collect();
        if row.iter().any(|cell| !cell.is_empty()) {
            text += &format!("\n| {} | {} | {} |", victim.name(), strike.name(), row.join(" | "));
        }
    }
    text
}

#[tokio::test]
async fn what_dies_in_the_charge_loop_ends_safe_or_is_not_missed() {
    let cell = |victim, strike| Cell { victim, strike, phase: Phase::Charging };
    let selection = vec![
        cell(Victim::Ocpp, Strike::Kill),
        cell(Victim::Evse, Strike::StopAndWake),
        cell(Victim::Bus, Strike::Kill),
    ];
    plays(selection, 1).await;
}

/// `make kill-matrix`.
#[tokio::test]
async fn the_whole_matrix() {
    let Ok(part) = std::env::var("VOLTRY_KILL_MATRIX") else { return };
    let all = cells::all().filter(|cell| part == "all" || cell.is_in(&part)).collect::<Vec<_>>();
    assert!(!all.is_empty(), "there is no part {part:?}");
    plays(all, STATIONS).await;
}
