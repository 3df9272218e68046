//! Both threads on lines that a test holds, and a tree of files in place of `/sys`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use voltry_bus::{Alarm, Pilot, PilotFault, PilotOutput};
use voltry_service::Config;
use voltry_units::Celsius;

use super::board::LinuxBoard;
use super::config::{Line, LinuxSettings};
use super::lines::Lines;
use super::sysfs::{Channel, Pwm};
use crate::config::{self, ConnectorSettings};
use crate::message::{ChargeState, Contactor, Message};
use crate::report::Report;
use crate::wanted::Wanted;

const EXAMPLE: &str = include_str!("../../../../docs/board-linux.toml");

fn read(text: &str) -> Result<ConnectorSettings, String> {
    let config = Config::parse([("voltry.toml", text)]).unwrap();
    let provision = config::configure(&config, "").map_err(|error| error.to_string())?;
    Ok(provision.settings.connectors.into_values().next().unwrap())
}

/// Lines that the test holds.
#[derive(Debug, Default)]
struct Held {
    levels: Mutex<BTreeMap<String, bool>>,
    broken: Mutex<bool>,
}

impl Held {
    fn is(&self, line: &str) -> bool {
        self.levels.lock().unwrap().get(line).copied().unwrap_or(false)
    }

    fn put(&self, line: &str, active: bool) {
        self.levels.lock().unwrap().insert(line.into(), active);
    }
}

impl Lines for Held {
    fn get(&self, line: &Line) -> io::Result<bool> {
        if *self.broken.lock().unwrap() {
            Err(io::Error::other("unplugged"))
        } else {
            Ok(self.is(&line.line))
        }
    }

    fn set(&self, line: &Line, active: bool) -> io::Result<()> {
        self.put(&line.line, active);
        // The contactors follow.
        if let Some(number) = line.line.strip_prefix("RELAY_").and_then(|rest| rest.strip_suffix("_ENABLE")) {
            self.put(&format!("RELAY_{number}_SENSE"), active);
        }
        Ok(())
    }
}

/// What the kernel shows of the example's devices.
struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let tree = Self { folder: tempfile::tempdir().unwrap() };
        let root = tree.root();
        let device = root.join("sys/devices/20fc000.pwm");
        fs::create_dir_all(&device).unwrap();
        for attribute in ["period", "duty_cycle", "enable"] {
            tree.write(&format!("sys/class/pwm/pwmchip3/pwm0/{attribute}"), "0\n");
        }
        std::os::unix::fs::symlink(&device, root.join("sys/class/pwm/pwmchip3/device")).unwrap();
        for (number, name) in [(0, "other"), (1, "2198000.adc"), (2, "pt1000-dc-plus")] {
            tree.write(&format!("sys/bus/iio/devices/iio:device{number}/name"), &format!("{name}\n"));
        }
        tree.write("sys/class/hwmon/hwmon0/name", "pt1000_dc_minus\n");
        tree.write("sys/class/hwmon/hwmon0/temp1_input", "31500\n");
        tree.write("sys/bus/iio/devices/iio:device2/in_temp_raw", "3000\n");
        tree.write("sys/bus/iio/devices/iio:device2/in_temp_scale", "10\n");
        tree.write("sys/bus/iio/devices/iio:device1/in_voltage_scale", "0.5\n");
        tree.pilot(-12_000, -12_000);
        tree
    }

    fn root(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.root().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        // As in sysfs nobody ever reads half of it.
        let new = file.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, file).unwrap();
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.root().join(file)).unwrap_or_default()
    }

    /// Levels of the pilot in millivolts: a tenth of them at the converter, which counts half millivolts.
    fn pilot(&self, high: i32, low: i32) {
        let folder = "sys/bus/iio/devices/iio:device1";
        self.write(&format!("{folder}/in_voltage2_raw"), &format!("{}\n", (high + 15_000) / 5));
        self.write(&format!("{folder}/in_voltage3_raw"), &format!("{}\n", (15_000 - low) / 5));
    }

    fn duty(&self) -> String {
        self.read("sys/class/pwm/pwmchip3/pwm0/duty_cycle")
    }
}

struct Bench {
    tree: Tree,
    lines: Arc<Held>,
    board: Option<LinuxBoard>,
    heard: mpsc::Receiver<Report>,
    temperatures: [Option<crate::message::Channel>; 4],
}

impl Bench {
    fn start() -> Self {
        let tree = Tree::new();
        let settings = LinuxSettings { root: tree.root(), ..read(EXAMPLE).unwrap().linux.unwrap() };
        let lines = Arc::new(Held::default());
        let held = lines.clone();
        let (tell, heard) = mpsc::channel(1_000);
        let board = LinuxBoard::with_lines(settings, 1, tell, move |_| Ok(held.clone())).unwrap();
        Self { tree, lines, board: Some(board), heard, temperatures: [None; 4] }
    }

    /// Waits, saying what is wanted as often as a control loop does, until the board tells it.
    async fn until(&mut self, wanted: Wanted, told: impl Fn(&ChargeState) -> bool) -> ChargeState {
        let until = async {
            let mut again = tokio::time::interval(Duration::from_millis(100));
            loop {
                tokio::select! {
                    _ = again.tick() => self.board.as_ref().unwrap().want(wanted),
                    report = self.heard.recv() => match report.unwrap().message {
                        Message::ChargeState(state) if told(&state) => return state,
                        Message::Temperatures(channels) => self.temperatures = channels,
                        Message::ChargeState(_) | Message::Version(_) | Message::Other(_) => {}
                    },
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), until).await.expect("it is told")
    }

    async fn closed() -> Self {
        let mut bench = Self::start();
        let digital = Wanted { pilot: PilotOutput::Digital, close: false, lock: None };
        bench.until(Wanted::SAFE, |state| state.pilot == Pilot::F).await;
        bench.tree.pilot(6_000, -12_000);
        bench.until(digital, |state| state.pilot == Pilot::C && !state.emergency_stop).await;
        assert_eq!(bench.tree.duty(), "50000");
        bench.until(CLOSED, |state| state.contactors[..2] == [Contactor::Closed; 2]).await;
        assert!(bench.lines.is("RELAY_1_ENABLE") && bench.lines.is("RELAY_2_ENABLE"));
        bench
    }

    fn is_safe(&self) -> bool {
        !self.lines.is("RELAY_1_ENABLE") && !self.lines.is("RELAY_2_ENABLE") && self.tree.duty() == "0"
    }

    /// Looks again with each report: a round of the thread that drives the lines.
    async fn until_safe(&mut self) {
        let safe = async {
            while !self.is_safe() {
                self.heard.recv().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), safe).await.expect("it becomes safe");
    }
}

const CLOSED: Wanted = Wanted { pilot: PilotOutput::Digital, close: true, lock: None };

#[tokio::test]
async fn lines_are_driven_and_read_and_the_end_is_safe() {
    let mut bench = Bench::closed().await;
    assert_eq!(bench.tree.read("sys/class/pwm/pwmchip3/pwm0/period"), "1000000");
    assert_eq!(bench.tree.read("sys/class/pwm/pwmchip3/pwm0/enable"), "1");
    let [plus, minus, none, _] = bench.temperatures;
    assert_eq!(plus.unwrap().temperature, Some(Celsius::new(30)));
    assert_eq!(minus.unwrap().temperature, Some(Celsius::from_milli(31_500)));
    assert_eq!(none, None);
    bench.board.take().unwrap().close().await;
    assert!(bench.is_safe());
}

#[tokio::test]
async fn an_emergency_stop_and_a_diode_fault_are_told_and_open_by_themselves() {
    let mut bench = Bench::closed().await;
    bench.lines.put("ESTOP", true);
    bench.until(CLOSED, |state| state.emergency_stop).await;
    bench.until(CLOSED, |state| state.contactors[..2] == [Contactor::Open; 2]).await;
    bench.tree.pilot(6_000, -6_000);
    bench.until(CLOSED, |state| state.pilot_fault == PilotFault::Diode).await;
}

#[tokio::test]
async fn each_of_the_cabinets_inputs_is_read() {
    let mut bench = Bench::closed().await;
    for (line, alarm) in [
        ("FAN_ALARM", Alarm::CoolingFailed),
        ("DOOR", Alarm::EnclosureOpen),
        ("TILT", Alarm::Tilted),
        ("LEAK", Alarm::Water),
    ] {
        bench.lines.put(line, true);
        bench.until(CLOSED, |state| state.alarms.contains(alarm)).await;
    }
    bench.until(CLOSED, |state| state.contactors[..2] == [Contactor::Open; 2]).await;
}

#[tokio::test]
async fn a_control_loop_that_says_nothing_more_finds_all_safe() {
    let mut bench = Bench::closed().await;
    bench.until_safe().await;
}

#[tokio::test]
async fn inputs_that_cannot_be_read_make_it_safe_and_are_no_states() {
    let mut bench = Bench::closed().await;
    *bench.lines.broken.lock().unwrap() = true;
    bench.until_safe().await;
    while bench.heard.try_recv().is_ok() {}
    assert!(
        matches!(bench.heard.recv().await.unwrap().message, Message::Temperatures(_)),
        "no state is told"
    );
    *bench.lines.broken.lock().unwrap() = false;
    bench.tree.pilot(-12_000, -12_000);
    bench.until(Wanted::SAFE, |state| state.pilot == Pilot::F).await;
}

#[tokio::test]
async fn a_thermometer_that_cannot_be_read_is_a_broken_sensor() {
    let mut bench = Bench::closed().await;
    fs::remove_file(bench.tree.root().join("sys/class/hwmon/hwmon0/temp1_input")).unwrap();
    bench.tree.write("sys/bus/iio/devices/iio:device2/in_temp_raw", "8500\n");
    while !bench.temperatures[1].is_some_and(|channel| channel.failed)
        || !bench.temperatures[0].unwrap().stopped
    {
        bench.until(CLOSED, |_| true).await;
    }
}

/// The hook is the process's: this test wants a process of its own, as nextest gives it.
#[tokio::test]
async fn a_panic_anywhere_makes_all_safe_before_the_process_ends() {
    let bench = Bench::closed().await;
    let panicked = std::thread::spawn(|| panic!("on purpose")).join();
    assert!(panicked.is_err());
    assert!(bench.is_safe(), "at once, and for good");
    bench.board.as_ref().unwrap().want(CLOSED);
    assert!(bench.is_safe());
}

#[test]
fn a_pwm_channel_is_exported_once_and_an_inverted_one_counts_backwards() {
    let tree = Tree::new();
    let pwm = Pwm::open(&tree.root(), "20fc000.pwm", 0, true).unwrap();
    assert_eq!(tree.duty(), "1000000", "-12 V");
    pwm.drive(50_000).unwrap();
    assert_eq!(tree.duty(), "950000");
    let chip = tree.root().join("sys/class/pwm/pwmchip3");
    let exported = std::thread::spawn(move || {
        while !chip.join("export").exists() {
            std::thread::yield_now();
        }
        fs::create_dir(chip.join("pwm1")).unwrap();
        for attribute in ["period", "duty_cycle", "enable"] {
            fs::write(chip.join("new"), "0\n").unwrap();
            fs::rename(chip.join("new"), chip.join("pwm1").join(attribute)).unwrap();
        }
        fs::read_to_string(chip.join("export")).unwrap()
    });
    Pwm::open(&tree.root(), "20fc000.pwm", 1, false).unwrap();
    exported.join().unwrap();
    let error = Pwm::open(&tree.root(), "30fc000.pwm", 0, false).unwrap_err();
    assert!(error.to_string().contains("no PWM chip of \"30fc000.pwm\""), "{error}");
}

#[test]
fn channels_are_found_by_the_name_of_their_device_and_scaled() {
    let tree = Tree::new();
    let root = tree.root();
    tree.write("sys/bus/iio/devices/iio:device1/in_voltage_offset", "-100\n");
    tree.write("sys/bus/iio/devices/iio:device1/in_voltage2_raw", "2100\n");
    let read = |channel| Channel::iio(&root, "2198000.adc", channel).and_then(|channel| channel.read());
    assert!((read("voltage2").unwrap() - 1_000.0).abs() < 1e-9);
    tree.write("sys/bus/iio/devices/iio:device1/in_voltage2_scale", "2\n");
    assert!((read("voltage2").unwrap() - 4_000.0).abs() < 1e-9, "its own scale counts");
    tree.write("sys/bus/iio/devices/iio:device1/in_voltage2_raw", "garbage\n");
    assert!(read("voltage2").unwrap_err().to_string().contains("is no number"));
    assert!(read("voltage9").is_err());
    tree.write("sys/bus/iio/devices/iio:device7/name", "2198000.adc\n");
    assert!(read("voltage3").unwrap_err().to_string().contains("2 times"), "which of them is a guess");
}

#[test]
fn the_example_is_whole_and_what_cannot_be_safe_is_refused() {
    let settings = read(EXAMPLE).unwrap();
    assert_eq!(settings.contactors(), 2);
    let linux = settings.linux.unwrap();
    assert_eq!((linux.temperature_stop_c, linux.pilot.debounce), (85, Duration::from_millis(30)));
    assert!(linux.heartbeat.is_some() && linux.lock.is_none());
    let example = EXAMPLE.to_owned();
    for (text, wanted) in [
        (example.replace("heartbeat =", "# "), "what opens the contactors when this process dies?"),
        (example.replace("RELAY_2_SENSE", "RELAY_1_SENSE"), "line \"RELAY_1_SENSE\" is two wires"),
        (example.replace("gain = -10.0", "gain = 0.0"), "`gain` is not zero"),
        (example.replace("[board.1]", "[board.1]\ndevice = '/dev/ttyLP2'"), "give either `device`"),
        (
            example.replace("[board.1]", "[board.1]\nreset_action = 3"),
            "`reset_action` is a safety controller's",
        ),
        (example.replace("hwmon = ", "iio = \"x\"\nhwmon = "), "by either `iio` or `hwmon`"),
        (example.replace("inverted = false", "debounce_ms = 60"), "`debounce_ms` is 10 to 50"),
        (example.replace("feedback =", "feedbak ="), "feedbak"),
        ("[board.1]\n".into(), "give either `device`"),
    ] {
        let error = read(&text).unwrap_err();
        assert!(error.contains(wanted), "{wanted:?} is not in {error:?}");
    }
}

#[test]
fn an_absent_tree_says_what_is_missing() {
    let error = Channel::iio(Path::new("/nonexistent"), "adc", "voltage0").unwrap_err();
    assert!(error.to_string().contains("/nonexistent/sys/bus/iio/devices"), "{error}");
}
