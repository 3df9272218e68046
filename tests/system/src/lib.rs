//! A whole station for tests: `voltry-sim station` with the real daemons, steered through its
//! standard input and watched on its bus.
//!
//! Nothing here sleeps for a time that somebody guessed: a test waits for a condition, and fails
//! with what it saw if the condition does not come. Safety deadlines are measured against what is
//! physically true in the simulated circuit, and printed with their slack.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used)] // a harness fails by panicking

mod sentences;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use voltry_bus::{
    Device1Proxy, EnergyMeter1Proxy, Evse1Proxy, EvseState, Fault, Sim1Proxy, SimTruth, Station1Proxy,
    Transaction, V2gLog1Proxy, names,
};
use zbus::proxy::CacheProperties;

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// By how much a deadline may be missed on a machine that does other things as well. The real
/// figure is asserted in virtual time, where the deadline is decided.
pub const SLACK: u32 = 3;

/// A car that needs a few seconds: from 20 % of a battery of 150 Wh to 80 %. Its EVSE's insulation
/// monitor hurries: a test waits two seconds for a CableCheck instead of eight.
pub const SMALL_CAR: &str = "[[evse]]\nmonitor_pace = 10\n\
                             vehicle = { capacity_wh = 150.0, soc = 20.0, target_soc = 80.0 }\n";

/// A car that charges until somebody stops it; the monitor hurries as well.
pub const LARGE_CAR: &str = "[[evse]]\nmonitor_pace = 10\n\
                             vehicle = { capacity_wh = 60000.0, soc = 20.0, target_soc = 80.0 }\n";

/// A running station.
#[derive(Debug)]
pub struct Station {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    connection: zbus::Connection,
    folder: tempfile::TempDir,
    held_up: Arc<AtomicU64>,
}

/// Says what the simulator says, and notes for how long it says that the machine kept it from running.
async fn pass_on(stderr: ChildStderr, held_up: Arc<AtomicU64>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let told = line.contains("the simulated hardware was held up").then(|| line.rsplit_once("ms="));
        if let Some((_, ms)) = told.flatten() {
            held_up.fetch_max(ms.trim().parse().unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        eprintln!("{line}");
    }
}

impl Station {
    /// Starts a station of this topology (TOML; see `voltry-sim station --help`) and returns when
    /// every EVSE is available.
    pub async fn start(topology: &str) -> Self {
        Self::start_prepared(topology, |_| {}).await
    }

    /// As [`Self::start`], with something done to the empty state folder first.
    pub async fn start_prepared(topology: &str, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::Builder::new().prefix("voltry-test").tempdir().unwrap();
        let file = folder.path().join("topology.toml");
        std::fs::write(&file, topology).unwrap();
        let state = folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        prepare(&state);
        let mut child = Command::new(binary("voltry-sim"))
            .args(["station", "--broker-first", "--topology"])
            .arg(&file)
            .arg("--state")
            .arg(&state)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("voltry-sim is built beside the tests: run `cargo build --workspace` first");
        let held_up = Arc::new(AtomicU64::new(0));
        tokio::spawn(pass_on(child.stderr.take().unwrap(), held_up.clone()));
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = tokio::time::timeout(Duration::from_secs(60), output.next_line()).await;
        let ready = ready.expect("no `ready` within a minute").unwrap();
        assert_eq!(
            ready.as_deref(),
            Some("ready"),
            "the station did not come up; its logs are in {}",
            kept(folder)
        );
        let address = format!("unix:path={}", state.join("bus").display());
        let connection = connect(&address).await;
        Self { child, input, output, connection, folder, held_up }
    }

    /// For how long at most the machine kept the simulated hardware from running since this was forgotten; the
    /// simulator tells it within a second, and nothing below half of the time that makes a value too old.
    #[must_use]
    pub fn held_up(&self) -> Duration {
        Duration::from_millis(self.held_up.load(Ordering::Relaxed))
    }

    /// What was so far says nothing of what comes.
    pub fn forget_held_up(&self) {
        self.held_up.store(0, Ordering::Relaxed);
    }

    /// Gives a command line, as `plug 1`; panics unless it is answered with `ok`.
    pub async fn tell(&mut self, line: &str) -> String {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(60), self.output.next_line()).await;
        let answer = answer.expect("no answer within a minute").unwrap().expect("the simulator ended");
        assert!(answer.starts_with("ok"), "{line}: {answer}");
        answer
    }

    /// What is physically true at an EVSE, whatever the bus does: the current, whether the contactors are
    /// closed, and the meter's register.
    pub async fn physical(&mut self, evse: u32) -> (f64, bool, f64) {
        let answer = self.tell(&format!("truth {evse}")).await;
        let words: Vec<&str> = answer.split_whitespace().collect();
        let [_, current, closed, register] = words[..] else { panic!("{answer}") };
        (current.parse().unwrap(), closed == "1", register.parse().unwrap())
    }

    /// The station's state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// After a power cut: connects to the new bus.
    pub async fn reconnect(&mut self) {
        self.connection =
            connect(&format!("unix:path={}", self.folder.path().join("state/bus").display())).await;
    }

    /// The station's bus.
    pub const fn connection(&self) -> &zbus::Connection {
        &self.connection
    }

    /// The station's object.
    pub async fn station(&self) -> Station1Proxy<'static> {
        Station1Proxy::builder(&self.connection)
            .destination(names::STATION)
            .path(names::STATION_PATH)
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .unwrap()
    }

    /// An EVSE's object.
    pub async fn evse(&self, evse: u32) -> Evse1Proxy<'static> {
        Evse1Proxy::builder(&self.connection)
            .destination(names::evse(evse))
            .path(names::path("evse", &evse.to_string()))
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .unwrap()
    }

    /// The faults of an EVSE; none while its daemon is away.
    pub async fn faults(&self, evse: u32) -> Vec<Fault> {
        let device = Device1Proxy::builder(&self.connection)
            .destination(names::evse(evse))
            .path(names::path("evse", &evse.to_string()))
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .unwrap();
        device.faults().await.unwrap_or_default()
    }

    /// Waits until a daemon's object has latched a fault; returns it.
    pub async fn until_fault(&self, daemon: &str, object: &str, code: &str, limit: Duration) -> Fault {
        let device = Device1Proxy::builder(&self.connection)
            .destination(daemon.to_owned())
            .path(object.to_owned())
            .cache_properties(CacheProperties::No);
        let device = device.build().await.unwrap();
        let started = Instant::now();
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            let present = device.faults().await.unwrap_or_default();
            if let Some(fault) = present.iter().find(|fault| fault.code == code) {
                return fault.clone();
            }
            assert!(started.elapsed() < limit, "{object} has {present:?} after {limit:?}, not {code}");
        }
    }

    /// What the bus of an EVSE's modules has carried so far, by the simulator's clock: frames, bits, and the time.
    pub async fn load(&mut self, evse: u32) -> (u64, u64, Duration) {
        let answer = self.tell(&format!("bus {evse}")).await;
        let words: Vec<u64> = answer.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [frames, bits, micros] = words[..] else { panic!("{answer}") };
        (frames, bits, Duration::from_micros(micros))
    }

    /// What is physically true at an EVSE.
    pub async fn truth(&self, evse: u32) -> SimTruth {
        let sim = Sim1Proxy::builder(&self.connection)
            .destination(names::SIM)
            .path(names::SIM_PATH)
            .build()
            .await
            .unwrap();
        sim.truth(evse).await.unwrap()
    }

    /// Watt-hours of an EVSE's meter's export register.
    pub async fn exported(&self, evse: u32) -> f64 {
        let meter = EnergyMeter1Proxy::builder(&self.connection)
            .destination(names::meter(&format!("Dc{evse}")))
            .path(names::path("energy_meter", &format!("dc{evse}")))
            .cache_properties(CacheProperties::No);
        meter.build().await.unwrap().read_register().await.unwrap().energy_export
    }

    /// `voltryctl v2g follow` of an EVSE, under way: what it prints. It ends with the child.
    pub async fn follow(&self, evse: u32) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut child = Command::new(binary("voltryctl"))
            .args(["--bus", &format!("unix:path={}", self.state().join("bus").display())])
            .args(["v2g", "follow", &evse.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = tokio::time::timeout(Duration::from_secs(20), told.next_line()).await;
        let said = said.expect("it follows within 20 s").unwrap();
        assert_eq!(said, Some(format!("following EVSE {evse} until Ctrl-C")));
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, printed)
    }

    /// The names of the faults that the simulator knows.
    pub async fn fault_names(&self) -> Vec<String> {
        let sim = Sim1Proxy::builder(&self.connection)
            .destination(names::SIM)
            .path(names::SIM_PATH)
            .build()
            .await
            .unwrap();
        sim.faults().await.unwrap().into_iter().map(|fault| fault.name).collect()
    }

    /// Waits until the newest conversation with a vehicle has ended; returns how.
    pub async fn until_v2g_ended(&self, evse: u32, limit: Duration) -> String {
        let log = V2gLog1Proxy::builder(&self.connection)
            .destination(names::secc(evse))
            .path(names::path("ev_link", &evse.to_string()))
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .unwrap();
        let kept = log.conversations().await.unwrap().len();
        let started = Instant::now();
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            let conversations = log.conversations().await.unwrap();
            if let Some(newest) = conversations.get(kept..).and_then(<[_]>::last)
                && !newest.ended.is_empty()
            {
                return newest.ended.clone();
            }
            assert!(started.elapsed() < limit, "no conversation ended within {limit:?}: {conversations:?}");
        }
    }

    /// Waits until an EVSE is in one of these states.
    pub async fn until_state(&self, evse: u32, wanted: &[EvseState], limit: Duration) -> EvseState {
        let proxy = self.evse(evse).await;
        let started = Instant::now();
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            let state = proxy.state().await;
            if let Ok(state) = &state
                && wanted.contains(state)
            {
                return *state;
            }
            assert!(
                started.elapsed() < limit,
                "EVSE {evse} is {state:?} after {limit:?}, not {wanted:?}; its faults: {:?}; the truth: {:?}; \
                 the simulated hardware was held up for {:?}",
                self.faults(evse).await,
                self.truth(evse).await,
                self.held_up()
            );
        }
    }

    /// Waits until a driver meets an EVSE like this, as `suspended-evse`.
    pub async fn until_connector(&self, evse: u32, wanted: &str, limit: Duration) {
        let station = self.station().await;
        let started = Instant::now();
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            let connectors = station.connectors().await.unwrap();
            if connectors.iter().any(|connector| connector.evse == evse && connector.state == wanted) {
                return;
            }
            assert!(started.elapsed() < limit, "not {wanted} within {limit:?}: {connectors:?}");
        }
    }

    /// Plugs a vehicle in and waits until current flows and the meter has counted some of it.
    pub async fn charge(&mut self, evse: u32) {
        let before = self.truth(evse).await.register;
        self.tell(&format!("plug {evse}")).await;
        self.until_state(evse, &[EvseState::Charging], Duration::from_secs(40)).await;
        self.until_truth(evse, "energy flows", Duration::from_secs(10), |truth| {
            truth.current > 10.0 && truth.register > before + 5.0
        })
        .await;
    }

    /// Waits until something is physically true; returns how long it took.
    pub async fn until_truth(
        &self,
        evse: u32,
        what: &str,
        limit: Duration,
        holds: impl Fn(&SimTruth) -> bool,
    ) -> Duration {
        let started = Instant::now();
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            let truth = self.truth(evse).await;
            if holds(&truth) {
                return started.elapsed();
            }
            assert!(
                started.elapsed() < limit,
                "not within {limit:?}: {what}; the truth: {truth:?}; the simulated hardware was held up for {:?}",
                self.held_up()
            );
        }
    }

    /// Asserts that the current stops and the contactors open within their deadlines, counted
    /// from now, and prints how much was left.
    pub async fn assert_safe_within(&self, evse: u32, current: Duration, contactors: Duration) {
        let started = Instant::now();
        self.until_truth(evse, "no current flows", current * SLACK, |truth| truth.current < 1.0).await;
        let stopped = started.elapsed();
        self.until_truth(evse, "contactors are open", contactors * SLACK, |truth| !truth.contactors_closed)
            .await;
        let opened = started.elapsed();
        println!(
            "current off in {stopped:?} of {current:?}, contactors open in {opened:?} of {contactors:?} (slack {SLACK})"
        );
        assert!(opened < contactors * SLACK, "contactors opened after {opened:?}, deadline {contactors:?}");
    }

    /// Waits until the newest transaction is closed; returns it.
    pub async fn closed_transaction(&self, limit: Duration) -> Transaction {
        let station = self.station().await;
        let started = Instant::now();
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            let newest = station.transactions(1).await;
            if let Ok([transaction]) = newest.as_deref()
                && transaction.state == "closed"
            {
                return transaction.clone();
            }
            assert!(started.elapsed() < limit, "no closed transaction within {limit:?}: {newest:?}");
        }
    }

    /// Waits until this transaction is closed, whatever began after it.
    pub async fn closed_transaction_of(&self, id: u64, limit: Duration) -> Transaction {
        let station = self.station().await;
        let started = Instant::now();
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            let known = station.transaction(id).await;
            if let Ok((transaction, _)) = &known
                && transaction.state == "closed"
            {
                return transaction.clone();
            }
            assert!(started.elapsed() < limit, "transaction {id} is not closed within {limit:?}: {known:?}");
        }
    }

    /// Asserts that a transaction's end is explained as the table says for this fault.
    pub fn assert_explained(&self, fault: &str, transaction: &Transaction) {
        println!("{fault}: {}", transaction.why);
        let wanted = sentences::of(fault).unwrap_or_else(|| panic!("no sentence for {fault}"));
        assert!(sentences::fits(wanted, &transaction.why), "{fault}\n{}\nis not\n{wanted}", transaction.why);
    }

    /// Whether the table has a sentence for this fault.
    #[must_use]
    pub fn has_sentence(fault: &str) -> bool {
        sentences::of(fault).is_some()
    }

    /// Asserts that a transaction's energy is the meter's, to one count.
    pub async fn assert_billed(&self, transaction: &Transaction, evse: u32, register_before: f64) {
        let truth = self.truth(evse).await;
        let metered = truth.register - register_before;
        assert!(
            (transaction.energy - metered).abs() <= truth.resolution,
            "billed {} Wh, the meter counted {metered} Wh: {transaction:?}",
            transaction.energy
        );
        assert!(transaction.energy > 0.0, "nothing was billed: {transaction:?}");
    }

    /// What a daemon said so far, as `secc-1`.
    #[must_use]
    pub fn log(&self, daemon: &str) -> String {
        let file = self.folder.path().join(format!("state/log/{daemon}.log"));
        std::fs::read_to_string(file).unwrap()
    }

    /// Waits until a daemon has said this.
    pub async fn until_log(&self, daemon: &str, words: &str, limit: Duration) {
        let started = Instant::now();
        while !self.log(daemon).contains(words) {
            assert!(started.elapsed() < limit, "{daemon} did not say {words:?}: {}", self.log(daemon));
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends the station and waits for it.
    pub async fn quit(mut self) {
        let _ = self.input.write_all(b"quit\n").await;
        let ended = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await;
        assert!(ended.expect("did not quit").unwrap().success());
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("the station's logs are in {}/state/log", self.folder.path().display());
        }
    }
}

async fn connect(address: &str) -> zbus::Connection {
    let started = Instant::now();
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tick.tick().await;
        match zbus::connection::Builder::address(address).build().await {
            Ok(connection) => return connection,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(10), "{address}: {error}"),
        }
    }
}

/// A program of this workspace, built beside the tests.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join(name)
}

fn kept(folder: tempfile::TempDir) -> String {
    folder.keep().display().to_string()
}
