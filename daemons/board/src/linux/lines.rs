//! GPIO lines by name.

use std::collections::BTreeMap;
use std::io;

use gpiocdev::Request;
use gpiocdev::line::Value;

use super::config::Line;

/// The GPIO lines of one connector. Values are as configured: active, or not.
pub trait Lines: Send + Sync {
    /// Whether an input is active.
    ///
    /// # Errors
    /// If it cannot be read, or is not one of the lines.
    fn get(&self, line: &Line) -> io::Result<bool>;

    /// Drives an output.
    ///
    /// # Errors
    /// If it cannot be driven, or is not one of the lines.
    fn set(&self, line: &Line, active: bool) -> io::Result<()>;
}

/// Lines of the kernel's GPIO character devices. They are nobody else's until this is dropped; what
/// the kernel's driver makes of an output then is its own.
#[derive(Debug)]
pub(super) struct GpioLines(BTreeMap<String, Request>);

const CONSUMER: &str = "voltry-board";

impl GpioLines {
    /// Takes the lines. Outputs are inactive from this instant.
    pub(super) fn take<'a>(
        inputs: impl Iterator<Item = &'a Line>,
        outputs: impl Iterator<Item = &'a Line>,
    ) -> io::Result<Self> {
        let wanted: Vec<(&Line, bool)> =
            outputs.map(|line| (line, true)).chain(inputs.map(|line| (line, false))).collect();
        let names: Vec<&str> = wanted.iter().map(|(line, _)| line.line.as_str()).collect();
        // Strict: a name that two lines have says nothing.
        let found = gpiocdev::find_named_lines(&names, true).map_err(io::Error::other)?;
        let mut taken = BTreeMap::new();
        for (line, output) in wanted {
            let place = found.get(line.line.as_str()).ok_or_else(|| unknown(line))?;
            let mut request = Request::builder();
            request.with_consumer(CONSUMER).with_found_line(place);
            if output {
                request.as_output(Value::Inactive);
            } else {
                request.as_input();
            }
            if line.active_low {
                request.as_active_low();
            }
            let request = request
                .request()
                .map_err(|error| io::Error::other(format!("GPIO line {:?}: {error}", line.line)))?;
            taken.insert(line.line.clone(), request);
        }
        Ok(Self(taken))
    }

    fn request(&self, line: &Line) -> io::Result<&Request> {
        self.0.get(&line.line).ok_or_else(|| unknown(line))
    }
}

impl Lines for GpioLines {
    fn get(&self, line: &Line) -> io::Result<bool> {
        let value = self.request(line)?.lone_value().map_err(io::Error::other)?;
        Ok(value == Value::Active)
    }

    fn set(&self, line: &Line, active: bool) -> io::Result<()> {
        let value = if active { Value::Active } else { Value::Inactive };
        self.request(line)?.set_lone_value(value).map_err(io::Error::other)
    }
}

fn unknown(line: &Line) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no GPIO line is named {:?}", line.line))
}
