//! OpenMetrics 1.0 as text (openmetrics.io, "OpenMetrics, a cloud-native, highly scalable metrics protocol").

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use voltry_bus::{ConnectorUse, CsmsState};

use super::ledger::Ledger;
use crate::bus::{Histogram, Seen};

const JOULES_PER_WH: f64 = 3600.0;

/// A family's type.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
    StateSet,
}

struct Page(String);

/// Everything, with its end.
pub(super) fn write(ledger: &Ledger, seen: &Seen, latencies: &BTreeMap<&'static str, Histogram>) -> String {
    let mut page = Page(String::new());
    page.family("voltry_build", Kind::Info, "", "What runs here.");
    page.sample("voltry_build_info", &[("version", &env!("CARGO_PKG_VERSION"))], 1);
    counters(&mut page, ledger, seen);
    present(&mut page, seen);
    page.family(
        "voltry_session_setup_seconds",
        Kind::Histogram,
        "seconds",
        "From the authorization of a session to its first current.",
    );
    page.histogram("voltry_session_setup_seconds", &[], &ledger.setup);
    page.family(
        "voltry_bus_answer_seconds",
        Kind::Histogram,
        "seconds",
        "How long a daemon takes to tell its properties; one that hangs is not in here.",
    );
    for (interface, histogram) in latencies {
        page.histogram("voltry_bus_answer_seconds", &[("interface", interface)], histogram);
    }
    page.0.push_str("# EOF\n");
    page.0
}

fn counters(page: &mut Page, ledger: &Ledger, seen: &Seen) {
    page.family(
        "voltry_evse_time_seconds",
        Kind::Counter,
        "seconds",
        "For how long an EVSE was free, in use or down, why, and whether the back end could be reached.",
    );
    for (evse, account) in ledger.accounts() {
        for ((condition, uplink), time) in &account.times {
            let (condition, cause) = condition.words();
            let labels: [(&str, &dyn Display); 4] =
                [("evse", &evse), ("condition", &condition), ("cause", &cause), ("uplink", &uplink.word())];
            page.sample("voltry_evse_time_seconds_total", &labels, time.as_secs_f64());
        }
    }
    page.family(
        "voltry_unobserved_time_seconds",
        Kind::Counter,
        "seconds",
        "For how long nobody looked, because the machine or this process stood still: in none of the other times.",
    );
    page.sample("voltry_unobserved_time_seconds_total", &[], ledger.unknown.as_secs_f64());
    page.family(
        "voltry_energy_delivered_joules",
        Kind::Counter,
        "joules",
        "Energy into vehicles by the EVSE's meter; 3600000 are a kilowatt-hour. Bills are made from the book.",
    );
    for (evse, account) in ledger.accounts() {
        let joules = account.energy * JOULES_PER_WH;
        page.sample("voltry_energy_delivered_joules_total", &[("evse", &evse)], joules);
    }
    page.family(
        "voltry_transactions",
        Kind::Counter,
        "",
        "Transactions that ended, and whether any energy was delivered.",
    );
    for (evse, tally) in &seen.tally {
        for (delivered, count) in [("yes", tally.delivered), ("no", tally.without)] {
            page.sample("voltry_transactions_total", &[("evse", evse), ("delivered", &delivered)], count);
        }
    }
    page.family("voltry_faults", Kind::Counter, "", "Faults that came, by code.");
    for (evse, account) in ledger.accounts() {
        for (code, count) in &account.faults {
            page.sample("voltry_faults_total", &[("evse", &evse), ("code", code)], count);
        }
    }
}

/// What holds now. What does not answer is left out.
fn present(page: &mut Page, seen: &Seen) {
    page.family("voltry_station_up", Kind::Gauge, "", "Whether the station's daemon answers.");
    page.sample("voltry_station_up", &[], u8::from(seen.station.is_some()));
    page.family("voltry_evse_power_watts", Kind::Gauge, "watts", "What flows into the vehicle.");
    let evses = seen.station.iter().flat_map(|station| &station.evses);
    for status in evses.clone() {
        let power = status.voltage * status.current;
        if power.is_finite() {
            page.sample("voltry_evse_power_watts", &[("evse", &status.evse)], power);
        }
    }
    page.family("voltry_evse_faults_present", Kind::Gauge, "", "Faults that are present or latched.");
    for status in evses {
        page.sample("voltry_evse_faults_present", &[("evse", &status.evse)], status.faults.len());
    }
    page.family("voltry_connector_state", Kind::StateSet, "", "How a driver meets an EVSE.");
    for connector in seen.station.iter().flat_map(|station| &station.connectors) {
        for state in ConnectorUse::ALL {
            let labels: [(&str, &dyn Display); 2] =
                [("evse", &connector.evse), ("voltry_connector_state", state)];
            page.sample("voltry_connector_state", &labels, u8::from(connector.state == state.as_str()));
        }
    }
    if !seen.has_uplink {
        return;
    }
    page.family("voltry_uplink_state", Kind::StateSet, "", "Where the connection to the back end stands.");
    if let Some(now) = seen.csms {
        for state in CsmsState::ALL {
            page.sample("voltry_uplink_state", &[("voltry_uplink_state", state)], u8::from(now == *state));
        }
    }
    page.family("voltry_uplink_queue_messages", Kind::Gauge, "messages", "What waits for the back end.");
    if let Some(waiting) = seen.waiting {
        page.sample("voltry_uplink_queue_messages", &[], waiting);
    }
}

impl Page {
    /// Begins a family; its samples follow.
    fn family(&mut self, name: &str, kind: Kind, unit: &str, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
            Kind::StateSet => "stateset",
        };
        self.line(format_args!("# TYPE {name} {kind}"));
        if !unit.is_empty() {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
        self.line(format_args!("# HELP {name} {}", escaped(help)));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        let mut text = String::new();
        for (label, value) in labels {
            let comma = if text.is_empty() { "" } else { "," };
            let _ = write!(text, "{comma}{label}=\"{}\"", escaped(&value.to_string()));
        }
        let labels = if text.is_empty() { text } else { format!("{{{text}}}") };
        self.line(format_args!("{name}{labels} {value}"));
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &dyn Display)], histogram: &Histogram) {
        for (bound, count) in histogram.cumulative() {
            let bound = bound.map_or_else(|| "+Inf".to_owned(), seconds);
            let labels: Vec<(&str, &dyn Display)> =
                labels.iter().copied().chain([("le", &bound as &dyn Display)]).collect();
            self.sample(&format!("{name}_bucket"), &labels, count);
        }
        self.sample(&format!("{name}_count"), labels, histogram.total());
        self.sample(&format!("{name}_sum"), labels, histogram.seconds());
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{line}");
    }
}

/// A number as the format wants bounds: with a point.
fn seconds(milliseconds: u64) -> String {
    let text = format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
    let trimmed = text.trim_end_matches('0');
    if trimmed.ends_with('.') { format!("{trimmed}0") } else { trimmed.to_owned() }
}

/// Of a label's value or a help: what would end it, or its line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_label_or_its_line_is_escaped() {
        let mut page = Page(String::new());
        page.sample("x", &[("code", &"a\"} 1\nb\\"), ("evse", &1)], 2);
        assert_eq!(page.0, "x{code=\"a\\\"} 1\\nb\\\\\",evse=\"1\"} 2\n");
    }

    #[test]
    fn a_page_of_nothing_is_whole() {
        let text = write(&Ledger::default(), &Seen::default(), &BTreeMap::new());
        assert!(text.contains("voltry_station_up 0\n") && text.ends_with("\n# EOF\n"), "{text}");
        assert!(!text.contains("voltry_uplink"), "there is none");
    }

    #[test]
    fn bounds_are_numbers_with_a_point() {
        assert_eq!([1, 50, 500, 1000, 30_000].map(seconds), ["0.001", "0.05", "0.5", "1.0", "30.0"]);
    }
}
