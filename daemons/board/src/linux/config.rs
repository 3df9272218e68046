//! `[board.N.linux]`: the lines of this machine that are a connector's wires.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use voltry_bus::Alarm;

/// A connector on GPIO lines, a PWM channel and IIO channels of this machine.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinuxSettings {
    /// The control pilot.
    pub pilot: PilotSettings,
    /// The contactors, 1 to 3, each with its feedback. They close and open together.
    pub contactor: Vec<ContactorLines>,
    /// Active while an emergency stop is pressed, or its chain is open. Without one nobody hears of it.
    pub emergency_stop: Option<Line>,
    /// Active while a door or cover is open.
    pub enclosure_open: Option<Line>,
    /// Active while the cabinet is tilted.
    pub tilted: Option<Line>,
    /// Active while there is water where none may be.
    pub water: Option<Line>,
    /// Active while the cooling of cabinet, modules or cable does not run.
    pub cooling_failed: Option<Line>,
    /// An output that is toggled every 10 ms while all is well. Hardware behind it opens the contactors
    /// when it stands still.
    pub heartbeat: Option<Line>,
    /// The manufacturer's word instead of a heartbeat: the hardware opens the contactors by itself when
    /// this process dies or hangs. Linux does not.
    #[serde(default)]
    pub opens_by_itself: bool,
    /// The connector's contacts and cable, 4 at most.
    #[serde(default)]
    pub temperature: Vec<Thermometer>,
    /// Contactors open at this temperature, degrees Celsius. Default 85, 90 at most.
    #[serde(default = "stop_c")]
    pub temperature_stop_c: i32,
    /// The plug's lock.
    pub lock: Option<LockLines>,
    /// Where `sys` is. Default `/`; for tests.
    #[serde(default = "root")]
    pub root: PathBuf,
}

/// A GPIO line, by the name that the device tree gives it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its name, as `gpioinfo` shows it; only one line of the machine may have it.
    pub line: String,
    /// Active at 0 V. Default false.
    #[serde(default)]
    pub active_low: bool,
}

/// A contactor's coil and its feedback contact.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactorLines {
    /// The output that closes it while it is active.
    pub coil: Line,
    /// The input that is active while it is closed.
    pub feedback: Line,
}

/// A lock with a motor that is driven either way, and a feedback contact.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockLines {
    /// The output that locks while it is active.
    pub lock: Line,
    /// The output that unlocks while it is active.
    pub unlock: Line,
    /// The input that is active while it is locked.
    pub locked: Line,
    /// For how long the motor is driven, milliseconds, 50 to 2000. Default 600.
    #[serde(
        default = "drive",
        rename = "drive_ms",
        deserialize_with = "voltry_service::config::duration_ms"
    )]
    pub drive: Duration,
}

/// The control pilot's generator and its two levels.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PilotSettings {
    /// The device of the PWM chip, as `20fc000.pwm`: the name of what `/sys/class/pwm/pwmchipN/device` is.
    pub pwm: String,
    /// Its channel. Default 0.
    #[serde(default)]
    pub channel: u32,
    /// The pilot is at +12 V while the PWM's output is low. Default false.
    #[serde(default)]
    pub inverted: bool,
    /// The IIO device that measures the levels, by its `name`.
    pub adc: String,
    /// The upper level.
    pub high: Level,
    /// The lower level.
    pub low: Level,
    /// Outputs that clear peak detectors while they are active. Without any the levels are read as they are.
    #[serde(default)]
    pub peak_reset: Vec<Line>,
    /// For how long a state must stand, milliseconds, 10 to 50. Default 30.
    #[serde(
        default = "bounces",
        rename = "debounce_ms",
        deserialize_with = "voltry_service::config::duration_ms"
    )]
    pub debounce: Duration,
}

/// A level of the pilot at an IIO channel: the pilot's millivolts are `(channel − zero_mv) × gain`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// As `voltage2`.
    pub channel: String,
    /// The channel's millivolts at 0 V of the pilot. Default 0.
    #[serde(default)]
    pub zero_mv: f64,
    /// Of the divider in front of it; negative where that inverts.
    pub gain: f64,
}

/// A temperature that the kernel measures.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thermometer {
    /// An IIO device, by its `name`; or
    pub iio: Option<String>,
    /// a hwmon device, by its `name`.
    pub hwmon: Option<String>,
    /// As `temp` of IIO or `temp1` of hwmon.
    pub channel: String,
}

const fn stop_c() -> i32 {
    85
}

fn root() -> PathBuf {
    "/".into()
}

const fn drive() -> Duration {
    Duration::from_millis(600)
}

const fn bounces() -> Duration {
    Duration::from_millis(30)
}

impl LinuxSettings {
    /// How many contactors there are.
    pub(crate) fn contactors(&self) -> u8 {
        u8::try_from(self.contactor.len()).unwrap_or(u8::MAX)
    }

    /// Every input line.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &Line> {
        let feedback = self.contactor.iter().map(|contactor| &contactor.feedback);
        let alarms = self.alarms().into_iter().filter_map(|(_, line)| line);
        feedback.chain(&self.emergency_stop).chain(alarms).chain(self.lock.iter().map(|lock| &lock.locked))
    }

    /// The cabinet's inputs, as far as they are fitted.
    pub(super) const fn alarms(&self) -> [(Alarm, Option<&Line>); 4] {
        [
            (Alarm::EnclosureOpen, self.enclosure_open.as_ref()),
            (Alarm::Tilted, self.tilted.as_ref()),
            (Alarm::Water, self.water.as_ref()),
            (Alarm::CoolingFailed, self.cooling_failed.as_ref()),
        ]
    }

    /// Every output line.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &Line> {
        let coils = self.contactor.iter().map(|contactor| &contactor.coil);
        let motor = self.lock.iter().flat_map(|lock| [&lock.lock, &lock.unlock]);
        coils.chain(motor).chain(&self.pilot.peak_reset).chain(&self.heartbeat)
    }

    /// What is wrong with it: the key, and why.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let limits = [
            (
                !(1..=3).contains(&self.contactor.len()),
                "linux.contactor",
                "1 to 3 contactors, each with `coil` and `feedback`",
            ),
            (
                self.heartbeat.is_none() && !self.opens_by_itself,
                "linux",
                "what opens the contactors when this process dies? Give `heartbeat`, a line that such hardware \
                 watches, or `opens_by_itself = true` if it does so by other means",
            ),
            (self.temperature.len() > 4, "linux.temperature", "at most 4"),
            (self.temperature_stop_c > 90, "linux.temperature_stop_c", "`temperature_stop_c` is at most 90"),
            (
                !(10..=50).contains(&self.pilot.debounce.as_millis()),
                "linux.pilot.debounce_ms",
                "`debounce_ms` is 10 to 50: the contactors open within 100 ms after the vehicle left C",
            ),
            (
                self.lock.as_ref().is_some_and(|lock| !(50..=2_000).contains(&lock.drive.as_millis())),
                "linux.lock.drive_ms",
                "`drive_ms` is 50 to 2000",
            ),
        ];
        let mut problems: Vec<_> = limits
            .into_iter()
            .filter(|(wrong, ..)| *wrong)
            .map(|(_, key, text)| (key, text.to_owned()))
            .collect();
        let levels = [("linux.pilot.high", &self.pilot.high), ("linux.pilot.low", &self.pilot.low)];
        for (key, level) in levels {
            if level.gain == 0.0 || !level.gain.is_finite() || !level.zero_mv.is_finite() {
                problems.push((key, "`gain` is not zero, and both are numbers".into()));
            }
        }
        if self.temperature.iter().any(|one| one.iio.is_some() == one.hwmon.is_some()) {
            problems.push(("linux.temperature", "each by either `iio` or `hwmon`".into()));
        }
        let mut names = BTreeSet::new();
        let lines = self.inputs().chain(self.outputs());
        for twice in lines.filter(|line| !names.insert(&line.line)) {
            problems.push(("linux", format!("line {:?} is two wires", twice.line)));
        }
        problems
    }
}
