//! A time line for a spreadsheet.

use std::fmt::Write as _;

use crate::Timeline;

/// A line a moment or sample, in order, below one of the columns' names.
#[must_use]
pub fn csv(timeline: &Timeline) -> String {
    let moments = timeline.moments.iter().map(|one| {
        (one.time, format!("{},{},{},,,,,,,", quoted(&one.kind), quoted(&one.source), quoted(&one.text)))
    });
    let samples = timeline.samples.iter().map(|one| {
        let line = format!(
            "measured,evse,,{:.1},{:.1},{:.1},{:.1},{:.0},{:.1},{:.0}",
            one.voltage,
            one.current,
            one.target_voltage,
            one.target_current,
            one.power_offered,
            one.soc,
            one.energy
        );
        (one.time, line)
    });
    let mut lines: Vec<(i64, String)> = moments.chain(samples).collect();
    lines.sort_by_key(|(time, _)| *time);
    let mut csv = "time_us,kind,source,text,voltage_v,current_a,target_voltage_v,target_current_a,\
                   power_offered_w,soc_percent,energy_wh\n"
        .to_owned();
    for (time, line) in lines {
        let _ = writeln!(csv, "{time},{line}");
    }
    csv
}

/// As RFC 4180 has it; a spreadsheet takes no text for a formula.
fn quoted(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    format!("\"{}{}\"", if formula { "'" } else { "" }, text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::session;

    #[test]
    fn a_spreadsheet_gets_a_line_for_each_in_order_with_as_many_columns_and_no_formula() {
        let (session, entries, samples) = session();
        let csv = csv(&Timeline::new(session, entries, samples, []));
        assert_eq!(csv.lines().count(), 1 + 4 + 15);
        assert!(csv.contains("\"MeterStuck: \"\"it\"\" stands <still>, long\""), "{csv}");
        let measured = csv.lines().find(|line| line.contains("measured")).unwrap();
        assert_eq!(measured.split(',').count(), csv.lines().next().unwrap().split(',').count());
        let times: Vec<&str> = csv.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        assert!(times.is_sorted(), "{csv}");
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
    }
}
