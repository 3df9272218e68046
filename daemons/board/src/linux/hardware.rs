//! One connector's inputs and outputs together.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use voltry_bus::Alarms;
use voltry_units::Celsius;

use super::config::{Level, LinuxSettings, Thermometer};
use super::lines::Lines;
use super::pilot::{Levels, high_ns};
use super::sysfs::{Channel, Pwm};
use super::wires::{Motor, Outputs, Sample};
use crate::message;

/// A peak detector is empty after this long (measured by a vendor of such boards: 1.5 ms) …
const PEAKS_CLEAR: Duration = Duration::from_micros(1_500);
/// … and has seen a whole period, and settled, after this.
const PEAKS_SETTLE: Duration = Duration::from_millis(2);

/// The outputs. Whoever drops them leaves them safe.
pub(super) struct Outlets {
    settings: LinuxSettings,
    lines: Arc<dyn Lines>,
    pwm: Pwm,
    driven: Option<Outputs>,
    beat: bool,
    /// A panic is ending the process: nothing is driven any more.
    ended: bool,
}

impl Outlets {
    fn new(settings: &LinuxSettings, lines: Arc<dyn Lines>) -> io::Result<Self> {
        let pilot = &settings.pilot;
        let pwm = Pwm::open(&settings.root, &pilot.pwm, pilot.channel, pilot.inverted)?;
        let mut outlets =
            Self { settings: settings.clone(), lines, pwm, driven: None, beat: false, ended: false };
        outlets.make_safe()?;
        Ok(outlets)
    }

    /// Drives the outputs; contactors open before anything else is done.
    pub(super) fn drive(&mut self, outputs: Outputs) -> io::Result<()> {
        if self.ended {
            return Err(io::Error::other("the process is ending"));
        }
        if self.driven != Some(outputs) {
            // Unless all of it is done, none of it counts.
            self.driven = None;
            if !outputs.close {
                self.contactors(false)?;
            }
            self.pwm.drive(high_ns(outputs.pilot))?;
            self.motor(outputs.lock)?;
            if outputs.close {
                self.contactors(true)?;
            }
            self.driven = Some(outputs);
        }
        if let Some(heartbeat) = self.settings.heartbeat.as_ref().filter(|_| outputs.alive) {
            self.beat = !self.beat;
            self.lines.set(heartbeat, self.beat)?;
        }
        Ok(())
    }

    /// Does all that it can, whatever fails of it; the first that failed is told.
    pub(super) fn make_safe(&mut self) -> io::Result<()> {
        self.driven = None;
        let safe = Outputs::SAFE;
        let done = [self.contactors(safe.close), self.pwm.drive(high_ns(safe.pilot)), self.motor(safe.lock)];
        done.into_iter().collect()
    }

    /// Makes it safe for good.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.ended = true;
        self.make_safe()
    }

    fn contactors(&self, close: bool) -> io::Result<()> {
        all(self.settings.contactor.iter().map(|contactor| self.lines.set(&contactor.coil, close)))
    }

    fn motor(&self, motor: Motor) -> io::Result<()> {
        let Some(lock) = &self.settings.lock else { return Ok(()) };
        // Never both at once.
        let (locks, unlocks) = (motor == Motor::Locks, motor == Motor::Unlocks);
        let mut lines = [(&lock.lock, locks), (&lock.unlock, unlocks)];
        lines.sort_by_key(|(_, active)| *active);
        all(lines.into_iter().map(|(line, active)| self.lines.set(line, active)))
    }
}

impl Drop for Outlets {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.make_safe();
    }
}

/// Does all of it, and tells the first that failed.
fn all(done: impl Iterator<Item = io::Result<()>>) -> io::Result<()> {
    done.fold(Ok(()), io::Result::and)
}

/// The inputs, and the way to the outputs.
pub(super) struct Hardware {
    settings: LinuxSettings,
    lines: Arc<dyn Lines>,
    outlets: Arc<Mutex<Outlets>>,
    high: Channel,
    low: Channel,
}

impl Hardware {
    /// Opens it with all outputs safe.
    pub(super) fn open(settings: &LinuxSettings, lines: Arc<dyn Lines>) -> io::Result<Self> {
        let outlets = Arc::new(Mutex::new(Outlets::new(settings, lines.clone())?));
        super::panic::watch(&outlets);
        let level = |level: &Level| Channel::iio(&settings.root, &settings.pilot.adc, &level.channel);
        let (high, low) = (level(&settings.pilot.high)?, level(&settings.pilot.low)?);
        Ok(Self { settings: settings.clone(), lines, outlets, high, low })
    }

    /// Reads all inputs; this takes some milliseconds where peaks are to be detected first.
    pub(super) fn sample(&self) -> io::Result<Sample> {
        let levels = self.levels()?;
        let get = |line| self.lines.get(line);
        let mut closed = [None; 3];
        for (place, contactor) in closed.iter_mut().zip(&self.settings.contactor) {
            *place = Some(get(&contactor.feedback)?);
        }
        let emergency_stop = self.settings.emergency_stop.as_ref().map(get).transpose()?;
        let mut alarms = Alarms::default();
        for (alarm, line) in self.settings.alarms() {
            alarms = alarms.set(alarm, line.map(get).transpose()?.unwrap_or(false));
        }
        let locked = self.settings.lock.as_ref().map(|lock| get(&lock.locked)).transpose()?;
        Ok(Sample { levels, closed, emergency_stop, alarms, locked })
    }

    /// Drives the outputs; safe where that fails.
    pub(super) fn drive(&self, outputs: Outputs) -> io::Result<()> {
        let mut outlets = self.outlets.lock().unwrap_or_else(PoisonError::into_inner);
        let driven = outlets.drive(outputs);
        if driven.is_err() {
            // The first failure is the one to tell.
            let _ = outlets.make_safe();
        }
        driven
    }

    fn levels(&self) -> io::Result<Levels> {
        let resets = &self.settings.pilot.peak_reset;
        if !resets.is_empty() {
            let set = |active| all(resets.iter().map(|line| self.lines.set(line, active)));
            set(true)?;
            thread::sleep(PEAKS_CLEAR);
            set(false)?;
            thread::sleep(PEAKS_SETTLE);
        }
        let pilot = &self.settings.pilot;
        Ok(Levels {
            high: millivolts(self.high.read()?, &pilot.high),
            low: millivolts(self.low.read()?, &pilot.low),
        })
    }
}

/// Of the pilot, by those at the channel.
// Bounded just before; no level of a pilot is near the bounds.
#[allow(clippy::cast_possible_truncation)]
fn millivolts(at_channel: f64, level: &Level) -> i32 {
    ((at_channel - level.zero_mv) * level.gain).clamp(-1e6, 1e6).round() as i32
}

/// The connector's temperatures.
pub(super) struct Thermometers {
    channels: Vec<io::Result<Channel>>,
    stop: Celsius,
}

impl Thermometers {
    pub(super) fn open(settings: &LinuxSettings) -> Self {
        let open = |one: &Thermometer| match (&one.iio, &one.hwmon) {
            (Some(device), _) => Channel::iio(&settings.root, device, &one.channel),
            (None, Some(device)) => Channel::hwmon(&settings.root, device, &one.channel),
            (None, None) => Err(io::ErrorKind::NotFound.into()),
        };
        let channels = settings.temperature.iter().map(open).collect();
        Self { channels, stop: Celsius::new(settings.temperature_stop_c) }
    }

    /// What did not open, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        self.channels.iter().find_map(|channel| channel.as_ref().err()).map(ToString::to_string)
    }

    /// Reads all; one that cannot be read, or is no temperature, has failed.
    pub(super) fn read(&self) -> [Option<message::Channel>; 4] {
        let mut read = [None; 4];
        for (place, channel) in read.iter_mut().zip(&self.channels) {
            *place = Some(channel.as_ref().map_or(FAILED, |channel| self.one(channel)));
        }
        read
    }

    // Bounded just before.
    #[allow(clippy::cast_possible_truncation)]
    fn one(&self, channel: &Channel) -> message::Channel {
        let Ok(milli) = channel.read() else { return FAILED };
        let temperature = Celsius::from_milli(milli.clamp(-1e6, 1e6).round() as i64);
        if !(Celsius::new(-50)..=Celsius::new(200)).contains(&temperature) {
            return FAILED;
        }
        message::Channel { temperature: Some(temperature), stopped: temperature >= self.stop, failed: false }
    }
}

const FAILED: message::Channel = message::Channel { temperature: None, stopped: false, failed: true };
