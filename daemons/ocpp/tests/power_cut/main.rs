//! The power goes, or both processes die, after every single step of a transaction, while the CSMS
//! listens, is silent, or is away. Afterwards its ledger must be the meter's: the same transactions,
//! in order, each once, with the energy to one count of the meter.
//!
//! The station and the uplink are the programs that are shipped; the EVSE and the meter around them,
//! and the CSMS, do what the test says.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

mod csms;
mod ledger;
#[path = "../../../../tests/private_bus.rs"]
mod private_bus;
#[path = "../../../station/tests/daemon/rig.rs"]
mod rig;
#[path = "../../../station/tests/daemon/steps.rs"]
mod steps;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use csms::{Csms, Mood};
use futures_util::StreamExt as _;
use rig::Rig;
use steps::{STEPS, step};
use voltry_bus::{EventKind, EvseState};
use zbus::proxy;

/// The steps that open a transaction and that close it.
const BEGUN: usize = 2;
const CLOSED: usize = 7;
/// Who may charge, whatever the CSMS says.
const TOKENS: &str = "tokens = [\"04A1B2C3\"]";
/// About as long as a charge takes here, and the boots before it.
const CHARGE_US: u64 = 700_000;
/// Cells of the matrix at work at once.
const AT_ONCE: usize = 8;

/// The program beside this one's.
fn station_program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_voltry-ocpp")).with_file_name("voltry-station");
    assert!(program.is_file(), "{} is not built: cargo build --workspace --bins", program.display());
    program
}

#[proxy(
    interface = "org.voltry.Csms1",
    default_service = "org.voltry.Ocpp1",
    default_path = "/org/voltry/csms"
)]
trait Uplink {
    #[zbus(property(emits_changed_signal = "false"))]
    fn acknowledged(&self) -> zbus::Result<u64>;
}

/// How the station speaks.
#[derive(Debug, Clone, Copy)]
struct Speech {
    name: &'static str,
    version: &'static str,
    start_point: &'static str,
}

impl Speech {
    fn subprotocol(self) -> &'static str {
        if self.version == "1.6" { "ocpp1.6" } else { "ocpp2.0.1" }
    }
}

const SPEECHES: [Speech; 3] = [
    Speech { name: "1.6", version: "1.6", start_point: "PowerPathClosed" },
    Speech { name: "2.0.1", version: "2.0.1", start_point: "PowerPathClosed" },
    Speech { name: "2.0.1, from the cable on", version: "2.0.1", start_point: "EVConnected" },
];

/// What happens after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The daemons die; the EVSE and the meter go on.
    Killed,
    /// The machine dies.
    Power,
}

impl Cut {
    const fn words(self) -> &'static str {
        match self {
            Self::Killed => "the daemons killed",
            Self::Power => "the power cut",
        }
    }
}

/// How the CSMS was when it happened.
const MOODS: [(Mood, &str); 3] =
    [(Mood::Listens, "listens"), (Mood::IsSilent, "is silent"), (Mood::IsAway, "is away")];

#[derive(Debug, Clone, Copy)]
struct Cell {
    speech: Speech,
    cut: Cut,
    mood: Mood,
    last: usize,
}

/// The uplink's process.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_uplink(rig: &Rig, csms: &Csms, speech: Speech) -> Process {
    let folder = rig.folder.path();
    let log = std::fs::File::options().append(true).create(true).open(folder.join("log")).unwrap();
    let config = format!(
        "[ocpp]\nidentity = 'A'\ndatabase = '{}'\n[ocpp.profile.1]\nurl = 'ws://{}'\nversion = '{}'\n\
         security_profile = 0\n[ocpp.variables]\nMeterValueSampleInterval = '1'\n\
         \"TxCtrlr.TxStartPoint\" = '{}'\n",
        folder.join("ocpp.db").display(),
        csms.address,
        speech.version,
        speech.start_point
    );
    let file = folder.join("ocpp.toml");
    std::fs::write(&file, config).unwrap();
    let uplink = Command::new(env!("CARGO_BIN_EXE_voltry-ocpp"))
        .arg("--config")
        .arg(&file)
        .args(["--bus", &rig.bus.address])
        .stderr(log)
        .spawn();
    Process(uplink.unwrap())
}

/// The uplink has come as far as it can: the CSMS owes it an answer, or it is away, or has everything.
async fn until_still(rig: &Rig, csms: &Csms, mood: Mood) {
    let uplink = UplinkProxy::new(&rig.connection).await.unwrap();
    rig.until("the uplink has told what it can", async || {
        let all = async || rig.book.newest().await.ok() == uplink.acknowledged().await.ok();
        match mood {
            Mood::IsAway => true,
            Mood::IsSilent => csms.ledger.lock().unwrap().silent || all().await,
            Mood::Listens => all().await,
        }
    })
    .await;
}

/// A charge of its own, after which the register stands at `register`.
async fn charge(rig: &Rig, session: u64, register: f64) {
    rig.plug(session).await;
    rig.until_newest("plugged").await;
    assert_eq!(rig.station.authorize("04A1B2C3", 1).await.unwrap().outcome, "granted");
    rig.until_newest("started").await;
    rig.flow(100.0, 100.0).await;
    rig.until_newest("charging").await;
    rig.world.lock().unwrap().register = register;
    rig.end("ended by the vehicle").await;
    rig.until_newest("ended").await;
    rig.unplug().await;
    rig.until_newest("unplugged").await;
}

/// Goes through one cell; returns how many messages the CSMS heard more than once.
async fn go(cell: Cell) -> Result<usize, String> {
    let Cell { speech, cut, mood, last } = cell;
    let csms = Csms::start(speech.subprotocol()).await;
    let mut rig = Rig::start_with(TOKENS, false).await;
    let uplink = start_uplink(&rig, &csms, speech);
    // One before, so that the CSMS knows something.
    rig.world.lock().unwrap().register = 900.0;
    charge(&rig, 4, 1000.0).await;
    until_still(&rig, &csms, Mood::Listens).await;
    if mood == Mood::IsAway {
        csms.becomes(mood);
    }
    for number in 0..=last {
        if number == last {
            csms.becomes(mood);
        }
        step(&rig, number).await;
        if number < last {
            until_still(&rig, &csms, if mood == Mood::IsAway { mood } else { Mood::Listens }).await;
        }
    }
    until_still(&rig, &csms, mood).await;

    // Together: killed processes leave their files as they were.
    drop(uplink);
    rig.kill();
    let told = csms.ledger.lock().unwrap().told.len();
    csms.becomes(Mood::Listens);
    if cut == Cut::Power {
        lose_power(&rig, (BEGUN..CLOSED).contains(&last));
    }
    rig.wake_meter();
    rig.start_daemon().await;
    let _uplink = start_uplink(&rig, &csms, speech);
    finish(&rig, cut, last).await;
    let register = rig.world.lock().unwrap().register;
    charge(&rig, 9, 2000.0).await;
    until_still(&rig, &csms, Mood::Listens).await;

    let mut metered = vec![(900.0, 1000.0), (1000.0, register), (register, 2000.0)];
    if cut == Cut::Power && last < BEGUN {
        // No power was let through, and the vehicle is gone.
        metered.remove(1);
    }
    if csms.ledger.lock().unwrap().told.len() <= told {
        return Err("nothing was told after the cut".to_owned());
    }
    compare(&csms, &metered)
}

/// Holds what the CSMS bills against what was metered; returns how many messages it heard more than
/// once.
fn compare(csms: &Csms, metered: &[(f64, f64)]) -> Result<usize, String> {
    let ledger = csms.ledger.lock().unwrap();
    let (bills, mut wrong) = ledger::bills(&ledger);
    let billed = bills.iter().filter_map(|bill| bill.start.zip(bill.stop));
    // Where no power was let through there is nothing to bill.
    #[allow(clippy::float_cmp, reason = "whole watt-hours")]
    let billed: Vec<_> = billed.filter(|(start, stop)| start != stop).collect();
    if billed.as_slice() != metered {
        wrong.push(format!("billed {billed:?}, metered {metered:?}"));
    }
    if wrong.is_empty() {
        Ok(ledger.repeated)
    } else {
        Err(format!("{}\n{:#?}", wrong.join("\n"), ledger.told))
    }
}

/// What a machine without power forgets: who holds which lock, the vehicle's session, and its boot.
fn lose_power(rig: &Rig, open: bool) {
    for name in ["book.db-shm", "ocpp.db-shm"] {
        let _ = std::fs::remove_file(rig.folder.path().join(name));
    }
    rig.boot_anew();
    let mut world = rig.world.lock().unwrap();
    world.state = EvseState::Available;
    world.session = voltry_bus::EvseSession::default();
    if open {
        // What flowed until the contactors had opened.
        world.register += 7.0;
    }
}

/// Brings the charge that was cut to its end, if it is not over.
async fn finish(rig: &Rig, cut: Cut, last: usize) {
    let of_it = |kinds: &[String], kind: &str| kinds.iter().filter(|known| *known == kind).count() == 2;
    match cut {
        // The station closes it.
        Cut::Power => {}
        Cut::Killed if last < 6 => {
            if !of_it(&rig.kinds().await, "started") {
                assert_eq!(rig.station.authorize("04A1B2C3", 1).await.unwrap().outcome, "granted");
                rig.until("it begins", async || of_it(&rig.kinds().await, "started")).await;
            }
            rig.world.lock().unwrap().register = 1234.0;
            rig.end("ended by the vehicle").await;
            rig.until("it ends", async || of_it(&rig.kinds().await, "ended")).await;
            rig.unplug().await;
        }
        Cut::Killed if last < 8 => {
            rig.until("it ends", async || of_it(&rig.kinds().await, "ended")).await;
            rig.unplug().await;
        }
        Cut::Killed => {}
    }
    rig.until("it is unplugged", async || of_it(&rig.kinds().await, "unplugged")).await;
}

/// Goes through the cells and prints what came of each; all must be right, and some messages must
/// have come again, or nothing was cut.
async fn go_through(speeches: &[Speech]) {
    let halves = speeches.iter().flat_map(|speech| [(speech, Cut::Killed), (speech, Cut::Power)]);
    let rows = halves.flat_map(|(speech, cut)| (0..STEPS.len()).map(move |last| (*speech, cut, last)));
    let cells: Vec<Cell> = rows
        .flat_map(|(speech, cut, last)| MOODS.map(|(mood, _)| Cell { speech, cut, mood, last }))
        .collect();
    let results: Vec<_> =
        futures_util::stream::iter(&cells).map(|cell| go(*cell)).buffered(AT_ONCE).collect().await;
    println!("{}", matrix(&cells, &results));
    if speeches.len() == SPEECHES.len() {
        println!("\n{}", table(&cells, &results));
    }
    let wrong: Vec<_> = cells
        .iter()
        .zip(&results)
        .filter_map(|(cell, result)| Some(format!("{cell:?}: {}", result.as_ref().err()?)))
        .collect();
    assert!(wrong.is_empty(), "{} cells are wrong\n{}", wrong.len(), wrong.join("\n"));
    assert!(results.iter().any(|result| *result != Ok(0)), "no message had to be told twice");
}

/// A row a step, a column for each way in which the CSMS is.
fn matrix(cells: &[Cell], results: &[Result<usize, String>]) -> String {
    let mut matrix = String::new();
    for (row, results) in results.chunks(MOODS.len()).enumerate() {
        let Cell { speech, cut, last, .. } = cells[row * MOODS.len()];
        if last == 0 {
            let _ = writeln!(matrix, "\nOCPP {}, {}: the CSMS …", speech.name, cut.words());
            let _ = writeln!(matrix, "{:46}{:>14}{:>14}{:>14}", "", MOODS[0].1, MOODS[1].1, MOODS[2].1);
        }
        let _ = write!(matrix, "{:46}", STEPS[last]);
        for result in results {
            let word = match result {
                Ok(0) => "once".to_owned(),
                Ok(again) => format!("once ({again}+)"),
                Err(_) => "WRONG".to_owned(),
            };
            let _ = write!(matrix, "{word:>14}");
        }
        matrix.push('\n');
    }
    matrix + "(n+): so many messages came again, under the ids that they had"
}

/// The head of the table in docs/ocpp.md.
fn table_head() -> String {
    let title = |speech: &Speech| match speech.start_point {
        "PowerPathClosed" => speech.version.to_owned(),
        other => format!("{}, `TxStartPoint` `{other}`", speech.version),
    };
    format!("| after | {} |", SPEECHES.iter().map(title).collect::<Vec<_>>().join(" | "))
}

/// The matrix as docs/ocpp.md has it: a row a step, a column for each way to speak.
fn table(cells: &[Cell], results: &[Result<usize, String>]) -> String {
    let mut table = table_head() + "\n|---|---|---|---|\n";
    for (last, step) in STEPS.iter().enumerate() {
        let _ = write!(table, "| {step} |");
        for speech in SPEECHES {
            let of_it = |cell: &Cell| cell.last == last && cell.speech.name == speech.name;
            let of_it = cells.iter().zip(results).filter(|(cell, _)| of_it(cell));
            let again: Option<usize> = of_it
                .map(|(_, result)| result.as_ref().ok().copied())
                .try_fold(0, |most, it| Some(most.max(it?)));
            let _ = match again {
                Some(0) => write!(table, " once |"),
                Some(again) => write!(table, " once, {again} again |"),
                None => write!(table, " WRONG |"),
            };
        }
        table.push('\n');
    }
    table
}

#[test]
fn the_table_in_the_docs_has_the_steps_and_the_ways_to_speak() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ocpp.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let (_, table) = docs.split_once(&format!("\n{}\n", table_head())).expect("docs/ocpp.md has the table");
    let rows = table.lines().skip(1).take_while(|row| row.starts_with('|'));
    let cells: Vec<Vec<&str>> =
        rows.map(|row| row.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(cells.iter().map(|row| row[0]).collect::<Vec<_>>(), STEPS);
    assert!(cells.iter().all(|row| row.len() == 1 + SPEECHES.len()), "{cells:?}");
    assert!(cells.iter().flat_map(|row| &row[1..]).all(|cell| cell.starts_with("once")), "{cells:?}");
}

/// The cuts at every step, and as many at random instants as `VOLTRY_POWER_CUTS` says. Without it the
/// version 2.0.1 with its default start point is left out: it is the same code and half as much again.
#[tokio::test]
async fn after_a_cut_at_every_step_the_ledger_of_the_csms_is_the_meters() {
    let at_random = std::env::var("VOLTRY_POWER_CUTS").ok().map(|count| count.parse().unwrap());
    if let Some(count) = at_random {
        go_through(&SPEECHES).await;
        cut_at_random(count).await;
    } else {
        go_through(&[SPEECHES[0], SPEECHES[2]]).await;
    }
}

/// One cut at some instant of a charge, whatever is under way.
async fn go_at_random(speech: Speech, after: Duration) -> Result<usize, String> {
    let csms = Csms::start(speech.subprotocol()).await;
    let mut rig = Rig::start_with(TOKENS, false).await;
    let uplink = start_uplink(&rig, &csms, speech);
    rig.world.lock().unwrap().register = 900.0;
    // The instant of the cut is what is varied; whatever it meets must come out right.
    tokio::select! {
        () = charge(&rig, 4, 1000.0) => {}
        () = tokio::time::sleep(after) => {}
    }
    drop(uplink);
    rig.kill();
    let open = rig.world.lock().unwrap().open.is_some();
    lose_power(&rig, open);
    rig.start_daemon().await;
    let _uplink = start_uplink(&rig, &csms, speech);
    charge(&rig, 9, 2000.0).await;
    until_still(&rig, &csms, Mood::Listens).await;
    let events = rig.events().await;
    let registers = |kind| {
        let of_kind = events.iter().filter(move |event| event.kind == kind);
        of_kind.map(|event| event.register).collect::<Vec<_>>()
    };
    let booked = registers(EventKind::Started).into_iter().zip(registers(EventKind::Ended));
    compare(&csms, &booked.collect::<Vec<_>>())
}

/// `count` cuts at random instants, after each of which the CSMS's ledger must be the book's.
async fn cut_at_random(count: u64) {
    let cuts = (0..count).map(|number| {
        // Spread over the length of a charge, a prime's steps apart, and by turns the ways to speak.
        let after = Duration::from_micros(number * 7919 % CHARGE_US);
        (SPEECHES[usize::try_from(number % 3).unwrap()], after)
    });
    let results: Vec<_> = futures_util::stream::iter(cuts)
        .map(|(speech, after)| async move { (speech, after, go_at_random(speech, after).await) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let again: usize = results.iter().filter_map(|(_, _, result)| result.as_ref().ok()).sum();
    println!("{count} cuts at random instants; {again} messages came again");
    for (speech, after, result) in results {
        assert!(result.is_ok(), "OCPP {}, after {after:?}: {}", speech.name, result.unwrap_err());
    }
}
