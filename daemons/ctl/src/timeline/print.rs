//! A time line for a person.

use std::fmt::Write as _;

use voltry_bus::RecordedSample;
use voltry_recording::{Moment, Timeline, seconds};

use crate::output::{clock_time, kilowatts, percent, time};

/// Lines of measurements that a person gets; more are thinned out.
const SAMPLES_SHOWN: usize = 120;
/// The longest text of a line, letters.
const LETTERS: usize = 160;

enum Line<'a> {
    Moment(&'a Moment, usize),
    Sample(&'a RecordedSample),
}

impl Line<'_> {
    fn time(&self) -> i64 {
        match self {
            Self::Moment(moment, _) => moment.time,
            Self::Sample(sample) => sample.time,
        }
    }
}

/// For a person: the sentence, the phases, then everything in order. Of a charge loop each message is
/// told once, and how often it came.
pub(super) fn text(timeline: &Timeline) -> String {
    let Timeline { session, phases, samples, .. } = timeline;
    let mut text = format!("record {} on EVSE {}", session.number, session.evse);
    if session.transaction != 0 {
        let _ = write!(text, ", transaction {}", session.transaction);
    }
    let unplugged =
        if session.unplugged == 0 { "still plugged in".to_owned() } else { time(session.unplugged) };
    let _ = writeln!(text, "\nplugged in {}, unplugged {unplugged}", time(session.plugged));
    if !session.why.is_empty() {
        let _ = writeln!(text, "{}", session.why);
    }
    if session.left_out > 0 {
        let _ = writeln!(text, "({} entries and samples found no room)", session.left_out);
    }
    text += "\nPHASE\n";
    for phase in phases {
        let _ = writeln!(text, "  {:16}{}  {:9.1} s", phase.phase, clock_time(phase.began), phase.seconds);
    }
    text += "\nTIME          AFTER       WHO             WHAT\n";
    let every = samples.len().div_ceil(SAMPLES_SHOWN).max(1);
    let mut lines = runs(&timeline.moments);
    lines.extend(samples.iter().step_by(every).map(Line::Sample));
    lines.sort_by_key(Line::time);
    for line in &lines {
        let after = seconds(line.time() - session.plugged);
        let (who, what) = match line {
            Line::Moment(moment, times) => (moment.source.as_str(), moment_text(moment, *times)),
            Line::Sample(sample) => ("measured", sample_text(sample)),
        };
        let _ = writeln!(text, "{}  {after:+9.1} s  {who:14}  {what}", clock_time(line.time()));
    }
    text
}

/// A message of the same name by the same side is told once until something else happens.
fn runs(moments: &[Moment]) -> Vec<Line<'_>> {
    let name = |moment: &Moment| (moment.source.clone(), moment.text.split(' ').next().map(str::to_owned));
    let mut lines: Vec<Line<'_>> = Vec::new();
    // Request and answer take turns: each side's newest line counts.
    let mut newest: Vec<usize> = Vec::new();
    for moment in moments {
        if moment.kind != "v2g" {
            newest.clear();
            lines.push(Line::Moment(moment, 1));
            continue;
        }
        let same = newest.iter().copied().find(|at| match &lines[*at] {
            Line::Moment(before, _) => name(before) == name(moment),
            Line::Sample(_) => false,
        });
        if let Some(Line::Moment(_, times)) = same.map(|at| &mut lines[at]) {
            *times += 1;
            continue;
        }
        if newest.len() >= 2 {
            newest.remove(0);
        }
        newest.push(lines.len());
        lines.push(Line::Moment(moment, 1));
    }
    lines
}

fn moment_text(moment: &Moment, times: usize) -> String {
    let Moment { kind, text, .. } = moment;
    let mut short: String = text.chars().take(LETTERS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    let again = if times > 1 { format!("  (and {} more)", times - 1) } else { String::new() };
    match kind.as_str() {
        "v2g" | "ocpp" | "told" | "event" => format!("{short}{again}"),
        other => format!("{} {short}", other.to_uppercase()),
    }
}

fn sample_text(sample: &RecordedSample) -> String {
    let RecordedSample {
        voltage, current, target_voltage, target_current, power_offered, soc, energy, ..
    } = sample;
    format!(
        "{voltage:.1} V  {current:.1} A  (asked {target_voltage:.1} V  {target_current:.1} A, offered {})  {}  {:.3} kWh",
        kilowatts(*power_offered),
        percent(*soc),
        energy / 1000.0
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::timeline;
    use super::*;

    #[test]
    fn a_person_reads_the_sentence_the_phases_and_what_happened_and_flowed() {
        let text = text(&timeline());
        for wanted in [
            "record 3 on EVSE 1, transaction 17",
            "The vehicle ended it",
            "  charging        ",
            "16.0 s",
            "evse            PHASE charging",
            "evse/1          FAULT MeterStuck",
            "vehicle         SessionSetupReq",
            "csms            [3]",
            "400.0 V  14.0 A  (asked 410.0 V  100.0 A, offered 50.0 kW)  42 %  0.010 kWh",
        ] {
            assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
        }
    }

    #[test]
    fn a_charge_loop_is_told_once_and_how_often() {
        let moment = |time, source: &str, kind: &str, text: &str| Moment {
            time,
            kind: kind.to_owned(),
            source: source.to_owned(),
            text: text.to_owned(),
        };
        let mut moments = Vec::new();
        for round in 0..50 {
            moments.push(moment(round * 2, "vehicle", "v2g", "CurrentDemandReq a"));
            moments.push(moment(round * 2 + 1, "station", "v2g", "CurrentDemandRes b"));
        }
        moments.push(moment(200, "evse", "phase", "stopping"));
        moments.push(moment(201, "vehicle", "v2g", "CurrentDemandReq c"));
        let lines = runs(&moments);
        let times: Vec<_> = lines
            .iter()
            .map(|line| match line {
                Line::Moment(_, times) => *times,
                Line::Sample(_) => 0,
            })
            .collect();
        assert_eq!(times, [50, 50, 1, 1]);
    }
}
