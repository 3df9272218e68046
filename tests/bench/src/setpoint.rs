//! From a vehicle that asks for another current to the last frame on CAN that tells a power module of it, in a
//! whole simulated station; and what a station costs as it grows.
//!
//! The vehicle is a second process of this program ([`drive`]), ISO 15118-2 over TCP. The line of its EVSE's modules
//! goes through this process ([`Tap`]), which notes each frame as it comes. A change is small enough to be one step
//! of the EVSE's ramp, up as down.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::fcntl::OFlag;
use nix::pty::openpty;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::ttyname;
use voltry_service::clock;

use crate::machine::{Ahead, Busy};
use crate::report::{Report, percentile};
use crate::station::Station;
use crate::vehicle::{Protocol, Step, Vehicle};

/// Amperes that the vehicle asks for in turn.
const WISHES: [i16; 2] = [90, 100];
/// Infypower V1.13: bits 16 to 21 of the identifier are the command, 0x1C sets a module's volts and amperes.
const SET_MODULE: u32 = 0x1C;
/// Modules of an EVSE; their addresses begin at 0.
const MODULES: u32 = 4;
/// A change that is not told by then was lost.
const LOST: Duration = Duration::from_secs(1);

/// Charges behind `NETWORK_INTERFACE`, changes its wish so often, writes when, and charges on until it is ended.
pub(crate) async fn drive(notes: &Path, changes: u32) -> anyhow::Result<()> {
    let interface = std::env::var("NETWORK_INTERFACE").context("who starts it names the interface")?;
    let battery: f64 = std::env::var("VOLTRY_BATTERY_VOLTAGE")?.parse()?;
    let mut vehicle = Vehicle::connected(&interface, Protocol::Iso2, battery, None).await?;
    for step in Step::TO_CHARGING {
        match step {
            Step::CableCheck => println!("s2 closed"),
            Step::PowerDelivery => println!("contactors closed"),
            Step::SessionSetup | Step::Selection | Step::Parameters | Step::PreCharge | Step::Demand => {}
        }
        vehicle.take(step).await?;
    }
    vehicle.target.1 = WISHES[1];
    while vehicle.take(Step::Demand).await?.current.is_none_or(|current| current < f64::from(WISHES[0])) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut changed = Vec::new();
    for (change, wish) in (0..changes).zip(WISHES.into_iter().cycle()) {
        // At any point between two steps of the control loop.
        for _ in 0..5 {
            vehicle.take(Step::Demand).await?;
            tokio::time::sleep(Duration::from_millis(40 + u64::from(change * 7 % 20))).await;
        }
        vehicle.target.1 = wish;
        changed.push(clock::now().as_micros());
        vehicle.take(Step::Demand).await?;
    }
    // The last one is told meanwhile.
    tokio::time::sleep(LOST).await;
    let new = notes.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(&changed)?)?;
    std::fs::rename(new, notes)?;
    loop {
        vehicle.take(Step::Demand).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn measure(report: &mut Report, changes: u32) -> anyhow::Result<()> {
    let seen = grown(1, changes, true).await?;
    let mut samples = seen.delays;
    for (figure, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        report.add(format!("setpoint_to_can_{figure}_busy_ms"), percentile(&mut samples, share));
    }
    report.note(format!("set-point: {changes} changes of a vehicle's wish, to the last module told"));
    Ok(())
}

/// 1, 2, 4, 8 and 16 EVSEs of four modules, four EVSEs on a bus; all charge.
pub(crate) async fn growth(report: &mut Report, sizes: &[u32], changes: u32) -> anyhow::Result<()> {
    for &evses in sizes {
        let mut seen = grown(evses, changes, false).await.with_context(|| format!("{evses} EVSEs"))?;
        report.add(format!("growth_{evses}_daemons_cpu_percent"), seen.daemons);
        report.add(format!("growth_{evses}_broker_cpu_percent"), seen.broker);
        report.add(format!("growth_{evses}_simulator_cpu_percent"), seen.simulator);
        for (figure, share) in [("p50", 0.5), ("p99", 0.99)] {
            report.add(format!("growth_{evses}_setpoint_{figure}_ms"), percentile(&mut seen.delays, share));
        }
    }
    report.note(format!(
        "growth: per cent of one core, beside the simulator of all hardware and vehicles on the same machine; \
         {changes} changes of the wish at EVSE 1"
    ));
    Ok(())
}

/// What was seen of a station.
struct Seen {
    /// Milliseconds from each change to the last module told.
    delays: Vec<f64>,
    /// Per cent of a core meanwhile.
    daemons: f64,
    broker: f64,
    simulator: f64,
}

async fn grown(evses: u32, changes: u32, busy: bool) -> anyhow::Result<Seen> {
    let folder = tempfile::Builder::new().prefix("voltry-bench").tempdir()?;
    let notes = folder.path().join("changes.json");
    let _ahead = Ahead::of_all();
    let tap = Tap::begin(folder.path().join("state/dev/can1"))?;
    let own = std::env::current_exe()?;
    let mut topology = format!(
        "evses = {evses}\nevses_per_bus = 4\nbroker_first = true\n[config.power.bus.can1]\ndevice = {:?}\n[config.secc.1]\n\
         protocols = [\"iso15118-2\"]\n[[evse]]\nmodules = 4\nmonitor_pace = 10\nvehicle = {{ capacity_wh = 60000.0, \
         program = [{own:?}, \"--notes\", {notes:?}, \"--set-points\", \"{changes}\"] }}\n",
        tap.line
    );
    for _ in 1..evses {
        topology +=
            "[[evse]]\nmodules = 4\nmonitor_pace = 10\nvehicle = { capacity_wh = 60000.0, soc = 20.0 }\n";
    }
    let (mut station, _) = Station::within(folder, &topology).await?;
    let _busy = if busy { Some(Busy::every_core().await?) } else { None };
    // The one that is watched comes last.
    for evse in (1..=evses).rev() {
        station.plug_at(evse).await?;
        station.until_charging(evse).await.with_context(|| format!("EVSE {evse}"))?;
    }
    let (begin, before) = (Instant::now(), spent(&station.state())?);
    // A change each third of a second, and its way to the charge loop's steady current.
    let patience = Duration::from_millis(600) * changes + Duration::from_secs(30);
    while !notes.exists() {
        if begin.elapsed() > patience {
            bail!("the vehicle has not changed its wish {changes} times in {patience:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (time, after) = (begin.elapsed().as_secs_f64(), spent(&station.state())?);
    let changed: Vec<u64> = serde_json::from_slice(&std::fs::read(&notes)?)?;
    station.quit().await?;
    let share = |of: fn(&Spent) -> f64| (of(&after) - of(&before)) / time * 100.0;
    Ok(Seen {
        delays: delays(&changed, &tap.frames.lock().expect("nobody panics with it"))?,
        daemons: share(|spent| spent.daemons),
        broker: share(|spent| spent.broker),
        simulator: share(|spent| spent.simulator),
    })
}

/// A module is told of another wish by this much, milliamperes: four share 10 A. What balances them is less.
const TOLD: u32 = 1_000;

/// A frame on CAN: when it came, microseconds; its identifier; its data.
type Frame = (u64, u32, u64);

/// From each change to the last module that is told anything else than before.
fn delays(changed: &[u64], frames: &[Frame]) -> anyhow::Result<Vec<f64>> {
    // Of the EVSE that is watched: it comes first on its bus.
    let own = |id: u32| (id >> 16) & 0x3F == SET_MODULE && (id >> 8) & 0xFF < MODULES;
    let sets: Vec<&Frame> = frames.iter().filter(|(_, id, _)| own(*id)).collect();
    let lost = u64::try_from(LOST.as_micros())?;
    let mut delays = Vec::new();
    for &at in changed {
        let mut before: HashMap<u32, u32> = HashMap::new();
        let mut told: HashMap<u32, u64> = HashMap::new();
        for (came, id, data) in sets.iter().take_while(|(came, ..)| *came < at + lost) {
            // Volts and amperes, in thousandths.
            let amps = u32::try_from(data & 0xFFFF_FFFF)?;
            if *came < at {
                before.insert(*id, amps);
            } else if before.get(id).is_some_and(|known| known.abs_diff(amps) >= TOLD) {
                told.entry(*id).or_insert(*came);
            }
        }
        if told.is_empty() || told.len() < before.len() {
            bail!("{} of {} modules were told of a change", told.len(), before.len());
        }
        let last = told.values().max().context("it is not empty")?;
        delays.push(Duration::from_micros(last - at).as_secs_f64() * 1e3);
    }
    Ok(delays)
}

/// A line between `voltry-power` and its simulated modules.
struct Tap {
    /// What `voltry-power` opens.
    line: PathBuf,
    frames: Arc<Mutex<Vec<Frame>>>,
    /// The line is dead once nobody has it open.
    #[allow(dead_code, reason = "held")]
    kept: std::os::fd::OwnedFd,
}

impl Tap {
    /// To the modules behind the line that will be at `modules`.
    fn begin(modules: PathBuf) -> anyhow::Result<Self> {
        let pair = openpty(None, None)?;
        let mut settings = tcgetattr(&pair.slave)?;
        cfmakeraw(&mut settings);
        tcsetattr(&pair.slave, SetArg::TCSANOW, &settings)?;
        let (line, host) = (ttyname(&pair.slave)?, File::from(pair.master));
        let frames = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&frames);
        // It ends when either line does.
        std::thread::spawn(move || carry(host, &modules, &noted));
        Ok(Self { line, frames, kept: pair.slave })
    }
}

fn carry(mut host: File, modules: &Path, noted: &Mutex<Vec<Frame>>) -> std::io::Result<()> {
    while !modules.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let flags = OFlag::O_NOCTTY.bits();
    let mut modules = OpenOptions::new().read(true).write(true).custom_flags(flags).open(modules)?;
    let (mut answers, mut back) = (modules.try_clone()?, host.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
    let (mut buffer, mut rest) = ([0; 4096], Vec::new());
    loop {
        let length = host.read(&mut buffer)?;
        let came = clock::now().as_micros();
        modules.write_all(&buffer[..length])?;
        rest.extend_from_slice(&buffer[..length]);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\r') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if let Some(frame) = frame(&String::from_utf8_lossy(&line)) {
                noted.lock().expect("nobody panics with it").push((came, frame.0, frame.1));
            }
        }
    }
}

/// An extended frame of slcan with eight bytes: `T`, eight digits of identifier, one of length, the data.
fn frame(line: &str) -> Option<(u32, u64)> {
    let text = line.trim_end().strip_prefix('T')?;
    let id = u32::from_str_radix(text.get(..8)?, 16).ok()?;
    Some((id, u64::from_str_radix(text.get(9..25)?, 16).ok()?))
}

/// Seconds on a core so far.
#[derive(Debug, Default)]
struct Spent {
    daemons: f64,
    broker: f64,
    simulator: f64,
}

/// Of the processes of the station with this state folder.
fn spent(state: &Path) -> anyhow::Result<Spent> {
    let mut spent = Spent::default();
    let ticks = 100.0; // USER_HZ, of every Linux that a charger runs.
    for entry in std::fs::read_dir("/proc")? {
        let process = entry?.path();
        let Ok(line) = std::fs::read(process.join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).into_owned();
        let name = line.split('\0').next().and_then(|program| Path::new(program).file_name());
        let name = name.and_then(|name| name.to_str()).unwrap_or_default();
        // Also of the simulator: this machine may have others.
        if !line.contains(&state.display().to_string()) {
            continue;
        }
        let Ok(stat) = std::fs::read_to_string(process.join("stat")) else { continue };
        // After the name in parentheses; the 14th and 15th field of all (proc(5)).
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok());
        let seconds = (field(14).unwrap_or(0.0) + field(15).unwrap_or(0.0)) / ticks;
        match name {
            "voltry-sim" => spent.simulator += seconds,
            "dbus-daemon" => spent.broker += seconds,
            name if name.starts_with("voltry-") => spent.daemons += seconds,
            _ => {}
        }
    }
    Ok(spent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_module_that_is_told_counts() {
        let set = |came, module: u32, amps: u64| {
            (came, 0x02_9C_00_F0 | (module << 8), (400_000 << 32) | (amps * 1_000))
        };
        let frames = [set(1, 0, 22), set(2, 1, 22), set(2_000, 0, 22), set(5_000, 0, 25), set(7_000, 1, 25)];
        assert_eq!(delays(&[1_500], &frames).unwrap(), [5.5]);
        assert!(delays(&[6_000], &frames).is_err(), "module 0 was told nothing new");
        let others = [set(1, 4, 22), set(2_000, 4, 25)];
        assert_eq!(delays(&[1_500], &[&frames[..], &others[..]].concat()).unwrap(), [5.5], "another EVSE's");
        assert_eq!(
            frame("T029C00F080006_1A80_0000_55F0\r".replace('_', "").as_str()),
            Some((0x029C_00F0, (400_000 << 32) | 22_000))
        );
    }
}
