use ratatui::backend::CrosstermBackend;
use ratatui::style::Color;
use ratatui::{TerminalOptions, Viewport};
use voltry_bus::{CsmsState, EvseStatus, Fault, Module};

use super::picture::{DeviceFault, Devices, Heard, Station, Uplink};
use super::*;

fn status(evse: u32, state: &str) -> EvseStatus {
    EvseStatus {
        evse,
        state: state.to_owned(),
        available: true,
        authorized: true,
        voltage: 400.0,
        current: 125.0,
        share: 60_000.0,
        energy: 12_345.0,
        soc: 54.0,
        transaction: 17,
        faults: Vec::new(),
    }
}

fn module(address: u32) -> Module {
    Module {
        bus: "can1".to_owned(),
        address,
        group: 0,
        serial: String::new(),
        state: "on".to_owned(),
        online: true,
        voltage: 400.2,
        current: 41.7,
        available: 100.0,
        temperature: 41.0,
        alarms: Vec::new(),
        at: 1,
    }
}

fn charging() -> Picture {
    let mut faulted = status(2, "faulted");
    faulted.faults =
        vec![Fault { code: "MREC8EmergencyStop".to_owned(), cause: "input 1".to_owned(), at: 1 }];
    let evses = vec![status(1, "charging"), faulted, status(3, "absent")];
    let fault = DeviceFault {
        object: "evse/2".to_owned(),
        code: "MREC8EmergencyStop".to_owned(),
        since: "3 s ago".to_owned(),
        cause: "input 1".to_owned(),
    };
    Picture {
        clock: "17:51:02".to_owned(),
        station: Heard::Says(Station { name: "Quay 4".to_owned(), evses, ..Station::default() }),
        uplink: Heard::Says(Uplink {
            state: CsmsState::Connecting,
            url: "wss://csms.example/".to_owned(),
            protocol: String::new(),
            waiting: 3,
            last_error: "no route to host".to_owned(),
        }),
        modules: Heard::Says((0..3).map(module).collect()),
        devices: Heard::Says(Devices {
            faults: vec![fault],
            offline: vec!["energy_meter/dc1".to_owned()],
            silent: vec!["org.voltry.Secc.N1".to_owned()],
        }),
    }
}

fn frame(picture: &Picture, width: u16, height: u16, colours: Colours) -> (Vec<String>, Vec<Color>) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let buffer = terminal.draw(|frame| draw::draw(frame, picture, colours)).unwrap().buffer;
    let rows = buffer.content().chunks(usize::from(width));
    let lines = rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect()).collect();
    (lines, buffer.content().iter().map(|cell| cell.fg).collect())
}

#[test]
fn everything_that_counts_is_on_a_screen_of_80_by_24_and_in_words() {
    let (lines, colours) = frame(&charging(), 80, 24, Colours::None);
    let text = lines.join("\n");
    for part in [
        "Quay 4",
        "17:51:02",
        "uplink: connecting, 3 waiting",
        "no route to host",
        "charging",
        "400",
        "125.0",
        "50.0",
        "12.35",
        "54 %",
        "daemon is away",
        "MREC8EmergencyStop",
        "input 1",
        "41.7",
        "41 °C",
        "org.voltry.Secc.N1",
        "hangs",
        "energy_meter/dc1",
        "q quits",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(colours.iter().all(|colour| *colour == Color::Reset));
    let (in_colour, colours) = frame(&charging(), 80, 24, Colours::Some);
    assert_eq!(in_colour, lines, "a colour takes no word away");
    assert!(colours.contains(&Color::Red) && colours.contains(&Color::Green));
}

#[test]
fn what_there_is_no_room_for_is_counted_and_faults_stay() {
    let mut picture = charging();
    picture.modules = Heard::Says((0..60).map(module).collect());
    let (lines, _) = frame(&picture, 80, 24, Colours::None);
    let text = lines.join("\n");
    assert!(text.contains("+50"), "{text}");
    assert!(text.contains("MREC8EmergencyStop") && text.contains("q quits"), "{text}");
    // Nothing panics, however small.
    for (width, height) in [(1, 1), (80, 3), (10, 24), (300, 100)] {
        let _ = frame(&picture, width, height, Colours::Some);
    }
}

#[test]
fn a_part_that_is_away_is_said_to_be_and_takes_nothing_along() {
    let away = Picture {
        clock: "17:51:02".to_owned(),
        station: Heard::Away,
        uplink: Heard::Away,
        modules: Heard::Says(vec![module(0)]),
        devices: Heard::Away,
    };
    let (lines, _) = frame(&away, 80, 24, Colours::None);
    let text = lines.join("\n");
    for part in ["voltry-station does not answer", "uplink: none on the bus", "41.7", "no device answers"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let (lines, _) = frame(&Picture::default(), 80, 24, Colours::None);
    assert!(lines.join("\n").contains('…'));
}

#[test]
fn only_what_changed_goes_over_the_line() {
    let mut later = charging();
    later.clock = "17:51:03".to_owned();
    let options = TerminalOptions { viewport: Viewport::Fixed(ratatui::layout::Rect::new(0, 0, 80, 24)) };
    let line = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let mut terminal = Terminal::with_options(CrosstermBackend::new(Line(line.clone())), options).unwrap();
    let mut sizes = Vec::new();
    for picture in [&charging(), &charging(), &later] {
        let before = line.borrow().len();
        terminal.draw(|frame| draw::draw(frame, picture, Colours::Some)).unwrap();
        sizes.push(line.borrow().len() - before);
    }
    assert!(sizes[0] > 500, "{sizes:?}");
    assert!(sizes[1] < 40, "nothing changed: {sizes:?}");
    assert!(sizes[2] < 60, "one digit: {sizes:?}");
}

/// What goes to the terminal.
struct Line(std::rc::Rc<std::cell::RefCell<Vec<u8>>>);

impl std::io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_is_printed_once_has_every_row() {
    let mut picture = charging();
    picture.modules = Heard::Says((0..60).map(module).collect());
    let text = printed(&picture);
    assert_eq!(text.lines().filter(|line| line.contains("can1")).count(), 60);
    assert!(text.lines().all(|line| line.chars().count() <= 100 && !line.ends_with(' ')), "{text}");
}
