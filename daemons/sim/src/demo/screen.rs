//! The live picture: one block for each EVSE, drawn over the last one on a terminal, and one
//! line a second where standard output is none.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _, stdout};
use std::time::Duration;

use tokio::time::Instant;
use voltry_bus::EvseStatus;

use super::visit::Visit;

const BAR_WIDTH: usize = 40;
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Where the demo is drawn.
pub(super) struct Screen {
    terminal: bool,
    lines_drawn: usize,
    last_line: Option<Instant>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { terminal: stdout().is_terminal(), lines_drawn: 0, last_line: None }
    }

    /// Draws the visits as they stand.
    pub(super) fn draw(&mut self, visits: &[Visit<'_>], statuses: &[EvseStatus]) {
        if !self.terminal {
            if self.last_line.is_some_and(|at| at.elapsed() < LINE_EVERY) {
                return;
            }
            self.last_line = Some(Instant::now());
        }
        let blocks: Vec<String> = visits
            .iter()
            .map(|visit| {
                let status = statuses.iter().find(|status| status.evse == visit.evse());
                if self.terminal { block(visit, status) } else { line(visit, status) }
            })
            .collect();
        let mut text = String::new();
        if self.terminal && self.lines_drawn > 0 {
            // Up to the first line of the last picture, and clear from there.
            write!(text, "\x1b[{}A\x1b[J", self.lines_drawn).expect("writing to a string");
        }
        for block in &blocks {
            text.push_str(block);
        }
        self.lines_drawn = blocks.iter().map(|block| block.lines().count()).sum();
        print!("{text}");
        // A terminal that cannot be written to shows nothing; charging goes on.
        let _ = stdout().flush();
    }

    /// The last picture stays.
    pub(super) fn finish(&mut self) {
        self.lines_drawn = 0;
    }
}

fn block(visit: &Visit<'_>, status: Option<&EvseStatus>) -> String {
    let Some(status) = status else { return format!("EVSE {}  the station does not answer\n", visit.evse()) };
    let mut text = format!(
        "EVSE {}  \x1b[1m{:<15}\x1b[0m {:6.1} V  {:6.1} A  {:6.2} kW  {:7.3} kWh  {}\n        {}\n",
        status.evse,
        status.state,
        status.voltage,
        status.current,
        status.voltage * status.current / 1000.0,
        status.energy / 1000.0,
        soc(status),
        bar(charge(visit, status)),
    );
    if let Some(fault) = visit.injected() {
        writeln!(text, "        broken: {}", fault.name()).expect("writing to a string");
    }
    for fault in &status.faults {
        writeln!(text, "        \x1b[31m{}: {}\x1b[0m", fault.code, fault.cause)
            .expect("writing to a string");
    }
    text
}

fn line(visit: &Visit<'_>, status: Option<&EvseStatus>) -> String {
    let Some(status) = status else { return format!("EVSE {} the station does not answer\n", visit.evse()) };
    let faults: Vec<&str> = status.faults.iter().map(|fault| fault.code.as_str()).collect();
    format!(
        "EVSE {} {:<15} {:6.1} V {:6.1} A {:6.2} kW {:7.3} kWh {} {}\n",
        status.evse,
        status.state,
        status.voltage,
        status.current,
        status.voltage * status.current / 1000.0,
        status.energy / 1000.0,
        soc(status),
        faults.join(" "),
    )
    .replace(" \n", "\n")
}

fn soc(status: &EvseStatus) -> String {
    if status.soc < 0.0 { "   – ".to_owned() } else { format!("{:3.0} %", status.soc) }
}

/// The vehicle tells whole percents; the bar moves with the simulated battery.
fn charge(visit: &Visit<'_>, status: &EvseStatus) -> f64 {
    visit.truth().map_or(status.soc, |truth| truth.soc)
}

// Between 0 and the bar's width.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn bar(percent: f64) -> String {
    let full = (percent.clamp(0.0, 100.0) / 100.0 * BAR_WIDTH as f64).round() as usize;
    format!("[{}{}]", "█".repeat(full), "·".repeat(BAR_WIDTH - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_has_one_length_whatever_the_charge() {
        for percent in [-1.0, 0.0, 20.0, 79.9, 100.0, 250.0] {
            assert_eq!(bar(percent).chars().count(), BAR_WIDTH + 2);
        }
        assert!(bar(50.0).starts_with("[████") && bar(0.0).starts_with("[····"));
    }
}
