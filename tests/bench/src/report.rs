//! The table and the file.
//!
//! Where only some parts are measured, the file keeps the figures of the others; the table says
//! which figures are from an earlier run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

use Target::{AtLeast, AtMost};

/// The figures that have a target.
const TARGETS: [(&str, Target); 33] = [
    ("current_demand_p99_idle_ms", AtMost(5.0)),
    ("current_demand_p99_busy_ms", AtMost(10.0)),
    ("current_demand_p999_busy_ms", AtMost(25.0)),
    ("emergency_p99_busy_ms", AtMost(5.0)),
    ("emergency_max_busy_ms", AtMost(20.0)),
    ("emergency_p99_slow_book_ms", AtMost(5.0)),
    ("emergency_max_slow_book_ms", AtMost(20.0)),
    ("emergency_p99_full_journal_ms", AtMost(5.0)),
    ("emergency_max_full_journal_ms", AtMost(20.0)),
    ("emergency_p99_flooded_bus_ms", AtMost(5.0)),
    ("emergency_max_flooded_bus_ms", AtMost(20.0)),
    ("setpoint_to_can_p99_busy_ms", AtMost(10.0)),
    ("pss_total_mb", AtMost(60.0)),
    ("start_to_available_ms", AtMost(1000.0)),
    ("energy_path_sessions_per_s", AtLeast(200.0)),
    ("energy_decision_us", AtMost(100.0)),
    ("charge_loop_p99_busy_ms", AtMost(10.0)),
    ("plug_to_current_share_ms", AtMost(1000.0)),
    ("secc_pss_mb", AtMost(15.0)),
    ("din_vs_iso2_decode", AtMost(1.2)),
    ("din_vs_iso2_encode", AtMost(1.2)),
    ("ocpp_reply_vs_echo", AtMost(2.0)),
    ("ocpp201_reply_vs_echo", AtMost(2.0)),
    ("ocpp_rss_mb", AtMost(12.0)),
    ("ocpp201_rss_mb", AtMost(12.0)),
    ("ocpp_drain_growth_mb", AtMost(1.0)),
    ("ocpp201_drain_growth_mb", AtMost(1.0)),
    ("ocpp_start_to_boot_ms", AtMost(50.0)),
    ("ocpp201_start_to_boot_ms", AtMost(50.0)),
    ("ui_first_paint_ms", AtMost(200.0)),
    ("ui_update_p99_ms", AtMost(100.0)),
    ("ui_page_kb", AtMost(100.0)),
    ("ui_rss_mb", AtMost(15.0)),
];

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            AtMost(most) => value <= most,
            AtLeast(least) => value >= least,
        }
    }

    fn words(self) -> String {
        match self {
            AtMost(most) => format!("<= {most}"),
            AtLeast(least) => format!(">= {least}"),
        }
    }
}

/// The figures of one run, beside those of earlier ones.
#[derive(Debug)]
pub(crate) struct Report {
    measured: Vec<(String, f64)>,
    earlier: BTreeMap<String, f64>,
    notes: Vec<String>,
}

impl Report {
    /// Nothing measured yet.
    pub(crate) const fn new() -> Self {
        Self { measured: Vec::new(), earlier: BTreeMap::new(), notes: Vec::new() }
    }

    /// With the figures of earlier runs; none if there is no file.
    pub(crate) fn with_earlier(mut self) -> anyhow::Result<Self> {
        let file = file()?;
        if file.exists() {
            let text = std::fs::read_to_string(&file)?;
            self.earlier = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        }
        Ok(self)
    }

    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        eprintln!("{name} {value:.3}");
        self.earlier.remove(&name);
        self.measured.push((name, value));
    }

    /// How many figures there are.
    pub(crate) const fn len(&self) -> usize {
        self.measured.len()
    }

    /// Takes the figures after so many back.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.measured.truncate(len);
    }

    /// A part that was not measured, and why.
    pub(crate) fn cannot(&mut self, part: &str, why: &str) {
        self.notes.push(format!("NOT MEASURED: {part}: {why}"));
    }

    /// What a reader has to know about the figures.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The figures of this run that miss their target.
    pub(crate) fn missed(&self) -> Vec<&str> {
        let misses =
            |(name, value): &&(String, f64)| target(name).is_some_and(|target| !target.is_met(*value));
        self.measured.iter().filter(misses).map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn print(&self) {
        println!("{:<34}{:>12}{:>12}  ok?", "name", "value", "target");
        for (name, value) in &self.measured {
            self.print_row(name, *value, "");
        }
        for (name, value) in &self.earlier {
            self.print_row(name, *value, "  (an earlier run)");
        }
        let known =
            |name: &str| self.earlier.contains_key(name) || self.measured.iter().any(|(n, _)| n == name);
        for (name, _) in TARGETS.iter().filter(|(name, _)| !known(name)) {
            println!("{name:<34}{:>12}", "not measured");
        }
        for note in &self.notes {
            println!("{note}");
        }
    }

    fn print_row(&self, name: &str, value: f64, remark: &str) {
        let target = target(name);
        let verdict = target.map_or("", |target| if target.is_met(value) { "yes" } else { "NO" });
        let words = target.map(Target::words).unwrap_or_default();
        println!("{name:<34}{value:>12.3}{words:>12}  {verdict}{remark}");
    }

    /// Writes `bench.json` into the target folder.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let mut values = self.earlier.clone();
        values.extend(self.measured.iter().cloned());
        let text = serde_json::to_string_pretty(&values).expect("numbers under names are JSON");
        Ok(std::fs::write(file()?, text + "\n")?)
    }
}

fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// Beside the folder of the binaries.
fn file() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.ancestors().nth(2).context("a program lies in a folder of the target folder")?;
    Ok(folder.join("bench.json"))
}

/// The value below which this share of the samples lies; the samples get sorted.
pub(crate) fn percentile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    // an index
    let rank = ((samples.len() as f64 * share).ceil() as usize).clamp(1, samples.len());
    samples[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let mut samples: Vec<f64> = (1..=1000).rev().map(f64::from).collect();
        assert!((percentile(&mut samples, 0.5) - 500.0).abs() < 1e-9);
        assert!((percentile(&mut samples, 0.99) - 990.0).abs() < 1e-9);
        assert!((percentile(&mut samples, 0.999) - 999.0).abs() < 1e-9);
        assert!((percentile(&mut samples, 1.0) - 1000.0).abs() < 1e-9);
    }

    #[test]
    fn a_target_is_missed_above_its_most_and_below_its_least() {
        let mut report = Report::new();
        report.add("emergency_p99_busy_ms", 5.0);
        report.add("energy_path_sessions_per_s", 200.0);
        report.add("current_demand_p50_idle_ms", 1e9);
        assert!(report.missed().is_empty());
        report.add("emergency_max_busy_ms", 20.1);
        report.add("din_vs_iso2_decode", 1.3);
        assert_eq!(report.missed(), ["emergency_max_busy_ms", "din_vs_iso2_decode"]);
    }

    #[test]
    fn a_figure_measured_again_replaces_the_earlier_one_and_the_others_stay() {
        let mut report = Report::new();
        report.earlier = BTreeMap::from([("pss_total_mb".into(), 70.0), ("pss_evse_mb".into(), 5.0)]);
        report.add("pss_total_mb", 30.0);
        assert_eq!(report.earlier.keys().collect::<Vec<_>>(), ["pss_evse_mb"]);
    }
}
