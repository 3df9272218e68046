//! The table and the file.

use std::path::PathBuf;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    None,
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn met(self, value: f64) -> Option<bool> {
        match self {
            Self::None => None,
            Self::AtMost(most) => Some(value <= most),
            Self::AtLeast(least) => Some(value >= least),
        }
    }

    fn words(self) -> String {
        match self {
            Self::None => String::new(),
            Self::AtMost(most) => format!("<= {most}"),
            Self::AtLeast(least) => format!(">= {least}"),
        }
    }
}

/// All figures, in order.
#[derive(Debug)]
pub(crate) struct Report {
    rows: Vec<(String, f64, Target)>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) const fn new() -> Self {
        Self { rows: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64, target: Target) {
        let name = name.into();
        eprintln!("{name} {value:.3}");
        self.rows.push((name, value, target));
    }

    /// What a reader has to know about the figures.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(crate) fn all_met(&self) -> bool {
        self.rows.iter().all(|(_, value, target)| target.met(*value) != Some(false))
    }

    pub(crate) fn print(&self) {
        println!("{:<34}{:>12}{:>12}  ok?", "name", "value", "target");
        for (name, value, target) in &self.rows {
            let verdict = match target.met(*value) {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "",
            };
            println!("{name:<34}{value:>12.3}{:>12}  {verdict}", target.words());
        }
        for note in &self.notes {
            println!("{note}");
        }
    }

    /// Writes `bench.json` into the target folder.
    pub(crate) fn write(&self) -> std::io::Result<()> {
        let own = std::env::current_exe()?;
        let folder = own.ancestors().nth(2).map_or_else(|| PathBuf::from("target"), PathBuf::from);
        let values: serde_json::Map<_, _> =
            self.rows.iter().map(|(name, value, _)| (name.clone(), (*value).into())).collect();
        let mut text = serde_json::to_string_pretty(&values).expect("numbers under names are JSON");
        text.push('\n');
        std::fs::write(folder.join("bench.json"), text)
    }
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
    fn a_missed_target_is_not_met() {
        let mut report = Report::new();
        report.add("a", 5.0, Target::AtMost(5.0));
        report.add("b", 1.0, Target::None);
        assert!(report.all_met());
        report.add("c", 199.0, Target::AtLeast(200.0));
        assert!(!report.all_met());
    }
}
