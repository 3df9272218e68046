//! The technician's pages. In English, as the rest of what technicians read.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, html};
use voltry_bus::{EvseStatus, Fault, Setting};
use voltry_service::clock;
use voltry_service::fault_guide::FaultGuide;

use super::accounts::Role;
use super::devices::Device;
use super::history::{History, POINTS, Point};
use super::sessions::Session;
use crate::assets;
use crate::bus::{Seen, Station};

/// The pages, and what they are called.
const PAGES: [(&str, &str, Role); 10] = [
    ("/", "Station", Role::View),
    ("/devices", "Devices", Role::View),
    ("/sessions", "Sessions", Role::View),
    ("/timeline", "Time lines", Role::View),
    ("/v2g", "Vehicles' messages", Role::Operate),
    ("/logs", "Logs", Role::Operate),
    ("/selftest", "Self-test", Role::Operate),
    ("/settings", "Settings", Role::Configure),
    ("/configuration", "Configuration", Role::Configure),
    ("/audit", "Audit trail", Role::Configure),
];

/// A page for somebody who is logged in. `live`: it follows what happens.
pub(super) fn document(session: &Session, path: &str, title: &str, middle: &Markup, live: bool) -> Markup {
    let events = format!("/events?page={}", path.trim_start_matches('/'));
    html! { (DOCTYPE) html lang="en" {
        (head(title))
        body.technician data-version=(assets::version()) data-events=[live.then_some(events)] {
            header {
                strong { "Voltry" }
                nav aria-label="Pages" {
                    @for (to, name, _) in PAGES.into_iter().filter(|(_, _, role)| session.role >= *role) {
                        a href=(to) aria-current=[(to == path).then_some("page")] { (name) }
                    }
                }
                form method="post" action="/logout" {
                    (key(session))
                    span { (session.name) " (" (session.role.word()) ")" }
                    button type="submit" { "Log out" }
                }
            }
            div #offline.banner role="alert" hidden { "No contact with the station." }
            main { (middle) }
        }
    } }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) }
            link rel="icon" href=(assets::icon());
            link rel="stylesheet" href=(assets::style());
            script src=(assets::script()) defer {}
        }
    }
}

/// What a form has to bring along.
pub(super) fn key(session: &Session) -> Markup {
    html! { input type="hidden" name="key" value=(session.form_key); }
}

/// Before the login nothing is said of the station, not even its name.
pub(super) fn login(wrong: bool, wait: Option<Duration>) -> Markup {
    html! { (DOCTYPE) html lang="en" {
        (head("Log in"))
        body.technician {
            main {
                section.question {
                    h1 { "Log in" }
                    @if wrong { p.banner role="alert" { "Name and password do not fit together." } }
                    @if let Some(wait) = wait {
                        p.banner role="alert" { "Too many wrong passwords. Try again in " (wait.as_secs() / 60 + 1) " min." }
                    }
                    form method="post" action="/login" {
                        label { "Name" input name="name" autocomplete="username" required maxlength="64"; }
                        label { "Password" input name="password" type="password" autocomplete="current-password" required maxlength="128"; }
                        button.button type="submit" { "Log in" }
                    }
                }
            }
        }
    } }
}

/// Why there is nothing else to see.
pub(super) fn message(title: &str, text: &str) -> Markup {
    html! { section.question { h1 { (title) } p { (text) } a.button href="/" { "Back" } } }
}

/// The station at a glance.
pub(super) fn station(session: &Session, seen: &Seen, history: &History, guide: &FaultGuide) -> Markup {
    let Some(station) = &seen.station else {
        return html! { h1 { "Station" } p.banner role="status" { "voltry-station does not answer." } };
    };
    html! {
        h1 { (station.name) }
        p { "Uplink: "
            @match (seen.has_uplink, seen.csms) {
                (false, _) => "none is configured",
                (true, Some(state)) => (state.as_str()),
                (true, None) => strong { "voltry-ocpp does not answer" },
            }
            @if let Some(waiting) = seen.waiting { ", " (waiting) " messages of transactions wait" }
        }
        div.evses {
            @for status in &station.evses { (evse(session, station, status, history, guide)) }
        }
    }
}

fn evse(
    session: &Session,
    station: &Station,
    status: &EvseStatus,
    history: &History,
    guide: &FaultGuide,
) -> Markup {
    let share = station.shares.iter().find(|share| share.evse == status.evse);
    let connector = station.connectors.iter().find(|connector| connector.evse == status.evse);
    let bad = !status.faults.is_empty() || status.state == "absent";
    html! {
        section.evse.bad[bad] data-evse=(status.evse) data-state=(status.state) {
            h2 { "EVSE " (status.evse) }
            p.state role="status" { (status.state) @if !status.available { " (out of service)" } }
            (charts(&history.of(status.evse)))
            table {
                (row("Voltage", &number(status.voltage, 1), "V"))
                (row("Current", &number(status.current, 1), "A"))
                (row("Delivered", &number(status.voltage * status.current / 1000.0, 1), "kW"))
                @if let Some(share) = share {
                    (row("Asked", &number(share.wants / 1000.0, 1), "kW"))
                    (row("Share", &number(share.share / 1000.0, 1), "kW"))
                    (row("Held down by", &format!("{} {}", share.source, share.detail), ""))
                }
                (row("Energy", &number(status.energy / 1000.0, 3), "kWh"))
                @if status.soc >= 0.0 { (row("State of charge", &number(status.soc, 0), "%")) }
                @if let Some(connector) = connector { (row("As drivers see it", &connector.state, "")) }
                @if status.transaction != 0 { tr { th scope="row" { "Transaction" } td { a href=(format!("/sessions/{}", status.transaction)) { (status.transaction) } } } }
            }
            @for fault in &status.faults { (self::fault(fault, guide)) }
            @if session.role >= Role::Operate {
                div.actions {
                    (action(session, status.evse, "stop", "Stop the session"))
                    (action(session, status.evse, "clear-faults", "Clear faults"))
                    @if status.available { (action(session, status.evse, "out-of-service", "Take out of service")) }
                    @else { (action(session, status.evse, "in-service", "Take into service")) }
                    (action(session, status.evse, "unlock", "Unlock the plug"))
                }
            }
        }
    }
}

fn action(session: &Session, evse: u32, name: &str, words: &str) -> Markup {
    html! {
        form method="post" action=(format!("/evse/{evse}/{name}")) { (key(session)) button type="submit" { (words) } }
    }
}

pub(super) fn row(name: &str, value: &str, unit: &str) -> Markup {
    html! { tr { th scope="row" { (name) } td { (value) " " (unit) } } }
}

/// A fault, with what the guide knows of its code.
fn fault(fault: &Fault, guide: &FaultGuide) -> Markup {
    html! {
        details.fault {
            summary { strong { (fault.code) } " " (ago(fault.at)) ": " (fault.cause) }
            @if let Some((_, entry)) = guide.find(&fault.code) {
                p { (entry.means) }
                h3 { "Likely causes" } ol { @for cause in &entry.causes { li { (cause) } } }
                h3 { "What to look at" } ol { @for look in &entry.measure { li { (look) } } }
            } @else { p { "Nothing is known of this code." } }
        }
    }
}

/// A line of a chart: its class, and its value at a point.
type Line<'a> = (&'a str, &'a dyn Fn(&Point) -> f64);

/// The last minutes: delivered power against what the vehicle asks, volts, amperes.
fn charts(points: &(impl ExactSizeIterator<Item = Point> + Clone)) -> Markup {
    let kilowatts = |point: &Point| point.volts * point.amperes / 1000.0;
    let asked = |point: &Point| point.asked / 1000.0;
    // Frost is drawn as nought; what is no number stays none.
    let connector = |point: &Point| point.warmth.connector.clamp(0.0, f64::MAX);
    let modules = |point: &Point| point.warmth.modules.clamp(0.0, f64::MAX);
    html! {
        (chart(points, &[("asked", &asked), ("given", &kilowatts)], 1.0, "kW", "delivered, and dashed what the vehicle asks"))
        (chart(points, &[("given", &|point: &Point| point.volts)], 100.0, "V", "at the output"))
        (chart(points, &[("given", &|point: &Point| point.amperes)], 10.0, "A", "at the output"))
        @if points.clone().any(|point| connector(&point).is_finite() || modules(&point).is_finite()) {
            (chart(points, &[("asked", &modules), ("given", &connector)], 50.0, "°C", "the hottest of connector and cable, and dashed of the power modules"))
        }
    }
}

/// At least up to `floor`, so that what is nothing looks like nothing.
fn chart(
    points: &(impl ExactSizeIterator<Item = Point> + Clone),
    lines: &[Line<'_>],
    floor: f64,
    unit: &str,
    what: &str,
) -> Markup {
    let (width, height) = (300.0, 80.0);
    let values = points.clone().flat_map(|point| lines.iter().map(move |(_, value)| value(&point)));
    let top = values.fold(floor, f64::max) * 1.1;
    let newest = points.len();
    let line = |value: &dyn Fn(&Point) -> f64| {
        let mut line = String::new();
        for (number, point) in points.clone().enumerate().filter(|(_, point)| value(point).is_finite()) {
            #[expect(clippy::cast_precision_loss, reason = "some hundred points")]
            let x = width - (newest - 1 - number) as f64 * width / (POINTS - 1) as f64;
            line.push_str(&format!("{x:.0},{:.1} ", height - value(&point) / top * height));
        }
        line
    };
    html! {
        figure.chart {
            svg viewBox="0 0 300 80" preserveAspectRatio="none" role="img" aria-label=(format!("{unit} of the last five minutes, {what}")) {
                @for (class, value) in lines { polyline class=(class) points=(line(value)) {} }
            }
            figcaption { "five minutes, up to " (number(top, 0)) " " (unit) ": " (what) }
        }
    }
}

/// All devices, those with something wrong first.
pub(super) fn devices(devices: &[Device], guide: &FaultGuide) -> Markup {
    let mut sorted: Vec<&Device> = devices.iter().collect();
    sorted.sort_by_key(|device| (device.online && device.faults.is_empty(), device.path.clone()));
    html! {
        h1 { "Devices" }
        @if sorted.is_empty() { p { "Nobody has answered yet." } }
        div.evses {
            @for device in sorted {
                section.evse.bad[!device.online || !device.faults.is_empty()] data-device=(device.path) {
                    h2 { (device.path) }
                    p { (device.model) @if !device.serial.is_empty() { ", " (device.serial) } @if !device.firmware.is_empty() { ", " (device.firmware) } }
                    @if !device.online { p.banner role="status" { "does not answer" } }
                    @for fault in &device.faults { (self::fault(fault, guide)) }
                    @if !device.modules.is_empty() { (modules(device)) }
                    details {
                        summary { (device.variables.len()) " values" }
                        table {
                            @for variable in &device.variables {
                                (row(&format!("{}{}{} {}", variable.component.name, between(&variable.component.instance), between(&variable.instance), variable.name), &variable.value, &variable.unit))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn between(instance: &str) -> String {
    if instance.is_empty() { String::new() } else { format!(" {instance}") }
}

fn modules(device: &Device) -> Markup {
    html! {
        table {
            tr { @for name in ["Module", "State", "V", "A", "°C", "Alarms"] { th scope="col" { (name) } } }
            @for module in &device.modules {
                tr {
                    td { (module.bus) " " (module.address) }
                    td { (module.state) @if !module.online { " (silent)" } }
                    td { (number(module.voltage, 1)) } td { (number(module.current, 1)) } td { (number(module.temperature, 0)) }
                    td { (module.alarms.join(", ")) }
                }
            }
        }
    }
}

/// The station's settings that may be written while it runs.
pub(super) fn settings(session: &Session, settings: &[Setting], told: Option<(bool, &str)>) -> Markup {
    html! {
        h1 { "Settings" }
        @if let Some((good, words)) = told { p.banner.offline[good] role="alert" { (words) } }
        table {
            tr { @for name in ["Setting", "What it does", "Value", "Default"] { th scope="col" { (name) } } }
            @for it in settings {
                tr {
                    th scope="row" { (it.name) } td { (it.about) }
                    td {
                        @if it.writers.iter().any(|writer| writer == "operator") && it.access != "read-only" {
                            form method="post" action=(format!("/settings/{}", it.name)) {
                                (key(session))
                                input name="value" value=(it.value) aria-label=(it.name) maxlength="500";
                                (it.unit) " " button type="submit" { "Save" }
                            }
                        } @else { (it.value) " " (it.unit) }
                    }
                    td { (it.default) }
                }
            }
        }
    }
}

/// Who did what.
pub(super) fn audit(lines: &[String]) -> Markup {
    html! {
        h1 { "Audit trail" }
        table {
            tr { @for name in ["Time", "Who", "From", "What"] { th scope="col" { (name) } } }
            @for line in lines { tr { @for part in line.split('\t') { td { (part) } } } }
        }
    }
}

pub(super) fn number(value: f64, places: usize) -> String {
    if value.is_finite() { format!("{:.places$}", value + 0.0) } else { "–".to_owned() }
}

pub(super) fn time(micros: i64) -> String {
    if micros == 0 {
        return "–".to_owned();
    }
    let Ok(time) = Timestamp::from_microsecond(micros) else { return "–".to_owned() };
    time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The time of the day, to the millisecond.
pub(super) fn clock_time(micros: i64) -> String {
    let Ok(time) = Timestamp::from_microsecond(micros) else { return "–".to_owned() };
    time.to_zoned_datetime(TimeZone::system()).strftime("%H:%M:%S.%3f").to_string()
}

/// How long a moment of the boot clock is past.
fn ago(at: u64) -> String {
    let seconds = clock::now().as_micros().saturating_sub(at) / 1_000_000;
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        _ => format!("{} h ago", seconds / 3600),
    }
}
