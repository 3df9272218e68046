//! Lays the picture out. Whatever is told by a colour is told by a word as well.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};
use voltry_bus::{CsmsState, EvseState, EvseStatus, Module};

use super::picture::{DeviceFault, Heard, Picture, Station, Uplink};
use crate::limits;
use crate::output::percent;

/// Whether colours may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    Some,
    None,
}

impl Colours {
    fn of(self, colour: Color) -> Style {
        match self {
            Self::Some => Style::new().fg(colour),
            Self::None => Style::new(),
        }
    }

    /// Headings: bold is no colour, and a terminal without it shows it as it can.
    fn heading() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}

/// Rows that everything wants.
pub(super) fn height(picture: &Picture) -> u16 {
    let rows = rows(picture);
    rows.iter().map(|part| u16::try_from(*part).unwrap_or(u16::MAX)).fold(0, u16::saturating_add)
}

/// Rows of each part, from the top: title, uplink, EVSEs, modules, faults, keys.
fn rows(picture: &Picture) -> [usize; 6] {
    let evses = picture.station.says().map_or(1, |station| 1 + station.evses.len());
    let modules = picture.modules.says().map_or(1, |modules| 1 + modules.len().max(1));
    let faults = 1 + troubles(picture).len().max(1);
    [1, 1, evses + 1, modules + 1, faults, 1]
}

/// One frame.
pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture, colours: Colours) {
    let wanted = rows(picture).map(|rows| u16::try_from(rows).unwrap_or(u16::MAX));
    let [title, uplink, evses, modules, faults, keys] =
        Layout::vertical(share(wanted, frame.area().height)).areas(frame.area());
    frame.render_widget(Paragraph::new(title_line(picture)), title);
    frame.render_widget(Paragraph::new(uplink_line(&picture.uplink, colours)), uplink);
    draw_evses(frame, evses, &picture.station, colours);
    draw_modules(frame, modules, &picture.modules, colours);
    draw_faults(frame, faults, picture, colours);
    frame.render_widget(Paragraph::new("q quits, Ctrl-L draws everything anew"), keys);
}

/// On a screen that is too low, modules give way first, then faults, but not below four rows.
fn share(wanted: [u16; 6], height: u16) -> [Constraint; 6] {
    const LEAST: u16 = 4;
    let mut rows = wanted;
    for place in [3, 4, 2] {
        let sum = rows.iter().copied().fold(0, u16::saturating_add);
        let excess = sum.saturating_sub(height);
        rows[place] = rows[place].saturating_sub(excess).max(LEAST.min(rows[place]));
    }
    rows.map(Constraint::Length)
}

fn title_line(picture: &Picture) -> Line<'static> {
    let name = match &picture.station {
        Heard::Says(station) => station.name.clone(),
        Heard::Away => "voltry-station does not answer".to_owned(),
        Heard::NotYet => "…".to_owned(),
    };
    Line::from(vec![Span::styled(format!("{name}  "), Colours::heading()), Span::raw(picture.clock.clone())])
}

fn uplink_line(uplink: &Heard<Uplink>, colours: Colours) -> Line<'static> {
    let line = match uplink {
        Heard::NotYet => "uplink: …".to_owned(),
        Heard::Away => "uplink: none on the bus".to_owned(),
        Heard::Says(Uplink { state: CsmsState::Disabled, .. }) => "uplink: none is configured".to_owned(),
        Heard::Says(Uplink { state, url, protocol, waiting, last_error }) => {
            let error = if *state == CsmsState::Accepted || last_error.is_empty() {
                String::new()
            } else {
                format!("; {last_error}")
            };
            format!("uplink: {state}, {waiting} waiting, {protocol} {url}{error}")
        }
    };
    let accepted = uplink.says().is_some_and(|uplink| uplink.state == CsmsState::Accepted);
    let style = if uplink.says().is_none() || accepted { Style::new() } else { colours.of(Color::Yellow) };
    Line::styled(line, style)
}

/// Draws a table whose last row says how many more there are, where there is no room for all.
fn draw_table<const N: usize>(
    frame: &mut Frame<'_>,
    area: Rect,
    heading: [&'static str; N],
    widths: [Constraint; N],
    mut rows: Vec<Row<'static>>,
) {
    let room = usize::from(area.height.saturating_sub(1));
    if rows.len() > room && room > 0 {
        let more = rows.len() - (room - 1);
        rows.truncate(room - 1);
        rows.push(Row::new([Cell::from(format!("+{more}"))]));
    }
    let heading = Row::new(heading).style(Colours::heading());
    frame.render_widget(Table::new(rows, widths).header(heading), area);
}

fn draw_evses(frame: &mut Frame<'_>, area: Rect, station: &Heard<Station>, colours: Colours) {
    let Heard::Says(station) = station else { return };
    let rows = station.evses.iter().map(|status| evse_row(status, station, colours)).collect();
    let widths = [4, 15, 6, 6, 6, 8, 5, 6].map(Constraint::Length);
    let [evse, state, volts, amperes, power, energy, charge, share] = widths;
    draw_table(
        frame,
        area,
        ["EVSE", "STATE", "V", "A", "kW", "kWh", "SoC", "SHARE", "WHY"],
        [evse, state, volts, amperes, power, energy, charge, share, Constraint::Fill(1)],
        rows,
    );
}

fn evse_row(status: &EvseStatus, station: &Station, colours: Colours) -> Row<'static> {
    let state = if status.available { status.state.clone() } else { "out of service".to_owned() };
    let share = station.shares.iter().find(|share| share.evse == status.evse);
    let connector = station.connectors.iter().find(|connector| connector.evse == status.evse);
    let why = match status.faults.first() {
        Some(fault) => fault.code.clone(),
        None if status.state == "absent" => "daemon is away".to_owned(),
        None => match connector {
            Some(connector) if !connector.reservation.is_empty() => "reserved".to_owned(),
            Some(_) | None => share.and_then(limits::why).unwrap_or_default(),
        },
    };
    let style = match status.state.parse() {
        Ok(EvseState::Charging) => colours.of(Color::Green),
        Ok(EvseState::Faulted | EvseState::Emergency | EvseState::ErrorShutdown) | Err(_) => {
            colours.of(Color::Red)
        }
        Ok(
            EvseState::Starting
            | EvseState::Available
            | EvseState::Connected
            | EvseState::Authorizing
            | EvseState::Parameters
            | EvseState::CableCheck
            | EvseState::PreCharge
            | EvseState::Stopping
            | EvseState::Finished
            | EvseState::Paused
            | EvseState::Unavailable,
        ) => Style::new(),
    };
    Row::new([
        status.evse.to_string(),
        state,
        format!("{:.0}", status.voltage),
        format!("{:.1}", status.current),
        format!("{:.1}", status.voltage * status.current / 1000.0),
        format!("{:.2}", status.energy / 1000.0),
        percent(status.soc),
        format!("{:.1}", status.share / 1000.0),
        why,
    ])
    .style(style)
}

fn draw_modules(frame: &mut Frame<'_>, area: Rect, modules: &Heard<Vec<Module>>, colours: Colours) {
    let rows = match modules {
        Heard::Says(modules) if modules.is_empty() => vec![Row::new(["", "", "none"])],
        Heard::Says(modules) => modules.iter().map(|module| module_row(module, colours)).collect(),
        Heard::Away => vec![Row::new(["", "", "no answer"]).style(colours.of(Color::Red))],
        Heard::NotYet => vec![Row::new(["", "", "…"])],
    };
    let [bus, address, state, volts, amperes, inlet] = [8, 4, 12, 6, 6, 6].map(Constraint::Length);
    draw_table(
        frame,
        area,
        ["MODULES", "ADDR", "STATE", "V", "A", "INLET", "ALARMS"],
        [bus, address, state, volts, amperes, inlet, Constraint::Fill(1)],
        rows,
    );
}

fn module_row(module: &Module, colours: Colours) -> Row<'static> {
    let silent = !module.online && module.at > 0;
    let style = if silent { colours.of(Color::Red) } else { Style::new() };
    Row::new([
        module.bus.clone(),
        module.address.to_string(),
        crate::devices::shown_state(module),
        format!("{:.0}", module.voltage),
        format!("{:.1}", module.current),
        format!("{:.0} °C", module.temperature),
        module.alarms.join(", "),
    ])
    .style(style)
}

/// Faults, devices and daemons that do not answer: each a place, a word, since when, and why.
fn troubles(picture: &Picture) -> Vec<DeviceFault> {
    let word = |object: &String, code: &str| DeviceFault {
        object: object.clone(),
        code: code.to_owned(),
        ..DeviceFault::default()
    };
    picture.devices.says().map_or_else(Vec::new, |devices| {
        let silent = devices.silent.iter().map(|name| word(name, "hangs"));
        let offline = devices.offline.iter().map(|object| word(object, "does not answer"));
        silent.chain(devices.faults.iter().cloned()).chain(offline).collect()
    })
}

fn draw_faults(frame: &mut Frame<'_>, area: Rect, picture: &Picture, colours: Colours) {
    let troubles = troubles(picture);
    let rows = match &picture.devices {
        Heard::NotYet => vec![Row::new(["…"])],
        Heard::Away => vec![Row::new(["no device answers"]).style(colours.of(Color::Red))],
        Heard::Says(_) if troubles.is_empty() => vec![Row::new(["none"])],
        Heard::Says(_) => troubles
            .into_iter()
            .map(|fault| {
                let row = Row::new([fault.object, fault.code, fault.since, fault.cause]);
                row.style(colours.of(Color::Red))
            })
            .collect(),
    };
    let widths =
        [Constraint::Length(22), Constraint::Length(26), Constraint::Length(10), Constraint::Fill(1)];
    draw_table(frame, area, ["FAULTS", "CODE", "SINCE", "CAUSE"], widths, rows);
}
