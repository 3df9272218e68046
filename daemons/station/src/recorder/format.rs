//! The lines of a recording. Text, so that what a power cut leaves is readable up to its last whole line.
//!
//! ```text
//! {"number":7,"evse":1,"boot":"…","plug":81234567,"plugged":1790000000000000}   the first
//! [1234,"phase","evse","charging"]       an entry, milliseconds after plugging in
//! =12345 3902 1845 3910 1850 9000 293 12 a sample: tenths of seconds, volts, amperes, volts and amperes
//!                                        wanted, tens of watts offered, tenths of percent, watt-hours
//! 10 -1 2                                what differs from the sample before; zeros at the end are left out
//! ```

use serde::{Deserialize, Serialize};
use voltry_bus::{RecordedEntry, RecordedSample};

/// What stands in the first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The session's number in the recorder.
    pub(super) number: u64,
    /// The EVSE.
    pub(super) evse: u32,
    /// The boot in which `plug` counts.
    pub(super) boot: String,
    /// The EVSE's id of the session.
    pub(super) plug: u64,
    /// Microseconds of Unix time.
    pub(super) plugged: i64,
}

/// Entries that are not shown as such, but are said of the session.
pub(super) const TRANSACTION: &str = "transaction";
pub(super) const WHY: &str = "why";
pub(super) const UNPLUGGED: &str = "unplugged";
pub(super) const LEFT_OUT: &str = "left-out";

/// Whether an entry is one of those.
pub(super) fn is_of_session(kind: &str) -> bool {
    [TRANSACTION, WHY, UNPLUGGED, LEFT_OUT].contains(&kind)
}

/// A sample in whole steps: time first.
pub(super) type Steps = [i64; 8];
/// What a step is, in SI units.
const STEP: [f64; 8] = [0.1, 0.1, 0.1, 0.1, 0.1, 10.0, 0.1, 1.0];

/// `since`: microseconds since plugging in.
pub(super) fn steps(since: i64, sample: &RecordedSample) -> Steps {
    let RecordedSample {
        voltage, current, target_voltage, target_current, power_offered, soc, energy, ..
    } = *sample;
    let mut steps = [0.0, voltage, current, target_voltage, target_current, power_offered, soc, energy];
    for (value, step) in steps.iter_mut().zip(STEP) {
        *value = (*value / step).round();
    }
    // A value from outside may be anything; a cast saturates.
    #[expect(clippy::cast_possible_truncation, reason = "rounded above; what is no quantity saturates")]
    let mut steps = steps.map(|value| (value as i64).clamp(-1_000_000_000, 1_000_000_000));
    steps[0] = since / 100_000;
    steps
}

fn sample(plugged: i64, steps: &Steps) -> RecordedSample {
    let si = |place: usize| steps[place] as f64 * STEP[place];
    RecordedSample {
        time: plugged.saturating_add(steps[0].saturating_mul(100_000)),
        voltage: si(1),
        current: si(2),
        target_voltage: si(3),
        target_current: si(4),
        power_offered: si(5),
        soc: if steps[6] < 0 { -1.0 } else { si(6) },
        energy: si(7),
    }
}

/// A sample, whole or as what differs from the one before.
pub(super) fn sample_line(before: Option<&Steps>, steps: &Steps) -> String {
    let values = before.map_or(*steps, |before| std::array::from_fn(|place| steps[place] - before[place]));
    let last = values.iter().rposition(|value| *value != 0).unwrap_or(0);
    let words: Vec<_> = values[..=last].iter().map(i64::to_string).collect();
    format!("{}{}\n", if before.is_some() { "" } else { "=" }, words.join(" "))
}

/// `since`: microseconds since plugging in.
pub(super) fn entry_line(since: i64, kind: &str, source: &str, text: &str) -> String {
    let line = serde_json::to_string(&(since / 1_000, kind, source, text));
    // Numbers and texts always serialize.
    line.map(|line| line + "\n").unwrap_or_default()
}

pub(super) fn head_line(head: &Head) -> String {
    serde_json::to_string(head).map(|line| line + "\n").unwrap_or_default()
}

/// A whole recording.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parsed {
    pub(super) head: Head,
    pub(super) entries: Vec<RecordedEntry>,
    pub(super) samples: Vec<RecordedSample>,
}

/// What a file holds; `None` without its first line. Lines that are none of ours, as one that a power
/// cut tore, are passed over, and samples after them until the next whole one.
pub(super) fn parse(text: &str) -> Option<Parsed> {
    let mut lines = text.lines();
    let head: Head = serde_json::from_str(lines.next()?).ok()?;
    let (mut entries, mut samples) = (Vec::new(), Vec::new());
    let mut before: Option<Steps> = None;
    for line in lines.filter(|line| !line.is_empty()) {
        if line.starts_with('[') {
            if let Ok((since, kind, source, text)) =
                serde_json::from_str::<(i64, String, String, String)>(line)
            {
                let time = head.plugged.saturating_add(since.saturating_mul(1_000));
                entries.push(RecordedEntry { time, kind, source, text });
            }
            continue;
        }
        before = read_steps(line, before.as_ref());
        samples.extend(before.as_ref().map(|steps| sample(head.plugged, steps)));
    }
    Some(Parsed { head, entries, samples })
}

fn read_steps(line: &str, before: Option<&Steps>) -> Option<Steps> {
    let (words, mut steps) = match (line.strip_prefix('='), before) {
        (Some(whole), _) => (whole, Steps::default()),
        (None, Some(before)) => (line, *before),
        (None, None) => return None,
    };
    let mut places = steps.iter_mut();
    for word in words.split(' ') {
        let place = places.next()?;
        *place = place.checked_add(word.parse().ok()?)?;
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head() -> Head {
        Head { number: 7, evse: 1, boot: "boot".to_owned(), plug: 5, plugged: 1_790_000_000_000_000 }
    }

    fn measured(voltage: f64, current: f64, energy: f64) -> RecordedSample {
        RecordedSample {
            time: 0,
            voltage,
            current,
            target_voltage: 410.0,
            target_current: 200.0,
            power_offered: 90_000.0,
            soc: -1.0,
            energy,
        }
    }

    #[test]
    fn what_was_written_is_read_again_within_half_a_step() {
        let mut text = head_line(&head());
        text += &entry_line(1_234_000, "phase", "evse", "charging \"quoted\"\nline");
        let mut before = None;
        for second in 0..5_i32 {
            let at =
                steps(i64::from(second) * 1_000_000, &measured(390.04, 184.5, 1204.4 + f64::from(second)));
            text += &sample_line(before.as_ref(), &at);
            before = Some(at);
        }
        let parsed = parse(&text).unwrap();
        assert_eq!(parsed.head, head());
        assert_eq!(parsed.entries[0].time, head().plugged + 1_234_000);
        assert_eq!(parsed.entries[0].text, "charging \"quoted\"\nline");
        assert_eq!(parsed.samples.len(), 5);
        let last = parsed.samples[4];
        assert_eq!(last.time, head().plugged + 4_000_000);
        assert!((last.voltage - 390.0).abs() < 1e-9 && (last.energy - 1208.0).abs() < 1e-9, "{last:?}");
        assert!((last.soc + 1.0).abs() < 1e-9 && (last.power_offered - 90_000.0).abs() < 1e-9);
        assert_eq!(text.lines().last(), Some("10 0 0 0 0 0 0 1"));
    }

    #[test]
    fn a_torn_line_costs_itself_and_what_counts_from_it() {
        let at = |second: i64| steps(second * 1_000_000, &measured(400.0, 100.0, 0.0));
        let mut text = head_line(&head()) + &sample_line(None, &at(0)) + "10 0 x\n";
        text += &sample_line(Some(&at(1)), &at(2));
        text += "[12,\"pha\n";
        text += &sample_line(None, &at(9));
        let parsed = parse(&text).unwrap();
        let times: Vec<_> =
            parsed.samples.iter().map(|one| (one.time - head().plugged) / 1_000_000).collect();
        assert_eq!(times, [0, 9]);
        assert!(parsed.entries.is_empty());
        assert_eq!(parse("no head\n"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC*", tail in proptest::collection::vec("[=0-9 \\-\\[\\],\"a-z]{0,40}", 0..20)) {
            let _ = parse(&text);
            let _ = parse(&(head_line(&head()) + &tail.join("\n")));
        }

        #[test]
        fn any_measurement_is_recorded_without_a_panic(voltage: f64, current: f64, energy: f64, since: i64) {
            let at = steps(since, &measured(voltage, current, energy));
            let before = steps(0, &measured(0.0, 0.0, 0.0));
            let text = head_line(&head()) + &sample_line(None, &at) + &sample_line(Some(&at), &before);
            let _ = parse(&text);
        }
    }
}
