//! PWM, IIO and hwmon, as the kernel shows them below `/sys`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::pilot::PERIOD_NS;

/// A channel appears soon after it was exported; its attributes become ours when udev has seen it.
const EXPORTED_WITHIN: Duration = Duration::from_secs(1);

/// A PWM channel.
#[derive(Debug)]
pub(super) struct Pwm {
    channel: PathBuf,
    inverted: bool,
}

impl Pwm {
    /// Takes a channel of the chip that is `device`, and drives the pilot to −12 V. An inverted one that was left
    /// enabled is at +12 V for an instant.
    pub(super) fn open(root: &Path, device: &str, channel: u32, inverted: bool) -> io::Result<Self> {
        let class = root.join("sys/class/pwm");
        let is_it = |chip: &Path| {
            let target = fs::canonicalize(chip.join("device"))?;
            Ok(target.file_name().is_some_and(|name| name.to_string_lossy() == device))
        };
        let chip = the_one(&class, "pwmchip", is_it, &format!("PWM chip of {device:?}"))?;
        let place = chip.join(format!("pwm{channel}"));
        let last = place.join("enable");
        if !last.exists() {
            write(&chip.join("export"), &channel.to_string())?;
            let until = Instant::now() + EXPORTED_WITHIN;
            while !last.exists() {
                if Instant::now() >= until {
                    return Err(not_found(format!("{} was exported and is not there", place.display())));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let pwm = Self { channel: place, inverted };
        let read = |attribute: &str| whole_number(&pwm.channel.join(attribute));
        let found =
            Found { enabled: read("enable")? != 0, period: read("period")?, duty: read("duty_cycle")? };
        for (attribute, value) in found.to_minus_12_volts(pwm.duty(0)) {
            write(&pwm.channel.join(attribute), &value.to_string())?;
        }
        Ok(pwm)
    }

    const fn duty(&self, high_ns: u64) -> u64 {
        if self.inverted { PERIOD_NS.saturating_sub(high_ns) } else { high_ns }
    }

    /// Drives the pilot to +12 V for so many nanoseconds of each period.
    pub(super) fn drive(&self, high_ns: u64) -> io::Result<()> {
        write(&self.channel.join("duty_cycle"), &self.duty(high_ns).to_string())
    }
}

/// How a channel is found: as it was exported, or as whoever had it before left it, still running perhaps.
#[derive(Debug, Clone, Copy)]
struct Found {
    enabled: bool,
    period: u64,
    duty: u64,
}

impl Found {
    /// What to write, in this order, until the channel runs with our period and the duty that is −12 V. The kernel
    /// takes no duty longer than the period, no period shorter than the duty, and no duty without a period.
    fn to_minus_12_volts(self, safe: u64) -> Vec<(&'static str, u64)> {
        let mut writes = Vec::new();
        // The two are set one after the other, and an inverted output is at +12 V in what is left of a period that is
        // longer than the duty. So one that runs with another period is stopped: not driven, as before the first
        // start.
        if self.period != PERIOD_NS {
            if self.enabled {
                writes.push(("enable", 0));
            }
            if self.duty > PERIOD_NS {
                writes.push(("duty_cycle", 0));
            }
            writes.push(("period", PERIOD_NS));
        }
        writes.extend([("duty_cycle", safe), ("enable", 1)]);
        writes
    }
}

/// A channel of an IIO device or of a hwmon device: a file that holds a number.
#[derive(Debug)]
pub(super) struct Channel {
    file: PathBuf,
    offset: f64,
    scale: f64,
}

impl Channel {
    /// A channel of the IIO device of this name, in its unit (millivolts, thousandths of a degree Celsius).
    pub(super) fn iio(root: &Path, device: &str, channel: &str) -> io::Result<Self> {
        let place = named(&root.join("sys/bus/iio/devices"), "iio:device", device)?;
        let input = place.join(format!("in_{channel}_input"));
        if input.exists() {
            return Ok(Self { file: input, offset: 0.0, scale: 1.0 });
        }
        // One of the channel itself, or one of all channels of its kind.
        let kind = channel.trim_end_matches(|c: char| c.is_ascii_digit());
        let shared = |what: &str| {
            [channel, kind]
                .map(|of| place.join(format!("in_{of}_{what}")))
                .into_iter()
                .find(|file| file.exists())
        };
        let scale =
            shared("scale").ok_or_else(|| not_found(format!("{device:?} tells no scale of {channel}")))?;
        let offset = shared("offset").map_or(Ok(0.0), |file| number(&file))?;
        let file = place.join(format!("in_{channel}_raw"));
        let channel = Self { file, offset, scale: number(&scale)? };
        channel.read().map(|_| channel)
    }

    /// A temperature of the hwmon device of this name, in thousandths of a degree Celsius.
    pub(super) fn hwmon(root: &Path, device: &str, channel: &str) -> io::Result<Self> {
        let place = named(&root.join("sys/class/hwmon"), "hwmon", device)?;
        Ok(Self { file: place.join(format!("{channel}_input")), offset: 0.0, scale: 1.0 })
    }

    /// Reads it now; this waits for a conversion.
    pub(super) fn read(&self) -> io::Result<f64> {
        Ok((number(&self.file)? + self.offset) * self.scale)
    }
}

fn named(folder: &Path, prefix: &str, device: &str) -> io::Result<PathBuf> {
    let is_it = |place: &Path| Ok(fs::read_to_string(place.join("name"))?.trim() == device);
    the_one(folder, prefix, is_it, &format!("device named {device:?}"))
}

/// The one entry of a folder that is it: two of a name would be a guess.
fn the_one(
    folder: &Path,
    prefix: &str,
    is_it: impl Fn(&Path) -> io::Result<bool>,
    what: &str,
) -> io::Result<PathBuf> {
    let entries = fs::read_dir(folder).map_err(|error| at(folder, &error))?;
    let mut found = Vec::new();
    for entry in entries {
        let place = entry?.path();
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        // What has no name, or vanished meanwhile, is not it.
        if name.starts_with(prefix) && is_it(&place).unwrap_or(false) {
            found.push(place);
        }
    }
    match <[PathBuf; 1]>::try_from(found) {
        Ok([place]) => Ok(place),
        Err(found) if found.is_empty() => Err(not_found(format!("no {what} below {}", folder.display()))),
        Err(found) => {
            Err(io::Error::other(format!("{} times a {what} below {}", found.len(), folder.display())))
        }
    }
}

fn whole_number(file: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(file).map_err(|error| at(file, &error))?;
    text.trim().parse().map_err(|_| {
        let text = format!("{}: {:?} is no whole number", file.display(), text.trim());
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

fn number(file: &Path) -> io::Result<f64> {
    let text = fs::read_to_string(file).map_err(|error| at(file, &error))?;
    let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: {:?} is no number", file.display(), text.trim()),
        )
    })
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    fs::write(file, text).map_err(|error| at(file, &error))
}

fn at(place: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", place.display()))
}

fn not_found(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes a write as the kernel does, or refuses it.
    fn take(pwm: &mut Found, (attribute, value): (&str, u64)) {
        match attribute {
            "enable" => pwm.enabled = value != 0,
            "period" => pwm.period = value,
            "duty_cycle" => pwm.duty = value,
            other => panic!("there is no {other}"),
        }
        assert!(pwm.period > 0 && pwm.duty <= pwm.period, "refused: {pwm:?}");
    }

    fn drives_minus_12_volts(pwm: Found, inverted: bool) -> bool {
        pwm.duty == if inverted { pwm.period } else { 0 }
    }

    proptest! {
        /// However it is found: from the first write on it is not driven, or at −12 V without a break.
        #[test]
        fn no_pilot_is_passed_on_the_way_to_minus_12_volts(
            inverted: bool,
            enabled: bool,
            period in prop_oneof![Just(PERIOD_NS), Just(0), 1..5 * PERIOD_NS],
            part in 0.0..=1.0,
        ) {
            // Bounded by the period.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let duty = ((period as f64 * part) as u64).min(period);
            // One without a period is never enabled.
            let mut pwm = Found { enabled: enabled && period > 0, period, duty };
            let safe = if inverted { PERIOD_NS } else { 0 };
            for write in pwm.to_minus_12_volts(safe) {
                take(&mut pwm, write);
                prop_assert!(!pwm.enabled || drives_minus_12_volts(pwm, inverted), "{:?}", pwm);
            }
            prop_assert!(pwm.enabled && pwm.period == PERIOD_NS && pwm.duty == safe);
        }
    }
}
